# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Keeps between runs what Ansible assembles of a module and of all that it imports, before it sends it to a machine.

Ansible does so once for each module of a run, 0.3 to 0.5 CPU second each, in a folder that goes with the run: a
rollout of one commune spends most of its time on it.
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import ansible
from ansible import constants as C
from ansible.release import __version__
from ansible_collections.cdg59.creatic.plugins.plugin_utils.kept import Kept
from ansible_collections.cdg59.creatic.plugins.plugin_utils.listener import Listener

DOCUMENTATION = """
name: built_modules
type: aggregate
short_description: Keeps assembled modules between runs
version_added: "0.1.0"
description:
  - Modules of ansible-core and of this collection are kept in C(~/.cache/creatic/modules), closed to other accounts, by
    the content of all that they are made of. What no run used for a week is deleted.
"""

KEPT, PARTIAL = ("ansible.modules.", "ansible_collections.cdg59.creatic."), (".lock", "-part")
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


class CallbackModule(Listener):
    """Brings what was kept before the first task, keeps what is new after the last."""

    CALLBACK_NAME = "cdg59.creatic.built_modules"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._run = Path(C.DEFAULT_LOCAL_TMP) / "ansiballz_cache"
        self._kept = Kept("modules")
        self._sources = ""
        self._brought: set[str] = set()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Put what was kept where Ansible looks for it."""
        self._sources = f"{sources(COLLECTION)}-"
        self._run.mkdir(exist_ok=True)
        for kept in self._kept.names():
            name = kept.removeprefix(self._sources)
            if name != kept and (data := self._kept.get(kept)) is not None:
                (self._run / name).write_bytes(data)
                self._brought.add(name)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Keep what this run had to assemble."""
        for path in self._run.iterdir():
            if path.name.startswith(KEPT) and not path.name.endswith(PARTIAL) and path.name not in self._brought:
                self._kept.put(f"{self._sources}{path.name}", path.read_bytes())
