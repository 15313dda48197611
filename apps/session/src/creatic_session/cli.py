"""Command line of the login shell.

    creatic-session principaux ACCOUNT SERIAL CERT      root, for sshd: which names a certificate may bear (admitted)
    creatic-session -c 'enregistrer SERIAL END'         what sshd runs, as the certificate's forced command says
    creatic-session ouvrir SERIAL END [COMMAND]         root: what sudo runs and records: the session's scope
    creatic-session executer ACCOUNT SERIAL [COMMAND]   root, in the scope: becomes the account, then its shell
    creatic-session couper SERIAL                       root: end the sessions and connections of a certificate

SERIAL is the certificate's; END its end, seconds since 1970: a session is opened when both are those of the certificate
with which its connection was let in, and of no other. Exit status: the session's, 1 refused, 2 wrong use.
"""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from .admitted import NotOne, admit, admitted, apart, drop
from .sessions import Unfit, astray, cut, enclose, forget, of_certificate, of_scope, process, recordings_room

SELF = "/usr/lib/creatic/creatic-session"
_FORCED = re.compile(r"enregistrer ([0-9]{1,12}) ([0-9]{1,12})")
_NUMBER = re.compile(r"[0-9]{1,12}")
_OPENING_S = 1.0
_LOOK_S = 5.0  # between two looks at what recordings take
# Of a machine that others work with: what a session may take of it. It speaks to no other machine, which would take it
# for this one, to count or to let in.
_SHARE = {"CPUWeight": "20", "IOWeight": "20", "MemoryMax": "50%", "TasksMax": "256"}
_SHARE |= {"IPAddressAllow": "localhost", "IPAddressDeny": "any"}
_FIRST_TO_GO = "900"  # of 1,000 (proc_pid_oom_score_adj(5)): no service's memory goes for a session's


class Refused(Exception):
    """The session is not to be opened; the message is French."""


class _Ended(Exception):
    """sudo ends the session: the certificate's time is over, or the client is gone."""


def left(end: str, now: float) -> int:
    """Seconds left until the end of a certificate.

    Raises:
        Refused: none is left.
    """
    seconds = int(end) - int(now)
    if seconds <= 0:
        raise Refused("ce certificat est échu")
    return seconds


def recorded(forced: str, asked: str, now: float) -> list[str]:
    """Give the command that opens a recorded session.

    Args:
        forced: the certificate's forced command.
        asked: command that the client wants; empty for a shell.
        now: seconds since 1970.

    Raises:
        Refused: not to be opened.
    """
    found = _FORCED.fullmatch(forced)
    if not found:
        raise Refused("ce compte ne s'ouvre qu'avec un certificat de « fab acces.delivrer »")
    # The command is an argument, so that the log of sudo tells it as well.
    command = [SELF, "ouvrir", found[1], found[2], *([asked] if asked else [])]
    return ["sudo", "--non-interactive", f"--command-timeout={left(found[2], now)}", "--", *command]


def scoped(account: str, serial: str, seconds: int, asked: list[str]) -> tuple[str, list[str]]:
    """Name of a session's scope, and the command that runs the session in it.

    systemd ends the scope with the certificate, even when nothing of ours is left to do it.
    """
    name = f"creatic-acces-{account}-{serial}-{os.getpid()}.scope"
    options = ["--scope", "--quiet", "--collect", "--expand-environment=no", f"--unit={name}"]
    options += [f"--property={name}={share}" for name, share in _SHARE.items()]
    options += [f"--property=RuntimeMaxSec={seconds}s", "--property=TimeoutStopSec=2s"]
    return name, ["systemd-run", *options, "--", SELF, "executer", account, serial, *asked]


def _caller() -> pwd.struct_passwd:
    """Whose session it is: who asked sudo, from where sshd opens sessions."""
    here = process("self")
    if os.geteuid() != 0 or here is None or not here.at_the_door:
        raise Refused("une session ne s'ouvre que par SSH")
    try:
        account = pwd.getpwuid(int(os.environ.get("SUDO_UID", "0")))
    except (KeyError, ValueError) as error:
        raise Refused("compte inconnu") from error
    if account.pw_uid == 0 or account.pw_shell != SELF:
        raise Refused(f"{account.pw_name} n'est pas un compte à certificat")
    return account


def _names(account: str, serial: str, blob: str) -> str:
    """Names that a certificate may bear; sshd refuses it when it hears none."""
    try:
        return admit(account, serial, blob)
    except (NotOne, OSError) as error:
        raise Refused(f"certificat : {error}") from error


def _end(*_signal: Any) -> NoReturn:
    raise _Ended


def _go_on(*_signal: Any) -> None:
    """A signal meant for the session; a handler is not inherited, as an ignored signal would be."""


def _wait(session: subprocess.Popen[bytes], account: str) -> int:
    """Wait for a session, while its connection is there and recordings leave their disk to others; gives its status."""
    while True:
        try:
            return session.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            recordings_room()
            admitted(account)  # without a terminal, nobody is told that the client is gone


def opened(serial: str, end: str, asked: list[str]) -> int:
    """Run a session in its scope, and leave nothing of it; returns its exit status.

    Raises:
        Refused: not to be opened.
    """
    left(end, time.time())
    account = _caller()
    try:
        apart()
        recordings_room()
        enclose(account.pw_uid)
        signed = admitted(account.pw_name)
    except (NotOne, Unfit) as error:
        raise Refused(str(error)) from error
    if (serial, end) != (str(signed.serial), str(signed.end)):
        raise Refused("ce certificat n'est pas celui de cette connexion")
    seconds = left(str(signed.end), time.time())

    def clear() -> None:
        forget(account.pw_name, account.pw_uid)
        cut(astray(account.pw_uid))

    clear()
    scope, command = scoped(account.pw_name, serial, seconds, asked)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, _go_on)
    session = None
    try:
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, _end)
        session = subprocess.Popen(command)
        status = _wait(session, account.pw_name)
    except Unfit as error:
        print(f"Session arrêtée : {error}.", file=sys.stderr)
        status = 1
    except (NotOne, _Ended):
        status = 1
    finally:
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, _go_on)
        if session:
            session.kill()
        cut(of_scope(scope))
        clear()
    return status if status >= 0 else 128 - status


def _become(account: pwd.struct_passwd, asked: list[str]) -> NoReturn:
    Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")
    os.unshare(os.CLONE_NEWIPC)  # memory that is shared by a number (shmget(2)) would outlive the session
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ |= {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name, "SHELL": "/bin/bash"}
    os.environ.pop("MAIL", None)
    os.execv("/bin/bash", ["bash", "-c", *asked] if asked else ["-bash"])  # noqa: S606 - the holder's own shell


def main() -> int:
    """Run the command; returns the exit status of what does not become something else."""
    arguments = sys.argv[1:]
    try:
        match arguments:
            case ["-c", forced]:
                command = recorded(forced, os.environ.get("SSH_ORIGINAL_COMMAND", ""), time.time())
                os.execv("/usr/bin/sudo", command)  # noqa: S606 - in a shell the words would be read again
            case ["ouvrir", serial, end, *asked] if _NUMBER.fullmatch(serial) and _NUMBER.fullmatch(end):
                if len(asked) <= 1:
                    return opened(serial, end, asked)
            case ["principaux", name, serial, blob] if os.geteuid() == 0:
                sys.stdout.write(_names(name, serial, blob))
                return 0
            case ["executer", name, _serial, *asked] if len(asked) <= 1 and os.geteuid() == 0:
                _become(pwd.getpwnam(name), asked)
            case ["couper", serial] if _NUMBER.fullmatch(serial):
                if connections := drop(serial):
                    print(f"connexions fermées : {connections}")
                ended = Counter(cut(of_certificate(serial)))
                if connections:  # a session that was being opened has its scope by now
                    time.sleep(_OPENING_S)
                    ended += cut(of_certificate(serial))
                for name, count in ended.items():
                    print(f"{name} : {count} processus arrêtés")
                return 0
    except Refused as error:
        print(f"Session refusée : {error}.", file=sys.stderr)
        return 1
    print("Session refusée : ce compte ne s'ouvre que par SSH, avec un certificat.", file=sys.stderr)
    return 2
