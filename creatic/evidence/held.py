# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What servers hold of the communes that nobody reaches: proven by the runs of servers, kept in their sealed records.

Two kinds of runs ask servers for these communes: a rollout that names them, which keeps what it found in its
``etat.json`` as for any commune, and a deployment of the servers, in ``places.json``, each carrying forward what those
before it found. What is known is the latest of both.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from creatic.evidence import store
from creatic.evidence.rollout import PLACES, Commune, Run, assess, merge_state
from creatic.registry.wiring import DOORS

FILE = "places.json"
"""In the record of a deployment of servers: by short name of commune, then by place, as ``services`` of etat.json."""

Held = Mapping[str, Mapping[str, Any]]


def note_places(run: Run, communes: Iterable[Commune], before: Held) -> dict[str, dict[str, Any]]:
    """What is known of the places of communes that nobody reaches, after a run of the servers.

    Args:
        run: what happened to each server; one that was not asked, or that another run held, changes nothing.
        communes: every commune of the inventory.
        before: what was known before this run.
    """
    found: dict[str, dict[str, Any]] = {}
    for commune in communes:
        if not commune.outgoing:
            continue
        known = {commune.slug: {"services": dict(before.get(commune.slug, {}))}}
        state = merge_state([commune], {commune.slug: assess(commune, run, {})}, known)[commune.slug]
        # Doors that a connector opens are proven by its own report.
        found[commune.slug] = {
            place: one for place, one in state["services"].items() if one is not None and place not in DOORS
        }
    return found


def known_places(home: Path) -> dict[str, dict[str, Any]]:
    """The latest that is known of each commune's places, by short name, then by place.

    Args:
        home: state of the control node.
    """
    states = store.last_json(store.runs(home / "evidence"), "etat.json") or {}
    found = {slug: _readable_places(one.get("services")) for slug, one in states.items() if isinstance(one, dict)}
    for slug, places in (store.last_json(store.runs(home / "serveurs"), FILE) or {}).items():
        mine = found.setdefault(slug, {})
        for place, one in _readable_places(places).items():
            if place not in mine or moment(one) >= moment(mine[place]):
                mine[place] = one
    return found


def _readable_places(places: Any) -> dict[str, Any]:
    return {place: one for place, one in places.items() if place in PLACES and one} if isinstance(places, dict) else {}


def moment(entry: Mapping[str, Any]) -> dt.datetime:
    """When a place was proven, or not."""
    return dt.datetime.fromisoformat(str(entry["date"]))
