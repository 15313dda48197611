# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of a guarded change: propose, prove by a new connection, confirm; else tell what became of it.

The module has four stages: ``inspect`` compares, ``apply`` arms the host's timed rollback and applies, ``confirm``
disarms and keeps, ``status`` tells. When nothing differs, one module run is all there is.

A machine that nobody reaches runs this on itself (role flotte, ``ansible-playbook -c local``): no SSH connection of an
administrator's can tell that a change is good. What it must not lose is its way out: each stage comes after a new
connection to its door, by name, as its next pass will make one.
"""

from __future__ import annotations

import contextlib
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting

MIN_DELAY, MAX_DELAY = 10, 600
# Past the rollback's delay: a loaded host runs its script, and answers again.
_GRACE_S = 60.0
_PAUSE_S = 1.0
_OUT_S = 15.0  # for the door to take a connection


class CommitConfirm(Acting):
    """Base of the action plugins; a subclass names its module and its subject."""

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
        delay = self._rollback_delay(args)
        found = self._run_stage("inspect", args, task_vars)
        if found.get("failed") or not found.get("changed") or self._task.check_mode:
            return found
        if self._transport_name != "ssh" and not self._on_itself(task_vars):
            raise AnsibleActionFail(f"{self.subject} ne se change que par SSH : une nouvelle connexion le confirme")
        args = args | {"change": uuid.uuid4().hex}
        refusal = self._run_on_new_connection("status", args, task_vars)[1]
        if refusal:
            which = "d'administration" if self._transport_name == "ssh" else "au guichet"
            return _make_failure(f"rien n'est changé : une nouvelle connexion {which} échoue déjà ({refusal})")
        deadline = time.monotonic() + delay
        applied, reason = self._run_on_new_connection("apply", args, task_vars)
        if applied.get("failed"):  # the module itself says no, and has put back what it had begun
            return applied
        deadline = max(deadline, time.monotonic() + delay) if not reason else deadline
        if not reason:
            reason = self._confirm_change(args, task_vars, deadline)
        if not reason:
            return found
        return self._failed_result(reason, args, task_vars, deadline)

    @property
    def _transport_name(self) -> str:
        return str(getattr(self._connection, "transport", ""))

    def _on_itself(self, task_vars: Mapping[str, Any] | None) -> bool:
        """Whether this is the run of a machine that nobody reaches, on itself: it has a door (role flotte)."""
        return self._transport_name == "local" and bool(_ssh_address(task_vars))

    def _admin_account(self, task_vars: Mapping[str, Any] | None) -> str:
        """The administrator's account of this machine."""
        if self._transport_name == "ssh":
            return str(self._connection.get_option("remote_user") or "root")
        return str((task_vars or {}).get("ansible_user") or "root")

    def _require_network_path(self, task_vars: Mapping[str, Any] | None) -> None:
        """Take, from the machine itself, the way that a change must not close.

        Raises:
            AnsibleConnectionFailure: it is closed.
        """
        address = urlsplit(_ssh_address(task_vars))
        reach(str(address.hostname), address.port or 443)

    def _rollback_delay(self, args: dict[str, Any]) -> int:
        try:
            delay = int(args.get("delay") or 45)
        except (TypeError, ValueError):
            delay = 0
        if not MIN_DELAY <= delay <= MAX_DELAY:
            raise AnsibleActionFail(
                f"delay : « {args.get('delay')} » n'est pas un nombre de secondes entre {MIN_DELAY} et {MAX_DELAY}"
            )
        return delay

    def _run_stage(self, stage: str, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            module_name=self.module, module_args=args | {"stage": stage}, task_vars=task_vars
        )
        return result

    @contextlib.contextmanager
    def _new_connection(self, task_vars: Mapping[str, Any] | None) -> Iterator[None]:
        """Within, each module run makes an SSH connection of its own, with everything else the play's.

        On a machine that runs this on itself, what is within comes after a connection to its door.
        """
        if self._on_itself(task_vars):
            self._require_network_path(task_vars)
            yield
            return
        connection = self._connection
        shared = connection.get_option("ssh_args") or ""
        # ssh keeps the first value that it meets of an option.
        connection.set_option("ssh_args", f"-o ControlMaster=no -o ControlPath=none {shared}".strip())
        try:
            yield
        finally:
            connection.set_option("ssh_args", shared)

    def _run_on_new_connection(
        self, stage: str, args: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> tuple[dict[str, Any], str]:
        """One stage over a new connection: its result, or the reason why it could not run."""
        try:
            with self._new_connection(task_vars):
                result = self._run_stage(stage, args, task_vars)
        except AnsibleError as error:  # no connection, no sudo
            return {}, _error_summary(str(error))
        if result.get("failed") and result.get("stage") != stage:  # the module did not speak
            return {}, _error_summary(
                str(result.get("module_stderr") or result.get("module_stdout") or result.get("msg"))
            )
        return result, ""

    def _confirm_change(self, args: dict[str, Any], task_vars: dict[str, Any] | None, deadline: float) -> str:
        """Try until the host's own deadline; gives the reason of the failure, or nothing."""
        pause, trouble = _PAUSE_S, ""
        while True:
            result, reason = self._run_on_new_connection("confirm", args, task_vars)
            if not reason:
                return f"{trouble}{result.get('msg', 'confirmation refusée')}" if result.get("failed") else ""
            trouble = f"aucune nouvelle connexion n'aboutit ({reason}) ; "
            if time.monotonic() + pause >= deadline:
                return trouble.removesuffix(" ; ")
            time.sleep(pause)
            pause *= 2  # sshd penalises an address that insists

    def _observe_outcome(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """What became of the change; a machine that runs this on itself knows it without its door."""
        if self._on_itself(task_vars):
            return self._run_stage("status", args, task_vars)
        return self._run_on_new_connection("status", args, task_vars)[0]

    def _failed_result(
        self, reason: str, args: dict[str, Any], task_vars: dict[str, Any] | None, deadline: float
    ) -> dict[str, Any]:
        """Wait for the host's rollback, and tell what was seen."""
        seen: dict[str, Any] = {}
        time.sleep(max(0.0, deadline - time.monotonic()))
        while time.monotonic() < deadline + _GRACE_S:
            seen = self._observe_outcome(args, task_vars)
            if seen.get("state") in ("revenu", "absent"):
                break
            time.sleep(2 * _PAUSE_S)
        back = seen.get("state") == "revenu"
        if back:
            told = f"la machine a remis d'elle-même l'état précédent ({seen['at']})"
            told += ", vu par une nouvelle connexion" * (self._transport_name == "ssh")
        elif seen.get("state") == "absent":
            told = "plus aucun changement n'attend sur la machine : un autre passage l'a reprise"
        else:
            told = "la machine ne répond toujours pas : regardez-la sur place"
        return _make_failure(f"{self.subject} : {reason} ; {told} ; {self.untouched}. {self.advice}", rolled_back=back)


def reach(host: str, port: int, greeting: bytes = b"") -> None:
    """Open a TCP connection, and close it.

    Args:
        greeting: how the other side begins to speak.

    Raises:
        AnsibleConnectionFailure: nobody answers, or otherwise.
    """
    try:
        with socket.create_connection((host, port), timeout=_OUT_S) as line:
            said = line.recv(len(greeting), socket.MSG_WAITALL) if greeting else b""
    except OSError as error:
        raise AnsibleConnectionFailure(f"{host}, port {port} : {reason(error)}") from None
    if said != greeting:
        raise AnsibleConnectionFailure(f"{host}, port {port} : ce n'est pas ce qui répond d'habitude")


def _ssh_address(task_vars: Mapping[str, Any] | None) -> str:
    door = (task_vars or {}).get("flotte_door")
    return str(door.get("url") or "") if isinstance(door, Mapping) else ""


def _make_failure(message: str, **more: Any) -> dict[str, Any]:
    return {"failed": True, "changed": False, "msg": message[:1].upper() + message[1:], **more}


def _error_summary(text: str) -> str:
    """The end of what ssh or sudo said, on one line: the cause is there."""
    cause = text.rpartition("can be reached over ssh: ")[2]
    lines = [line.strip() for line in cause.splitlines() if line.strip()]
    return " / ".join(lines)[-300:].rstrip(".") or "sans explication"
