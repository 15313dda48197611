"""A person's certificate: who it names, and whom it may not name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.filter import persons
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request

from creatic.pki.authority import Authority

from .test_actions import _action, pki_ca

HOSTS = [{"creatic_commune": {"slug": "loos", "nom": "Loos", "siren": "215903600"}}, {}]
GROUPEMENT = ("Centre de gestion", "285900015")
NOWHERE = "/nulle-part"


def person_certificate(name: str, hosts: Iterable[Mapping[str, Any]], commune: str, *of: str) -> dict[str, Any]:
    return persons.person_certificate(name, hosts, commune, *of, *(() if len(of) > 2 else (NOWHERE,)))


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


def test_who_acts_for_two_organizations_has_two_certificates(authority: Authority, tmp_path: Path) -> None:
    folder = tmp_path / "personnes"

    def give(made: Mapping[str, Any]) -> dict[str, Any]:
        asked = {key: value for key, value in made.items() if key != "subject"}
        told = {"dir": str(authority.directory), "certificates_dir": str(folder), "certificates": [asked]}
        done: dict[str, Any] = _action(pki_ca.ActionModule, told).run(None, {})
        assert not done.get("failed"), done
        return done

    # As files were named, for the person alone.
    former = person_certificate("Camille Delattre", HOSTS, "loos", *GROUPEMENT) | {"name": "camille-delattre-6dbc6a"}
    give(former)
    again = person_certificate("Camille Delattre", HOSTS, "loos", *GROUPEMENT, str(folder))
    assert again == former and not give(again)["changed"]
    other = person_certificate("Camille Delattre", HOSTS, "", *GROUPEMENT, str(folder))
    assert other["name"].startswith("camille-delattre-centre-de-gestion-")
    give(other)
    with authority.registry.open() as book:
        assert [(row["organisme"], row["statut"]) for row in book.rows("commune != '' OR profil = 'client'")] == [
            ("Commune de Loos", "valide"),
            ("Centre de gestion", "valide"),
        ]
    next((folder / former["name"]).glob("current/cert.pem")).write_text("abîmé")
    with pytest.raises(AnsibleFilterError, match="illisible"):
        person_certificate("Camille Delattre", HOSTS, "", *GROUPEMENT, str(folder))


@pytest.mark.parametrize("name", ["Connecteur - Commune de Loos", "connecteur x", "Attestations d'archives", " ", "—"])
def test_a_service_s_name_is_refused(name: str) -> None:
    with pytest.raises(AnsibleFilterError, match="nom : "):
        person_certificate(name, HOSTS, "", *GROUPEMENT)


def test_an_unknown_commune_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="« lille »"):
        person_certificate("Camille", HOSTS, "lille", *GROUPEMENT)
