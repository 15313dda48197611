# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Says which task a playbook has been waiting for, on which hosts, and since when.

A thread does it, for nothing calls a callback while a task runs. Ansible forks one worker for each task and host, and
a fork keeps for ever any lock that another thread held; hence:

- the thread shares plain dictionaries with the callback's methods, each read or changed in one operation of the
  interpreter, and no lock;
- it writes through Ansible's ``Display`` only, whose own lock Ansible holds around each fork, as the thread in which
  Ansible receives the results already relies upon. That also keeps a line from falling in the middle of another's.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from typing import Any

from ansible import constants
from ansible_collections.cdg59.creatic.plugins.module_utils.words import duration
from ansible_collections.cdg59.creatic.plugins.plugin_utils import interruption, waited
from ansible_collections.cdg59.creatic.plugins.plugin_utils.listener import Listener
from ansible_collections.cdg59.creatic.plugins.plugin_utils.waited import Waited

DOCUMENTATION = """
name: patience
type: aggregate
short_description: Says which task a playbook has been waiting for
version_added: "0.1.0"
description:
  - After each O(interval) that a task lasts, a line in French says since when, its name and the hosts it runs on.
  - Under our own outputs it says what the task is part of, in French; of a rollout also since when each host is at that
    step, whatever the number of its tasks, and how long the step took there the last time.
  - Nothing is shown of the tasks that are shorter.
options:
  interval:
    description: Seconds.
    type: float
    default: 30
    env:
      - name: CREATIC_PATIENCE
"""

MAX_HOSTS_SHOWN = 6


class CallbackModule(Listener):
    """Knows what runs, from Ansible's events, and tells it from a thread."""

    CALLBACK_NAME = "cdg59.creatic.patience"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._running: dict[tuple[str, str], Waited] = {}  # by task and host
        self._due: dict[str, float] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    # -- Events ---------------------------------------------------------------------------------------

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A worker is about to start."""
        self._running[task._uuid, host.get_name()] = waited.describe_wait(host.get_name(), task)
        if self._thread is None:
            interruption.spared()
            self._over.clear()
            self._thread = threading.Thread(target=self._watch_tasks, args=(self.get_option("interval"),), daemon=True)
            self._thread.start()
            atexit.register(self._stop_thread)  # Ctrl-C: no event says the end, and a thread must not write during it

    def _end_task(self, result: Any, **_kwargs: Any) -> None:
        self._running.pop((result.task._uuid, result.host.get_name()), None)

    def v2_runner_on_ok(self, result: Any) -> None:
        """It succeeded."""
        self._end_task(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """It failed."""
        self._end_task(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """There was nothing to do."""
        self._end_task(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """The host is not there."""
        self._end_task(result)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Nothing runs between two plays."""
        self._running.clear()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The end."""
        self._stop_thread()

    def _stop_thread(self) -> None:
        if self._thread is not None:
            self._over.set()
            self._thread.join(timeout=2)  # a reader of our output that no longer reads keeps nobody here
            self._thread = None
            atexit.unregister(self._stop_thread)

    # -- Thread ---------------------------------------------------------------------------------------

    def _watch_tasks(self, interval: float) -> None:
        wait = interval
        while not self._over.wait(wait):
            try:
                for line in self.lines(time.monotonic(), interval):
                    self._print_line(line)
            except OSError:  # nobody reads the output any longer: Ansible will say so
                return
            # What starts meanwhile is due in a whole interval.
            wait = max(0.01, min([interval, *(due - time.monotonic() for due in self._due.values())]))

    def _print_line(self, text: str) -> None:
        # On a terminal, callback « rollout » leaves a line that it rewrites in place.
        clear = "\r\033[2K" if sys.stdout.isatty() else ""
        self._display.display(f"{clear}{text}", color=constants.COLOR_VERBOSE)
        sys.stdout.flush()  # Ansible does not: behind a pipe, this would come at the end

    def lines(self, now: float, interval: float) -> list[str]:
        """What is to be said now.

        Each thing that is waited for is told at each interval that its first host has spent in it. Its other hosts are
        with it, but for those that started much later (by a strategy, or for lack of forks): each line is true to half
        an interval.

        Args:
            now: monotonic clock.
            interval: seconds.
        """
        known: dict[str, list[tuple[float, str, Waited]]] = {}
        for (_task, host), one in self._running.copy().items():
            known.setdefault(one.key, []).append((now - one.since, host, one))
        # A step may be between two of its tasks: what was told of it a moment ago is not told again.
        due = {key: at for key, at in self._due.items() if key in known or at > now}
        self._due = {key: now - _longest_wait(runs) + interval for key, runs in known.items()} | due
        told = []
        for key, runs in known.items():
            if now < self._due[key]:
                continue
            longest = _longest_wait(runs)
            self._due[key] = now - longest + (int(longest / interval + 0.5) + 1) * interval
            groups: dict[int, list[tuple[float, str, Waited]]] = {}
            for run in runs:
                groups.setdefault(int(run[0] / interval + 0.5), []).append(run)
            for rank in sorted(groups.keys() - {0}, reverse=True):
                hosts = sorted(host for _spent, host, _one in groups[rank])
                shown = ", ".join(hosts[:MAX_HOSTS_SHOWN]) + (
                    f" et {len(hosts) - MAX_HOSTS_SHOWN} autres" if hosts[MAX_HOSTS_SHOWN:] else ""
                )
                last = max(one.last for _spent, _host, one in groups[rank])
                before = f" ; la dernière fois : {duration(last)}" if last >= 1 else ""
                spent = max(spent for spent, _host, _one in groups[rank])
                told.append(f"   … depuis {duration(spent)} : {runs[0][2].text} ({shown}){before}")
        return told


def _longest_wait(runs: list[tuple[float, str, Waited]]) -> float:
    return max(spent for spent, _host, _one in runs)
