"""The enrolment door over real TLS: what a PC gets, what is refused and told, whatever comes and whenever it stops."""

from __future__ import annotations

import base64
import datetime as dt
import http.client
import io
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from creatic_enrolement import cli, store, web
from creatic_enrolement.store import Store
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from creatic_agent import enrolment as proof
from creatic_agent.identity import HEADER, Identity, Kind, identity_of
from testbed.connector import SIREN, Authority
from tests.unit.in_memory import in_memory  # noqa: F401 - the fixture tmp_path

NOW = dt.datetime(2026, 12, 2, 9, 0, tzinfo=dt.UTC)
TOKEN, OTHER = "A" * 52, "B" * 52
HOLDER = {"titulaire": "Secrétariat général", "organisation": "Commune de Gondecourt", "siren": SIREN}
PLACE, NAME, SLUG = "gondecourt-pc-secretariat", "pc-secretariat", "secretariat-general"
SUBJECT = proof.subject(HOLDER)


def csr(key: Any, subject: x509.Name = SUBJECT) -> str:
    built = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = built.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


KEY = p256()


def asked(key: Any = KEY, **changes: Any) -> dict[str, Any]:
    return {"jeton": TOKEN, "poste": PLACE, "nom": NAME, "certificat": SLUG, "csr": csr(key)} | changes


def token(text: str = TOKEN, end: dt.datetime = NOW + dt.timedelta(days=14), **changes: Any) -> dict[str, Any]:
    found = {"empreinte": proof.token_digest(text), "poste": PLACE, "nom": NAME, "fin": end.isoformat()}
    return found | {"certificats": {SLUG: HOLDER}} | changes


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("pki") / "groupement", "groupement de test")
    made.issue("porte", "server")
    made.issue("agent", common_name="Secrétariat <général>", days_ago=300)
    made.issue("recent", common_name="Accueil")
    made.issue("machine", common_name="Machine - gondecourt-connecteur", days_ago=300)
    return made


@pytest.fixture
def door(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.publish({"jetons": [token()], "finis": []}, NOW)
    return made


class _Handler(WSGIRequestHandler):
    """What nginx gives: the address, and the certificate that TLS verified or none."""

    def get_environ(self) -> dict[str, Any]:
        found = {key: one for key, one in super().get_environ().items() if key != "HTTP_X_SSL_CLIENT_CERT"}
        der = self.request.getpeercert(binary_form=True)
        shown = quote(ssl.DER_cert_to_PEM_cert(der)) if der else ""
        return {**found, "HTTP_X_FORWARDED_FOR": "192.0.2.1", "HTTP_X_SSL_CLIENT_CERT": shown}

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@contextmanager
def served(door: Store, authority: Authority) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "porte/fullchain.pem", authority.folder / "porte/key.pem")
    context.load_verify_locations(authority.bundle)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = make_server("127.0.0.1", 0, web.create_app(door), handler_class=_Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def call(
    authority: Authority, port: int, method: str, path: str, sent: Any = None, shows: str = "", bearer: str = ""
) -> tuple[int, Any, Mapping[str, str]]:
    """One real request: status, answer, headers."""
    context = ssl.create_default_context(cafile=str(authority.bundle))
    if shows:
        context.load_cert_chain(authority.folder / shows / "fullchain.pem", authority.folder / shows / "key.pem")
    line = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
    try:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        line.request(method, path, None if sent is None else json.dumps(sent), headers)
        answer = line.getresponse()
        body = answer.read().decode()
        told = json.loads(body) if answer.headers["Content-Type"] == "application/json" else body
        return answer.status, told, dict(answer.headers)
    finally:
        line.close()


def _told(answer: Any) -> Any:
    return answer.json


def causes(door: Store) -> list[str]:
    return [one["cause"] for one in door.statement(0, NOW)["mesusages"]]


def refused(door: Store, sent: Any, now: dt.datetime = NOW, address: str = "192.0.2.1") -> str:
    with pytest.raises(proof.Refused) as error:
        door.ask(sent, address, now)
    assert error.value.message.endswith(".") and error.value.message.isprintable()
    return error.value.cause


# -- from one end to the other ------------------------------------------------------------------------


def test_a_pc_asks_waits_and_gets_its_certificate(tmp_path: Path, authority: Authority) -> None:
    door = Store(tmp_path)
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=14)
    door.publish({"jetons": [token(end=soon)], "finis": []}, dt.datetime.now(dt.UTC))
    with served(door, authority) as port:
        status, told, headers = call(authority, port, "POST", "/demandes", asked(nom="PC-Secretariat"))
        assert (status, told["etat"]) == (202, "attente") and headers["Date"]
        again = call(authority, port, "POST", "/demandes", asked())
        assert again[:2] == (202, told)  # its power was cut before it knew
        path = f"/demandes/{told['demande']}"
        assert call(authority, port, "GET", path, bearer=TOKEN)[:2] == (200, {"etat": "attente"})
        [waiting] = door.statement(0, dt.datetime.now(dt.UTC))["demandes"]
        assert waiting["preuve"] == proof.token_proof(TOKEN, PLACE, SLUG, proof.fingerprint(KEY.public_key()))
        assert TOKEN not in (tmp_path / "enrolement.db").read_bytes().decode("latin1")
        leaf, chain = signed(KEY), authority.bundle.read_text()
        assert door.answer({"reponses": [{"demande": told["demande"], "certificat": leaf, "chaine": [chain]}]}) == 1
        status, found, _headers = call(authority, port, "GET", path, bearer=TOKEN)
        assert (status, found) == (200, {"etat": "signee", "certificat": leaf, "chaine": [chain]})
        assert call(authority, port, "POST", "/demandes", asked())[1] == told | {"etat": "signee"}
        status, found, _headers = call(authority, port, "GET", path, bearer=OTHER)
        assert (status, found["cause"]) == (403, "jeton_inconnu")
        status, found, _headers = call(authority, port, "GET", "/demandes/x", bearer=TOKEN)
        assert (status, found["cause"]) == (404, "demande_inconnue")


def signed(key: Any) -> str:
    """A certificate of a key."""
    built = x509.CertificateBuilder().subject_name(SUBJECT).issuer_name(SUBJECT).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + dt.timedelta(days=365))
    return built.sign(p256(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_whose_certificate_was_seen_is_said_and_noted(door: Store, authority: Authority) -> None:
    with served(door, authority) as port:
        status, page, headers = call(authority, port, "GET", "/identite", shows="agent")
        assert status == 200 and "Secrétariat &lt;général&gt;" in page and SIREN in page
        assert headers["Cache-Control"] == "no-store"
        assert call(authority, port, "GET", "/identite")[0] == 403
        assert call(authority, port, "GET", "/identite", shows="machine")[0] == 403
    [seen] = door.statement(0, NOW)["vus"]
    shown = x509.load_pem_x509_certificate((authority.folder / "agent/cert.pem").read_bytes())
    assert (seen["titulaire"], seen["siren"]) == ("Secrétariat <général>", SIREN)
    assert seen["serie"] == f"{shown.serial_number:040x}"


def test_when_each_certificate_was_seen_last_is_told(door: Store, authority: Authority) -> None:
    who = Identity(Kind.PERSON, SIREN, "Secrétariat")
    shown = [
        x509.load_pem_x509_certificate((authority.folder / name / "cert.pem").read_bytes())
        for name in ("agent", "machine")
    ]
    for one in shown:
        door.see(one, who, NOW)
        door.see(one, who, NOW + dt.timedelta(days=1))
    told = door.seen("")
    assert [len(told["vus"]), told["reste"]] == [2, False]
    assert {one["derniere"][:10] for one in told["vus"]} == {f"{NOW + dt.timedelta(days=1):%Y-%m-%d}"}
    assert {one["serie"] for one in told["vus"]} == {f"{one.serial_number:040x}" for one in shown}
    assert door.seen(told["vus"][0]["certificat"])["vus"] == told["vus"][1:]


def renewal(authority: Authority, name: str = "agent", key: Any = None, by: Any = None) -> dict[str, str]:
    folder = authority.folder / name
    shown = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    own: Any = by or serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    text = csr(key or p256(), shown.subject)
    der = x509.load_pem_x509_csr(text.encode()).public_bytes(serialization.Encoding.DER)
    made = own.sign(der, ec.ECDSA(hashes.SHA256()))
    return {"csr": text, "preuve": base64.b64encode(made).decode()}


def test_a_certificate_near_its_end_is_renewed_by_its_own_key(door: Store, authority: Authority) -> None:
    sent = renewal(authority)
    with served(door, authority) as port:
        assert call(authority, port, "POST", "/renouvellements", sent)[0] == 403
        assert call(authority, port, "POST", "/renouvellements", sent, shows="machine")[0] == 403
        status, told, _headers = call(authority, port, "POST", "/renouvellements", sent, shows="agent")
        assert (status, told["etat"]) == (202, "attente")
        assert call(authority, port, "POST", "/renouvellements", sent, shows="agent")[1] == told
        path = f"/renouvellements/{told['demande']}"
        assert call(authority, port, "GET", path, shows="agent")[:2] == (200, {"etat": "attente"})
        assert call(authority, port, "GET", path, shows="recent")[0] == 404
        for shows, body, status, cause in (
            ("agent", renewal(authority), 409, "deja_demande"),
            ("recent", renewal(authority, "recent"), 409, "trop_tot"),
            ("agent", renewal(authority, by=p256()), 400, "preuve"),
            ("agent", sent | {"preuve": "é"}, 400, "preuve"),
            ("agent", {"csr": sent["csr"]}, 400, "preuve"),
            ("agent", sent | {"csr": csr(KEY)}, 400, "csr_sujet"),
            ("agent", [], 400, "demande"),
        ):
            found = call(authority, port, "POST", "/renouvellements", body, shows=shows)
            assert (found[0], found[1]["cause"]) == (status, cause), found
    [waiting] = door.statement(0, NOW)["demandes"]
    assert waiting["presente"] == (authority.folder / "agent/cert.pem").read_text()
    door.answer({"reponses": [{"demande": waiting["id"], "message": "Non."}]})
    with served(door, authority) as port:
        path = f"/renouvellements/{waiting['id']}"
        assert call(authority, port, "GET", path, shows="agent")[1] == {"etat": "refusee", "message": "Non."}
        status, told, _headers = call(authority, port, "POST", "/renouvellements", sent, shows="agent")
        assert (status, told["etat"]) == (202, "attente")  # what was wrong may be mended by now


def test_a_renewal_is_of_another_key(authority: Authority) -> None:
    folder = authority.folder / "agent"
    key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    shown = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    sent = renewal(authority, key=key)
    with pytest.raises(proof.Refused, match="nouvelle clé"):
        proof.check_renewal(shown, proof.read_csr(sent["csr"], shown.subject), sent["preuve"])


# -- what PCs say of themselves ------------------------------------------------------------------------


def held(door: Store) -> dict[str, Any]:
    """What the control node is given."""
    return {
        name: json.loads(zlib.decompress(base64.b64decode(one))) for name, one in door.facts("")["constats"].items()
    }


def test_facts_are_kept_as_they_came_the_last_of_each_certificate(door: Store, authority: Authority) -> None:
    sent = {"signe": '{"x": "é\\u001b"}', "signature": "AAAA"}
    with served(door, authority) as port:
        assert call(authority, port, "POST", "/constats", sent)[0] == 403
        assert call(authority, port, "POST", "/constats", sent, shows="machine")[0] == 403
        assert call(authority, port, "POST", "/constats", {"signe": "avant", "signature": ""}, shows="agent")[0] == 200
        assert call(authority, port, "POST", "/constats", sent, shows="agent")[:2] == (200, {"etat": "garde"})
        assert call(authority, port, "POST", "/constats", sent | {"signe": "[" * 20_000}, shows="recent")[0] == 200
    known = {
        name: x509.load_pem_x509_certificate((authority.folder / name / "cert.pem").read_bytes()).fingerprint(
            hashes.SHA256()
        )
        for name in ("agent", "recent")
    }
    assert held(door) == {known["agent"].hex(): sent, known["recent"].hex(): sent | {"signe": "[" * 20_000}}


@pytest.mark.parametrize(
    "sent", [None, [], "x", {}, {"signe": 1, "signature": ""}, {"signe": ""}, {"signe": "", "signature": "A" * 2001}]
)
def test_what_is_no_facts_is_refused_and_what_was_kept_stays(door: Store, authority: Authority, sent: Any) -> None:
    shown = x509.load_pem_x509_certificate((authority.folder / "agent/cert.pem").read_bytes())
    who = identity_of(shown)
    door.keep(shown, who, {"signe": "bon", "signature": ""}, "", NOW)
    with pytest.raises(proof.Refused, match="mal formés"):
        door.keep(shown, who, sent, "", NOW)
    assert [one["signe"] for one in held(door).values()] == ["bon"]


def test_facts_too_often_or_too_large_are_refused(door: Store, authority: Authority) -> None:
    agent, recent = (
        x509.load_pem_x509_certificate((authority.folder / name / "cert.pem").read_bytes())
        for name in ("agent", "recent")
    )
    for number in range(store.HOURLY_FACTS):
        door.keep(agent, identity_of(agent), {"signe": str(number), "signature": ""}, "", NOW)
    with pytest.raises(proof.Refused) as error:
        door.keep(agent, identity_of(agent), {"signe": "trop", "signature": ""}, "", NOW)
    assert error.value.cause == "trop" and causes(door) == ["trop"]
    assert [one["signe"] for one in held(door).values()] == [str(store.HOURLY_FACTS - 1)]
    door.keep(recent, identity_of(recent), {"signe": "autre", "signature": ""}, "", NOW)  # one keeps no other
    door.keep(agent, identity_of(agent), {"signe": "plus tard", "signature": ""}, "", NOW + dt.timedelta(hours=1))
    assert {one["signe"] for one in held(door).values()} == {"autre", "plus tard"}
    header = {HEADER: quote(agent.public_bytes(serialization.Encoding.PEM).decode())}
    client = web.create_app(door).test_client()
    assert client.post("/constats", data=b"A" * (50 << 20), headers=header).status_code == 413
    assert client.post("/constats", data=b"[" * 30_000, headers=header).status_code == 400


def test_facts_are_told_in_parts_and_old_ones_go(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    door = Store(tmp_path)
    for name in ("agent", "recent"):
        shown = x509.load_pem_x509_certificate((authority.folder / name / "cert.pem").read_bytes())
        door.keep(shown, identity_of(shown), {"signe": name, "signature": ""}, "", NOW)
    monkeypatch.setattr(store, "_TOLD", 1)
    assert cli.main(["--dossier", str(tmp_path), "constats"]) == 0
    first = json.loads(capsys.readouterr().out)
    [name] = first["constats"]
    assert cli.main(["--dossier", str(tmp_path), "constats", "--apres", name]) == 0
    second = json.loads(capsys.readouterr().out)
    assert (
        (first["reste"], second["reste"]) == (True, False)
        and len(second["constats"]) == 1
        and name not in second["constats"]
    )
    door.keep(shown, identity_of(shown), {"signe": "x", "signature": ""}, "", NOW + dt.timedelta(days=61))
    monkeypatch.undo()
    assert [one["signe"] for one in held(door).values()] == ["x"]


# -- what is refused, and told -------------------------------------------------------------------------

NAMED = [(NameOID.COUNTRY_NAME, "FR"), (NameOID.ORGANIZATION_NAME, HOLDER["organisation"])]
NAMED += [(NameOID.ORGANIZATIONAL_UNIT_NAME, f"0002 {SIREN}"), (NameOID.COMMON_NAME, HOLDER["titulaire"])]


def named(*parts: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value, _validate=False) for oid, value in parts])


SUBJECTS = {
    "other": named(*NAMED[:3], (NameOID.COMMON_NAME, "Maire")),
    "control characters": named(*NAMED[:3], (NameOID.COMMON_NAME, "Secrétariat général\x00\x1b[2J")),
    "other SIREN": named(*NAMED[:2], (NameOID.ORGANIZATIONAL_UNIT_NAME, "0002 285900015"), NAMED[3]),
    "two names": named(*NAMED, NAMED[3]),
    "order": named(*reversed(NAMED)),
    "empty": named(),
}


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a_subject_is_the_files_to_the_letter(door: Store, kind: str) -> None:
    assert refused(door, asked(csr=csr(KEY, SUBJECTS[kind]))) == "csr_sujet"
    assert causes(door) == ["csr_sujet"]
    assert door.ask(asked(), "", NOW)["etat"] == "attente"  # a wrong request takes nothing of the token


KEYS: dict[str, Callable[[], Any]] = {
    "RSA 2048": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "RSA exponent 3": lambda: rsa.generate_private_key(public_exponent=3, key_size=3072),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_weak_or_unexpected_key_is_refused(door: Store, kind: str) -> None:
    assert refused(door, asked(KEYS[kind]())) == "csr_cle"


def test_rsa_of_3072_bits_is_taken(door: Store) -> None:
    assert door.ask(asked(rsa.generate_private_key(public_exponent=65537, key_size=3072)), "", NOW)["demande"]
    assert proof.read_csr(door.statement(0, NOW)["demandes"][0]["csr"], SUBJECT).key_type == "rsa"


def test_a_request_is_signed_by_its_key(door: Store) -> None:
    der = bytearray(base64.b64decode("".join(csr(KEY).splitlines()[1:-1])))
    der[-1] ^= 1
    text = base64.encodebytes(der).decode()
    broken = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
    assert refused(door, asked(csr=broken)) == "csr_signature"


@pytest.mark.parametrize(
    "text",
    [
        "", "rien", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "é", "\ud800",
        "-----BEGIN CERTIFICATE REQUEST-----" * 300, "A" * 8001, signed(KEY),
    ],
)  # fmt: skip # a list of texts
def test_what_is_no_request_is_refused(door: Store, text: str) -> None:
    assert refused(door, asked(csr=text)) == "csr_illisible"


def test_what_a_request_asks_beside_its_key_is_ignored(door: Store) -> None:
    """An authority, a machine's name, text around it."""
    built = x509.CertificateSigningRequestBuilder().subject_name(SUBJECT)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=9), critical=True)
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName("guichet")]), critical=False)
    text = built.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    number = door.ask(asked(csr=f"des mots\n{text}d'autres"), "", NOW)["demande"]
    assert door.ask(asked(), "", NOW)["demande"] == number  # the same key
    assert door.statement(0, NOW)["demandes"][0]["csr"] == text


@pytest.mark.parametrize(
    ("changes", "later", "cause"),
    [
        ({"jeton": OTHER}, 0, "jeton_inconnu"),
        ({"jeton": TOKEN.lower()}, 0, "jeton_inconnu"),
        ({"jeton": "é" * 52}, 0, "jeton_inconnu"),
        ({"jeton": ""}, 0, "jeton_inconnu"),
        ({"nom": "pc-accueil"}, 0, "autre_poste"),
        ({"nom": ""}, 0, "autre_poste"),
        ({"nom": "pc-secretariat\x1b[2J\ud800"}, 0, "autre_poste"),
        ({"poste": "loos-pc"}, 0, "autre_poste"),
        ({"certificat": "maire"}, 0, "certificat_inconnu"),
        ({}, 14, "jeton_expire"),
        ({"csr": "rien"}, 14, "jeton_expire"),
    ],
)
def test_a_misused_token_is_refused_and_told_once_an_hour(
    door: Store, changes: dict[str, str], later: int, cause: str
) -> None:
    now = NOW + dt.timedelta(days=later)
    assert refused(door, asked(**changes), now) == refused(door, asked(**changes), now) == cause
    [told] = door.statement(0, now)["mesusages"]
    assert told["cause"] == cause and told["adresse"] == "192.0.2.1" and told["nom"].isprintable()
    assert told["poste"] == ("" if cause == "jeton_inconnu" else PLACE)
    assert refused(door, asked(**changes), now + dt.timedelta(hours=1)) == cause
    assert len(door.statement(0, now)["mesusages"]) == 2 and len(door.statement(told["id"], now)["mesusages"]) == 1
    assert door.statement(0, now)["demandes"] == []


def test_a_token_serves_one_key(door: Store) -> None:
    door.ask(asked(), "", NOW)
    assert refused(door, asked(p256())) == "jeton_utilise"
    assert door.ask(asked(), "", NOW + dt.timedelta(days=20))["etat"] == "attente"  # its own, even late
    assert causes(door) == ["jeton_utilise"]


def test_a_token_that_another_replaced_serves_no_more_but_to_follow(door: Store) -> None:
    number = door.ask(asked(), "", NOW)["demande"]
    door.publish({"jetons": [token(OTHER)], "finis": []}, NOW)
    assert refused(door, asked(p256())) == "jeton_expire"
    assert door.state(number, TOKEN, "", NOW) == {"etat": "attente"}
    assert door.ask(asked(p256(), jeton=OTHER), "", NOW)["demande"] != number
    door.publish({"jetons": [], "finis": [proof.token_digest(OTHER)]}, NOW)
    assert door.statement(0, NOW)["jetons"] == []


SHAPES: list[Any] = [None, [], "x", 1, {}, asked() | {"jeton": 1}, asked() | {"csr": None}, {"jeton": TOKEN}]


@pytest.mark.parametrize("sent", SHAPES)
def test_what_is_no_request_at_all_is_refused(door: Store, sent: Any) -> None:
    assert refused(door, sent) == "demande"


BODIES: dict[str, tuple[bytes, int]] = {
    "not JSON": (b"rien", 400),
    "nested": (b"[" * 30_000, 400),
    "not UTF-8": (b'{"jeton": "\xff"}', 400),
    "empty": (b"", 400),
    "NUL": (b"\x00" * 100, 400),
    "NaN": (b"NaN", 400),
    "half a character": (json.dumps(asked(nom="\ud800")).encode(), 409),
    "too large": (b'{"csr": "' + b"A" * 40_000 + b'"}', 413),
}


@pytest.mark.parametrize("kind", BODIES)
def test_hostile_bodies_are_refused_in_french(tmp_path: Path, kind: str) -> None:
    door = Store(tmp_path)
    now = dt.datetime.now(dt.UTC)
    door.publish({"jetons": [token(end=now + dt.timedelta(days=1))], "finis": []}, now)
    body, status = BODIES[kind]
    answer = web.create_app(door).test_client().post("/demandes", data=body)
    assert answer.status_code == status, answer.data
    assert set(_told(answer)) == {"message", "cause"} and _told(answer)["message"].endswith(".")


def test_a_csr_of_50_mb_is_not_read(door: Store) -> None:
    """nginx says its length."""
    client = web.create_app(door).test_client()
    assert client.post("/demandes", data=b"A" * (50 << 20)).status_code == 413


@pytest.mark.parametrize("path", ["/", "/demandes", "/demandes/x/y", "/renouvellements/../demandes", "/etat"])
def test_other_addresses_answer_nothing(door: Store, path: str) -> None:
    answer = web.create_app(door).test_client().get(path)
    assert answer.status_code in (404, 405) and _told(answer)["cause"] in ("adresse", "methode")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sent=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=80) | st.integers(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(asked())), inner),
    )
    | st.fixed_dictionaries({key: st.text(max_size=60) | st.just(one) for key, one in asked().items()})
)
def test_anything_is_taken_or_refused_with_a_cause(door: Store, sent: Any) -> None:
    client = web.create_app(door).test_client()
    answer = client.post("/demandes", data=json.dumps(sent), headers={"X-Forwarded-For": "\x00"})
    assert answer.status_code in (202, 400, 403, 404, 409, 410, 429) and answer.json
    for one in door.statement(0, NOW)["demandes"]:
        proof.read_csr(one["csr"], SUBJECT)


# -- bounds --------------------------------------------------------------------------------------------


def test_an_address_that_tries_tokens_is_stopped_and_keeps_nobody_else(door: Store) -> None:
    for _each in range(store.UNKNOWN_HOURLY):
        assert refused(door, asked(jeton=OTHER)) == "jeton_inconnu"
    assert refused(door, asked(jeton=OTHER)) == "trop"
    assert refused(door, asked(jeton=OTHER), address="192.0.2.2") == "jeton_inconnu"
    assert door.ask(asked(), "192.0.2.1", NOW)["etat"] == "attente"  # a town hall's box has one address
    assert refused(door, asked(jeton=OTHER), NOW + dt.timedelta(hours=1)) == "jeton_inconnu"
    assert sorted(causes(door)) == ["jeton_inconnu", "jeton_inconnu", "jeton_inconnu", "trop"]


def test_a_site_of_ipv6_is_one_address() -> None:
    assert store.network("2001:db8:0:1200::1") == store.network("2001:db8:0:12ff:ffff::") == "2001:db8:0:1200::/56"
    assert store.network("2001:db8:0:1300::1") != store.network("2001:db8:0:1200::1")
    assert store.network("::ffff:192.0.2.1") == "192.0.2.1" and store.network("x") == "?"


def test_addresses_without_number_are_counted_together(door: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_ADDRESSES", 3)
    monkeypatch.setattr(store, "_UNKNOWN_TOGETHER", 2)
    said = [refused(door, asked(jeton=OTHER), address=f"192.0.2.{one}") for one in range(8)]
    assert said == ["jeton_inconnu"] * 5 + ["trop"] * 3
    assert door.ask(asked(), "192.0.2.99", NOW)["etat"] == "attente"


def test_a_token_asks_so_often_an_hour(door: Store) -> None:
    for _each in range(store.HOURLY):
        door.ask(asked(), "", NOW)
    assert refused(door, asked()) == "trop"
    assert door.ask(asked(), "", NOW + dt.timedelta(hours=1))["etat"] == "attente"


def test_misuses_are_bounded_and_a_strangers_hide_no_token_s(door: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_MISUSES_UNKNOWN", 4)
    refused(door, asked(nom="pc-accueil"))
    for one in range(10):
        refused(door, asked(jeton=OTHER), address=f"192.0.2.{one}")
    assert sorted(causes(door)) == ["autre_poste", *["jeton_inconnu"] * 4]


def test_what_is_over_goes_after_sixty_days(door: Store) -> None:
    door.ask(asked(), "", NOW)
    refused(door, asked(p256()))
    later = NOW + dt.timedelta(days=14 + 61)
    door.publish({"jetons": [], "finis": []}, later)
    assert door.statement(0, later)["demandes"] == door.statement(0, later)["mesusages"] == []
    assert refused(door, asked(), later) == "jeton_inconnu"


def test_renewals_that_wait_are_bounded(door: Store, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_RENEWALS_SIREN", 0)
    shown = quote((authority.folder / "agent/cert.pem").read_text())
    client = web.create_app(door).test_client()
    answer = client.post("/renouvellements", json=renewal(authority), headers={HEADER: shown})
    assert (answer.status_code, _told(answer)["cause"]) == (429, "trop")
    assert answer.headers["Retry-After"] == "3600"


# -- at once, and in the middle -------------------------------------------------------------------------

CHILD = """
import datetime as dt, json, os, signal, sys
from pathlib import Path
from creatic_agent import enrolment as proof
from creatic_enrolement import store
def die(*_given): os.kill(os.getpid(), signal.SIGKILL)
real = store._insert
if sys.argv[2] == "before": store._insert = lambda *given: (real(*given), die())
door = store.Store(Path(sys.argv[1]))
try:
    told = door.ask(json.loads(sys.argv[3]), "", dt.datetime.fromisoformat(sys.argv[4]))
    if sys.argv[2] == "after": die()
    print(told["demande"])
except proof.Refused as error:
    print(error.cause)
"""


def child(folder: Path, dies: str, sent: Any) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CHILD, str(folder), dies, json.dumps(sent), NOW.isoformat()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_of_processes_at_once_one_key_wins(door: Store, tmp_path: Path) -> None:
    running = [child(tmp_path, "", asked(p256())) for _each in range(3)]
    said = [one.communicate()[0].strip() for one in running]
    [waiting] = door.statement(0, NOW)["demandes"]
    assert sorted(said) == sorted([waiting["id"], *["jeton_utilise"] * 2])


def test_of_processes_at_once_one_key_asks_once(door: Store, tmp_path: Path) -> None:
    running = [child(tmp_path, "", asked()) for _each in range(3)]
    [waiting] = {one.communicate()[0].strip() for one in running}
    assert [one["id"] for one in door.statement(0, NOW)["demandes"]] == [waiting]


@pytest.mark.parametrize(("dies", "kept"), [("before", 0), ("after", 1)])
def test_a_door_that_is_killed_keeps_all_of_a_request_or_nothing(
    door: Store, tmp_path: Path, dies: str, kept: int
) -> None:
    killed = child(tmp_path, dies, asked())
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    before = [one["id"] for one in Store(tmp_path).statement(0, NOW)["demandes"]]
    assert len(before) == kept
    number = door.ask(asked(), "", NOW)["demande"]
    assert before in ([], [number]) and len(door.statement(0, NOW)["demandes"]) == 1


# -- the control node's command -------------------------------------------------------------------------


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, *given: str, sent: Any = None
) -> tuple[int, str, str]:
    text = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    code = cli.main(["--dossier", str(folder), *given])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_control_node_publishes_reads_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    sent = {"jetons": [token(end=now + dt.timedelta(days=14))], "finis": []}
    assert run(monkeypatch, capsys, tmp_path, "publier", sent=sent) == (0, '{"jetons": 1}\n', "")
    number = Store(tmp_path).ask(asked(), "", now)["demande"]
    code, out, _err = run(monkeypatch, capsys, tmp_path, "releve", "--apres", "0")
    told = json.loads(out)
    assert code == 0 and [one["id"] for one in told["demandes"]] == [number] and not told["reste"]
    assert out.startswith('{"maintenant"') and told["jetons"] == sent["jetons"]
    refusal = {"reponses": [{"demande": number, "message": "Non."}]}
    assert run(monkeypatch, capsys, tmp_path, "repondre", sent=refusal)[1] == '{"reponses": 1}\n'
    assert Store(tmp_path).state(number, TOKEN, "", now) == {"etat": "refusee", "message": "Non."}
    assert json.loads(run(monkeypatch, capsys, tmp_path, "releve")[1])["demandes"] == []


WRONG: list[Any] = [
    b"", b"{", b"[" * 100_000, None, [], {"jetons": []}, {"jetons": [{}], "finis": []},
    {"jetons": [token(), token(OTHER, fin="hier")], "finis": []},
    {"jetons": [token(), token(OTHER, fin="2026-12-02T00:00:00")], "finis": []},
    {"jetons": [token(), token(OTHER, empreinte="x")], "finis": []},
    {"jetons": [token(), token(OTHER, certificats={})], "finis": []},
    {"jetons": [token(), token(OTHER, certificats={SLUG: HOLDER | {"siren": "1"}})], "finis": []},
    {"jetons": [token(), token(OTHER, certificats={SLUG: HOLDER | {"titulaire": ""}})], "finis": []},
    b" " * ((4 << 20) + 1),
]  # fmt: skip # a list of cases


@pytest.mark.parametrize("sent", WRONG, ids=range(len(WRONG)))
def test_a_wrong_sending_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sent: Any
) -> None:
    code, out, err = run(monkeypatch, capsys, tmp_path, "publier", sent=sent)
    assert (code, out) == (1, "") and err.startswith("creatic-enrolement : ") and "rien n'est changé" in err
    assert Store(tmp_path).statement(0, NOW)["jetons"] == []


def test_a_certificate_of_another_key_is_handed_to_nobody(door: Store) -> None:
    number = door.ask(asked(), "", NOW)["demande"]
    for wrong in ({"certificat": signed(p256()), "chaine": []}, {"certificat": "x", "chaine": []}, {}):
        with pytest.raises(store.BadRequest):
            door.answer({"reponses": [{"demande": number} | wrong]})
    assert door.state(number, TOKEN, "", NOW) == {"etat": "attente"}
    leaf = signed(KEY)
    assert door.answer({"reponses": [{"demande": number, "certificat": leaf, "chaine": []}] * 2}) == 1
    assert door.answer({"reponses": [{"demande": number, "message": "Non."}, {"demande": "x", "message": ""}]}) == 0
    assert door.state(number, TOKEN, "", NOW)["certificat"] == leaf  # what is signed stays so


def test_a_full_disk_or_a_missing_folder_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _out, err = run(monkeypatch, capsys, tmp_path / "absent", "releve")
    assert code == 1 and "ne peut être lu ou écrit" in err
