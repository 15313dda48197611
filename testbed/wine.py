"""Windows, as far as Wine is one: its registry and its stores, read by others than the program; and a PC of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509

from testbed.control_node import REPO
from testbed.poste import AGENT, LONG, Computer

MODULE = REPO / "apps" / "poste"
GO = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
MY = r"HKCU\Software\Microsoft\SystemCertificates\My\Certificates"
STORES = (MY, MY.replace("My", "CA"), MY.replace("My", "CA").replace("HKCU", "HKLM"))
CONTAINERS = r"HKCU\Software\Wine\Crypto\RSA"
RUN = r"HKLM\Software\Microsoft\Windows\CurrentVersion\Run"
QUIET = {"WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml=", "LC_ALL": "C.UTF-8", "DISPLAY": ""}
"""Settings of what Wine runs, without a screen nor a language."""


def beside(name: str, folder: Path) -> Path:
    """Build a program of the tests (apps/poste/tests/NAME), for Windows; gives its path."""
    program = folder / f"{name}.exe"
    command = ["nice", "-n", "19", "go", "build", "-o", str(program), f"./tests/{name}"]
    subprocess.run(command, cwd=MODULE, env=os.environ | GO | {"GOOS": "windows"}, check=True, timeout=LONG)
    return program


def server() -> str:
    """Wine's own server."""
    return next(path for path in ("/usr/lib/wine/wineserver", "/usr/lib/wine/wineserver64") if Path(path).exists())


class Registry(ABC):
    """The registry and the stores of a Windows."""

    @abstractmethod
    def wine(self, *command: str, check: bool = True) -> str:
        """Run a command of Windows' own; what it says.

        Args:
            check: it ends well.
        """

    def query(self, key: str) -> dict[str, dict[str, str]]:
        """Values of a key and of those under it, as reg tells them: by key, then by name."""
        found: dict[str, dict[str, str]] = {}
        values: dict[str, str] = {}
        for line in self.wine("reg", "query", key, "/s", check=False).splitlines():
            if line.startswith("HKEY"):
                values = found.setdefault(line.strip(), {})
            elif told := re.match(r"    (.*?)    (REG_\w+)    ?(.*)", line.rstrip("\r")):
                values[told[1]] = told[3]
        return found

    def blobs(self, key: str) -> list[dict[int, bytes]]:
        """Certificates of a store as the registry has them: each one's properties, by number."""
        found = []
        for values in self.query(key).values():
            if "Blob" not in values:
                continue
            content, properties = bytes.fromhex(values["Blob"]), {}
            while content:
                number, size = int.from_bytes(content[:4], "little"), int.from_bytes(content[8:12], "little")
                properties[number], content = content[12 : 12 + size], content[12 + size :]
            found.append(properties)
        return found

    def certificates(self) -> list[x509.Certificate]:
        """What the account's own store has."""
        return [x509.load_der_x509_certificate(one[32]) for one in self.blobs(MY)]

    def machine(self, store: str) -> list[bytes]:
        """Certificates of a store of the machine, DER."""
        return [one[32] for one in self.blobs(rf"HKLM\Software\Microsoft\SystemCertificates\{store}\Certificates")]

    def containers(self) -> list[str]:
        """Names of the keys that the program made."""
        names = [key.rsplit("\\", 1)[1] for key in self.query(CONTAINERS)]
        return [name for name in names if name.startswith("creatic-")]


def dos(path: Path) -> str:
    """How Windows' programs call a file of this machine."""
    return "Z:" + str(path).replace("/", "\\")


class Seat(Registry):
    """A computer of `testbed.poste` that runs Windows, with windows and no screen; the agent works there.

    Attributes:
        disk: where its C: is.
    """

    def __init__(self, pc: Computer) -> None:
        self._pc, self._prefix = pc, pc.shared / "wine"
        self.disk = self._prefix / "drive_c"
        self._prefix.mkdir()
        pc.run("chown", f"{AGENT}:", self._prefix, account="root")
        drivers = ("add", r"HKCU\Software\Wine\Drivers", "/v", "Graphics", "/d", "null", "/f")
        # The server stays, or Windows would start at each program; services start by the first one, and hold its pipes.
        for command in (
            ("wineboot", "-i"),
            ("wine", "reg", *drivers),
            (server(), "-k"),
            (server(), "-p"),
            ("wine", "cmd", "/c", "exit"),
        ):
            subprocess.run(
                self._command(*command), check=False, timeout=LONG, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip # one call

    def off(self) -> None:
        """Stop it; nothing is left of it."""
        subprocess.run(self._command(server(), "-k", "-w"), check=False, timeout=LONG)
        shutil.rmtree(self._prefix)

    def _command(self, *words: str | Path) -> list[str]:
        return self._pc.command(*words, **QUIET, WINEPREFIX=str(self._prefix))

    def command(self, *words: str | Path) -> list[str]:
        """A command of Windows, as this machine runs it."""
        return self._command("wine", *words)

    def wine(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            self.command(*command), capture_output=True, check=check, timeout=LONG, stdin=subprocess.DEVNULL
        )
        return done.stdout.decode("cp437")  # as reg writes to a pipe, in a session of no language

    def run(self, *command: str | Path, typed: str = "") -> str:
        """Run a program to its end; what it says, whatever its code."""
        done = subprocess.run(
            self.command(*command), input=typed, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            check=False, timeout=LONG,
        )  # fmt: skip # one call
        return done.stdout

    def msiexec(self, option: str, package: Path) -> None:
        """Have Windows Installer work, in silence: what it did is to be seen."""
        subprocess.run(
            self.command("msiexec", option, dos(package), "/qn"), check=False, timeout=LONG, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip # one call

    def state(self) -> dict[str, object]:
        """All that an installer may change, and the account's own."""
        keys = (r"HKLM\Software\Policies", RUN, r"HKLM\Software\Classes\creatic", CONTAINERS)
        found: dict[str, object] = {key: values for one in keys for key, values in self.query(one).items()}
        places = ("Program Files/creatic-poste", "ProgramData/Creatic*", "users/*/AppData/Local/Creatic*")
        files = [str(path) for place in places for path in self.disk.glob(place)]
        stores = [key for key in STORES for _one in self.blobs(key)]
        return found | {"files": files, "stores": stores, "keys": self.containers()}


@contextmanager
def seated(pc: Computer) -> Iterator[Seat]:
    """Have a computer run Windows; its disk goes with it."""
    seat = Seat(pc)
    try:
        yield seat
    finally:
        seat.off()
