"""What a person chose to publish, as the form says it."""

from __future__ import annotations

import datetime
import io
from typing import Any

import pytest
from creatic.deliberations import choice, hidden

from apps.deliberations.tests.test_hidden import pdf

ACT = pdf("Aide a Anne")
ANNEX = ("u1", "plan.docx.pdf", pdf("Plan", Author="Anne"))
DECIDED, TODAY = datetime.date(2026, 11, 20), datetime.date(2026, 11, 28)
RIGHT = {"objet": " Aide  sociale ", "document": "signe", "annexe_u1": "non"}


def read(mode: str = choice.ON_LINE, **changes: Any) -> choice.Choice:
    return choice.read(RIGHT | changes, ACT, [ANNEX], mode, DECIDED, TODAY)


def copy(text: str) -> io.BytesIO:
    return io.BytesIO(pdf(text))


def test_the_signed_document_alone() -> None:
    assert read() == choice.Choice("Aide sociale", True, None, (), None)


def test_an_annex_is_published_without_what_it_hides() -> None:
    [(name, content)] = read(annexe_u1="oui").annexes
    assert name == "plan.docx.pdf"
    assert hidden.revealed(content) == []


def test_copies_take_the_place_of_what_names_somebody() -> None:
    made = read(document="occulte", copie=copy("Aide a [occulte]"), annexe_u1="occulte", copie_u1=copy("[occulte]"))
    assert made.copy
    assert made.sentence() == "copie occultée, 1 annexe"
    assert [name for name, _content in made.annexes] == ["annexe-1.pdf"]  # a file's name may name somebody


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objet": " "}, "Objet publié : il est vide"),
        ({"document": ""}, "choisissez ce qui est publié"),
        ({"document": "hors_ligne"}, "choisissez ce qui est publié"),
        ({"document": "occulte"}, "joignez la copie occultée"),
        ({"document": "occulte", "copie": copy("Aide a Anne")}, "copie occultée : tout le texte"),
        ({"annexe_u1": ""}, "Annexe « plan.docx.pdf » : dites si elle est publiée"),
    ],
)
def test_what_is_not_said_is_asked(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(**changes)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"Objet publié.*Document publié.*Annexe"):
        read(objet="", document="", annexe_u1="")


def test_a_commune_that_posts_up_says_when_and_puts_nothing_on_line() -> None:
    for day in (DECIDED, datetime.date(2026, 11, 21), TODAY):
        made = read("affichage", document="hors_ligne", annexe_u1="oui", publie_le=day.isoformat())
        assert made == choice.Choice("Aide sociale", False, None, (), day)
    for told in ("", "2026-11-19", "2026-11-29"):
        with pytest.raises(ValueError, match="Affiché le :"):
            read("affichage", publie_le=told)


@pytest.mark.parametrize(
    ("since", "last"),
    [
        ("2026-07-01", "2026-08-31"),  # 61 days
        ("2026-02-01", "2026-03-31"),
        ("2026-12-31", "2027-02-27"),
        ("2026-10-15", "2026-12-14"),
        ("2026-11-02", "2027-01-01"),
    ],
)
def test_two_months_of_publication_go_from_day_to_day(since: str, last: str) -> None:
    begun, ended = datetime.date.fromisoformat(since), datetime.date.fromisoformat(last)
    assert choice.too_short(begun, ended)
    assert not choice.too_short(begun, ended + datetime.timedelta(days=1))


def test_how_it_was_published_in_words() -> None:
    day = datetime.date(2026, 3, 1)
    said = [choice.posted(mode, day) for mode in choice.MODES]
    assert said == ["", "Affichée le 1er mars 2026.", "Publiée sur papier le 1er mars 2026."]
    assert choice.posted("affichage", None) == ""
