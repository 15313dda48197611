"""Figures for the node exporter's textfile collector."""

from __future__ import annotations

import time

from creatic_agent.durable import write

from .config import Config
from .steps import FINISHED, NAMES
from .store import Store


def publish(config: Config, store: Store) -> None:
    """Replace the .prom file at once."""
    if not config.metrics.parent.is_dir():
        return
    counts = store.counts()
    lines = ["# HELP passerelle_actes Acts by step; bloque: those that wait for a person."]
    lines.append("# TYPE passerelle_actes gauge")
    lines += [f'passerelle_actes{{etape="{step}"}} {counts.get(step, 0)}' for step in (*NAMES, FINISHED, "bloque")]
    lines += [
        "# HELP passerelle_releve_timestamp_seconds Last look at what others have ready.",
        "# TYPE passerelle_releve_timestamp_seconds gauge",
        f"passerelle_releve_timestamp_seconds {time.time():.0f}",
    ]
    write(config.metrics, ("\n".join(lines) + "\n").encode(), 0o644)
