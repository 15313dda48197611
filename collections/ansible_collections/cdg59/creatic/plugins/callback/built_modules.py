# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Compiles what Ansible assembles of a module and of all that it imports for a machine, and keeps it between runs.

Ansible assembles once for each module of a run, 0.3 to 0.5 CPU second each, in a folder that goes with the run: a
rollout of one commune spends most of its time on it. Each machine then compiled the same sources for each task, 0.1 to
0.2 CPU second each, half of what a task takes of its processor.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import os
import platform
import zipfile
from pathlib import Path
from typing import Any

import ansible
from ansible import constants
from ansible.executor.module_common import _CachedModule
from ansible.release import __version__
from ansible_collections.cdg59.creatic.plugins.plugin_utils.bytecode import compiled
from ansible_collections.cdg59.creatic.plugins.plugin_utils.kept import FileCache
from ansible_collections.cdg59.creatic.plugins.plugin_utils.listener import Listener

DOCUMENTATION = """
name: built_modules
type: aggregate
short_description: Compiles assembled modules, and keeps them between runs
version_added: "0.1.0"
description:
  - Modules of ansible-core and of this collection are kept in C(~/.cache/creatic/modules), closed to other accounts, by
    the content of all that they are made of. What no run used for a week is deleted.
  - Beside each source in them stands what this Python compiled of it. A machine whose Python is another one takes the
    sources.
"""

KEPT, PARTIAL = ("ansible.modules.", "ansible_collections.cdg59.creatic."), (".lock", "-part")
COLLECTION = Path(__file__).parents[1]


def sources(collection: Path) -> str:
    """Digest of what modules are made of, and by: ansible-core, this Python, the collection's files, their places."""
    found = hashlib.blake2b(digest_size=16)
    found.update(f"{ansible.__file__}\0{__version__}\0{platform.python_version()}\0{collection}".encode())
    for folder in ("modules", "module_utils", "plugin_utils", "callback"):
        for path in sorted((collection / folder).rglob("*.py")):
            data = path.read_bytes()
            found.update(f"\0{path.relative_to(collection)}\0{len(data)}\0".encode() + data)
    return found.hexdigest()


def with_bytecode(payload: bytes, known: dict[bytes, bytes]) -> bytes:
    """Add to a module's payload, a zip, what its sources compile to.

    Args:
        known: what sources compile to, by source; completed. Modules share most of what they import.
    """
    out = io.BytesIO(payload)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith(".py"):
                source = archive.read(entry)
                if source not in known:
                    known[source] = compiled(entry.filename, source)
                beside = zipfile.ZipInfo(f"{entry.filename}c", entry.date_time)
                archive.writestr(beside, known[source], zipfile.ZIP_DEFLATED)
    return out.getvalue()


class CallbackModule(Listener):
    """Brings what was kept before the first task, then compiles and keeps what workers assemble."""

    CALLBACK_NAME = "cdg59.creatic.built_modules"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._run = Path(constants.DEFAULT_LOCAL_TMP) / "ansiballz_cache"
        self._kept = FileCache("modules")
        self._sources = ""
        self._compiled: set[str] = set()
        self._bytecode: dict[bytes, bytes] = {}
        self._seen_ns = 0

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Put what was kept where Ansible looks for it."""
        self._sources = f"{sources(COLLECTION)}-"
        self._run.mkdir(exist_ok=True)
        # With it, Python reads a module of the control node's own from its input one character at a time.
        os.environ.pop("PYTHONUNBUFFERED", None)
        for kept in self._kept.names():
            name = kept.removeprefix(self._sources)
            if name != kept and (data := self._kept.get(kept)) is not None:
                (self._run / name).write_bytes(data)
                self._compiled.add(name)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Compile what is new for the machines that come next, and keep it."""
        before_ns = self._run.stat().st_mtime_ns
        if before_ns == self._seen_ns:
            return
        for path in self._run.iterdir():
            name = path.name
            if name.startswith(KEPT) and not name.endswith(PARTIAL) and name not in self._compiled:
                module = _CachedModule.load(str(path))
                payload = with_bytecode(base64.b64decode(module.zip_data), self._bytecode)
                dataclasses.replace(module, zip_data=base64.b64encode(payload)).dump(str(path))
                self._compiled.add(name)
                self._kept.put(f"{self._sources}{name}", path.read_bytes())
        self._seen_ns = before_ns  # what a worker assembled meanwhile is seen the next time
