"""The slices of a profile that an operator may want alone, as ansible-playbook lists them (docs/exploitation.md)."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from creatic.audit.run import profiles
from testbed.programs import said

TOP = Path(__file__).parents[3]
PROFILES = sorted(profiles(TOP))
SLICES = ("trust", "hardening", "firewall", "backup")
# What a slice is made of: roles, and tasks of others.
ROLES = {"trust": {"pki_client"}, "hardening": {"hardening"}, "firewall": {"firewall"}, "backup": {"backup_client"}}
SAVED = {"archive_gateway", "deliberations", "ged", "parapheur", "passerelle", "supervision", "tdt_connector"}
# Whatever was changed, the machine is noted as it is left: what the audit compares it with.
NOTED = "Security | Note what the machine is at the end of its deployment"
# Included when it runs, which a list does not show: the include must be there for every tag.
INCLUDED = {
    "commune_pc": {
        "Commune PC | Ensure the base is in place",
        "Commune PC | Ensure it is secured",
        "commune_pc : Commune PC | Ensure the PC is in its state",
        "Commune PC | Ensure it fetches what it becomes, when nobody can reach it",
    },
    "tdt_connector": {"TdT connector | Ensure it fetches what it becomes, when nobody can reach it"},
}
# Certificates and what makes them known, beside pki_client: what includes it, or issues and stores others.
TRUST = {
    "archive_node": {"Archive node | Ensure its certificate is in place"},
    "backup_server": {"Backup server | Ensure trust is in place"},
    "commune_pc": {"commune_pc : Commune PC | Ensure the providers' files can be opened, before anything changes"},
    "control_node": {"Control node | Ensure trust is in place"},
    "parapheur": {"parapheur : Parapheur | Ensure the seal's key is in its token"},
    "tdt_connector": {
        "TdT connector | Ensure trust and its client certificate are in place",
        "tdt_connector : TdT connector | Ensure the provider's certificate is in place",
    },
    "tdt_simulator": {"TdT simulator | Ensure its server certificate is in place"},
}


@cache
def tasks_and_tags() -> dict[str, list[tuple[str, set[str]]]]:
    """Tasks by profile with their tags, those that check roles' arguments apart: one start of Ansible for all."""
    with TemporaryDirectory() as folder:
        playbooks = {name: Path(folder, f"{name}.yml") for name in PROFILES}
        for name, playbook in playbooks.items():
            tasks = str(TOP / "playbooks" / "profiles" / f"{name}.yml")
            play = {"hosts": "localhost", "tasks": [{"ansible.builtin.import_tasks": tasks}]}
            playbook.write_text(json.dumps([play]), encoding="utf-8")
        playbooks["backup_server"] = TOP / "playbooks" / "backup_server.yml"  # what it asks of its clients, too
        names = [str(path) for path in playbooks.values()]
        listed = said("ansible-playbook", "-i", "localhost,", "--list-tasks", *names, seconds=120)
    found: dict[str, list[tuple[str, set[str]]]] = {}
    for part in re.split(r"^playbook: .*/", listed, flags=re.MULTILINE)[1:]:
        name, _, lines = part.partition(".yml\n")
        told = re.findall(r"^ +(?!play #)(\S.*)\tTAGS: \[(.*)\]$", lines, re.MULTILINE)
        found[name] = [(task, {*tags.split(", ")}) for task, tags in told if "Validating arguments" not in task]
    assert sorted(found) == PROFILES and all(found.values())
    return found


def listed(tag: str) -> dict[str, set[str]]:
    """Tasks by profile that run with `--tags`: those with this tag, and those always wanted."""
    return {name: {task for task, tags in tasks if tags & {tag, "always"}} for name, tasks in tasks_and_tags().items()}


@pytest.mark.parametrize("tag", SLICES)
@pytest.mark.parametrize("profile", [name for name in PROFILES if name not in ("backup_server", "encrypted_raid")])
def test_a_slice_is_run_alone(profile: str, tag: str) -> None:
    assert listed(tag)[profile] & {NOTED, "Commune PC | Ensure it is secured"}
    tasks = listed(tag)[profile] - INCLUDED.get(profile, set()) - {NOTED}
    whole = {task for task in tasks if task.partition(" : ")[0] in ROLES[tag]}
    assert tasks - whole == (TRUST.get(profile, set()) if tag == "trust" else set())
    assert INCLUDED.get(profile, set()) <= listed(tag)[profile]
    if tag == "backup":
        assert bool(whole) == (profile in SAVED)
    elif tag == "trust":
        assert whole or profile in TRUST or profile == "hardening"
    else:
        assert whole or profile == "commune_pc"


def test_on_the_server_of_backups_the_slice_is_its_role_and_its_clients_beginnings() -> None:
    tasks = listed("backup")["backup_server"]
    assert {task.partition(" : ")[0] for task in tasks if " : " in task} == {"backup_server"}
    assert "Backup client | Ensure it backs up" in tasks
    for tag in ("firewall", "hardening"):
        assert {task.partition(" : ")[0] for task in listed(tag)["backup_server"] - {NOTED}} == {tag}
    assert listed("trust")["backup_server"] - {NOTED} == TRUST["backup_server"]


def test_the_site_looks_into_every_profile_whatever_the_tags() -> None:
    for play in yaml.safe_load((TOP / "playbooks" / "site.yml").read_text("utf-8")):
        for task in play.get("tasks", []):
            assert "ansible.builtin.import_tasks" in task or task["tags"] == ["always"]


@pytest.mark.parametrize("path", sorted((TOP / "roles").glob("*/tasks/*.yml")), ids=lambda path: f"{path.parts[-3]}")
def test_what_a_role_includes_for_a_slice_has_its_tag(path: Path) -> None:
    for task in yaml.safe_load(path.read_text("utf-8")):
        brought = task.get("ansible.builtin.include_role") or task.get("ansible.builtin.import_role")
        if brought and brought["name"] == "pki_client":
            assert task["tags"] == ["trust"]
            if "ansible.builtin.include_role" in task:
                assert brought["apply"] == {"tags": ["trust"]}
