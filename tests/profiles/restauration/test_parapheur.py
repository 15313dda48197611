"""A parapheur that came back: its dossiers stand where they stood, and their files are those that were handed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testinfra.host import Host

from .mayan import counted, every_document_opens


def test_every_dossier_opens_and_is_the_one_that_was_handed_in(
    host: Host, hostvars: dict[str, Any], creatic_home: Path
) -> None:
    every_document_opens(host, hostvars["creatic_names"][0], creatic_home / "secrets" / "parapheur" / "admin")


def test_each_dossier_is_in_the_state_of_its_circuit(host: Host) -> None:
    assert counted(host, "SELECT count(*) FROM creatic_parapheur_dossier") > 0
    lost = (
        "SELECT count(*) FROM creatic_parapheur_dossier d WHERE NOT EXISTS (SELECT 1 FROM "
        "document_states_workflowinstance i WHERE i.document_id = d.document_id)"
    )
    assert counted(host, lost) == 0


def test_it_seals_with_a_key_of_its_own(host: Host) -> None:
    with host.sudo():
        shown = host.check_output("runuser -u parapheur-sceau -- softhsm2-util --show-slots")
    assert "cachet-parapheur" in shown
