"""What to do about a server that is not ready: its own fix where there is one, else to run again."""

from __future__ import annotations

from typing import Any

import pytest

from creatic.evidence.rollout import HostRun
from creatic.evidence.servers import assess

AGAIN = "Corriger la cause, puis relancer : il reprend."
BAD = {"cle": "services", "libelle": "Services", "verdict": "echec", "detail": "en panne", "mesures": {}}
GOOD = BAD | {"verdict": "ok"}
FIXED = BAD | {"remede": "systemctl status nginx"}


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (HostRun(rolled_out=True, proofs=[GOOD]), (True, "", "")),
        (
            HostRun(rolled_out=True),
            (False, "déployée, mais rien ne prouve qu'elle sert : le passage s'est arrêté avant", AGAIN),
        ),
        (HostRun(), (False, "le déploiement s'est arrêté avant cette machine", AGAIN)),
        (HostRun(proofs=[GOOD]), (False, "le déploiement s'est arrêté avant cette machine", AGAIN)),
        (HostRun(rolled_out=True, proofs=[GOOD, BAD, FIXED]), (False, "Services : en panne", AGAIN)),
        (HostRun(rolled_out=True, proofs=[FIXED, BAD]), (False, "Services : en panne", "systemctl status nginx")),
        (HostRun(incident={"raison": "plein"}), (False, "plein", AGAIN)),
        (HostRun(incident={"raison": "plein", "remede": "vider"}, proofs=[BAD]), (False, "plein", "vider")),
        (
            HostRun(rolled_out=True, refused=["date de l'an 1", "autre"], proofs=[FIXED]),
            (False, "réponse refusée : date de l'an 1", "Cette machine répond mal, ou ment : la vérifier."),
        ),
    ],
)
def test_the_first_reason_comes_with_its_fix(run: HostRun, told: tuple[Any, ...]) -> None:
    found = assess("documents", "ged", run)
    assert (found["pret"], found["raison"], found["remede"]) == told


@pytest.mark.parametrize(
    ("run", "state"),
    [
        (HostRun(), "non_atteint"),
        (HostRun(rolled_out=True), "deploye"),
        (HostRun(rolled_out=True, incident={"nature": "echec", "raison": "plein"}), "echec"),
    ],
)
def test_the_state_is_what_happened_last(run: HostRun, state: str) -> None:
    assert assess("documents", "ged", run)["etat"] == state
