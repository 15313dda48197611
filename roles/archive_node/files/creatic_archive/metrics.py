"""Figures of an archive node, for node exporter's textfile collector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from creatic_agent import durable

FILE = Path("/var/lib/creatic/metrics/archive.prom")


def text(state: dict[str, Any]) -> str:
    """The node's figures in Prometheus' format."""
    mine: dict[str, Any] = next((node for node in state["salle"] if node["nom"] == state["noeud"]), {})
    now = state["instant"]
    lines = [
        "# HELP creatic_archive_in_service Whether clients may use this node.",
        "# TYPE creatic_archive_in_service gauge",
        f"creatic_archive_in_service {int(state['en_service'])}",
        "# HELP creatic_archive_units_down Units of the node that do not run.",
        "# TYPE creatic_archive_units_down gauge",
        f"creatic_archive_units_down {len(state['arretes'])}",
        "# HELP creatic_archive_nodes_unreachable Nodes of the ring that this one does not reach.",
        "# TYPE creatic_archive_nodes_unreachable gauge",
        f"creatic_archive_nodes_unreachable {sum(not node['repond'] for node in state['salle'])}",
        "# HELP creatic_archive_quarantined Archives set aside by the auditor since they were damaged.",
        "# TYPE creatic_archive_quarantined gauge",
        f'creatic_archive_quarantined{{etat="repare"}} '
        f"{state['quarantaine']['total'] - state['quarantaine']['a_reparer']}",
        f'creatic_archive_quarantined{{etat="a_reparer"}} {state["quarantaine"]["a_reparer"]}',
        "# HELP creatic_archive_async_pending Container updates that wait.",
        "# TYPE creatic_archive_async_pending gauge",
        f"creatic_archive_async_pending {sum(disk['mises_a_jour'] for disk in state['disques'])}",
        "# HELP creatic_archive_replication_age_seconds Since the last complete pass of a replicator.",
        "# TYPE creatic_archive_replication_age_seconds gauge",
        *(
            f'creatic_archive_replication_age_seconds{{kind="{kind}"}} {max(0.0, now - done["fin"]):.0f}'
            for kind, done in (mine.get("passes") or {}).items()
            if done
        ),
        "# HELP creatic_archive_replication_failures Failures of the last complete pass.",
        "# TYPE creatic_archive_replication_failures gauge",
        *(
            f'creatic_archive_replication_failures{{kind="{kind}"}} {done["echecs"]}'
            for kind, done in (mine.get("passes") or {}).items()
            if done
        ),
        "# HELP creatic_archive_clock_skew_seconds Largest difference with another node's clock.",
        "# TYPE creatic_archive_clock_skew_seconds gauge",
        f"creatic_archive_clock_skew_seconds "
        f"{max((abs(node.get('decalage_s') or 0) for node in state['salle']), default=0):.2f}",
        "# HELP creatic_archive_disk_bytes Size and room of a disk.",
        "# TYPE creatic_archive_disk_bytes gauge",
        *(
            f'creatic_archive_disk_bytes{{device="{disk["nom"]}",kind="{kind}"}} {disk[key]}'
            for disk in state["disques"]
            for kind, key in (("size", "octets"), ("free", "libres"))
        ),
    ]
    return "\n".join(lines) + "\n"


def write(state: dict[str, Any]) -> None:
    """Write the metrics file; a reader sees the old or the new one, whole."""
    durable.write(FILE, text(state).encode(), 0o644)
