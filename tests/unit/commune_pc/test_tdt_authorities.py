"""Whose certificates a TdT takes: what real servers say, and the PCs that are refused before they change."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.cdg59.creatic.plugins.action import preflight as preflight_action
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from tdt_simulator.testing import serve

from creatic.check import tdt
from testbed.authority import Pair, certificate
from testbed.patience import wait_for
from testbed.provider import deliver

LOOS = "215903600"
TITLE = "Service des assemblées"
KEY = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


def pem(*pairs: Pair) -> str:
    return "".join(one[0].public_bytes(serialization.Encoding.PEM).decode() for one in pairs)


@pytest.fixture(scope="module")
def chain() -> tuple[Pair, Pair]:
    """A root and the groupement's issuing authority, of names that are written in two ways."""
    root = certificate("AC Racine, É. de l'exemple", None, ca=True)
    return root, certificate("AC Émettrice", root, ca=True)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Nginx:
    """A TdT's door as nginx makes it, with the authorities that it accepts."""

    def __init__(self, folder: Path, port: int, accepted: str, asks: str) -> None:
        folder.mkdir()
        server = certificate("localhost", None)
        (folder / "server.pem").write_text(pem(server) + server[1].private_bytes(*KEY).decode(), encoding="utf-8")
        (folder / "ca.pem").write_text(accepted or pem(server), encoding="utf-8")
        client = f"ssl_verify_client {asks}; ssl_client_certificate {folder}/ca.pem;" if accepted else ""
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/log; events {{}} http {{ access_log off; "
            f"client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; "
            f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; server {{ listen 127.0.0.1:{port} ssl; "
            f"ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem; {client} }} }}",
            encoding="utf-8",
        )
        self.process = subprocess.Popen(["nginx", "-e", str(folder / "log"), "-c", str(folder / "nginx.conf")])
        wait_for(lambda: bool(socket.create_connection(("127.0.0.1", port))), "nginx", despite=(OSError,))


@pytest.fixture
def url(port: int) -> str:
    return f"https://127.0.0.1:{port}/"


@pytest.fixture
def nginx(tmp_path: Path, port: int) -> Iterator[Any]:
    started: list[Nginx] = []

    def start(accepted: str, asks: str = "optional") -> None:
        started.append(Nginx(tmp_path / "nginx", port, accepted, asks))

    yield start
    for one in started:
        one.process.terminate()
        one.process.wait()


@pytest.mark.parametrize("asks", ["on", "optional"])
def test_a_server_names_those_whose_certificates_it_takes(nginx: Any, url: str, chain: Any, asks: str) -> None:
    nginx(pem(*chain), asks)
    found = tdt.authorities(url)
    assert len(found) == 2 and {*found} <= tdt.names(pem(*chain))
    assert any("Émettrice" in one for one in found)
    other = certificate("Une autre", None, ca=True)
    assert not tdt.names(pem(other)) & {*found}


def test_one_that_asks_for_none_or_is_not_there_says_nothing(nginx: Any, url: str, port: int) -> None:
    assert tdt.authorities(url) == []
    nginx("")
    assert tdt.authorities(url) == []
    for wrong in ("", "http://127.0.0.1", "https://", f"https://[{port}", f"https://127.0.0.1:{port}x"):
        assert tdt.authorities(wrong) == []


def test_a_server_that_verifies_and_names_nobody_refuses_nobody(tmp_path: Path, chain: Any) -> None:
    """The simulator of unit tests: Python's own server."""
    own, key = certificate("127.0.0.1", chain[1]), tmp_path / "key.pem"
    (tmp_path / "ca.pem").write_text(pem(*chain), encoding="utf-8")
    (tmp_path / "cert.pem").write_text(pem(own), encoding="utf-8")
    key.write_bytes(own[1].private_bytes(*KEY))
    authorities = [{"siren": LOOS, "nom": "Loos", "departement": "059", "arrondissement": "3"}]
    ca, shown = tmp_path / "ca.pem", tmp_path / "cert.pem"
    with serve(tmp_path / "tdt", authorities=authorities, ca=ca, cert=shown, key=key) as server:
        assert tdt.authorities(server.url) == []


def given(**more: str) -> dict[str, str]:
    return {"titulaire": TITLE, "usage": "authentification", "source": "groupement", **more}


FILE = given(source="fichier", fichier="a.p12", secret="a.p12.pass")


@pytest.mark.parametrize(
    ("accepted", "certificates", "stops"),
    [
        ("root", [given()], False),
        ("issuing", [given()], False),
        ("other", [given()], True),
        ("none", [given()], False),
        ("other", [given(), given(source="jeton", jeton="x")], False),
        ("provider", [FILE], False),
        ("provider", [given(), FILE], False),
        ("other", [given(), FILE], True),
        ("other", [given(source="fichier", fichier="absent.p12", secret="x")], False),
    ],
)
@pytest.mark.parametrize("system", ["debian", "windows"])
def test_a_pc_whose_authority_is_refused_is_not_touched(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chain: Any,
    accepted: str,
    certificates: list[dict[str, str]],
    stops: bool,
    system: str,
) -> None:
    (tmp_path / "secrets").mkdir()
    deliver(tmp_path / "secrets", "a.p12", "a.p12.pass", LOOS)
    (tmp_path / "publie").mkdir()
    (tmp_path / "publie" / "ca.pem").write_text(pem(*reversed(chain)), encoding="utf-8")
    lists = {"none": [], "other": ["CN=AC d'ailleurs,C=FR"], "provider": [*provider(tmp_path / "secrets")]}
    lists |= {"root": [subject(chain[0])], "issuing": [subject(chain[1])]}
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(ActionBase, "run", lambda *_given: {})
    plugin = preflight_action.ActionModule.__new__(preflight_action.ActionModule)
    arguments = {"tdt_authorities": lists[accepted], "pki_dir": str(tmp_path), "secrets_dir": str(tmp_path / "secrets")}
    plugin._task = SimpleNamespace(args={"home": str(tmp_path), **arguments}, check_mode=True)
    answer = {"creatic_preflight": [], "now": time.time(), "connector_journal": False}

    def module(module_args: dict[str, Any], **_more: Any) -> dict[str, Any]:
        asked.append(module_args)
        return dict(answer, now=time.time())

    plugin._execute_module = module
    variables = {
        "inventory_hostname": "loos-pc",
        "creatic_profil": "commune_pc",
        "creatic_commune": {"slug": "loos", "siren": LOOS},
        "creatic_poste": {"systeme": system, "certificats": certificates},
        "groups": {},
    }
    result = plugin.run(task_vars=variables)
    assert all({*one} == {"home"} for one in asked)  # machines are told nothing of folders of here
    assert bool(result.get("failed")) is stops
    verdicts = [one["verdict"] for one in result["creatic_preflight"] if one["cle"] == "tdt"]
    assert verdicts == ([] if accepted == "none" else ["echec" if stops else "ok"])
    if stops:
        assert f"le TdT n'admet l'autorité d'aucun certificat de ce poste ({TITLE}" in result["msg"]
        assert "il nomme CN=AC d'ailleurs,C=FR" in result["msg"] and "communes/loos.yml" in result["msg"]


def subject(pair: Pair) -> str:
    """Of a certificate, as OpenSSL writes it."""
    command = ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253,utf8,-esc_msb"]
    return subprocess.run(command, input=pem(pair), capture_output=True, text=True, check=True).stdout.strip()[8:]


def provider(secrets: Path) -> set[str]:
    """Issuers of the provider's certificates."""
    from cryptography.hazmat.primitives.serialization import pkcs12

    word = (secrets / "a.p12.pass").read_bytes().strip()
    _key, own, _chain = pkcs12.load_key_and_certificates((secrets / "a.p12").read_bytes(), word)
    assert own is not None and isinstance(own, x509.Certificate)
    assert own.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return tdt.names(own.public_bytes(serialization.Encoding.PEM).decode()) - {""}
