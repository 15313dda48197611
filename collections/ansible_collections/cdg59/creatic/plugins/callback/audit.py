# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Follows the playbook of an audit: progress in French, what was lost on the way, and what has drifted."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ansible import constants
from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.plugin_utils.listener import Listener

from creatic.audit import store
from creatic.audit.follow import Follower
from creatic.evidence import steps

DOCUMENTATION = """
name: audit
type: aggregate
short_description: Follows an audit and keeps what its playbook finds
version_added: "0.1.0"
description:
  - Enabled for every playbook, it acts only for C(journeys/audit.yml).
  - As the standard output callback (C(ANSIBLE_STDOUT_CALLBACK=cdg59.creatic.audit), as C(fab audit) does) it is the
    only output, compact and in French.
"""


class CallbackModule(Listener):
    """Turns Ansible's events into what the audit says of each host."""

    CALLBACK_NAME = "cdg59.creatic.audit"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.folder: Path | None = None
        self.follower = Follower()
        self.alone = constants.DEFAULT_STDOUT_CALLBACK == self.CALLBACK_NAME

    def _print_line(self, text: str, color: str | None = None) -> None:
        if self.alone and text:
            self._display.display(harmless.text(text), color=color)  # machines' words too
            sys.stdout.flush()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Act only for the audit."""
        path = Path(str(playbook._file_name))
        self.folder = store.current()
        self.disabled = (path.parent.name, path.name) != ("journeys", "audit.yml") or self.folder is None

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Close the phase that ends, open the next."""
        self._end_phase()
        hosts = play.get_variable_manager()._inventory.get_hosts(play.hosts)
        title = self.follower.begin(str(play.get_vars().get("creatic_phase", "")), [host.name for host in hosts])
        self._print_line(title and f"\n{title}", constants.COLOR_HIGHLIGHT)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Keep what would change."""
        name, task = result.host.get_name(), result.task
        if task.action in constants._ACTION_ALL_INCLUDES:
            self.follower.note_seen(name)
            return
        hidden = "censored" in result.result or bool(task.no_log)
        changed = result.is_changed()
        told = steps.place(*steps.task_names(task))
        self._print_line(
            self.follower.done(name, told, result.result, changed=changed, hidden=hidden), constants.COLOR_OK
        )

    def v2_runner_on_skipped(self, result: Any) -> None:
        """A host for which there is nothing to do went through the phase."""
        self.follower.note_seen(result.host.get_name())

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note what could not be looked at."""
        if not ignore_errors:
            self._record_failure(result, reached=True)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note the host that is not there, or no longer."""
        self._record_failure(result, reached=False)

    def _record_failure(self, result: Any, *, reached: bool) -> None:
        name, task = result.host.get_name(), steps.place(*steps.task_names(result.task))
        self._print_line(self.follower.stopped(name, task, result.result, reached=reached), constants.COLOR_ERROR)

    def _end_phase(self) -> None:
        text, drifted = self.follower.end()
        self._print_line(text, constants.COLOR_CHANGED if drifted else constants.COLOR_OK)
        if self.folder is not None and os.environ.get(store.FOLDER):  # an audit that is interrupted keeps it
            store.write_followed(self.folder, self.follower.hosts)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write what was found."""
        self._end_phase()
