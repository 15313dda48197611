from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    PkiError,
    Request,
    person_name,
    siren_is_valid,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import HOLDERS, kind_of

GOOD: dict[str, Any] = {
    "name": "tdt",
    "profile": "client",
    "common_name": "Secrétariat général",
    "organization": "Commune d'Avesnes-les-Aubert",
    "siren": "215902669",
}


def test_subject_is_in_rgs_order() -> None:
    subject = Request.from_dict(GOOD).subject()
    assert [attribute.rfc4514_attribute_name for attribute in subject] == ["C", "O", "OU", "CN"]
    assert subject.rfc4514_string() == "CN=Secrétariat général,OU=0002 215902669,O=Commune d'Avesnes-les-Aubert,C=FR"


def test_a_server_has_no_siren_and_is_named_after_its_first_dns_name() -> None:
    data = {"name": "web", "profile": "server", "dns": ["TDT.creatic.test"], "siren": "215902669"}
    assert Request.from_dict(data).subject().rfc4514_string() == "CN=tdt.creatic.test,C=FR"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "../etc", "champ name"),
        ("name", "", "champ name"),
        ("profile", "clients", "« clients » est inconnu"),
        ("common_name", "", "champ common_name : manquant"),
        ("common_name", "x" * 65, "64 caractères"),
        ("common_name", "a\nb", "champ common_name"),
        ("organization", "", "champ organization : manquant"),
        ("siren", "215902660", "« 215902660 » n'est pas un SIREN"),
        ("siren", "21590266", "n'est pas un SIREN"),
        ("siren", "", "champ siren : manquant"),
        ("dns", ["a.test"], "réservé aux certificats de serveur"),
        ("key_type", "dsa", "champ key_type"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, said: str) -> None:
    with pytest.raises(PkiError, match="certificat « ") as caught:
        Request.from_dict(GOOD | {field: value})
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b.test", "-a.test", "a..test", "*.creatic.test", "é.test", "a" * 64 + ".test"])
def test_a_wrong_dns_name_is_refused(name: str) -> None:
    with pytest.raises(PkiError, match="n'est pas un nom DNS"):
        Request.from_dict({"name": "web", "profile": "server", "common_name": "x", "dns": [name]})


@pytest.mark.parametrize("profile", ["server", "supervision"])
def test_a_server_without_a_name_is_refused(profile: str) -> None:
    with pytest.raises(PkiError, match="au moins un nom DNS"):
        Request.from_dict({"name": "web", "profile": profile, "common_name": "x"})


def test_a_machine_that_calls_others_is_nobody_s() -> None:
    """No SIREN, no organisation: services take it for nobody (creatic_agent.identity)."""
    data = {"name": "supervision", "profile": "supervision", "dns": ["veille"], "siren": "215902669"}
    assert Request.from_dict(data).subject().rfc4514_string() == "CN=veille,C=FR"


def test_luhn() -> None:
    assert siren_is_valid("215902669")
    assert not any(siren_is_valid(f"21590266{digit}") for digit in "012345678")


@pytest.mark.parametrize(
    "name",
    [
        "Machine - gondecourt-pc",
        "MACHINE–x",
        "Ｍachine - x",
        "Machıne - x",
        "Connecteur - Loos",
        "Cachet du x",
        "Flotte",
    ],
)
def test_a_reserved_name_is_of_those_who_say_so(name: str) -> None:
    """What a commune's file names says nothing, and is a person; the project's roles say what they ask for."""
    asked = {
        "name": "x",
        "profile": "client",
        "common_name": name,
        "organization": "Commune de Loos",
        "siren": GOOD["siren"],
    }
    for holder in ({}, {"holder": ""}, {"holder": "person"}, {"holder": "autre"}):
        with pytest.raises(PkiError, match=r"réservé aux machines|champ holder"):
            Request.from_dict(asked | holder)
    kind = kind_of(name)
    assert kind != "person" and Request.from_dict(asked | {"holder": kind}).common_name == name
    others = {*HOLDERS} - {kind}
    for other in others:
        with pytest.raises(PkiError, match="réservé aux machines"):
            Request.from_dict(asked | {"holder": other})


@pytest.mark.parametrize("name", ["Sceaux Marie", "MACHINET Paul", "Cacheteux Paul", "CACHET Dufour", "Ács Ilona"])
def test_a_person_whose_name_only_begins_as_a_reserved_one_is_a_person(name: str) -> None:
    assert Request.from_dict(GOOD | {"common_name": name}).holder == "person"
    assert person_name(name) == name


@pytest.mark.parametrize("holder", ["person", "connector", "machine", "service", "authority"])
def test_nobody_is_given_the_name_of_an_authority(holder: str) -> None:
    with pytest.raises(PkiError, match=r"réservé aux machines|champ holder"):
        Request.from_dict(GOOD | {"common_name": "AC émettrice Cre@tic", "holder": holder})
    with pytest.raises(PkiError, match="champ holder"):
        Request("x", "client", "AC émettrice Cre@tic", "Groupement Cre@tic", GOOD["siren"]).check()


@pytest.mark.parametrize("name", ["Маchine - x", "ᴍachine - x", "Mac\u00adhine - x", "Dubois\u202e", "Αdjoint"])
def test_a_name_is_of_letters_that_people_see_and_know(name: str) -> None:
    asked = {
        "name": "x",
        "profile": "client",
        "common_name": name,
        "organization": "Commune de Loos",
        "siren": GOOD["siren"],
    }
    with pytest.raises(PkiError, match="champ common_name"):
        Request.from_dict(asked)
    with pytest.raises(PkiError, match="champ organization"):
        Request.from_dict(asked | {"common_name": "Claire Dubois", "organization": name})


def test_a_request_is_the_same_once_written_and_read() -> None:
    for name in ("Machine - x", "Claire Dubois", "Connecteur - Loos"):
        asked = Request("x", "client", name, "Commune de Loos", GOOD["siren"])
        assert Request.from_dict(asked.to_dict()) == asked
