"""A PostgreSQL of Debian's for the tests: its own folder, reached by its unix socket alone, never the machine's."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

_NOBODY = 65534
_ROOT = os.geteuid() == 0


class Database:
    """A server, and databases copied from a prepared one."""

    def __init__(self, folder: Path, programs: Path, options: str) -> None:
        self.data, self._socket, self._programs = folder / "donnees", folder, programs
        self._options = options
        self._made = 0

    def _run(self, *command: str) -> None:
        # The server refuses root.
        user = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"] if _ROOT else []
        subprocess.run([*user, *command], check=True, stdout=subprocess.DEVNULL, cwd=self._socket)

    def create(self) -> None:
        """Make and start it."""
        self._run(
            str(self._programs / "initdb"), "-D", str(self.data), "-U", "essai", "-A", "trust", "-N", "-E", "UTF8"
        )
        self.start()

    def start(self) -> None:
        """Start it, by its socket alone."""
        options = (
            f"-c listen_addresses= -k {self._socket} -c fsync=off -c jit=off -c log_min_messages=fatal {self._options}"
        )
        self._run(str(self._programs / "pg_ctl"), "-D", str(self.data), "-w", "-l", "/dev/null", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; `immediate` is a crash."""
        self._run(f"{self._programs}/pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def address(self, name: str) -> str:
        """How to reach a database."""
        return f"dbname={name} host={self._socket} user=essai"

    def new(self, template: str = "template0", name: str = "") -> str:
        """Make a database; gives its address."""
        self._made += 1
        name = name or f"essai{self._made}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self.address(name)


@contextmanager
def running(options: str = "") -> Iterator[Database]:
    """A server for the time of the tests, with further options of its command line."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    assert found, "il manque PostgreSQL : scripts/bootstrap"
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="creatic-pg-", dir=memory if os.access(memory, os.W_OK) else None))
    if _ROOT:
        os.chown(folder, _NOBODY, _NOBODY)
    server = Database(folder, found[-1].parent, options)
    try:
        server.create()
        yield server
        server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
