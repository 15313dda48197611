"""An act under one set of names, and what machines exchange and keep, as they wrote it before there was one."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
import yaml

from creatic_agent.act import DESCRIPTION, FILED, SERVERS, STAYS, SUMMARY, Act, ActError, File

DIGEST = "a" * 64
# As the deliberations' server announces one (GET /@adoptees), with what the chain does not go by.
ANNOUNCED: dict[str, Any] = {
    "uid": "3f2a", "reference": "deliberations:3f2a", "commune": "gondecourt", "siren": "215902669",
    "numero": "2026_012", "date": "2026-11-20", "objet": "Tarifs de l'école n° 2 : été", "matiere": "7.1",
    "transmission": "oui", "vote": "à l'unanimité", "quorum": True,
    "document": {"url": "https://d/doc", "sha256": DIGEST, "nom": "2026_012.pdf"},
    "annexes": [{"url": "https://d/plan", "sha256": DIGEST, "nom": "plan.pdf"}],
}  # fmt: skip # a table
# Rows of the passerelle's table (acte.donnees), as they were written before.
KEPT: list[dict[str, Any]] = [
    {"uid": "u", "circuit": "deliberation", "numero": "2026_1", "date": "2026-11-20", "objet": "o", "matiere": "",
     "transmission": "non", "document": {"url": "x", "sha256": DIGEST, "nom": "a.pdf"}, "annexes": []},
    {"circuit": "marche", "numero": "2026_2", "date": "2026-11-20", "objet": "o", "matiere": "1.1",
     "document": {"nom": "2026_2.pdf"}, "annexes": [{"piece": 0, "nom": "ccap.pdf", "sha256": DIGEST}]},
    {"circuit": "arrete", "numero": "AR/2026-3", "date": "2026-11-20", "objet": "o", "matiere": "6.1", "nature": "D",
     "transmission": "oui", "document": {"sha256": DIGEST, "nom": "x.pdf"}, "annexes": []},
]  # fmt: skip # a table


def test_one_act_has_one_name_for_each_thing_whatever_a_format_calls_it() -> None:
    act = Act.from_wire(ANNOUNCED)
    assert (act.number, act.subject, act.matter) == ("2026_012", "Tarifs de l'école n° 2 : été", "7.1")
    assert (act.commune, act.reference, act.uid) == ("gondecourt", "deliberations:3f2a", "3f2a")
    assert [one.name for one in act.files] == ["2026_012.pdf", "plan.pdf"] and act.goes
    for names in (SERVERS, DESCRIPTION, SUMMARY, FILED):
        written = yaml.safe_load(yaml.safe_dump(act.named(names)))
        again = Act.from_wire(written, names)
        assert all(getattr(again, field) == getattr(act, field) for field in names)
    assert act.named(DESCRIPTION)["classification"] == act.named(SUMMARY, "matter")["classification"] == "7.1"
    assert act.named(FILED) == {"numero": "2026_012", "date_acte": "2026-11-20", "objet": act.subject}


@pytest.mark.parametrize("row", KEPT)
def test_what_a_machine_kept_before_is_read_and_written_the_same(row: dict[str, Any]) -> None:
    assert json.loads(json.dumps(Act.from_wire(row).to_wire())) == row


def test_the_budget_of_a_deliberation_is_a_file_of_it_and_no_annex() -> None:
    told = ANNOUNCED | {"budget": {"url": "https://d/bp", "sha256": DIGEST, "nom": "bp.xml"}}
    act = Act.from_wire(told)
    assert [one.name for one in act.annexes] == ["plan.pdf"]
    assert [one.name for one in act.files] == ["2026_012.pdf", "plan.pdf", "bp.xml"]
    assert act.to_wire()["budget"] == told["budget"] and Act.from_wire(act.to_wire()).budget == act.budget
    with pytest.raises(ActError):
        Act.from_wire(ANNOUNCED | {"budget": "bp.xml"})


def test_what_is_empty_says_nothing() -> None:
    """Of the parapheur, that says the nature and the transmission of all; and of a row of which nothing is left."""
    act = Act.from_wire(KEPT[1] | {"nature": "", "transmission": None, "annexes": None, "document": {}})
    assert act.goes and act.nature == act.transmission == "" and act.main is None and act.files == ()
    assert set(act.to_wire()) == {"circuit", "numero", "date", "objet", "matiere", "annexes"}
    assert Act.from_wire({}) == Act() and not Act(transmission=STAYS).goes
    assert Act.from_wire({"numero": 3, "objet": ["a"], "date": {"a": 1}}) == Act()


def test_an_annex_that_is_no_file_is_never_left_out_in_silence() -> None:
    for annexes in (["plan.pdf"], [None], {"nom": "plan.pdf"}, 3):
        with pytest.raises(ActError, match=r"annexes|fichier de l'acte"):
            Act.from_wire(ANNOUNCED | {"annexes": annexes})
    with pytest.raises(ActError):
        Act.from_wire(ANNOUNCED | {"document": "2026_012.pdf"})
    assert File.from_wire({"nom": "a", "piece": "7"}).piece is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"date": "2026-11-20T18:30:00+01:00"}, ""),
        ({"number": " "}, "le champ « numero » manque."),
        ({"subject": ""}, "le champ « objet » manque."),
        ({"date": "2026-02-30"}, "le champ « date » n'est pas une date : « 2026-02-30 »."),
        ({"date": "2026-W47-5"}, "le champ « date » n'est pas une date : « 2026-W47-5 »."),
        ({"date": "20261120"}, "le champ « date » n'est pas une date : « 20261120 »."),
    ],
)
def test_what_every_act_has(changes: dict[str, str], told: str) -> None:
    whole: dict[str, Any] = {"number": "1", "subject": "o", "date": "2026-11-20"}
    assert Act(**whole | changes).problem() == told
    assert Act(**whole).problem("uid") == "le champ « uid » manque."


def test_nothing_changes_an_act_on_its_way() -> None:
    for one in fields(Act):
        with pytest.raises(FrozenInstanceError):
            setattr(Act(), one.name, "2")
