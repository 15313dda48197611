"""What a commune's file becomes: names, requests, policies."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.filter import commune_pc as filters
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import pc_organization

from .conftest import ISSUED, TOKEN

SIGNING = {"titulaire": "Secrétariat général", "usage": "signature", "source": "groupement"}
FILE = {
    "titulaire": "Mairie",
    "usage": "authentification",
    "source": "fichier",
    "fichier": "mairie.p12",
    "secret": "mairie.p12.pass",
}


SIGNING_TOKEN = {"titulaire": "Claire Dubois", "usage": "signature", "source": "jeton", "jeton": "maire"}


def test_only_the_groupement_s_certificates_are_issued() -> None:
    issued = filters.pc_issued([ISSUED, FILE, SIGNING, TOKEN], "Commune de Gondecourt", "215902669")
    assert [(one["name"], one["profile"], one["common_name"]) for one in issued] == [
        ("secretariat-general", "client", "Secrétariat général"),
        ("secretariat-general-signature", "signature", "Secrétariat général"),
    ]
    assert {(one["organization"], one["siren"]) for one in issued} == {("Commune de Gondecourt", "215902669")}


def test_a_name_whose_accents_are_written_apart_is_asked_as_it_is_certified() -> None:
    """Else the authority refuses what Windows asks, and browsers select a certificate that nobody has."""
    apart = SIGNING | {"titulaire": unicodedata.normalize("NFD", SIGNING["titulaire"])}
    assert filters.pc_issued([apart], "Commune de Loos", "215902669")[0]["common_name"] == SIGNING["titulaire"]
    assert filters.pc_holders([apart])[0]["subject_cn"] == SIGNING["titulaire"]


def test_each_source_says_where_it_is() -> None:
    stored = filters.pc_stored([ISSUED, FILE, TOKEN], "/etc/pki", "/secrets", ["215902669"])
    assert stored == [
        {"name": "Secrétariat général", "folder": "/etc/pki/secretariat-general/current"},
        {
            "name": "Mairie",
            "pkcs12": "/secrets/mairie.p12",
            "password_file": "/secrets/mairie.p12.pass",
            "sirens": ["215902669"],
        },
        {"name": "Finances", "token": "finances", "library": "/usr/lib/lecteur.so"},
    ]


@pytest.mark.parametrize(
    ("name", "organization"),
    [
        ("Gondecourt", "Commune de Gondecourt"),
        ("Avesnes-les-Aubert", "Commune d'Avesnes-les-Aubert"),
        ("Élincourt", "Commune d'Élincourt"),
        ("La Madeleine", "Commune de La Madeleine"),
    ],
)
def test_a_commune_is_named_in_french(name: str, organization: str) -> None:
    assert pc_organization(name) == organization


def test_the_policy_shows_one_holder_of_one_issuer_to_the_tdt_alone() -> None:
    stored: list[dict[str, Any]] = [
        {"subject_cn": "Secrétariat général", "issuer_cn": "AC émettrice", "client": True},
        {"subject_cn": "Sceau", "issuer_cn": "AC émettrice", "client": False},
    ]
    entries = filters.pc_auto_select(stored, "https://tdt.creatic.test:8443/accueil?x=1")
    assert [json.loads(entry) for entry in entries] == [
        {
            "pattern": "https://tdt.creatic.test:8443",
            "filter": {"ISSUER": {"CN": "AC émettrice"}, "SUBJECT": {"CN": "Secrétariat général"}},
        }
    ]


def test_an_unknown_issuer_is_left_out_of_the_policy() -> None:
    (entry,) = filters.pc_auto_select(filters.pc_holders([TOKEN, SIGNING]), "https://tdt.creatic.test")
    assert json.loads(entry)["filter"] == {"SUBJECT": {"CN": "Finances"}}


def test_registry_entries_are_numbered_from_one() -> None:
    values = filters.pc_registry(["a", "b"], "https://tdt.creatic.test")
    listed = [(one["name"], one["data"]) for one in values if one["key"] == "AutoSelectCertificateForUrls"]
    assert listed == [("1", "a"), ("2", "b")]


def test_the_watch_is_given_what_pki_client_did_not_issue() -> None:
    stored = [{"name": "Secrétariat général", "pem": "A"}, {"name": "Finances", "pem": "B"}]
    assert filters.pc_watched(stored, [ISSUED, TOKEN], "/watch") == [{"path": "/watch/finances.pem", "content": "B"}]


def test_a_key_that_signs_documents_is_for_signing_alone() -> None:
    """A browser that knew it would ask for its PIN at every site."""
    certificates = [ISSUED, TOKEN, SIGNING_TOKEN]
    assert [one["name"] for one in filters.pc_stored(certificates, "/etc/pki", "/secrets", ["215902669"])] == [
        "Secrétariat général",
        "Finances",
    ]
    assert filters.pc_security_devices(certificates) == {"finances": "/usr/lib/lecteur.so"}
    assert filters.pc_signing_tokens(certificates) == [
        {"titulaire": "Claire Dubois", "jeton": "maire", "bibliotheque": filters.OPENSC}
    ]


def test_a_signing_certificate_is_watched() -> None:
    assert filters.pc_watched_signatures([{"titulaire": "Claire Dubois", "pem": "A"}], "/watch") == [
        {"path": "/watch/claire-dubois-signature.pem", "content": "A"}
    ]


def test_a_token_without_a_maker_s_library_goes_by_opensc() -> None:
    token = {key: value for key, value in TOKEN.items() if key != "bibliotheque"}
    assert filters.pc_stored([token], "/etc/pki", "/secrets", ["215902669"])[0]["library"] == filters.OPENSC
    assert filters.pc_security_devices([token]) == {"finances": filters.OPENSC}
