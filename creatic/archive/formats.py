# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The formats of what the archives hold: how many there are, of whom, and which are at risk.

Who keeps archives watches their formats (NF Z42-013; OAIS, ISO 14721, preservation planning): the table says of each
what may become of it and what to do. The door counts, and knows nothing of risks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.words import size

from creatic.registry.checked_yaml import (
    ProblemsError,
    Source,
    quote,
)

NAME = "formats.yml"
TABLE = Path(__file__).with_name(NAME)
SCHEMA = Path(__file__).with_name("formats.schema.json")
UNKNOWN, HIGH, WATCHED, LOW = "inconnu", "eleve", "a_suivre", "faible"
# How a person reads them, the gravest first.
RISKS = {UNKNOWN: "inconnu", HIGH: "élevé", WATCHED: "à suivre", LOW: "faible"}
AT_RISK = (UNKNOWN, HIGH)
MAX_ROWS_SHOWN = 100  # lines of the screen


class FormatsError(ProblemsError, cause="formats", misuse=True):
    """The table is refused; `problems` is all there is to correct."""

    heading = "Tableau des formats :"


@dataclass(frozen=True)
class Format:
    """What is known of a format. `risk` is one of RISKS; texts are French."""

    name: str
    risk: str
    why: str
    todo: str


NOT_WATCHED = Format(
    "format hors du tableau", UNKNOWN, "personne n'a dit ce qui peut lui arriver", f"ajoutez-le à {NAME}"
)


@dataclass(frozen=True)
class FormatHolding:
    """What an account holds in a format: archives, those that have a copy in another one, files, bytes."""

    account: str
    puid: str
    format: Format
    archives: int
    files: int
    bytes: int
    converted: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For programs, field names in French."""
        return {
            "compte": self.account,
            "puid": self.puid,
            "nom": self.format.name,
            "risque": self.format.risk,
            "pourquoi": self.format.why,
            "faire": self.format.todo,
            "archives": self.archives,
            "fichiers": self.files,
            "octets": self.bytes,
            "converties": self.converted,
        }


def read(folder: Path) -> dict[str, Format]:
    """What is known of each format, by PRONOM identifier: ours, and what an inventory says otherwise.

    Raises:
        FormatsError: with all its problems.
    """
    return _read_formats(TABLE) | (_read_formats(folder / NAME) if (folder / NAME).is_file() else {})


def _read_formats(file: Path) -> dict[str, Format]:
    source = Source(NAME, file.read_bytes())
    data = source.read()
    found: dict[str, Format] = {}
    if data is not None:
        source.check_schema(data, SCHEMA)
        if not source.problems:
            for index, one in enumerate(data["formats"]):
                for puid in one["puids"]:
                    if puid in found:
                        source.report(
                            f"{quote(puid)} est déjà plus haut",
                            "gardez-le en un seul endroit",
                            ("formats", index, "puids"),
                        )
                    found[puid] = Format(one["nom"], one["risque"], one["pourquoi"], one["faire"])
    if data is None or source.problems:
        raise FormatsError(source.problems)
    return found


def judge_holdings(counted: Iterable[Mapping[str, Any]], table: Mapping[str, Format]) -> list[FormatHolding]:
    """What the door counted, judged: the gravest first, then the largest.

    Args:
        counted: what `sae-versement formats --json` gave.
    """
    found = [
        FormatHolding(
            str(one["compte"]),
            str(one["format"]),
            table.get(str(one["format"]), NOT_WATCHED),
            int(one["archives"]),
            int(one["fichiers"]),
            int(one["octets"]),
            int(one.get("converties", 0)),  # a door of before conversions tells none
        )
        for one in counted
    ]
    ranks = list(RISKS)
    return sorted(found, key=lambda one: (ranks.index(one.format.risk), -one.bytes, one.account, one.puid))


def to_convert(table: Mapping[str, Format]) -> list[str]:
    """PRONOM identifiers of the formats whose risk is high: what they hold is to be converted."""
    return sorted(puid for puid, one in table.items() if one.risk == HIGH)


def headline(found: Sequence[FormatHolding]) -> str:
    """What is held, in a sentence: files and formats, and how many are at risk."""
    files, risky = sum(one.files for one in found), [one for one in found if one.format.risk in AT_RISK]
    kinds = len({one.puid for one in found})
    told = f"{files} fichiers archivés, {kinds} formats"
    if not risky:
        return f"{told}, aucun à risque."
    told += f" ; {sum(one.files for one in risky)} fichiers de {len({one.puid for one in risky})} formats à risque"
    done, held_ = sum(one.converted for one in risky), sum(one.archives for one in risky)
    return f"{told} ({done} archives sur {held_} ont leur copie : fab archive.convertir)."


def row(one: FormatHolding) -> tuple[str, ...]:
    """A line of the screen: risk, format, account, archives, files, size, what to do."""
    name = f"{one.format.name} ({one.puid})"
    archives = f"{one.archives} ({one.converted} avec copie)" if one.converted else str(one.archives)
    counts = (archives, str(one.files), size(one.bytes))
    return (RISKS[one.format.risk], name, one.account, *counts, f"{one.format.todo} : {one.format.why}")
