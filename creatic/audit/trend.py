# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The trend over audits: controls that hold, by territory and month, as a page to read and an ODS to sort.

Of a month, each machine counts once: as the last audit of that month that could judge it found it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import words

from creatic.audit import store as audit_store
from creatic.audit.asked import CENTRAL
from creatic.audit.sources import CONFORME, DEROGATION, NON_CONFORME, NON_VERIFIE, AuditError
from creatic.evidence import page as evidence_page
from creatic.evidence import store as evidence_store
from creatic_agent import spreadsheet

HEAD = [
    *("Territoire", "Mois", "Machines", "Contrôles jugés", "Conformes", "Dérogations", "Non conformes"),
    *("Non vérifiés", "Part conforme (%)", "Machines en dérive", "Correctifs de sécurité en attente", "Audits"),
]


evidence_page.ENVIRONMENT.filters.update(
    month_name=lambda month: words.day(f"{month}-15").split(" ", 2)[2],
    decimal=lambda number: f"{number:g}".replace(".", ","),
)


@dataclass
class Cell:
    """A territory in a month.

    Attributes:
        verdicts: of all its machines' controls, by verdict.
        audits: those that its machines were found by.
    """

    territory: str
    month: str
    machines: int
    verdicts: Mapping[str, int]
    drifted: int
    security: int
    audits: Sequence[str]

    @property
    def judged(self) -> int:
        """Controls of which something is said: what nobody tried, a person attests or is of no object counts not."""
        return sum(self.verdicts.get(name, 0) for name in (CONFORME, DEROGATION, NON_CONFORME))

    @property
    def share(self) -> float | None:
        """Controls that hold, of those of which something is said, in percent; a waiver holds nothing."""
        return round(100 * self.verdicts.get(CONFORME, 0) / self.judged, 1) if self.judged else None

    def row(self) -> list[Any]:
        """Of the sheet."""
        told = [self.verdicts.get(name, 0) for name in (CONFORME, DEROGATION, NON_CONFORME, NON_VERIFIE)]
        share = "" if self.share is None else self.share
        head = [self.territory, self.month, self.machines, self.judged]
        return [*head, *told, share, self.drifted, self.security, ", ".join(self.audits)]


def read(home: Path) -> Iterable[Mapping[str, Any]]:
    """Results of the audits of a control node, the oldest first, one at a time: whole ones, that can be read."""
    for run in evidence_store.runs(home / "audits"):
        found = evidence_store.read_json(run / audit_store.RESULTS)
        if isinstance(found, dict) and not found.get("interrompu"):
            yield found


def cells(audits: Iterable[Mapping[str, Any]]) -> list[Cell]:
    """Sum up, by territory then month."""
    last: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
    for results in audits:
        for machine in results["machines"]:
            if machine["etat"] == "hors_portee":
                continue
            kept: dict[str, Any] = {
                "territoire": str((machine["commune"] or {}).get("territoire") or CENTRAL),
                "verdicts": dict(machine["verdicts"]),
                "derive": bool(machine["derive"]),
                "securite": len((machine["correctifs"] or {"securite": ()})["securite"]),
            }
            key = (str(results["fin"])[:7], str(machine["nom"]))
            if machine["etat"] == "auditee" or key not in last:
                last[key] = (str(results["audit"]), kept)
    groups: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for (month, _name), (audit, kept) in last.items():
        groups.setdefault((kept["territoire"], month), []).append((audit, kept))
    found = []
    for (territory, month), members in sorted(groups.items()):
        verdicts: dict[str, int] = {}
        for _audit, kept in members:
            for name, times in kept["verdicts"].items():
                verdicts[name] = verdicts.get(name, 0) + times
        drifted = sum(kept["derive"] for _audit, kept in members)
        security = sum(kept["securite"] for _audit, kept in members)
        audits_ = sorted({audit for audit, _kept in members})
        found.append(Cell(territory, month, len(members), verdicts, drifted, security, audits_))
    return found


def sheet(found: Sequence[Cell]) -> bytes:
    """The trend as an ODS, a row for each territory and month."""
    return spreadsheet.make({"Tendance": (HEAD, [cell.row() for cell in found])})


def page(found: Sequence[Cell], environment: str) -> str:
    """The trend as one page: months across, territories down."""
    months = sorted({cell.month for cell in found})
    rows: dict[str, dict[str, Cell]] = {}
    for cell in found:
        rows.setdefault(cell.territory, {})[cell.month] = cell
    template = evidence_page.ENVIRONMENT.get_template("tendance.html.j2")
    return template.render(months=months, rows=rows, environment=environment, moves=_month_changes(rows))


def _month_changes(rows: Mapping[str, Mapping[str, Cell]]) -> dict[str, float]:
    """What the last month changed of the one before that was judged, in points, by territory."""
    moves = {}
    for territory, months in rows.items():
        shares = [cell.share for _month, cell in sorted(months.items()) if cell.share is not None]
        if len(shares) > 1:
            moves[territory] = round(shares[-1] - shares[-2], 1)
    return moves


def draw(home: Path, environment: str) -> tuple[list[Cell], str, bytes]:
    """Cells, page and sheet of a control node's audits.

    Raises:
        AuditError: there is no audit to draw a trend of.
    """
    found = cells(read(home))
    if not found:
        raise AuditError("Aucun audit entier sur ce poste de commande : « fab audit » en fait un, la tendance suit")
    return found, page(found, environment), sheet(found)
