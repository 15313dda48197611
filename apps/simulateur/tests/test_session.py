"""Who is connected: certificates, accounts, RGS, TLS."""

from __future__ import annotations

import html
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from simulator_harness import OTHER_SIREN, SIREN, Client, Pki, serving
from tdt_simulator.testing import TdtServer

GROUP_SIREN = "200093201"
"""Its certificate opens two accounts (see conftest)."""


def test_connection_rgs_and_login(client: Client) -> None:
    assert client.get("/api/test-connexion.php").text == "OK"
    assert client.get("/api/test-rgs.php").text == "OK"
    assert client.get("/admin/users/api-list-login.php").text == f"{SIREN}\n"


def test_certificate_without_the_policy_is_not_rgs(connect: Callable[..., Client]) -> None:
    for policy in (None, "1.2.3.4"):
        client = connect(policy=policy)
        assert client.get("/api/test-connexion.php").text == "OK"
        assert client.get("/api/test-rgs.php").text == "KO"


def test_unknown_siren_opens_nothing(connect: Callable[..., Client]) -> None:
    stranger = connect("215999999")
    answer = stranger.get("/api/test-connexion.php")
    assert html.unescape(answer.text) == "KO\nLe certificat n'est pas valide : aucun compte trouvé\n"
    assert stranger.get("/admin/users/api-list-login.php").content == b""
    assert "plusieurs comptes" not in stranger.get("/").text
    assert stranger.get("/modules/actes/actes_create_pdf.php").headers["Location"] == "/connexion-status"


def test_siret_stands_for_its_siren(connect: Callable[..., Client]) -> None:
    assert connect(f"{SIREN}00018").get("/api/test-connexion.php").text == "OK"


def test_certificate_without_siren_opens_nothing(connect: Callable[..., Client]) -> None:
    assert connect("12345").get("/api/test-connexion.php").text.startswith("KO\n")


def test_login_chooses_among_accounts(connect: Callable[..., Client], platform: TdtServer) -> None:
    group = connect(GROUP_SIREN)
    assert group.get("/admin/users/api-list-login.php").text == "gondecourt\navesnes\n"
    several = group.get("/api/test-connexion.php")
    assert html.unescape(several.text) == "KO\nLa connexion n'a pas pu être établie\n"
    page = group.get("/")
    assert page.status_code == 403
    assert "Ce certificat ouvre plusieurs comptes" in page.text
    assert group.get("/modules/actes/actes_create_pdf.php").headers["Location"] == "/login.php"
    group.session.auth = ("avesnes", "secret-a")
    assert group.get("/api/test-connexion.php").text == "OK"
    assert group.deposited("A1")
    assert platform.acts()[0]["siren"] == OTHER_SIREN


@pytest.mark.parametrize("login", [("avesnes", "secret-g"), ("avesnes", ""), ("inconnu", "secret-a")])
def test_wrong_password(connect: Callable[..., Client], login: tuple[str, str]) -> None:
    group = connect(GROUP_SIREN)
    group.session.auth = login
    assert "aucun compte" in group.get("/api/test-connexion.php").text


def test_login_of_somebody_elses_certificate(client: Client) -> None:
    client.session.auth = ("avesnes", "secret-a")
    assert client.get("/api/test-connexion.php").text.startswith("KO\n")


def refused_in_tls(server: TdtServer, pki: Pki, cert: tuple[str, str] | None) -> bool:
    """Tell whether the handshake fails with this certificate."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(pki.certificate)
    session.cert = cert
    try:
        session.get(f"{server.url}/api/test-connexion.php", timeout=120)
    except (requests.exceptions.SSLError, requests.exceptions.ConnectionError):
        return True
    return False


def test_tls_refuses_bad_certificates(pki: Pki, tmp_path: Path) -> None:
    stranger = Pki(tmp_path, "etrangere")
    good, revoked = pki.issue("bon", siren=SIREN), pki.issue("revoque", siren=SIREN)
    with serving(pki, tmp_path / "tdt", crl=pki.crl("revoque")) as server:
        assert not refused_in_tls(server, pki, good)
        assert refused_in_tls(server, pki, None)
        assert refused_in_tls(server, pki, revoked)
        assert refused_in_tls(server, pki, pki.issue("expire", siren=SIREN, days=-1))
        assert refused_in_tls(server, pki, stranger.issue("autre", siren=SIREN))


def test_header_cannot_forge_a_certificate(client: Client, connect: Callable[..., Client], pki: Pki) -> None:
    other = (pki.folder / f"client-{SIREN}-1.3.6.1.4.1.59999.59.1.1.pem").read_text()
    forged = quote(other)
    stranger = connect("215999999")
    answer = stranger.get("/api/test-connexion.php", headers={"X-SSL-Client-Cert": forged})
    assert answer.text.startswith("KO\n")
    # Without a certificate from the TLS layer, the header counts on nginx's unix socket only.
    app = client.server.app.test_client()
    header = {"X-SSL-Client-Cert": forged}
    for address, expected in (("", b"OK"), ("127.0.0.1", b"KO"), ("10.0.0.1", b"KO")):
        reply = app.get("/api/test-connexion.php", headers=header, environ_overrides={"REMOTE_ADDR": address})
        assert reply.get_data()[:2] == expected


def test_stop_and_start_keep_what_was_received(client: Client, platform: TdtServer) -> None:
    address = platform.url
    client.deposited("A1")
    platform.stop()
    with pytest.raises(requests.exceptions.ConnectionError):
        client.get("/")
    platform.start()
    assert platform.url == address
    assert client.deposit("A1").text.startswith("KO\n")


def test_forms_sent_where_one_only_asks_are_taken(client: Client, platform: TdtServer) -> None:
    """Pastell asks for the logins with the form, and the file, of the deposit that follows."""
    files = {"acte_pdf_file": ("acte.pdf", b"%PDF-" + b"0" * (1 << 20))}
    for address, answer in (
        ("/admin/users/api-list-login.php", f"{SIREN}\n"),
        ("/api/test-connexion.php", "OK"),
        ("/api/test-rgs.php", "OK"),
    ):
        assert client.post(address, data={"api": "1", "id": "7"}, files=files).text == answer
    classification = client.post("/modules/actes/actes_classification_fetch.php", data={"api": "1"}, files=files)
    assert classification.content == client.get("/modules/actes/actes_classification_fetch.php?api=1").content
    assert client.get("/modules/actes/actes_transac_create.php?api=1").text.startswith("KO\n")
    assert platform.acts() == []


def test_who_connects_and_says_nothing_keeps_nobody_else_waiting(client: Client, platform: TdtServer) -> None:
    address, port = platform.url.removeprefix("https://").split(":")
    with socket.create_connection((address, int(port))):
        assert client.session.get(f"{platform.url}/modules/actes/api/actes_status.php", timeout=20).ok
