"""Every role of a profile says what it needs saved, and every profile hands that over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from creatic.audit.run import profiles

TOP = Path(__file__).parents[3]
# Benches keep nothing, and their disks are made anew.
BENCHES = {"encrypted_raid", "hardening"}
# What they keep is made again from the inventory and the control node, or is the machine's own history.
STORE_NOTHING = {"base", "encrypted_raid"}


def _included(tasks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {}
    for task in tasks:
        if brought := task.get("ansible.builtin.include_role") or task.get("ansible.builtin.import_role"):
            found[brought["name"]] = task.get("vars", {})
        found |= _included(task.get("block", []))
    return found


def _declared(role: str) -> Any:
    variables = yaml.safe_load((TOP / "roles" / role / "vars" / "main.yml").read_text(encoding="utf-8"))
    return variables.get(f"{role}_backup")


@pytest.mark.parametrize("profile", [name for name in profiles(TOP) if name not in BENCHES])
def test_each_profile_saves_what_its_roles_declare(profile: str) -> None:
    tasks = yaml.safe_load((TOP / "playbooks" / "profiles" / f"{profile}.yml").read_text(encoding="utf-8"))
    roles = _included(tasks)
    declared = {role: _declared(role) for role in roles if role not in STORE_NOTHING}
    assert [role for role, what in declared.items() if what is None] == [], "a role declares nothing at all"
    storing = [role for role, what in declared.items() if what]
    if storing:
        assert "backup_client" in roles, f"{profile} stores data and is not backed up"
        wired = str(roles["backup_client"].get("backup_client_items", ""))
        assert [role for role in storing if f"{role}_backup" not in wired] == []
