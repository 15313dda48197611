# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How an application asks a server: whom it believes, what it shows, how much of an answer it takes.

With requests, which an application that imports this has. What runs with Python alone (a fleet's machine, a probe, a
node of the archives) has http.client.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

import requests

_BLOCK = 1 << 20


class TooLong(Exception):
    """An answer has more bytes than it may; `most` says how many."""

    def __init__(self, most: int) -> None:
        super().__init__(f"plus de {most} octets")
        self.most = most


def session(agent: str, trust: Path | str | None = None, certificate: Path | None = None) -> requests.Session:
    """Calls that nothing of the environment (a proxy, a .netrc) decides about.

    Args:
        agent: as the server's journal names us.
        trust: PEM file of the authorities that are believed; the system's without it.
        certificate: folder of the certificate that is shown (`fullchain.pem`, `key.pem`).
    """
    made = requests.Session()
    made.trust_env = False
    made.headers["User-Agent"] = agent
    if trust:
        made.verify = str(trust)
    if certificate:
        made.cert = (str(certificate / "fullchain.pem"), str(certificate / "key.pem"))
    return made


def save(answer: requests.Response, target: BinaryIO, most: int | None = None, block: int = _BLOCK) -> tuple[str, int]:
    """Write what a streamed answer holds, and end it; gives its SHA-256 and its bytes.

    Raises:
        TooLong: it has more than `most` bytes.
        OSError: it was cut, as every error of requests is; or the disk is full.
    """
    digest, size = hashlib.sha256(), 0
    try:
        for one in answer.iter_content(block):
            size += len(one)
            if most is not None and size > most:
                raise TooLong(most)
            digest.update(one)
            target.write(one)
    finally:
        answer.close()
    return digest.hexdigest(), size


def field(answer: requests.Response, name: str) -> str | None:
    """What an answer says in a field of its JSON object; None when it is no object."""
    try:
        told = answer.json()
    except ValueError:
        return None
    return str(told.get(name, "")) if isinstance(told, dict) else None
