"""The catalogue of recommendations: what it gives, and what each mistake is told."""

from __future__ import annotations

import datetime as dt
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from creatic.audit import controls
from creatic.audit.controls import ControlsError

TODAY = dt.date(2026, 11, 25)
REAL = Path(__file__).parents[3] / "roles" / "hardening" / "files" / "controls.yml"
VARIABLES = REAL.parents[1] / "meta" / "argument_specs.yml"
WAIVER = {"motif": "noyau de l'hôte", "responsable": "RSSI du groupement", "fin": "2027-06-30"}


def entries() -> list[dict[str, Any]]:
    levels = {"R10": "enhanced", "R15": "high", "R9": "intermediary"}
    return [
        {
            "id": number,
            "niveau": levels.get(number, "minimal"),
            "titre": f"Titre {number}",
            "demande": "Ce qui est demandé",
            "statut": "sans_objet",
            "motif": "rien de tel ici",
        }
        for number in controls.NUMBERS
    ]


def changed(number: str, **fields: Any) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in (entry | fields).items() if value is not None} if entry["id"] == number else entry
        for entry in entries()
    ]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    tests = tmp_path / "tests" / "profiles" / "common"
    tests.mkdir(parents=True)
    (tests / "test_hardening.py").write_text("def test_r31(host):\n    assert host\n")
    return tmp_path


def load(top: Path, listed: list[dict[str, Any]], site: Any = None) -> controls.Catalogue:
    path = top / "controls.yml"
    path.write_text(yaml.safe_dump({"controles": listed}, allow_unicode=True, sort_keys=False))
    local = top / "derogations.yml"
    if site is not None:
        local.write_text(yaml.safe_dump(site, allow_unicode=True))
    return controls.load(path, TODAY, site=local, top=top)


def refused(top: Path, listed: list[dict[str, Any]], site: Any = None) -> str:
    with pytest.raises(ControlsError) as raised:
        load(top, listed, site)
    return str(raised.value)


def test_catalogue_gives_what_a_level_asks(top: Path) -> None:
    catalogue = load(top, entries())
    asked = {level: {control.id for control in catalogue.for_level(level)} for level in controls.LEVELS}
    assert asked["minimal"] == set(controls.NUMBERS) - {"R9", "R10", "R15"}
    assert asked["intermediary"] - asked["minimal"] == {"R9"}
    assert asked["enhanced"] - asked["intermediary"] == {"R10"}
    assert asked["high"] == set(controls.NUMBERS)


def test_unknown_level_is_refused(top: Path) -> None:
    with pytest.raises(ValueError, match=r"niveau inconnu : « fort » .*minimal, intermediary, enhanced, high"):
        load(top, entries()).for_level("fort")
    message = refused(top, changed("R2", niveau="enhance"))
    assert "controles[1].niveau" in message
    assert "remplacez par « enhanced »" in message


def test_automated_control_needs_a_test_that_exists(top: Path) -> None:
    proven = changed(
        "R31", statut="automatise", motif=None, tests=["tests/profiles/common/test_hardening.py::test_r31"]
    )
    assert load(top, proven).controls[30].tests == ("tests/profiles/common/test_hardening.py::test_r31",)
    assert "R31 est automatisée mais aucun test ne la prouve" in refused(top, changed("R31", statut="automatise"))
    gone = changed("R31", statut="automatise", tests=["tests/profiles/common/test_hardening.py::test_r32"])
    assert "test_hardening.py::test_r32 » n'existe pas" in refused(top, gone)


def test_manual_control_needs_an_attestation_and_a_reason(top: Path) -> None:
    assert "R4 est manuelle sans attestation" in refused(top, changed("R4", statut="manuel"))
    assert "sans motif" in refused(top, changed("R4", statut="manuel", attestation="J'atteste.", motif=None))


def test_every_recommendation_is_there_once(top: Path) -> None:
    assert "recommandation absente : R7" in refused(top, [each for each in entries() if each["id"] != "R7"])
    assert "présente deux fois : R7" in refused(top, [*entries(), entries()[6]])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"responsable": None}, "responsable : champ obligatoire absent"),
        ({"responsable": ""}, "responsable"),
        ({"motif": None}, "motif : champ obligatoire absent"),
        ({"fin": None}, "fin : champ obligatoire absent"),
        ({"fin": "2026-11-24"}, "a pris fin le 24/11/2026"),
        ({"fin": "2027-02-30"}, "cette date n'existe pas"),
        ({"fin": "2028-11-26"}, "deux ans au plus"),
        ({"fin": "30/06/2027"}, "n'est pas admise"),
        ({"portee": {"niveaux": ["fort"]}}, "portee.niveaux[0]"),
        ({"portee": {}}, "portee"),
        ({"portee": {"conteneur": "oui"}}, "n'est pas true ou false"),
        ({"regle": ["kernel_config_x"]}, "remplacez par « regles »"),
    ],
)
def test_bad_waiver_is_refused_in_the_catalogue_and_on_a_site(top: Path, fields: dict[str, Any], message: str) -> None:
    waiver = {key: value for key, value in (WAIVER | fields).items() if value is not None}
    assert message in refused(top, changed("R15", derogations=[waiver]))
    local = refused(top, entries(), site={"derogations": [{"controle": "R15", **waiver}]})
    assert message in local
    assert local.startswith("derogations.yml, ligne ")


@pytest.mark.parametrize("last", [TODAY, TODAY.replace(year=2028)])
def test_last_day_of_a_waiver_counts(top: Path, last: dt.date) -> None:
    catalogue = load(top, changed("R15", derogations=[WAIVER | {"fin": last.isoformat()}]))
    assert catalogue.waivers[0].fin == last


def test_waiver_covers_its_rules_where_it_says(top: Path) -> None:
    scoped = WAIVER | {"regles": ["kernel_config_*", "test_r15"], "portee": {"conteneur": True, "niveaux": ["high"]}}
    whole = {"controle": "R2", **WAIVER, "portee": {"profils": ["commune_pc"]}}
    catalogue = load(top, changed("R15", derogations=[scoped]), site={"derogations": [whole]})
    found = catalogue.waiver("kernel_config_debug_fs", "high", "archive_node", True)
    assert found is not None
    assert (found.control, found.responsable, found.fin) == ("R15", "RSSI du groupement", dt.date(2027, 6, 30))
    assert catalogue.waiver("test_r15", "high", "archive_node", True)
    assert not catalogue.waiver("kernel_config_debug_fs", "high", "archive_node", False)
    assert not catalogue.waiver("kernel_config_debug_fs", "enhanced", "archive_node", True)
    assert not catalogue.waiver("R15", "high", "archive_node", True)
    assert catalogue.waiver("R2", "minimal", "commune_pc", False)
    assert not catalogue.waiver("R2", "minimal", "tdt_connector", False)


def test_file_must_hold_its_own_kind(top: Path) -> None:
    assert "doit contenir « derogations »" in refused(top, entries(), site={"controles": entries()})


def test_the_project_s_catalogue_holds_at_every_level() -> None:
    """Today: the day a waiver ends, this fails."""
    catalogue = controls.load(REAL, dt.datetime.now(dt.UTC).date())
    asked = [len(catalogue.for_level(level)) for level in controls.LEVELS]
    assert asked == [11, 40, 58, 80]
    proven = {control.id for control in catalogue.controls if control.tests}
    assert proven == {control.id for control in catalogue.controls if control.statut == "automatise"}
    assert len(proven) >= 50
    specs = yaml.safe_load(VARIABLES.read_text())["argument_specs"]["main"]["options"]
    assert {control.variable for control in catalogue.controls if control.variable} <= set(specs)


def test_waivers_of_the_project_stay_narrow() -> None:
    """None lifts a whole recommendation, and what a machine of its own shows is waived in containers only."""
    catalogue = controls.load(REAL, dt.datetime.now(dt.UTC).date())
    assert not [waiver.control for waiver in catalogue.waivers if not waiver.rules]
    kernel = (
        "test_r9_the_kernel_is_discreet",
        "test_r45_every_profile_is_enforced",
        "test_r73_the_kernel_has_the_rules",
    )
    for test in kernel:
        assert catalogue.waiver(test, "high", "archive_node", True), test
        assert not catalogue.waiver(test, "high", "archive_node", False), test
    names = {test.rpartition("::")[2] for control in catalogue.controls for test in control.tests}
    waived = [rule for waiver in catalogue.waivers for rule in waiver.rules if rule.startswith("test_")]
    assert not [rule for rule in waived if not any(fnmatchcase(name, rule) for name in names)]
