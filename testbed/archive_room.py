"""A client of the archive room, as the gateway is one: same program (sae.store), same certificate, every proxy.

It writes and reads all along, in the background, and keeps what each call gave and how long it took.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground
from sae.store import StoreError, SwiftSettings, SwiftStore

from creatic.archive import room as archive_room
from testbed.control_node import HOME, command
from testbed.patience import wait_for

ADDRESSES = {f"sae{number}": f"10.59.0.3{number}" for number in (1, 2, 3)}
ROOM = ("ansible-playbook", "-i", "inventories/lab", "playbooks/site.yml", "--limit", "archive_node")
# With this the control node is let into the room beside the gateway.
AS_GATEWAY = ("-e", json.dumps({"archive_node_client_peers": ["10.59.0.1", "10.59.0.30"]}))
ACCOUNT = "sae"
GATEWAY = "Passerelle des archives"


@contextmanager
def names_of_the_lab(addresses: Mapping[str, str] = ADDRESSES) -> Iterator[None]:
    """The control node does not know the lab's names."""
    real = socket.getaddrinfo

    def known(host: Any, *arguments: Any, **options: Any) -> Any:
        name = str(host).removesuffix(".creatic.test")
        return real(addresses.get(name, host), *arguments, **options)

    socket.getaddrinfo = known
    try:
        yield
    finally:
        socket.getaddrinfo = real


def gateway_certificate(home: Path = HOME) -> Path:
    """Folder of a certificate with the gateway's name, issued by the authority of this state."""
    wanted = {
        "dir": str(home / "pki"),
        "certificates_dir": str(home / "certificats-essai"),
        "certificates": [
            {
                "name": "passerelle",
                "profile": "client",
                "common_name": GATEWAY,
                "holder": "service",
                "organization": "Essai",
                "siren": "285900015",
            },
        ],
    }
    done = command(
        *("ansible", "-i", "localhost,", "-c", "local", "localhost", "-m", "cdg59.creatic.pki_ca"),
        *("-a", json.dumps(wanted), "-e", "ansible_become=false"),
    )
    assert done.returncode == 0, done.stdout
    return home / "certificats-essai" / "passerelle" / "current"


def connect(certificate: Path, *nodes: str, home: Path = HOME) -> SwiftStore:
    """The store as the gateway has it; through these nodes' proxies only, all of them by default."""
    keys = json.loads((home / "secrets" / "archive" / "comptes.json").read_text("utf-8"))
    return SwiftStore(
        SwiftSettings(
            urls=[f"https://{name}.creatic.test" for name in nodes or ADDRESSES],
            keys=keys,
            ca_file=home / "pki" / "publie" / "racine.pem",
            certificate=certificate,
        )
    )


@dataclass
class Call:
    """One call of the client: what, when it began (monotonic), how long it took, why it failed (empty: it did not)."""

    kind: str
    start: float
    seconds: float
    error: str


@dataclass
class Client:
    """Writes and reads until it is told to stop."""

    store: SwiftStore
    container: str
    retain_s: int = 86400
    calls: list[Call] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, data: bytes) -> None:
        """Store an archive, and remember its digest."""
        digest = hashlib.sha512(data).hexdigest()
        until = int(time.time()) + self.retain_s
        self.store.put(
            ACCOUNT, self.container, name, io.BytesIO(data), size=len(data), sha512=digest, retain_until=until
        )
        self.written[name] = digest

    def check(self, name: str, store: SwiftStore | None = None) -> None:
        """Read an archive and compare it with what was written."""
        with (store or self.store).get(ACCOUNT, self.container, name) as stream:
            assert hashlib.sha512(stream.read()).hexdigest() == self.written[name], f"{name} : contenu changé"

    def _timed(self, kind: str, action: Any, *arguments: Any) -> None:
        start = time.monotonic()
        error = ""
        try:
            action(*arguments)
        except (StoreError, AssertionError, OSError) as failure:
            error = f"{type(failure).__name__} : {failure}"
        self.calls.append(Call(kind, start, time.monotonic() - start, error))

    def _write(self, stop: threading.Event) -> None:
        number = 0
        while not stop.wait(0.3):
            number += 1
            size = 1_000_000 if number % 20 == 0 else 10_000
            self._timed("écriture", self.put, f"essai-{number:06d}", os.urandom(size))

    def _read(self, stop: threading.Event) -> None:
        while not stop.wait(0.3):
            if self.written:
                self._timed("lecture", self.check, random.choice(list(self.written)))  # noqa: S311 - no secret

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Write and read in the background for as long as the block lasts."""
        stop = threading.Event()
        threads = [threading.Thread(target=work, args=(stop,), daemon=True) for work in (self._write, self._read)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)

    def failures(self) -> list[str]:
        """Calls that failed, after the client's own tries on every proxy."""
        return [f"{call.kind} : {call.error}" for call in self.calls if call.error]

    def longest(self) -> float:
        """Seconds of the longest call: the longest pause that the gateway sees."""
        return max((call.seconds for call in self.calls), default=0.0)

    def summary(self) -> str:
        """Figures of the calls, in a line."""
        parts = []
        for kind in ("écriture", "lecture"):
            times = sorted(call.seconds for call in self.calls if call.kind == kind)
            if times:
                middle = times[len(times) // 2]
                parts.append(f"{len(times)} {kind}s, médiane {middle:.2f} s, la plus longue {times[-1]:.2f} s")
        return " ; ".join(parts) + f" ; {len(self.failures())} échecs"


# -- The room itself -------------------------------------------------------------------------------------------


def node(name: str, script: str) -> str:
    """Output of a script run as root on a node."""
    known = f"UserKnownHostsFile={HOME / 'ssh' / 'known_hosts'}"
    options = [
        "-q",
        "-i",
        str(HOME / "ssh" / "id_ed25519"),
        "-o",
        known,
        "-o",
        "ConnectTimeout=30",
        "-o",
        "ControlPath=none",
    ]
    done = subprocess.run(
        ["ssh", *options, f"creatic@{ADDRESSES[name]}", "sudo sh"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{name}: {script}\n{done.stdout}{done.stderr}"
    return done.stdout


def lab(*arguments: str) -> str:
    return Ground().podman(*arguments)


def status() -> dict[str, Any]:
    """fab archive.etat: its screen, and the faults of each node."""
    done = command("fab", "archive.etat", "--json")
    assert done.returncode in (0, 1), done.stdout
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])
    return found


def faults() -> list[tuple[str, str]]:
    return [(fault["node"], fault["reason"]) for fault in status()["defauts"]]


def _told(name: str) -> dict[str, Any]:
    """What a node says of itself and of the room, asked as fab archive.etat does."""
    try:
        found: dict[str, Any] = json.loads(node(name, "creatic-archive bilan"))
    except (AssertionError, ValueError, subprocess.TimeoutExpired) as error:
        return {"erreur": str(error)}
    return found


def whole(patience: float = 300) -> float:
    """Wait until the room has no fault left, as the journeys judge it; gives how long it took, seconds."""
    start = time.monotonic()
    found: list[archive_room.Fault] = []
    with ThreadPoolExecutor(len(ADDRESSES)) as pool:

        def clean() -> bool:
            found[:] = archive_room.faults(dict(zip(ADDRESSES, pool.map(_told, ADDRESSES), strict=True)), time.time())
            return not found

        wait_for(clean, lambda: f"une salle sans défaut, elle a {found}", patience, every=1)
    return time.monotonic() - start


@contextmanager
def replication_paused() -> Iterator[None]:
    """Nothing is copied from a node to another while the block lasts: what is missing stays so."""
    # Never in the middle of a partition, whose lock would then be held against everybody.
    pause = """
        for try in $(seq 50); do
          systemctl kill --signal=STOP swift-object-replicator
          held=
          for lock in $(find /srv/node/*/objects -maxdepth 2 -name .lock); do
            flock --nonblock $lock true || held=1
          done
          [ "$held" ] || exit 0
          systemctl kill --signal=CONT swift-object-replicator
          sleep 0.1
        done
        exit 1"""
    try:
        for name in ADDRESSES:
            node(name, pause)
        yield
    finally:
        for name in ADDRESSES:
            node(name, "systemctl kill --signal=CONT swift-object-replicator")


def every_archive_on_every_node(client: Client, certificate: Path) -> None:
    """Read all that was written through each proxy: each reads its own node's copy first."""
    for name in ADDRESSES:
        store = connect(certificate, name)
        for archive in client.written:
            client.check(archive, store)


def place(archive: str, container: str, account: str = ACCOUNT) -> str:
    """Folder of an archive on a node."""
    found = node("sae1", f"swift-get-nodes -a /etc/swift/object.ring.gz AUTH_{account} {container} {archive}")
    line = next(line for line in found.splitlines() if line.startswith("Partition"))
    digest = next(line for line in found.splitlines() if line.startswith("Hash")).split()[-1]
    return f"/srv/node/d1/objects/{line.split()[-1]}/{digest[-3:]}/{digest}"
