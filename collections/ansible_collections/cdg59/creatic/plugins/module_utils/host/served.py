# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What shows that a server serves, asked on the server itself: its units, and its sites as a client sees them."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import run

MIN_REMAINING_DAYS = 30  # days before its end from which a certificate is told
TIMEOUT = 20.0  # seconds
Proof = dict[str, Any]


def proofs(names: Sequence[str], root: Path, now: dt.datetime) -> list[Proof]:
    """Ask for all that shows that this server serves.

    Args:
        names: DNS names of its sites.
        root: PEM of the authority that its clients trust, see `roots`.
        now: current time, with its zone.
    """
    found = [units(lambda: run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"], "systemctl"))]
    if Path("/usr/sbin/nginx").exists():
        found += [site(name, root, now) for name in names]
    return found


def roots(root: Path) -> list[Path]:
    """Give the files of an authority's roots on this machine; none when it was not deployed.

    Args:
        root: the first one's. A renewal has the next beside it (``-racine2``), then takes the first away
            (module_utils/pki/host.py, `HostStore.system_store`).
    """
    return [path for path in (root, *sorted(root.parent.glob(f"{root.stem}-racine*{root.suffix}"))) if path.is_file()]


def trust(root: Path) -> ssl.SSLContext:
    """Give what a client has that trusts an authority alone, by any of its roots.

    Raises:
        OSError: none is there, or one cannot be read.
    """
    text = "".join(path.read_text(encoding="ascii") for path in roots(root) or [root])
    return ssl.create_default_context(cadata=text)


def units(listed: Callable[[], str]) -> Proof:
    """Tell whether a unit has failed."""
    failed = [line.split()[0] for line in listed().splitlines() if line.strip()]
    if not failed:
        return _make_proof("services", "Services", "ok", "aucun n'est en échec")
    remedy = f"Sur la machine : systemctl status {failed[0]}"
    return _make_proof("services", "Services", "echec", f"en échec : {', '.join(failed)}", remedy)


def site(name: str, root: Path, now: dt.datetime, address: str = "127.0.0.1", port: int = 443) -> Proof:
    """Open a site by its name, as a client that trusts the authority alone (RFC 6125)."""
    label = f"Site {name}"
    remedy = "Sur la machine : systemctl status nginx, creatic-certificats liste. Puis relancer fab serveurs."
    try:
        context = trust(root)
        with (
            socket.create_connection((address, port), timeout=TIMEOUT) as raw,
            context.wrap_socket(raw, server_hostname=name) as stream,
        ):
            ends = ssl.cert_time_to_seconds(str((stream.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        return _make_proof(
            f"site-{name}", label, "echec", f"son certificat est refusé : {error.verify_message}", remedy
        )
    except (OSError, ssl.SSLError) as error:
        return _make_proof(f"site-{name}", label, "echec", f"il ne répond pas : {error}", remedy)
    days = int((ends - now.timestamp()) // 86400)
    if days < MIN_REMAINING_DAYS:
        later = "Renouveler : fab pki.rotation"
        return _make_proof(f"site-{name}", label, "attention", f"son certificat expire dans {days} jours", later)
    return _make_proof(f"site-{name}", label, "ok", f"il répond, certificat du groupement, encore {days} jours")


def _make_proof(key: str, label: str, verdict: str, detail: str, remedy: str = "") -> Proof:
    return {"cle": key, "libelle": label, "verdict": verdict, "detail": detail, "remede": remedy, "mesures": {}}
