"""Figures for the node exporter's textfile collector."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from creatic_agent.durable import write
from creatic_agent.figures import Figures, labels

from . import executory, room
from .config import Config
from .eliminations import Eliminations
from .files import Files
from .letters import PARIS, Letters
from .steps import FINISHED, NAMES
from .store import Store


def publish(config: Config, store: Store) -> None:
    """Replace the .prom file at once."""
    if not config.metrics.parent.is_dir():
        return
    counts = store.counts()
    figures = Figures("passerelle_")
    acts = {labels(etape=step): counts.get(step, 0) for step in (*NAMES, FINISHED, "bloque")}
    figures.add("actes", "Acts by step; bloque: those that wait for a person.", acts)
    found = Letters(store, Files(config.folder)).shown(None, limit=10_000)
    states = {
        "non_prise": sum(not one.track.get("prise") for one in found),
        "a_repondre": sum(one.open for one in found),
        "en_retard": sum(one.late(datetime.now(PARIS).date()) for one in found),
    }
    letters = {labels(etat=state): count for state, count in states.items()}
    figures.add("lettres", "Letters of the préfecture that wait for a person of their commune.", letters)
    today = datetime.now(PARIS).date()
    known = [executory.publicity(one, config) for one in executory.unpublished(store, config, None)]
    waits = {"a_faire": len(known), "en_retard": sum(one.late(today) for one in known)}
    told = "Signed acts that nobody said published, posted up or notified; en_retard: for days."
    figures.add("publicite", told, {labels(etat=state): count for state, count in waits.items()})
    gone = Eliminations(config, store, Files(config.folder)).counts()
    told = "Acts that the archive eliminated, by how far their copies are; fausse: claims that it does not attest."
    figures.add("eliminations", told, {labels(etat=state): count for state, count in gone.items()})
    with store.transaction() as connection:
        crowded = room.full(connection)
    figures.add("communes_pleines", "Communes that used nine tenths of what their connectors may leave here.", crowded)
    figures.add("releve_timestamp_seconds", "Last look at what others have ready.", time.time())
    write(config.metrics, str(figures).encode(), 0o644)


def publish_council(config: Config, found: Mapping[str, Any] | None) -> None:
    """Replace the .prom file of what is late in the councils, as the deliberations' server says it; none without it."""
    path = config.metrics.with_name("passerelle_conseil.prom")
    if not config.metrics.parent.is_dir():
        return
    if found is None:
        path.unlink(missing_ok=True)
        return
    counts = {**(found.get("retards") or {}), **(found.get("convocations") or {})}
    counts["liste_en_echec"] = len(found.get("echecs") or ())
    figures = Figures("passerelle_")
    figures.add(
        "conseil",
        "What the councils' communes owe: lists and procès-verbaux that are late, convocations that wait.",
        {labels(etat=str(state)): int(count) for state, count in counts.items()},
    )
    figures.add("conseil_timestamp_seconds", "Last answer of the deliberations' server about it.", time.time())
    write(path, str(figures).encode(), 0o644)
