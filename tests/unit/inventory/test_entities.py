"""The entities that a commune hosts: what servers are told of them, and what each mistake is told, word for word."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from creatic.applications import ged, parapheur
from creatic.check import inspection
from creatic.registry import entities, formalities, groupement, wiring
from creatic_agent import law

SETTINGS = """---
plugin: cdg59.creatic.groupement
departement: "059"
territoires: {lille: Métropole de Lille}
"""
COMMUNE = """---
nom: Gondecourt
siren: "215902669"
insee: "59266"
code_postal: "59147"
territoire: lille
agents: 80
vague: 2
services: [teletransmission, parapheur, deliberations, ged]
postes: []
connecteur: {adresse: 10.59.2.20, tdt: s2low}
comptes:
  - {identifiant: claire.dubois, prenom: Claire, nom: Dubois, courriel: claire@gondecourt.test}
  - {identifiant: paul.renard, prenom: Paul, nom: Renard, courriel: paul@gondecourt.test}
  - {identifiant: anne.petit, prenom: Anne, nom: Petit, courriel: anne@gondecourt.test}
parapheur: {redacteurs: [paul.renard], maire: {titulaire: claire.dubois}}
deliberations:
  redacteurs: [paul.renard]
  dgs: [paul.renard]
  maire: claire.dubois
  elus: [Claire Dubois, Anne Petit]
  acces_elus: [anne.petit]
"""
CCAS = """entites:
  - nom: ccas
    libelle: CCAS de Gondecourt
    type: ccas
    siren: "265902668"
    president: {titulaire: claire.dubois, suppleants: [odile.faure]}
    services: [teletransmission, parapheur, deliberations]
    comptes:
      - {identifiant: odile.faure, prenom: Odile, nom: Faure, courriel: odile@gondecourt.test}
    parapheur: {redacteurs: [odile.faure]}
    deliberations:
      redacteurs: [odile.faure]
      dgs: [paul.renard]
      elus: [Claire Dubois, Odile Faure]
      acces_elus: [odile.faure]
"""
OTHER = """---
nom: Loos
siren: "215903600"
insee: "59360"
territoire: lille
agents: 320
vague: 2
services: [ged]
postes: []
"""


PUBLICATION = "      publication: {mode: affichage, deliberation: 2022_31a}\n"


def write(folder: Path, commune: str = COMMUNE + CCAS, **others: str) -> Path:
    (folder / "communes").mkdir(exist_ok=True)
    (folder / "groupement.yml").write_text(SETTINGS, encoding="utf-8")
    for name, text in {"gondecourt": commune, **others}.items():
        (folder / f"communes/{name.replace('_', '-')}.yml").write_text(text, encoding="utf-8")
    return folder


def changed(old: str, new: str) -> str:
    assert CCAS.count(old) == 1
    return COMMUNE + CCAS.replace(old, new)


@pytest.fixture
def hosted(tmp_path: Path) -> dict[str, Any]:
    [commune] = groupement.load(write(tmp_path))
    [entity] = commune.variables["entites"]
    return dict(entity)


def test_a_commune_without_entities_says_nothing_of_them(tmp_path: Path) -> None:
    [commune] = groupement.load(write(tmp_path, COMMUNE))
    assert "entites" not in commune.variables


def test_an_entity_has_the_shape_of_a_commune(hosted: dict[str, Any]) -> None:
    head = {"titulaire": "claire.dubois", "suppleants": ["odile.faure"]}
    assert {key: value for key, value in hosted.items() if key != "comptes"} == {
        "slug": "gondecourt-ccas",
        "nom": "CCAS de Gondecourt",
        "organisme": "CCAS de Gondecourt",
        "siren": "265902668",
        "type": "ccas",
        "conseil": "conseil d'administration",
        "qualite": "président",
        "heberge_par": "gondecourt",
        "siren_commune": "215902669",
        "services": ["teletransmission", "parapheur", "deliberations"],
        "code_postal": "59147",
        "insee": "59266",
        "territoire": "lille",
        "agents": 80,
        "vague": 2,
        "taille": "moyenne",
        "niveau": "intermediary",
        "departement": "059",
        "president": head,
        "parapheur": {"redacteurs": ["odile.faure"], "maire": head},
        "deliberations": {
            "redacteurs": ["odile.faure"],
            "dgs": ["paul.renard"],
            "elus": ["Claire Dubois", "Odile Faure"],
            "acces_elus": ["odile.faure"],
            "maire": "claire.dubois",
        },
    }


@pytest.mark.parametrize("kind", ["syndicat", "ccas", "cias", "caisse_des_ecoles"])
def test_an_entity_chooses_how_its_acts_are_published(tmp_path: Path, kind: str) -> None:
    """Of a syndicat, whatever its population (L5211-3); no number of inhabitants is asked of it."""
    text = changed("      acces_elus: [odile.faure]\n", PUBLICATION).replace("type: ccas", f"type: {kind}")
    [commune] = groupement.load(write(tmp_path, text))
    [entity] = commune.variables["entites"]
    assert entity["deliberations"]["publication"]["mode"] == "affichage"


@pytest.mark.parametrize(("kind", "people"), [("ccas", 2900), ("syndicat", None)])
def test_the_inhabitants_of_a_ccas_are_its_communes(tmp_path: Path, kind: str, people: int | None) -> None:
    text = COMMUNE + "  habitants: 2900\n" + CCAS.replace("type: ccas", f"type: {kind}")
    [commune] = groupement.load(write(tmp_path, text))
    assert commune.variables["entites"][0]["deliberations"].get("habitants") == people


def test_the_kinds_of_the_files_are_those_of_the_law() -> None:
    schema = json.loads(groupement.COMMUNE_SCHEMA.read_text(encoding="utf-8"))
    assert sorted(schema["$defs"]["entite"]["properties"]["type"]["enum"]) == sorted(law.ENTITIES)


def test_its_people_are_its_own_and_those_of_the_commune_whom_it_names(hosted: dict[str, Any]) -> None:
    # Anne Petit sits in the commune's council alone.
    assert [one["identifiant"] for one in hosted["comptes"]] == ["claire.dubois", "paul.renard", "odile.faure"]


def test_it_has_no_machine_and_none_of_its_people_are_the_communes(tmp_path: Path) -> None:
    [without] = groupement.load(write(tmp_path, COMMUNE))
    [commune] = groupement.load(write(tmp_path))
    assert [*commune.hosts()] == [*without.hosts()]
    assert commune.variables["comptes"] == without.variables["comptes"]
    assert commune.parents == without.parents


MISTAKES = {
    "wrong key": (
        changed('"265902668"', '"265902667"'),
        "entites[0].siren : la clé de « 265902667 » est fausse (elle vaut 8 si les 8 premiers chiffres sont bons). "
        "À faire : recopiez le SIREN de la commune, par exemple depuis annuaire-entreprises.data.gouv.fr.",
    ),
    "the commune's SIREN": (
        changed('"265902668"', '"215902669"'),
        "entites[0].siren : le SIREN « 215902669 » est déjà dans communes/gondecourt.yml (siren). À faire : une "
        "entité a son propre SIREN : corrigez-le.",
    ),
    "agent unknown": (
        changed("parapheur: {redacteurs: [odile.faure]}", "parapheur: {redacteurs: [odile.faur]}"),
        "entites[0].parapheur.redacteurs[0] : le rédacteur « odile.faur » n'est pas dans comptes. À faire : remplacez "
        "par « odile.faure » (identifiants de comptes : claire.dubois, paul.renard, anne.petit, odile.faure).",
    ),
    "président unknown": (
        changed("titulaire: claire.dubois", "titulaire: jean.martin"),
        "entites[0].president.titulaire : le titulaire « jean.martin » n'est pas dans comptes. À faire : ajoutez cette "
        "personne à comptes, ou retirez-la (identifiants de comptes : claire.dubois, paul.renard, anne.petit, "
        "odile.faure).",
    ),
    "service that the commune lacks": (
        changed("services: [teletransmission, parapheur, deliberations]", "services: [parapheur, archivage]"),
        "entites[0].services : la commune n'a pas le service « archivage », l'entité qu'elle héberge ne peut pas "
        "l'avoir. À faire : ajoutez-le aux services de communes/gondecourt.yml, ou retirez-le de ceux de l'entité.",
    ),
    "parapheur without circuits": (
        changed("    parapheur: {redacteurs: [odile.faure]}\n", ""),
        "entites[0].parapheur : champ obligatoire absent : l'entité a le service parapheur. À faire : écrivez "
        "redacteurs, en retrait sous parapheur:, ou retirez parapheur des services de l'entité.",
    ),
    "a maire": (
        changed(
            "parapheur: {redacteurs: [odile.faure]}",
            "parapheur: {redacteurs: [odile.faure], maire: {titulaire: claire.dubois}}",
        ),
        "entites[0].parapheur.maire : champ inconnu. À faire : supprimez-le (champs possibles : redacteurs, "
        "delegataires, dgs, controles).",
    ),
    "no président": (
        changed("    president: {titulaire: claire.dubois, suppleants: [odile.faure]}\n", ""),
        "entites[0].president : champ obligatoire absent. À faire : écrivez titulaire, et suppleants s'il y en a.",
    ),
    "two seats with one login": (
        changed("acces_elus: [odile.faure]", "acces_elus: [anne.petit]").replace(
            "elus: [Claire Dubois, Odile Faure]", "elus: [Claire Dubois, Anne Petit]"
        ),
        "entites[0].deliberations.acces_elus[0] : « anne.petit » lit déjà les dossiers d'un conseil (la commune), un "
        "identifiant n'en lit qu'un. À faire : donnez-lui un second identifiant pour ce conseil, ou retirez-le ici.",
    ),
    "a reader who does not sit": (
        changed("elus: [Claire Dubois, Odile Faure]", "elus: [Claire Dubois]"),
        "entites[0].deliberations.acces_elus[0] : « odile.faure » est Odile Faure, qui n'est pas dans elus. À faire : "
        "retirez-le si son mandat est fini ; sinon écrivez son nom dans elus comme dans comptes.",
    ),
    "a name that would give rights": (
        changed("libelle: CCAS de Gondecourt", "libelle: Gondecourt - CCAS"),
        "entites[0].libelle : le libellé ne peut pas contenir un tiret entre deux espaces. À faire : écrivez-le "
        "autrement, par exemple CCAS de Gondecourt.",
    ),
    "a convocation too late": (
        changed("      acces_elus: [odile.faure]\n", "      convocation_jours: 2\n"),
        "entites[0].deliberations.convocation_jours : la loi veut 3 jours entre la convocation et la séance (R123-16 "
        "du CASF), pas 2. À faire : écrivez 3 ou plus, ou retirez ce champ.",
    ),
    "a CCAS that says that it helps nobody": (
        changed("      acces_elus: [odile.faure]\n", "      aides_individuelles: false\n"),
        "entites[0].deliberations.aides_individuelles : un CCAS décide d'aides à des personnes, sous le secret "
        "professionnel (L133-5 du CASF). À faire : retirez ce champ.",
    ),
    "a syndicat convened as a small commune": (
        changed("      acces_elus: [odile.faure]\n", "      convocation_jours: 3\n").replace(
            "type: ccas", "type: syndicat"
        ),
        "entites[0].deliberations.convocation_jours : la loi veut 5 jours entre la convocation et la séance (L5211-1), "
        "pas 3. À faire : écrivez 5 ou plus, ou retirez ce champ.",
    ),
    "a communauté that chooses how it publishes": (
        changed("      acces_elus: [odile.faure]\n", PUBLICATION).replace("type: ccas", "type: communaute"),
        "entites[0].deliberations.publication : son conseil ne choisit pas comment ses actes sont publiés : mise en "
        "ligne (L2131-1, III), quelle que soit sa population (L5211-3). À faire : retirez publication.",
    ),
    "a SIRET of its commune": (
        changed("    type: ccas\n", '    type: ccas\n    siret: "21590266900013"\n'),
        "entites[0].siret : « 21590266900013 » n'est pas un SIRET du SIREN 265902668. À faire : recopiez le SIRET du "
        "siège, par exemple depuis annuaire-entreprises.data.gouv.fr.",
    ),
    "an unknown key": (
        changed("    type: ccas\n", "    type: ccas\n    tutelle: aucune\n"),
        "entites[0].tutelle : champ inconnu. À faire : supprimez-le (champs possibles : nom, libelle, type, siren, "
        "siret, president, services, accord_versement, connecteur, formalites, comptes, ged, parapheur, "
        "deliberations).",
    ),
    "a person twice": (
        changed("{identifiant: odile.faure, prenom", "{identifiant: claire.dubois, prenom")
        .replace("[odile.faure]", "[claire.dubois]")
        .replace("      acces_elus: [claire.dubois]\n", "")
        .replace(", suppleants: [claire.dubois]", ""),
        "entites[0].comptes[0].identifiant : l'identifiant « claire.dubois » est déjà dans communes/gondecourt.yml "
        "(comptes[0].identifiant). À faire : donnez un identifiant par personne.",
    ),
    "a person called as the passerelle": (
        changed("{identifiant: odile.faure, prenom", "{identifiant: passerelle, prenom").replace(
            "odile.faure", "passerelle"
        ),
        "entites[0].comptes[0].identifiant : l'identifiant « passerelle » est déjà celui d'un programme du groupement. "
        "À faire : donnez celui de la personne, par exemple claire.dubois.",
    ),
    "a person called as a group of the site of the délibérations": (
        changed("{identifiant: odile.faure, prenom", "{identifiant: gondecourt-maire, prenom").replace(
            "odile.faure", "gondecourt-maire"
        ),
        "entites[0].comptes[0].identifiant : l'identifiant « gondecourt-maire » est déjà celui d'un groupe de "
        "gondecourt. À faire : donnez celui de la personne, par exemple claire.dubois.",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_once_at_its_place(tmp_path: Path, case: str) -> None:
    text, expected = MISTAKES[case]
    [problem] = groupement.check(write(tmp_path, text))
    assert (problem.file, bool(problem.line)) == ("communes/gondecourt.yml", True)
    assert str(problem).partition(f"ligne {problem.line}, ")[2] == expected


def test_two_entities_share_neither_name_nor_siren_nor_short_name(tmp_path: Path) -> None:
    again = CCAS.partition("\n")[2].partition("    comptes:")[0].replace(", suppleants: [odile.faure]", "")
    again = again.replace("[teletransmission, parapheur, deliberations]", "[teletransmission]")
    told = [problem.message for problem in groupement.check(write(tmp_path, COMMUNE + CCAS + again))]
    where = "est déjà dans communes/gondecourt.yml (entites[0]"
    assert sorted(told) == [
        f"le SIREN « 265902668 » {where}.siren)",
        f"le nom d'entité « gondecourt-ccas » {where}.nom)",
        f"le nom « CCAS de Gondecourt » {where}.libelle)",
    ]


def test_an_entity_does_not_take_the_place_of_a_commune(tmp_path: Path) -> None:
    other = OTHER.replace("Loos", "CCAS de Gondecourt").replace("215903600", "265902668")
    told = {str(problem) for problem in groupement.check(write(tmp_path, gondecourt_ccas=other))}
    assert any("le nom « gondecourt-ccas » est celui de communes/gondecourt-ccas.yml" in one for one in told)
    assert any("le SIREN « 265902668 » est déjà dans" in one for one in told)
    assert any("le nom « CCAS de Gondecourt » est déjà dans" in one for one in told)


def test_two_communes_share_no_entity(tmp_path: Path) -> None:
    """Gondecourt's « sud-ccas » and Gondecourt-Sud's « ccas » would be one name on every server."""
    first = (
        CCAS.partition("    comptes:")[0]
        .replace("nom: ccas", "nom: sud-ccas")
        .replace(", suppleants: [odile.faure]", "")
    )
    first = first.replace("[teletransmission, parapheur, deliberations]", "[teletransmission]")
    second = first.replace("nom: sud-ccas", "nom: ccas").replace("claire.dubois", "luc.roux")
    other = OTHER.replace("Loos", "Gondecourt-Sud") + (
        "comptes:\n  - {identifiant: luc.roux, prenom: Luc, nom: Roux, courriel: l@loos.test}\n" + second
    )
    told = {str(one) for one in groupement.check(write(tmp_path, COMMUNE + first, gondecourt_sud=other))}
    for words in ("le nom d'entité « gondecourt-sud-ccas »", "le SIREN « 265902668 »", "le nom « CCAS de Gondecourt »"):
        assert [one for one in told if words in one and "est déjà dans" in one], (words, told)


def test_there_are_as_many_as_a_commune_may_have(tmp_path: Path) -> None:
    entity = yaml.safe_load(CCAS)["entites"][0]
    many = [
        {key: entity[key] for key in ("type", "siren")}
        | {"nom": f"e{number}", "libelle": f"Entité {number}", "services": ["teletransmission"]}
        | {"president": {"titulaire": "claire.dubois"}}
        for number in range(50)
    ]
    whole = yaml.safe_load(COMMUNE) | {"entites": many}
    [told] = [str(one) for one in groupement.check(write(tmp_path, json.dumps(whole))) if one.field == "entites"]
    assert "20" in told


def test_what_the_schema_refuses_is_told_without_more(tmp_path: Path) -> None:
    for wrong in ("entites: []\n", "entites: ccas\n", "entites: [ccas]\n", "entites: [{nom: ccas}]\n"):
        told = groupement.check(write(tmp_path, COMMUNE + wrong))
        assert told
        assert all(problem.field.startswith("entites") and problem.fix for problem in told)


def test_its_formalities_and_its_providers_files_are_looked_at(tmp_path: Path) -> None:
    entity = CCAS + (
        "    connecteur: {certificat: {fichier: ccas.p12, secret: ccas.pass}}\n"
        '    formalites: {compte_tdt: {date: "2026-03-09", document: ccas-tdt.pdf}}\n'
    )
    [commune] = groupement.load(write(tmp_path, COMMUNE + entity))
    told = inspection.providers_files([commune], tmp_path / "secrets")
    assert [one.field for one in told] == [
        "entites[0].connecteur.certificat.fichier",
        "entites[0].connecteur.certificat.secret",
    ]
    found = formalities.problems(commune.data, tmp_path, file="communes/gondecourt.yml", today=dt.date(2026, 12, 1))
    assert [one.field for one in found] == ["entites[0].formalites.compte_tdt.document"]


def test_servers_serve_it_where_its_commune_has_a_machine(tmp_path: Path) -> None:
    [commune] = groupement.load(write(tmp_path))
    every = [*entities.with_entities([commune.variables])]
    assert [one["slug"] for one in every] == ["gondecourt", "gondecourt-ccas"]
    groups = {"commune_gondecourt": ["gondecourt-connecteur"], "commune_gondecourt_ccas": ["another"]}
    found = wiring.communes_of(groups, ["gondecourt-connecteur"], every)
    assert [one["nom"] for one in found] == ["Gondecourt", "CCAS de Gondecourt"]
    assert wiring.communes_of(groups, ["another"], every) == []


def test_its_archive_account_is_its_own_and_its_president_signs_eliminations(hosted: dict[str, Any]) -> None:
    [account] = wiring.archive_accounts([hosted | {"accord_versement": "AD59-2026-018"}], [], {"gondecourt-ccas": 50})
    assert account == {
        "nom": "gondecourt-ccas",
        "libelle": "CCAS de Gondecourt",
        "siren": "265902668",
        "deposants": ["Connecteur - CCAS de Gondecourt"],
        "accord": "AD59-2026-018",
        "signataire": "Claire Dubois",
        "siren_signataire": "215902669",
        "heberge_par": "gondecourt",
        "quota_mo": 50,
    }
    alone = {key: value for key, value in hosted.items() if key not in ("parapheur", "deliberations")}
    [account] = wiring.archive_accounts([alone], [], {})
    assert account["signataire"] == "Claire Dubois"


def test_the_tdt_and_the_passerelle_know_it_by_its_siren(hosted: dict[str, Any]) -> None:
    assert wiring.tdt_authorities([hosted], {"lille": "5"}) == [
        {"siren": "265902668", "nom": "CCAS de Gondecourt", "departement": "059", "arrondissement": "5"}
    ]
    [told] = wiring.passerelle_communes([hosted])
    assert (told["slug"], told["siren"], told["courriels"], told["heberge_par"]) == (
        "gondecourt-ccas",
        "265902668",
        ["claire@gondecourt.test", "paul@gondecourt.test"],
        "gondecourt",
    )


def test_one_who_works_for_both_has_one_account_of_the_communes(tmp_path: Path) -> None:
    [commune] = groupement.load(write(tmp_path))
    every = [*entities.with_entities([commune.variables])]
    for wanted in (
        parapheur.configuration(every),
        ged.configuration({"types": [], "plan": []}, every),
    ):
        people = {one["username"]: one["commune"] for one in wanted["users"] if one["commune"]}
        assert len(people) == len([one for one in wanted["users"] if one["commune"]])
        assert people["odile.faure"] == people["claire.dubois"] == "gondecourt"
    groups = parapheur.configuration(every)["groups"]
    assert groups["CCAS de Gondecourt [265902668]"] == ["claire.dubois", "odile.faure"]
    assert groups["Gondecourt [215902669]"] == ["claire.dubois", "paul.renard"]


def test_rights_of_one_do_not_reach_the_documents_of_the_other(tmp_path: Path) -> None:
    [commune] = groupement.load(write(tmp_path))
    every = [*entities.with_entities([commune.variables])]
    for one in parapheur.configuration(every)["acls"]:
        if one["kind"] == "document_type":
            assert [role[-12:] for role in one["roles"]] == [one["key"][-12:]]
    found = ged.configuration({"types": [], "plan": []}, every)["groups"]
    assert found["Gondecourt - Agents [215902669]"] == [
        "claire.dubois",
        "paul.renard",
    ]  # Anne only reads; Odile is the CCAS's
    # Odile reads the council's papers, and prepares them too.
    assert found["CCAS de Gondecourt - Agents [265902668]"] == ["claire.dubois", "odile.faure", "paul.renard"]


def test_the_guide_shows_an_entity_that_is_admitted(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[3] / "docs/communes.md").read_text(encoding="utf-8")
    shown = guide.partition("## Un CCAS, une caisse des écoles, un syndicat")[2].partition("```yaml\n")[2]
    text = shown.partition("```")[0]
    assert list(yaml.safe_load(text)) == ["entites"]
    whole = (
        COMMUNE.replace("ged]", "ged, archivage]").replace("anne.petit", "anne.bertrand").replace("Petit", "Bertrand")
    )
    whole = whole.replace(
        "comptes:\n",
        "comptes:\n  - {identifiant: karim.lefevre, prenom: Karim, nom: Lefèvre, courriel: k@gondecourt.test}\n",
    )
    assert groupement.check(write(tmp_path, whole + text)) == []


@pytest.mark.parametrize("login", ["gondecourt-ccas-dgs", "gondecourt-redacteurs", "loos-maire", "admin"])
def test_a_login_that_is_a_group_s_or_a_program_s_is_nobody_s(tmp_path: Path, login: str) -> None:
    """Plone gives rights to names: who bears that of a group of another commune would have its rights there."""
    person = f"comptes:\n  - {{identifiant: {login}, prenom: Luc, nom: Roux, courriel: luc@loos.test}}\n"
    with pytest.raises(groupement.GroupementError, match=f"l'identifiant « {login} » est déjà celui d'un"):
        groupement.load(write(tmp_path, loos=OTHER + person))


@pytest.mark.parametrize("login", ["jean.le-maire", "dgs", "maire", "loos.maire", "passerelle.roux"])
def test_a_login_that_only_looks_like_one_is_somebody_s(tmp_path: Path, login: str) -> None:
    person = f"comptes:\n  - {{identifiant: {login}, prenom: Luc, nom: Roux, courriel: luc@loos.test}}\n"
    groupement.load(write(tmp_path, loos=OTHER + person))
