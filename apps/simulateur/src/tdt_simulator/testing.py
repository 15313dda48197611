"""Run the simulator in this process with real TLS and mandatory client certificates, for tests."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from creatic_agent.configuration import declared

from . import config as settings
from . import prefecture, reports
from .app import create_app
from .store import Store


def wait_refused(port: int, seconds: float = 120, address: str = "127.0.0.1") -> None:
    """Wait until an address refuses connections: Linux may accept some more just after a server has closed.

    Raises:
        TimeoutError: something else listens there.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as caller:
            if caller.connect_ex((address, port)) == errno.ECONNREFUSED:
                return
        time.sleep(0.01)
    raise TimeoutError(f"port {port} still accepts connections after {seconds} s")


def tls_server(
    address: str, port: int, app: Any, handler: type[WSGIRequestHandler], context: ssl.SSLContext
) -> BaseWSGIServer:
    """Make a threaded server, as a real one is: who connects and says nothing keeps nobody else waiting.

    Raises:
        OSError: the port is taken.
    """
    server = make_server(address, port, app, threaded=True, request_handler=handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.ssl_context = context
    return server


class _QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Keep the output of the tests clean."""


class TdtServer:
    """A platform that a test starts, stops, damages and looks into."""

    def __init__(self, config: settings.Config, context: ssl.SSLContext, port: int, address: str) -> None:
        self.app = create_app(config)
        self._address = address
        self._context = context
        self._port = port
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        self.store: Store = self.app.extensions["tdt_store"]

    @property
    def url(self) -> str:
        """Address of the platform, the same after stop() and start()."""
        return f"https://{self._address}:{self._port}"

    def start(self) -> None:
        """Begin to answer."""
        self._server = tls_server(self._address, self._port, self.app, _QuietHandler, self._context)
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections; what was received is kept."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None
            wait_refused(self._port, address=self._address)

    def fault(self, name: str, *, seconds: float | None = None, times: int | None = None, target: str = "") -> None:
        """Turn a fault on (names and meanings: faults.FAULTS)."""
        self.store.set_fault(name, seconds, times, target)

    def clear_faults(self, name: str | None = None) -> None:
        """Turn a fault off, or all of them."""
        self.store.clear_faults(name)

    def acts(self, siren: str | None = None, number: str | None = None) -> list[dict[str, Any]]:
        """Return the acts that the platform holds (keys: see reports.act)."""
        return reports.acts(self.store, siren, number)

    def pes(self, siren: str | None = None) -> list[dict[str, Any]]:
        """Return the PES that the platform holds: id, siren, filename, sha1, statut."""
        return [
            {key: row[key] for key in ("id", "siren", "filename", "sha1")} | {"statut": step.status}
            for row, step in self.store.helios(siren)
        ]

    def letter(self, act_id: int, kind: str = "courrier", reason: str = "Courrier de test") -> int:
        """Make the préfecture write about an acknowledged act (kinds: prefecture.LETTERS)."""
        return prefecture.write_letter(self.store, act_id, kind, reason)

    def wait_status(self, act_id: int, status: int, timeout: float = 120) -> None:
        """Wait until a transaction has a status.

        Raises:
            TimeoutError: it has another one after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            found = self.store.transaction(act_id)
            if found is not None and found.status == status:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"transaction {act_id}: {found.status if found else 'unknown'}")
            time.sleep(0.02)


@contextlib.contextmanager
def serve(
    data_dir: Path,
    *,
    ca: Path,
    cert: Path,
    key: Path,
    authorities: Sequence[dict[str, Any]],
    accounts: Sequence[dict[str, Any]] = (),
    crl: Path | None = None,
    delay: float = 0.05,
    rgs_policies: Sequence[str] = ("1.3.6.1.4.1.59999.59.1.1",),
    max_archive_bytes: int = settings.MAX_ARCHIVE_BYTES,
    port: int = 0,
    address: str = "127.0.0.1",
) -> Iterator[TdtServer]:
    """Run a platform while a test needs it.

    Args:
        data_dir: folder of its database and files; give it again to go on with what it holds.
        ca: bundle that client certificates must come from.
        cert: server certificate with its chain; key: its private key.
        authorities: [{"siren", "nom", "departement", "arrondissement"}, …].
        crl: CRLs of every CA of the chain, checked when given.
        delay: seconds between two statuses.
        port: 0 chooses a free one.
        address: of this computer, where it listens.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(ca)
    if crl is not None:
        context.load_verify_locations(crl)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN
    context.verify_mode = ssl.CERT_REQUIRED
    given = {
        "data_dir": str(data_dir),
        "authorities": list(authorities),
        "accounts": list(accounts),
        "delay": delay,
        "rgs_policies": list(rgs_policies),
        "max_archive_bytes": max_archive_bytes,
    }
    config = declared("essai", settings.Config, given)
    server = TdtServer(config, context, port, address)
    server.start()
    try:
        yield server
    finally:
        server.stop()
