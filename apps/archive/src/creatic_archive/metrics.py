"""Figures of an archive node, for node exporter's textfile collector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from creatic_agent import durable
from creatic_agent.figures import Figures, labels

FILE = Path("/var/lib/creatic/metrics/archive.prom")


def text(state: dict[str, Any]) -> str:
    """The node's figures in Prometheus' format."""
    room, disks, set_aside = state["salle"], state["disques"], state["quarantaine"]
    mine: dict[str, Any] = next((node for node in room if node["nom"] == state["noeud"]), {})
    passes = {labels(kind=kind): done for kind, done in (mine.get("passes") or {}).items() if done}
    ages = {kind: round(max(0.0, state["instant"] - done["fin"])) for kind, done in passes.items()}
    quarantined = {
        labels(etat="repare"): set_aside["total"] - set_aside["a_reparer"],
        labels(etat="a_reparer"): set_aside["a_reparer"],
    }
    skew = round(max((abs(node.get("decalage_s") or 0) for node in room), default=0), 2)
    sizes = {
        labels(device=disk["nom"], kind=kind): disk[key]
        for disk in disks
        for kind, key in (("size", "octets"), ("free", "libres"))
    }
    failures = {kind: done["echecs"] for kind, done in passes.items()}
    figures = Figures("creatic_archive_")
    figures.add("in_service", "Whether clients may use this node.", int(state["en_service"]))
    figures.add("units_down", "Units of the node that do not run.", len(state["arretes"]))
    unreachable = sum(not node["repond"] for node in room)
    figures.add("nodes_unreachable", "Nodes of the ring that this one does not reach.", unreachable)
    figures.add("quarantined", "Archives set aside by the auditor since they were damaged.", quarantined)
    figures.add("async_pending", "Container updates that wait.", sum(disk["mises_a_jour"] for disk in disks))
    figures.add("replication_age_seconds", "Since the last complete pass of a replicator.", ages)
    figures.add("replication_failures", "Failures of the last complete pass.", failures)
    figures.add("clock_skew_seconds", "Largest difference with another node's clock.", skew)
    figures.add("disk_bytes", "Size and room of a disk.", sizes)
    return str(figures)


def write(state: dict[str, Any]) -> None:
    """Write the metrics file; a reader sees the old or the new one, whole."""
    durable.write(FILE, text(state).encode(), 0o644)
