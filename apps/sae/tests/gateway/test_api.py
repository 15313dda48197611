"""The door over HTTP: accounts come from certificates, answers are SEDA, archives of others do not exist."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from lxml import etree
from sae.api import create_app
from sae.config import Account
from sae.elimination import Requests
from sae.store import FileStore, StoreUnavailableError
from sae.versement import registry
from sae.versement.seda import NAMESPACE
from werkzeug.test import TestResponse

from creatic_agent import web
from creatic_agent.identity import HEADER
from testbed.connector import Authority
from testbed.sae import FILES, GONDECOURT, LOOS, PDF, SIREN, FakeClamd, Gateway, sip, tar

_N = f"{{{NAMESPACE}}}"
Ask = Callable[..., TestResponse]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Certificates as nginx hands them over, by holder."""
    authority = Authority(tmp_path_factory.mktemp("pki") / "groupement", "groupement de test")
    wanted = {"gondecourt": SIREN, "loos": LOOS.siren, "inconnue": "215903337"}
    return {
        name: quote((authority.issue(name, siren=siren) / "cert.pem").read_text()) for name, siren in wanted.items()
    }


@pytest.fixture
def ask(gateway: Gateway, certificates: dict[str, str]) -> Ask:
    """Ask the application something, with somebody's certificate."""
    client: FlaskClient = create_app(gateway.config, gateway.engine).test_client()

    def call(path: str, holder: str = "gondecourt", data: bytes | None = None) -> TestResponse:
        headers = {HEADER: certificates[holder]} if holder else {}
        return client.get(path, headers=headers) if data is None else client.post(path, headers=headers, data=data)

    return call


def xml(answer: TestResponse) -> etree._Element:
    """The message of an answer."""
    assert answer.mimetype == "application/xml"
    return etree.fromstring(answer.data)


def test_deposit_then_everything_comes_back(ask: Ask) -> None:
    answer = ask("/v1/versements", data=sip())
    assert answer.status_code == 200
    aip = xml(answer).findtext(f".//{_N}SystemId")
    assert ask("/v1/versements/ACTE-1").data == answer.data
    listed = ask("/v1/archives").get_json()
    assert [one["archive"] for one in listed["archives"]] == [aip] and listed["archives_en_tout"] == 1
    assert {one["nom"] for one in ask(f"/v1/archives/{aip}").get_json()["fichiers"]} == {"manifest.xml", *FILES}
    assert ask(f"/v1/archives/{aip}/content/acte.pdf").data == PDF
    package = ask(f"/v1/archives/{aip}.tar")
    assert hashlib.sha512(package.data).hexdigest() == package.headers["X-Content-SHA512"]
    with tarfile.open(fileobj=io.BytesIO(package.data)) as archive:
        assert f"{aip}/0=ocfl_object_1.1" in archive.getnames()
    page = ask("/").get_data(as_text=True)
    assert "Gondecourt" in page and "école d’été" in page


def test_a_depositor_of_bad_sips_fills_no_journal_and_stops_no_other(
    ask: Ask, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each refusal is a line of the journal, for ever; the same bad SIP again is one more."""
    monkeypatch.setattr(registry, "MAX_REFUSALS_PER_DAY", 3)
    bad = [b"rien", b"rien", b"autre", b"encore"]
    assert [ask("/v1/versements", data=one).status_code for one in bad] == [422] * 3 + [503]
    answer = ask("/v1/versements", data=sip())
    assert answer.status_code == 503 and answer.headers["Retry-After"] and "avant demain" in answer.get_data(True)
    assert xml(answer).findtext(f"{_N}ReplyCode") == "KO"  # any connector keeps it, and comes back
    assert sum(one.event == "versement.refuse" for one in gateway.journal.events()) == 3
    assert not list(gateway.config.spool.iterdir())
    assert ask("/v1/versements", "loos", sip(sender=LOOS.siren)).status_code == 200
    tomorrow = time.time() + 86400
    monkeypatch.setattr("sae.versement.registry.time.time", lambda: tomorrow)
    assert ask("/v1/versements", data=sip()).status_code == 200


def test_what_is_put_off_fills_no_journal_and_enters_once_it_may(
    ask: Ask, gateway: Gateway, clamd: FakeClamd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that the scanner says nothing of, sent again and again, was a line of the journal each time."""
    monkeypatch.setattr(registry, "MAX_DELAYS_PER_HOUR", 3)
    now = [1_796_137_300.0]  # within an hour
    monkeypatch.setattr("sae.versement.registry.time.time", lambda: now[0])
    monkeypatch.setattr("sae.versement.passage._current_time", lambda: datetime.fromtimestamp(now[0], UTC))
    clamd.verdict = "lstat() failed"
    assert [ask("/v1/versements", data=sip()).status_code for _try in range(5)] == [503] * 5
    assert sum(one.event == "versement.refuse" for one in gateway.journal.events()) == 3
    answer = ask("/v1/versements", data=sip())
    assert xml(answer).findtext(f"{_N}ReplyCode") == "KO"  # any connector keeps it, and comes back
    assert 0 < int(answer.headers["Retry-After"]) <= 3600 and "À faire" in answer.get_data(True)
    assert not list(gateway.config.spool.iterdir())
    clamd.verdict = ""
    assert ask("/v1/versements", "loos", sip(sender=LOOS.siren)).status_code == 200
    now[0] += int(answer.headers["Retry-After"])
    assert ask("/v1/versements", data=sip()).status_code == 200  # not tomorrow: what is put off must enter
    clamd.verdict = "lstat() failed"
    assert ask("/v1/versements", data=sip(message="ACTE-2")).status_code == 503
    assert "lstat" in ask("/v1/versements", data=sip(message="ACTE-2")).get_data(True)  # counted from none again


def test_one_account_has_two_sips_at_a_time_on_the_disk_of_all_and_leaves_threads_to_the_others(
    ask: Ask, gateway: Gateway
) -> None:
    """Six of 2 GB in each process, whose senders hung up, took 24 GB of it and most threads, for hours."""
    begun, end = threading.Semaphore(0), threading.Event()

    def step(reached: str) -> None:
        if reached == "reçu":
            begun.release()
            assert end.wait(30)

    gateway.engine.step = step
    with ThreadPoolExecutor(2) as beside:
        try:
            sent = [beside.submit(ask, "/v1/versements", data=sip(message=f"ACTE-{rank}")) for rank in range(2)]
            assert begun.acquire(timeout=30) and begun.acquire(timeout=30)
            gateway.engine.step = lambda reached: None
            third = ask("/v1/versements", data=sip(message="ACTE-3"))
            assert third.status_code == 503 and third.headers["Retry-After"] == "60"
            assert xml(third).findtext(f"{_N}ReplyCode") == "KO" and "À faire" in third.get_data(True)
            assert len(list(gateway.config.spool.iterdir())) == 2
            assert ask("/v1/versements", "loos", sip(sender=LOOS.siren)).status_code == 200
        finally:
            end.set()
        assert [one.result(30).status_code for one in sent] == [200, 200]
    assert ask("/v1/versements", data=b"rien").status_code == 422  # whatever comes of one, its place is free again
    assert ask("/v1/versements", data=sip(message="ACTE-3")).status_code == 200


def test_a_commune_reads_the_archives_of_the_entity_it_hosts_and_nobody_else_does(
    tmp_path: Path, clamd: FakeClamd
) -> None:
    commune = replace(GONDECOURT, depositors=("Connecteur - Gondecourt",))
    ccas = Account(
        "gondecourt-ccas", "CCAS de Gondecourt", "265902668", depositors=("Connecteur - CCAS",), host="gondecourt"
    )
    accounts = {one.name: one for one in (commune, LOOS, ccas)}
    gateway = Gateway(tmp_path, accounts=accounts)
    gateway.deposit(sip(), commune)
    gateway.deposit(sip(title="Aide sociale", sender=ccas.siren), ccas)
    authority = Authority(tmp_path / "pki", "groupement de test")
    client: FlaskClient = create_app(gateway.config, gateway.engine).test_client()

    @cache
    def certificate(name: str, siren: str) -> str:
        return quote((authority.issue(name, siren=siren) / "cert.pem").read_text())

    def ask(path: str, siren: str, name: str = "pc-mairie", **more: Any) -> TestResponse:
        return client.open(path, headers={HEADER: certificate(name, siren)}, **more)

    listed = ask("/v1/archives?compte=gondecourt-ccas", SIREN).get_json()
    [one] = listed["archives"]
    assert listed["compte"] == "gondecourt-ccas" and one["archive"] not in str(ask("/v1/archives", SIREN).get_json())
    path = f"/v1/archives/{one['archive']}"
    for where in (path, f"{path}/content/acte.pdf", f"{path}.tar", f"/v1/acces/{one['archive']}", "/"):
        assert ask(f"{where}?compte=gondecourt-ccas", SIREN).status_code == 200, where
    assert ask(path, SIREN).status_code == 404  # of the commune's own account, it is not
    read = [event for event in gateway.journal.events() if event.account == "gondecourt-ccas"][-1]
    assert "pc-mairie" in str(read.detail)  # whoever reads is named where the entity's readings are
    page = ask("/", SIREN).get_data(as_text=True)
    assert '<a href="/?compte=gondecourt-ccas">voir CCAS de Gondecourt</a>' in page
    assert "voir Gondecourt" in ask("/?compte=gondecourt-ccas", SIREN).get_data(as_text=True)
    # Its own certificate opens its own account, and not its commune's.
    assert ask("/v1/archives", ccas.siren, "ccas").get_json()["compte"] == "gondecourt-ccas"
    for siren, name, wanted in (
        (ccas.siren, "ccas", "gondecourt"),
        (LOOS.siren, "pc-loos", "gondecourt-ccas"),
        (SIREN, "Connecteur - Gondecourt", "gondecourt-ccas"),  # who deposits speaks for its own SIREN
        (SIREN, "pc-mairie", "loos"),
        (SIREN, "pc-mairie", "inconnu"),
    ):
        for where in ("/v1/archives", path, "/", "/v1/eliminations"):
            answer = ask(f"{where}?compte={wanted}", siren, name)
            assert answer.status_code == 403, (where, siren, name)
            assert f"n'ouvre pas le compte « {wanted} »" in answer.get_json()["erreur"]
    # Nothing is deposited in the entity's account but by its connector.
    refused = ask("/v1/versements?compte=gondecourt-ccas", SIREN, method="POST", data=sip(sender=ccas.siren))
    assert refused.status_code == 403


def test_an_account_hears_of_its_eliminations_and_says_where_their_copies_are(
    gateway: Gateway, certificates: dict[str, str], ask: Ask
) -> None:
    aip = "8d5c0c0e-0000-4000-8000-000000000001"
    assert ask("/v1/eliminations").get_json() == {"eliminations": [], "suite": False}
    with closing(Requests(gateway.config.folder / "eliminations.sqlite")) as book, book.transaction() as db:
        text = json.dumps({"archives": [{"aip": aip, "identifiant": "ACTE-1"}]})
        db.execute(
            "INSERT INTO demande (id, compte, etat, recue_le, texte, signature, demandeur, demandeur_certificat)"
            " VALUES ('d', 'gondecourt', 'faite', 1, ?, '', '', '')",
            (text,),
        )
        db.execute("INSERT INTO objet VALUES ('d', ?, '2026-11-28T10:00:00.000000Z', 12)", (aip,))
        db.execute("INSERT INTO mot VALUES ('d', ?, '[]', ?, ?)", (aip, b"{}", "signé".encode()))
    [one] = ask("/v1/eliminations?apres=11").get_json()["eliminations"]
    assert (one["archive"], one["identifiant"], one["rang"], one["copies"]) == (aip, "ACTE-1", 12, "")
    assert one["attestation"] == {"texte": "{}", "signature": "c2lnbsOp"}
    assert ask("/v1/eliminations?apres=12").get_json()["eliminations"] == []
    assert ask("/v1/eliminations?prevues=1").get_json() == {"eliminations": [], "suite": False}
    with closing(Requests(gateway.config.folder / "eliminations.sqlite")) as book, book.transaction() as db:
        db.execute(
            "INSERT INTO demande (id, compte, etat, recue_le, texte, signature, demandeur, demandeur_certificat)"
            " VALUES ('p', 'gondecourt', 'demandee', 2, ?, '', '', '')",
            (text,),
        )
        db.execute("INSERT INTO objet (demande, aip) VALUES ('p', ?)", (aip,))
    for after, seen in (("", [aip]), (aip[:-1], [aip]), (aip, []), ("'", [aip])):
        told = ask(f"/v1/eliminations?prevues=1&apres={after}").get_json()
        assert [one["archive"] for one in told["eliminations"]] == seen, after
    assert ask("/v1/eliminations", "loos").get_json()["eliminations"] == []
    for wrong in ("-1", "x", "9" * 30, "²", "%00"):
        assert ask(f"/v1/eliminations?apres={wrong}").status_code == 400
    said = {"demande": "d", "lieux": {"connecteur": {"etat": "supprime", "nombre": 1}}}
    client = create_app(gateway.config, gateway.engine).test_client()

    def say(holder: str, body: object) -> TestResponse:
        return client.post(f"/v1/eliminations/{aip}/copies", headers={HEADER: certificates[holder]}, json=body)

    assert "n'est pas éliminée pour ce compte" in say("loos", said).get_json()["erreur"]
    assert say("gondecourt", []).status_code == 400
    assert say("gondecourt", said | {"encore": "x" * web.LARGEST}).status_code == 413
    assert say("gondecourt", said).get_json() == {"archive": aip, "etat": "supprime"}
    assert ask("/v1/eliminations").get_json()["eliminations"][0]["copies"] == "supprime"
    assert ask(f"/v1/eliminations/{aip}/copies", data=b"").status_code == 400


def test_a_commune_s_own_certificates_read_and_its_depositors_deposit(gateway: Gateway, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "groupement", "groupement de test")
    named = {
        name: quote((authority.issue(name, siren=SIREN, common_name=common) / "cert.pem").read_text())
        for name, common in (("connecteur", "Connecteur - Commune"), ("poste", "Claire Dubois"))
    }
    account = replace(gateway.config.accounts["gondecourt"], depositors=("Connecteur - Commune",))
    config = replace(gateway.config, accounts={**gateway.config.accounts, "gondecourt": account})
    client = create_app(config, gateway.engine).test_client()
    denied = client.post("/v1/versements", headers={HEADER: named["poste"]}, data=sip())
    assert denied.status_code == 403
    told = "Ce certificat (« Claire Dubois ») ouvre le compte de Gondecourt sans pouvoir y verser : seul « Connecteur"
    assert denied.get_json()["erreur"].startswith(told)
    assert client.get("/v1/archives", headers={HEADER: named["poste"]}).get_json()["archives_en_tout"] == 0
    assert client.post("/v1/versements", headers={HEADER: named["connecteur"]}, data=sip()).status_code == 200
    assert client.get("/v1/archives", headers={HEADER: named["poste"]}).get_json()["archives_en_tout"] == 1


def test_an_empty_list_of_depositors_is_nobody(gateway: Gateway, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "groupement", "groupement de test")
    header = quote((authority.issue("poste", siren=SIREN, common_name="Claire Dubois") / "cert.pem").read_text())
    for depositors, status in (((), 403), (None, 200)):
        account = replace(gateway.config.accounts["gondecourt"], depositors=depositors)
        config = replace(gateway.config, accounts={**gateway.config.accounts, "gondecourt": account})
        answer = (
            create_app(config, gateway.engine)
            .test_client()
            .post("/v1/versements", headers={HEADER: header}, data=sip())
        )
        assert answer.status_code == status
        assert status == 200 or "personne ne le peut" in answer.get_json()["erreur"]


def test_a_refused_sip(ask: Ask) -> None:
    answer = ask("/v1/versements", data=tar({"manifest.xml": b"<a"}))
    assert answer.status_code == 422
    assert xml(answer).findtext(f"{_N}ReplyCode") == "KO"


def test_the_scanner_down_asks_for_another_try(ask: Ask, clamd: FakeClamd) -> None:
    clamd.stop()
    answer = ask("/v1/versements", data=sip())
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    assert xml(answer).findtext(f"{_N}ReplyCode") == "KO"


def test_the_storage_away_is_an_acknowledgement(ask: Ask, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **options: object) -> None:
        raise StoreUnavailableError("le stockage ne répond pas")

    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "put", away)
        answer = ask("/v1/versements", data=sip())
        assert answer.status_code == 202
        assert xml(answer).tag == f"{_N}Acknowledgement"
        assert xml(answer).findtext(f"{_N}MessageReceivedIdentifier") == "ACTE-1"
    assert ask("/v1/versements", data=sip()).status_code == 200
    assert gateway.accepted_events() == 1


def test_an_account_whose_sips_wait_for_the_storage_fills_nobody_s_disk(
    ask: Ask, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the storage never takes stays on the door's disk, and more of it came as long as its quota lasted."""
    monkeypatch.setattr(registry, "MAX_WAITING_BYTES", 1_500_000)  # a SIP counts for one at least

    def away(*args: object, **options: object) -> None:
        raise StoreUnavailableError("le stockage ne répond pas")

    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "put", away)
        answers = [ask("/v1/versements", data=sip(message=f"ACTE-{rank}")) for rank in range(4)]
        assert [one.status_code for one in answers] == [202, 202, 503, 503]
        assert answers[2].headers["Retry-After"] and "attendent le stockage" in answers[2].get_data(True)
        assert len(list(gateway.config.spool.iterdir())) == 2
        assert ask("/v1/versements", "loos", sip(sender=LOOS.siren)).status_code == 202
    assert [outcome for _key, outcome in gateway.engine.resume()] == ["OK"] * 3
    assert [ask("/v1/versements", data=sip(message=f"ACTE-{rank}")).status_code for rank in range(4)] == [200] * 4


def test_too_big(ask: Ask, gateway: Gateway) -> None:
    answer = ask("/v1/versements", data=b"x" * (gateway.config.limits.package + 1))
    assert answer.status_code == 413
    assert "dépasse 40 Mo" in str(xml(answer).findtext(f"{_N}Comment"))


@pytest.mark.parametrize("path", ["/", "/v1/archives", "/v1/versements/ACTE-1"])
@pytest.mark.parametrize("holder", ["", "inconnue"])
def test_no_account(ask: Ask, path: str, holder: str) -> None:
    answer = ask(path, holder)
    assert answer.status_code == 403
    assert "ertificat" in answer.get_json()["erreur"]
    assert ask("/v1/versements", holder, data=sip()).status_code == 403


def test_a_forged_certificate_is_none(gateway: Gateway) -> None:
    client = create_app(gateway.config, gateway.engine).test_client()
    for forged in ("gondecourt", SIREN, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        assert client.get("/v1/archives", headers={HEADER: quote(forged)}).status_code == 403


def test_archives_of_others_do_not_exist(ask: Ask) -> None:
    aip = xml(ask("/v1/versements", data=sip())).findtext(f".//{_N}SystemId")
    for path in (f"/v1/archives/{aip}", f"/v1/archives/{aip}.tar", f"/v1/archives/{aip}/content/acte.pdf"):
        assert ask(path, "loos").status_code == 404
    assert ask("/v1/versements/ACTE-1", "loos").status_code == 404
    assert ask("/v1/archives", "loos").get_json()["archives"] == []
    assert ask("/v1/versements", "loos", data=sip()).status_code == 422  # in Gondecourt's name


def test_what_is_not_there(ask: Ask) -> None:
    aip = xml(ask("/v1/versements", data=sip())).findtext(f".//{_N}SystemId")
    for path in ("/v1/archives/abc", f"/v1/archives/{aip}/content/autre.pdf", "/v2", f"/v1/archives/{aip}/../x"):
        answer = ask(path)
        assert answer.status_code == 404 and answer.get_json()["erreur"]


def test_a_damaged_archive_is_cut_short(ask: Ask, tmp_path: Path) -> None:
    aip = xml(ask("/v1/versements", data=sip())).findtext(f".//{_N}SystemId")
    (path,) = (tmp_path / "archives" / "gondecourt" / "aip").iterdir()
    path.write_bytes(path.read_bytes().replace(b"%PDF-1.4", b"%PDF-1.5"))
    with pytest.raises(Exception, match="n'a plus son empreinte"):
        ask(f"/v1/archives/{aip}/content/acte.pdf")
