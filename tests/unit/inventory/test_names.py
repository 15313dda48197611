"""Names that a file writes are names: none is taken for a machine's, for two joined, or for another institution's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from creatic.registry import groupement
from creatic.registry.checked_yaml import Problem

SETTINGS = {"plugin": "cdg59.creatic.groupement", "departement": "059", "territoires": {"lille": "Lille"}}
COMMUNE: dict[str, Any] = yaml.safe_load("""
nom: Gondecourt
siren: "215902669"
insee: "59266"
territoire: lille
agents: 80
vague: 2
services: [teletransmission, parapheur, deliberations, ged]
postes:
  - nom: pc-mairie
    adresse: 10.59.2.10
    systeme: debian
    certificats: [{titulaire: Mairie, usage: authentification, source: groupement}]
connecteur: {adresse: 10.59.2.20, tdt: s2low}
comptes:
  - {identifiant: claire.dubois, prenom: Claire, nom: Dubois, courriel: claire@gondecourt.test}
entites:
  - nom: ccas
    libelle: CCAS de Gondecourt
    type: ccas
    siren: "265902668"
    president: {titulaire: claire.dubois}
    services: [teletransmission, parapheur, deliberations]
    comptes: [{identifiant: odile.faure, prenom: Odile, nom: Faure, courriel: odile@gondecourt.test}]
    parapheur: {redacteurs: [claire.dubois]}
""")
LOOS = {"nom": "Loos", "siren": "215903600", "insee": "59360", "territoire": "lille", "agents": 30, "vague": 1,
        "services": ["ged"], "postes": []}  # fmt: skip # a small commune


def told(folder: Path, *path: Any, value: Any, other: Any = None) -> list[Problem]:
    """What is told of a file with something in one place, beside another's."""
    (folder / "communes").mkdir(exist_ok=True)
    (folder / "groupement.yml").write_text(json.dumps(SETTINGS))
    whole = json.loads(json.dumps(COMMUNE))
    place = whole
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (folder / "communes/gondecourt.yml").write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
    if other:
        (folder / "communes/loos.yml").write_text(json.dumps(other))
    return groupement.check(folder)


HOLDERS: list[tuple[Any, ...]] = [
    ("postes", 0, "certificats", 0, "titulaire"),
    ("nom",),
    ("entites", 0, "libelle"),
]


def test_the_file_is_good_before(tmp_path: Path) -> None:
    assert told(tmp_path, "nom", value="Gondecourt", other=LOOS) == []


@pytest.mark.parametrize("path", HOLDERS)
@pytest.mark.parametrize(
    "name",
    [
        *("Machine - bergues-pc", "machine - x", "MACHINE–x", "Machine   -  x", "Machine\u00a0- x", "Ｍachine - x"),
        *("Mâchine - x", "Machıne - x", "𝐌achine - x", "Маchine - x", "Connecteur - Commune de Loos", "CONNECTEUR"),
        *("Cachet du parapheur", "AC émettrice", "Attestations des archives", "« Machine - x »", "Ⅿachine - x"),
        *("Горизонт", "Preuves de déploiement", "Ａ\uff23 émettrice"),
    ],
)
def test_no_text_is_the_name_of_a_machine_or_of_a_service(tmp_path: Path, path: tuple[Any, ...], name: str) -> None:
    found = told(tmp_path, *path, value=name)
    where = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in path).removeprefix(".")
    assert found and {one.field for one in found} == {where}
    assert all(one.fix for one in found)


def test_nor_are_a_first_name_and_a_name_together(tmp_path: Path) -> None:
    """The room of archives takes an elimination signed by who bears the maire's first name and name."""
    for path in (("comptes", 0), ("entites", 0, "comptes", 0)):
        value = {"identifiant": "x.y", "prenom": "Machine", "nom": "- bergues-pc", "courriel": "x@y.test"}
        found = [one for one in told(tmp_path, *path, value=value) if "réservé" in one.message]
        assert [one.field.rpartition(".")[2] for one in found] == ["prenom"]


@pytest.mark.parametrize("name", ["Claire Dubois", "Łukasz Nowak", "Service des assemblées", "Zoé d'Haÿ-l'Œuvre", "M2"])
def test_people_and_services_of_a_mairie_are_named(tmp_path: Path, name: str) -> None:
    assert told(tmp_path, *HOLDERS[0], value=name) == []


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        *(("Mairie ∙ Accueil", "∙"), ("Service → élus ↔ agents", "↔"), ("M. Dupont ¶", "¶"), ("Agence ¤2", "¤")),
        *(("Marq\u0331 Petit", "\u0331"), ("Mairie … accueil ∙", "∙")),
    ],
)
def test_a_name_that_the_authority_refuses_is_refused_where_it_is_written(tmp_path: Path, name: str, sign: str) -> None:
    from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, Request

    with pytest.raises(PkiError):
        Request("agent", "client", name, "Commune de Loos", "215903469").check()
    [found] = told(tmp_path, *HOLDERS[0], value=name)
    assert found.field == "postes[0].certificats[0].titulaire" and f"U+{ord(sign):04X}" in found.message
    assert "communes/gondecourt.yml" in str(found) and "À faire : retirez ce signe" in str(found)


@pytest.mark.parametrize("name", ["C0nnecteur de Loos", "Parapheurs Loos", "Passere1le", "H o r o d a t a g e"])
def test_what_doors_read_as_a_service_is_refused_where_it_is_written(tmp_path: Path, name: str) -> None:
    [found] = told(tmp_path, *HOLDERS[0], value=name)
    assert "se lit comme tel" in found.message and found.fix


def test_nor_does_an_account_bear_a_sign_that_no_certificate_may(tmp_path: Path) -> None:
    value = {"identifiant": "x.y", "prenom": "Anne", "nom": "Petit¶", "courriel": "x@y.test"}
    [found] = told(tmp_path, "entites", 0, "comptes", 0, value=value)
    assert found.field == "entites[0].comptes[0].prenom" and "U+00B6" in found.message


def test_a_name_that_a_mac_writes_is_as_good(tmp_path: Path) -> None:
    assert told(tmp_path, *HOLDERS[0], value="Secre\u0301tariat ge\u0301ne\u0301ral") == []


def test_a_certificate_of_a_pc_is_not_called_as_the_machine_s_own(tmp_path: Path) -> None:
    [found] = told(tmp_path, *HOLDERS[0], value="Flotte")
    assert "réservé" in found.message


@pytest.mark.parametrize("path", HOLDERS[1:])
@pytest.mark.parametrize("dash", ["-", "–", "—", "‑", "−", "－", "~", "--"])
@pytest.mark.parametrize("space", [" ", "\u00a0", "\u2009", "\u202f", "\u3000"])
def test_a_name_is_not_two(tmp_path: Path, path: tuple[Any, ...], dash: str, space: str) -> None:
    """GED and parapheur write « commune - service »."""
    [found] = told(tmp_path, *path, value=f"Bergues{space}{dash}{space}Secrétariat général")
    assert found.field.endswith(path[-1]) and "tiret entre deux espaces" in found.message


@pytest.mark.parametrize("name", ["Bergues -", "- Bergues"])
def test_nor_half_of_two(tmp_path: Path, name: str) -> None:
    assert [one.field for one in told(tmp_path, "nom", value=name)] == ["nom"]


@pytest.mark.parametrize("name", ["LOOS", "Lôos", "Ｌoos", "« Loos »", "Lo\u0301os"])
def test_two_communes_have_two_names(tmp_path: Path, name: str) -> None:
    assert "le nom" in str(told(tmp_path, "nom", value=name, other=LOOS)[0])


@pytest.mark.parametrize("name", ["Loos", "loos", "Commune de Loos", "COMMUNE DE LOOS"])
def test_an_entity_has_the_name_of_no_commune_nor_of_its_certificates(tmp_path: Path, name: str) -> None:
    found = told(tmp_path, "entites", 0, "libelle", value=name, other=LOOS)
    assert found and all("déjà" in one.message for one in found)


@pytest.mark.parametrize(("path", "field"), [((), "services"), (("entites", 0), "entites[0].services")])
def test_what_is_adopted_is_signed_before_it_is_transmitted(tmp_path: Path, path: tuple[Any, ...], field: str) -> None:
    found = told(tmp_path, *path, "services", value=["teletransmission", "deliberations"])
    [one] = [each for each in found if "sans signature" in each.message]
    assert (one.file, one.field) == ("communes/gondecourt.yml", field)
    assert "ajoutez parapheur aux services" in one.fix
    for good in (["teletransmission"], ["deliberations"], ["teletransmission", "deliberations", "parapheur"]):
        assert not [each for each in told(tmp_path, *path, "services", value=good) if "sans signature" in each.message]


@pytest.mark.parametrize("name", ["root", "daemon", "_apt", "systemd-network", "sshd", "auditeur", "prestataire"])
def test_an_agent_s_account_on_a_pc_is_none_of_the_system_s(tmp_path: Path, name: str) -> None:
    """The agent's browser policies, certificates and token are given to that account."""
    assert [one.field for one in told(tmp_path, "postes", 0, "compte", value=name)] == ["postes[0].compte"]
    assert told(tmp_path, "postes", 0, "compte", value=f"agent.{name}") == []
