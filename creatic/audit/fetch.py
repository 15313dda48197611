# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Relevés are fetched by SSH, one small read a machine, side by side: no module, no root, no more than its bytes."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import clean

from creatic.audit.releves import LARGEST, PLACE
from creatic.audit.sources import Target
from creatic.evidence.failures import explain

MAX_PARALLEL = 12
_FETCH_TIMEOUT_SECONDS = 60
_OPTIONS = [
    *("-n", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ControlMaster=no"),
    *("-o", "ControlPath=none", "-o", "StrictHostKeyChecking=yes"),
]
CARRIED_NOTHING = (
    "le guichet n'a encore aucun relevé d'elle : son agent en fait un par jour, qu'elle porte à son prochain passage"
)
NOTHING = "son agent n'a encore fait aucun relevé : sur elle, « systemctl start creatic-releve » en fait un"


def fetch(target: Target, program: str = "ssh") -> bytes | str | None:
    """What a machine's agent left, at most one byte more than is read of it.

    Returns:
        The relevé, why it could not be had (French), or None when the machine answers and has none.
    """
    if not target.door:
        try:
            with Path(PLACE).open("rb") as stream:
                return stream.read(LARGEST + 1)
        except OSError:
            return None
    command = [program, *_OPTIONS, *target.door, f"head -c {LARGEST + 1} {PLACE}"]
    with tempfile.TemporaryFile() as told:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=told)
        except OSError as error:
            return f"ssh ne se lance pas : {error.strerror}"
        late = threading.Timer(_FETCH_TIMEOUT_SECONDS, process.kill)
        late.start()
        try:
            with process:
                found = process.stdout.read(LARGEST + 1) if process.stdout else b""
                if len(found) > LARGEST:
                    process.kill()
                status = process.wait()
        finally:
            late.cancel()
        told.seek(0)
        said = told.read(4000).decode(errors="replace").strip()
    if found and (status == 0 or len(found) > LARGEST):
        return found
    if found:
        return f"la lecture de son relevé s'est arrêtée au bout de {len(found)} octets"
    if status == 255:
        return explain(clean(said))[0]
    return None if status > 0 else f"elle ne répond pas en {_FETCH_TIMEOUT_SECONDS} s"


def fetch_all(
    targets: Sequence[Target], take: Callable[[Target, bytes | str | None], None], program: str = "ssh"
) -> None:
    """Fetch of each, `AT_ONCE` at a time, and give each as it comes; interrupted, what was to come is left."""
    with ThreadPoolExecutor(MAX_PARALLEL) as pool:
        coming = {pool.submit(fetch, target, program): target for target in targets}
        with contextlib.ExitStack() as stack:
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            for done in as_completed(coming):
                take(coming[done], done.result())
