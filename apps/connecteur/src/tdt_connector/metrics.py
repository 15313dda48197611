"""Figures for the node exporter's textfile collector."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime

from creatic_agent.durable import write
from creatic_agent.figures import Figures, labels

from . import archive, certificate
from .config import Config
from .drivers import DRIVERS
from .journal import Journal


def render(config: Config, journal: Journal) -> str:
    """The text of the .prom file."""
    whose = {"entite": config.entite} if config.entite else {}
    figures, now = Figures("tdt_connector_", **whose), time.time()
    states = {labels(etat=state.value): count for state, count in journal.counts().items()}
    figures.add("deposits", "Deposits by state.", states)
    acts, flows = journal.refused()
    refusals = {labels(par="prefecture"): acts, labels(par="dgfip"): flows}
    figures.add("refused", "Acts that the préfecture refused, flows that the DGFiP did (Helios).", refusals)
    oldest = journal.oldest(DRIVERS[config.tdt].transmitted)
    age = now - oldest if oldest else 0
    figures.add("oldest_transmitted_seconds", "Age of the oldest act at status 3, awaiting its ARActe.", age)
    for key, name, text in (
        ("contact_le", "last_contact_timestamp_seconds", "Last successful exchange with the TdT."),
        ("cycle_le", "last_cycle_timestamp_seconds", "Last complete cycle of the agent."),
        ("nomenclature_le", "classification_checked_timestamp_seconds", "Last fetch of the classification."),
    ):
        figures.add(name, text, float(journal.value(key, "0")))
    version = journal.value("nomenclature_version")
    if version:
        day = date.fromisoformat(version)
        stamp = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        figures.add("classification_version_timestamp_seconds", "Version date of the classification.", stamp)
    figures.add("contact_failing", "1 while the TdT cannot be used.", int(bool(journal.value("contact_erreur"))))
    try:
        expires = certificate.read(config.certificat, config.revocation).expires.timestamp()
    except certificate.CertificateError:
        expires = 0
    figures.add("certificate_expiry_timestamp_seconds", "End of the client certificate, 0 if unusable.", expires)
    waiting = sum(1 for item in config.folder_depot.iterdir() if not item.name.startswith("."))
    figures.add("depot_files", "Files in the hot folder.", waiting)
    if config.archive_url:
        left = archive.unarchived(config)
        refused = sum((path / archive.REFUSED).is_file() for path in left)
        counts = {labels(etat="attente"): len(left) - refused, labels(etat="refuse"): refused}
        figures.add("unarchived_acts", "Acquitted acts that are not in the archive.", counts)
    return str(figures)


def publish(config: Config, journal: Journal) -> None:
    """Replace the .prom file at once."""
    write(config.metriques, render(config, journal).encode(), mode=0o644)
