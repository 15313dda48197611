# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of a guarded change: propose, prove by a new connection, confirm; else tell what became of it.

The module has four stages: ``inspect`` compares, ``apply`` arms the host's timed rollback and applies, ``confirm``
disarms and keeps, ``status`` tells. When nothing differs, one module run is all there is.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

MIN_DELAY, MAX_DELAY = 10, 600
# Past the rollback's delay: a loaded host runs its script, and answers again.
_GRACE_S = 60.0
_PAUSE_S = 1.0


class CommitConfirm(ActionBase):
    """Base of the action plugins; a subclass names its module and its subject."""

    TRANSFERS_FILES = False
    module = ""
    subject = ""  # French, as « le pare-feu »
    untouched = ""  # French, what a failure leaves as it was
    advice = ""  # French, where to look

    def commit(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Run the stages; gives the task's result.

        Args:
            args: arguments of the module, but ``stage`` and ``change``.
            task_vars: the task's variables.
        """
        delay = self._delay(args)
        found = self._stage("inspect", args, task_vars)
        if found.get("failed") or not found.get("changed") or self._task.check_mode:
            return found
        if getattr(self._connection, "transport", "") != "ssh":
            raise AnsibleActionFail(f"{self.subject} ne se change que par SSH : une nouvelle connexion le confirme")
        args = args | {"change": uuid.uuid4().hex}
        refusal = self._fresh("status", args, task_vars)[1]
        if refusal:
            return _failed(f"rien n'est changé : une nouvelle connexion d'administration échoue déjà ({refusal})")
        deadline = time.monotonic() + delay
        applied, reason = self._fresh("apply", args, task_vars)
        if applied.get("failed"):  # the module itself says no, and has put back what it had begun
            return applied
        deadline = max(deadline, time.monotonic() + delay) if not reason else deadline
        if not reason:
            reason = self._confirm(args, task_vars, deadline)
        if not reason:
            return found
        return self._failure(reason, args, task_vars, deadline)

    def _delay(self, args: dict[str, Any]) -> int:
        try:
            delay = int(args.get("delay") or 45)
        except (TypeError, ValueError):
            delay = 0
        if not MIN_DELAY <= delay <= MAX_DELAY:
            raise AnsibleActionFail(
                f"delay : « {args.get('delay')} » n'est pas un nombre de secondes entre {MIN_DELAY} et {MAX_DELAY}"
            )
        return delay

    def _stage(self, stage: str, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            module_name=self.module, module_args=args | {"stage": stage}, task_vars=task_vars
        )
        return result

    @contextlib.contextmanager
    def _new_connection(self) -> Iterator[None]:
        """Within, each module run makes an SSH connection of its own, with everything else the play's."""
        connection = self._connection
        shared = connection.get_option("ssh_args") or ""
        # ssh keeps the first value that it meets of an option.
        connection.set_option("ssh_args", f"-o ControlMaster=no -o ControlPath=none {shared}".strip())
        try:
            yield
        finally:
            connection.set_option("ssh_args", shared)

    def _fresh(self, stage: str, args: dict[str, Any], task_vars: dict[str, Any] | None) -> tuple[dict[str, Any], str]:
        """One stage over a new connection: its result, or the reason why it could not run."""
        try:
            with self._new_connection():
                result = self._stage(stage, args, task_vars)
        except AnsibleError as error:  # no connection, no sudo
            return {}, _short(str(error))
        if result.get("failed") and result.get("stage") != stage:  # the module did not speak
            return {}, _short(str(result.get("module_stderr") or result.get("module_stdout") or result.get("msg")))
        return result, ""

    def _confirm(self, args: dict[str, Any], task_vars: dict[str, Any] | None, deadline: float) -> str:
        """Try until the host's own deadline; gives the reason of the failure, or nothing."""
        pause, trouble = _PAUSE_S, ""
        while True:
            result, reason = self._fresh("confirm", args, task_vars)
            if not reason:
                return f"{trouble}{result.get('msg', 'confirmation refusée')}" if result.get("failed") else ""
            trouble = f"aucune nouvelle connexion n'aboutit ({reason}) ; "
            if time.monotonic() + pause >= deadline:
                return trouble.removesuffix(" ; ")
            time.sleep(pause)
            pause *= 2  # sshd penalises an address that insists

    def _failure(
        self, reason: str, args: dict[str, Any], task_vars: dict[str, Any] | None, deadline: float
    ) -> dict[str, Any]:
        """Wait for the host's rollback, and tell what was seen."""
        seen: dict[str, Any] = {}
        time.sleep(max(0.0, deadline - time.monotonic()))
        while time.monotonic() < deadline + _GRACE_S:
            seen, _reason = self._fresh("status", args, task_vars)
            if seen.get("state") in ("revenu", "absent"):
                break
            time.sleep(2 * _PAUSE_S)
        back = seen.get("state") == "revenu"
        if back:
            told = f"la machine a remis d'elle-même l'état précédent ({seen['at']}), vu par une nouvelle connexion"
        elif seen.get("state") == "absent":
            told = "plus aucun changement n'attend sur la machine : un autre passage l'a reprise"
        else:
            told = "la machine ne répond toujours pas : regardez-la sur place"
        return _failed(f"{self.subject} : {reason} ; {told} ; {self.untouched}. {self.advice}", rolled_back=back)


def _failed(message: str, **more: Any) -> dict[str, Any]:
    return {"failed": True, "changed": False, "msg": message[:1].upper() + message[1:], **more}


def _short(text: str) -> str:
    """The end of what ssh or sudo said, on one line: the cause is there."""
    cause = text.rpartition("can be reached over ssh: ")[2]
    lines = [line.strip() for line in cause.splitlines() if line.strip()]
    return " / ".join(lines)[-300:].rstrip(".") or "sans explication"
