"""What a command, a module and an action plugin say of a fault: its message, once, whatever its class."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins import module_utils
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.host import module
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting
from invoke import Context
from invoke.exceptions import Exit

import creatic
from creatic.cli import common


class Odd(CreaticError, cause="essai"):
    """A class that no door knows by its name."""


class Asked(Odd, misuse=True):
    """What was asked is at fault."""


@pytest.mark.parametrize(("kind", "code"), [(Odd, 1), (Asked, 2)])
def test_a_command_ends_with_the_message_and_the_code(kind: type[CreaticError], code: int) -> None:
    def body(_context: Context) -> None:
        raise kind("le registre manque")

    command = common.task("fab essai", anywhere=True)(body)
    with pytest.raises(Exit) as ended:
        command.body(Context())
    assert (ended.value.message, ended.value.code) == ("le registre manque", code)


@pytest.mark.parametrize(("reads", "left"), [(True, "rien n'est changé"), (False, "ce qui est fait reste fait")])
def test_a_command_that_is_interrupted_says_what_is_left(reads: bool, left: str) -> None:
    def body(_context: Context) -> None:
        raise KeyboardInterrupt

    command = common.task("fab essai", anywhere=True, reads=reads)(body)
    with pytest.raises(Exit, match=f"^Commande interrompue : {left}") as ended:
        command.body(Context())
    assert ended.value.code == 130


def test_a_module_fails_with_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    class Answered(Exception):
        """The module has ended."""

    class Module:
        def __init__(self, **_given: Any) -> None:
            pass

        def fail_json(self, **given: Any) -> None:
            told.update(given)
            raise Answered

    def work(_module: Any) -> dict[str, Any]:
        raise Odd("le registre manque")

    monkeypatch.setattr(module, "AnsibleModule", Module)
    with pytest.raises(Answered):
        module.run({}, work)
    assert told == {"msg": "le registre manque"}


def test_an_action_plugin_fails_with_the_message() -> None:
    class Plugin(Acting):
        def __init__(self) -> None:
            self._task = type("Task", (), {"args": {}, "async_val": 0, "check_mode": False, "environment": None})()
            self._connection = type("Connection", (), {"_shell": type("Shell", (), {"tmpdir": "/tmp"})()})()

        def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
            raise Odd("le registre manque")

    with pytest.raises(AnsibleActionFail, match="le registre manque"):
        Plugin().run()


def _all(package: ModuleType) -> None:
    for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if "deliberations" not in one.name:
            importlib.import_module(one.name)


def test_what_the_control_node_and_modules_refuse_is_of_the_family_and_each_has_its_word() -> None:
    _all(creatic)
    _all(module_utils)
    ours = ("creatic.", f"{module_utils.__name__}.")
    plone = "creatic.deliberations."  # of the name that it shares, Plone's own
    outside = [
        one
        for one in Exception.__subclasses__()
        if one.__module__.startswith(ours) and not one.__module__.startswith(plone) and one is not CreaticError
    ]
    assert [one for one in outside if not one.__name__.startswith("_")] == []
    found, left = set[type[CreaticError]](), [CreaticError]
    while left:
        found.update(below := left.pop().__subclasses__())
        left += below
    words = [one.cause for one in found if one.__module__.startswith(ours)]
    assert len(words) == len({*words}) > 40
    assert "defaut" not in words
