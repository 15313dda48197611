"""A probe which visits the platform from outside, with the certificate it is given."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from creatic.pki.authority import Authority
from creatic.pki.registry import Owner
from testbed.authority import certificate

PROBE_SIREN = "215902669"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a certificate for the probe has the authority issue one: no part of an audit."""
    for item in items:
        if "probe_certificate" in getattr(item, "fixturenames", ()):
            item.add_marker("leaves_traces")


@dataclass(frozen=True)
class Answer:
    """What the platform said."""

    status: int
    headers: Message
    text: str


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


@pytest.fixture(scope="session")
def probe_certificate(creatic_home: Path) -> Path:
    """PEM file (key, certificate, chain) of the groupement's authority, made once and kept with its state."""
    path = creatic_home / "sonde-tdt.pem"
    authority = Authority(creatic_home / "pki")
    request = Request(
        name="sonde-tdt", profile="client", common_name="Sonde", organization="Laboratoire", siren=PROBE_SIREN
    )
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.CertificateSigningRequestBuilder().subject_name(request.subject()).sign(key, hashes.SHA256())
        issued = authority.issue(
            csr.public_bytes(serialization.Encoding.PEM).decode(), request, Owner("poste-de-commande")
        )
        path.touch(mode=0o600)
        path.write_bytes(_pem(key) + issued.pem.encode() + authority.published()["chain"].encode())
    return path


@pytest.fixture
def stranger_certificate(tmp_path: Path) -> Path:
    """PEM file of a certificate that nobody vouches for."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"0002 {PROBE_SIREN}"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Inconnu"),
        ]
    )
    made, key = certificate("Inconnu", None, days=1, subject=name)
    path = tmp_path / "inconnu.pem"
    path.write_bytes(_pem(key) + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def visit(hostvars: dict[str, Any], creatic_home: Path) -> Callable[..., Answer]:
    """Return a function that fetches an address of the platform over verified TLS."""

    def fetch(
        address: str = "/",
        certificate: Path | None = None,
        *,
        version: ssl.TLSVersion | None = None,
        server_name: str | None = None,
        body: bytes | None = None,
    ) -> Answer:
        context = ssl.create_default_context(cafile=str(creatic_home / "pki" / "publie" / "ca.pem"))
        if certificate is not None:
            context.load_cert_chain(certificate)
        if version is not None:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
        name = server_name or str(hostvars["creatic_names"][0])
        plain = socket.create_connection((hostvars["ansible_host"], 443), timeout=120)
        connection = http.client.HTTPConnection(name)
        with plain, context.wrap_socket(plain, server_hostname=name) as connection.sock:
            connection.request("GET" if body is None else "POST", address, body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode("utf-8", "replace"))

    return fetch
