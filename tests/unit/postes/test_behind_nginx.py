"""The enrolment door behind a real nginx, as role guichet sets it: who needs a certificate, what nobody can forge."""

from __future__ import annotations

import datetime as dt
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import pytest
import yaml
from creatic_enrolement.store import Store
from creatic_enrolement.web import LARGEST, create_app

from creatic_agent.enrolment import token_digest
from testbed.patience import allowed
from tests.unit.nginx_tls.test_busy import FIRST, ROLE, Door

TOKEN = "A" * 52


class _Handler(WSGIRequestHandler):
    def address_string(self) -> str:
        return "nginx"

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


class _Application(socketserver.ThreadingMixIn, socketserver.UnixStreamServer, WSGIServer):
    daemon_threads, address_family = True, socketserver.UnixStreamServer.address_family

    def server_bind(self) -> None:
        socketserver.UnixStreamServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 443
        self.setup_environ()

    def get_request(self) -> tuple[Any, Any]:
        link, _address = socketserver.UnixStreamServer.get_request(self)
        return link, ("nginx", 0)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[tuple[Door, Store]]:
    tasks = yaml.safe_load((ROLE.parent / "guichet/tasks/main.yml").read_text(encoding="utf-8"))
    [given] = [one["vars"] for one in tasks if one.get("vars", {}).get("nginx_tls_site") == "enrolement"]
    site = {key: given[key] for key in ("nginx_tls_client_certificates", "nginx_tls_max_body_size")}
    made = Door(tmp_path, nginx_tls_client_requests=given.get("nginx_tls_client_requests", 0), **site)
    (tmp_path / "enrolement").mkdir()
    store = Store(tmp_path / "enrolement")
    (tmp_path / "app.sock").unlink()
    application = _Application(str(tmp_path / "app.sock"), _Handler)
    application.set_app(create_app(store))
    threading.Thread(target=application.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield made, store
    application.shutdown()
    application.server_close()
    made.close()


def ask(
    door: Door, method: str, path: str, sent: str | None = None, shows: str = "", **headers: str
) -> tuple[int, str]:
    context = ssl.create_default_context(cafile=str(door.authority.bundle))
    if shows:
        folder = door.authority.folder / shows
        context.load_cert_chain(folder / "fullchain.pem", folder / "key.pem")
    link = HTTPSConnection("localhost", door.port, context=context, timeout=allowed(60))
    try:
        link.request(method, path, sent, headers)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def test_a_token_needs_no_certificate_and_the_rest_does(door: tuple[Door, Store]) -> None:
    served, store = door
    now = dt.datetime.now(dt.UTC)
    holder = {"titulaire": "Accueil", "organisation": "Mairie", "siren": FIRST}
    token = {"empreinte": token_digest(TOKEN), "poste": "loos-pc", "nom": "pc", "certificats": {"accueil": holder}}
    store.publish({"jetons": [token | {"fin": (now + dt.timedelta(days=1)).isoformat()}], "finis": []}, now)
    told = {"jeton": TOKEN, "poste": "loos-pc", "nom": "pc", "certificat": "accueil", "csr": "rien"}
    status, body = ask(served, "POST", "/demandes", json.dumps(told))
    assert (status, json.loads(body)["cause"]) == (400, "csr_illisible")
    status, body = ask(served, "GET", "/demandes/x", Authorization=f"Bearer {TOKEN}")
    assert (status, json.loads(body)["cause"]) == (404, "demande_inconnue")
    for size, expected in ((LARGEST, 400), (LARGEST + 1, 413), (1_000_000, 413)):
        assert ask(served, "POST", "/demandes", "A" * size)[0] == expected, size
    for method, path in (("GET", "/identite"), ("POST", "/renouvellements"), ("GET", "/renouvellements/x")):
        assert ask(served, method, path)[0] == 403, path
    status, page = ask(served, "GET", "/identite", shows="pc")
    assert status == 200 and "Essai pc" in page and FIRST in page
    [seen] = store.statement(0, now)["vus"]
    assert seen["titulaire"] == "Essai pc"


def test_a_revoked_certificate_is_refused_with_its_reason(door: tuple[Door, Store]) -> None:
    served, store = door
    for method, path in (("GET", "/identite"), ("POST", "/renouvellements")):
        status, page = ask(served, method, path, shows="revoque")
        assert status == 400 and "Ce certificat a été révoqué" in page  # creatic-poste reads these words
    assert store.statement(0, dt.datetime.now(dt.UTC))["vus"] == []


def test_neither_a_certificate_nor_an_address_is_what_a_visitor_writes(door: tuple[Door, Store]) -> None:
    served, store = door
    forged = quote((served.authority.folder / "pc/cert.pem").read_text())
    for name in ("X-SSL-Client-Cert", "X_SSL_Client_Cert"):
        assert ask(served, "GET", "/identite", **{name: forged})[0] == 403
    for one in range(3):
        told = {"jeton": "B" * 52, "poste": "x", "nom": "x", "certificat": "x", "csr": "x"}
        ask(served, "POST", "/demandes", json.dumps(told), **{"X-Forwarded-For": f"198.51.100.{one}"})
    [misuse] = store.statement(0, dt.datetime.now(dt.UTC))["mesusages"]
    assert misuse["adresse"] == "127.0.0.1"
