"""What ``fab flotte.etat`` says is French: plurals agree, dates are read by people."""

from __future__ import annotations

import pytest

from creatic.fleet import waves

RECORD = {
    "version": 3,
    "le": "2026-03-02T13:05:00+00:00",
    "par": "alice",
    "decoupage": "vague",
    "vagues": [],
    "arret": {"le": "2026-03-03T08:00:00+00:00", "par": "alice", "motif": "essai"},
    "excuses": {},
}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (waves.NEVER, ["1 jamais vue", "2 jamais vues"]),
        (waves.BLOCKED, ["1 bloquée", "2 bloquées"]),
        (waves.EXPECTED, ["1 attendue", "2 attendues"]),
        (waves.LATE, ["1 en retard", "2 en retard"]),
        (waves.UP_TO_DATE, ["1 à jour", "2 à jour"]),
    ],
)
def test_states_agree_with_their_number(state: str, said: list[str]) -> None:
    for number, text in enumerate(said, 1):
        told = waves.sentences(None, [waves.MachineState(f"m{rank}", state, 0) for rank in range(number)], [])
        assert f"Machines : {text}" in told


def test_dates_are_read_by_people() -> None:
    told = "\n".join(waves.sentences(RECORD, [], []))
    assert "v3, publiée le 2 mars 2026 à 14" in told and "ARRÊTÉE le 3 mars 2026 à 9" in told
    assert "2026-03" not in told
