"""A fleet on this machine: a door over real TLS with mandatory certificates, machines, and what signs for them."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from creatic_flotte import emergency
from creatic_flotte.passage import Passage
from creatic_flotte.run import Result, attested
from creatic_flotte.settings import Settings
from creatic_guichet.store import Store, common_name
from creatic_guichet.web import create_app

from creatic.fleet import bundle
from creatic.fleet.signing import Signer, manifest
from creatic.pki.keys import Passphrases
from testbed.connector import SIREN, Authority

DAY = dt.timedelta(days=1)
Meddle = Callable[[Mapping[str, Any], Callable[..., Any]], Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Handshakes that fail are what tests are about."""


class _Handler(WSGIRequestHandler):
    """Gives the application what nginx gives: the certificate that TLS verified, and nothing of the client's own."""

    protocol_version = "HTTP/1.1"
    timeout = 20

    def setup(self) -> None:
        self.request.do_handshake()
        super().setup()

    def get_environ(self) -> dict[str, Any]:
        found = super().get_environ()
        der = self.request.getpeercert(binary_form=True)
        return {**found, "HTTP_X_SSL_CLIENT_CERT": quote(ssl.DER_cert_to_PEM_cert(der))}

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


class Door:
    """A door; ``meddle`` stands between it and the machines, as whoever holds the server could."""

    def __init__(self, folder: Path, authority: Authority, name: str = "guichet") -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        if not (authority.folder / name).exists():
            authority.issue(name, "server")
        self._own, self._authority = authority.folder / name, authority
        self.keys, self.host_key, self.joined = folder / "cles", folder / "hote.pub", set[int]()
        self.host_key.write_text("ssh-ed25519 AAAAhote guichet\n")
        self.store = Store(folder, self.keys, self.host_key, lambda: self.joined)
        self._app = create_app(self.store)
        self.meddle: Meddle | None = None

    def _application(self, environ: Mapping[str, Any], start: Callable[..., Any]) -> Any:
        if self.meddle:
            answered = self.meddle(environ, start)
            if answered is not None:
                return answered
        return self._app(dict(environ), start)

    @contextmanager
    def served(self, certificate: Path | None = None) -> Iterator[str]:
        """Serve; gives the address."""
        own = certificate or self._own
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own / "fullchain.pem", own / "key.pem")
        context.load_verify_locations(self._authority.bundle)
        context.verify_mode = ssl.CERT_REQUIRED
        server = _Server(("127.0.0.1", 0), _Handler)
        server.set_app(self._application)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"https://localhost:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def listing(self, now: dt.datetime | None = None) -> dict[str, Any]:
        """What the control node is told."""
        return self.store.listing(now or dt.datetime.now(dt.UTC))

    def receive(self, file: Path) -> None:
        """What the control node sends."""
        with file.open("rb") as stream:
            self.store.receive(stream)


class Publisher:
    """Signs for machines, well or badly, and brings it to a door."""

    def __init__(self, folder: Path, door: Door, authority: Authority) -> None:
        self.signer = Signer(folder / "flotte", Passphrases(folder / "flotte", generate=True))
        self.signer.open()
        self._door, self._authority, self._folder = door, authority, folder

    def text(self, machine: str, code: bytes, sealed: bytes, version: int = 1, /, **changes: Any) -> str:
        """A manifest, with fields of another."""
        now = dt.datetime.now(dt.UTC)
        record = {"version": version, "vague": "canari", "code": bundle.part(code), "donnees": bundle.part(sealed)}
        return json.dumps(json.loads(manifest(machine, record, now, now + 14 * DAY)) | changes)

    def publish(self, machine: str, version: int = 1, signer: Signer | None = None, **changes: Any) -> dict[str, bytes]:
        """Publish a version for a machine at the door; gives what was published."""
        code = bundle.data({"ansible.cfg": b"[defaults]\n", "version": str(version).encode()})
        clear = bundle.data({"variables.json": json.dumps({"secret": f"de {machine}"}).encode()})
        sealed = bundle.encrypt(clear, (self._authority.folder / machine / "cert.pem").read_text())
        text = self.text(machine, code, sealed, version, **changes)
        self.bring({machine: (text, (signer or self.signer).sign(text))}, [code, sealed])
        return {"code": code, "donnees": sealed}

    def bring(self, manifests: Mapping[str, tuple[str, str]], lots: list[bytes]) -> None:
        """Send the door manifests with their signatures, and files."""
        place = self._folder / "lots"
        place.mkdir(exist_ok=True)
        paths = []
        for one in lots:
            paths.append(place / bundle.part(one)["sha256"])
            paths[-1].write_bytes(one)
        known = {row["nom"] for row in self._door.listing()["machines"]} | {*manifests}
        signed = {name: {"manifeste": text, "signature": sign} for name, (text, sign) in manifests.items()}
        envoi = {"machines": dict.fromkeys(known, SIREN), "manifestes": signed}
        bundle.sending(self._folder / "envoi.tar", paths, json.dumps(envoi).encode())
        self._door.receive(self._folder / "envoi.tar")


class Machine:
    """A machine that fetches what it becomes; its runs are noted, not done."""

    def __init__(self, folder: Path, authority: Authority, signers: Path, name: str = "gondecourt-connecteur") -> None:
        if not (authority.folder / name).exists():
            authority.issue(name, common_name=common_name(name))
        certificate = folder / "certificat"
        certificate.mkdir(parents=True)
        (certificate / "current").symlink_to(authority.folder / name)
        self.settings = Settings(
            machine=name,
            door="https://localhost:1",
            authorities=authority.bundle,
            certificate=certificate,
            signers=signers,
            revoked=folder / "revoques",
            state=folder / "etat",
            metrics=folder / "metriques",
            releve=folder / "releve.json",
            host_key=folder / "hote.pub",
        )
        self.settings.state.mkdir()
        self.settings.metrics.mkdir()
        self.runs: list[Path] = []
        self.again: list[bool] = []
        self.result = Result(True)
        self.clock = dt.timedelta()
        self.tunnel, self.unit = folder / "porte", ""

    def now(self) -> dt.datetime:
        """Its clock."""
        return dt.datetime.now(dt.UTC) + self.clock

    def passes(self, door: str) -> tuple[str, str]:
        """One pass; gives how it ended, and what it says."""
        from dataclasses import replace

        self.settings = replace(self.settings, door=door)

        def run(settings: Settings, version: Path, again: bool) -> Result:
            self.runs.append(version)
            self.again.append(again)
            return self.result

        return Passage(self.settings, run, self.now, self.follow).perform()

    def follow(self, settings: Settings, given: Any, last: int, now: dt.datetime) -> tuple[int, str]:
        """The emergency door, for this test's own account; what its unit is told is noted."""

        def systemctl(verb: str, _unit: str) -> bool:
            if verb == "is-active":
                return self.unit == "restart"
            self.unit = verb
            return True

        return emergency.follow(settings, given, last, now, self.tunnel, getpass.getuser(), systemctl)

    def signed(self, identity: str = "", **changes: Any) -> bytes:
        """A report of its own, as it hands it over: everything went well at version 1."""
        said: dict[str, Any] = {"machine": self.settings.machine, "version": 1, "posee": True, "genre": "bon"}
        said |= {"texte": "", "debut": "", "fin": self.now().isoformat(timespec="seconds")}
        said |= {"modifies": [], "preuves": []} | changes
        return json.dumps(said | attested(self.settings, said, identity)).encode()

    def version(self) -> int:
        """The highest version that it took."""
        return int(json.loads((self.settings.state / "etat.json").read_text())["version"])

    def tree(self) -> dict[str, bytes]:
        """What is in place."""
        folder = self.settings.state / "versions"
        return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


def ssh_key(folder: Path, name: str) -> Path:
    """Make an SSH key with ssh-keygen; gives the private half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    return folder / name
