"""What is asked of an audit: one machine, one commune, one level, one control."""

from __future__ import annotations

import pytest

from creatic.audit.asked import Question, answer, machines
from creatic.audit.sources import AuditError

from .conftest import Catalogue, example, found, results_of, target

RESULTS = example()
PC, CONNECTOR = "gondecourt-pc-secretariat", "gondecourt-connecteur"


def test_all_machines() -> None:
    titles, rows = answer(RESULTS, Question())
    assert [row[:4] for row in rows] == [
        [CONNECTOR, "Gondecourt", "intermediary", "auditée"],
        [PC, "Gondecourt", "intermediary", "injoignable"],
    ]
    assert titles[-1] == "Constaté" and [row[-1] for row in rows] == ["vue d'ici", "—"]


def test_one_machine_is_told_control_by_control() -> None:
    _titles, rows = answer(RESULTS, Question(machine=CONNECTOR))
    told = {row[0]: row[2:] for row in rows}
    assert list(told) == ["R3", "R9", "R30", "R61", "R68", "R75"]
    assert told["R68"] == ["non conforme", "test_yescrypt[gondecourt-connecteur] (echec)"]


@pytest.mark.parametrize("control", ["R68", "r68"])
def test_one_control_is_told_of_all_machines(control: str) -> None:
    _titles, rows = answer(RESULTS, Question(control=control))
    assert [(row[0], row[3]) for row in rows] == [(CONNECTOR, "non conforme"), (PC, "non vérifié")]


@pytest.mark.parametrize("commune", ["gondecourt", "GONDECOURT"])
def test_questions_add_up(commune: str) -> None:
    central = found(target=target("sae1", commune={}, level="high"), releve={"age_s": 7200, "remarque": ""})
    results = results_of([found(), central], Catalogue([]))
    assert [one["nom"] for one in machines(results, Question(commune=commune))] == [CONNECTOR]
    assert [one["nom"] for one in machines(results, Question(level="high"))] == ["sae1"]
    assert [one["nom"] for one in machines(results, Question(commune="serveurs centraux"))] == ["sae1"]
    assert machines(results, Question(commune=commune, level="high")) == []
    assert answer(results, Question(level="high"))[1][0][-1] == "relevé de 2 h"


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (
            Question(machine="gondecourt-conecteur"),
            f"« gondecourt-conecteur » n'est pas dans .* {CONNECTOR}",
        ),
        (Question(commune="wavrin"), "la commune « wavrin » n'est pas dans cet audit"),
        (Question(level="haut"), "le niveau « haut »"),
        (Question(control="R99"), "le contrôle « R99 »"),
    ],
)
def test_what_names_nothing_is_refused(question: Question, said: str) -> None:
    with pytest.raises(AuditError, match=said):
        answer(RESULTS, question)
