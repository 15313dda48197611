"""Figures of the gateway for the node exporter's textfile collector."""

from __future__ import annotations

import time

from creatic_agent.durable import write
from creatic_agent.figures import Figures, labels
from sae import access
from sae.config import Config
from sae.copies import Copies
from sae.elimination.ledger import SCHEMA
from sae.versement import antivirus
from sae.versement.registry import Registry

NAME = "sae_versement.prom"


def render(config: Config, registry: Registry) -> str:
    """The text of the .prom file."""
    figures, usage, accounts = Figures("sae_"), registry.usage(), config.accounts
    used = {name: usage.get(name, (0, 0)) for name in accounts}
    figures.add("archives", "Archives of each account.", {labels(compte=one): used[one][0] for one in accounts})
    figures.add(
        "archives_bytes", "Bytes of each account's archives.", {labels(compte=one): used[one][1] for one in accounts}
    )
    quotas = {labels(compte=name): one.quota_mo * 1_000_000 for name, one in accounts.items()}
    figures.add("quota_bytes", "Bytes that each account may have.", quotas)
    counts = {labels(compte=name, resultat=result): count for (name, result), count in registry.counts().items()}
    figures.add("versements", "Answers given, by account and result.", counts)
    waiting = [path for path in config.spool.iterdir() if not path.name.startswith(".")]
    ages = [time.time() - path.stat().st_mtime for path in waiting]
    figures.add("versements_waiting", "Versements without their answer yet.", len(waiting))
    figures.add("versements_waiting_seconds", "Age of the oldest of them.", max(ages, default=0))
    aside = len(list(config.set_aside.glob("*/sip")))
    figures.add("versements_set_aside", "SIPs that took their process away, kept to be understood.", aside)
    try:
        alive = antivirus.Clamd(config.clamd).version().startswith("ClamAV")
    except OSError:
        alive = False
    figures.add("antivirus_up", "1 while the virus scanner answers.", int(alive))
    age = antivirus.signatures_age(config.signatures)
    figures.add(
        "antivirus_signatures_age_seconds", "Age of the newest signatures, -1 without any.", -1 if age is None else age
    )
    count, age = Copies(config.folder, SCHEMA).figures(config)
    figures.add("copies_waiting", "Archives that were eliminated and whose copies are not all gone.", count)
    figures.add("copies_waiting_seconds", "Time since the oldest of them was eliminated.", age)
    answers, decisions = access.figures(config.folder, time.time())
    late = {labels(attend="reponse"): answers, labels(attend="decision"): decisions}
    figures.add(
        "access_late", "Requests to read archives without answer, or decision, in the time that law gives.", late
    )
    figures.add("maintenance_timestamp_seconds", "Last run of sae-versement entretien.", time.time())
    return str(figures)


def publish(config: Config, registry: Registry) -> None:
    """Replace the .prom file at once."""
    write(config.metrics / NAME, render(config, registry).encode(), mode=0o644)
