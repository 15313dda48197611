"""The host's half: accounts that only a certificate opens, their login shell, the end of their sessions."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.access import accounts as access_accounts
from creatic_session import admitted, cli, sessions

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


def test_a_session_is_recorded_until_the_certificate_ends() -> None:
    command = cli.recorded("enregistrer 12 1000", "cat /etc/hostname; id", 400.9)
    assert command == [
        *("sudo", "--non-interactive", "--command-timeout=600", "--"),
        *(SHELL, "ouvrir", "12", "1000", "cat /etc/hostname; id"),
    ]
    assert cli.recorded("enregistrer 12 1000", "", 0)[-3:] == ["ouvrir", "12", "1000"]
    assert "--command-timeout=1" in cli.recorded("enregistrer 12 1000", "", 999)  # its last second


@pytest.mark.parametrize(
    "forced", ["", "id", "enregistrer", "enregistrer 12 1000; id", "enregistrer 12 1000\nid", "enregistrer -1 1000"]
)
def test_nothing_else_opens_a_session(forced: str) -> None:
    with pytest.raises(cli.Refused, match=r"fab acces\.delivrer"):
        cli.recorded(forced, "id", 0)


def test_an_ended_certificate_opens_nothing() -> None:
    with pytest.raises(cli.Refused, match="échu"):
        cli.recorded("enregistrer 12 1000", "", 1000)
    with pytest.raises(cli.Refused, match="échu"):
        cli.opened("12", "1000", [])


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            [],
            ["-l"],
            ["-c", "id"],
            ["-c", "id", "x"],
            ["executer"],
            ["couper", "x"],
            ["couper", "1.*"],
            ["ouvrir", "1"],
        ),
        *(["ouvrir", "x", "1"], ["ouvrir", "1", "-1"], ["ouvrir", "1", "99999999999", "id", "x"]),
        ["executer", "auditeur", "1", "id", "x"],
    ],
)
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


# -- what the kernel says of processes ----------------------------------------------------------------------------

SSH = "/system.slice/ssh.service"
MANAGER = "/user.slice/user-1001.slice/user@1001.service"


def scope(serial: int, account: str = "auditeur", pid: int = 500) -> str:
    return f"/system.slice/creatic-acces-{account}-{serial}-{pid}.scope"


class Machine:
    """A made-up /proc, and control groups that the kernel ends."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.cgroups = folder / "proc", folder / "cgroup"
        self.proc.mkdir()
        self.ended: list[str] = []
        self.killed: list[int] = []
        self.stubborn = False

    def process(self, pid: int, uid: int, cgroup: str, *, real: int | None = None, state: str = "S") -> None:
        folder = self.proc / str(pid)
        folder.mkdir()
        (folder / "status").write_text(f"Name:\tx\nState:\t{state}\nUid:\t{real or uid}\t{uid}\t{uid}\t{uid}\n")
        (folder / "cgroup").write_text(f"0::{cgroup}\n")
        (self.cgroups / cgroup.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def kill(self, pid: int, number: int) -> None:
        assert number == signal.SIGKILL
        for place in self.cgroups.rglob("cgroup.kill"):
            assert place.read_text() == "1"
            place.unlink()
            self.ended.append(f"/{place.parent.relative_to(self.cgroups)}")
        if not self.stubborn:
            self.killed.append(pid)
            (self.proc / str(pid) / "status").unlink(missing_ok=True)

    def cut(self, wanted: Callable[[sessions.Process], bool]) -> dict[str, int]:
        return dict(sessions.cut(wanted, self.kill, self.proc, self.cgroups))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_session_is_ended_whole_whoever_its_processes_run_as(machine: Machine) -> None:
    """Detached, with a terminal of its own, with root's rights: all that was started in it is in its scope."""
    machine.process(10, 0, SSH)  # sudo, that records
    machine.process(11, 1001, scope(12))
    machine.process(12, 1001, scope(12))
    machine.process(13, 0, scope(12), real=1001)  # an inner sudo, and what it runs
    machine.process(14, 0, f"{scope(12)}/inner")
    machine.process(20, 1001, scope(12, pid=501))  # the same certificate, another session
    machine.process(21, 1001, scope(121))
    machine.process(22, 1002, scope(12, "prestataire"))
    assert machine.cut(sessions.of_scope(scope(12).rpartition("/")[2])) == {"auditeur": 4}
    assert sorted(machine.killed) == [11, 12, 13, 14]
    assert set(machine.ended) == {scope(12)}
    assert machine.cut(sessions.of_certificate("12")) == {"auditeur": 1, "prestataire": 1}
    assert machine.cut(sessions.of_certificate("13")) == {}
    assert sorted(one.pid for one in sessions.processes(machine.proc)) == [10, 21]


@pytest.mark.parametrize(
    "cgroup",
    [
        *("/system.slice/cron.service", "/system.slice/atd.service", f"{MANAGER}/app.slice/tmux.scope", "/", ""),
        *(f"{MANAGER}/init.scope", f"{MANAGER}/app.slice/ssh.service", f"{MANAGER}/app.slice/session-1.scope"),
        *(
            f"{MANAGER}/system.slice/creatic-acces-auditeur-1-1.scope",
            f"{SSH}/inner",
            "/creatic-acces-auditeur-1-1.scope",
        ),
    ],
)
def test_what_runs_beside_the_sessions_is_killed(machine: Machine, cgroup: str) -> None:
    machine.process(11, 1001, cgroup)
    machine.process(12, 0, cgroup, real=1001)
    machine.process(13, 1002, cgroup)
    assert sorted(machine.cut(sessions.astray(1001))) == ["1001"]
    assert sorted(machine.killed) == [11, 12]


@pytest.mark.parametrize(
    "cgroup",
    [
        *(SSH, "/system.slice/sshd.service", "/system.slice/system-ssh.slice/ssh@3-10.0.0.1:22.service", scope(7)),
        *("/user.slice/user-1001.slice/session-3.scope", f"/machine.slice/libpod-1.scope{SSH}"),
    ],
)
def test_other_holders_and_what_opens_their_sessions_are_left_alone(machine: Machine, cgroup: str) -> None:
    machine.process(11, 1001, cgroup)
    assert machine.cut(sessions.astray(1001)) == {}


def test_a_process_that_does_not_die_is_tried_again_but_not_for_ever(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(sessions, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    machine.stubborn = True
    machine.process(11, 1001, scope(12))
    machine.process(12, 1001, scope(12), state="Z (zombie)")
    (machine.proc / "self").mkdir()
    (machine.proc / "13").mkdir()  # ended meanwhile
    assert machine.cut(sessions.of_certificate("12")) == {"auditeur": 1}
    assert now[0] == pytest.approx(5, abs=0.11)
    assert [one.pid for one in sessions.processes(machine.proc)] == [11]


def test_a_process_gone_meanwhile_is_no_error(machine: Machine) -> None:
    machine.process(11, 1001, scope(12))

    def gone(pid: int, _number: int) -> None:
        (machine.proc / str(pid) / "status").unlink()
        raise ProcessLookupError

    assert sessions.cut(sessions.of_certificate("12"), gone, machine.proc, machine.cgroups) == {"auditeur": 1}


def test_nothing_that_was_planned_is_left(tmp_path: Path) -> None:
    crontabs, jobs = tmp_path / "var/spool/cron/crontabs", tmp_path / "var/spool/cron/atjobs"
    linger = tmp_path / "var/lib/systemd/linger"
    sessions.forget("auditeur", os.getuid(), tmp_path)
    for folder in (crontabs, jobs, linger):
        folder.mkdir(parents=True)
        (folder / "auditeur").touch()
        (folder / "root").touch()
    (jobs / "root").unlink()
    (jobs / "dossier").mkdir()
    sessions.forget("auditeur", os.getuid(), tmp_path)
    assert [sorted(one.name for one in folder.iterdir()) for folder in (crontabs, jobs, linger)] == [
        ["root"],
        ["dossier"],
        ["root"],
    ]
    (jobs / "x").touch()
    sessions.forget("auditeur", os.getuid() + 1, tmp_path)
    assert (jobs / "x").exists()


# -- what a session leaves to those who work with its machine ---------------------------------------------------------


WRITTEN = ["tmp", "var/tmp", "dev/shm", "run/lock"]
ANSWERING = ["run/postgresql", "run/dbus", "run/ssh-unix-local", "run/systemd", "var/cache/debconf"]
SHARED = [*WRITTEN, *ANSWERING]
WRITES = """
import os, socket, sys
uid, place = int(sys.argv[1]), sys.argv[2]
os.chdir(place)
os.setgroups([]), os.setgid(uid), os.setuid(uid)
def tried(what):
    try: what()
    except PermissionError: return "refusé"
    return "fait"
print(tried(lambda: os.mkdir(f"{os.getpid()}")), tried(lambda: socket.socket(socket.AF_UNIX).connect("prise")))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes other accounts' uids, which root alone may")
def test_a_session_neither_writes_nor_reaches_what_others_work_with(tmp_path: Path) -> None:
    """900 connections to PostgreSQL's socket, of an auditor without a right in it, kept the passerelle from its own; so
    did twenty seconds of messages to systemd everybody else's, by the bus or by its own socket, for ten minutes."""
    for place in SHARED[:-1]:  # one is not on this machine
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place).chmod(0o1777)
    listening = {place: socket.socket(socket.AF_UNIX) for place in SHARED[:-1]}
    for place, one in listening.items():
        one.bind(f"{tmp_path / place}/prise")
        one.listen()
        (tmp_path / place / "prise").chmod(0o777)

    def tried(uid: int) -> list[list[str]]:
        command = [sys.executable, "-c", WRITES, str(uid)]
        return [
            subprocess.run([*command, tmp_path / place], capture_output=True, text=True, check=True).stdout.split()
            for place in listening
        ]

    assert tried(1001) == [["fait", "fait"]] * 8
    for _session in range(2):
        sessions.enclose(1001, tmp_path)
    assert tried(1001) == [["refusé", "fait"]] * 4 + [["refusé", "refusé"]] * 4
    assert tried(1002) == [["fait", "fait"]] * 8
    (tmp_path / SHARED[-1]).mkdir(parents=True)
    sessions.enclose(1001, tmp_path)  # as the next one begins
    listening = {SHARED[-1]: listening["tmp"]}
    (tmp_path / SHARED[-1]).chmod(0o777)
    assert tried(1001) == [["refusé", "refusé"]]


def test_a_session_that_shows_without_end_leaves_the_disk_to_others(
    opening: Callable[[str], Opening],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ten seconds of random bytes on a screen were 36 MB of its machine's disk, without a bound."""
    (tmp_path / "00/00/01").mkdir(parents=True)
    sessions.recordings_room(tmp_path)
    sessions.recordings_room(tmp_path / "absent")
    (tmp_path / "00/00/01/ttyout").write_bytes(b"x" * (1 << 20))
    disk = SimpleNamespace(f_blocks=11 << 8, f_frsize=4096)  # 11 MiB
    monkeypatch.setattr(sessions.os, "statvfs", lambda _path: disk)
    sessions.recordings_room(tmp_path)
    one = opening("exec sleep 600")
    monkeypatch.setattr(cli, "_LOOK_S", 0.1)
    looks = iter((11, 11, 9))

    def look() -> None:
        disk.f_blocks = next(looks) << 8
        sessions.recordings_room(tmp_path)

    monkeypatch.setattr(cli, "recordings_room", look)
    assert cli.opened("12", str(one.end), []) == 1
    assert one.done == [ENCLOSED, *CLEARED, ("scope",), *CLEARED]
    assert "Session arrêtée : les enregistrements des sessions occupent plus d'un dixième" in capsys.readouterr().err
    monkeypatch.setattr(cli, "recordings_room", lambda: sessions.recordings_room(tmp_path))
    with pytest.raises(cli.Refused, match="plus d'un dixième du disque"):
        cli.opened("12", str(one.end), [])


def test_a_session_without_a_terminal_ends_with_its_connection(
    opening: Callable[[str], Opening], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client was killed, and it went on for twenty minutes: nothing told it."""
    one = opening("exec sleep 600")
    monkeypatch.setattr(cli, "_LOOK_S", 0.1)
    looks = iter((admitted.Certificate("auditeur", 12, one.end),) * 3)

    def look(_name: str) -> admitted.Certificate:
        if found := next(looks, None):
            return found
        raise admitted.NotOne("aucun certificat")

    monkeypatch.setattr(cli, "admitted", look)
    assert cli.opened("12", str(one.end), []) == 1
    assert one.done == [ENCLOSED, *CLEARED, ("scope",), *CLEARED]
    assert next(looks, None) is None


# -- the command itself -------------------------------------------------------------------------------------------


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the process would have become, and the identity it took before."""
    found: list[Any] = []
    monkeypatch.setattr(cli.os, "execv", lambda path, command: found.append((path, command)))
    monkeypatch.setattr(cli.Path, "write_text", lambda path, text, **_how: found.append((path.name, text)))
    for name in ("unshare", "initgroups", "setgid", "setuid"):
        monkeypatch.setattr(cli.os, name, lambda *given, name=name: found.append((name, *given)))
    monkeypatch.setattr(cli.os, "environ", {"HOME": "/root", "MAIL": "/var/mail/root", "TERM": "xterm"})
    return found


def run_shell(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(cli.sys, "argv", ["creatic-session", *arguments])
    return cli.main()


def account(name: str = "auditeur", uid: int = 1001, shell: str = SHELL) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "*", uid, uid, "", f"/home/{name}", shell))


def test_the_login_shell_becomes_sudo(monkeypatch: pytest.MonkeyPatch, became: list[Any]) -> None:
    end = int(time.time()) + 60
    cli.os.environ["SSH_ORIGINAL_COMMAND"] = "id"
    run_shell(monkeypatch, "-c", f"enregistrer 12 {end}")
    ((path, command),) = became
    assert path == "/usr/bin/sudo"
    assert command[3:] == ["--", SHELL, "ouvrir", "12", str(end), "id"]


@pytest.mark.parametrize(
    ("asked", "shell"), [([], ["-bash"]), (["id; echo ${HOME}"], ["bash", "-c", "id; echo ${HOME}"])]
)
def test_in_its_scope_the_session_becomes_the_account(
    monkeypatch: pytest.MonkeyPatch, became: list[Any], asked: list[str], shell: list[str]
) -> None:
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    monkeypatch.setattr(cli.pwd, "getpwnam", account)
    run_shell(monkeypatch, "executer", "auditeur", "12", *asked)
    going, apart, groups, group, user, shown = became
    # The first to go when memory lacks; what it shares by a number goes with it.
    assert (going, apart) == (("oom_score_adj", "900"), ("unshare", os.CLONE_NEWIPC))
    assert (groups, group, user) == (("initgroups", "auditeur", 1001), ("setgid", 1001), ("setuid", 1001))
    assert shown == ("/bin/bash", shell)
    home = {"HOME": "/home/auditeur", "USER": "auditeur", "LOGNAME": "auditeur", "SHELL": "/bin/bash"}
    cli.os.environ.pop("PYTEST_CURRENT_TEST")
    assert cli.os.environ == home | {"TERM": "xterm"}


def test_nobody_but_root_becomes_an_account(monkeypatch: pytest.MonkeyPatch, became: list[Any]) -> None:
    monkeypatch.setattr(cli.os, "geteuid", lambda: 1001)
    assert run_shell(monkeypatch, "executer", "auditeur", "12") == 2
    assert became == []


def test_what_is_refused_is_told_with_its_status(
    monkeypatch: pytest.MonkeyPatch, became: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_shell(monkeypatch, "-c", "enregistrer 12 1000") == 1
    assert capsys.readouterr().err == "Session refusée : ce certificat est échu.\n"
    for arguments in ([], ["couper", "x"], ["executer"]):
        assert run_shell(monkeypatch, *arguments) == 2
    assert became == []


def test_sessions_are_cut_and_counted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Callable[[sessions.Process], bool]] = []

    def cut(wanted: Callable[[sessions.Process], bool]) -> dict[str, int]:
        asked.append(wanted)
        return {"auditeur": 2}

    monkeypatch.setattr(cli, "cut", cut)
    assert run_shell(monkeypatch, "couper", "12") == 0
    assert [asked[0](sessions.Process(1, frozenset([0]), scope(serial))) for serial in (12, 121)] == [True, False]
    assert capsys.readouterr().out == "auditeur : 2 processus arrêtés\n"


# -- a session from its beginning to its end ----------------------------------------------------------------------


class Opening:
    """A session opened by root's part, its scope replaced by a program."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
        self.program, self.real = program, cli.scoped
        self.end = int(time.time()) + 60
        self.done: list[Any] = []
        self.here = sessions.Process(1, frozenset([0]), SSH)
        self.uid, self.accounts = "1001", {1001: account(), 0: account("root", 0), 1002: account("creatic", 1002, "/x")}
        monkeypatch.setattr(cli, "process", lambda _pid: self.here)
        monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
        monkeypatch.setattr(cli.os, "environ", {"SUDO_UID": "1001"})
        monkeypatch.setattr(cli.pwd, "getpwuid", lambda uid: self.accounts[uid])
        monkeypatch.setattr(cli, "forget", lambda name, uid: self.done.append(("forget", name, uid)))
        monkeypatch.setattr(cli, "cut", self.cut)
        monkeypatch.setattr(cli, "scoped", self.scoped)
        monkeypatch.setattr(cli, "apart", lambda: None)
        monkeypatch.setattr(cli, "enclose", lambda uid: self.done.append(("enclose", uid)))
        monkeypatch.setattr(cli, "recordings_room", lambda: None)
        monkeypatch.setattr(cli, "admitted", lambda name: admitted.Certificate(name, 12, self.end))
        self.handlers = {number: signal.getsignal(number) for number in range(1, 21) if number not in (9, 19)}

    def scoped(self, *given: Any) -> tuple[str, list[str]]:
        self.name, self.command = self.real(*given)
        return self.name, ["/bin/sh", "-c", self.program]

    def cut(self, wanted: Callable[[sessions.Process], bool]) -> None:
        seen = {
            "scope": sessions.Process(5, frozenset([0]), f"/system.slice/{getattr(self, 'name', '')}"),
            "astray": sessions.Process(6, frozenset([1001]), "/system.slice/cron.service"),
            "other": sessions.Process(7, frozenset([1001]), scope(99)),
        }
        self.done.append(tuple(name for name, one in seen.items() if wanted(one)))

    def restore(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)


@pytest.fixture
def opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Opening]]:
    made: list[Opening] = []

    def make(program: str) -> Opening:
        made.append(Opening(tmp_path, monkeypatch, program))
        return made[-1]

    yield make
    for one in made:
        one.restore()


ENCLOSED = ("enclose", 1001)
CLEARED = [("forget", "auditeur", 1001), ("astray",)]


@pytest.mark.parametrize(
    ("program", "status"), [("exit 3", 3), ("kill -9 $$", 137), ("kill -INT $PPID; exit 0", 0), ("kill -TSTP $PPID", 0)]
)
def test_a_session_leaves_nothing_when_its_shell_ends(
    opening: Callable[[str], Opening], program: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = opening(program)
    monkeypatch.setattr(cli, "time", SimpleNamespace(time=lambda: 1000.0))
    one.end = 1060
    assert cli.opened("12", "1060", ["id"]) == status
    assert one.done == [ENCLOSED, *CLEARED, ("scope",), *CLEARED]
    assert one.name == f"creatic-acces-auditeur-12-{os.getpid()}.scope"
    assert sessions.Process(1, frozenset(), f"/system.slice/{one.name}").scope
    *options, separator, program, verb, name, serial, asked = one.command
    assert (separator, program, verb, name, serial, asked) == ("--", SHELL, "executer", "auditeur", "12", "id")
    assert options[:5] == ["systemd-run", "--scope", "--quiet", "--collect", "--expand-environment=no"]
    assert options[-2] == "--property=RuntimeMaxSec=60s"
    assert {"--property=MemoryMax=50%", "--property=TasksMax=256"} < set(options)
    # 192 connections of an auditor's, from the passerelle, had the parapheur refuse the passerelle itself.
    assert {"--property=IPAddressDeny=any", "--property=IPAddressAllow=localhost"} < set(options)


@pytest.mark.parametrize("sent", ["HUP", "TERM"])
def test_a_session_that_sudo_ends_leaves_nothing(opening: Callable[[str], Opening], sent: str) -> None:
    one = opening(f"kill -{sent} $PPID; exec sleep 600")
    start = time.monotonic()
    assert cli.opened("12", str(one.end), []) == 1
    assert one.done == [ENCLOSED, *CLEARED, ("scope",), *CLEARED]
    assert time.monotonic() - start < 300


def test_signals_of_the_keyboard_reach_the_session_as_they_are(opening: Callable[[str], Opening]) -> None:
    one = opening(
        "exit $(( (0x$(awk '/SigIgn/ {print substr($2, 9)}' /proc/$$/status) & 0x80006) != 0 ))"
    )  # INT, QUIT, TSTP
    assert cli.opened("12", str(one.end), []) == 0


@pytest.mark.parametrize(
    "cgroup",
    [
        scope(12),
        f"{scope(12)}/inner",
        f"{scope(12)}/session-1.scope",
        "/system.slice/cron.service",
        f"{MANAGER}/app.slice/ssh.service",
        "/",
        "",
    ],
)
def test_no_session_is_opened_from_within_one_or_from_elsewhere(opening: Callable[[str], Opening], cgroup: str) -> None:
    one = opening("exit 0")
    one.here = sessions.Process(1, frozenset([0]), cgroup)
    with pytest.raises(cli.Refused, match="ne s'ouvre que par SSH"):
        cli.opened("12", str(int(time.time()) + 60), [])
    assert one.done == []


@pytest.mark.parametrize("uid", ["0", "1002", "x", ""])
def test_other_accounts_have_no_session(
    opening: Callable[[str], Opening], uid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = opening("exit 0")
    monkeypatch.setattr(cli.os, "environ", {"SUDO_UID": uid})
    with pytest.raises(cli.Refused, match=r"compte inconnu|n'est pas un compte à certificat"):
        cli.opened("12", str(int(time.time()) + 60), [])
    assert one.done == []


def test_this_very_process_is_read() -> None:
    here = sessions.process("self")
    assert here and here.pid == os.getpid() and os.getuid() in here.uids


@pytest.mark.parametrize(
    "hidden",
    [
        "ctypes.CDLL(None).prctl(15, b'\\xff\\xfe', 0, 0, 0)",  # PR_SET_NAME: a name that is no text
        "ctypes.CDLL(None).prctl(15, b'a\\x0cb\\x85', 0, 0, 0)",
        "threading.Thread(target=sys.stdin.read).start(); ready(); ctypes.CDLL(None).pthread_exit(None)",
    ],
)
def test_no_process_hides_by_its_name_nor_by_its_first_thread(hidden: str) -> None:
    """It would go on after its session, unrecorded, and after its certificate is revoked."""
    start = "import ctypes, sys, threading; ready = lambda: print('ready', flush=True)\n"
    command = [sys.executable, "-c", f"{start}{hidden}; ready(); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdout and one.stdout.readline() == b"ready\n"
        time.sleep(0.3)  # its first thread ends meanwhile
        seen = sessions.process(one.pid)
        cut = sessions.cut(lambda known: known.pid == one.pid)
        one.kill()
    assert seen and os.getuid() in seen.uids
    assert cut.total() == 1


# -- which certificate it is --------------------------------------------------------------------------------------


def signed(folder: Path, serial: int, end: int, kind: str = "ed25519") -> str:
    """A certificate that an authority signed, in base 64."""
    for name, made in (("autorite", "ed25519"), ("cle", kind)):
        if not (folder / name).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", made, "-N", "", "-f", str(folder / name)], check=True)
    options = ["-s", str(folder / "autorite"), "-I", "auditeur 12 : Camille", "-z", str(serial), "-n", "a,b"]
    options += ["-V", f"0x1:{end:#x}", "-O", "clear", "-O", f"force-command=enregistrer {serial} {end}", "-q"]
    subprocess.run(["ssh-keygen", *options, str(folder / "cle.pub")], check=True)
    return (folder / "cle-cert.pub").read_text().split()[1]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_number_and_end_are_those_that_the_authority_signed(tmp_path: Path, kind: str) -> None:
    blob = signed(tmp_path, 4294967296, 1796000000, kind)
    assert admitted.certificate("auditeur", blob) == admitted.Certificate("auditeur", 4294967296, 1796000000)


@pytest.mark.parametrize("blob", ["", "AAAA", "é", "AAAAB3NzaC1yc2E=", "////" * 9])
def test_what_is_no_certificate_is_refused(blob: str) -> None:
    with pytest.raises(admitted.NotOne, match="certificat illisible"):
        admitted.certificate("auditeur", blob)


@pytest.fixture
def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """sshd's process is this one's parent, as it is that of what it runs to know the names."""
    (tmp_path / "principaux").mkdir()
    (tmp_path / "principaux" / "auditeur").write_text("auditeur@partout\n")
    monkeypatch.setattr(admitted, "PRINCIPALS", tmp_path / "principaux")
    return tmp_path / "run"


def test_a_session_has_the_certificate_of_its_own_connection(connection: Path, tmp_path: Path) -> None:
    blob = signed(tmp_path, 12, 1796000000)
    assert admitted.admit("auditeur", "12", blob, connection) == "auditeur@partout\n"
    assert connection.stat().st_mode & 0o777 == 0o700
    assert admitted.admitted("auditeur", connection) == admitted.Certificate("auditeur", 12, 1796000000)
    for account_, serial, given in (("auditeur", "13", blob), ("../x", "12", blob), ("auditeur", "12", "AAAA")):
        with pytest.raises(admitted.NotOne):
            admitted.admit(account_, serial, given, connection)
    with pytest.raises(admitted.NotOne, match="aucun certificat"):  # of another account
        admitted.admitted("prestataire", connection)
    # A number that another process has now, and a file that was not noted whole.
    (connection / str(os.getppid())).write_text('{"account": "auditeur", "serial": 9, "end": 9, "depuis": 1}')
    with pytest.raises(admitted.NotOne, match="aucun certificat"):
        admitted.admitted("auditeur", connection)
    (connection / str(os.getppid())).write_text("{")
    (connection / "999999999").write_text("{}")
    (connection / "1").write_text("[]")
    began = admitted._began(os.getpid(), Path("/proc"))  # noted by another version, of a connection that goes on
    (connection / str(os.getpid())).write_text(json.dumps({"account": "auditeur", "depuis": began}))
    admitted.admit("auditeur", "12", blob, connection)
    assert [one.name for one in connection.iterdir()] == [str(os.getppid())]


def test_a_process_that_left_its_connection_has_no_certificate(connection: Path, tmp_path: Path) -> None:
    """Nor does one of another connection have this one's: only who is above counts."""
    admitted.admit("auditeur", "12", signed(tmp_path, 12, 1796000000), connection)
    code = (
        "import sys; from pathlib import Path; from creatic_session import admitted\n"
        "try: print(admitted.admitted('auditeur', Path(sys.argv[1])).serial)\n"
        "except admitted.NotOne: print('aucun')"
    )
    told = tmp_path / "dit"
    environ = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    command = f'{sys.executable} -c "$0" {connection} >{told}'
    subprocess.run(["sh", "-c", f"sh -c '{command.replace(chr(39), '')}' \"$0\"", code], env=environ, check=True)
    assert told.read_text() == "12\n"
    (connection / str(os.getppid())).rename(connection / str(os.getpid() + 4_000_000))
    subprocess.run(["sh", "-c", command, code], env=environ, check=True)
    assert told.read_text() == "aucun\n"


def test_a_revoked_certificate_s_connections_open_nothing_more(
    connection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A connection that goes on (ControlMaster) opened a new session after the revocation: sshd asks nobody again."""
    admitted.admit("auditeur", "12", signed(tmp_path, 12, 1796000000), connection)
    other = connection / str(os.getpid())
    began = admitted._began(os.getpid(), Path("/proc"))
    told = {"account": "prestataire", "serial": 121, "end": 1796000000, "depuis": began}
    other.write_text(json.dumps(told))
    (connection / "999999999").write_text("{}")  # of one that ended
    ended: list[tuple[int, int]] = []
    monkeypatch.setattr(
        cli, "drop", lambda serial: admitted.drop(serial, connection, kill=lambda *one: ended.append(one))
    )
    cuts: list[object] = []

    def cut(wanted: object) -> dict[str, int]:
        cuts.append(wanted)
        return {"auditeur": 1}

    monkeypatch.setattr(cli, "cut", cut)
    monkeypatch.setattr(cli, "_OPENING_S", 0.0)
    assert run_shell(monkeypatch, "couper", "12") == 0
    with pytest.raises(admitted.NotOne, match="aucun certificat"):
        admitted.admitted("auditeur", connection)
    assert ended == [(os.getppid(), signal.SIGTERM)]
    assert json.loads(other.read_text()) == told
    assert len(cuts) == 2  # what was being opened meanwhile too
    assert capsys.readouterr().out == "connexions fermées : 1\nauditeur : 2 processus arrêtés\n"
    assert run_shell(monkeypatch, "couper", "12") == 0 and len(cuts) == 3


@pytest.mark.parametrize(("serial", "longer"), [("13", 0), ("12", 3600)])
def test_a_command_line_is_not_believed(opening: Callable[[str], Opening], serial: str, longer: int) -> None:
    one = opening("exit 0")
    with pytest.raises(cli.Refused, match="n'est pas celui de cette connexion"):
        cli.opened(serial, str(one.end + longer), [])
    assert one.done == [ENCLOSED]


def test_no_session_begins_where_one_could_enter_another(tmp_path: Path) -> None:
    scope, container = tmp_path / "ptrace_scope", tmp_path / "container"
    for before, after in (("0", "1"), ("1", "1"), ("2", "2"), ("3", "3")):
        scope.write_text(f"{before}\n")
        admitted.apart(scope, container)
        assert scope.read_text() == f"{after}\n"
    scope.unlink()
    scope.mkdir()  # as a kernel that cannot be told
    with pytest.raises(admitted.NotOne, match="Yama"):
        admitted.apart(scope, container)
    container.touch()
    admitted.apart(scope, container)
