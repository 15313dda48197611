"""The platform on its host: service, sandbox, TLS, client certificates, CRLs, administration."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from testinfra.host import Host

from tests.profiles.services import as_root, exposure, properties

Visit = Callable[..., Any]


@pytest.mark.parametrize(
    "unit",
    [
        *("tdt-simulator.socket", "tdt-simulator.service"),
        *("nginx", "nginx-tls-trust.path", "nginx-tls-connexions", "nginx-tls-logs"),
    ],
)
def test_units_run_now_and_after_a_reboot(host: Host, unit: str) -> None:
    assert properties(host, unit, "ActiveState", "UnitFileState") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
    }


def test_application_is_sandboxed(host: Host) -> None:
    assert exposure(host, "tdt-simulator.service") <= 2.0
    assert properties(host, "tdt-simulator", "User", "NoNewPrivileges", "PrivateNetwork", "ProtectSystem") == {
        "User": "tdt-simulator",
        "NoNewPrivileges": "yes",
        "PrivateNetwork": "yes",
        "ProtectSystem": "strict",
    }


def test_only_https_listens_outside(host: Host) -> None:
    lines = as_root(host, "ss -Hltnp").splitlines()
    served = [line for line in lines if re.search(r"nginx|gunicorn|systemd", line)]
    addresses = {line.split()[3] for line in served}
    assert addresses == {"0.0.0.0:443", "[::]:443", "127.0.0.1:8059"}


def test_no_default_site(host: Host) -> None:
    effective = as_root(host, "nginx -T 2>/dev/null")
    assert "listen 80" not in effective
    assert "snakeoil" not in effective
    assert effective.count("ssl_reject_handshake on;") == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_modern_tls_is_spoken(visit: Visit, probe_certificate: Path, version: ssl.TLSVersion) -> None:
    answer = visit("/api/test-connexion.php", probe_certificate, version=version)
    assert answer.text == "OK"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused(visit: Visit, probe_certificate: Path, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        visit("/", probe_certificate, version=version)


def test_weak_suites_are_refused(host: Host) -> None:
    command = "openssl s_client -connect 127.0.0.1:443 -servername tdt.creatic.test -tls1_2 -cipher {} </dev/null 2>&1"
    for suite in ("AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AES256-GCM-SHA384"):
        assert "Cipher is (NONE)" in host.run(command.format(f"{suite}:@SECLEVEL=0")).stdout
    assert "Cipher is ECDHE-ECDSA-AES256-GCM-SHA384" in host.run(command.format("ALL")).stdout


def test_unknown_name_gets_no_handshake(visit: Visit, probe_certificate: Path) -> None:
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        visit("/", probe_certificate, server_name="autre.creatic.test")


def test_sessions_are_not_resumed(host: Host) -> None:
    command = (
        "openssl s_client -connect 127.0.0.1:443 -servername tdt.creatic.test -reconnect -tls1_2 </dev/null 2>/dev/null"
    )
    output = host.run(command).stdout
    assert output.count("New, TLSv1.2") >= 2
    assert "Reused" not in output


def test_no_certificate_is_refused_in_french(visit: Visit) -> None:
    answer = visit("/api/test-connexion.php")
    assert answer.status == 400
    assert "Aucun certificat n’a été présenté" in answer.text
    assert "OK" not in answer.text.split()


def test_stranger_is_refused_in_french(visit: Visit, stranger_certificate: Path) -> None:
    answer = visit("/api/test-connexion.php", stranger_certificate)
    assert answer.status == 400
    assert "autorité reconnue par cette plateforme" in answer.text


def test_groupements_certificate_is_accepted(visit: Visit, probe_certificate: Path) -> None:
    assert visit("/api/test-connexion.php", probe_certificate).text == "OK"
    assert visit("/api/test-rgs.php", probe_certificate).text == "OK"
    page = visit("/", probe_certificate)
    assert page.status == 200
    assert "CN = Sonde" in page.text


def test_security_headers(visit: Visit, probe_certificate: Path) -> None:
    for certificate in (probe_certificate, None):
        headers = visit("/", certificate).headers
        assert headers["Strict-Transport-Security"] == "max-age=31536000"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Server"] == "nginx"


def test_crls_cover_every_authority_and_are_current(host: Host) -> None:
    effective = as_root(host, "nginx -T 2>/dev/null")
    found = re.search(r"^\s*ssl_crl (\S+);", effective, re.MULTILINE)
    trusted = re.search(r"^\s*ssl_client_certificate (\S+);", effective, re.MULTILINE)
    assert found is not None
    assert trusted is not None
    with host.sudo():
        crl_text, ca_text = host.file(found[1]).content, host.file(trusted[1]).content
    blocks = re.findall(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----\n", crl_text, re.DOTALL)
    crls = {crl.issuer: crl for crl in map(x509.load_pem_x509_crl, blocks)}
    authorities = x509.load_pem_x509_certificates(ca_text)
    assert authorities
    for authority in authorities:
        crl = crls[authority.subject]
        assert crl.next_update_utc is not None
        assert crl.next_update_utc > datetime.now(UTC)


def test_nginx_serves_the_crl_of_the_host(host: Host) -> None:
    """A CRL published later is in nginx's copy: the watch has joined it."""
    with host.sudo():
        published = host.file("/etc/creatic/pki/crl.pem").content
        served = host.file("/etc/nginx/creatic/tdt.crl.pem").content
    assert served.startswith(published)


def test_administration_is_not_reachable_from_outside(host: Host, visit: Visit, probe_certificate: Path) -> None:
    assert visit("/_simulateur/actes", probe_certificate).status == 404
    assert visit("/.coupure", probe_certificate).status == 404
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8059/_simulateur/fautes').read().decode())"
    assert isinstance(json.loads(as_root(host, f'python3 -c "{script}"')), dict)


def test_large_requests_are_taken_up_to_the_limit(host: Host, visit: Visit, probe_certificate: Path) -> None:
    effective = as_root(host, "nginx -T 2>/dev/null")
    assert re.search(r"^\s*client_max_body_size 200m;", effective, re.MULTILINE)
    answer = visit("/modules/actes/actes_transac_create.php", probe_certificate, body=b"x" * (3 << 20))
    assert answer.status == 200
    assert answer.text.startswith("KO\n")
