# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The emergency door: an order, signed for one machine and timed, to open a tunnel through which people reach its sshd.

The tunnel's key is made here for this order alone: the door takes it for one port of its own loopback until the order
ends, and the machine gets it encrypted. What comes through the tunnel meets the machine's sshd, its accounts and its
records, as anybody who would reach it.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from creatic.fleet import bundle
from creatic.fleet.signing import FORMAT, FleetError, Signer

KIND = "porte"
"""What tells an order from a manifest; as creatic_flotte.emergency has it (a test compares)."""
PORTS = range(22000, 22100)
"""Ports of the door's loopback that lead to machines; as roles guichet's firewall has them (a test compares)."""


def free_port(taken: Iterable[int]) -> int:
    """The first port that leads nowhere. Raises FleetError: all of them lead to a machine."""
    left = sorted({*PORTS} - {*taken})
    if not left:
        raise FleetError(f"{len(PORTS)} portes de secours sont ouvertes : fermez-en une (fab acces.revoquer)")
    return left[0]


def key_pair() -> tuple[bytes, str]:
    """A key for one tunnel: its private half as OpenSSH reads it, its public half in a line."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private, public.decode()


def order(
    signer: Signer, machine: str, record: dict[str, Any], private: bytes, host_key: str, certificate: str
) -> dict[str, Any]:
    """The order, signed: what the record lacks to be given to the machine.

    Args:
        record: numero, debut, fin (ISO 8601), port and cle (public), as `publication` keeps them.
        private: the tunnel's key.
        host_key: of the door's sshd, as OpenSSH writes it.
        certificate: of the machine, PEM.

    Raises:
        FleetError: its certificate cannot be encrypted for, or the fleet's key cannot be opened.
    """
    said = {
        "format": FORMAT,
        "genre": KIND,
        "machine": machine,
        "numero": record["numero"],
        "debut": record["debut"],
        "fin": record["fin"],
        "port": record["port"],
        "hote": host_key,
        "cle": base64.b64encode(bundle.encrypt(private, certificate)).decode(),
    }
    text = json.dumps(said, ensure_ascii=False, sort_keys=True)
    return record | {"ordre": text, "signature": signer.sign(text)}


def still_open(records: dict[str, dict[str, Any]], now: dt.datetime) -> dict[str, dict[str, Any]]:
    """Those that have not ended."""
    return {name: one for name, one in records.items() if dt.datetime.fromisoformat(one["fin"]) > now}
