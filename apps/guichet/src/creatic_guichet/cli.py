"""creatic-guichet: what the control node asks of the door, over SSH."""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import sqlite3
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from creatic_agent import french

from . import door
from .store import BadRequest, Store
from .web import FOLDER

_MARKS = re.compile(r"\d{1,18}:[0-9a-f]{64}(,\d{1,18}:[0-9a-f]{64}){0,99}", re.ASCII)
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
_LISTENS = "0A"  # TCP_LISTEN, as proc_net_tcp(5) writes it


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit status."""
    french.speak()
    parser = argparse.ArgumentParser(
        prog="creatic-guichet", description="Guichet des machines que nul ne peut joindre."
    )
    parser.add_argument("--dossier", type=Path, default=Path(os.environ.get(FOLDER, "/var/lib/guichet")), help="état")
    parser.add_argument("--cles", type=Path, default=Path("/var/lib/guichet-cles/cles"), help="clés des tunnels")
    parser.add_argument("--hote", type=Path, default=Path("/var/lib/guichet-porte/hote.pub"), help="clé du guichet")
    commands = parser.add_subparsers(dest="commande", required=True, metavar="COMMANDE")
    taking = commands.add_parser("recevoir", help="prendre un envoi du poste de commande")
    taking.add_argument("envoi", type=Path, help="le fichier de l'envoi, qui est ôté")
    commands.add_parser("porte", help="tenir le sshd des portes de secours, jusqu'à la fin d'un ordre")
    commands.add_parser("etat", help="ce qui est su de chaque machine (JSON)")
    proving = commands.add_parser(
        "preuves", help="le dernier compte rendu de chaque machine qui porte des preuves (JSON)"
    )
    told = "par tranches, ce qui suit le premier de ces NUMERO:SHA256 qui est encore ici ; 0 : tout"
    proving.add_argument("--apres", required=True, help=told)
    carrying = commands.add_parser("releves", help="le dernier relevé de chaque machine, pour l'audit (JSON)")
    carrying.add_argument("--apres", default="", help="nom de la dernière machine qui est déjà connue")
    carrying.add_argument("machines", nargs="*", help="celles-ci seulement")
    telling = commands.add_parser("comptes-rendus", help="ce que les machines ont dit (JSON)")
    telling.add_argument("--apres", type=int, default=0, help="numéro du dernier qui est déjà connu")
    given = parser.parse_args(argv)
    if given.commande == "porte":
        return door.hold(given.cles)
    try:
        store = Store(given.dossier, given.cles, given.hote, listening)
        if given.commande == "recevoir":
            try:
                with given.envoi.open("rb") as stream:
                    print(f"{store.receive(stream)} manifestes reçus")
            finally:
                given.envoi.unlink(missing_ok=True)  # what is taken is elsewhere; what is not is sent again
        elif given.commande == "etat":
            print(json.dumps(store.listing(datetime.now(UTC))))
        elif given.commande == "preuves":
            print(json.dumps(store.proven(_marks(given.apres))))
        elif given.commande == "releves":
            print(json.dumps(store.releves(given.apres, {*given.machines})))
        else:
            print(json.dumps(store.reports(given.apres)))
    except BadRequest as error:
        print(f"creatic-guichet : {error}", file=sys.stderr)
        return 1
    except (OSError, sqlite3.Error) as error:
        full = getattr(error, "errno", 0) == errno.ENOSPC or getattr(error, "sqlite_errorname", "") in _FULL
        why = "disque plein" if full else type(error).__name__
        print(f"creatic-guichet : {given.dossier} ou l'envoi ne peut être lu ou écrit ({why})", file=sys.stderr)
        return 1
    return 0


def _marks(text: str) -> list[tuple[int, str]]:
    if text != "0" and not _MARKS.fullmatch(text):
        raise BadRequest("preuves --apres : attendu NUMERO:SHA256, plusieurs séparés par des virgules, ou 0")
    pairs = (one.partition(":") for one in text.split(",") if text != "0")
    return [(int(number), sha256) for number, _colon, sha256 in pairs]


def listening(table: Path = Path("/proc/net/tcp")) -> set[int]:
    """Ports of this machine that answer over IPv4."""
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _LISTENS}
