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
from ansible.module_utils.testing import patch_module_args
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import revocation_lists
from ansible_collections.cdg59.creatic.plugins.modules import revocation_lists as module
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
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


def test_a_list_has_a_largest_size(
    provider: Ca, site: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert revocation_lists.MAX_BYTES == 20 * 1024 * 1024
    folder, url = site
    content = provider.revoke(7)
    (folder / "liste.crl").write_bytes(content)
    monkeypatch.setattr(revocation_lists, "MAX_BYTES", len(content))
    assert module.fetch(f"{url}/liste.crl") == content
    (folder / "liste.crl").write_bytes(b"x" * (2 * 1024 * 1024 + 1))
    monkeypatch.setattr(revocation_lists, "MAX_BYTES", 2 * 1024 * 1024)
    with pytest.raises(ValueError, match=r"^plus de 2 Mo$"):
        module.fetch(f"{url}/liste.crl")


def test_authorities_that_cannot_be_read_are_told(provider: Ca, tmp_path: Path) -> None:
    good, bad = tmp_path / "bonne.pem", tmp_path / "absente.pem"
    good.write_bytes(provider.certificate.public_bytes(Encoding.PEM))
    assert revocation_lists.authorities([good, good]) == [provider.certificate, provider.certificate]
    with pytest.raises(StateError, match=r"absente.pem : certificats d'autorité illisibles \("):
        revocation_lists.authorities([good, bad])


def test_an_authority_whose_key_cannot_judge_did_not_sign(provider: Ca) -> None:
    """Of the same name, but with a key of another kind."""
    key = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateBuilder().subject_name(provider.name).issuer_name(provider.name)
    builder = builder.public_key(key.public_key()).serial_number(2).not_valid_before(NOW).not_valid_after(NOW + DAY)
    other = builder.sign(key, hashes.SHA256())
    with pytest.raises(StateError, match=r"^elle n'est signée par aucune des autorités admises"):
        revocation_lists.check(provider.revoke(7), [other], NOW)
    assert revocation_lists.check(provider.revoke(7), [other, provider.certificate], NOW)


def test_a_list_is_of_today(provider: Ca) -> None:
    issuers = [provider.certificate]
    assert revocation_lists.check(provider.revoke(7, since=0 * DAY), issuers, NOW)
    with pytest.raises(StateError, match=r"^elle est datée du futur"):
        revocation_lists.check(provider.revoke(7, since=0 * DAY), issuers, NOW - dt.timedelta(seconds=1))
    with pytest.raises(StateError, match=r"^elle est périmée"):
        revocation_lists.check(provider.revoke(7, until=0 * DAY), issuers, NOW)


class Ended(Exception):
    """What the module said last."""


def run_module(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], check: bool = False) -> dict[str, Any]:
    """The module in this process, and its answer."""

    def end(_self: object, **answer: Any) -> None:
        raise Ended(answer)

    monkeypatch.setattr(module.AnsibleModule, "exit_json", end)
    monkeypatch.setattr(module.AnsibleModule, "fail_json", lambda _self, **answer: end(_self, failed=True, **answer))
    with patch_module_args(given | {"_ansible_check_mode": check}), pytest.raises(Ended) as ended:
        module.main()
    answer: dict[str, Any] = ended.value.args[0]
    return answer


def test_the_module_checks_then_writes(
    provider: Ca, site: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = site
    (folder / "liste.crl").write_bytes(provider.revoke(7))
    authority, kept = tmp_path / "ca.pem", tmp_path / "liste.pem"
    authority.write_bytes(provider.certificate.public_bytes(Encoding.PEM))
    given = {"lists": [{"url": f"{url}/liste.crl", "path": str(kept)}], "ca_files": [str(authority)]}
    for check, there in ((True, False), (False, True)):
        answer = run_module(monkeypatch, given, check)
        assert (answer["changed_names"], kept.exists()) == ([str(kept)], there)
        assert "failed" not in answer
    assert run_module(monkeypatch, given)["changed_names"] == []
    assert "illisibles" in run_module(monkeypatch, given | {"ca_files": [f"{authority}.absent"]})["msg"]


@pytest.mark.parametrize(
    "given",
    [
        {
            "lists": [],
        },
        {"ca_files": []},
        {"lists": [{"url": "http://x"}], "ca_files": []},
        {"lists": [{"path": "/x"}], "ca_files": []},
    ],
)
def test_the_module_wants_all_its_arguments(monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> None:
    assert "missing required arguments" in run_module(monkeypatch, given)["msg"]
