# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Whose the keys are that machines give for their backups: a key opens one machine's repository, and is proven its own.

A machine says which key it has; one that was taken could name another's, which would then write in the wrong
repository, or nowhere. So it signs its name with it (role backup_client, SSHSIG), which is verified here.
"""

from __future__ import annotations

import base64
import binascii
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

NAMESPACE = "creatic-sauvegarde"
_SSH_PUBLIC_KEY = re.compile(r"ssh-ed25519 ([A-Za-z0-9+/]+={0,2})(?: [^\n]*)?\n?")
_ED25519_BLOB_PREFIX = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"  # RFC 8709, 4


def blob(key: str) -> bytes:
    """The bytes of a public ed25519 key, as in the file ``.pub``; empty when it is not one."""
    found = _SSH_PUBLIC_KEY.fullmatch(key)
    try:
        read = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        return b""
    return read if read.startswith(_ED25519_BLOB_PREFIX) and len(read) == len(_ED25519_BLOB_PREFIX) + 32 else b""


@cache
def proven(name: str, key: bytes, proof: str) -> bool:
    """Whether the holder of a key signed that it is of the machine of this name."""
    with tempfile.TemporaryDirectory() as folder:
        signers, signature = Path(folder, "signataires"), Path(folder, "preuve")
        signers.write_text(f"machine ssh-ed25519 {base64.b64encode(key).decode()}\n", encoding="ascii")
        signature.write_text(proof, encoding="utf-8", errors="replace")
        command: list[str | Path] = [
            "ssh-keygen",
            "-q",
            "-Y",
            "verify",
            "-I",
            "machine",
            "-n",
            NAMESPACE,
            "-f",
            signers,
            "-s",
            signature,
        ]
        done = subprocess.run(command, input=name.encode(), capture_output=True, check=False)
    return done.returncode == 0


def sort(clients: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Those that the server may let in.

    Args:
        clients: ``name``, ``key`` and ``proof`` of each, with what else the role takes.

    Returns:
        ``bons``, without their proofs, and ``refuses``: a French sentence for each of the others.
    """
    given = [(dict(one), blob(str(one["key"]))) for one in clients]
    good, refused = [], []
    shared = Counter(key for one, key in given if key and proven(str(one["name"]), key, str(one["proof"])))
    for one, key in given:
        name, proof = str(one["name"]), str(one.pop("proof"))
        if not key:
            refused.append(
                f"{name} : cle.pub n'est pas une clé publique ssh-ed25519, refaites-la et rejouez son profil"
            )
        elif not proven(name, key, proof):
            others = [str(other["name"]) for other, its in given if its == key and other is not one]
            whose = f", qui est aussi donnée par {', '.join(others)}" if others else ""
            refused.append(f"{name} : rien ne prouve que cette clé est la sienne{whose} ; rejouez son profil")
        elif shared[key] > 1:
            refused.append(f"{name} : sa clé est aussi celle d'une autre machine (copiée ?), refaites-la (cles)")
        else:
            good.append(one | {"key": f"ssh-ed25519 {base64.b64encode(key).decode()}"})
    return {"bons": good, "refuses": refused}
