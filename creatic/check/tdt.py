# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Whose certificates a TdT takes, asked without one and without an act: a TLS server names the authorities that it
accepts when it asks for a certificate (RFC 8446, 4.2.4), and a browser shows it none of another.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

from creatic.pki.pkcs12_file import own_pkcs12

TDT_TIMEOUT_SECONDS = 15.0
"""Seconds that the TdT has to answer."""
_TDT_NAME_OPTIONS = ("-nameopt", "RFC2253,utf8,-esc_msb")
_ACCEPTED_CA_HEADING = "Acceptable client certificate CA names"


def authorities(url: str) -> list[str]:
    """The subjects of the authorities that a server accepts.

    It proves nothing of the server, to which nothing is given: a forged list refuses at worst a deployment.

    Args:
        url: of the TdT.

    Returns:
        Empty when it does not say: it is not reached from here, asks for no certificate, or names no authority.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 443
    except ValueError:
        return []
    if parts.scheme != "https" or not host:
        return []
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    command = ["openssl", "s_client", "-connect", place, "-servername", host, *_TDT_NAME_OPTIONS]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TDT_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = iter(done.stdout.decode(errors="replace").splitlines())
    if not any(line == _ACCEPTED_CA_HEADING for line in lines):
        return []
    found = []
    for line in lines:
        if "=" not in line:
            break
        found.append(line)
    return found


def names(bundle: str) -> set[str]:
    """Subjects and issuers of the certificates of a PEM text, written as those of `authorities`."""
    found = set[str]()
    end = "-----END CERTIFICATE-----"
    for one in bundle.split(end)[:-1]:
        command = ["openssl", "x509", "-noout", "-subject", "-issuer", *_TDT_NAME_OPTIONS]
        done = subprocess.run(command, input=f"{one}{end}\n", capture_output=True, text=True, check=False)
        found |= {line.partition("=")[2].strip() for line in done.stdout.splitlines()}
    return found


def refused(
    accepted: Collection[str],
    certificates: Iterable[Mapping[str, Any]],
    authority: Path,
    secrets: Path,
    owners: set[str],
) -> list[str]:
    """Holders of a PC's certificates, when the TdT takes none of these; empty when it takes one, or nobody can tell.

    Args:
        accepted: from `authorities`.
        certificates: of the PC, as its commune's file has them.
        authority: the groupement's own, and those above (PEM).
        secrets: where providers' files are.
        owners: SIREN of whom such a file may be.
    """
    holders = []
    for one in certificates if accepted else ():
        if one["source"] == "jeton":  # its certificate is on the token alone
            return []
        try:
            if one["source"] == "fichier":
                given = own_pkcs12(secrets / one["fichier"], secrets / one["secret"], owners)
                mine = names(given["certificate"] + given["chain"])
            else:
                mine = names(authority.read_text(encoding="utf-8"))
        except (CreaticError, OSError):  # told otherwise, before the PC changes too
            return []
        if mine & {*accepted}:
            return []
        holders.append(str(one["titulaire"]))
    return holders


def problem(
    accepted: Sequence[str],
    certificates: Iterable[Mapping[str, Any]],
    commune: Mapping[str, Any],
    authority: Path,
    secrets: Path,
) -> tuple[str, str] | None:
    """What to say, and what to do, of a PC none of whose certificates a TdT takes (`refused`); None where it takes one.

    Args:
        commune: of the PC, as the inventory has it (``siren``, ``slug``, ``entites``).
    """
    owners = {str(commune["siren"]), *(str(one["siren"]) for one in commune.get("entites") or ())}
    holders = refused(accepted, certificates, authority, secrets, owners)
    if not holders:
        return None
    more = f" et {len(accepted) - 3} autres" if len(accepted) > 3 else ""
    named = f"il nomme {' ; '.join(one[:100] for one in accepted[:3])}{more}"
    return (
        f"le TdT n'admet l'autorité d'aucun certificat de ce poste ({', '.join(holders)}) : {named}",
        f"Donner au poste un certificat d'une autorité qu'il admet (communes/{commune['slug']}.yml, source: fichier ou "
        "jeton), ou faire admettre celle-ci par le TdT, puis relancer",
    )
