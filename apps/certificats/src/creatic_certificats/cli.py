"""Command line of the watch, in French."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path

from creatic_agent.durable import write
from creatic_agent.reasons import because

from . import probe, report
from .inventory import Watched, certificates, crls, read_certificate

ETC = Path("/etc/creatic")
METRICS = Path("/var/lib/creatic/metrics/certificats.prom")

# Where certificates are shown that no site shows: the figures' one, to the supervision.
PORTS = {"metriques": 9100}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="creatic-certificats", description="Certificats de cette machine : échéances et preuves."
    )
    parser.add_argument("--etc", type=Path, default=ETC, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="commande")
    commands.add_parser("liste", help="tableau des certificats et de leurs échéances (par défaut)")
    watch = commands.add_parser("surveiller", help="écrit les métriques et avertit le journal (minuterie)")
    watch.add_argument("--metriques", type=Path, default=METRICS, help="fichier pour Prometheus")
    prove = commands.add_parser("prouver", help="vérifie que les certificats en place servent vraiment")
    prove.add_argument("--url", default="", help="service qui demande un certificat client, par exemple le TdT")
    prove.add_argument("--adresse", default="127.0.0.1", help="où joindre le serveur de cette machine")
    prove.add_argument("--port", type=int, default=443, help="port du serveur de cette machine")
    prove.add_argument(
        "--refuse", metavar="NUMERO", default="", help="vérifie au contraire que ce certificat est refusé"
    )
    return parser


def _watch(etc: Path, path: Path, now: dt.datetime) -> int:
    found = [*certificates(etc), *crls(etc)]
    for line in report.warnings(found, now):
        print(line)
    write(path, report.metrics(found, now).encode(), 0o644)
    return 0


def _prove(options: argparse.Namespace) -> int:
    """Print one line per certificate; status 0 when all is proven, 1 when not, 3 when none applies."""
    # A version is kept in a folder named by its serial number: one replaced since can be tried too.
    version = options.refuse or "current"
    tried = failed = 0
    for path in sorted(options.etc.glob(f"pki/*/{version}/cert.pem")):
        one = read_certificate(path.parent.parent.name, path)
        reason = _try(one, options)
        if reason is None:
            continue
        tried += 1
        good = bool(reason) == bool(options.refuse)
        failed += not good
        print(f"{'✔' if good else '✘'} {one.name} (n° {one.serial}) : {reason or 'servi ou accepté'}")
    if not tried:
        print("Aucun certificat à éprouver sur cette machine.")
        return 3
    return 1 if failed else 0


def _try(one: Watched, options: argparse.Namespace) -> str | None:
    if one.is_server:
        return probe.served(one, options.etc, options.adresse, PORTS.get(one.name, options.port))
    if one.is_client and not one.names_a_machine and options.url:
        return probe.accepted(one, options.etc, options.url)
    return None


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    now = dt.datetime.now(dt.UTC)
    try:
        if options.command == "surveiller":
            return _watch(options.etc, options.metriques, now)
        if options.command == "prouver":
            return _prove(options)
    except (OSError, probe.ProbeError) as error:
        print(f"creatic-certificats : {because(error)}", file=sys.stderr)
        return 2
    sys.stdout.write(report.table([*certificates(options.etc), *crls(options.etc)], now))
    return 0
