"""The expiry watch of a host: creatic-certificats."""

from __future__ import annotations

import datetime as dt
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.host import HostStore, Wanted
from creatic_certificats import cli, probe, report
from creatic_certificats.inventory import Watched, certificates, crls, read_certificate

from creatic.pki.authority import Authority
from creatic.pki.registry import Owner

from .conftest import CLIENT, HOST, openssl


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    return tmp_path / "etc"


def install(authority: Authority, etc: Path, request: Request = CLIENT, host: str = HOST.host) -> Watched:
    """Have a certificate on a machine; returns it as the watch sees it."""
    store, published = HostStore(etc / "pki"), authority.published()
    store.trust(published["ca"], published["crl"], published["history"])
    wanted = Wanted(request)
    csr = store.inspect(wanted, published["chain"], 30)["csr"]
    store.install(wanted, authority.issue(csr, request, Owner(host)).pem, published["chain"])
    return next(one for one in certificates(etc) if one.name == request.name)


def client_of_a_server(authority: Authority, etc: Path) -> Watched:
    """Have a server's certificate and a client's on a machine; returns the client's."""
    install(authority, etc, LOCAL)
    return install(authority, etc)


def in_days(one: Watched, days: int) -> dt.datetime:
    """The instant when `days` whole days are left."""
    assert one.end is not None
    return one.end - dt.timedelta(days=days, hours=1)


def test_every_source_is_read(authority: Authority, etc: Path, tmp_path: Path) -> None:
    install(authority, etc)
    folder = etc / "certificats.d"
    folder.mkdir()
    public = (etc / "pki/tdt/current/cert.pem").read_bytes()
    (folder / "jeton.pem").write_bytes(public)
    (tmp_path / "der.cer").write_text("")
    openssl("x509", "-in", etc / "pki/tdt/current/cert.pem", "-outform", "DER", "-out", tmp_path / "der.cer")
    (folder / "autres.conf").write_text(f"# deux autres\n\nnss = {tmp_path}/der.cer\nperdu = /nulle/part.pem\nfaux\n")
    found = {one.name: one for one in certificates(etc)}
    assert set(found) == {"tdt", "jeton", "nss", "perdu", "autres"}
    assert found["jeton"].serial == found["nss"].serial == found["tdt"].serial
    assert "illisible (il n'existe pas" in found["perdu"].problem
    assert "ligne 5" in found["autres"].problem
    assert crls(etc)[0].name == "CRL AC racine Cre@tic essai"


def test_table_in_french(authority: Authority, etc: Path) -> None:
    one = install(authority, etc)
    text = report.table([one, *crls(etc)], in_days(one, 200))
    assert set(text.splitlines()[1]) == {"─", " "}
    assert text.splitlines()[0].split() == ["Nom", "Titulaire", "Expire", "le", "Jours", "État"]
    assert re.search(rf"^tdt +Connecteur de Gondecourt +{one.end:%d/%m/%Y} +200 +valide$", text, re.M)
    assert report.table([], in_days(one, 1)) == "Aucun certificat sur cette machine.\n"


def test_columns_are_straight_with_accents_in_two_parts(authority: Authority, etc: Path) -> None:
    one = install(authority, etc)
    lost = Watched("perdu", etc, None, problem="certificat absent")
    end = f"{one.end:%d/%m/%Y}"
    found = [replace(one, name="e\u0301le\u0301"), replace(one, name="ele"), lost]
    assert report.table(found, in_days(one, 200)).splitlines() == [
        "Nom    Titulaire                 Expire le   Jours  État",
        "─────  ────────────────────────  ──────────  ─────  ─────────────────",
        f"e\u0301le\u0301    Connecteur de Gondecourt  {end}  200    valide",
        f"ele    Connecteur de Gondecourt  {end}  200    valide",
        "perdu                            ?           ?      certificat absent",
    ]


@pytest.mark.parametrize(
    ("days", "level", "said"),
    [
        (90, "", ""),
        (89, "<5>", "expire dans 89 jours.*seuil de 90 jours"),
        (60, "<5>", "seuil de 90 jours"),
        (59, "<4>", "seuil de 60 jours"),
        (30, "<4>", "seuil de 60 jours"),
        (29, "<3>", "seuil de 30 jours"),
        (2, "<3>", "expire dans 2 jours,"),
        (1, "<3>", "expire dans 1 jour,"),
        (-1, "<2>", "a expiré le"),
    ],
)
def test_journal_is_told_at_90_60_30_days(authority: Authority, etc: Path, days: int, level: str, said: str) -> None:
    one = install(authority, etc)
    lines = report.warnings([one], in_days(one, days))
    assert len(lines) == (1 if said else 0)
    for line in lines:
        assert line.startswith(f"{level}Le certificat « tdt » (Connecteur de Gondecourt)")
        assert re.search(said, line)
    assert (report.state(one, in_days(one, days)) == "valide") == (not said)


def test_a_crl_is_told_before_it_blocks_everyone(authority: Authority, etc: Path) -> None:
    install(authority, etc)
    crl = crls(etc)[1]
    assert report.warnings([crl], in_days(crl, 11)) == []
    assert "les serveurs refusent tout certificat" in report.warnings([crl], in_days(crl, 9))[0]
    assert report.warnings([crl], in_days(crl, -1))[0].startswith("<2>")


def test_an_unreadable_certificate_is_told(etc: Path) -> None:
    (etc / "pki" / "tdt" / "current").mkdir(parents=True)
    now = dt.datetime.now(dt.UTC)
    assert "certificat absent" in report.warnings(certificates(etc), now)[0]
    (etc / "pki/tdt/current/cert.pem").write_text("abîmé")
    assert "n'est pas un certificat" in report.warnings(certificates(etc), now)[0]
    assert 'creatic_certificate_unreadable{nom="tdt",' in report.metrics(certificates(etc), now)


def test_metrics_hold_to_the_text_format(authority: Authority, etc: Path) -> None:
    odd = Request("tdt", "client", 'Guillemets " et \\', "Commune de Gondecourt", "215902669")
    one = install(authority, etc, odd)
    (etc / "certificats.d").mkdir()
    (etc / "certificats.d/double.conf").write_text(f"x = {one.path}\nx = {one.path}\n")
    now = in_days(one, 42)
    text = report.metrics([*certificates(etc), *crls(etc)], now)
    sample = re.compile(r'[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\[\\"n])*"(,[a-z]+="(?:[^"\\\n]|\\[\\"n])*")*\})? -?[0-9]+')
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(sample.fullmatch(line) for line in lines), lines
    assert len({line.rsplit(" ", 1)[0] for line in lines}) == len(lines)
    assert any(line.startswith("creatic_certificate_days_left") and line.endswith(" 42") for line in lines)
    assert f"creatic_certificate_watch_timestamp_seconds {now.timestamp():.0f}" in lines


def test_command_line(authority: Authority, etc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(authority, etc)
    assert cli.main(["--etc", str(etc)]) == 0 and "Connecteur de Gondecourt" in capsys.readouterr().out
    target = tmp_path / "certificats.prom"
    assert cli.main(["--etc", str(etc), "surveiller", "--metriques", str(target)]) == 0
    assert "creatic_certificate_days_left" in target.read_text() and target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.glob(".certificats*")] == []
    assert cli.main(["--etc", str(etc), "surveiller", "--metriques", "/nulle/part"]) == 2


# -- proofs ----------------------------------------------------------------------------------------------


@contextmanager
def serving(etc: Path, status: int = 200, name: str = "web") -> Iterator[int]:
    """A TLS server with that certificate of the machine, which asks for a client's and checks the CRLs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = etc / "pki" / name / "current"
    context.load_cert_chain(folder / "fullchain.pem", folder / "key.pem")
    context.load_verify_locations(etc / "pki/ca.pem")
    context.load_verify_locations(etc / "pki/crl.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes are what is tested
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


LOCAL = Request("web", "server", "localhost", dns=("localhost",))


def test_a_server_shows_its_certificate_or_an_old_one(authority: Authority, etc: Path) -> None:
    old = install(authority, etc, LOCAL)
    with serving(etc) as port:
        assert probe.served(old, etc, "127.0.0.1", port) == ""
        new = install(authority, etc, Request(**LOCAL.__dict__ | {"organization": "Groupement"}))
        assert f"montre encore le certificat n° {old.serial}" in probe.served(new, etc, "127.0.0.1", port)
        options = ["--etc", str(etc), "prouver", "--port", str(port)]
        assert cli.main(options) == 1
    with serving(etc) as port:
        assert cli.main([*options[:-1], str(port)]) == 0


def test_the_figures_certificate_is_asked_for_where_it_is_shown(
    authority: Authority, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "metriques"
    install(authority, etc, Request(**LOCAL.__dict__ | {"name": name}))
    assert cli.PORTS[name] == 9100
    with serving(etc, name=name) as port:
        monkeypatch.setitem(cli.PORTS, name, port)
        assert cli.main(["--etc", str(etc), "prouver"]) == 0


def test_a_server_with_a_revoked_certificate_is_refused(authority: Authority, etc: Path) -> None:
    one = install(authority, etc, LOCAL)
    authority.revoke("compromission", serial=one.serial)
    HostStore(etc / "pki").trust(*(authority.published()[part] for part in ("ca", "crl", "history")))
    with serving(etc) as port:
        assert "certificate revoked" in probe.served(one, etc, "127.0.0.1", port)


def test_a_client_is_accepted_then_refused_once_revoked(
    authority: Authority, etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = client_of_a_server(authority, etc)
    with serving(etc) as port:
        assert probe.accepted(one, etc, f"https://localhost:{port}/") == ""
        proof = ["--etc", str(etc), "prouver", "--port", str(port), "--url", f"https://localhost:{port}/"]
        assert cli.main(proof) == 0
        assert cli.main([*proof, "--refuse", one.serial]) == 1
    authority.revoke("cessation", serial=one.serial)
    HostStore(etc / "pki").trust(*(authority.published()[part] for part in ("ca", "crl", "history")))
    with serving(etc) as port:
        url = f"https://localhost:{port}/"
        assert "refusé par localhost" in probe.accepted(one, etc, url)
        proof = ["--etc", str(etc), "prouver", "--url", url]
        capsys.readouterr()
        assert cli.main([*proof, "--refuse", one.serial]) == 0
        assert f"✔ tdt (n° {one.serial}) : refusé par localhost" in capsys.readouterr().out
        renewed = install(authority, etc)
        assert renewed.serial != one.serial and cli.main([*proof, "--refuse", one.serial]) == 0
        assert f"n° {one.serial}" in capsys.readouterr().out


def test_a_certificate_for_the_supervision_is_shown_to_no_tdt(authority: Authority, etc: Path) -> None:
    one = install(authority, etc, Request("journaux", "supervision", "loos-pc", dns=("loos-pc",)))
    assert one.is_client and one.names_a_machine
    assert cli.main(["--etc", str(etc), "prouver", "--url", "https://localhost:1/"]) == 3  # nothing to try


@pytest.mark.parametrize("status", [400, 403, 495, 496])
def test_an_http_refusal_is_a_refusal(authority: Authority, etc: Path, status: int) -> None:
    one = client_of_a_server(authority, etc)
    with serving(etc, status) as port:
        assert f"(HTTP {status})" in probe.accepted(one, etc, f"https://localhost:{port}/")


def test_what_cannot_be_tried_proves_nothing(
    authority: Authority, etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = client_of_a_server(authority, etc)
    with serving(etc) as port:
        free = port
    with pytest.raises(probe.ProbeError, match="ne répond pas"):
        probe.accepted(one, etc, f"https://localhost:{free}/")
    assert cli.main(["--etc", str(etc), "prouver", "--refuse", one.serial, "--url", f"https://localhost:{free}/"]) == 2
    assert cli.main(["--etc", str(etc), "prouver", "--refuse", "0" * 40]) == 3
    with serving(etc) as port, pytest.raises(probe.ProbeError, match="certificat du serveur est refusé"):
        probe.accepted(one, etc, f"https://127.0.0.1:{port}/")


def test_what_is_no_certificate_is_for_nobody(authority: Authority, etc: Path) -> None:
    lost = Watched("perdu", etc / "perdu.pem", None, problem="illisible")
    assert not lost.is_server
    assert not lost.is_client
    assert probe.served(lost, etc, "127.0.0.1", 1) == "illisible"
    assert report.state(lost, dt.datetime.now(dt.UTC)) == "illisible"
    root = read_certificate("racine", authority.directory / "publie" / "racine.pem")  # no extended usage
    assert (root.is_server, root.is_client, root.is_crl) == (False, False, False)


def test_a_certificate_that_expires_within_the_hours_is_told(authority: Authority, etc: Path) -> None:
    one = install(authority, etc)
    assert one.end is not None
    told = report.warnings([one], one.end - dt.timedelta(hours=3))
    assert told[0].startswith("<3>Le certificat « tdt » (Connecteur de Gondecourt) expire dans 0 jour, le ")
    assert report.state(one, one.end - dt.timedelta(hours=3)) == "à renouveler (moins de 30 jours)"
    assert report.state(one, one.end + dt.timedelta(hours=3)) == "expiré"


def test_revocation_lists_that_are_missing_damaged_or_late(authority: Authority, etc: Path) -> None:
    assert crls(etc) == []
    install(authority, etc)
    late = crls(etc)[1]
    assert report.state(late, in_days(late, 10)) == "valide"
    assert report.state(late, in_days(late, 9)) == "périmée bientôt"
    assert report.warnings([late], in_days(late, 10)) == []
    assert report.warnings([late], in_days(late, 9))[0].startswith("<4>")
    assert late.end is not None
    assert report.warnings([late], late.end - dt.timedelta(hours=3))[0].startswith("<4>CRL AC ")
    (etc / "pki/crl.pem").write_text("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    [damaged] = crls(etc)
    assert damaged.problem == "liste de révocation illisible"


def test_a_silent_server_and_a_lost_key_prove_nothing(authority: Authority, etc: Path) -> None:
    server = install(authority, etc, LOCAL)
    one = install(authority, etc)
    with serving(etc) as port:
        free = port
    with pytest.raises(probe.ProbeError, match=f"^localhost ne répond pas sur 127.0.0.1, port {free} : "):
        probe.served(server, etc, "127.0.0.1", free)
    one.path.with_name("key.pem").unlink()
    with pytest.raises(probe.ProbeError, match=r"^certificat « tdt » : clé ou chaîne illisible"):
        probe.accepted(one, etc, "https://localhost/")


def test_a_client_without_an_address_to_try_is_left_out(
    authority: Authority, etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(authority, etc)
    assert cli.main(["--etc", str(etc), "prouver"]) == 3
    assert capsys.readouterr().out == "Aucun certificat à éprouver sur cette machine.\n"
