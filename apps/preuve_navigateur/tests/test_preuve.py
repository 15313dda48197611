"""The proof: what is seen, and the words which a technician reads."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from preuve_navigateur import chromium, cli, store, verdict
from preuve_navigateur.chromium import Chromium, ChromiumError, Visit
from preuve_navigateur.store import State, Wanted

from testbed.patience import allowed

from .conftest import Maker

FAKE = Path(__file__).with_name("fake_chromium.py")
SIREN, URL = "215902669", "https://tdt.creatic.test"
CERTIFICATE = Wanted("Secrétariat général", "Secrétariat général", "")
TOKEN = Wanted("Finances", "finances:certificat", "finances")
GOOD = State(CERTIFICATE, "", 300, "01/10/2027")
PAGE = Visit(status=200, text="Gondecourt\nSIREN\n215902669", picture=b"\x89PNG", seconds=0.3)


def browser(visit: Visit, *states: State) -> dict[str, Any]:
    return verdict.browser(visit, list(states), SIREN, URL, "navigateur.png" if visit.picture else "")


def test_the_right_page_is_proof() -> None:
    proof = browser(PAGE, GOOD)
    assert (proof["cle"], proof["verdict"]) == ("navigateur", "ok")
    assert proof["mesures"]["image"] == "navigateur.png"


def test_a_siren_written_in_groups_is_the_same() -> None:
    assert browser(Visit(status=200, text="SIREN 215 902 669"), GOOD)["verdict"] == "ok"


def test_the_page_of_another_commune_is_no_proof() -> None:
    proof = browser(Visit(status=200, text="Avesnes-les-Aubert 215900374"), GOOD)
    assert proof["verdict"] == "echec"
    assert f"ne montre pas le SIREN {SIREN}" in proof["detail"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("net::ERR_CONNECTION_REFUSED", "connexion refusée"),
        ("net::ERR_NAME_NOT_RESOLVED", "vérifier le DNS"),
        ("net::ERR_CONNECTION_TIMED_OUT", "pare-feu"),
        ("net::ERR_CERT_AUTHORITY_INVALID", "autorité inconnue du poste : ne pas passer outre"),
        ("net::ERR_CERT_COMMON_NAME_INVALID", "pas celui du TdT"),
        ("net::ERR_CERT_DATE_INVALID", "vérifier l'heure du poste"),
        ("net::ERR_CERT_REVOKED", "prévenir le TdT"),
        ("net::ERR_BAD_SSL_CLIENT_AUTH_CERT", "refuse le certificat du poste"),
        ("net::ERR_SSL_CLIENT_AUTH_PRIVATE_KEY_ACCESS_DENIED", "jeton branché"),
        ("net::ERR_SOMETHING_NEW", "ne s'ouvre pas"),
    ],
)
def test_each_error_is_said_in_french(error: str, words: str) -> None:
    proof = browser(Visit(error=error), GOOD)
    assert proof["verdict"] == "echec"
    assert words in proof["detail"]
    assert error.removeprefix("net::") in proof["detail"]


def test_a_refused_certificate_says_why_when_the_pc_knows() -> None:
    visit = Visit(status=400, text="Certificat refusé\nIl est révoqué.")
    revoked = State(CERTIFICATE, "le certificat « Secrétariat général » est révoqué depuis le 09/03/2026", 300, "")
    detail = browser(visit, revoked)["detail"]
    assert "refuse l'accès (HTTP 400)" in detail
    assert "révoqué depuis le 09/03/2026" in detail
    assert "« Certificat refusé Il est révoqué. »" in detail


def test_a_server_error_is_not_said_of_the_certificate() -> None:
    detail = browser(Visit(status=500), GOOD)["detail"]
    assert "erreur (HTTP 500)" in detail
    assert "certificat" not in detail


def test_a_token_which_waits_for_its_pin_asks_for_a_hand() -> None:
    proof = browser(Visit(waited=True), State(TOKEN, "", 300, "01/10/2027"))
    assert proof["verdict"] == "attention"
    assert "--visible" in proof["detail"]


def test_a_token_which_is_not_there_is_a_failure() -> None:
    proof = browser(Visit(waited=True), State(TOKEN, "le certificat « Finances » n'est pas sur ce poste"))
    assert proof["verdict"] == "echec"


def test_a_browser_which_waits_without_a_token_is_a_failure() -> None:
    assert browser(Visit(waited=True), GOOD)["verdict"] == "echec"


def test_a_pc_without_a_certificate_is_a_failure() -> None:
    assert browser(PAGE)["verdict"] == "echec"
    assert verdict.certificate([])["verdict"] == "echec"


@pytest.mark.parametrize(("days", "expected"), [(300, "ok"), (31, "ok"), (30, "attention"), (-1, "echec")])
def test_expiry_verdicts(maker: Maker, days: int, expected: str) -> None:
    certificate = maker.make("Secrétariat", days=days).certificate
    state = store.state(CERTIFICATE, certificate, b"", dt.datetime.now(dt.UTC))
    assert verdict.certificate([state])["verdict"] == expected


def test_revocation_is_read_from_the_issuer_s_crl(maker: Maker) -> None:
    good, bad = maker.make("Bon").certificate, maker.make("Mauvais").certificate
    other = Maker("Une autre racine")
    crls = other.crl(good) + maker.crl(bad)
    now = dt.datetime.now(dt.UTC)
    assert store.state(CERTIFICATE, good, crls, now).problem == ""
    assert "révoqué depuis le 09/03/2026" in store.state(CERTIFICATE, bad, crls, now).problem


@pytest.mark.parametrize(("wanted", "fix"), [(CERTIFICATE, "relancer le déploiement"), (TOKEN, "brancher le jeton")])
def test_an_absent_certificate_says_what_to_do(wanted: Wanted, fix: str) -> None:
    assert fix in store.state(wanted, None, b"", dt.datetime.now(dt.UTC)).problem


@pytest.fixture
def fake(tmp_path: Path) -> Any:
    def make(case: str) -> str:
        program = tmp_path / case
        shutil.copy(FAKE, program)
        return str(program)

    return make


def test_a_page_is_read_and_pictured(fake: Any) -> None:
    with Chromium(program=fake("page")) as running:
        visit = running.visit(URL, 120)
    assert (visit.status, visit.error, visit.waited, visit.picture) == (200, "", False, b"\x89PNG")
    assert "215 902 669" in visit.text


def test_an_error_page_keeps_its_code_and_picture(fake: Any) -> None:
    with Chromium(program=fake("refused")) as running:
        visit = running.visit(URL, 120)
    assert (visit.status, visit.error, visit.picture) == (0, "net::ERR_CONNECTION_REFUSED", b"\x89PNG")


def test_a_question_to_nobody_ends_in_time_and_leaves_no_process(fake: Any) -> None:
    start = time.monotonic()
    with Chromium(program=fake("waits")) as running:
        visit = running.visit(URL, 2)
        process = running._process
    assert visit.waited
    assert time.monotonic() - start < allowed(15)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_chromium_which_dies_says_why(fake: Any) -> None:
    with pytest.raises(ChromiumError, match="no usable sandbox"), Chromium(program=fake("dies")) as running:
        running.visit(URL, 120)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", "sans explication"),
        ("début\nfin ", "fin"),
        ("FATAL: zygote\nfin", "FATAL: zygote"),
        ("No usable SandBox!\nfin", "No usable SandBox!"),
        ("FATAL: un\nsandbox deux\nfin", "sandbox deux"),
    ],
)
def test_the_line_that_tells_why_is_the_fatal_one(tmp_path: Path, log: str, said: str) -> None:
    running = Chromium()
    running._log = tmp_path / "journal"
    running._log.write_text(log)
    assert running._why_it_died() == f"Chromium s'est arrêté : {said}"


def test_a_chromium_which_is_not_there_says_so() -> None:
    with pytest.raises(ChromiumError, match="ne démarre pas"), Chromium(program="/absent/chromium"):
        pass


def test_the_command_prints_the_protocol_and_replaces_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fake: Any, maker: Maker
) -> None:
    configuration, picture = tmp_path / "preuve.json", tmp_path / "navigateur.png"
    certificates = [{"nom": "Secrétariat général", "nss": "Secrétariat général", "jeton": ""}]
    configuration.write_text(json.dumps({"url": URL, "siren": SIREN, "certificats": certificates}))
    picture.write_bytes(b"ancienne")
    monkeypatch.setattr(cli, "CONFIGURATION", configuration)
    monkeypatch.setattr(cli, "PICTURE", picture)
    monkeypatch.setattr(cli, "CRL", tmp_path / "absente.pem")
    monkeypatch.setattr(store, "read", lambda *_: maker.make("Secrétariat").certificate)
    monkeypatch.setattr(chromium.Chromium.__init__, "__defaults__", (False, fake("page")))
    assert cli.main([]) == 0
    proof = json.loads(capsys.readouterr().out)
    assert [(one["cle"], one["verdict"]) for one in proof["preuves"]] == [("navigateur", "ok"), ("certificat", "ok")]
    assert proof["fichiers"] == [str(picture)]
    assert picture.read_bytes() == b"\x89PNG"


def test_a_missing_configuration_is_an_error_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "CONFIGURATION", tmp_path / "absente.json")
    assert cli.main([]) == 1
    assert capsys.readouterr().err.startswith("preuve-navigateur : ")


@pytest.mark.parametrize(
    ("status", "refused"),
    [
        (399, False),
        (400, True),
        (401, True),
        (402, False),
        (403, True),
        (404, False),
        (495, True),
        (496, True),
        (497, False),
    ],
)
def test_a_refusal_is_told_from_a_fault(status: int, refused: bool) -> None:
    detail = browser(Visit(status=status), GOOD)["detail"]
    assert ("refuse l'accès" in detail) == refused
    assert ("répond par une erreur" in detail) != refused


def test_of_the_page_the_beginning_is_quoted() -> None:
    detail = browser(Visit(status=500, text="x\n " * 200), GOOD)["detail"]
    assert detail.endswith(f" ; sa page dit : « {('x ' * 80)} »")
    assert "sa page dit" not in browser(Visit(status=500, text=" "), GOOD)["detail"]
    assert "sa page dit" not in browser(Visit(error="net::ERR_X", text="x"), GOOD)["detail"]


@pytest.mark.parametrize(("days", "told"), [(29, "attention"), (30, "attention"), (31, "ok"), (0, "attention")])
def test_a_certificate_is_to_renew_from_thirty_days(days: int, told: str) -> None:
    proof = verdict.certificate([State(CERTIFICATE, "", days, "01/10/2027")])
    assert (proof["verdict"], proof["mesures"]) == (told, {"Secrétariat général (jours)": days})


def test_the_store_is_asked_for_the_one_that_lasts_longest(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    short, long = maker.make("a", days=10), maker.make("a", days=90)
    answer = SimpleNamespace(returncode=0, stdout=(long.pem + short.pem).encode())

    def run(command: list[str], **options: Any) -> Any:
        asked.append(command)
        assert options["timeout"] == 20
        if answer.returncode < 0:
            raise subprocess.TimeoutExpired(command, 20)
        return answer

    played = SimpleNamespace(run=run, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired)
    monkeypatch.setattr(store, "subprocess", played)
    assert store.read(tmp_path, CERTIFICATE) == long.certificate
    assert store.read(tmp_path, TOKEN) == long.certificate
    assert ["-h" in command for command in asked] == [False, True]
    assert asked[1][asked[1].index("-h") + 1] == "finances"
    for status, out in ((1, answer.stdout), (0, b"rien"), (-1, b"")):
        answer.returncode, answer.stdout = status, out
        assert store.read(tmp_path, CERTIFICATE) is None
