"""The plan de classement and the communes: what Mayan is asked for, and what each mistake is told, word for word."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import mayan_config

from creatic.applications import ged
from creatic.registry import groupement

ROLE = Path(__file__).parents[3] / "roles/mayan"
LAB = Path(__file__).parents[3] / "inventories" / "lab"
PLAN = """---
plan:
  - libelle: Assemblées
  - {libelle: Délibérations, parent: Assemblées}
  - {libelle: Séances, parent: Délibérations}
metadonnees:
  - {nom: numero, libelle: Numéro}
  - {nom: date_acte, libelle: Date de l'acte, format: date}
types:
  - {nom: acte, libelle: Acte, duree: 10, sort: conserver, metadonnees: [numero, date_acte], obligatoires: [numero]}
  - {nom: courrier, libelle: Courrier, duree: 5, sort: eliminer}
index:
  - {libelle: Par numéro, niveaux: [annee, numero]}
"""
LOOS = {
    "slug": "loos",
    "nom": "Loos",
    "siren": "215903600",
    "comptes": [
        {"identifiant": "anne.petit", "prenom": "Anne", "nom": "Petit", "courriel": "anne.petit@loos.test"},
        {"identifiant": "luc.roux", "prenom": "Luc", "nom": "Roux", "courriel": "luc.roux@loos.test"},
    ],
}
SERVICES = {
    "services": [
        {"nom": "Accueil", "agents": ["luc.roux"], "types": ["courrier"]},
        {"nom": "Direction", "agents": ["anne.petit"]},
    ]
}


def written(folder: Path, text: str) -> Path:
    file = folder / "ged.yml"
    file.write_text(text, encoding="utf-8")
    return file


def changed(old: str, new: str) -> str:
    assert PLAN.count(old) == 1
    return PLAN.replace(old, new)


def wanted(tmp_path: Path, *communes: dict[str, Any]) -> dict[str, Any]:
    return ged.configuration(ged.read_plan(written(tmp_path, PLAN)), communes)


def rights(found: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    return {(one["kind"], one["key"]): set(one["roles"]) for one in found["acls"]}


def test_a_commune_has_its_own_cabinets_types_and_indexes(tmp_path: Path) -> None:
    found = wanted(tmp_path, LOOS)
    assert found["cabinets"] == [
        ["Loos [215903600]"],
        ["Loos [215903600]", "Assemblées"],
        ["Loos [215903600]", "Assemblées", "Délibérations"],
        ["Loos [215903600]", "Assemblées", "Délibérations", "Séances"],
    ]
    kept, destroyed = found["document_types"]
    assert (kept["label"], kept["trash_time_period"], kept["delete_time_period"]) == (
        "Loos - Acte [215903600]",
        None,
        None,
    )
    assert kept["metadata"] == {"numero": True, "date_acte": False}
    assert (destroyed["trash_time_period"], destroyed["trash_time_unit"]) == (1825, "days")
    assert destroyed["delete_time_period"] is None
    [index] = found["indexes"]
    assert index == {
        "label": "Loos - Par numéro [215903600]",
        "document_types": ["Loos - Acte [215903600]", "Loos - Courrier [215903600]"],
        "levels": ["{{ document.datetime_created.year }}", "{{ document.metadata_value_of.numero }}"],
    }


def test_without_services_the_whole_commune_sees_its_documents(tmp_path: Path) -> None:
    found = wanted(tmp_path, LOOS)
    assert found["groups"] == {"Loos - Agents [215903600]": ["anne.petit", "luc.roux"]}
    assert rights(found)["document_type", "Loos - Acte [215903600]"] == {"Loos [215903600]"}


def test_the_passerelle_files_in_every_commune_and_has_no_other_right(tmp_path: Path) -> None:
    plan, other = (
        ged.read_plan(written(tmp_path, PLAN)),
        {"slug": "wavrin", "nom": "Wavrin", "siren": "215906539", "comptes": []},
    )
    without, found = ged.configuration(plan, [LOOS, other]), ged.configuration(plan, [LOOS, other], "passerelle")
    assert [one["username"] for one in found["users"]] == ["anne.petit", "luc.roux", "passerelle"]
    assert (found["groups"]["Passerelle"], found["roles"]["Passerelle"]) == (["passerelle"], ["Passerelle"])
    given = {what for what, roles in rights(found).items() if "Passerelle" in roles}
    assert given == {what for what in rights(found) if what[0] in ("document_type", "cabinet")}
    for one in found["acls"]:
        one["roles"].pop("Passerelle", None)
    assert found["acls"] == without["acls"]


def test_a_service_sees_its_types_only(tmp_path: Path) -> None:
    given = rights(wanted(tmp_path, LOOS | {"ged": SERVICES}))
    assert given["document_type", "Loos - Courrier [215903600]"] == {"Loos [215903600]"}
    assert given["document_type", "Loos - Acte [215903600]"] == {"Loos - Direction [215903600]"}


def test_nothing_of_a_commune_is_given_to_another(tmp_path: Path) -> None:
    """Each object of a commune is given to roles whose groups are all its own, and metadata alone are shared."""
    other = {"slug": "wavrin", "nom": "Wavrin", "siren": "215906539", "comptes": []}
    found = wanted(tmp_path, LOOS | {"ged": SERVICES}, other)
    assert not [role for role in found["roles"] if role == ged.EVERYONE and found["roles"][role] == []]
    for (kind, key), roles in rights(found).items():
        if kind == "metadata_type":
            assert roles == {ged.EVERYONE}
            continue
        owner = key[-12:]
        members = {group for role in roles for group in found["roles"][role]}
        assert members, (kind, key)
        assert {group[-12:] for group in members} == {owner}, (kind, key)


# What would be another's label, were the key not in it: a service's, a type's, a key's own, a commune of the same name.
STRANGE = ("Loos - Accueil", "Loos - Acte", "Loos", "Loos [215903600]", "Loos - Accueil [215903600]", "GED",
           "Passerelle", "Mots de passe choisis", "] - [", "Loos / Assemblées")  # fmt: skip # by rows


@pytest.mark.parametrize("nom", STRANGE)
def test_whatever_a_commune_is_called_it_crosses_no_other(tmp_path: Path, nom: str) -> None:
    service = {"services": [{"nom": one, "agents": []} for one in (*STRANGE, "Accueil")]}
    other = {"slug": "autre", "nom": nom, "siren": "215906539", "comptes": [], "ged": service}
    plan = ged.read_plan(written(tmp_path, PLAN))
    alone = [ged.configuration(plan, [one], "passerelle") for one in (LOOS | {"ged": SERVICES}, other)]
    both = ged.configuration(plan, [LOOS | {"ged": SERVICES}, other], "passerelle")
    for kind in ("groups", "roles"):
        theirs = [one[kind].keys() - {ged.EVERYONE, ged.FILERS} for one in alone]
        assert not theirs[0] & theirs[1]
        assert both[kind].keys() == alone[0][kind].keys() | alone[1][kind].keys()
        assert {label: both[kind][label] for label in theirs[0]} == {
            label: alone[0][kind][label] for label in theirs[0]
        }
    assert mayan_config.CHOSEN not in both["groups"]
    assert len(rights(both)) == len(both["acls"])
    for (kind, key), roles in rights(both).items():
        if kind != "metadata_type":
            assert {role[-12:] for role in roles - {ged.FILERS}} == {key[-12:]}, (kind, key)


def test_what_bore_a_name_is_found_again_unless_two_had_it(tmp_path: Path) -> None:
    other = {"slug": "autre", "nom": "Loos - Accueil", "siren": "215906539", "comptes": []}
    former = wanted(tmp_path, LOOS | {"ged": SERVICES}, other)["former"]
    assert former["role"]["Loos"] == "Loos [215903600]"
    assert former["group"]["Loos - Accueil"] == "Loos - Accueil [215903600]"
    assert former["role"]["Loos - Accueil"] == ""  # the service's, or the other commune's: nobody's
    assert former["document_type"]["Loos - Acte"] == "Loos - Acte [215903600]"
    assert former["cabinet"] == {"Loos": "Loos [215903600]", "Loos - Accueil": "Loos - Accueil [215906539]"}


def test_french_dates_are_taken_as_french_people_write_them(tmp_path: Path) -> None:
    date = wanted(tmp_path, LOOS)["metadata_types"][1]
    admitted, parser = json.loads(date["validation_arguments"]), json.loads(date["parser_arguments"])
    for text, kept in (("05/11/2026", "2026-11-05"), ("2026-11-05", "2026-11-05")):
        assert re.fullmatch(admitted["pattern"], text)
        assert re.sub(parser["pattern"], parser["replacement"], text) == kept
    for text in ("5/11/2026", "31/13/2026", "2026-13-01", "hier"):
        assert not re.fullmatch(admitted["pattern"], text), text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "parent: Délibérations",
            "parent: Déliberation",
            "ged.yml, ligne 5, plan[2].parent : le dossier parent « Déliberation » n'est pas dans le plan. "
            "À faire : remplacez par « Délibérations ».",
        ),
        (
            "libelle: Séances",
            "libelle: assemblées",
            "ged.yml, ligne 5, plan[2].libelle : le dossier « assemblées » est déjà dans le plan (plan[0]). "
            "À faire : donnez-lui un autre libellé, ou supprimez l'un des deux.",
        ),
        (
            "- libelle: Assemblées",
            "- {libelle: Assemblées, parent: Séances}",
            "ged.yml, ligne 3, plan[0].parent : le dossier « Assemblées » est rangé dans lui-même. "
            "À faire : corrigez le parent de l'un des dossiers de cette boucle.",
        ),
        (
            "metadonnees: [numero, date_acte]",
            "metadonnees: [numero, date]",
            "ged.yml, ligne 10, types[0].metadonnees[1] : « date » n'est pas dans metadonnees. "
            "À faire : remplacez par « date_acte » (numero, date_acte).",
        ),
        (
            "duree: 5",
            "duree: cinq",
            "ged.yml, ligne 11, types[1].duree : la valeur « cinq » n'est pas un nombre entier. "
            "À faire : écrivez un nombre d'années de 1 à 150, sans guillemets, par exemple duree: 10.",
        ),
        (
            "sort: eliminer",
            "sort: detruire",
            "ged.yml, ligne 11, types[1].sort : la valeur « detruire » est inconnue. "
            "À faire : choisissez conserver ou eliminer (valeurs possibles : conserver, eliminer).",
        ),
        (
            "nom: courrier",
            "nom: acte",
            "ged.yml, ligne 11, types[1].nom : « acte » est déjà dans types[0].nom. À faire : gardez-en un seul.",
        ),
        (
            "niveaux: [annee, numero]",
            "niveaux: [annee, service]",
            "ged.yml, ligne 13, index[0].niveaux[1] : « service » n'est pas dans type, annee et metadonnees. "
            "À faire : déclarez-le, ou retirez-le (type, annee, numero, date_acte).",
        ),
    ],
)
def test_each_mistake_of_the_plan_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ged.GedError) as caught:
        ged.read_plan(written(tmp_path, changed(old, new)))
    assert said in [str(problem) for problem in caught.value.problems]


def test_a_plan_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ged.GedError, match=r"ged\.yml : le fichier est introuvable\. À faire : créez-le"):
        ged.read_plan(tmp_path / "ged.yml")


def test_a_type_that_the_plan_lacks_is_told_with_its_commune(tmp_path: Path) -> None:
    services = {"services": [{"nom": "Accueil", "agents": [], "types": ["courier"]}]}
    with pytest.raises(ged.GedError) as caught:
        wanted(tmp_path, LOOS | {"ged": services})
    assert [str(problem) for problem in caught.value.problems] == [
        "communes/loos.yml, ged.services[0].types[0] : le type « courier » n'est pas dans ged.yml. "
        "À faire : remplacez par « courrier » (types : acte, courrier)."
    ]


def test_the_labs_own_files_are_good() -> None:
    communes = [commune.variables for commune in groupement.load(LAB) if "ged" in commune.data["services"]]
    assert len(communes) >= 2
    assert ged.configuration(ged.read_plan(LAB / "ged.yml"), communes)["acls"]


def test_an_elu_who_only_reads_the_council_s_papers_is_no_agent_of_the_ged(tmp_path: Path) -> None:
    """Without services, whoever is in comptes sees all of the commune's documents."""
    council = {"redacteurs": ["anne.petit"], "acces_elus": ["luc.roux"], "elus": ["Luc Roux"]}
    for commune, agents in (
        (LOOS | {"deliberations": council}, ["anne.petit"]),
        (LOOS | {"deliberations": council | {"maire": "luc.roux"}}, ["anne.petit", "luc.roux"]),
        (
            LOOS | {"deliberations": council, "parapheur": {"maire": {"titulaire": "luc.roux"}}},
            ["anne.petit", "luc.roux"],
        ),
        (LOOS, ["anne.petit", "luc.roux"]),
    ):
        found = wanted(tmp_path, commune)
        users = [one["username"] for one in found["users"] if one["username"] in ("anne.petit", "luc.roux")]
        assert (users, found["groups"]["Loos - Agents [215903600]"]) == (agents, agents)
    named = wanted(tmp_path, LOOS | {"deliberations": council, "ged": SERVICES})
    assert named["groups"]["Loos - Accueil [215903600]"] == ["luc.roux"]


def started(unit: str) -> dict[str, str]:
    """What systemd reads of a unit of the role, and the options of its worker."""
    loader = jinja2.FileSystemLoader(ROLE / "templates")
    environment = jinja2.Environment(loader=loader, trim_blocks=True)  # noqa: S701 - a unit of systemd, not HTML
    environment.filters["comment"] = "# {}".format
    given: dict[str, Any] = {"ansible_managed": ""}
    for name in ("defaults", "vars"):
        given |= yaml.safe_load((ROLE / name / "main.yml").read_text(encoding="utf-8"))
    text = environment.get_template(f"{unit}.j2").render(given)
    found = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"\w+=", line))
    words = shlex.split(found.get("ExecStart", ""))
    return found | {word: after for word, after in itertools.pairwise(words) if word.startswith("-")}


def test_what_lasts_as_long_as_a_file_makes_it_keeps_no_other_from_being_received() -> None:
    """Pages of a PDF of a kilobyte are drawn for minutes, each: two of them held the only worker of all communes."""
    all_else, pages, reading = map(started, ("mayan-worker.service", "mayan-pages.service", "mayan-lecture.service"))
    assert (pages["--queues"], pages["--concurrency"]) == ("converter", "2")
    apart = "documents_downloads,file_metadata,ocr_slow,parsing"
    assert (reading["--queues"], reading["--concurrency"]) == (apart, "1")
    assert all_else["--exclude-queues"] == f"converter,{apart}"
    assert [("-B" in one, one.get("--hostname")) for one in (all_else, pages, reading)] == [
        (True, None),
        (False, "pages@%%h"),  # two of one name answer for each other
        (False, "lecture@%%h"),
    ]
    for one in (all_else, pages, reading):
        assert one["--prefetch-multiplier"] == "1"  # what one of them took waits for no long one
        assert (one["Slice"], one["OOMPolicy"], one.get("MemoryMax")) == ("mayan.slice", "continue", None)
    assert started("mayan.slice")["MemoryMax"] == "1500M"


def test_its_workers_start_with_it_and_stop_for_its_backup() -> None:
    given = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
    units = {
        Path(one["path"]).name for one in given["__mayan_files"] if one.get("template", "").endswith(".service.j2")
    }
    workers = {unit for unit in units if "celery" in started(unit).get("ExecStart", "")}
    assert len(workers) == 3
    assert workers <= {*given["__mayan_units"]}
    assert workers <= {*given["mayan_backup"][0]["units"]}
