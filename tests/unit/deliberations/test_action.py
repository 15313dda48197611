"""First passwords: made on the control node once, and sent only where they are wanted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.cdg59.creatic.plugins.action import deliberations_config, mayan_config


@pytest.mark.parametrize(
    ("plugin", "check", "first"),
    [
        (mayan_config, False, []),
        (mayan_config, True, []),
        (deliberations_config, False, ["passerelle"]),
        (deliberations_config, True, []),
    ],
)
def test_passwords_are_made_for_who_wants_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: Any, check: bool, first: list[str]
) -> None:
    sent: list[dict[str, Any]] = []

    def execute(module_name: str, module_args: dict[str, Any], task_vars: object) -> dict[str, Any]:
        assert module_name == f"cdg59.creatic.{plugin.__name__.rpartition('.')[2]}"
        sent.append(dict(module_args["passwords"]))
        return {"wants_passwords": ["claire.dubois"]} if len(sent) == 1 else {"changed": True}

    monkeypatch.setattr(ActionBase, "run", lambda *_given: {})
    action = plugin.ActionModule.__new__(plugin.ActionModule)
    action._task = SimpleNamespace(args={"secrets_dir": str(tmp_path / "comptes")}, check_mode=check)
    action._execute_module = execute
    assert action.run(task_vars={}) == {"changed": True}
    assert [sorted(one) for one in sent] == [first, sorted([*first, "claire.dubois"])]
    kept = {file.name: file.read_text(encoding="utf-8").strip() for file in (tmp_path / "comptes").iterdir()}
    assert sent[-1] == kept
    assert all((tmp_path / "comptes" / name).stat().st_mode & 0o777 == 0o600 for name in kept)


def test_the_first_password_of_a_closed_account_is_nobody_s_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept, it would open the account of whoever gets the login again, to who left."""
    folder = tmp_path / "comptes"
    for login in ("paul.renard", "claire.dubois"):
        mayan_config.first_password(folder, login)
    monkeypatch.setattr(ActionBase, "run", lambda *_given: {})
    action = mayan_config.ActionModule.__new__(mayan_config.ActionModule)
    action._task = SimpleNamespace(args={"secrets_dir": str(folder)}, check_mode=False)
    action._execute_module = lambda **_given: {"changed": False, "closed": ["paul.renard", "jamais.venu"]}
    action.run(task_vars={})
    assert [file.name for file in folder.iterdir()] == ["claire.dubois"]


def test_a_login_that_passes_to_another_commune_has_another_first_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The former holder knows the one that was kept."""
    former = mayan_config.first_password(tmp_path, "claire.dubois")
    sent: list[dict[str, str]] = []

    def execute(module_args: dict[str, Any], **_given: Any) -> dict[str, Any]:
        sent.append(dict(module_args["passwords"]))
        gone = {"wants_passwords": ["claire.dubois"], "closed": ["claire.dubois"]}
        return gone if len(sent) == 1 else {"changed": True, "closed": []}

    monkeypatch.setattr(ActionBase, "run", lambda *_given: {})
    action = deliberations_config.ActionModule.__new__(deliberations_config.ActionModule)
    action._task = SimpleNamespace(args={"secrets_dir": str(tmp_path)}, check_mode=False)
    action._execute_module = execute
    action.run(task_vars={})
    given = sent[-1]["claire.dubois"]
    assert given != former and (tmp_path / "claire.dubois").read_text(encoding="utf-8").strip() == given


@pytest.mark.parametrize(("check", "there", "sent"), [(False, False, True), (True, False, False), (True, True, True)])
def test_the_password_of_a_program_s_account_is_sent_whether_it_is_new_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool, there: bool, sent: bool
) -> None:
    """The control node's file is what is true of it: taken away (fab comptes.renouveler), another one is made and laid.
    A person's is sent when the account is made alone."""
    folder, found = tmp_path / "comptes", []
    if there:
        mayan_config.first_password(folder, "passerelle")
    users = [
        {"username": "passerelle", "commune": ""},
        {"username": "anne.petit", "commune": "loos"},
        {"username": "x"},
    ]
    monkeypatch.setattr(ActionBase, "run", lambda *_given: {})
    action = mayan_config.ActionModule.__new__(mayan_config.ActionModule)
    args = {"secrets_dir": str(folder), "configuration": {"users": users}}
    action._task = SimpleNamespace(args=args, check_mode=check)

    def execute(**given: Any) -> dict[str, Any]:
        found.append(given["module_args"]["passwords"])
        return {"changed": False}

    action._execute_module = execute
    action.run(task_vars={})
    assert [sorted(one) for one in found] == [["passerelle"] if sent else []]
    assert (folder / "passerelle").exists() == (there or not check)
