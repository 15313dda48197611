# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Curves of the morning's pages: acts by day, out of the mornings' own snapshots, as SVG that needs no program."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from creatic.evidence import store

DAYS = 30
_MAX_ACTS_PER_DAY = 1e5  # of one machine and day: beyond, it lies
# As figures.Figure.key writes it, the entity's label before the state's.
_ACKNOWLEDGED = re.compile(r"tdt_connector_deposits\{(entite=[a-z0-9-]{1,100},)?etat=acquitte\}")


@dataclass(frozen=True)
class Curve:
    """Something by day, or by hour.

    Attributes:
        title: what it is, French.
        unit: of a value, French and plural.
        points: when (as it is shown) and how much; None where nothing is known.
        bars: of what is counted; else a line.
    """

    title: str
    unit: str
    points: Sequence[tuple[str, float | None]]
    bars: bool = True

    @property
    def known_values(self) -> list[float]:
        """The values that are known."""
        return [value for _, value in self.points if value is not None]

    @property
    def top(self) -> float:
        """Where its axis ends: 1, 2 or 5 times a power of ten, no lower than any value."""
        most, power = max(self.known_values, default=0), 1.0
        while power * 10 <= most:
            power *= 10
        return next((step * power for step in (1, 2, 5, 10) if step * power >= most), 1.0) if most >= 1 else 1.0

    def bar_rectangles(self, width: int, height: int) -> list[tuple[float, float, float]]:
        """Left, top and width of each bar that is known, in a frame of that size."""
        step = width / max(len(self.points), 1)
        return [
            (round(rank * step, 1), round(height - height * value / self.top, 1), round(step * 0.8, 1))
            for rank, (_, value) in enumerate(self.points)
            if value is not None
        ]

    def lines(self, width: int, height: int) -> list[str]:
        """Points of each stretch that is known without a hole, as SVG's polyline takes them."""
        step, found, here = width / max(len(self.points) - 1, 1), list[str](), list[str]()
        for rank, (_, value) in enumerate([*self.points, ("", None)]):
            if value is not None:
                here.append(f"{rank * step:.1f},{height - height * value / self.top:.1f}")
            elif here:
                found.append(" ".join(here if len(here) > 1 else [*here, here[0]]))
                here = []
        return found


def acts(home: Path, owners: Mapping[str, str], today: dt.date) -> tuple[Curve, dict[str, Curve]]:
    """Acts and flows acknowledged by day: of all, and of each commune that had any.

    Args:
        home: state of the control node.
        owners: short name of the commune of each machine.
        today: the last day.

    Returns:
        A morning tells what was acknowledged since the one before: it is counted on the morning's day.
    """
    days = [today - dt.timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    by_commune: dict[str, dict[dt.date, float]] = {}
    told: set[dt.date] = set()
    before: dict[str, dict[str, float]] = {}
    for day in [days[0] - dt.timedelta(days=1), *days]:
        known = _read_counters(home / "matin" / f"{day.isoformat()}.json")
        if known is None:
            continue
        if before:
            told.add(day)
        for machine, own in known.items():
            slug, last = owners.get(machine, ""), before.setdefault(machine, {})
            more = sum(max(0, value - last.get(key, value)) for key, value in own.items())
            last |= own
            if slug and 0 < more <= _MAX_ACTS_PER_DAY:
                counted = by_commune.setdefault(slug, {})
                counted[day] = counted.get(day, 0) + more
    title = "Actes et flux acquittés, par jour"

    def curve(counted: Mapping[dt.date, float]) -> Curve:
        points = [(day.strftime("%d/%m/%Y"), counted.get(day, 0) if day in told else None) for day in days]
        return Curve(title, "acquittés", points)

    whole = {day: sum(one.get(day, 0) for one in by_commune.values()) for day in days}
    return curve(whole), {slug: curve(counted) for slug, counted in by_commune.items()}


def _read_counters(path: Path) -> dict[str, dict[str, float]] | None:
    """What each machine had acknowledged in all on a morning, its entities apart; None when none can be read."""
    snapshot: Any = store.read_json(path)
    if not isinstance(snapshot, dict):
        return None
    found = {}
    for machine, figures in snapshot.items():
        told = figures.items() if isinstance(figures, dict) else ()
        own = {
            key: float(value) for key, value in told if isinstance(value, int | float) and _ACKNOWLEDGED.fullmatch(key)
        }
        if own:
            found[machine] = own
    return found
