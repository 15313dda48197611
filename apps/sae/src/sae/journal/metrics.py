"""What Prometheus reads of the journal."""

from __future__ import annotations

import time
from pathlib import Path

from creatic_agent import durable
from creatic_agent.figures import Figures
from sae.journal.log import Journal
from sae.journal.seal import last_seal, sealed_up_to, seals


def write(folder: Path, journal: Journal, *, failed: bool) -> None:
    """Write the figures after a sealing; `failed` tells that it could not be done."""
    if not folder.is_dir():
        return
    last, seal = journal.last(), last_seal(journal)
    waiting = next(journal.events(sealed_up_to(journal) + 1), None)
    found = {
        "evenements": ("Événements du journal.", last.seq if last else 0),
        "sceaux": ("Sceaux du journal.", seal.fields["numero"] if seal else 0),
        "sceaux_en_attente": ("Sceaux pas encore déposés au stockage.", sum(1 for _ in seals(journal, stored=False))),
        "plus_ancien_non_scelle_seconds": (
            "Date du plus ancien événement pas encore scellé (depuis 1970), 0 s'il n'y en a pas.",
            int(waiting.at.timestamp()) if waiting else 0,
        ),
        "scellement_seconds": ("Date du dernier essai de scellement (depuis 1970).", int(time.time())),
        "scellement_echec": ("1 si le dernier essai de scellement a échoué.", int(failed)),
    }
    figures = Figures("sae_journal_")
    for name, (text, value) in found.items():
        figures.add(name, text, value)
    durable.write(folder / "sae_journal.prom", str(figures).encode(), mode=0o644)
