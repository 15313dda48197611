"""Lengths that the DGFiP's schema allows, and the words of each status."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from lxml import etree
from simulator_harness import Client
from tdt_simulator import pes


@pytest.mark.parametrize(
    ("name", "tag", "most", "default"),
    [
        ("TypFic", "Parametres/TypFic", 32, "PESALR2"),
        ("NomFic", "Parametres/NomFic", 100, "INCONNU"),
        ("Sigle", "Emetteur/Sigle", 32, "INCONNU"),
        ("Adresse", "Emetteur/Adresse", 38, "INCONNUE"),
    ],
)
def test_a_receipt_repeats_the_flow_s_names_as_far_as_the_schema_goes(
    name: str, tag: str, most: int, default: str
) -> None:
    def said(value: str) -> Any:
        root = etree.fromstring(pes.acquit(pes.Flow(headers={name: value}), datetime(2026, 1, 15)))
        node = root.find(f"Enveloppe/{tag}")
        assert node is not None
        return node.get("V")

    assert said("x" * (most + 1)) == "x" * most
    assert said("x" * most) == "x" * most
    assert said("0" * most + "x") == said("") == default
    assert said("0" * (most - 1) + "x") == "0" * (most - 1) + "x"


def test_every_status_has_its_words(client: Client) -> None:
    """Those of S²LOW, whatever an act has come to since."""
    told = client.get("/modules/actes/api/actes_status.php").json()
    assert {int(code) for code in told} == {-1, *range(9), 12, 13, 14, *range(16, 22)}
    assert told["14"] == "Erreur lors de l'archivage"
    assert told["4"] == "Acquittement reçu"
    assert len(set(told.values())) == len(told)
