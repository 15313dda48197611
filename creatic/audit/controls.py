# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Catalogue of the recommendations of ANSSI-BP-028 v2.0, and the waivers of a site.

Source: ANSSI, « Recommandations de configuration d'un système GNU/Linux », version 2.0 (ANSSI-BP-028).
One entry for each recommendation, R1 to R80: what it asks, from which level, how it is held, which tests prove it,
which waivers are assumed, by whom and until when.
"""

from __future__ import annotations

import ast
import datetime as dt
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from creatic.registry.checked_yaml import (
    FieldPath,
    ProblemsError,
    Source,
)

LEVELS = ("minimal", "intermediary", "enhanced", "high")
NUMBERS = tuple(f"R{number}" for number in range(1, 81))
LONGEST_WAIVER = dt.timedelta(days=731)
_CONTROLS_SCHEMA = Path(__file__).with_name("controls.schema.json")


class ControlsError(ProblemsError, cause="controles"):
    """The catalogue or the site's waivers are refused; the message (French) names each file, field and fix."""


@dataclass(frozen=True)
class Waiver:
    """A rule that is not followed, with who assumes it and until when.

    Attributes:
        control: recommendation, ``R1`` to ``R80``.
        rules: OpenSCAP rules (short ids) or test functions it covers, ``*`` allowed; empty: the whole control.
        container: only on a machine without a kernel and disks of its own.
        profiles: only on these profiles; empty: all.
        levels: only at these levels; empty: all.
        motif: why, in French.
        responsable: who assumes it.
        fin: last day it holds.
    """

    control: str
    rules: tuple[str, ...]
    container: bool
    profiles: tuple[str, ...]
    levels: tuple[str, ...]
    motif: str
    responsable: str
    fin: dt.date

    def covers(self, name: str, level: str, profile: str, container: bool) -> bool:
        """Whether it covers a rule, a test function or (without ``rules``) its whole control, on such a machine."""
        if self.container and not container:
            return False
        if (self.profiles and profile not in self.profiles) or (self.levels and level not in self.levels):
            return False
        return any(fnmatchcase(name, rule) for rule in self.rules) if self.rules else name == self.control


@dataclass(frozen=True)
class Control:
    """A recommendation of the guide.

    Attributes:
        id: ``R1`` to ``R80``.
        niveau: level it applies from.
        titre: its title, in French.
        demande: what it asks, in French.
        statut: ``automatise``, ``manuel`` or ``sans_objet``.
        motif: why it is manual or not applicable, or what automation leaves out.
        variable: variable of the role that changes it; empty when none does.
        tests: tests that prove it, ``file::function``.
        oscap: OpenSCAP rules that its content does not tie to the recommendation by itself.
        attestation: sentence that a person signs when it is manual.
    """

    id: str
    niveau: str
    titre: str
    demande: str
    statut: str
    motif: str
    variable: str
    tests: tuple[str, ...]
    oscap: tuple[str, ...]
    attestation: str


@dataclass(frozen=True)
class Catalogue:
    """The catalogue, with the waivers in force.

    Attributes:
        controls: all recommendations, in the order of the guide.
        waivers: waivers of the project and of the site.
    """

    controls: tuple[Control, ...]
    waivers: tuple[Waiver, ...]

    def for_level(self, level: str) -> list[Control]:
        """Recommendations that a level asks: its own and those of the levels below.

        Raises:
            ValueError: the level does not exist; the message (French) lists those that do.
        """
        if level not in LEVELS:
            raise ValueError(f"niveau inconnu : « {level} » (niveaux possibles : {', '.join(LEVELS)})")
        asked = LEVELS[: LEVELS.index(level) + 1]
        return [control for control in self.controls if control.niveau in asked]

    def waiver(self, name: str, level: str, profile: str, container: bool) -> Waiver | None:
        """Waiver of an OpenSCAP rule (short id), a test function or a whole control on a machine, if there is one."""
        return next((each for each in self.waivers if each.covers(name, level, profile, container)), None)


def load(path: Path, today: dt.date, site: Path | None = None, top: Path | None = None) -> Catalogue:
    """Read the catalogue and the waivers of a site, strictly.

    Args:
        path: the catalogue, ``roles/hardening/files/controls.yml``.
        today: day the waivers are judged at.
        site: waivers of the site, ``inventories/<env>/derogations.yml``; a file that is absent holds none.
        top: top of the project, where test files are looked up; by default the one that holds ``path``.

    Raises:
        ControlsError: an unknown level, a recommendation that is missing or twice there, an automated one without
            an existing test, a manual one without attestation, a waiver without an owner, past its date or longer
            than two years.
    """
    source = Source(path.name, path.read_bytes())
    data = _check_source(source, "controles")
    found: list[Mapping[str, Any]] = data.get("controles", []) if not source.problems else []
    waivers: list[Waiver] = []
    for index, entry in enumerate(found):
        _check_control(source, index, entry, top or path.resolve().parents[3])
        for number, waiver in enumerate(entry.get("derogations", [])):
            place = ("controles", index, "derogations", number)
            waivers.append(_parse_waiver(source, place, {"controle": entry["id"], **waiver}, today))
    if not source.problems:
        _check_numbers(source, [entry["id"] for entry in found])
    problems = list(source.problems)
    if site is not None and site.exists():
        local = Source(site.name, site.read_bytes())
        data = _check_source(local, "derogations")
        listed = data.get("derogations", []) if not local.problems else []
        waivers += [
            _parse_waiver(local, ("derogations", number), waiver, today) for number, waiver in enumerate(listed)
        ]
        problems += local.problems
    if problems:
        raise ControlsError(problems)
    return Catalogue(tuple(_parse_control(entry) for entry in found), tuple(waivers))


def _check_source(source: Source, wanted: str) -> dict[str, Any]:
    data = source.read() or {}
    if not source.problems:
        source.check_schema(data, _CONTROLS_SCHEMA)
    if not source.problems and list(data) != [wanted]:
        source.report(f"le fichier doit contenir « {wanted} » et rien d'autre", f"commencez par « {wanted}: »")
    return data


def _parse_control(entry: Mapping[str, Any]) -> Control:
    return Control(
        id=entry["id"],
        niveau=entry["niveau"],
        titre=entry["titre"],
        demande=entry["demande"],
        statut=entry["statut"],
        motif=entry.get("motif", ""),
        variable=entry.get("variable", ""),
        tests=tuple(entry.get("tests", [])),
        oscap=tuple(entry.get("oscap", [])),
        attestation=entry.get("attestation", ""),
    )


def _check_control(source: Source, index: int, entry: Mapping[str, Any], top: Path) -> None:
    place: FieldPath = ("controles", index)
    status, name = entry["statut"], entry["id"]
    if status == "automatise" and not entry.get("tests"):
        source.report(f"{name} est automatisée mais aucun test ne la prouve", "ajoutez tests:", (*place, "tests"))
    if status == "manuel" and not entry.get("attestation"):
        source.report(f"{name} est manuelle sans attestation", "écrivez la phrase à signer", (*place, "attestation"))
    if status != "automatise" and not entry.get("motif"):
        source.report(f"{name} n'est pas automatisée, sans motif", "écrivez pourquoi", (*place, "motif"))
    for number, test in enumerate(entry.get("tests", [])):
        file, function = test.split("::")
        if function not in _test_functions(top / file):
            fix = "corrigez le nom, ou écrivez le test"
            source.report(f"le test « {test} » n'existe pas", fix, (*place, "tests", number))


def _check_numbers(source: Source, numbers: Sequence[str]) -> None:
    twice = [number for number, times in Counter(numbers).items() if times > 1]
    missing = [number for number in NUMBERS if number not in numbers]
    if twice:
        source.report(f"recommandation présente deux fois : {', '.join(twice)}", "gardez une seule entrée")
    if missing:
        source.report(f"recommandation absente : {', '.join(missing)}", "ajoutez une entrée pour chacune")


def _parse_waiver(source: Source, place: FieldPath, entry: Mapping[str, Any], today: dt.date) -> Waiver:
    try:
        end = dt.date.fromisoformat(entry["fin"])
    except ValueError:
        source.report("cette date n'existe pas", "corrigez le jour ou le mois", (*place, "fin"))
        end = today
    if end < today:
        fix = "corrigez l'écart, ou faites signer une nouvelle dérogation avec une nouvelle date"
        source.report(f"la dérogation à {entry['controle']} a pris fin le {end:%d/%m/%Y}", fix, (*place, "fin"))
    elif end > today + LONGEST_WAIVER:
        source.report("une dérogation dure deux ans au plus", "rapprochez la date", (*place, "fin"))
    scope = entry.get("portee", {})
    return Waiver(
        control=entry["controle"],
        rules=tuple(entry.get("regles", [])),
        container=bool(scope.get("conteneur")),
        profiles=tuple(scope.get("profils", [])),
        levels=tuple(scope.get("niveaux", [])),
        motif=entry["motif"],
        responsable=entry["responsable"],
        fin=end,
    )


@functools.cache
def _test_functions(file: Path) -> frozenset[str]:
    if not file.is_file():
        return frozenset()
    body = ast.parse(file.read_bytes()).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef))
