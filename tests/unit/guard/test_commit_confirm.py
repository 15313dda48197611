"""The control node's half: what it asks in which order, over which connection, and what it says of a failure."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.cdg59.creatic.plugins.action import nft_commit
from ansible_collections.cdg59.creatic.plugins.plugin_utils import commit_confirm

Answer = Callable[[str], dict[str, Any]]
DENIED = "Data could not be sent. Make sure this host can be reached over ssh: Permission denied (publickey)."


class Connection:
    """An SSH connection's options."""

    transport = "ssh"
    _shell = MagicMock()

    def __init__(self) -> None:
        self.options = {"ssh_args": "-o ControlMaster=auto -o ControlPersist=120s", "remote_user": "creatic"}

    def get_option(self, name: str) -> str:
        return self.options[name]

    def set_option(self, name: str, value: str) -> None:
        self.options[name] = value


class Play:
    """Runs the action; the host's answers are given, time passes only when the action sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connection = Connection()
        self.stages: list[tuple[str, bool]] = []  # stage, over a new connection
        self.changes: set[str] = set()
        self.now = 0.0
        self.answer: Answer = lambda stage: {}
        monkeypatch.setattr(commit_confirm.CommitConfirm, "_execute_module", lambda _, **sent: self._module(**sent))
        # The action's clock alone: who waits for a thread waits by the real one.
        monkeypatch.setattr(commit_confirm, "time", SimpleNamespace(sleep=self._sleep, monotonic=lambda: self.now))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _module(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        self.stages.append((module_args["stage"], "ControlPath=none" in self.connection.options["ssh_args"]))
        if "change" in module_args:
            self.changes.add(module_args["change"])
        stage = module_args["stage"]
        return {"changed": stage == "inspect", "stage": stage} | self.answer(stage)

    def run(self, check: bool = False, **args: Any) -> dict[str, Any]:
        task = MagicMock(args={"ruleset": "x"} | args, check_mode=check, diff=False, async_val=0)
        action = nft_commit.ActionModule(task, self.connection, MagicMock(), MagicMock(), MagicMock(), MagicMock())
        result: dict[str, Any] = action.run(None, {})
        return result


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    return Play(monkeypatch)


def test_nothing_differs_one_run_of_the_module(play: Play) -> None:
    play.answer = lambda stage: {"changed": False}
    assert not play.run()["changed"]
    assert play.stages == [("inspect", False)]


def test_check_mode_only_compares(play: Play) -> None:
    assert play.run(check=True)["changed"]
    assert play.stages == [("inspect", False)]


def test_a_change_is_applied_and_confirmed_over_new_connections(play: Play) -> None:
    assert play.run()["changed"]
    assert play.stages == [("inspect", False), ("status", True), ("apply", True), ("confirm", True)]
    assert len(play.changes) == 1
    assert play.connection.options["ssh_args"] == "-o ControlMaster=auto -o ControlPersist=120s"


def test_an_access_already_broken_stops_before_any_change(play: Play) -> None:
    def answer(stage: str) -> dict[str, Any]:
        if stage == "status":
            raise AnsibleConnectionFailure(DENIED)
        return {}

    play.answer = answer
    result = play.run()
    assert result["failed"]
    assert result["msg"].startswith("Rien n'est changé : une nouvelle connexion")
    assert "(Permission denied (publickey))" in result["msg"]
    assert [stage for stage, _new in play.stages] == ["inspect", "status"]


def test_locked_out_the_rollback_is_awaited_and_told_with_the_reason(play: Play) -> None:
    def answer(stage: str) -> dict[str, Any]:
        if stage == "confirm" or (stage == "status" and 0 < play.now < 22):
            raise AnsibleConnectionFailure("connect to host 10.59.0.10 port 22: Connection timed out")
        return {"state": "revenu", "at": "2026-11-25T04:20:04Z"} if stage == "status" else {}

    play.answer = answer
    result = play.run(delay=20)
    assert result["failed"]
    assert result["rolled_back"]
    assert "Connection timed out" in result["msg"]
    assert "l'état précédent (2026-11-25T04:20:04Z)" in result["msg"]
    assert "/etc/nftables.conf n'a pas changé" in result["msg"]
    assert 20 <= play.now < 30


def test_a_machine_that_never_comes_back_is_said_so(play: Play) -> None:
    def answer(stage: str) -> dict[str, Any]:
        if stage == "confirm" or (stage == "status" and play.now):
            raise AnsibleConnectionFailure("timed out")
        return {}

    play.answer = answer
    result = play.run(delay=20)
    assert not result["rolled_back"]
    assert "regardez-la sur place" in result["msg"]


def test_a_short_loss_is_not_a_failure(play: Play) -> None:
    def answer(stage: str) -> dict[str, Any]:
        if stage == "confirm" and play.now < 3:
            raise AnsibleConnectionFailure("Connection refused")
        return {}

    play.answer = answer
    assert not play.run().get("failed")


def test_a_login_without_sudo_proves_nothing(play: Play) -> None:
    def answer(stage: str) -> dict[str, Any]:
        if stage == "confirm":  # Ansible's words, not the module's
            return {"failed": True, "module_stderr": "sudo: a password is required\n", "stage": None}
        return {"state": "revenu", "at": "x"} if stage == "status" else {}

    play.answer = answer
    result = play.run()
    assert "sudo: a password is required" in result["msg"]
    assert play.now >= 45


def test_what_the_host_refuses_is_passed_on(play: Play) -> None:
    play.answer = lambda stage: {"failed": True, "msg": "nft refuse les règles"} if stage == "apply" else {}
    result = play.run()
    assert result["msg"] == "nft refuse les règles"
    assert [stage for stage, _new in play.stages] == ["inspect", "status", "apply"]


def test_a_confirmation_that_came_too_late_is_a_failure(play: Play) -> None:
    def answer(stage: str) -> dict[str, Any]:
        if stage == "confirm":
            return {"failed": True, "msg": "trop tard"}
        return {"state": "revenu", "at": "x"} if stage == "status" else {}

    play.answer = answer
    assert play.run()["msg"].startswith("Pare-feu : trop tard ; la machine a remis")


def test_a_connection_that_comes_back_with_the_rollback_does_not_hide_the_reason(play: Play) -> None:
    def answer(stage: str) -> dict[str, Any]:
        if stage == "confirm" and not play.now:
            raise AnsibleConnectionFailure("Connection timed out")
        if stage == "confirm":
            return {"failed": True, "msg": "trop tard"}
        return {"state": "revenu", "at": "x"} if stage == "status" else {}

    play.answer = answer
    assert "n'aboutit (Connection timed out) ; trop tard ;" in play.run()["msg"]


@pytest.mark.parametrize("delay", [9, 601, "bientôt"])
def test_a_delay_out_of_bounds_is_refused(play: Play, delay: object) -> None:
    with pytest.raises(AnsibleActionFail, match="secondes entre 10 et 600"):
        play.run(delay=delay)
    assert play.stages == []


@pytest.mark.parametrize("delay", [10, 600])
def test_a_delay_at_its_bounds_is_taken(play: Play, delay: int) -> None:
    assert play.run(delay=delay)["changed"]


@pytest.mark.parametrize(("delay", "tries"), [({}, [0, 1, 3, 7, 15, 31]), ({"delay": 15}, [0, 1, 3, 7])])
def test_a_confirmation_is_tried_less_and_less_often_before_the_deadline(
    play: Play, delay: dict[str, int], tries: list[int]
) -> None:
    tried: list[float] = []

    def answer(stage: str) -> dict[str, Any]:
        if stage == "confirm":
            tried.append(play.now)
            raise AnsibleConnectionFailure("Connection refused")
        return {"state": "absent"} if stage == "status" else {}

    play.answer = answer
    result = play.run(False, **delay)
    assert result["msg"].startswith("Pare-feu : aucune nouvelle connexion n'aboutit (Connection refused) ; plus aucun ")
    assert (result["failed"], result["changed"], result["rolled_back"]) == (True, False, False)
    assert tried == tries


def test_the_machine_is_asked_every_two_seconds_for_one_minute_after_its_deadline(play: Play) -> None:
    asked: list[float] = []

    def answer(stage: str) -> dict[str, Any]:
        if stage == "status":
            asked.append(play.now)
            if len(asked) > 1:
                raise AnsibleConnectionFailure("timed out")
        if stage == "confirm":
            return {"failed": True, "msg": "trop tard"}
        return {}

    play.answer = answer
    play.run(delay=20)
    assert asked[1:] == list(range(20, 80, 2))


def test_the_delay_runs_from_the_moment_the_change_is_in_force(play: Play) -> None:
    def answer(stage: str) -> dict[str, Any]:
        if stage == "apply":
            play.now += 15
        if stage == "confirm":
            return {"failed": True, "msg": "trop tard"}
        return {"state": "revenu", "at": "x"} if stage == "status" else {}

    play.answer = answer
    play.run(delay=20)
    assert play.now == 35


def test_a_change_that_may_be_in_force_is_awaited_from_before_it(play: Play) -> None:
    def answer(stage: str) -> dict[str, Any]:
        if stage == "apply":
            play.now += 15
            raise AnsibleConnectionFailure("Connection reset")
        return {"state": "revenu", "at": "x"} if stage == "status" else {}

    play.answer = answer
    assert "Connection reset" in play.run(delay=20)["msg"]
    assert play.now == 20
    assert [stage for stage, _new in play.stages] == ["inspect", "status", "apply", "status"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"module_stderr": "stderr", "module_stdout": "stdout", "msg": "msg"}, "stderr"),
        ({"module_stdout": "stdout", "msg": "msg"}, "stdout"),
        ({"msg": "msg"}, "msg"),
        ({"msg": "x" * 301}, "x" * 300),
        ({"msg": " \n"}, "sans explication"),
        ({"msg": "un\n\n  deux.\n"}, "un / deux"),
    ],
)
def test_what_ansible_says_in_the_module_s_place_is_told(play: Play, words: dict[str, str], told: str) -> None:
    play.answer = lambda stage: {"failed": True, "stage": None, **words} if stage == "status" else {}
    result = play.run()
    assert result["msg"].endswith(f"échoue déjà ({told})")
    assert (result["failed"], result["changed"]) == (True, False)


def test_the_actions_take_nothing_with_them(play: Play) -> None:
    assert not commit_confirm.CommitConfirm.TRANSFERS_FILES


def test_another_transport_cannot_prove_anything(play: Play) -> None:
    play.connection.transport = "local"
    with pytest.raises(AnsibleActionFail, match="que par SSH"):
        play.run()
