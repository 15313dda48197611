"""sudo, as it understood its files (ANSSI-BP-028 R38 to R44)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

# Those who administer: their right to everything is waived in the catalogue, nobody else has it.
ADMINISTRATORS = {"root", "%sudo", "%sudogrp"}
EDITORS = (
    "vi",
    "vim",
    "nano",
    "emacs",
    "ed",
    "ex",
    "view",
    "vim.tiny",
    "vim.basic",
    "mcedit",
    "joe",
    "sensible-editor",
)
# They let others start programs, or their own are exactly these.
EXEC_NEEDED = {f"/usr/bin/{name}" for name in ("apt", "apt-get", "dpkg", "systemctl", "journalctl")} | {
    "/usr/sbin/visudo"
}


def rules(facts: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Who may execute what, with its options: one command at a time."""
    for spec in facts["sudoers"]["User_Specs"]:
        for user in spec["User_List"]:
            name = f"%{user['usergroup']}" if "usergroup" in user else next(iter(user.values()))
            for granted in spec["Cmnd_Specs"]:
                for command in granted["Commands"]:
                    yield (
                        str(name),
                        str(command.get("command", "")),
                        {**granted, "negated": command.get("negated", False)},
                    )


def defaults(facts: dict[str, Any], user: str = "") -> dict[str, Any]:
    """Options for everyone, the last word counts; with a user, those of the user alone."""
    found: dict[str, Any] = {}
    for entry in facts["sudoers"]["Defaults"]:
        bound = [one.get("username") for one in entry.get("Binding", [])]
        if bound == ([user] if user else []):
            for option in entry["Options"]:
                found |= option
    return found


@pytest.fixture
def automation(hostvars: dict[str, Any]) -> str:
    return str(hostvars.get("ansible_user", "creatic"))


@pytest.mark.niveau("enhanced")
def test_r38_only_its_group_may_execute_sudo(facts: dict[str, Any], hostvars: dict[str, Any], automation: str) -> None:
    group = facts["groups"][hostvars.get("hardening_sudo_group", "sudogrp")]
    file = facts["files"]["/usr/bin/sudo"]
    assert (file["uid"], file["gid"], oct(file["mode"])) == (0, group["gid"], "0o4110")
    assert automation in group["members"]
    assert facts["sudo_closed"]  # tried by an account that is not in it


@pytest.mark.niveau("intermediary")
def test_r39_sudo_is_as_the_guide_asks(facts: dict[str, Any]) -> None:
    wanted = {
        "env_reset": True,
        "ignore_dot": True,
        "noexec": True,
        "requiretty": True,
        "use_pty": True,
        "umask": "0077",
    }
    found = defaults(facts)
    assert {name: found.get(name) for name in wanted} == wanted


@pytest.mark.niveau("intermediary")
def test_r39_only_those_who_need_it_have_no_terminal(facts: dict[str, Any], automation: str) -> None:
    exempt = {
        one["username"]
        for entry in facts["sudoers"]["Defaults"]
        for one in entry.get("Binding", [])
        if "username" in one and {"requiretty": False} in entry["Options"]
    }
    assert exempt <= {automation, "auditeur", "prestataire"}


@pytest.mark.niveau("intermediary")
def test_r40_others_than_administrators_become_a_named_account(facts: dict[str, Any], automation: str) -> None:
    broad = [
        (user, command)
        for user, command, granted in rules(facts)
        if user not in {automation, *ADMINISTRATORS}
        and {"username": "ALL"} in granted.get("runasusers", [{"username": "root"}])
    ]
    assert not broad


@pytest.mark.niveau("enhanced")
def test_r41_only_listed_commands_start_others(facts: dict[str, Any]) -> None:
    freed = {
        one["command"]
        for entry in facts["sudoers"]["Defaults"]
        for one in entry.get("Binding", [])
        if "command" in one and {"noexec": False} in entry["Options"]
    }
    assert freed <= EXEC_NEEDED
    for user, command, granted in rules(facts):
        if {"noexec": False} in granted.get("Options", []):
            assert command.startswith("/usr/lib/creatic/"), (user, command)


@pytest.mark.niveau("intermediary")
def test_r42_nothing_is_granted_by_exception(facts: dict[str, Any]) -> None:
    assert not [(user, command) for user, command, granted in rules(facts) if granted["negated"]]


@pytest.mark.niveau("intermediary")
def test_r43_others_than_administrators_have_exact_commands(facts: dict[str, Any], automation: str) -> None:
    vague = [
        (user, command)
        for user, command, _granted in rules(facts)
        if user not in {automation, *ADMINISTRATORS} and (command == "ALL" or " " not in command)
    ]
    assert not [(user, command) for user, command in vague if command != "/usr/sbin/aa-status"]


@pytest.mark.niveau("intermediary")
def test_r44_nobody_is_given_an_editor(facts: dict[str, Any]) -> None:
    given = [
        (user, command) for user, command, _granted in rules(facts) if command.split()[0].rpartition("/")[2] in EDITORS
    ]
    assert not given
