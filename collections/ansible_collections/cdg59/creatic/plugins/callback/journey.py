# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Shows in French how a playbook or a command of fab goes: what is done; what failed, where, why and the fix."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from ansible import constants, context
from ansible.plugins.callback import CallbackBase
from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.words import count, duration
from ansible_collections.cdg59.creatic.plugins.plugin_utils import interruption, waited

from creatic.evidence import steps
from creatic.evidence.failures import explain, failure_message
from creatic.registry import profiles

DOCUMENTATION = """
name: journey
type: stdout
short_description: Shows a journey in French
version_added: "0.1.0"
description:
  - The only output of the playbooks that C(fab) runs, but for deployments, updates and audits, which have their own.
  - Of a single command (C(ansible)) it shows what the command itself said, and nothing else when it succeeds.
requirements:
  - rich
"""

_ADHOC = "Ansible Ad-Hoc"
_MAX_OUTPUT_LENGTH = 20_000  # characters of what a playbook shows at once
# What says itself what is wrong, in French: our playbooks and our modules.
_EXPLAINING_ACTIONS = ("fail", "assert", "cdg59.creatic.")


class CallbackModule(CallbackBase):
    """Turns Ansible's events into lines."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "cdg59.creatic.journey"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._began = time.monotonic()
        self._single = False  # a command, no playbook
        self._live = False
        self._title = ""  # of a play that begins
        self._changes = 0
        self._play = ""

    # -- output ----------------------------------------------------------------------------------------

    def _print_line(self, text: str, color: str | None = None) -> None:
        if self._live:
            sys.stdout.write("\r\033[2K")
            self._live = False
        self._display.display(harmless.text(text), color=color)  # machines' words too
        sys.stdout.flush()  # Ansible does not: behind a pipe, progress would come all at the end

    def _print_messages(self, host: str, said: Any) -> None:
        """Show what somebody is to read: a text, or a list of them."""
        for one in said if isinstance(said, list) else [said]:
            for line in str(one)[:_MAX_OUTPUT_LENGTH].splitlines():
                self._print_line(f"   {line}" if host == "localhost" else f"   {host} : {line}")

    def _describe_task(self, task: Any) -> str:
        """What a task is part of, in French: of a role, or of what this playbook does now."""
        return steps.phrase(*steps.task_names(task), self._play)

    def _describe_wait(self, _host: str, task: Any) -> waited.Waited:
        return waited.Waited(task._uuid, time.monotonic(), self._describe_task(task))

    # -- events ----------------------------------------------------------------------------------------

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Have Ctrl-C speak French."""
        interruption.announce_interruption(
            lambda: (
                "Interrompu : ce qui est fait reste fait, ce qui était en cours s'arrête où il en est.\n"
                "À faire : relancez la même commande."
            )
        )
        waited.set_wait_description(self._describe_wait)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Say what begins: by its name, which is French, or by the profile that is applied."""
        self._single = play.get_name() == _ADHOC
        hosts = ",".join(play.hosts) if isinstance(play.hosts, list) else str(play.hosts)
        name = f"Profil {hosts}" if hosts in profiles.load() else play.get_name().strip()
        self._play = name
        self._title = "" if self._single or not name else f"\n{name}"

    def _print_title(self) -> None:
        """Show the title of a play that takes a machine; another is nothing to read."""
        if self._title:
            title, self._title = self._title, ""
            self._print_line(title, constants.COLOR_HIGHLIGHT)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Show on a terminal, in one line, that it goes on."""
        self._print_title()
        if sys.stdout.isatty() and not self._single:
            width = os.get_terminal_size(sys.stdout.fileno()).columns - 1
            spent = duration(time.monotonic() - self._began)
            sys.stdout.write(f"\r\033[2K   … {spent:>11}  {self._describe_task(task)}"[:width])
            sys.stdout.flush()
            self._live = True

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """The same."""
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Show what is to be read."""
        said, action = result.result, result.task.action.rpartition(".")[2]
        changed = action not in constants._ACTION_ALL_INCLUDES and result.is_changed()
        self._changes += changed
        if changed and context.CLIARGS.get("check"):
            self._print_line(f"   ~ {result.host.get_name():<34} {steps.changes(result.task, said)}")
        if self._single:
            self._print_output(said)
        elif "results" not in said and (
            action == "debug" or (action == "assert" and said.get("msg") != "All assertions passed")
        ):
            self._print_messages(result.host.get_name(), said.get("msg", []))
        elif "prepared" in said:
            self._print_messages("localhost", f"✓ {said['prepared']}")

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Show what is to be read of one item."""
        if result.task.action.rpartition(".")[2] == "debug":
            self._print_messages(result.host.get_name(), result.result.get("msg", []))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Say what failed."""
        said = result.result
        if ignore_errors:
            return
        if self._single and (said.get("stdout") or said.get("stderr")):  # the command says itself what is wrong
            self._print_output(said)
            return
        action, message = result.task.action, failure_message(said)
        why, fix = explain(message, reached=True)
        if (
            why == " ".join(message.split())
            and not action.endswith(_EXPLAINING_ACTIONS[:2])
            and _EXPLAINING_ACTIONS[2] not in action
        ):
            why = f"{action.rpartition('.')[2]} répond : « {why} »"
        self._report_failure(result, "échec", why, "" if "À faire" in why else fix)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Say who does not answer."""
        why, fix = explain(failure_message(result.result))
        if result.task.ignore_unreachable:
            self._print_line(f"   {result.host.get_name()} : injoignable, laissé de côté ({why})", constants.COLOR_WARN)
            return
        self._report_failure(result, "injoignable", why, fix)

    def _report_failure(self, result: Any, what: str, why: str, fix: str) -> None:
        self._print_line(
            f"   ✗ {result.host.get_name()} : {what} ({steps.place(*steps.task_names(result.task))})",
            constants.COLOR_ERROR,
        )
        self._print_line(f"     {why}", constants.COLOR_ERROR)
        if fix:
            self._print_line(f"     → {fix}")

    def _print_output(self, said: Any) -> None:
        for name in ("stdout", "stderr"):
            if text := str(said.get(name) or "").rstrip():
                self._print_line(text)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Say how it ended."""
        if self._single:
            return
        lost = sorted(stats.dark)
        failed = sorted({*stats.failures} - {*lost})
        spent = f"durée {duration(time.monotonic() - self._began)}"
        if lost or failed:
            ends = (("Échec", failed), ("Injoignable", lost))
            told = [f"{what} : {', '.join(names)}" for what, names in ends if names]
            self._print_line(f"\nPas fini. {'. '.join(told)}. {spent.capitalize()}.", constants.COLOR_ERROR)
        elif not stats.processed:
            self._print_line("Aucune machine de l'inventaire n'est visée : rien n'est fait.")
        else:
            done = "Simulation, rien n'est changé" if context.CLIARGS.get("check") else "Fini"
            self._print_line(
                f"\n{done} : {count(len(stats.processed), 'machine')}, {count(self._changes, 'changement')}, {spent}."
            )
