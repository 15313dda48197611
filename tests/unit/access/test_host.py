"""The host's half: accounts that only a certificate opens, their login shell, the end of their sessions."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils import access_accounts
from creatic_session import cli, sessions

SHELL = cli.SELF
ACCOUNTS = [{"name": "auditeur", "comment": "Auditeur"}]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system's files, with sudo open to all."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/sudo").touch(mode=0o755)
    (tmp_path / "etc/passwd").write_text(
        f"root:x:0:0:root:/root:/bin/bash\nauditeur:x:1001:1001:Auditeur:/home/auditeur:{SHELL}\n"
    )
    (tmp_path / "etc/shadow").write_text("root:*:20000::::::\nauditeur:*:20000::::::\n")
    (tmp_path / "etc/group").write_text(f"sudogrp:x:{os.getgid()}:creatic\nsudo:x:27:creatic\nauditeur:x:1001:\n")
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    commands: list[list[str]] = []
    monkeypatch.setattr(access_accounts, "run", lambda command, _error: commands.append(list(command)))
    return commands


def test_an_account_as_it_must_be_is_left_alone(root: Path, asked: list[list[str]]) -> None:
    assert access_accounts.apply(ACCOUNTS, SHELL, root=root) == []
    assert asked == []


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("etc/passwd", SHELL, "/bin/bash"),
        ("etc/passwd", "/home/auditeur", "/srv/auditeur"),
        ("etc/shadow", "auditeur:*", "auditeur:$y$j9T$abc"),
        ("etc/shadow", "auditeur:*", "auditeur:"),
        ("etc/shadow", "auditeur:*", "auditeur:!$y$j9T$abc"),
        ("etc/group", "sudo:x:27:creatic", "sudo:x:27:creatic,auditeur"),
    ],
)
def test_what_was_changed_by_hand_is_brought_back(
    root: Path, asked: list[list[str]], file: str, before: str, after: str
) -> None:
    (root / file).write_text((root / file).read_text().replace(before, after))
    assert [change.name for change in access_accounts.apply(ACCOUNTS, SHELL, check=True, root=root)] == ["auditeur"]
    assert asked == []
    access_accounts.apply(ACCOUNTS, SHELL, root=root)
    assert [(command[0], command[-1]) for command in asked] == [("usermod", "auditeur")]
    assert tuple(asked[0][asked[0].index("--password") :][:2]) == ("--password", "*")
    assert tuple(asked[0][asked[0].index("--groups") :][:2]) == ("--groups", "")


def test_where_sudo_is_reserved_to_a_group_accounts_join_it_alone(root: Path, asked: list[list[str]]) -> None:
    (root / "usr/bin/sudo").chmod(0o4110)
    assert access_accounts.sudo_group(root) == "sudogrp"
    access_accounts.apply([*ACCOUNTS, {"name": "prestataire", "comment": "Prestataire"}], SHELL, root=root)
    assert [command[0] for command in asked] == ["usermod", "useradd"]
    assert all(command[command.index("--groups") + 1] == "sudogrp" for command in asked)


# -- the login shell ----------------------------------------------------------------------------------------------


def test_a_session_is_recorded_as_the_account_until_the_certificate_ends() -> None:
    command = cli.recorded("auditeur", "enregistrer 12 1000", "cat /etc/hostname; id", 400.9)
    assert command == [
        *("sudo", "--non-interactive", "--command-timeout=600", "--user=auditeur", "--"),
        *(SHELL, "executer", "12", "cat /etc/hostname; id"),
    ]
    assert cli.recorded("auditeur", "enregistrer 12 1000", "", 0)[-2:] == ["executer", "12"]
    assert "--command-timeout=1" in cli.recorded("auditeur", "enregistrer 12 1000", "", 999)  # its last second


@pytest.mark.parametrize(
    "forced", ["", "id", "enregistrer", "enregistrer 12 1000; id", "enregistrer 12 1000\nid", "enregistrer -1 1000"]
)
def test_nothing_else_opens_a_session(forced: str) -> None:
    with pytest.raises(ValueError, match=r"fab access\.grant"):
        cli.recorded("auditeur", forced, "id", 0)


def test_an_ended_certificate_opens_nothing() -> None:
    with pytest.raises(ValueError, match="échu"):
        cli.recorded("auditeur", "enregistrer 12 1000", "", 1000)


@pytest.mark.parametrize("arguments", [[], ["-l"], ["-c", "id"], ["-c", "id", "x"], ["executer"], ["couper", "x"]])
def test_the_shell_itself_refuses(arguments: list[str]) -> None:
    package = Path(cli.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from creatic_session.cli import main; sys.exit(main())", *arguments],
        env={"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("Session refusée : ce compte ne s'ouvre")


# -- the end of sessions ------------------------------------------------------------------------------------------


def process(proc: Path, pid: int, uid: int, *command: str) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in command))
    (folder / "status").write_text(f"Name:\tx\nUid:\t1001\t{uid}\t{uid}\t{uid}\n")


def sudo(serial: str, account: str) -> list[str]:
    return ["sudo", "--non-interactive", "--command-timeout=9", f"--user={account}", "--", SHELL, "executer", serial]


def test_only_the_accounts_that_a_certificate_opened_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {"auditeur": 1001, "prestataire": 1002}
    monkeypatch.setattr(sessions.pwd, "getpwnam", lambda name: pwd.struct_passwd((name, "", ids[name], 0, "", "", "")))
    process(tmp_path, 10, 0, *sudo("12", "auditeur"), "cat")
    process(tmp_path, 11, 1001, "bash", "-c", "cat")
    process(tmp_path, 12, 1001, "sleep", "1000")
    process(tmp_path, 20, 0, *sudo("121", "prestataire"))
    process(tmp_path, 21, 1002, "bash", *sudo("12", "prestataire"))  # says so, without sudo's rights
    process(tmp_path, 30, 0, "sshd")
    killed = []

    def kill(pid: int, number: int) -> None:
        assert number == signal.SIGKILL
        killed.append(pid)
        (tmp_path / str(pid) / "status").unlink()

    assert sessions.cut([SHELL, "executer", "12"], kill, tmp_path) == {"auditeur": 2}
    assert sorted(killed) == [11, 12]
    assert sessions.cut([SHELL, "executer", "13"], kill, tmp_path) == {}


def test_a_process_that_does_not_die_is_tried_again_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(sessions.pwd, "getpwnam", lambda name: pwd.struct_passwd((name, "", 1001, 0, "", "", "")))
    monkeypatch.setattr(sessions, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    process(tmp_path, 10, 0, *sudo("12", "auditeur"))
    process(tmp_path, 11, 1001, "bash")
    process(tmp_path, 12, 1001)  # a zombie
    (tmp_path / "self").mkdir()
    (tmp_path / "13").mkdir()  # ended meanwhile

    def gone(_pid: int, _number: int) -> None:
        raise ProcessLookupError

    assert sessions.cut([SHELL, "executer", "12"], gone, tmp_path) == {}
    assert now[0] == pytest.approx(5, abs=0.11)
    assert {one.pid: one.uid for one in sessions.processes(tmp_path)} == {10: 0, 11: 1001}


# -- the command itself -------------------------------------------------------------------------------------------


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """What the process would have become."""
    found: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(cli.os, "execv", lambda path, command: found.append((path, command)))
    monkeypatch.setattr(cli.os, "environ", {})
    return found


def run_shell(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(cli.sys, "argv", ["creatic-session", *arguments])
    return cli.main()


def test_the_login_shell_becomes_sudo_then_a_shell(
    monkeypatch: pytest.MonkeyPatch, became: list[tuple[str, list[str]]]
) -> None:
    end = int(time.time()) + 60
    cli.os.environ["SSH_ORIGINAL_COMMAND"] = "id"
    run_shell(monkeypatch, "-c", f"enregistrer 12 {end}")
    run_shell(monkeypatch, "executer", "12")
    assert cli.os.environ["SHELL"] == "/bin/bash"
    run_shell(monkeypatch, "executer", "12", "id; ls")
    account = pwd.getpwuid(os.getuid()).pw_name
    (path, command), shell, asked = became
    assert path == "/usr/bin/sudo"
    assert command[3:] == [f"--user={account}", "--", SHELL, "executer", "12", "id"]
    assert (shell, asked) == (("/bin/bash", ["-bash"]), ("/bin/bash", ["bash", "-c", "id; ls"]))


def test_what_is_refused_is_told_with_its_status(
    monkeypatch: pytest.MonkeyPatch, became: list[tuple[str, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_shell(monkeypatch, "-c", "enregistrer 12 1000") == 1
    assert capsys.readouterr().err == "Session refusée : ce certificat est échu.\n"
    for arguments in ([], ["couper", "x"], ["executer"]):
        assert run_shell(monkeypatch, *arguments) == 2
    assert became == []


def test_sessions_are_cut_and_counted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[list[str]] = []

    def cut(command: list[str]) -> dict[str, int]:
        asked.append(command)
        return {"auditeur": 2}

    monkeypatch.setattr(cli, "cut", cut)
    assert run_shell(monkeypatch, "couper", "12") == 0
    assert asked == [[SHELL, "executer", "12"]]
    assert capsys.readouterr().out == "auditeur : 2 processus arrêtés\n"
