"""The registry: what a good file gives, and what each mistake is told, word for word."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from creatic.registry import groupement
from creatic.registry.groupement import GroupementError

REPO = Path(__file__).parents[3]
SETTINGS = """---
plugin: cdg59.creatic.groupement
departement: "059"
adresses: 10.59.0.0/16
territoires:
  lille: Métropole de Lille
  cambresis: Cambrésis
"""
GONDECOURT = """---
nom: Gondecourt
siren: "215902669"
insee: "59266"
territoire: lille
agents: 80
vague: 2
services: [teletransmission, parapheur]
postes:
  - nom: pc-secretariat
    adresse: 10.59.2.10
    systeme: debian
    certificats:
      - titulaire: Secrétariat général
        usage: authentification
        source: groupement
connecteur:
  adresse: 10.59.2.20
  tdt: s2low
"""
PEOPLE = """comptes:
  - identifiant: claire.dubois
    prenom: Claire
    nom: Dubois
    courriel: claire@gondecourt.test
ged:
  services:
    - nom: Direction
      agents: [claire.dubois]
"""
CIRCUITS = (
    PEOPLE
    + """parapheur:
  redacteurs: [claire.dubois]
  maire: {titulaire: claire.dubois}
"""
)
LOGIN = "claire.dubois"
MAYOR = "  - {identifiant: marc.leroy, prenom: Marc, nom: Leroy, courriel: marc@gondecourt.test}\n"
COUNCIL = """deliberations:
  redacteurs: [claire.dubois]
  dgs: [claire.dubois]
  maire: marc.leroy
  elus: [Marc Leroy, Amina Benali]
"""
PUBLICATION = """  publication:
    mode: affichage
    deliberation: 2022_31a
"""
AVESNES = """---
nom: Avesnes-les-Aubert
siren: "215900374"
insee: "59037"
territoire: cambresis
agents: 30
vague: 1
services: [parapheur]
postes: []
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Make an inventory folder out of file contents, by name of file in communes/."""

    def make(settings: str = SETTINGS, **files: str | bytes) -> Path:
        (tmp_path / "communes").mkdir(exist_ok=True)
        (tmp_path / "groupement.yml").write_text(settings, encoding="utf-8")
        for name, content in files.items():
            raw = content if isinstance(content, bytes) else content.encode()
            (tmp_path / "communes" / f"{name.replace('_', '-')}.yml").write_bytes(raw)
        return tmp_path

    return make


def messages(directory: Path) -> list[str]:
    return [str(problem) for problem in groupement.check(directory)]


def changed(old: str, new: str, text: str = GONDECOURT) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


# What a good file gives


def test_no_supervision_asks_machines_that_nobody_reaches(write: Write) -> None:
    [away] = groupement.load(write(gondecourt=GONDECOURT + "acces: sortant\n"))
    assert [host.variables["creatic_supervision"] for host in away.hosts()] == [[], []]
    [reached] = groupement.load(write(gondecourt=GONDECOURT))
    assert not any("creatic_supervision" in host.variables for host in reached.hosts())


CARRIED = """  - nom: pc-accueil
    acces: installeur
    systeme: windows
    certificats:
      - {titulaire: Accueil, usage: authentification, source: groupement}
"""
FIRST = "postes:\n"


def test_a_pc_where_an_installer_is_carried_is_no_host(write: Write) -> None:
    for more in ("", "acces: sortant\n"):
        [commune] = groupement.load(write(gondecourt=changed(FIRST, FIRST + CARRIED) + more))
        assert "gondecourt-pc-accueil" not in [host.name for host in commune.hosts()]
        carried = next(commune.pcs())
        assert (carried.name, carried.is_carried) == ("gondecourt-pc-accueil", True)
        assert carried.groups == ("commune_pc", "systeme_windows")
        assert {*carried.variables} == {"creatic_poste"}, "it has no address"
        assert [one.is_carried for one in commune.pcs()] == [True, False]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "acces: installeur\n",
            "acces: installeur\n    adresse: 10.59.2.77\n",
            "postes[0].adresse : ce champ ne va pas avec acces: installeur : personne ne joint ce poste. À faire : "
            "supprimez-le, ou retirez acces: installeur.",
        ),
        ("acces: installeur\n", "acces: instaleur\n", "remplacez par « installeur » (valeurs possibles : installeur)."),
        (
            "    acces: installeur\n",
            "",
            "postes[0].adresse : champ obligatoire absent. À faire : écrivez l'adresse IP fixe de la machine, par "
            "exemple 10.59.2.10.",
        ),
    ],
)
def test_a_wrong_access_of_a_pc_is_told(write: Write, old: str, new: str, expected: str) -> None:
    told = messages(write(gondecourt=changed(FIRST, FIRST + changed(old, new, CARRIED))))
    assert len([one for one in told if expected in one]) == 1, told


def test_a_windows_pc_of_a_commune_that_nobody_reaches_has_its_installer_carried(write: Write) -> None:
    reached = changed("acces: installeur", "adresse: 10.59.2.77", CARRIED)
    [told] = messages(write(gondecourt=changed(FIRST, FIRST + reached) + "acces: sortant\n"))
    assert "écrivez acces: installeur à ce poste, sans adresse" in told


def test_a_new_commune_may_have_pcs_that_nobody_reaches(write: Write) -> None:
    target = groupement.new_commune(write(), "la-madeleine", **NEW, postes=["pc-mairie=installeur", "pc-compta"])
    found = yaml.safe_load(target.read_text(encoding="utf-8"))["postes"]
    assert [(one["systeme"], one.get("acces"), one.get("adresse")) for one in found] == [
        ("windows", "installeur", None),
        ("debian", None, "10.59.1.10"),
    ]


def test_a_commune_gives_its_variables_groups_and_hosts(write: Write) -> None:
    [commune] = groupement.load(write(gondecourt=GONDECOURT))
    assert commune.variables == {
        "slug": "gondecourt",
        "nom": "Gondecourt",
        "siren": "215902669",
        "insee": "59266",
        "territoire": "lille",
        "agents": 80,
        "vague": 2,
        "services": ["teletransmission", "parapheur"],
        "taille": "moyenne",
        "niveau": "intermediary",
        "departement": "059",
    }
    assert commune.group == "commune_gondecourt"
    assert commune.parents == (
        "territoire_lille",
        "taille_moyenne",
        "vague_2",
        "service_teletransmission",
        "service_parapheur",
    )
    pc, connector = commune.hosts()
    assert pc == groupement.Host(
        "gondecourt-pc-secretariat",
        ("commune_pc", "systeme_debian"),
        {
            "ansible_host": "10.59.2.10",
            "creatic_poste": {
                "nom": "pc-secretariat",
                "systeme": "debian",
                "compte": "agent",
                "certificats": [
                    {"titulaire": "Secrétariat général", "usage": "authentification", "source": "groupement"}
                ],
            },
        },
    )
    assert connector == groupement.Host(
        "gondecourt-connecteur",
        ("tdt_connector", "systeme_debian"),
        {"ansible_host": "10.59.2.20", "creatic_connecteur": {"tdt": "s2low"}},
    )


@pytest.mark.parametrize(
    ("agents", "size", "level"),
    [
        (1, "petite", "minimal"),
        (49, "petite", "minimal"),
        (50, "moyenne", "intermediary"),
        (100, "moyenne", "intermediary"),
        (101, "grande", "enhanced"),
        (100_000, "grande", "enhanced"),
    ],
)
def test_the_number_of_agents_gives_size_and_level(write: Write, agents: int, size: str, level: str) -> None:
    [commune] = groupement.load(write(gondecourt=changed("agents: 80", f"agents: {agents}")))
    assert (commune.variables["taille"], commune.variables["niveau"]) == (size, level)
    assert f"taille_{size}" in commune.parents


def test_a_commune_without_connector_nor_pc_is_accepted(write: Write) -> None:
    [commune] = groupement.load(write(avesnes_les_aubert=AVESNES))
    assert commune.group == "commune_avesnes_les_aubert"
    assert not list(commune.hosts())


def test_text_stays_text_whatever_yaml_1_1_makes_of_it(write: Write) -> None:
    text = changed("nom: Gondecourt", "nom: No").replace("Secrétariat général", "12:30")
    [commune] = groupement.load(write(gondecourt=text))
    assert commune.variables["nom"] == "No"
    assert next(commune.hosts()).variables["creatic_poste"]["certificats"][0]["titulaire"] == "12:30"


def test_corsica_and_overseas_have_their_insee_prefix(write: Write) -> None:
    settings = changed('"059"', '"02A"', SETTINGS)
    assert not messages(write(settings, gondecourt=changed('"59266"', '"2A004"')))
    settings = changed('"059"', '"974"', SETTINGS)
    assert not messages(write(settings, gondecourt=changed('"59266"', '"97411"')))


# What a mistake is told

CERTIFICATE = "        source: groupement\n"
MISTAKES = {
    "wrong SIREN key": (
        changed("215902669", "215902668"),
        "communes/gondecourt.yml, ligne 3, siren : la clé de « 215902668 » est fausse (elle vaut 9 si les "
        "8 premiers chiffres sont bons). À faire : recopiez le SIREN de la commune, par exemple depuis "
        "annuaire-entreprises.data.gouv.fr.",
    ),
    "short SIREN": (
        changed("215902669", "21590266"),
        'communes/gondecourt.yml, ligne 3, siren : la valeur « "21590266" » n\'est pas admise. À faire : écrivez '
        'les 9 chiffres entre guillemets, par exemple siren: "215902669".',
    ),
    "SIREN without quotes": (
        changed('"215902669"', "215902669"),
        "communes/gondecourt.yml, ligne 3, siren : la valeur « 215902669 » n'est pas un texte. À faire : écrivez "
        'les 9 chiffres entre guillemets, par exemple siren: "215902669".',
    ),
    "a SIRET of another SIREN": (
        changed('siren: "215902669"', 'siren: "215902669"\nsiret: "21590360000017"'),
        "communes/gondecourt.yml, ligne 4, siret : « 21590360000017 » n'est pas un SIRET du SIREN 215902669. À faire : "
        "recopiez le SIRET du siège, par exemple depuis annuaire-entreprises.data.gouv.fr.",
    ),
    "wrong SIRET key": (
        changed('siren: "215902669"', 'siren: "215902669"\nsiret: "21590266900012"'),
        "communes/gondecourt.yml, ligne 4, siret : la clé de « 21590266900012 » est fausse. À faire : recopiez le "
        "SIRET du siège, par exemple depuis annuaire-entreprises.data.gouv.fr.",
    ),
    "a SIREN in the place of a SIRET": (
        changed('siren: "215902669"', 'siren: "215902669"\nsiret: "215902669"'),
        'communes/gondecourt.yml, ligne 4, siret : la valeur « "215902669" » n\'est pas admise. À faire : écrivez les '
        '14 chiffres entre guillemets, par exemple siret: "21590266900013".',
    ),
    **{
        f"a site that is no origin: {one}": (
            changed('siren: "215902669"', f'siren: "215902669"\nsite_internet: "{one}"'),
            f'communes/gondecourt.yml, ligne 4, site_internet : la valeur « "{one}" » n\'est pas admise. À faire : '
            "écrivez https:// puis le nom du site en minuscules, sans rien après, par exemple site_internet: "
            "https://www.gondecourt.fr.",
        )
        for one in ("http://www.loos.fr", "https://www.loos.fr/", "https://loos.fr; script-src *", "https://*.fr")
    },
    "emoji in the name": (
        changed("nom: Gondecourt", "nom: Gondecourt \U0001f389"),
        "communes/gondecourt.yml, ligne 2, nom : la valeur « Gondecourt \U0001f389 » n'est pas admise. À faire : "
        "écrivez le nom officiel de la commune, sans accolades, émoji ni caractère invisible (80 caractères au plus).",
    ),
    "agents between quotes": (
        changed("agents: 80", 'agents: "80"'),
        'communes/gondecourt.yml, ligne 6, agents : la valeur « "80" » n\'est pas un nombre entier. À faire : '
        "écrivez le nombre d'agents en chiffres, sans guillemets, par exemple agents: 80.",
    ),
    "half an agent": (
        changed("agents: 80", "agents: 80.0"),
        "communes/gondecourt.yml, ligne 6, agents : la valeur « 80.0 » n'est pas un nombre entier. À faire : "
        "écrivez le nombre d'agents en chiffres, sans guillemets, par exemple agents: 80.",
    ),
    "no agent": (
        changed("agents: 80", "agents: 0"),
        "communes/gondecourt.yml, ligne 6, agents : la valeur « 0 » n'est pas admise. À faire : écrivez le "
        "nombre d'agents en chiffres, sans guillemets, par exemple agents: 80.",
    ),
    "INSEE code of another department": (
        changed('"59266"', '"62266"'),
        "communes/gondecourt.yml, ligne 4, insee : le code « 62266 » n'est pas dans le département 59. À faire : "
        "écrivez le code INSEE de la commune (pas le code postal) : il commence par 59.",
    ),
    "unknown territory": (
        changed("territoire: lille", "territoire: lile"),
        "communes/gondecourt.yml, ligne 5, territoire : le territoire « lile » n'est pas déclaré dans "
        "groupement.yml. À faire : remplacez par « lille » (territoires déclarés : lille, cambresis).",
    ),
    "territory like no other": (
        changed("territoire: lille", "territoire: bretagne"),
        "communes/gondecourt.yml, ligne 5, territoire : le territoire « bretagne » n'est pas déclaré dans "
        "groupement.yml. À faire : choisissez un territoire, ou déclarez-le (territoires déclarés : lille, "
        "cambresis).",
    ),
    "address that is none": (
        changed("10.59.2.10", "10.59.2.300"),
        "communes/gondecourt.yml, ligne 11, postes[0].adresse : « 10.59.2.300 » n'est pas une adresse IP. À "
        "faire : écrivez l'adresse IP fixe de la machine, par exemple 10.59.2.10.",
    ),
    "name of a box": (
        changed("10.59.2.10", "gondecourt.dyndns.example"),
        "communes/gondecourt.yml, ligne 11, postes[0].adresse : « gondecourt.dyndns.example » n'est pas une adresse "
        "IP. À faire : écrivez l'adresse IP de la machine sur le réseau de la commune ; si celle où on la joint change "
        "(une box sans adresse fixe), écrivez acces: sortant, et elle viendra d'elle-même au guichet "
        "(docs/exploitation.md, « Une box dont l'adresse change »).",
    ),
    "address of no machine": (
        changed("10.59.2.20", "127.0.0.1"),
        "communes/gondecourt.yml, ligne 18, connecteur.adresse : « 127.0.0.1 » ne peut pas être l'adresse d'une "
        "machine du réseau. À faire : écrivez l'adresse IP fixe de la machine, par exemple 10.59.2.10.",
    ),
    "the same address twice": (
        changed("10.59.2.20", "10.59.2.10"),
        "communes/gondecourt.yml, ligne 18, connecteur.adresse : l'adresse « 10.59.2.10 » est déjà dans "
        "communes/gondecourt.yml (postes[0].adresse). À faire : donnez une adresse par machine.",
    ),
    "agent of a service whom the commune does not have": (
        GONDECOURT + PEOPLE.replace("[claire.dubois]", "[claire.duboi]"),
        "communes/gondecourt.yml, ligne 28, ged.services[0].agents[0] : l'agent « claire.duboi » n'est pas "
        "dans comptes. À faire : remplacez par « claire.dubois » (identifiants de comptes : claire.dubois).",
    ),
    "service written twice": (
        GONDECOURT + PEOPLE + "    - {nom: direction, agents: []}\n",
        "communes/gondecourt.yml, ligne 29, ged.services[1].nom : le service « direction » est écrit deux fois. "
        "À faire : réunissez ses agents.",
    ),
    "signatory whom the commune does not have": (
        GONDECOURT + CIRCUITS.replace("titulaire: claire.dubois", "titulaire: anne.dubois"),
        "communes/gondecourt.yml, ligne 31, parapheur.maire.titulaire : le titulaire « anne.dubois » n'est pas "
        "dans comptes. À faire : remplacez par « claire.dubois » (identifiants de comptes : claire.dubois).",
    ),
    "rédacteur whom the commune does not have": (
        GONDECOURT + CIRCUITS.replace("redacteurs: [claire.dubois]", "redacteurs: [xavier]"),
        "communes/gondecourt.yml, ligne 30, parapheur.redacteurs[0] : le rédacteur « xavier » n'est pas dans comptes. "
        "À faire : ajoutez cette personne à comptes, ou retirez-la (identifiants de comptes : claire.dubois).",
    ),
    "somebody as their own deputy": (
        GONDECOURT + CIRCUITS.replace("claire.dubois}", "claire.dubois, suppleants: [claire.dubois]}"),
        "communes/gondecourt.yml, ligne 31, parapheur.maire.suppleants[0] : « claire.dubois » est déjà le titulaire. "
        "À faire : nommez quelqu'un d'autre, ou supprimez suppleants.",
    ),
    "circuit without who signs": (
        GONDECOURT + CIRCUITS.replace("  maire: {titulaire: claire.dubois}\n", ""),
        "communes/gondecourt.yml, ligne 29, parapheur.maire : champ obligatoire absent. À faire : écrivez titulaire, "
        "et suppleants s'il y en a.",
    ),
    "control of a circuit that has none": (
        GONDECOURT + CIRCUITS + "  controles: {arrete: {titulaire: claire.dubois}}\n",
        "communes/gondecourt.yml, ligne 32, parapheur.controles.arrete : champ inconnu. À faire : supprimez-le (champs "
        "possibles : pes, marche).",
    ),
    "login written twice": (
        GONDECOURT
        + PEOPLE.replace("ged:", "  - {identifiant: claire.dubois, prenom: C, nom: D, courriel: c@d.fr}\nged:"),
        "communes/gondecourt.yml, ligne 25, comptes[1].identifiant : l'identifiant « claire.dubois » est déjà dans "
        "communes/gondecourt.yml (comptes[0].identifiant). À faire : donnez un identifiant par personne.",
    ),
    "wrong mail address": (
        GONDECOURT + PEOPLE.replace("claire@gondecourt.test", "claire"),
        "communes/gondecourt.yml, ligne 24, comptes[0].courriel : la valeur « claire » n'est pas admise. À faire : "
        "écrivez l'adresse électronique de la personne, par exemple courriel: claire.dubois@gondecourt.fr.",
    ),
    "council's writer who is nobody": (
        GONDECOURT
        + PEOPLE
        + COUNCIL.replace("[claire.dubois]", "[claire.dubosi]", 1)
        .replace("marc.leroy", "claire.dubois")
        .replace("Marc Leroy", "Claire Dubois"),
        "communes/gondecourt.yml, ligne 30, deliberations.redacteurs[0] : le rédacteur « claire.dubosi » n'est pas "
        "dans comptes. À faire : remplacez par « claire.dubois » (identifiants de comptes : claire.dubois).",
    ),
    "mayor without an account": (
        GONDECOURT + PEOPLE + COUNCIL,
        "communes/gondecourt.yml, ligne 32, deliberations.maire : le maire « marc.leroy » n'est pas dans comptes. "
        "À faire : ajoutez cette personne à comptes, ou retirez-la (identifiants de comptes : claire.dubois).",
    ),
    "élu who reads and is nobody": (
        GONDECOURT + PEOPLE.replace("ged:\n", f"{MAYOR}ged:\n") + COUNCIL + "  acces_elus: [amina.benali]\n",
        "communes/gondecourt.yml, ligne 35, deliberations.acces_elus[0] : l'élu « amina.benali » n'est pas dans "
        "comptes. À faire : ajoutez cette personne à comptes, ou retirez-la (identifiants de comptes : claire.dubois, "
        "marc.leroy).",
    ),
    "élu who reads after the end of the mandate": (
        GONDECOURT + PEOPLE.replace("ged:\n", f"{MAYOR}ged:\n") + COUNCIL + "  acces_elus: [claire.dubois]\n",
        "communes/gondecourt.yml, ligne 35, deliberations.acces_elus[0] : « claire.dubois » est Claire Dubois, qui "
        "n'est pas dans elus. À faire : retirez-le si son mandat est fini ; sinon écrivez son nom dans elus comme "
        "dans comptes.",
    ),
    "élu who reads by two logins": (
        GONDECOURT
        + PEOPLE.replace("ged:\n", f"{MAYOR}{MAYOR.replace('identifiant: marc', 'identifiant: m')}ged:\n")
        + COUNCIL
        + "  acces_elus: [marc.leroy, m.leroy]\n",
        "communes/gondecourt.yml, ligne 36, deliberations.acces_elus[1] : « m.leroy » et « marc.leroy » sont deux "
        "identifiants de Marc Leroy. À faire : gardez-en un.",
    ),
    "publication of a larger commune": (
        GONDECOURT + PEOPLE.replace("ged:\n", f"{MAYOR}ged:\n") + COUNCIL + "  habitants: 3500\n" + PUBLICATION,
        "communes/gondecourt.yml, ligne 36, deliberations.publication : avec 3500 habitants, le conseil ne choisit pas "
        ": les actes sont mis en ligne (CGCT, L2131-1). À faire : retirez publication, ou corrigez habitants.",
    ),
    "publication of a commune of unknown size": (
        GONDECOURT + PEOPLE.replace("ged:\n", f"{MAYOR}ged:\n") + COUNCIL + PUBLICATION,
        "communes/gondecourt.yml, ligne 35, deliberations.publication : le conseil ne choisit que dans une commune de "
        "moins de 3 500 habitants (CGCT, L2131-1, IV), et leur nombre n'est pas écrit. À faire : ajoutez habitants: "
        "(ou habitants_publicite:) sous deliberations:, ou retirez publication.",
    ),
    "publication of a commune that counts otherwise for it": (
        GONDECOURT
        + PEOPLE.replace("ged:\n", f"{MAYOR}ged:\n")
        + COUNCIL
        + "  habitants: 3400\n  habitants_publicite: 3600\n"
        + PUBLICATION,
        "communes/gondecourt.yml, ligne 37, deliberations.publication : avec 3600 habitants, le conseil ne choisit pas "
        ": les actes sont mis en ligne (CGCT, L2131-1). À faire : retirez publication, ou corrigez "
        "habitants_publicite.",
    ),
    "a population in words": (
        GONDECOURT + PEOPLE.replace("ged:\n", f"{MAYOR}ged:\n") + COUNCIL + '  habitants_publicite: "3400"\n',
        "communes/gondecourt.yml, ligne 35, deliberations.habitants_publicite : la valeur "
        "« \"3400\" » n'est pas un nombre entier. À faire : écrivez un nombre d'habitants en chiffres, sans "
        "guillemets, par exemple habitants_publicite: 3400.",
    ),
    "postal code": (
        GONDECOURT + "code_postal: 59147\n",
        "communes/gondecourt.yml, ligne 20, code_postal : la valeur « 59147 » n'est pas un texte. À faire : "
        'écrivez le code postal de la mairie entre guillemets, par exemple code_postal: "59147".',
    ),
    "unknown key, mistyped": (
        changed("    adresse: 10.59.2.10", "    adress: 10.59.2.10"),
        "communes/gondecourt.yml, ligne 11, postes[0].adress : champ inconnu. À faire : remplacez par « adresse ».",
    ),
    "unknown key": (
        GONDECOURT + "maire: Untel\n",
        "communes/gondecourt.yml, ligne 20, maire : champ inconnu. À faire : supprimez-le (champs possibles : "
        "nom, siren, siret, site_internet, insee, code_postal, accord_versement, territoire, agents, vague, acces, "
        "services, postes, connecteur, formalites, comptes, ged, parapheur, deliberations, entites).",
    ),
    "a day that is none": (
        GONDECOURT + "formalites:\n  compte_tdt: {date: 2026-02-30, document: a.pdf}\n",
        "communes/gondecourt.yml, ligne 21, formalites.compte_tdt.date : le jour « 2026-02-30 » n'existe pas. À "
        'faire : écrivez année-mois-jour entre guillemets, par exemple date: "2026-03-02".',
    ),
    "an agreement and none": (
        GONDECOURT + "formalites:\n  accord_dgfip: {date: 2026-02-03, sans_objet: rien}\n",
        "communes/gondecourt.yml, ligne 21, formalites.accord_dgfip : il y faut date et document, ou sans_objet seul. "
        "À faire : complétez, ou retirez ce qui est de trop.",
    ),
    "a document elsewhere": (
        GONDECOURT + "formalites:\n  deliberation: {date: 2026-02-03, document: ../a.pdf}\n",
        "communes/gondecourt.yml, ligne 21, formalites.deliberation.document : la valeur « ../a.pdf » n'est pas "
        "admise. À faire : écrivez le nom du fichier, sans dossier ni accent, par exemple document: "
        "gondecourt-convention.pdf.",
    ),
    "missing key": (
        changed("vague: 2\n", ""),
        "communes/gondecourt.yml, vague : champ obligatoire absent. À faire : écrivez un nombre de 1 à 99, sans "
        "guillemets, par exemple vague: 2.",
    ),
    "PC without name": (
        changed("  - nom: pc-secretariat\n    adresse", "  - adresse"),
        "communes/gondecourt.yml, ligne 10, postes[0].nom : champ obligatoire absent. À faire : écrivez un nom "
        "en minuscules sans accent ni espace, par exemple nom: pc-secretariat.",
    ),
    "PC with an empty name": (
        changed("nom: pc-secretariat", "nom:"),
        "communes/gondecourt.yml, ligne 10, postes[0].nom : champ vide. À faire : écrivez un nom en minuscules "
        "sans accent ni espace, par exemple nom: pc-secretariat.",
    ),
    "PC without system": (
        changed("    systeme: debian\n", ""),
        "communes/gondecourt.yml, ligne 10, postes[0].systeme : champ obligatoire absent. À faire : écrivez le "
        "système du poste (valeurs possibles : debian, windows).",
    ),
    "PC with accents in its name": (
        changed("nom: pc-secretariat", "nom: pc-secrétariat"),
        "communes/gondecourt.yml, ligne 10, postes[0].nom : la valeur « pc-secrétariat » n'est pas admise. À "
        "faire : écrivez un nom en minuscules sans accent ni espace, par exemple nom: pc-secretariat.",
    ),
    "a line break at the end of a name": (
        changed("nom: pc-secretariat", "nom: |\n      pc-secretariat"),
        "communes/gondecourt.yml, ligne 10, postes[0].nom : la valeur « pc-secretariat� » n'est pas admise. À "
        "faire : écrivez un nom en minuscules sans accent ni espace, par exemple nom: pc-secretariat.",
    ),
    "PC named as the connector": (
        changed("nom: pc-secretariat", "nom: connecteur"),
        "communes/gondecourt.yml, ligne 17, connecteur.nom : le nom de machine « gondecourt-connecteur » est "
        "déjà dans communes/gondecourt.yml (postes[0].nom). À faire : donnez un autre nom au poste.",
    ),
    "host name too long for DNS": (
        changed("nom: pc-secretariat", f"nom: {'a' * 53}"),
        f"communes/gondecourt.yml, ligne 10, postes[0].nom : le nom de machine « gondecourt-{'a' * 49}… » est "
        "trop long. À faire : raccourcissez-le : 63 caractères au plus.",
    ),
    "unknown system": (
        changed("systeme: debian", "systeme: debain"),
        "communes/gondecourt.yml, ligne 12, postes[0].systeme : la valeur « debain » est inconnue. À faire : "
        "remplacez par « debian » (valeurs possibles : debian, windows).",
    ),
    "unknown service": (
        changed("parapheur]", "cantine]"),
        "communes/gondecourt.yml, ligne 8, services[1] : la valeur « cantine » est inconnue. À faire : "
        "choisissez parmi les services du groupement (valeurs possibles : teletransmission, parapheur, "
        "deliberations, ged, archivage).",
    ),
    "services that are no list": (
        changed("[teletransmission, parapheur]", "parapheur"),
        "communes/gondecourt.yml, ligne 8, services : la valeur « parapheur » n'est pas une liste. À faire : "
        "écrivez une liste entre crochets et sans doublon, par exemple services: [teletransmission, parapheur].",
    ),
    "no service": (
        changed("[teletransmission, parapheur]", "[]"),
        "communes/gondecourt.yml, ligne 8, services : la liste est vide. À faire : écrivez une liste entre "
        "crochets et sans doublon, par exemple services: [teletransmission, parapheur].",
    ),
    "the same service twice": (
        changed("[teletransmission, parapheur]", "[teletransmission, teletransmission]"),
        "communes/gondecourt.yml, ligne 8, services : la liste contient deux fois la même chose. À faire : "
        "écrivez une liste entre crochets et sans doublon, par exemple services: [teletransmission, parapheur].",
    ),
    "transmission without connector": (
        changed("connecteur:\n  adresse: 10.59.2.20\n  tdt: s2low\n", ""),
        "communes/gondecourt.yml, connecteur : champ obligatoire absent : la commune a le service "
        "teletransmission. À faire : ajoutez connecteur: avec adresse et tdt, ou retirez teletransmission des "
        "services.",
    ),
    "connector without fields": (
        changed("connecteur:\n  adresse: 10.59.2.20\n  tdt: s2low\n", "connecteur:\n"),
        "communes/gondecourt.yml, ligne 17, connecteur : champ vide. À faire : écrivez adresse et tdt, en retrait "
        "sous connecteur:.",
    ),
    "unknown TdT": (
        changed("tdt: s2low", "tdt: fast"),
        "communes/gondecourt.yml, ligne 19, connecteur.tdt : la valeur « fast » est inconnue. À faire : "
        "choisissez un tiers de télétransmission que le connecteur connaît (valeurs possibles : s2low).",
    ),
    "provider's file without its name": (
        changed(CERTIFICATE, "        source: fichier\n        secret: gondecourt.pass\n"),
        "communes/gondecourt.yml, ligne 14, postes[0].certificats[0].fichier : champ obligatoire absent. À faire : "
        "écrivez le nom du fichier .p12, sans dossier, par exemple fichier: gondecourt-mairie.p12.",
    ),
    "provider's file without password": (
        changed(CERTIFICATE, "        source: fichier\n        fichier: gondecourt.p12\n"),
        "communes/gondecourt.yml, ligne 14, postes[0].certificats[0].secret : champ obligatoire absent. À faire : "
        "écrivez le nom du fichier qui contient le mot de passe, jamais le mot de passe, par exemple secret: "
        "gondecourt-mairie.p12.pass.",
    ),
    "provider's file out of its folder": (
        changed(CERTIFICATE, "        source: fichier\n        fichier: ../x.p12\n        secret: x.pass\n"),
        "communes/gondecourt.yml, ligne 17, postes[0].certificats[0].fichier : la valeur « ../x.p12 » n'est pas "
        "admise. À faire : écrivez le nom du fichier .p12, sans dossier, par exemple fichier: "
        "gondecourt-mairie.p12.",
    ),
    "token without label": (
        changed(CERTIFICATE, "        source: jeton\n"),
        "communes/gondecourt.yml, ligne 14, postes[0].certificats[0].jeton : champ obligatoire absent. À faire : "
        "écrivez l'étiquette du jeton (32 caractères au plus) donnée par pkcs11-tool --list-slots.",
    ),
    "token for another source": (
        changed(CERTIFICATE, CERTIFICATE + "        jeton: mairie\n"),
        "communes/gondecourt.yml, ligne 17, postes[0].certificats[0].jeton : ce champ ne va qu'avec source: jeton. "
        "À faire : supprimez-le, ou écrivez source: jeton.",
    ),
    "file for another source": (
        changed(CERTIFICATE, CERTIFICATE + "        fichier: mairie.p12\n"),
        "communes/gondecourt.yml, ligne 17, postes[0].certificats[0].fichier : ce champ ne va qu'avec source: "
        "fichier. À faire : supprimez-le, ou écrivez source: fichier.",
    ),
    "secret without use": (
        changed(CERTIFICATE, CERTIFICATE + "        secret: mairie.pass\n"),
        "communes/gondecourt.yml, ligne 17, postes[0].certificats[0].secret : ce champ ne va pas avec source: "
        "groupement. À faire : supprimez-le, ou changez la source.",
    ),
    "the same key twice": (
        changed("agents: 80\n", "agents: 80\nagents: 800\n"),
        "communes/gondecourt.yml, ligne 7 : le champ « agents » est écrit deux fois au même niveau. À faire : "
        "gardez la bonne ligne et supprimez l'autre.",
    ),
    "YAML syntax error": (
        changed("[teletransmission, parapheur]", "[teletransmission, parapheur"),
        "communes/gondecourt.yml, ligne 8 : erreur de syntaxe YAML, près de « services: [teletransmission, "
        "parapheur ». À faire : vérifiez le retrait (des espaces, jamais de tabulation), l'espace après chaque "
        "deux-points, les guillemets et les crochets.",
    ),
    "tabulation": (
        changed("    systeme: debian", "\tsysteme: debian"),
        "communes/gondecourt.yml, ligne 12 : erreur de syntaxe YAML, près de « systeme: debian ». À faire : "
        "remplacez la tabulation par des espaces.",
    ),
    "two documents": (
        GONDECOURT + AVESNES,
        "communes/gondecourt.yml, ligne 20 : le fichier contient plusieurs documents YAML. À faire : gardez une "
        "seule ligne « --- », la première.",
    ),
    "alias": (
        changed("nom: Gondecourt", "nom: &n Gondecourt"),
        "communes/gondecourt.yml, ligne 2 : les renvois et balises YAML (&, *, !) ne sont pas admis. À faire : "
        "écrivez la valeur elle-même, entre guillemets si c'est un texte.",
    ),
    "tag": (
        changed("nom: Gondecourt", "nom: !vault Gondecourt"),
        "communes/gondecourt.yml, ligne 2 : les renvois et balises YAML (&, *, !) ne sont pas admis. À faire : "
        "écrivez la valeur elle-même, entre guillemets si c'est un texte.",
    ),
    "empty file": (
        "",
        "communes/gondecourt.yml : le fichier est vide. À faire : remplissez-le, ou supprimez-le.",
    ),
    "comments only": (
        "---\n# à remplir\n",
        "communes/gondecourt.yml : le fichier est vide. À faire : remplissez-le, ou supprimez-le.",
    ),
    "a list instead of fields": (
        "- Gondecourt\n",
        "communes/gondecourt.yml : le fichier ne contient pas de champs. À faire : écrivez un champ par ligne, "
        "« champ: valeur ».",
    ),
    "Latin-1": (
        GONDECOURT.encode("latin-1"),
        "communes/gondecourt.yml, ligne 14 : le fichier n'est pas en UTF-8. À faire : enregistrez-le avec "
        "l'encodage UTF-8.",
    ),
    "control character": (
        changed("nom: Gondecourt", "nom: Gonde\x07court"),
        "communes/gondecourt.yml, ligne 2 : caractère de contrôle interdit. À faire : effacez ce caractère invisible.",
    ),
    "far too big": (
        GONDECOURT + "#" * 70_000,
        "communes/gondecourt.yml : le fichier dépasse 64 Kio. À faire : vérifiez que c'est bien le fichier d'une "
        "commune.",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_once_with_its_file_field_and_fix(write: Write, case: str) -> None:
    text, expected = MISTAKES[case]
    assert messages(write(gondecourt=text)) == [expected]


def test_all_problems_of_all_files_come_together(write: Write) -> None:
    wrong = changed("agents: 80", "agents: x").replace("vague: 2", "vague: 0")
    found = groupement.check(write(gondecourt=wrong, vide="", avesnes_les_aubert=AVESNES + "x: 1\n"))
    assert [(problem.file, problem.field) for problem in found] == [
        ("communes/avesnes-les-aubert.yml", "x"),
        ("communes/gondecourt.yml", "agents"),
        ("communes/gondecourt.yml", "vague"),
        ("communes/vide.yml", ""),
    ]


def test_two_communes_share_neither_name_siren_insee_nor_address(write: Write) -> None:
    found = messages(write(gondecourt=GONDECOURT, zzz=GONDECOURT))
    fix = "À faire : corrigez celui des deux fichiers qui se trompe, ou supprimez le doublon."
    assert found == [
        f"communes/zzz.yml, ligne 2, nom : le nom « Gondecourt » est déjà dans communes/gondecourt.yml (nom). {fix}",
        "communes/zzz.yml, ligne 3, siren : le SIREN « 215902669 » est déjà dans communes/gondecourt.yml "
        f"(siren). {fix}",
        "communes/zzz.yml, ligne 4, insee : le code INSEE « 59266 » est déjà dans communes/gondecourt.yml "
        f"(insee). {fix}",
        "communes/zzz.yml, ligne 11, postes[0].adresse : l'adresse « 10.59.2.10 » est déjà dans "
        "communes/gondecourt.yml (postes[0].adresse). À faire : donnez une adresse par machine.",
        "communes/zzz.yml, ligne 18, connecteur.adresse : l'adresse « 10.59.2.20 » est déjà dans "
        "communes/gondecourt.yml (connecteur.adresse). À faire : donnez une adresse par machine.",
    ]


def test_one_ipv6_address_written_in_two_ways_is_one_address(write: Write) -> None:
    text = changed("10.59.2.10", '"fd59::2"').replace("10.59.2.20", '"fd59:0:0::2"')
    [message] = messages(write(gondecourt=text))
    assert "connecteur.adresse : l'adresse « fd59::2 » est déjà dans communes/gondecourt.yml" in message


def test_two_communes_cannot_make_the_same_host_name(write: Write) -> None:
    """a + b-c and a-b + c are both a-b-c."""
    other = AVESNES.replace("postes: []", "postes:\n  - {nom: c, adresse: 10.59.9.9, systeme: debian}")
    [message] = messages(write(a=changed("nom: pc-secretariat", "nom: b-c"), a_b=other))
    assert message == (
        "communes/a.yml, ligne 10, postes[0].nom : le nom de machine « a-b-c » est déjà dans "
        "communes/a-b.yml (postes[0].nom). À faire : donnez un autre nom au poste."
    )


def test_a_secret_written_in_the_file_is_not_shown(write: Write) -> None:
    text = changed(CERTIFICATE, "        source: fichier\n        fichier: x.p12\n        secret: Été 2024 !\n")
    [message] = messages(write(gondecourt=text))
    assert message == (
        "communes/gondecourt.yml, ligne 18, postes[0].certificats[0].secret : la valeur (masquée) n'est pas "
        "admise. À faire : écrivez le nom du fichier qui contient le mot de passe, jamais le mot de passe, par "
        "exemple secret: gondecourt-mairie.p12.pass."
    )


# Names of files


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "Gondécourt sur Œuf.yml",
            "le nom du fichier n'est pas admis. À faire : nommez-le en minuscules, chiffres et traits d'union, "
            "sans accent ni espace : gondecourt-sur-oeuf.yml.",
        ),
        ("gondecourt.yaml", "l'extension du fichier n'est pas .yml. À faire : renommez-le en gondecourt.yml."),
        ("pc.yml", "ce nom de fichier est réservé. À faire : donnez un autre nom, par exemple pc-commune.yml."),
    ],
)
def test_a_badly_named_file_is_refused_and_never_left_out(write: Write, name: str, expected: str) -> None:
    directory = write()
    (directory / "communes" / name).write_text(GONDECOURT, encoding="utf-8")
    assert messages(directory) == [f"communes/{name} : {expected}"]


def test_a_folder_and_a_dead_link_are_refused(write: Write) -> None:
    directory = write()
    (directory / "communes" / "nord").mkdir()
    (directory / "communes" / "x.yml").symlink_to("nowhere")
    (directory / "communes" / "y.yml").mkdir()
    assert messages(directory) == [
        "communes/nord : communes/ ne contient pas de dossiers. À faire : mettez les fichiers .yml dans communes/ "
        "même.",
        "communes/x.yml : le fichier est illisible. À faire : vérifiez qu'il existe et que vous avez le droit de "
        "le lire.",
        "communes/y.yml : ce n'est pas un fichier ordinaire. À faire : remplacez-le par un fichier texte.",
    ]


def test_what_is_no_commune_is_left_alone(write: Write) -> None:
    directory = write(gondecourt=GONDECOURT)
    for name in (".gondecourt.yml.swp", ".caché.yml", "LISEZMOI.md", "gondecourt.yml~"):
        (directory / "communes" / name).write_text("[", encoding="utf-8")
    assert [commune.slug for commune in groupement.load(directory)] == ["gondecourt"]


# groupement.yml


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            changed('departement: "059"', "departement: 59", SETTINGS),
            "groupement.yml, ligne 3, departement : la valeur « 59 » n'est pas un texte. À faire : écrivez le code "
            'sur trois caractères entre guillemets, par exemple departement: "059".',
        ),
        (
            changed("territoires", "territoire", SETTINGS),
            "groupement.yml, ligne 5, territoire : champ inconnu. À faire : remplacez par « territoires ».",
        ),
        (
            changed("  lille:", "  Métropole:", SETTINGS),
            "groupement.yml, ligne 6, territoires.Métropole : le nom « Métropole » n'est pas admis. À faire : "
            "écrivez le nom court du territoire en minuscules, chiffres et soulignés, sans accent.",
        ),
        (
            changed("10.59.0.0/16", "10.59.0.1/16", SETTINGS),
            "groupement.yml, ligne 4, adresses : « 10.59.0.1/16 » n'est pas une plage d'adresses. À faire : "
            "écrivez une plage IPv4 de /8 à /23, par exemple adresses: 10.59.0.0/16.",
        ),
        (
            changed("10.59.0.0/16", "10.59.0.0/24", SETTINGS),
            "groupement.yml, ligne 4, adresses : la plage « 10.59.0.0/24 » est trop grande ou trop petite. À faire : "
            "écrivez une plage IPv4 de /8 à /23, par exemple adresses: 10.59.0.0/16.",
        ),
    ],
)
def test_mistakes_in_groupement_yml_are_told(write: Write, settings: str, expected: str) -> None:
    assert messages(write(settings, gondecourt=GONDECOURT)) == [expected]


def test_missing_parts_are_told(tmp_path: Path) -> None:
    assert messages(tmp_path) == [
        "communes/ : le dossier est introuvable. À faire : créez le dossier communes/ à côté de groupement.yml.",
        "groupement.yml : le fichier est introuvable. À faire : créez-le, ou vérifiez le dossier de l'inventaire.",
    ]


# The cache


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of the commune files that were parsed, not found in the cache."""
    labels: list[str] = []
    real = groupement.check_commune

    def spy(source: groupement.Source, settings: dict[str, object] | None) -> dict[str, object] | None:
        labels.append(source.label)
        return real(source, settings)

    monkeypatch.setattr(groupement, "check_commune", spy)
    return labels


def test_the_cache_gives_the_same_and_parses_only_what_changed(write: Write, parsed: list[str]) -> None:
    directory = write(gondecourt=GONDECOURT, avesnes_les_aubert=AVESNES)
    cache = directory / "cache"
    cold = groupement.load(directory, cache)
    assert parsed == ["communes/avesnes-les-aubert.yml", "communes/gondecourt.yml"]
    parsed.clear()
    assert groupement.load(directory, cache) == cold == groupement.load(directory)
    parsed.clear()
    # same size, same modification time: only the content tells
    path = directory / "communes" / "gondecourt.yml"
    before = path.stat()
    path.write_text(changed("agents: 80", "agents: 81"), encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert groupement.load(directory, cache)[1].variables["agents"] == 81
    assert parsed == ["communes/gondecourt.yml"]


def test_the_cache_knows_what_judged_the_files(write: Write, parsed: list[str]) -> None:
    directory = write(gondecourt=GONDECOURT)
    groupement.load(directory, directory / "cache")
    write(changed('"059"', '"062"', SETTINGS))
    with pytest.raises(GroupementError, match="n'est pas dans le département 62"):
        groupement.load(directory, directory / "cache")


def test_the_cache_follows_the_name_of_the_file(write: Write) -> None:
    """The same content under a longer name makes a host name that is too long."""
    directory = write(gondecourt=GONDECOURT)
    groupement.load(directory, directory / "cache")
    (directory / "communes/gondecourt.yml").rename(directory / f"communes/{'a' * 60}.yml")
    with pytest.raises(GroupementError, match="est trop long"):
        groupement.load(directory, directory / "cache")


def test_what_files_cannot_share_is_checked_from_the_cache_too(write: Write) -> None:
    directory = write(gondecourt=GONDECOURT)
    groupement.load(directory, directory / "cache")
    write(zzz=changed("215902669", "215900374").replace("59266", "59037").replace("nom: Gond", "nom: X"))
    with pytest.raises(GroupementError) as raised:
        groupement.load(directory, directory / "cache")
    assert [problem.field for problem in raised.value.problems] == ["postes[0].adresse", "connecteur.adresse"]


@pytest.mark.parametrize("damage", ["empty", "cut", "foreign", "edited", "folder"])
def test_a_damaged_cache_is_ignored(write: Write, parsed: list[str], damage: str) -> None:
    directory = write(gondecourt=GONDECOURT)
    cold = groupement.load(directory, directory / "cache")
    [file] = (directory / "cache").iterdir()
    raw = file.read_bytes()
    if damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(
            {
                "empty": b"",
                "cut": raw[:-9],
                "foreign": b"\x00\xff",
                "edited": raw.replace(b'"agents": 80', b'"agents": 10'),
            }[damage]
        )
    parsed.clear()
    assert groupement.load(directory, directory / "cache") == cold
    assert parsed == ["communes/gondecourt.yml"]


def test_a_wrong_file_never_enters_the_cache(write: Write) -> None:
    directory = write(gondecourt=GONDECOURT, vide="")
    for _again in range(2):
        with pytest.raises(GroupementError, match="vide"):
            groupement.load(directory, directory / "cache")


# New communes

NEW: dict[str, Any] = {"siren": "215903683", "agents": "400", "territoire": "lille"}


def test_a_new_commune_is_written_and_loads(write: Write) -> None:
    directory = write(gondecourt=GONDECOURT)
    path = groupement.new_commune(
        directory,
        "la-madeleine",
        **NEW,
        vague="3",
        services=["teletransmission", "ged"],
        postes=["pc-finances=10.59.4.10", "pc-accueil"],
    )
    assert path == directory / "communes" / "la-madeleine.yml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert "# " in path.read_text(encoding="utf-8")
    commune = groupement.load(directory)[1]
    assert commune.variables == {
        "slug": "la-madeleine",
        "nom": "La Madeleine",
        "siren": "215903683",
        "insee": "59368",
        "territoire": "lille",
        "agents": 400,
        "vague": 3,
        "services": ["teletransmission", "ged"],
        "taille": "grande",
        "niveau": "enhanced",
        "departement": "059",
    }
    assert [(host.name, host.variables["ansible_host"]) for host in commune.hosts()] == [
        ("la-madeleine-pc-finances", "10.59.4.10"),
        ("la-madeleine-pc-accueil", "10.59.4.11"),
        ("la-madeleine-connecteur", "10.59.4.20"),
    ]
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["gondecourt.yml", "la-madeleine.yml"]


def test_what_makes_a_new_commune_ready_is_in_its_file(write: Write) -> None:
    """Without its comments, the file names the connector's own certificate; the PC's source says who refuses it."""
    directory = write()
    path = groupement.new_commune(directory, "la-madeleine", **NEW)
    text = path.read_text(encoding="utf-8")
    assert "un TdT de production (RGS) le refuse" in text
    path.write_text(
        re.sub(r"^  # (certificat:|  fichier: |  secret: )", r"  \1", text, flags=re.MULTILINE), encoding="utf-8"
    )
    [commune] = groupement.load(directory)
    wanted = {"fichier": "la-madeleine-connecteur.p12", "secret": "la-madeleine-connecteur.mdp"}
    assert commune.data["connecteur"]["certificat"] == wanted


def test_addresses_are_given_in_the_next_free_network(write: Write) -> None:
    directory = write(gondecourt=changed("10.59.2.10", "10.59.1.10"))
    groupement.new_commune(directory, "la-madeleine", **NEW, postes=["pc-a", "pc-b"])
    commune = groupement.load(directory)[1]
    assert [host.variables["ansible_host"] for host in commune.hosts()] == [
        "10.59.3.10",
        "10.59.3.11",
        "10.59.3.20",
    ]


def test_a_network_of_a_machine_of_no_commune_is_not_given(write: Write) -> None:
    directory = write(gondecourt=GONDECOURT)
    (directory / "servers.yml").write_text("all: {hosts: {exercice1: {ansible_host: 10.59.1.10}}}", encoding="utf-8")
    groupement.new_commune(directory, "la-madeleine", **NEW, postes=["pc-a"])
    commune = groupement.load(directory)[1]
    assert [host.variables["ansible_host"] for host in commune.hosts()] == ["10.59.3.10", "10.59.3.20"]


def test_a_commune_that_does_not_transmit_has_no_connector(write: Write) -> None:
    directory = write()
    groupement.new_commune(directory, "la-madeleine", **NEW, services=["ged"], postes=[])
    [commune] = groupement.load(directory)
    assert not list(commune.hosts())


@pytest.mark.parametrize("nom", ["L'Haÿ: les « Roses » # 1", "No", "-", "!x", "42"])
def test_any_name_is_written_so_that_it_reads_back(write: Write, nom: str) -> None:
    directory = write()
    groupement.new_commune(directory, "la-madeleine", **NEW, nom=nom)
    assert groupement.load(directory)[0].variables["nom"] == nom


def test_slugs_make_names() -> None:
    names = {"la-madeleine": "La Madeleine", "avesnes-les-aubert": "Avesnes-les-Aubert", "loos": "Loos"}
    assert {slug: groupement._proper_name(slug) for slug in names} == names


@pytest.mark.parametrize(
    ("slug", "arguments", "expected"),
    [
        (
            "gondecourt",
            {},
            "communes/gondecourt.yml : ce fichier existe déjà. À faire : modifiez-le, ou choisissez un autre nom.",
        ),
        (
            "../La Madeleine",
            {},
            "communes/../La Madeleine.yml : le nom du fichier n'est pas admis. À faire : nommez-le en minuscules, "
            "chiffres et traits d'union, sans accent ni espace : la-madeleine.yml.",
        ),
        (
            "la-madeleine",
            {"agents": "beaucoup"},
            "communes/la-madeleine.yml, agents : la valeur « beaucoup » n'est pas un nombre entier. À faire : "
            "écrivez le nombre d'agents en chiffres, sans guillemets, par exemple agents: 80.",
        ),
        (
            "la-madeleine",
            {"siren": "215903684"},
            "communes/la-madeleine.yml, siren : la clé de « 215903684 » est fausse (elle vaut 3 si les 8 premiers "
            "chiffres sont bons). À faire : recopiez le SIREN de la commune, par exemple depuis "
            "annuaire-entreprises.data.gouv.fr.",
        ),
        (
            "aaa",  # before gondecourt.yml, and yet the one at fault
            {"connecteur": "10.59.2.10"},
            "communes/aaa.yml, connecteur.adresse : l'adresse « 10.59.2.10 » est déjà dans "
            "communes/gondecourt.yml (postes[0].adresse). À faire : donnez une adresse par machine.",
        ),
    ],
)
def test_a_wrong_new_commune_is_refused_and_nothing_is_written(
    write: Write, slug: str, arguments: dict[str, str], expected: str
) -> None:
    directory = write(gondecourt=GONDECOURT)
    with pytest.raises(GroupementError) as raised:
        groupement.new_commune(directory, slug, **(NEW | {"postes": ["pc=10.59.8.10"]} | arguments))
    assert [str(problem) for problem in raised.value.problems] == [expected]
    assert [entry.name for entry in (directory / "communes").iterdir()] == ["gondecourt.yml"]
    assert (directory / "communes" / "gondecourt.yml").read_text(encoding="utf-8") == GONDECOURT


def test_a_file_that_appears_meanwhile_is_not_overwritten(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write()
    real = groupement.write

    def late(target: Path, content: bytes, mode: int, *, replace: bool) -> None:
        target.write_text("someone else's", encoding="utf-8")
        real(target, content, mode, replace=replace)

    monkeypatch.setattr(groupement, "write", late)
    with pytest.raises(GroupementError, match="vient d'être créé par quelqu'un d'autre"):
        groupement.new_commune(directory, "la-madeleine", **NEW)
    assert [entry.name for entry in (directory / "communes").iterdir()] == ["la-madeleine.yml"]
    assert (directory / "communes" / "la-madeleine.yml").read_text(encoding="utf-8") == "someone else's"


def test_without_a_range_addresses_must_be_given(write: Write) -> None:
    directory = write(changed("adresses: 10.59.0.0/16\n", "", SETTINGS))
    with pytest.raises(GroupementError) as raised:
        groupement.new_commune(directory, "la-madeleine", **NEW)
    assert str(raised.value) == (
        "groupement.yml, adresses : champ absent. À faire : donnez une adresse à chaque poste et au connecteur, ou "
        "ajoutez adresses: à groupement.yml."
    )
    groupement.new_commune(directory, "la-madeleine", **NEW, postes=["pc=10.1.1.1"], connecteur="10.1.1.2")


def test_a_full_range_is_told(write: Write) -> None:
    settings = changed("10.59.0.0/16", "10.59.2.0/23", SETTINGS)
    directory = write(settings, gondecourt=GONDECOURT.replace("10.59.2", "10.59.3"))
    with pytest.raises(GroupementError, match=r"plus de réseau /24 libre dans « 10\.59\.2\.0/23 »"):
        groupement.new_commune(directory, "la-madeleine", **NEW)


# Schema and documentation


def test_every_field_of_the_schema_says_how_to_write_it() -> None:
    schema = groupement.read_schema(groupement.COMMUNE_SCHEMA)
    for name, about, _required in groupement.fields(schema):
        assert about["x-correction"], name
        assert about["description"], name
        assert "items" in about or "properties" in about or "x-exemple" in about, name


def test_the_guide_shows_the_fields_of_the_schema() -> None:
    """On failure, replace the table of the guide by what groupement.fields_table() gives."""
    guide = (REPO / "docs" / "communes.md").read_text(encoding="utf-8")
    assert groupement.fields_table() in guide


def test_the_schema_is_plain_json_schema_for_editors() -> None:
    """An editor, or any validator, that ignores our x- keywords accepts the lab's files."""
    import jsonschema
    import yaml

    validator = jsonschema.Draft202012Validator(json.loads(groupement.COMMUNE_SCHEMA.read_text(encoding="utf-8")))
    for path in (REPO / "inventories").glob("*/communes/*.yml"):
        validator.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("address", "taken"),
    [
        ("claire.dubois@gondecourt.fr", True),
        ("c_d+ged@mairie-gondecourt.fr", True),
        ("hélène@gondecourt.fr", False),
        ("a..b@gondecourt.fr", False),
        (".a@gondecourt.fr", False),
        ("a@-gondecourt.fr", False),
        (f"{'a' * 65}@gondecourt.fr", False),
        ("a@gondecourt", False),
    ],
)
def test_an_address_that_no_relay_takes_is_refused_where_it_enters(address: str, taken: bool) -> None:
    """It would keep its commune's mails from leaving, for good."""
    schema = json.loads(groupement.COMMUNE_SCHEMA.read_text(encoding="utf-8"))["$defs"]["compte"]["properties"]
    assert bool(re.search(schema["courriel"]["pattern"], address)) is taken
    assert not re.search(schema["courriel"]["pattern"], f"{address}\n")
