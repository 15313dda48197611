"""Command line of `creatic-archive`. Answers are JSON for the journeys, or a line of French."""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
import zlib

from creatic_archive import copies, metrics, quarantine, room, sample

# A running request may be a large deposit.
_DRAIN_S = 120


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="creatic-archive", description="Nœud de la salle d'archives.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="commande")
    commands.add_parser("etat", help="état du nœud et de la salle (JSON)")
    fixity = commands.add_parser("fixite", help="lit un échantillon d'archives sur tous leurs nœuds (JSON)")
    fixity.add_argument("--nombre", type=int, default=20, help="archives lues (20)")
    commands.add_parser("retirer", help="met le nœud hors service : les clients vont aux autres")
    commands.add_parser("remettre", help="remet le nœud en service")
    caught = commands.add_parser("rattraper", help="attend que les autres nœuds lui aient tout rendu depuis son retour")
    caught.add_argument("--patience", type=int, default=3600, help="secondes (3600)")
    whole = commands.add_parser("bilan", help="état, copies par partition et échantillon de fixité (JSON)")
    whole.add_argument("--nombre", type=int, default=20, help="archives lues (20)")
    whole.add_argument(
        "--attendues",
        action="store_true",
        help="lit sur l'entrée ce que donne « sae-journal attendues », et dit ce que ce nœud n'a pas",
    )
    commands.add_parser("absentes", help="ce que ce nœud n'a pas, de la liste lue sur l'entrée (JSON)")
    again = commands.add_parser("recalculer", help="fait relire des partitions sur le disque par Swift")
    again.add_argument("partitions", nargs="+", type=int)
    commands.add_parser("redemarrer", help="redémarre Swift et attend qu'il réponde")
    commands.add_parser("absence", help="échoue si le nœud est resté trop longtemps loin de la salle")
    commands.add_parser("mesurer", help="écrit les métriques")
    return parser


def _names(text: str) -> list[str]:
    """Names of the lists of several gateways, a line each."""
    lists = (zlib.decompress(base64.b64decode(line)).decode() for line in text.split())
    return [name for names in lists for name in names.splitlines()]


def _catch_up(patience: int) -> int:
    since = room.BACK.stat().st_mtime if room.BACK.exists() else time.time()
    deadline = time.monotonic() + patience
    while left := room.behind(since):
        if time.monotonic() > deadline:
            print(f"Pas à jour après {patience} s : {' ; '.join(left)}.", file=sys.stderr)
            return 1
        time.sleep(2)
    print(f"À jour {time.time() - since:.0f} s après son retour.")
    return 0


def _absence() -> int:
    away = room.absence()
    if away <= room.ABSENCE_S:
        return 0
    print(
        f"Ce nœud a été absent {away / 86400:.0f} jours : il rendrait des archives éliminées depuis, Swift n'est pas "
        "démarré. Vérifiez l'heure du nœud ; si elle est juste, remplacez-le par un nœud vide (docs/exploitation.md).",
        file=sys.stderr,
    )
    return 1


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 1 when what was asked for is not so (a bad replica, a service that does not come back).
    """
    given = _parser().parse_args(argv)
    if given.command == "etat":
        print(json.dumps(room.state() | {"audit": room.audited()}, ensure_ascii=False))
        return 0
    if given.command == "bilan":
        state = room.state() | {"audit": room.audited()}
        # Writes go on: copies are compared within a short time of each other on all nodes, so they come first.
        found = {"copies": copies.listing(), "etat": state, "fixite": sample.check(given.nombre)}
        if given.attendues:
            found["presence"] = copies.absent(_names(sys.stdin.read()))
        print(json.dumps(found, ensure_ascii=False))
        return 0
    if given.command == "absentes":
        print(json.dumps(copies.absent(_names(sys.stdin.read()))))
        return 0
    if given.command == "recalculer":
        copies.look_again(given.partitions)
        return 0
    if given.command == "rattraper":
        return _catch_up(given.patience)
    if given.command == "fixite":
        found = sample.check(given.nombre)
        print(json.dumps(found, ensure_ascii=False))
        return 1 if found["manquants"] or found["abimes"] or found["muets"] else 0
    if given.command == "retirer":
        room.leave()
        deadline = time.monotonic() + _DRAIN_S
        while room.busy() and time.monotonic() < deadline:
            time.sleep(0.2)
        print("Hors service.")
        return 0
    if given.command == "remettre":
        if not room.healthy():
            print("Swift ne répond pas sur ce nœud : il reste hors service.", file=sys.stderr)
            return 1
        room.rejoin()
        print("En service.")
        return 0
    if given.command == "redemarrer":
        if room.restart(60):
            return 0
        print("Swift ne répond pas une minute après son redémarrage : voir journalctl -u 'swift-*'", file=sys.stderr)
        return 1
    if given.command == "absence":
        return _absence()
    quarantine.write()
    state = room.state()
    metrics.write(state)
    room.note_presence(state)
    return 0
