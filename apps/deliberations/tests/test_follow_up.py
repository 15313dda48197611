"""What is told of an act after it was published: nothing comes back on line that a person took off."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from creatic.deliberations import choice

from apps.deliberations.tests.beside_plone import module

MADE = choice.Choice("Tarifs de la voirie", True, None, (), None)


class Projet(SimpleNamespace):
    @property
    def aq_base(self) -> Any:
        return self


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with what it puts on line in `put`."""
    found = module(monkeypatch, "publishing", "places", "gestures", "subjects", "watch")
    found.put = []
    monkeypatch.setattr(found, "_put_on_line", lambda projet, what, today: found.put.append(what["objet"]))
    monkeypatch.setattr(found, "_find_item", lambda projet: None)
    monkeypatch.setattr(found, "_find_publication", lambda projet: None)
    monkeypatch.setattr(found, "mode", lambda projet: choice.ON_LINE)
    monkeypatch.setattr(found, "goes_on_line", lambda projet: True)
    found.api.content.get_state.side_effect = lambda projet: projet.state
    found.api.content.transition.side_effect = lambda projet, transition: setattr(projet, "state", "publie")
    found.api.user.get_current.return_value.getId.return_value = "anne.petit"
    return found


@pytest.fixture
def projet() -> Projet:
    """Of what is not transmitted to the préfecture: executory once it is published."""
    return Projet(
        state="adopte", numero="2026_014", suivi="a_publier", non_transmis="voirie", document_signe=object(),
        date_reception=None, id_acte=None, reindexObject=lambda: None,
    )  # fmt: skip # one call by its parts


def told_again(site: Any, projet: Projet) -> None:
    """The connector failed to archive it, then it went: the passerelle tells its whole way again."""
    for state in ("en_erreur", "au_parapheur", "signee", "a_publier"):
        projet.suivi = state
        if site.rules.is_executory(projet.suivi, projet.non_transmis):
            site.publish(projet)


def test_an_act_that_a_person_took_off_stays_off_whatever_is_told_of_it(site: Any, projet: Projet) -> None:
    site.choose(projet, MADE)
    site.withdraw(projet, "il nomme un riverain")
    told_again(site, projet)
    assert site.put == ["Tarifs de la voirie"]
    assert projet.creatic_retrait["motif"] == "il nomme un riverain"


def test_what_is_public_is_not_published_anew_on_another_day(site: Any, projet: Projet) -> None:
    site.choose(projet, MADE)
    told_again(site, projet)
    assert site.put == ["Tarifs de la voirie"]


def test_who_chooses_again_puts_it_back_now_or_once_it_is_executory(site: Any, projet: Projet) -> None:
    site.choose(projet, MADE)
    site.withdraw(projet, "il nomme un riverain")
    projet.suivi = "en_erreur"
    site.choose(projet, choice.Choice("Tarifs", True, b"%PDF-", (), None))
    assert site.put == ["Tarifs de la voirie"]
    told_again(site, projet)
    assert site.put == ["Tarifs de la voirie", "Tarifs"]
    assert projet.creatic_retrait is None
    site.withdraw(projet, "encore un nom")
    told_again(site, projet)
    assert site.put == ["Tarifs de la voirie", "Tarifs"]


@pytest.mark.parametrize("kept", [{}, {"apres_retrait": False}])
def test_a_choice_of_before_this_was_kept_is_carried_out_once(kept: Mapping[str, Any]) -> None:
    assert choice.is_to_do(kept, published=False, withdrawn=False)
    assert not choice.is_to_do(kept, published=True, withdrawn=True)


def test_an_act_that_was_published_says_so_from_its_first_day(site: Any, projet: Projet) -> None:
    site.choose(projet, MADE)
    projet.creatic_publie["le"] = datetime.date(2026, 1, 5)
    told_again(site, projet)
    assert projet.creatic_publie["le"] == datetime.date(2026, 1, 5)


@pytest.fixture
def page(site: Any, projet: Projet) -> Any:
    """The page of its publication, for who chooses."""
    site.subjects.proposed.side_effect = lambda projet: "Tarifs de la voirie"
    site.api.user.get_roles.return_value = ["DGS"]
    site.meeting_of.return_value = SimpleNamespace(date=datetime.date(2026, 11, 26))
    projet.annexes = list
    projet.document_signe = SimpleNamespace(data=b"%PDF-")
    found = site.Publication()
    found.context = projet
    return found


def as_shown(page: Any) -> dict[str, str]:
    """The form, of a page that is opened now."""
    return {"objet": "Tarifs de la voirie", "document": choice.SIGNED, "vu": page.subject()["vu"]}


def test_a_page_of_before_an_act_was_taken_off_does_not_put_it_back(site: Any, projet: Projet, page: Any) -> None:
    before = as_shown(page)
    site.choose(projet, MADE)
    site.withdraw(projet, "il nomme un riverain")
    with pytest.raises(ValueError, match="depuis que cette page est ouverte"):
        page.note(before)
    assert len(site.put) == 1 and projet.creatic_retrait
    assert page.note(as_shown(page)) == "Délibération publiée."
    assert len(site.put) == 2


def test_a_page_of_before_a_copy_was_chosen_does_not_publish_the_original(site: Any, projet: Projet, page: Any) -> None:
    projet.suivi = "au_parapheur"
    before = as_shown(page)
    site.choose(projet, choice.Choice("Tarifs de la voirie", True, b"%PDF-", (), None))
    with pytest.raises(ValueError, match="depuis que cette page est ouverte"):
        page.note(before)
    assert projet.creatic_choix["copie"]
