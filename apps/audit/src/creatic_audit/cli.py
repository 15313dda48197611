"""Command line of the collector: one JSON object on standard output, nothing else anywhere.

    creatic-audit --niveau enhanced
    creatic-audit --profil cis_level1_server
    creatic-audit --sans-openscap

Run as root. Exit status: 0 collected (whatever the findings), 1 could not, 2 wrong use.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import sys
import time
from datetime import UTC, datetime

from .facts import facts
from .patches import patches
from .scan import ScanError, private_scratch, scan

LEVELS = ("minimal", "intermediary", "enhanced", "high")


def _profile(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,64}", text):
        raise argparse.ArgumentTypeError("nom court de profil attendu, comme anssi_bp28_enhanced")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="creatic-audit", description="Constate l'état de cette machine, sans rien y changer (JSON).", add_help=True
    )
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--niveau", choices=LEVELS, help="niveau ANSSI-BP-028 à faire juger par OpenSCAP")
    wanted.add_argument("--profil", type=_profile, help="autre profil du contenu OpenSCAP, nom court")
    wanted.add_argument("--sans-openscap", action="store_true", help="faits et correctifs seulement")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    start, clock = datetime.now(UTC), time.monotonic()
    report = {"version": 1, "debut": start.isoformat(timespec="seconds"), "systeme": facts(), "correctifs": patches()}
    if not options.sans_openscap:
        profile = options.profil or f"anssi_bp28_{options.niveau}"
        try:
            report["openscap"] = scan(profile, private_scratch())
        except ScanError as error:
            print(f"creatic-audit : {error}", file=sys.stderr)
            return 1
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    report["duree_s"] = round(time.monotonic() - clock, 1)
    report["cpu_s"] = round(sum(one.ru_utime + one.ru_stime for one in used), 1)
    json.dump(report, sys.stdout, ensure_ascii=False, separators=(",", ":"))
    sys.stdout.write("\n")
    return 0
