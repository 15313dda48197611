# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Keeps between runs what Ansible assembles of a module and of all that it imports, before it sends it to a machine.

Ansible does so once for each module of a run, 0.3 to 0.5 CPU second each, in a folder that goes with the run: a
rollout of one commune spends most of its time on it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import ansible
from ansible import constants as C
from ansible.release import __version__
from ansible_collections.cdg59.creatic.plugins.module_utils import durable
from ansible_collections.cdg59.creatic.plugins.plugin_utils.listener import Listener

DOCUMENTATION = """
name: built_modules
type: aggregate
short_description: Keeps assembled modules between runs
version_added: "0.1.0"
description:
  - Modules of ansible-core and of this collection are kept in C(~/.cache/creatic/modules), closed to other accounts, by
    the content of all that they are made of. What no run used for a week is deleted.
  - A kept file that is not whole, or a folder that is another account's or open to others, is not used.
"""

KEPT, PARTIAL = ("ansible.modules.", "ansible_collections.cdg59.creatic."), (".lock", "-part")
WEEK_S = 7 * 86400
COLLECTION = Path(__file__).parents[1]


def sources(collection: Path) -> str:
    """Digest of what modules are made of: ansible-core, this Python, the collection's files, and their places."""
    found = hashlib.blake2b(digest_size=16)
    found.update(f"{ansible.__file__}\0{__version__}\0{platform.python_version()}\0{collection}".encode())
    for folder in ("modules", "module_utils"):
        for path in sorted((collection / folder).rglob("*.py")):
            data = path.read_bytes()
            found.update(f"\0{path.relative_to(collection)}\0{len(data)}\0".encode() + data)
    return found.hexdigest()


def private(folder: Path) -> bool:
    """Whether it is there, this account's, and closed to the others: what it holds is run."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


class CallbackModule(Listener):
    """Brings what was kept before the first task, keeps what is new after the last."""

    CALLBACK_NAME = "cdg59.creatic.built_modules"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._run = Path(C.DEFAULT_LOCAL_TMP) / "ansiballz_cache"
        self._kept = Path("~/.cache/creatic/modules").expanduser() / sources(COLLECTION)
        self._brought: set[str] = set()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Put what was kept where Ansible looks for it."""
        if not private(self._kept):
            return
        os.utime(self._kept)
        self._run.mkdir(exist_ok=True)
        for path in self._kept.iterdir():
            digest, data = _split(path.read_bytes())
            if hashlib.sha256(data).digest() == digest:
                (self._run / path.name).write_bytes(data)
                self._brought.add(path.name)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Keep what this run had to assemble."""
        try:
            self._keep()
        except OSError as error:
            self._display.verbose(f"Modules assemblés non gardés : {error}")

    def _keep(self) -> None:
        found = {path.name: path for path in self._run.glob("*") if path.name.startswith(KEPT)}
        new = [path for name, path in found.items() if name not in self._brought and not name.endswith(PARTIAL)]
        if not new:
            return
        self._kept.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not private(self._kept):
            return
        for path in new:
            data = path.read_bytes()
            durable.write(self._kept / path.name, hashlib.sha256(data).digest() + data)
        for other in self._kept.parent.iterdir():
            if time.time() - other.lstat().st_mtime > WEEK_S:
                shutil.rmtree(other, ignore_errors=True)


def _split(kept: bytes) -> tuple[bytes, bytes]:
    return kept[:32], kept[32:]
