"""Command line of `creatic-archive`. Answers are JSON for the journeys, or a line of French."""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

from creatic_archive import copies, metrics, quarantine, room, sample

# A running request may be a large deposit.
_DRAIN_S = 120


def _parser() -> argparse.ArgumentParser:
    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        return command

    parser = argparse.ArgumentParser(prog="creatic-archive", description="Nœud de la salle d'archives.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="commande")
    add("etat", _show_state, "état du nœud et de la salle (JSON)")
    fixity = add("fixite", _sample, "lit un échantillon d'archives sur tous leurs nœuds (JSON)")
    fixity.add_argument("--nombre", type=int, default=20, help="archives lues (20)")
    add("retirer", _leave, "met le nœud hors service : les clients vont aux autres")
    add("remettre", _rejoin, "remet le nœud en service")
    caught = add("rattraper", _catch_up, "attend que les autres nœuds lui aient tout rendu depuis son retour")
    caught.add_argument("--patience", type=int, default=3600, help="secondes (3600)")
    whole = add("bilan", _report, "état, copies par partition et échantillon de fixité (JSON)")
    whole.add_argument("--nombre", type=int, default=20, help="archives lues (20)")
    whole.add_argument(
        "--attendues",
        action="store_true",
        help="lit sur l'entrée ce que donne « sae-journal attendues », et dit ce que ce nœud n'a pas",
    )
    add("absentes", _absent, "ce que ce nœud n'a pas, de la liste lue sur l'entrée (JSON)")
    again = add("recalculer", _look_again, "fait relire des partitions sur le disque par Swift")
    again.add_argument("partitions", nargs="+", type=int)
    add("redemarrer", _restart, "redémarre Swift et attend qu'il réponde")
    add("absence", _absence, "échoue si le nœud est resté trop longtemps loin de la salle")
    add("mesurer", _measure, "écrit les métriques")
    return parser


def _names(text: str) -> list[str]:
    """Names of the lists of several gateways, a line each."""
    lists = (zlib.decompress(base64.b64decode(line)).decode() for line in text.split())
    return [name for names in lists for name in names.splitlines()]


def _catch_up(given: argparse.Namespace) -> int:
    since = room.BACK.stat().st_mtime if room.BACK.exists() else time.time()
    deadline = time.monotonic() + given.patience
    while left := room.behind(since):
        if time.monotonic() > deadline:
            print(f"Pas à jour après {given.patience} s : {' ; '.join(left)}.", file=sys.stderr)
            return 1
        time.sleep(2)
    print(f"À jour {time.time() - since:.0f} s après son retour.")
    return 0


def _absence(_given: argparse.Namespace) -> int:
    away = room.absence()
    if away <= room.ABSENCE_S:
        return 0
    print(
        f"Ce nœud a été absent {away / 86400:.0f} jours : il rendrait des archives éliminées depuis, Swift n'est pas "
        "démarré. Vérifiez l'heure du nœud ; si elle est juste, remplacez-le par un nœud vide (docs/exploitation.md).",
        file=sys.stderr,
    )
    return 1


def _state() -> dict[str, Any]:
    return room.state() | {"audit": room.audited()}


def _show_state(_given: argparse.Namespace) -> int:
    print(json.dumps(_state(), ensure_ascii=False))
    return 0


def _report(given: argparse.Namespace) -> int:
    state = _state()
    # Writes go on: copies are compared within a short time of each other on all nodes, so they come first.
    found = {"copies": copies.listing(), "etat": state, "fixite": sample.check(given.nombre)}
    if given.attendues:
        found["presence"] = copies.absent(_names(sys.stdin.read()))
    print(json.dumps(found, ensure_ascii=False))
    return 0


def _absent(_given: argparse.Namespace) -> int:
    print(json.dumps(copies.absent(_names(sys.stdin.read()))))
    return 0


def _look_again(given: argparse.Namespace) -> int:
    copies.look_again(given.partitions)
    return 0


def _sample(given: argparse.Namespace) -> int:
    found = sample.check(given.nombre)
    print(json.dumps(found, ensure_ascii=False))
    return 1 if found["manquants"] or found["abimes"] or found["muets"] else 0


def _leave(_given: argparse.Namespace) -> int:
    room.leave()
    deadline = time.monotonic() + _DRAIN_S
    while room.busy() and time.monotonic() < deadline:
        time.sleep(0.2)
    print("Hors service.")
    return 0


def _rejoin(_given: argparse.Namespace) -> int:
    if not room.healthy():
        print("Swift ne répond pas sur ce nœud : il reste hors service.", file=sys.stderr)
        return 1
    room.rejoin()
    print("En service.")
    return 0


def _restart(_given: argparse.Namespace) -> int:
    if room.restart(60):
        return 0
    print("Swift ne répond pas une minute après son redémarrage : voir journalctl -u 'swift-*'", file=sys.stderr)
    return 1


def _measure(_given: argparse.Namespace) -> int:
    quarantine.write()
    state = room.state()
    metrics.write(state)
    room.note_presence(state)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 1 when what was asked for is not so (a bad replica, a service that does not come back).
    """
    given = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = given.run
    return run(given)
