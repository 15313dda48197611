"""Command line: visits the TdT, prints the proof as JSON, leaves the picture. Status 0 when it could run."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

from . import store, verdict
from .chromium import Chromium, ChromiumError, Visit

CONFIGURATION = Path("/etc/creatic/preuve-navigateur.json")
PICTURE = Path("/var/lib/creatic/preuves/navigateur.png")
CRL = Path("/etc/creatic/pki/crl.pem")
NSS_STORE = ".pki/nssdb"
SECONDS, SECONDS_VISIBLE = 45.0, 180.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="preuve-navigateur",
        description="Ouvre la page du TdT dans Chromium avec le certificat du poste, et dit ce qu'il en est.",
    )
    parser.add_argument(
        "--visible",
        action="store_true",
        help="montre la fenêtre, pour taper le code d'un jeton (3 minutes)",
    )
    return parser


def _visit(url: str, visible: bool) -> Visit:
    with Chromium(visible) as browser:
        return browser.visit(url, SECONDS_VISIBLE if visible else SECONDS)


def prove(configuration: dict[str, Any], visible: bool) -> dict[str, Any]:
    """Look at the certificates, visit the TdT, and return the proof."""
    PICTURE.unlink(missing_ok=True)  # an old picture proves nothing
    now = dt.datetime.now(dt.UTC)
    crls = CRL.read_bytes() if CRL.is_file() else b""
    wanted = [store.Wanted(one["nom"], one["nss"], one["jeton"]) for one in configuration["certificats"]]
    states = [store.state(one, store.read(Path.home() / NSS_STORE, one), crls, now) for one in wanted]
    url, siren = str(configuration["url"]), str(configuration["siren"])
    visit = _visit(url, visible)
    files = []
    if visit.picture:
        PICTURE.write_bytes(visit.picture)
        files.append(str(PICTURE))
    return {
        "preuves": [
            verdict.browser(visit, states, siren, url, PICTURE.name if files else ""),
            verdict.certificate(states),
        ],
        "fichiers": files,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the proof; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        configuration = json.loads(CONFIGURATION.read_text(encoding="utf-8"))
        proof = prove(configuration, options.visible)
    except (OSError, ValueError, KeyError, ChromiumError) as error:
        print(f"preuve-navigateur : {error}", file=sys.stderr)
        return 1
    json.dump(proof, sys.stdout, ensure_ascii=False, indent=2)
    print()
    return 0
