"""Profile tests: one run per host of the profile's group, on the lab or on production alike.

pytest tests/profiles/common tests/profiles/PROFILE --profile PROFILE [--environment inventories/lab] [--limit HOSTS]
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

TOP = Path(__file__).parents[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--profile", default="", help="profile whose hosts are tested")
    parser.addoption("--environment", default=str(TOP / "inventories" / "lab"), help="inventory folder")
    parser.addoption("--limit", default="all", help="Ansible host pattern")


def _inventory(environment: str, limit: str) -> dict[str, Any]:
    done = subprocess.run(
        ["ansible-inventory", "-i", environment, "--list", "--limit", limit],
        cwd=TOP,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    inventory: dict[str, Any] = json.loads(done.stdout)
    return inventory


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "hostvars" not in metafunc.fixturenames:
        return
    profile = metafunc.config.getoption("--profile")
    if not profile:
        raise pytest.UsageError("les tests de profil demandent --profile (commune_pc, tdt_connector…)")
    config = metafunc.config
    if not hasattr(config, "creatic_inventory"):
        config.creatic_inventory = _inventory(  # type: ignore[attr-defined] # one inventory a session
            config.getoption("--environment"), config.getoption("--limit")
        )
    inventory = config.creatic_inventory  # type: ignore[attr-defined] # same
    variables = inventory["_meta"]["hostvars"]
    names = [
        name
        for name in sorted(inventory.get(profile, {}).get("hosts", []))
        if variables[name].get("creatic_poste", {}).get("systeme", "debian") == "debian"
    ]
    if not names:
        raise pytest.UsageError(f"aucune machine du profil {profile} dans cet inventaire")
    metafunc.parametrize("hostvars", [variables[name] | {"name": name} for name in names], ids=names, scope="session")


@pytest.fixture(scope="session")
def creatic_home(hostvars: dict[str, Any]) -> Path:
    """State of the control node for the inventory, as its group_vars/all.yml computes it."""
    home = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser()
    return home / str(hostvars["creatic_env"])


@pytest.fixture(scope="session")
def host(hostvars: dict[str, Any], creatic_home: Path) -> Host:
    """The host under test, over SSH as in production; ``with host.sudo():`` for what root alone may see."""
    return testinfra.get_host(
        f"ssh://{hostvars.get('ansible_user', 'creatic')}@{hostvars['ansible_host']}",
        ssh_identity_file=str(creatic_home / "ssh" / "id_ed25519"),
        ssh_extra_args=f"-o UserKnownHostsFile={creatic_home}/ssh/known_hosts -o StrictHostKeyChecking=yes",
    )
