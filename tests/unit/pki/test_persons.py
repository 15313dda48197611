"""A person's certificate: who it names, and whom it may not name."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.filter.persons import person_certificate
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request

HOSTS = [{"creatic_commune": {"slug": "loos", "nom": "Loos", "siren": "215903600"}}, {}]
GROUPEMENT = ("Centre de gestion", "285900015")


def test_someone_of_the_groupement() -> None:
    made = person_certificate("  Camille   Delattre ", HOSTS, "", *GROUPEMENT)
    assert made["subject"] == "CN=Camille Delattre,OU=0002 285900015,O=Centre de gestion,C=FR"
    Request.from_dict(made)


def test_an_agent_is_of_his_commune() -> None:
    made = person_certificate("Éléonore d'Œuf", HOSTS, "loos", *GROUPEMENT)
    assert made["subject"] == "CN=Éléonore d'Œuf,OU=0002 215903600,O=Commune de Loos,C=FR"
    assert made["commune"] == "loos"
    Request.from_dict(made)


def test_the_president_of_an_entity_has_a_certificate_at_its_siren_followed_with_its_commune() -> None:
    ccas = {"slug": "loos-ccas", "nom": "CCAS de Loos", "organisme": "CCAS de Loos", "siren": "265903609"}
    hosts = [{"creatic_commune": {**HOSTS[0]["creatic_commune"], "entites": [ccas | {"heberge_par": "loos"}]}}]
    made = person_certificate("Anne Petit", hosts, "loos-ccas", *GROUPEMENT)
    assert made["subject"] == "CN=Anne Petit,OU=0002 265903609,O=CCAS de Loos,C=FR"
    assert (made["commune"], made["siren"]) == ("loos", "265903609")
    with pytest.raises(AnsibleFilterError, match="« ccas »"):
        person_certificate("Anne Petit", hosts, "ccas", *GROUPEMENT)


def test_names_that_lose_their_accents_stay_two() -> None:
    assert (
        person_certificate("Rémi", HOSTS, "", *GROUPEMENT)["name"]
        != person_certificate("Remi", HOSTS, "", *GROUPEMENT)["name"]
    )


@pytest.mark.parametrize("name", ["Connecteur - Commune de Loos", "connecteur x", "Attestations d'archives", " ", "—"])
def test_a_service_s_name_is_refused(name: str) -> None:
    with pytest.raises(AnsibleFilterError, match="nom : "):
        person_certificate(name, HOSTS, "", *GROUPEMENT)


def test_an_unknown_commune_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="« lille »"):
        person_certificate("Camille", HOSTS, "lille", *GROUPEMENT)
