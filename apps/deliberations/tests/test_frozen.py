"""What no longer changes: from the first voice, the vote and the publication on."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from creatic.deliberations import frozen
from creatic.deliberations.frozen import Known

PENDING = {"title": "Subvention", frozen.STATE: "inscrit"}
HELD = {frozen.STATE: "ouverte"}
ENTERED = PENDING | {"pour": "Claire Dubois"}


@pytest.mark.parametrize("state", ["brouillon", "a_valider", "inscrit"])
def test_a_projet_changes_until_somebody_votes(state: str) -> None:
    assert frozen.of_projet(PENDING | {frozen.STATE: state}, HELD) is None


@pytest.mark.parametrize("state", frozen.ENDED)
def test_what_was_not_voted_takes_no_voice_once_its_meeting_is_over(state: str) -> None:
    found = frozen.of_projet(PENDING, {frozen.STATE: state})
    assert found
    assert found.refused(["pour", "title"]) == ["pour", "title"]


@pytest.mark.parametrize("side", frozen.VOTES)
def test_one_voice_fixes_the_text_and_not_the_voices(side: str) -> None:
    found = frozen.of_projet(PENDING | {side: "Claire Dubois"}, HELD)
    assert found
    assert found.refused(["title", "dispositif", *frozen.VOTES]) == ["title", "dispositif"]


@pytest.mark.parametrize("state", frozen.VOTED)
def test_what_is_decided_is_fixed_whole(state: str) -> None:
    found = frozen.of_projet(ENTERED | {frozen.STATE: state}, HELD)
    assert found
    assert found.refused(["title", "pour", "__ac_local_roles__"]) == ["title", "pour", "__ac_local_roles__"]


@pytest.mark.parametrize(
    ("state", "projets", "fixed"),
    [
        ("en_preparation", [PENDING], False),
        ("ouverte", [PENDING, ENTERED], True),
        ("ouverte", [PENDING | {frozen.STATE: "rejete"}], True),
        ("ouverte", [PENDING | {frozen.STATE: "adopte"}], True),
        ("close", [], True),
        ("sans_quorum", [], True),
    ],
)
def test_a_meeting_is_fixed_from_its_first_vote(state: str, projets: list[Known], fixed: bool) -> None:
    found = frozen.of_meeting({frozen.STATE: state}, projets)
    assert (found is not None) is fixed
    if found:
        assert found.refused(["date", "president", "presents"]) == ["date", "president", "presents"]


@pytest.mark.parametrize("state", ["convoquee", "ouverte"])
def test_what_a_convocation_says_is_fixed_when_it_is_sent(state: str) -> None:
    found = frozen.of_meeting({frozen.STATE: state}, [PENDING])
    assert found
    assert found.refused(["date", "presents", "heure", "president", "urgence_pour"]) == ["date", "heure"]


def test_a_published_deliberation_is_the_passerelles() -> None:
    found = frozen.of_publication({}, ours=True)
    assert found
    assert found.refused(["title", "file", "expiration_date"]) == ["title", "file", "expiration_date"]


def test_another_act_is_fixed_once_published_and_withdrawn_on_a_date() -> None:
    assert frozen.of_publication({frozen.STATE: "private", frozen.WAS_PUBLIC: ""}, ours=False) is None
    found = frozen.of_publication({frozen.STATE: "unpublished", frozen.WAS_PUBLIC: "oui"}, ours=False)
    assert found
    assert found.refused(["file", "expiration_date", "document_type"]) == ["file", "document_type"]


def test_what_changed_is_told_by_field() -> None:
    before = {"title": "a", "lieu": "b", "__ac_local_roles__": "", frozen.STATE: "ouverte"}
    now = {"title": "a", "lieu": "c", "heure": "18:30", "__ac_local_roles__": "x", frozen.STATE: "close"}
    assert frozen.differences(before, now) == ["lieu", "__ac_local_roles__", "heure"]
    assert frozen.differences(before, {"title": "a"}) == ["lieu"]


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ("Mairie", "École", "Lieu : Mairie → École"),
        ("Mairie", "", "Lieu : n'est plus « Mairie »"),
        ("", "École", "Lieu : École"),
        ("", "x" * 81, "Lieu : ajouté"),
        ("x" * 81, "y", "Lieu : modifié"),
        ("x" * 81, "", "Lieu : retiré"),
        ("False", "True", "Lieu : non → oui"),
    ],
)
def test_a_change_in_words(before: str, now: str, said: str) -> None:
    assert frozen.described("Lieu", before, now) == said


def test_what_is_put_off_to_a_second_meeting_keeps_its_subject() -> None:
    """No quorum is asked for it: under another subject, it would be another item (L2121-17)."""
    put_off = PENDING | {frozen.POSTPONED: "True"}
    assert "L2121-17" in frozen.kept_subject(put_off, ["dispositif", "title"])
    assert frozen.kept_subject(put_off, ["dispositif", "expose", "presents"]) == ""
    assert frozen.kept_subject(PENDING | {frozen.POSTPONED: "False"}, ["title"]) == ""
    assert frozen.kept_subject({}, ["title"]) == "", "a new one has the subject that it is given"
    assert frozen.of_projet(put_off, {frozen.STATE: "en_preparation"}) is None, "its annexes may still change"


@pytest.mark.parametrize(("name", "kind"), [("ISeance", "seance"), ("IProjet", "projet")])
def test_nothing_that_only_the_site_writes_goes_along_with_a_copy(name: str, kind: str) -> None:
    """Nor what was voted: a copy of an adopted projet that kept its follow-up would never leave."""
    source = Path(frozen.__file__).with_name("content.py").read_text(encoding="utf-8")
    [schema] = [one for one in ast.parse(source).body if isinstance(one, ast.ClassDef) and one.name == name]
    fields = [one for one in schema.body if isinstance(one, ast.Assign)]
    written = {
        target.id
        for one in fields
        for target in one.targets
        if isinstance(target, ast.Name) and isinstance(one.value, ast.Call)
        if any(word.arg == "readonly" for word in one.value.keywords)
    }
    assert written and written <= {*frozen.LIVED[kind]}
    assert {*frozen.VOTES, "presents", "pouvoirs"} <= {*frozen.LIVED["projet"]}
