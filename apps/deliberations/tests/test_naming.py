"""What looks like a name is shown to who confirms a subject; a confirmation is of one text, for one title."""

from __future__ import annotations

import time

import pytest
from creatic.deliberations import naming


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("Secours d'urgence – famille DUPONT, 12 rue des Lilas", ["famille DUPONT", "12 rue des Lilas"]),
        ("Aide à MME DUPONT", ["MME DUPONT"]),
        ("Aide à Mr Dupont", ["Mr Dupont"]),
        ("Aide à M DUPONT", ["M DUPONT"]),
        ("Aide à M.DUPONT", ["M.DUPONT"]),
        ("Aide à Jean Dupont", ["Jean Dupont"]),
        ("Jean Dupont : remise gracieuse", ["Jean Dupont"]),
        ("DUPONT Jean – remise gracieuse", ["DUPONT Jean"]),
        ("Vente aux époux Martin", ["époux Martin"]),
        ("Mr.Dupont : remise gracieuse", ["Mr.Dupont"]),
        ("Mme.DUPONT", ["Mme.DUPONT"]),
        ("Secours à l'enfant léa", ["l'enfant léa"]),
        ("Recours d’époux martin", ["d’époux martin"]),
        ("Vente aux consorts de La Tour", ["consorts de La Tour"]),
        ("Succession Durand", ["Succession Durand"]),
        ("Recours de la veuve Lefèvre-d'Ormesson", ["veuve Lefèvre-d'Ormesson"]),
        ("Convention avec D’Hondt", ["D’Hondt"]),
        ("Vente à J. DUPONT", ["J. DUPONT"]),
        ("Remise à DUPONT", ["DUPONT"]),
        ("vente à mme dupont", ["mme dupont"]),
        ("Cession aux enfants Petit", ["enfants Petit"]),
        ("Protection de M. Éluard", ["M. Éluard"]),
        ("Délégation à M. Leroy", ["M. Leroy"]),  # an élu, or who shares their name: a person tells
        ("Aide\u00a0à\u00a0Mme\u00a0Dupont", ["Mme Dupont"]),
        ("Aide à Lefe\u0300vre", ["Lefèvre"]),
        ("Écrire à jean@exemple.fr ou 06 12 34 56 78", ["jean@exemple.fr", "06 12 34 56 78"]),
        ("Agent née le 12 mai 1980", ["née le 12 mai 1980"]),
        ("Budget primitif 2027", []),
        ("Approbation du PLU", []),
        ("Tarifs de la cantine", []),
        ("", []),
    ],
)
def test_what_looks_like_a_name_is_shown(subject: str, shown: list[str]) -> None:
    assert naming.apparent(subject) == shown


def test_a_long_text_full_of_names_is_read_in_a_moment() -> None:
    began = time.process_time()
    for text in ("M. Leroy " * 5000, "A" * 50_000, "1 rue " * 5000, "m de " * 10_000, "x@" * 20_000, "de A " * 10_000):
        naming.apparent(text)
    assert time.process_time() - began < 5


def kept(title: str, text: str) -> dict[str, str]:
    return {"texte": text, "empreinte": naming.digest(title, text), "par": "paul.renard", "le": "2026-12-01"}


def test_a_confirmation_falls_with_the_title_or_the_text_that_it_was_given_for() -> None:
    found = kept("Aide à Jean Dupont", "Aide à un particulier")
    assert naming.stands(found, "Aide à Jean Dupont")
    assert not naming.stands(found, "Aide à Jean Dupont et autres")
    assert not naming.stands(found | {"texte": "Aide à Jean Dupont"}, "Aide à Jean Dupont")
    assert not naming.stands(None, "")
    # Two texts are not one that says both.
    assert naming.digest("a", "b") != naming.digest("ab", "") != naming.digest("ab")


def test_a_name_that_was_not_shown_is_not_confirmed() -> None:
    text = "Vente aux époux Martin"
    assert naming.unseen(text, naming.digest(text)) == []
    assert naming.unseen(text, naming.digest("Vente d'une parcelle")) == ["époux Martin"]
    assert naming.unseen(text, "") == ["époux Martin"]
    assert naming.unseen("Vente d'une parcelle", "") == []


def test_what_nobody_confirmed_names_nobody() -> None:
    assert naming.apparent(naming.UNREAD) == []
