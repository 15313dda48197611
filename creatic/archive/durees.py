# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The one table of durations (durees.yml): DUA, fate and access of each kind of document, as the Archives
départementales agreed to them.

What the connectors deposit, what the archives' door takes, what the document store keeps and what a bordereau
d'élimination quotes come from it. An inventory without it goes on with creatic_archive_regles,
creatic_archive_versement and ged.yml's own durations.

Law: the DUA is set with who controls archives for the State (Code du patrimoine, R212-13, R212-14); communicability is
L213-1 and L213-2.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from creatic.registry.checked_yaml import (
    ProblemsError,
    Source,
    closest,
    quote,
)

NAME = "durees.yml"
SCHEMA = Path(__file__).with_name("durees.schema.json")
# Years after which anybody may read: L213-1 (at once), L213-2 I 3° (private life). The codes are those of SEDA's
# referential that other depositors of @ctes use; a site adds others (`acces`), as its Archives départementales say.
ACCESS = {"AR038": 0, "AR048": 50}
# Fates, as SEDA's AppraisalRule says them: what is to be sorted is kept until somebody did.
ACTIONS = {"conserver": "conserver", "eliminer": "detruire", "trier": "conserver"}


class DureesError(ProblemsError, cause="durees"):
    """The table is refused; `problems` is all there is to correct."""

    heading = "Tableau des durées :"


@dataclass(frozen=True)
class Table:
    """The table.

    Attributes:
        lines: as they are written, by name.
        agreement: `date` and `reference`; empty before it is given.
        access: years of each access rule, after which anybody may read.
    """

    lines: Mapping[str, Mapping[str, Any]]
    agreement: Mapping[str, str]
    access: Mapping[str, int] = field(default_factory=lambda: dict(ACCESS))

    def rules(self) -> dict[str, int]:
        """Years of each appraisal rule, those that a line had before too: what the archives' door knows."""
        return {
            code({**one, "duree": years}): int(years)
            for one in self.lines.values()
            for years in (*one.get("anciennes", ()), one["duree"])
        }

    def schedule(self) -> list[dict[str, Any]]:
        """What a connector deposits, line by line: `rule`, `action`, `access`, and to which acts, or flows, it goes."""
        return [
            {"rule": code(one), "action": ACTIONS[one["sort"]], "access": one["acces"]}
            | {new: one[old] for old, new in (("natures", "natures"), ("matieres", "matters")) if old in one}
            | ({"flows": True} if one.get("flux") else {})
            for one in self.lines.values()
            if {"natures", "matieres", "flux"} & one.keys()
        ]

    def agreed(self) -> str:
        """What a bordereau quotes; empty before the agreement is given."""
        if not self.agreement:
            return ""
        day = dt.date.fromisoformat(self.agreement["date"])
        return f"{self.agreement['reference']}, du {day:%d/%m/%Y}"


def code(line: Mapping[str, Any]) -> str:
    """Code of a line's appraisal rule, which says its years: an archive keeps the one that it came under."""
    return f"{str(line['nom']).upper().replace('_', '-')}-{line['duree']}"


def read(folder: Path) -> Table | None:
    """The table of an inventory; None when it has none.

    Raises:
        DureesError: with all its problems.
    """
    file = folder / NAME
    if not file.is_file():
        return None
    source = Source(NAME, file.read_bytes())
    data = source.read()
    if data is not None:
        source.check_schema(data, SCHEMA)
        if not source.problems:
            _check_table(source, data)
    if data is None or source.problems:
        raise DureesError(source.problems)
    access = ACCESS | {one["code"]: int(one["delai"]) for one in data.get("acces", [])}
    return Table({one["nom"]: one for one in data["regles"]}, data.get("accord", {}), access)


def _check_table(source: Source, data: Mapping[str, Any]) -> None:
    if "accord" in data:
        try:
            day = dt.date.fromisoformat(data["accord"]["date"])
            if day > dt.datetime.now(tz=dt.UTC).date():
                source.report(
                    "l'accord est daté d'un jour à venir", "écrivez le jour où il a été donné", ("accord", "date")
                )
        except ValueError:
            fix = 'écrivez année-mois-jour entre guillemets, par exemple date: "2026-09-15"'
            source.report(f"le jour {quote(data['accord']['date'])} n'existe pas", fix, ("accord", "date"))
    known = dict(ACCESS)
    for index, one in enumerate(data.get("acces", [])):
        if one["code"] in known:
            source.report(f"{one['code']} est déjà une règle d'accès", "gardez-en une seule", ("acces", index, "code"))
        known[one["code"]] = one["delai"]
    names: dict[str, int] = {}
    places: dict[tuple[Any, ...], int] = {}
    for index, one in enumerate(data["regles"]):
        where: tuple[str | int, ...] = ("regles", index)
        if names.setdefault(one["nom"], index) != index:
            source.report(
                f"{quote(one['nom'])} est déjà dans regles[{names[one['nom']]}]", "gardez-en un seul", (*where, "nom")
            )
        if one["acces"] not in known:
            fix = f"choisissez {', '.join(sorted(known))}, ou déclarez-la dans acces"
            source.report(f"la règle d'accès {one['acces']} n'est pas connue", fix, (*where, "acces"))
        if one["duree"] in one.get("anciennes", ()):
            fix = f"retirez {one['duree']} de anciennes, ou changez duree"
            source.report(f"{one['duree']} ans est la durée de cette ligne, pas une ancienne", fix, where)
        if one.get("flux") and {"natures", "matieres"} & one.keys():
            source.report("un flux comptable n'a ni nature ni matière", "retirez natures et matieres, ou flux", where)
        for place in _line_targets(one):
            if places.setdefault(place, index) != index:
                fix = "gardez une seule ligne par nature et matière, et une seule pour les flux"
                source.report(f"les mêmes documents ont déjà une durée dans regles[{places[place]}]", fix, where)
                break


def _line_targets(line: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """What a line is for, one by one: two lines for the same are one too many."""
    if line.get("flux"):
        return [("flux",)]
    if not {"natures", "matieres"} & line.keys():
        return []
    return [(nature, matter) for nature in line.get("natures", [0]) for matter in line.get("matieres", [""])]


def resolve(source: Source, types: Sequence[dict[str, Any]], table: Table | None) -> None:
    """Give the types of the document store (ged.yml) the duration and fate of their line, and tell what is wrong.

    Args:
        source: ged.yml under check.
        types: of it; `duree` and `sort` are filled in.
        table: of the same inventory, if it has one.
    """
    for index, one in enumerate(types):
        where: tuple[str | int, ...] = ("types", index)
        own = [key for key in ("duree", "sort") if key in one]
        if table is None or "regle" not in one:
            if "regle" in one:
                source.report(
                    f"il n'y a pas de {NAME}",
                    "créez-le (docs/versement.md), ou écrivez duree et sort",
                    (*where, "regle"),
                )
            elif table is not None and own:
                fix = f"remplacez duree et sort par regle: {closest(one['nom'], [*table.lines]) or 'nom de sa ligne'}"
                source.report(f"{quote(one['libelle'])} a sa propre durée, et {NAME} est là pour toutes", fix, where)
            elif len(own) < 2:
                wanted = "regle" if table else "duree et sort"
                source.report(f"{quote(one['libelle'])} n'a pas de durée ni de sort", f"écrivez {wanted}", where)
            continue
        if own:
            source.report(f"la durée et le sort viennent de {NAME}", "retirez duree et sort", (*where, own[0]))
        line = table.lines.get(one["regle"])
        if line is None:
            nearest = closest(one["regle"], [*table.lines])
            fix = f"remplacez par « {nearest} »" if nearest else f"choisissez {', '.join(table.lines)}"
            source.report(f"{quote(one['regle'])} n'est pas une ligne de {NAME}", fix, (*where, "regle"))
            continue
        one |= {"duree": line["duree"], "sort": "eliminer" if line["sort"] == "eliminer" else "conserver"}
