"""Lists of other authorities, fetched over HTTP: nothing that cannot be used replaces what is kept."""

from __future__ import annotations

import datetime as dt
import functools
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils import revocation_lists
from ansible_collections.cdg59.creatic.plugins.modules import revocation_lists as module
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)


class Ca:
    """An authority that publishes a list."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder().subject_name(self.name).issuer_name(self.name)
        builder = builder.public_key(self.key.public_key()).serial_number(1)
        builder = builder.not_valid_before(NOW - 9 * DAY).not_valid_after(NOW + 99 * DAY)
        self.certificate = builder.sign(self.key, hashes.SHA256())

    def revoke(self, *serials: int, since: dt.timedelta = DAY, until: dt.timedelta = 6 * DAY) -> bytes:
        """A list, DER."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(NOW - since).next_update(NOW + until)
        for serial in serials:
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - since)
            builder = builder.add_revoked_certificate(one.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def provider() -> Ca:
    return Ca("Prestataire")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder published over HTTP, and its address."""
    folder = tmp_path / "publie"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def refresh(provider: Ca, url: str, kept: Path, **options: Any) -> tuple[list[str], list[str]]:
    changes, faults = revocation_lists.refresh(
        [revocation_lists.Source(url, kept)], [provider.certificate], module.fetch, NOW, **options
    )
    return [change.name for change in changes], faults


@pytest.mark.parametrize("pem", [False, True])
def test_a_new_list_is_kept_once(provider: Ca, site: tuple[Path, str], tmp_path: Path, pem: bool) -> None:
    folder, url = site
    content = provider.revoke(7)
    if pem:
        content = x509.load_der_x509_crl(content).public_bytes(Encoding.PEM)
    (folder / "liste.crl").write_bytes(content)
    kept = tmp_path / "listes" / "liste.pem"
    assert refresh(provider, f"{url}/liste.crl", kept, check_only=True) == ([str(kept)], [])
    assert not kept.exists()
    assert refresh(provider, f"{url}/liste.crl", kept) == ([str(kept)], [])
    assert [one.serial_number for one in x509.load_pem_x509_crl(kept.read_bytes())] == [7]
    assert refresh(provider, f"{url}/liste.crl", kept) == ([], [])


def test_what_cannot_be_used_replaces_nothing_and_says_why(
    provider: Ca, site: tuple[Path, str], tmp_path: Path
) -> None:
    folder, url = site
    kept = tmp_path / "liste.pem"
    (folder / "liste.crl").write_bytes(provider.revoke(7))
    refresh(provider, f"{url}/liste.crl", kept)
    before = kept.read_bytes()
    foreign, usurped = Ca("Autre"), Ca("Prestataire")  # the second one bears the name, not the key
    cases = {
        "ce n'est pas une liste de révocation": b"<html>maintenance</html>",
        "elle n'est signée par aucune des autorités admises (elle se dit de CN=Autre)": foreign.revoke(),
        "elle n'est signée par aucune des autorités admises (elle se dit de CN=Prestataire)": usurped.revoke(),
        "elle est périmée": provider.revoke(7, since=8 * DAY, until=-DAY),
        "elle est datée du futur": provider.revoke(7, since=-DAY),
        "plus ancienne que celle qui est gardée": provider.revoke(since=2 * DAY),
    }
    for reason, content in cases.items():
        (folder / "liste.crl").write_bytes(content)
        changes, (fault,) = refresh(provider, f"{url}/liste.crl", kept)
        assert changes == [] and fault.startswith(f"{url}/liste.crl : {reason}"), fault
        assert f"{kept} est gardée, elle est valable jusqu'au" in fault
        assert kept.read_bytes() == before
    _, (fault,) = refresh(provider, f"{url}/rien.crl", kept)
    assert "404" in fault
    kept.write_text(
        x509.load_der_x509_crl(provider.revoke(since=9 * DAY, until=-2 * DAY)).public_bytes(Encoding.PEM).decode()
    )
    assert "plus personne ne peut signer" in refresh(provider, f"{url}/rien.crl", kept)[1][0]
    kept.unlink()
    assert "personne ne pourra signer avec cette autorité" in refresh(provider, f"{url}/rien.crl", kept)[1][0]


def test_the_module_keeps_the_good_ones_then_fails(provider: Ca, site: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = site
    (folder / "liste.crl").write_bytes(provider.revoke(7))
    authority = tmp_path / "ca.pem"
    authority.write_bytes(provider.certificate.public_bytes(Encoding.PEM))
    good, bad = tmp_path / "bonne.pem", tmp_path / "mauvaise.pem"
    given = {
        "lists": [{"url": f"{url}/rien.crl", "path": str(bad)}, {"url": f"{url}/liste.crl", "path": str(good)}],
        "ca_files": [str(authority)],
    }
    command = [sys.executable, "-m", "ansible_collections.cdg59.creatic.plugins.modules.revocation_lists"]
    done = subprocess.run(
        command,
        input=json.dumps({"ANSIBLE_MODULE_ARGS": given}),
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3] / "collections",
    )
    told = json.loads(done.stdout)
    assert told["failed"] and told["changed_names"] == [str(good)]
    assert f"{url}/rien.crl" in told["msg"] and good.exists() and not bad.exists()
