"""What Ansible tells of a rollout, host by host: facts, and the words for them."""

from __future__ import annotations

import pytest

from creatic.evidence import follow
from creatic.evidence.follow import Follower, table
from creatic.evidence.rollout import HostRun, assess

from .conftest import GONDECOURT, new_run, proofs

PC, CONNECTOR = (host.name for host in GONDECOURT.hosts)


@pytest.fixture
def follower() -> Follower:
    made = Follower(new_run(hosts={name: HostRun() for name in (PC, CONNECTOR)}))
    assert made.begin("deploiement") == "Déploiement"
    return made


def test_what_was_done_is_counted_and_said(follower: Follower) -> None:
    for changed, counts in ((True, True), (False, True), (False, False)):
        follower.done(PC, {}, changed=changed, counts=counts)
    follower.done("ailleurs", {}, changed=True, counts=True)
    [line] = follower.end()
    assert line.startswith(f"   ✓ {PC} ") and "2 tâches, 1 changement " in line
    assert follower.end() == []
    follower.begin("preuves")
    follower.done(CONNECTOR, {"creatic_proof": {"preuves": proofs(GONDECOURT.hosts[1])}}, changed=False, counts=True)
    assert "4 preuves" in follower.end()[0]
    follower.conclude(set())
    assert [host.rolled_out for host in follower.run.hosts.values()] == [True, False]


@pytest.mark.parametrize(
    ("result", "reached", "said"),
    [
        ({"msg": "Connection timed out"}, False, ("injoignable", "l'hôte ne répond pas", "Vérifier que la machine")),
        ({"msg": "plein"}, True, ("échec", "plein", "Corriger la cause indiquée")),
        (
            {"msg": "déjà en cours. Attendre sa fin, puis relancer.", "creatic_lock_refused": True},
            True,
            ("refusé", "déjà en cours", "Attendre sa fin"),
        ),
    ],
)
def test_what_stopped_a_host_is_said(
    follower: Follower, result: dict[str, object], reached: bool, said: tuple[str, str, str]
) -> None:
    lines = follower.stopped(PC, "base | Ensure", result, reached=reached)
    assert [word in line for word, line in zip(said, lines, strict=True)] == [True] * 3
    assert lines[0] == f"   ✗ {PC} : {said[0]} (système : paquets, heure, journaux : « base | Ensure »)"
    assert follower.end() == [] and follower.begin("preuves")
    follower.stopped(CONNECTOR, "base | Ensure", result, reached=reached)
    assert follower.begin("preuves") == ""  # nobody is left
    follower.conclude({PC})
    assert [host.incident is None for host in follower.run.hosts.values()] == [False, True]


def test_the_table_says_what_is_missing(follower: Follower) -> None:
    follower.conclude({PC, CONNECTOR})
    shown = table({"gondecourt": assess(GONDECOURT, follower.run, {})}, 200, color=False)
    assert "Gondecourt" in shown and "une tâche commune à tous les hôtes a échoué" in shown.replace("│", "")


def test_communes_that_nobody_reaches_are_not_counted_by_a_state_that_does_not_know_them() -> None:
    """Their reports are: the line said « prêtes 1 / 2 » above a table where both were."""
    state = {"loos": {"equipee": True, "prete": True}, "bergues": {"equipee": False, "prete": False}}
    assert follow.readiness_summary(state, {"bergues"}) == (
        "Groupement, dernier état connu : équipées 1 / 1, prêtes 1 / 1, sans compter 1 en accès sortant "
        "(fab flotte.etat)."
    )
    assert follow.readiness_summary(state, ()).endswith("équipées 1 / 2, prêtes 1 / 2.")
