"""Which certificate a connection was let in with, as sshd read it, and where no process of an account writes.

sshd runs `principaux` as root, by AuthorizedPrincipalsCommand, from the very process that stays above a connection
until its end, once it knows that the authority signed the certificate. What is noted under that process's number is
read again by whoever opens a session below it: neither a command line nor a file of the account says which one it is.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import signal
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from .sessions import PROC

FOLDER = Path("/run/creatic-acces")
PRINCIPALS = Path("/etc/ssh/creatic/principaux")
PTRACE = Path("/proc/sys/kernel/yama/ptrace_scope")
CONTAINER = Path("/run/systemd/container")
_ACCOUNT = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_DEEPEST = 16  # processes between a session and its connection
# Fields of each kind of key, before those of every certificate (OpenSSH, PROTOCOL.certkeys).
_FIELDS = {
    "ssh-ed25519-cert-v01@openssh.com": 1,
    "ssh-rsa-cert-v01@openssh.com": 2,
    "ecdsa-sha2-nistp256-cert-v01@openssh.com": 2,
    "ecdsa-sha2-nistp384-cert-v01@openssh.com": 2,
    "ecdsa-sha2-nistp521-cert-v01@openssh.com": 2,
    "sk-ssh-ed25519-cert-v01@openssh.com": 2,
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com": 3,
}


class NotOne(Exception):
    """This is no certificate, or no connection, that a session may be opened with; the message is French."""


@dataclass(frozen=True)
class Certificate:
    """What the authority signed: whose account, its number, its end (seconds since 1970)."""

    account: str
    serial: int
    end: int


def certificate(account: str, blob: str) -> Certificate:
    """Read a certificate, in base 64, of which sshd verified the signature.

    Raises:
        NotOne: it is none.
    """
    try:
        data = base64.b64decode(blob, validate=True)
        kind, data = _string(data)
        for _field in range(_FIELDS[kind.decode("ascii")] + 1):  # and the nonce
            _value, data = _string(data)
        serial, _type = struct.unpack_from(">QI", data)
        data = data[12:]
        for _field in range(2):  # the key's identifier, and the principals
            _value, data = _string(data)
        _after, before = struct.unpack_from(">QQ", data)
    except (struct.error, KeyError, ValueError, binascii.Error) as error:
        raise NotOne("certificat illisible") from error
    return Certificate(account, serial, before)


def _string(data: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack_from(">I", data)
    if size > len(data) - 4:
        raise ValueError
    return data[4 : 4 + size], data[4 + size :]


def admit(account: str, serial: str, blob: str, folder: Path = FOLDER, proc: Path = PROC) -> str:
    """Note the certificate that a connection shows, and give the names that it may bear for this account.

    Args:
        account: whom it asks for.
        serial: the certificate's, as sshd reads it.
        blob: the certificate, in base 64.

    Raises:
        NotOne: no session may be opened with it.
    """
    if not _ACCOUNT.fullmatch(account):
        raise NotOne("compte inconnu")
    found = certificate(account, blob)
    if str(found.serial) != serial:
        raise NotOne("certificat illisible")
    names = (PRINCIPALS / account).read_text(encoding="utf-8")
    folder.mkdir(mode=0o700, exist_ok=True)
    for old in folder.iterdir():
        if old.name.isdecimal() and not _kept(old, proc):
            old.unlink(missing_ok=True)
    above = os.getppid()
    beside = folder / f".{above}.{os.getpid()}"
    beside.write_text(json.dumps(asdict(found) | {"depuis": _began(above, proc)}), encoding="ascii")
    beside.replace(folder / str(above))
    return names


def admitted(account: str, folder: Path = FOLDER, proc: Path = PROC) -> Certificate:
    """The certificate with which the connection that this process is of was let in.

    Raises:
        NotOne: it is of none.
    """
    pid: int | None = os.getpid()
    for _step in range(_DEEPEST):
        pid = _parent(pid, proc) if pid else None
        if pid and (found := _kept(folder / str(pid), proc)) and found.account == account:
            return found
    raise NotOne("aucun certificat n'a été montré à cette connexion")


def drop(serial: str, folder: Path = FOLDER, proc: Path = PROC, kill: Callable[[int, int], None] = os.kill) -> int:
    """End the connections that were let in with a certificate, and forget it: on one that goes on, sshd has sessions
    opened without asking again whether it is revoked.

    Returns:
        How many there were.
    """
    mine = [one for one in (folder.iterdir() if folder.is_dir() else ()) if one.name.isdecimal()]
    known = {one: found for one in mine if (found := _kept(one, proc)) and str(found.serial) == serial}
    for one in known:
        one.unlink(missing_ok=True)
        with contextlib.suppress(ProcessLookupError):
            kill(int(one.name), signal.SIGTERM)
    return len(known)


def _kept(path: Path, proc: Path) -> Certificate | None:
    """What was noted of a connection that goes on."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(path.read_text(encoding="ascii"))
        if found.pop("depuis") == _began(int(path.name), proc):
            return Certificate(**found)
    return None


def _stat(pid: int, proc: Path) -> list[str]:
    """What follows a process's name (proc_pid_stat(5)), which may hold anything."""
    return (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _began(pid: int, proc: Path) -> int:
    return int(_stat(pid, proc)[19])


def _parent(pid: int, proc: Path) -> int | None:
    try:
        return int(_stat(pid, proc)[1]) or None
    except (OSError, ValueError, IndexError):
        return None


def apart(scope: Path = PTRACE, container: Path = CONTAINER) -> None:
    """Have the kernel keep each process from entering another that it did not start, before any session begins.

    Without it, a session would take over the shell of another, of the same account, and outlive its own end. A
    container has its host's kernel, which the scenario of the kernel judges.

    Raises:
        NotOne: this kernel does not.
    """
    try:
        if int(scope.read_text(encoding="ascii")) < 1:
            scope.write_text("1\n", encoding="ascii")
    except (OSError, ValueError) as error:
        if not container.exists():
            raise NotOne("le noyau de cette machine laisse un processus entrer dans un autre (Yama)") from error
