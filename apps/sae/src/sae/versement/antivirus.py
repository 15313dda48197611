"""ClamAV, through clamd's socket: the file's descriptor is handed over, nothing is copied.

No scanner, no versement: whatever is not a clear « clean » refuses the SIP. clamd is configured to report what it could
not scan whole (AlertExceedsMax, encrypted archives), so that « clean » means scanned.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from creatic_agent.reasons import because
from sae.versement.container import Member
from sae.versement.refusal import Reason, SipRefusedError, refuse

_CLAMD_TIMEOUT_SECONDS = 300.0
MAX_SCAN_SECONDS = 1800.0
"""Seconds for all the files of a SIP: small ones that unfold take minutes each, and a thread of the door meanwhile."""
_DATABASES = ("*.cvd", "*.cld", "*.ndb", "*.hdb", "*.hsb", "*.ldb")


class Clamd:
    """One clamd, by its unix socket (clamd(8), commands zVERSION and zFILDES)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _connect_socket(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as link:
            link.settimeout(_CLAMD_TIMEOUT_SECONDS)
            link.connect(str(self._path))
            yield link

    @staticmethod
    def _read_answer(link: socket.socket) -> str:
        told = b""
        while block := link.recv(4096):
            told += block
            if told.endswith(b"\0") or len(told) > 65536:
                break
        return told.rstrip(b"\0").decode("utf-8", "replace").strip()

    def version(self) -> str:
        """Engine and signatures in use. Raises OSError."""
        with self._connect_socket() as link:
            link.sendall(b"zVERSION\0")
            return self._read_answer(link)

    def scan(self, path: Path) -> str:
        """clamd's verdict on a file, "OK" or what was found. Raises OSError."""
        with self._connect_socket() as link, path.open("rb") as stream:
            link.sendall(b"zFILDES\0")
            socket.send_fds(link, [b"\0"], [stream.fileno()])
            return self._read_answer(link).partition(": ")[2]


def scan(members: Iterable[Member], clamd: Clamd) -> str:
    """Scan every file; gives the scanner's version. Raises Refusal (VIRUS, or ANTIVIRUS and temporary)."""
    faults: list[Reason] = []
    end = time.monotonic() + MAX_SCAN_SECONDS
    try:
        version = clamd.version()
        if not version.startswith("ClamAV"):
            raise refuse("ANTIVIRUS", f"L'antivirus a répondu « {version[:100]} ».", temporary=True)
        for member in members:
            if not member.size:
                continue
            if time.monotonic() > end:
                if faults:
                    break
                raise refuse(
                    "ANTIVIRUS",
                    f"L'analyse de ce SIP n'est pas finie au bout de {MAX_SCAN_SECONDS // 60:.0f} minutes. "
                    "Renvoyez-le plus "
                    "tard ; si cela dure, répartissez ses fichiers en plusieurs SIP.",
                    temporary=True,
                )
            verdict = clamd.scan(member.path)
            if verdict.endswith(" FOUND"):
                faults.append(Reason("VIRUS", f"« {member.name} » : {verdict.removesuffix(' FOUND')[:120]}."))
            elif verdict != "OK":
                raise refuse(
                    "ANTIVIRUS", f"« {member.name} » n'a pas pu être analysé : {verdict[:120]}.", temporary=True
                )
    except OSError as error:
        why = because(error)
        text = f"L'antivirus ne répond pas ({why}) : aucun versement n'est admis sans analyse. Réessayez plus tard."
        raise refuse("ANTIVIRUS", text, temporary=True) from error
    if faults:
        raise SipRefusedError(faults)
    return version


def signatures_age(folder: Path) -> float | None:
    """Seconds since the newest signature file was written; None when there is none."""
    stamps = [path.stat().st_mtime for pattern in _DATABASES for path in folder.glob(pattern)]
    return time.time() - max(stamps) if stamps else None
