"""What the lab's machines are made as."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.filter.lab_machines import lab_machines

from testbed.apps import TOP

GROUPS = {"all": ["sae1", "pc", "pair", "win"], "acces_sortant": ["pc"], "banc": ["pair"]}
HOSTS: dict[str, dict[str, Any]] = {
    "sae1": {
        "ansible_host": "10.59.1.1", "creatic_niveau": "high", "creatic_names": ["sae1.test"],
        "creatic_machine": "uml", "creatic_memoire": "2048M", "creatic_disques": ["512M"],
    },
    "pc": {"ansible_host": "10.59.2.1", "creatic_niveau": "minimal", "creatic_poste": {"systeme": "debian"}},
    "pair": {"ansible_host": "10.59.3.1", "creatic_niveau": "minimal"},
    "win": {"ansible_host": "10.59.2.2", "creatic_niveau": "minimal", "creatic_poste": {"systeme": "windows"}},
}  # fmt: skip # a table


def machines(**changed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = lab_machines(GROUPS["all"], GROUPS, HOSTS | changed, str(TOP / "roles"), "atelier")
    return {one.pop("name"): one for one in found}


def test_what_the_inventory_says_is_made_and_windows_is_not() -> None:
    found = machines()
    assert [*found] == ["sae1", "pc", "pair"]
    del found["sae1"]["packages"], found["pc"]["packages"]
    assert found["sae1"] == {
        "address": "10.59.1.1", "names": ["sae1.test"], "machine": "uml", "memory": "2048M", "disks": ["512M"],
        "line": "banc",
    }  # fmt: skip # a table
    assert found["pc"] == {
        "address": "10.59.2.1", "names": [], "machine": "conteneur", "memory": "1024M", "disks": [], "line": "atelier",
    }  # fmt: skip # a table


@pytest.mark.parametrize(
    ("name", "has", "lacks"),
    [
        ("sae1", {"nftables", "auditd", "rsyslog", "prometheus-node-exporter"}, set()),
        ("pc", {"nftables", "rsyslog", "prometheus-node-exporter"}, {"auditd", "aide"}),
        ("pair", {"nftables", "rsyslog"}, {"prometheus-node-exporter"}),
    ],
)
def test_roles_packages_of_its_level_are_there(name: str, has: set[str], lacks: set[str]) -> None:
    packages = {*machines()[name]["packages"]}
    assert packages >= has and not packages & lacks


def test_a_bare_machine_has_none() -> None:
    assert machines(pc=HOSTS["pc"] | {"creatic_machine_nue": True})["pc"]["packages"] == []
