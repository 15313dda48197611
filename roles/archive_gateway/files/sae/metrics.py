"""Figures of the gateway for the node exporter's textfile collector."""

from __future__ import annotations

import time

from creatic_agent.durable import write
from sae.config import Config
from sae.versement import antivirus
from sae.versement.registry import Registry

NAME = "sae_versement.prom"


def render(config: Config, registry: Registry) -> str:
    """The text of the .prom file."""
    lines: list[str] = []

    def gauge(name: str, text: str, samples: dict[str, float]) -> None:
        lines.append(f"# HELP sae_{name} {text}")
        lines.append(f"# TYPE sae_{name} gauge")
        lines.extend(f"sae_{name}{labels} {value:.10g}" for labels, value in samples.items())

    usage = registry.usage()
    gauge(
        "archives",
        "Archives of each account.",
        {f'{{compte="{name}"}}': float(usage.get(name, (0, 0))[0]) for name in config.accounts},
    )
    gauge(
        "archives_bytes",
        "Bytes of each account's archives.",
        {f'{{compte="{name}"}}': float(usage.get(name, (0, 0))[1]) for name in config.accounts},
    )
    gauge(
        "quota_bytes",
        "Bytes that each account may have.",
        {f'{{compte="{name}"}}': one.quota_mo * 1e6 for name, one in config.accounts.items()},
    )
    counts = registry.counts()
    labels = {(name, result): f'{{compte="{name}",resultat="{result}"}}' for name, result in counts}
    gauge("versements", "Answers given, by account and result.", {labels[key]: float(counts[key]) for key in counts})
    waiting = [path for path in config.spool.iterdir() if not path.name.startswith(".")]
    ages = [time.time() - path.stat().st_mtime for path in waiting]
    gauge("versements_waiting", "Versements without their answer yet.", {"": float(len(waiting))})
    gauge("versements_waiting_seconds", "Age of the oldest of them.", {"": max(ages, default=0.0)})
    aside = len(list(config.set_aside.glob("*/sip")))
    gauge("versements_set_aside", "SIPs that took their process away, kept to be understood.", {"": float(aside)})
    try:
        alive = antivirus.Clamd(config.clamd).version().startswith("ClamAV")
    except OSError:
        alive = False
    gauge("antivirus_up", "1 while the virus scanner answers.", {"": float(alive)})
    age = antivirus.signatures_age(config.signatures)
    gauge(
        "antivirus_signatures_age_seconds",
        "Age of the newest signatures, -1 without any.",
        {"": -1.0 if age is None else age},
    )
    gauge("maintenance_timestamp_seconds", "Last run of sae-versement entretien.", {"": time.time()})
    return "\n".join(lines) + "\n"


def publish(config: Config, registry: Registry) -> None:
    """Replace the .prom file at once."""
    write(config.metrics / NAME, render(config, registry).encode(), mode=0o644)
