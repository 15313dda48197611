# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""creatic-journaux: what the units of the collector run, and what the control node asks of it."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import ssl
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from creatic_agent import durable, french
from creatic_agent.reasons import because

from . import receive, seal

METRICS = Path("/var/lib/creatic/metrics")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit status."""
    french.speak()
    parser = argparse.ArgumentParser(prog="creatic-journaux", description="Collecteur des journaux des machines.")
    parser.add_argument("--dossier", type=Path, default=Path("/var/lib/journaux"), help="ce qui est reçu")
    parser.add_argument("--scelles", type=Path, default=Path("/var/log/journaux"), help="jours scellés")
    parser.add_argument("--mesures", type=Path, default=METRICS, help="dossier des mesures")
    commands = parser.add_subparsers(dest="commande", required=True, metavar="COMMANDE")
    taking = commands.add_parser("recevoir", help="recevoir, jusqu'à SIGTERM")
    taking.add_argument("--pki", type=Path, default=Path("/etc/creatic/pki"), help="autorités et certificat")
    taking.add_argument("--attendues", type=Path, required=True, help="machines qui doivent envoyer")
    taking.add_argument("--machine-mo", type=int, required=True, help="mégaoctets d'une machine par jour")
    taking.add_argument("--adresse", default="", help="où écouter ; partout d'office")
    taking.add_argument("--port", type=int, default=receive.PORT, help="port")
    sealing = commands.add_parser("sceller", help="sceller les jours finis, ôter ceux qui ont passé leur terme")
    sealing.add_argument("--jours", type=int, required=True, help="jours gardés")
    sealing.add_argument("--mo", type=int, required=True, help="mégaoctets gardés")
    telling = commands.add_parser("exporter", help="manifestes des jours scellés (JSON)")
    telling.add_argument("--apres", type=int, default=0, help="numéro du dernier qui est déjà connu")
    commands.add_parser("verifier", help="relire tous les jours scellés (JSON)")
    given = parser.parse_args(argv)
    try:
        return _run(given)
    except (seal.SealError, ssl.SSLError, OSError) as error:
        print(f"creatic-journaux : {because(error)}", file=sys.stderr)
        return 1


def _run(given: argparse.Namespace) -> int:
    os.umask(0o027)
    if given.commande == "recevoir":
        trust = receive.Trust(given.pki / "collecteur" / "current", given.pki)
        most = given.machine_mo << 20
        collector = receive.Collector(
            given.dossier, trust, most, given.attendues, given.mesures / "journaux-reception.prom"
        )
        asyncio.run(collector.serve(receive.listen(given.adresse, given.port)))
    elif given.commande == "sceller":
        today = dt.datetime.now(dt.UTC).date()
        for day in seal.seal(given.dossier / "recu", given.scelles, today):
            print(f"{day} : scellé")
        early = seal.purge(given.scelles, given.jours, given.mo << 20, today)
        told = seal.figures(given.scelles, early, time.time())
        durable.write(given.mesures / "journaux-sceaux.prom", told.encode(), 0o644)
    elif given.commande == "exporter":
        print(seal.exported(given.scelles, given.apres))
    else:
        print(seal.verified(given.scelles))
    return 0
