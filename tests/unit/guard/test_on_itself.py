"""A machine that nobody reaches changes its firewall and its sshd itself: what proves it, and what undoes it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.action import admin_access, nft_commit, sshd_commit
from ansible_collections.cdg59.creatic.plugins.plugin_utils import commit_confirm

from testbed.patience import wait_for


class Server:
    """What answers on a port of this machine, with a greeting, until it is closed; counts those who came."""

    def __init__(self, greeting: bytes = b"") -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.greeting, self.came = greeting, 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:  # closed
                return
            self.came += 1
            with line:
                line.sendall(self.greeting)

    def close(self) -> None:
        """Answer nobody any more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Itself:
    """A run of the actions over the local connection; what the module is asked is noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, door: Server, sshd: Server) -> None:
        self.door, self.sshd, self.stages = door, sshd, list[str]()
        self.closes: Server | None = None  # what the change cuts
        self.now = 0.0
        self.commands, self.said = list[str](), {"rc": 0, "stdout": "creatic sudogrp\n0\n", "stderr": ""}
        monkeypatch.setattr(commit_confirm.CommitConfirm, "_execute_module", lambda _, **sent: self._module(**sent))
        monkeypatch.setattr(
            commit_confirm.CommitConfirm, "_low_level_execute_command", lambda _, command, **__: self._command(command)
        )
        # The action's clock alone: who waits for a thread waits by the real one.
        monkeypatch.setattr(commit_confirm, "time", SimpleNamespace(sleep=self._sleep, monotonic=lambda: self.now))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _command(self, command: str) -> dict[str, Any]:
        self.commands.append(command)
        return self.said

    def _module(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        stage = module_args["stage"]
        self.stages.append(stage)
        if stage == "apply" and self.closes:
            self.closes.close()
        told = {"state": "revenu", "at": "2026-11-29T01:00:00Z"} if "confirm" not in self.stages else {}
        return {"changed": stage == "inspect", "stage": stage} | (told if stage == "status" else {})

    def run(self, action: Any, door: bool = True, **args: Any) -> dict[str, Any]:
        """Run an action, as a task of the machine's own run."""
        connection = MagicMock(transport="local")
        connection.get_option.side_effect = KeyError  # the local connection has neither account nor ssh's options
        task = MagicMock(args=args, check_mode=False, diff=False, async_val=0)
        told: dict[str, Any] = {"ansible_user": "creatic", "ansible_port": self.sshd.port}
        told |= {"flotte_door": {"url": f"https://localhost:{self.door.port}", "addresses": []}} if door else {}
        made = action(task, connection, MagicMock(), MagicMock(), MagicMock(), MagicMock())
        result: dict[str, Any] = made.run(None, told)
        return result


@pytest.fixture
def itself(monkeypatch: pytest.MonkeyPatch) -> Iterator[Itself]:
    door, sshd = Server(), Server(b"SSH-2.0-OpenSSH_10.0p2\r\n")
    yield Itself(monkeypatch, door, sshd)
    for one in (door, sshd):
        with contextlib.suppress(OSError):  # the test closed it
            one.close()


def test_a_firewall_stays_when_the_door_is_reached_through_it(itself: Itself) -> None:
    assert itself.run(nft_commit.ActionModule, ruleset="x")["changed"]
    assert itself.stages == ["inspect", "status", "apply", "confirm"]
    wait_for(lambda: itself.door.came == 3, "trois connexions au guichet", 30)
    assert itself.sshd.came == 0


def test_a_firewall_that_closes_the_way_out_is_undone_by_the_machine(itself: Itself) -> None:
    itself.closes = itself.door
    result = itself.run(nft_commit.ActionModule, ruleset="x", delay=20)
    assert (result["failed"], result["changed"], result["rolled_back"]) == (True, False, True)
    assert f"aucune nouvelle connexion n'aboutit (localhost, port {itself.door.port} : " in result["msg"]
    assert "la machine a remis d'elle-même l'état précédent (2026-11-29T01:00:00Z) ;" in result["msg"]
    assert "confirm" not in itself.stages
    assert itself.now == 20


def test_nothing_is_changed_while_the_door_is_away(itself: Itself) -> None:
    itself.door.close()
    result = itself.run(nft_commit.ActionModule, ruleset="x")
    assert result["msg"].startswith("Rien n'est changé : une nouvelle connexion au guichet échoue déjà (localhost")
    assert itself.stages == ["inspect"]


def test_sshd_is_proved_by_its_own_greeting(itself: Itself, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sshd_commit.ActionModule, "rendered", lambda *_: [])
    assert itself.run(sshd_commit.ActionModule, files=[])["changed"]
    assert (itself.door.came, itself.sshd.came) == (0, 3)  # each greeting was read
    itself.sshd.greeting = b"HTTP/1.0 400"
    refused = itself.run(sshd_commit.ActionModule, files=[])
    assert "ce n'est pas ce qui répond d'habitude" in refused["msg"]


def test_the_administrator_s_account_is_proved_by_a_session_of_its_own(itself: Itself) -> None:
    assert itself.run(admin_access.ActionModule, group="sudogrp") == {
        "changed": False,
        "groups": ["creatic", "sudogrp"],
    }
    assert itself.commands == ["runuser -u creatic -- sh -c 'id -nG; sudo -n id -u'"]
    itself.said = {"rc": 1, "stdout": "creatic\n", "stderr": "sudo: il faut un mot de passe"}
    refused = itself.run(admin_access.ActionModule, group="sudogrp")
    assert refused["failed"]
    assert "par une nouvelle session, sudo ne répond pas (sudo: il faut un mot de passe)" in refused["msg"]


@pytest.mark.parametrize("action", [nft_commit.ActionModule, sshd_commit.ActionModule, admin_access.ActionModule])
def test_a_local_run_without_a_door_is_refused(itself: Itself, action: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sshd_commit.ActionModule, "rendered", lambda *_: [])
    with pytest.raises(AnsibleActionFail, match="par SSH"):
        itself.run(action, door=False, ruleset="x", files=[])
    assert "apply" not in itself.stages
