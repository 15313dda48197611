"""Depositing an act, and following it to its receipt."""

from __future__ import annotations

from typing import Any


def test_act_goes_to_its_receipt(client: Any, platform: Any) -> None:
    identifier = client.deposited()
    assert (
        client.get(f"/modules/actes/actes_transac_get_status.php?transaction={identifier}").text == "OK\n1\n"
    )
    platform.wait_status(identifier, 4)
    answer = client.get(f"/modules/actes/actes_transac_get_status.php?transaction={identifier}")
    assert answer.text.startswith("OK\n4\n<?xml")
