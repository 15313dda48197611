"""What an agrément asks of an inventory: two sites, and a date that a third party certifies."""

from __future__ import annotations

from typing import Any

import pytest

from creatic.registry import agrement

GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "sae1": ("archive_node", {"creatic_site": "lille"}),
    "sae2": ("archive_node", {"creatic_site": "lille"}),
    "sauvegarde": ("backup_server", {"creatic_site": "douai"}),
    "porte": ("archive_gateway", {"archive_gateway_tsa_url": "https://t", "archive_gateway_tsa_ca_file": "/t.pem"}),
}


def told(wanted: Any, **changes: dict[str, Any]) -> list[str]:
    machines = {name: (profile, changes.get(name, given)) for name, (profile, given) in GOOD.items()}
    return [f"{one.field} : {one.message}" for one in agrement.problems(wanted, machines)]


@pytest.mark.parametrize("wanted", [None, False])
def test_without_it_nothing_more_is_asked(wanted: Any) -> None:
    assert told(wanted, sae1={}, porte={}) == []


def test_two_sites_and_a_third_party_s_date_are_enough() -> None:
    assert told(True) == []
    assert told(True, sae1={"creatic_site": "douai"}, sauvegarde={"creatic_site": "lille"}) == []


def test_what_lacks_is_told_with_its_machines_and_its_law() -> None:
    [one] = told(True, sauvegarde={"creatic_site": "lille"})
    assert "toutes les copies des archives sont au même site (lille)" in one and "R212-19" in one
    assert len(told(True, sauvegarde={"creatic_site": "Lille "})) == 1  # the same one, written in another way
    [one] = told(True, sae1={}, sauvegarde={"creatic_site": " "})
    assert one.startswith("creatic_site : le site manque (sae1, sauvegarde)")
    [one] = told(True, porte={"archive_gateway_tsa_url": "https://t", "archive_gateway_tsa_ca_file": ""})
    assert one.startswith("archive_gateway_tsa_ca_file : un horodatage qualifié") and one.endswith("(porte)")
    assert len(told(True, porte={})) == 2
    [one] = told("oui")
    assert one.startswith("creatic_archive_agrement : la valeur n'est pas du type attendu")
    nobody = agrement.problems(True, {})
    assert ["aucune machine ne garde d'archives" in problem.message for problem in nobody] == [True]
