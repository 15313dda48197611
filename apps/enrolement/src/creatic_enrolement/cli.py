# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""creatic-enrolement: what the control node asks of the door, over SSH."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sqlite3
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from creatic_agent import french

from .store import BadRequest, Store
from .web import FOLDER

_LARGEST = 4 << 20  # bytes of what is sent
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit status."""
    french.speak()
    parser = argparse.ArgumentParser(prog="creatic-enrolement", description="Porte d'enrôlement des postes.")
    state = Path(os.environ.get(FOLDER, "/var/lib/enrolement"))
    parser.add_argument("--dossier", type=Path, default=state, help="état")
    commands = parser.add_subparsers(dest="commande", required=True, metavar="COMMANDE")
    commands.add_parser("publier", help="prendre des empreintes de jetons (JSON, sur l'entrée)")
    telling = commands.add_parser("releve", help="demandes qui attendent, mésusages, certificats vus (JSON)")
    telling.add_argument("--apres", type=int, default=0, help="numéro du dernier mésusage qui est déjà connu")
    telling.add_argument("--depuis", default="", help="dernière demande qui est déjà connue : sa date et son numéro")
    facts = commands.add_parser("constats", help="ce que les postes disent d'eux-mêmes (JSON)")
    facts.add_argument("--apres", default="", help="empreinte du dernier certificat qui est déjà connu")
    seen = commands.add_parser("vus", help="dernière fois où chaque certificat a été montré (JSON)")
    seen.add_argument("--apres", default="", help="empreinte du dernier certificat qui est déjà connu")
    commands.add_parser("repondre", help="prendre des certificats et des refus (JSON, sur l'entrée)")
    given = parser.parse_args(argv)
    try:
        store, now = Store(given.dossier), datetime.now(UTC)
        if given.commande == "releve":
            print(json.dumps(store.statement(given.apres, now, given.depuis)))
        elif given.commande == "constats":
            print(json.dumps(store.facts(given.apres)))
        elif given.commande == "vus":
            print(json.dumps(store.seen(given.apres)))
        elif given.commande == "publier":
            print(json.dumps({"jetons": store.publish(_input(), now)}))
        else:
            print(json.dumps({"reponses": store.answer(_input())}))
    except BadRequest as error:
        print(f"creatic-enrolement : {error}", file=sys.stderr)
        return 1
    except (OSError, sqlite3.Error, OverflowError) as error:
        full = getattr(error, "errno", 0) == errno.ENOSPC or getattr(error, "sqlite_errorname", "") in _FULL
        why = "disque plein" if full else type(error).__name__
        print(f"creatic-enrolement : {given.dossier} ne peut être lu ou écrit ({why})", file=sys.stderr)
        return 1
    return 0


def _input() -> Any:
    text = sys.stdin.buffer.read(_LARGEST + 1)
    try:
        return json.loads(text[:_LARGEST]) if len(text) <= _LARGEST else None
    except (ValueError, RecursionError):
        raise BadRequest("l'envoi n'est pas du JSON : rien n'est changé") from None
