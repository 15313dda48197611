"""creatic-flotte: passer (once, for the timer), etat (for a person), tunnel (for creatic-porte.service)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from creatic_agent import french
from creatic_agent.configuration import ConfigError
from creatic_flotte import emergency, passage
from creatic_flotte.settings import CONFIG, FleetError, load

AWAY_STATUS = 75
"""Exit status of a pass that will be tried again: EX_TEMPFAIL, sysexits.h. Its unit takes it for a success."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit status."""
    french.speak()
    parser = argparse.ArgumentParser(prog="creatic-flotte", description="Tient cette machine à jour, d'elle-même.")
    parser.add_argument("--config", type=Path, default=CONFIG, help="configuration")
    told = "passer une fois ; dire où en est la machine ; tenir ouverte la porte de secours qui a été demandée"
    parser.add_argument("commande", choices=("passer", "etat", "tunnel"), help=told)
    given = parser.parse_args(argv)
    try:
        if given.commande == "tunnel":
            return emergency.tunnel()
        settings = load(given.config)
        if given.commande == "etat":
            print(passage.journal(settings.state))
            return 0
        kind, text = passage.Passage(settings).perform()
    except (FleetError, ConfigError) as error:
        print(f"creatic-flotte : {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError):
        print("creatic-flotte : aucun passage n'est encore noté, ou son état est illisible", file=sys.stderr)
        return 1
    words = {passage.REFUSED: "refusé : ", passage.FAILED: "échec : ", passage.AWAY: "en attente : "}
    print(f"creatic-flotte : {words.get(kind, '')}{text}", file=sys.stderr if kind in words else sys.stdout)
    return {passage.REFUSED: 1, passage.FAILED: 1, passage.AWAY: AWAY_STATUS}.get(kind, 0)
