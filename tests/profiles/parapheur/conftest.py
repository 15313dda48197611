"""The parapheur as the people of two communes and the gateway use it: over TLS, with keys in SoftHSM2."""

from __future__ import annotations

import asyncio
import ctypes
import datetime as dt
import functools
import http.server
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import pkcs11_token
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from asn1crypto import keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pyhanko.sign import signers
from pyhanko_certvalidator.registry import SimpleCertificateStore

from creatic.applications import parapheur
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.registry import Owner
from creatic.pki.x509 import Settings

sys.path.insert(0, str(Path(__file__).parents[3]))  # the tests import this file
from signature_actes import pades, pes, token

from testbed.communes import subscribers
from testbed.parapheur import SIRENS, Parapheur, word
from tests.profiles.services import on_the_lab_alone

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "271828"


@pytest.fixture(scope="session")
def store(hostvars: dict[str, Any], creatic_home: Path) -> Parapheur:
    on_the_lab_alone(hostvars, "ces essais déposent des dossiers et lisent les premiers mots de passe")
    return Parapheur(hostvars["ansible_host"], hostvars["creatic_names"][0], creatic_home)


@pytest.fixture(scope="session")
def wanted(pytestconfig: pytest.Config) -> dict[str, Any]:
    """The configuration that the inventory wants."""
    return parapheur.configuration(subscribers(Path(pytestconfig.getoption("--environment")), "parapheur"))


@pytest.fixture
def opened(store: Parapheur) -> Callable[..., int]:
    """Makes a dossier and brings it to a state; gives its number."""

    def open_one(state: str = "a_viser", **changes: str) -> int:
        made = store.deposit_act("passerelle", None, **changes)
        assert made.status == 201, made.data[:300]
        number = int(made.json()["id"])
        if state == "a_signer" and store.shown(number)["etat"] == "a_viser":
            assert store.act("paul.renard", number, "viser").status == 200
        assert store.shown(number)["etat"] == state
        return number

    return open_one


def _forget_errors() -> None:
    """SoftHSM2 leaves errors in OpenSSL's queue (engines that are not there), which Python's ssl takes for its own."""
    ctypes.CDLL("libcrypto.so.3").ERR_clear_error()


@dataclass
class Pens:
    """Signing keys in SoftHSM2, with certificates of the lab's provider, as people have them on their tokens."""

    provider: Path
    folder: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def certificate(self, name: str, siren: str) -> tuple[str, token.TokenKey]:
        """A new key and its certificate; gives the certificate's serial."""
        label = f"essai-{word()}"
        subject = {"common_name": name, "organization": "Commune de Gondecourt", "siren": siren}
        csr = pkcs11_token.prepare(LIBRARY, label, PIN, subject, private=True)["csr"]
        _forget_errors()
        request = Request(label, "signature", key_type="rsa", **subject)  # type: ignore[arg-type] # all text
        issued = Authority(self.provider).issue(csr, request, Owner("essai"))
        pkcs11_token.prepare(LIBRARY, label, PIN, subject, issued.pem, private=True)
        _forget_errors()
        return issued.serial, token.TokenKey(LIBRARY, label)

    def sign(self, key: token.TokenKey, document: bytes) -> bytes:
        """What signer-acte does."""
        try:
            with token.signer(key, lambda: PIN) as signer:
                return self.sign_by(signer, document)
        finally:
            _forget_errors()

    def sign_flow(self, key: token.TokenKey, document: bytes) -> bytes:
        """What signer-acte does of a flow of accounts."""
        source, target = self.folder / "flux.xml", self.folder / f"flux-{next(self._numbers)}.xml"
        source.write_bytes(document)
        try:
            with token.signer(key, lambda: PIN) as signer:
                pes.sign(source, target, signer, pes.Place("Gondecourt", "59147"))
        finally:
            _forget_errors()
        return target.read_bytes()

    def sign_expired(self, model: token.TokenKey, document: bytes) -> bytes:
        """What somebody signs whose certificate expired yesterday: signer-acte would refuse, another program does not.

        Args:
            model: a key whose certificate is good: the expired one is the same but for its key and its dates.
        """
        authority = Authority(self.provider, Passphrases(self.provider))
        with authority.registry.open() as book:
            member, signing = authority.issuer(book)
        issuer = member.certificate
        good = x509.load_der_x509_certificate(token.read(model).certificate.dump())
        own, now = rsa.generate_private_key(65537, 2048), dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(
            issuer.subject,
            good.subject,
            own.public_key(),
            x509.random_serial_number(),
            now - dt.timedelta(days=30),
            now - dt.timedelta(days=1),
        )
        for one in good.extensions:
            if one.oid != x509.SubjectKeyIdentifier.oid:
                builder = builder.add_extension(one.value, one.critical)
        pair = (builder.sign(signing, hashes.SHA256()), own)
        return self.sign_by(software(pair), document)

    def sign_by(self, signer: Any, document: bytes) -> bytes:
        """Sign with any signer of pyHanko."""
        number = next(self._numbers)
        source, target = self.folder / f"{number}.pdf", self.folder / f"{number}-signe.pdf"
        source.write_bytes(document)
        asyncio.run(pades.sign(source, target, signer))
        return target.read_bytes()


def software(pair: tuple[x509.Certificate, rsa.RSAPrivateKey]) -> signers.SimpleSigner:
    """What signs with a key of a file."""
    der, private = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
    return signers.SimpleSigner(
        signing_cert=asn1_x509.Certificate.load(pair[0].public_bytes(der)),
        signing_key=keys.PrivateKeyInfo.load(pair[1].private_bytes(der, private, serialization.NoEncryption())),
        cert_registry=SimpleCertificateStore(),
    )


@pytest.fixture(scope="session")
def pens(store: Parapheur, tmp_path_factory: pytest.TempPathFactory) -> Pens:
    folder = tmp_path_factory.mktemp("jetons")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n", encoding="ascii")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    return Pens(store.home / "prestataire", folder)


@pytest.fixture(scope="session")
def stranger(pens: Pens) -> token.TokenKey:
    """A key under the same name, whose authority nobody admitted."""
    folder = pens.folder / "etranger"
    Authority(folder, Passphrases(folder, generate=True)).ensure(
        Settings("Ailleurs", "Ailleurs", "1.3.6.1.4.1.59999.1")
    )
    return Pens(folder, pens.folder).certificate("Claire Dubois", SIRENS["gondecourt"])[1]


@pytest.fixture(scope="session")
def claire(pens: Pens) -> token.TokenKey:
    """The key of the maire of Gondecourt."""
    return pens.certificate("Claire Dubois", SIRENS["gondecourt"])[1]


@pytest.fixture
def refresh_lists(pytestconfig: pytest.Config, store: Parapheur, tmp_path: Path) -> Callable[[], tuple[int, str]]:
    """What ``fab parapheur.revocations`` does with lists published over HTTP; gives its status and output."""
    published = store.home / "prestataire" / "publie"
    # In the order of the lab's own file, to which servers are compared by what comes after.
    kept = {name: str(tmp_path / f"{rank}-{name}.pem") for rank, name in enumerate(("racine.crl", "emettrice.crl"))}

    def run() -> tuple[int, str]:
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(published))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}"
            given = {
                "parapheur_signers_crl_urls": [{"url": f"{url}/{name}", "path": kept[name]} for name in kept],
                "parapheur_signers_crl_files": list(kept.values()),
            }
            command = ["ansible-playbook", "-i", str(pytestconfig.getoption("--environment"))]
            command += ["playbooks/journeys/signer_lists.yml", "-e", json.dumps(given)]
            done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
            server.shutdown()
        return done.returncode, done.stdout + done.stderr

    return run
