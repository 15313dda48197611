"""The one table of durations: what it gives to each, what is wrong told in French, and inventories without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.filter import archive
from sae.config import ACCESS

from creatic.applications import ged
from creatic.archive import durees
from creatic.archive.durees import DureesError

EXAMPLE = Path(__file__).parents[3] / "inventories" / "example"
ACT: dict[str, Any] = {
    "nom": "acte", "libelle": "Actes", "natures": [1], "duree": 10, "sort": "conserver", "acces": "AR038",
}  # fmt: skip # a table


def wrong(folder: Path, *lines: dict[str, Any], **more: Any) -> str:
    (folder / durees.NAME).write_text(json.dumps({"regles": [*lines], **more}, ensure_ascii=False))
    with pytest.raises(DureesError) as told:
        durees.read(folder)
    return str(told.value)


def test_the_example_s_table_gives_its_rules_to_each() -> None:
    table = durees.read(EXAMPLE)
    assert table and table.rules()["AIDE-SOCIALE-10"] == 10 and table.agreed() == ""
    lines = {one["rule"]: one for one in table.schedule()}
    assert lines["PES-10"] == {"rule": "PES-10", "action": "detruire", "access": "AR038", "flows": True}
    assert lines["MARCHE-10"]["action"] == "conserver"  # what is to be sorted goes nowhere before
    assert (lines["PERSONNEL-10"]["access"], lines["PERSONNEL-10"]["matters"]) == ("AR048", ["4"])
    assert "COURRIER-5" not in lines  # the GED's alone
    types = {one["nom"]: (one["duree"], one["sort"]) for one in ged.read_plan(EXAMPLE / "ged.yml")["types"]}
    assert types["courrier"] == (5, "eliminer") and types["marche"] == (10, "conserver")


def test_a_duration_that_a_line_had_is_still_taken_and_given_to_nobody(tmp_path: Path) -> None:
    changed = ACT | {"duree": 15, "anciennes": [10, 12]}
    (tmp_path / durees.NAME).write_text(yaml.safe_dump({"regles": [changed]}))
    table = durees.read(tmp_path)
    assert table and table.rules() == {"ACTE-10": 10, "ACTE-12": 12, "ACTE-15": 15}
    assert [one["rule"] for one in table.schedule()] == ["ACTE-15"]
    assert archive.archive_rules({"ACTE-10": 10}, str(tmp_path))["ACTE-10"] == 10
    assert "est la durée de cette ligne, pas une ancienne" in wrong(tmp_path, ACT | {"anciennes": [10]})


def test_filters_join_it_to_what_the_inventory_says(tmp_path: Path) -> None:
    assert archive.archive_rules({"A-1": 1}, str(tmp_path)) == {"A-1": 1}
    assert archive.archive_schedule({"rule": "A-1"}, str(tmp_path)) == {"rule": "A-1"}
    assert archive.archive_agreed(str(tmp_path)) == ""
    assert archive.archive_access(str(tmp_path)) == durees.ACCESS == ACCESS
    assert archive.archive_schedule({}, str(EXAMPLE)) == {}
    assert archive.archive_rules({"A-1": 1}, str(EXAMPLE))["PES-10"] == 10
    assert len(archive.archive_schedule({"rule": "A-1"}, str(EXAMPLE))["schedule"]) == 7
    with pytest.raises(AnsibleFilterError, match=r"PES-10 a 9 ans, et 10 dans durees.yml"):
        archive.archive_rules({"PES-10": 9}, str(EXAMPLE))
    agreed: dict[str, Any] = {"accord": {"date": "2026-09-15", "reference": "AD59-1"}, "regles": [ACT]}
    agreed["acces"] = [{"code": "AR039", "libelle": "Secret des affaires", "delai": 25}]
    (tmp_path / durees.NAME).write_text(yaml.safe_dump(agreed))
    assert archive.archive_agreed(str(tmp_path)) == "AD59-1, du 15/09/2026"
    assert archive.archive_access(str(tmp_path)) == durees.ACCESS | {"AR039": 25}
    (tmp_path / durees.NAME).write_text("regles: []")
    with pytest.raises(AnsibleFilterError, match="Tableau des durées"):
        archive.archive_rules({}, str(tmp_path))


@pytest.mark.parametrize(
    ("lines", "more", "told"),
    [
        ([ACT, ACT], {}, "« acte » est déjà dans regles[0]"),
        ([ACT, ACT | {"nom": "autre"}], {}, "les mêmes documents ont déjà une durée dans regles[0]"),
        ([ACT | {"acces": "AR099"}], {}, "la règle d'accès AR099 n'est pas connue. À faire : choisissez AR038, AR048"),
        ([ACT | {"acces": "publique"}], {}, "AR048 (50 ans"),
        ([ACT | {"flux": True}], {}, "un flux comptable n'a ni nature ni matière"),
        ([ACT | {"duree": 0}], {}, "de 1 à 100"),
        ([ACT | {"duree": "10"}], {}, "sans guillemets"),
        ([ACT | {"sort": "detruire"}], {}, "est inconnue. À faire"),
        ([ACT | {"natures": [7]}], {}, "un nombre de 1 à 6"),
        ([ACT | {"matieres": ["0.1"]}], {}, "une matière"),
        ([ACT], {"accord": {"date": "2026-02-30", "reference": "x"}}, "le jour « 2026-02-30 » n'existe pas"),
        ([ACT], {"accord": {"date": "2099-01-01", "reference": "x"}}, "un jour à venir"),
        ([ACT], {"accord": {"date": "2026-01-01"}}, "reference"),
        ([ACT], {"acces": [{"code": "AR038", "libelle": "x", "delai": 1}]}, "AR038 est déjà une règle d'accès"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, lines: list[dict[str, Any]], more: dict[str, Any], told: str) -> None:
    assert told in wrong(tmp_path, *lines, **more)


def test_a_site_s_own_access_rules_count(tmp_path: Path) -> None:
    own = {"code": "AR039", "libelle": "Secret des affaires", "delai": 25}
    (tmp_path / durees.NAME).write_text(yaml.safe_dump({"regles": [ACT | {"acces": "AR039"}], "acces": [own]}))
    table = durees.read(tmp_path)
    assert table and table.schedule()[0]["access"] == "AR039"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"duree": 10, "sort": "conserver"}, "la durée et le sort viennent de durees.yml"),
        ({"regle": "courier"}, "remplacez par « courrier »"),
        ({"regle": None, "duree": 10, "sort": "conserver"}, "a sa propre durée, et durees.yml est là pour toutes"),
        ({"regle": None}, "n'a pas de durée ni de sort. À faire : écrivez regle"),
    ],
)
def test_the_ged_s_own_durations_are_one_too_many(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    for name in ("ged.yml", durees.NAME):
        shutil.copy(EXAMPLE / name, tmp_path)
    plan = yaml.safe_load((tmp_path / "ged.yml").read_text())
    plan["types"][3] = {key: value for key, value in (plan["types"][3] | change).items() if value is not None}
    (tmp_path / "ged.yml").write_text(yaml.safe_dump(plan, allow_unicode=True))
    with pytest.raises(ged.GedError, match=told):
        ged.read_plan(tmp_path / "ged.yml")


def test_an_inventory_without_it_goes_on_with_the_ged_s_own(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE.with_name("lab") / "ged.yml", tmp_path)
    assert ged.read_plan(tmp_path / "ged.yml")["types"][0]["duree"] == 10
    shutil.copy(EXAMPLE / "ged.yml", tmp_path)
    with pytest.raises(ged.GedError, match=r"il n'y a pas de durees.yml"):
        ged.read_plan(tmp_path / "ged.yml")
