"""Notes which tasks of the repository a run executed: a test's own callback, not the product's.

With ``ANSIBLE_CALLBACK_PLUGINS`` naming this folder it is loaded beside the others; it notes when
``CREATIC_TASKS_REACHED`` names a folder, and scripts/tasks_reached.py then says which tasks no run reached.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, TextIO

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: reached
type: aggregate
short_description: Notes the tasks that a run executed
description:
  - Appends C(path:line), relative to the repository, of every task that a host executed outside check mode.
"""

REPO = Path(__file__).resolve().parents[2]


class CallbackModule(CallbackBase):
    """One file per process, a line per task, written as soon as it is reached: a run may be killed."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "reached"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self) -> None:
        super().__init__()
        self._folder = os.environ.get("CREATIC_TASKS_REACHED", "")
        self.disabled = not self._folder
        self._seen: set[str] = set()
        self._file: TextIO | None = None

    def _note(self, result: Any) -> None:
        task = result.task
        where = task.get_path()
        # In check mode, a task with check_mode: false is executed all the same.
        if not where or where in self._seen or boolean(task.check_mode, strict=False):
            return
        self._seen.add(where)
        path, _, line = where.rpartition(":")
        real = Path(path).resolve()  # playbooks name one another with « .. »
        if not real.is_relative_to(REPO):
            return
        if self._file is None:
            folder = Path(self._folder)
            folder.mkdir(parents=True, exist_ok=True)
            # Identifiers of processes come back during a run of the tests.
            name = folder / f"{os.getpid()}-{time.time_ns()}"
            self._file = name.open("a", encoding="utf-8", buffering=1)  # closed with the process
        self._file.write(f"{real.relative_to(REPO)}:{line}\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        """Includes come here too, once they have something to include; a loop without an item is skipped."""
        self._note(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """What fails was reached."""
        self._note(result)
