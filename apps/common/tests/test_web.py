"""What an application of the agents refuses by itself."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Response, jsonify, request, send_file
from flask.testing import FlaskClient

from creatic_agent import web
from creatic_agent.identity import HEADER, Denied
from testbed.connector import Authority


def known() -> Response:
    return jsonify({"dit": "été"})


def denied() -> Response:
    raise Denied("Ce certificat n'ouvre rien.")


def posted() -> Response:
    return Response(request.get_data())


@pytest.fixture
def client() -> FlaskClient:
    rules = (("GET", "/connu", known), ("GET", "/refus", denied), ("POST", "/envoi", posted))
    app = web.application("essai", rules, partial(web.refusal, "motif"))
    app.config["MAX_CONTENT_LENGTH"] = 10
    return app.test_client()


@pytest.mark.parametrize(
    ("method", "address", "status", "text"),
    [
        ("GET", "/refus", 403, "Ce certificat n'ouvre rien."),
        ("GET", "/ailleurs", 404, "Cette adresse n'existe pas."),
        ("GET", "/static/x", 404, "Cette adresse n'existe pas."),
        ("POST", "/connu", 405, "Méthode non admise ici."),
        ("GET", "/envoi", 405, "Méthode non admise ici."),
        ("POST", "/envoi", 413, "La demande est trop grosse."),
    ],
)
def test_a_refusal_says_why_in_french(client: FlaskClient, method: str, address: str, status: int, text: str) -> None:
    answer = client.open(address, method=method, data=b"x" * 11 if method == "POST" else None)
    assert (answer.status_code, answer.get_json()) == (status, {"motif": text})
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize("address", ["/connu?a=b%00c", "/connu?a=b&a=%00", "/connu?%00=b", "/connu%00", "/connu/%00"])
def test_nothing_is_asked_that_no_text_of_the_database_holds(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 400
    assert "caractère nul" in answer.get_json()["motif"] and "À faire" in answer.get_json()["motif"]
    assert client.get("/connu?a=%2500").status_code == 200


@pytest.mark.parametrize("sent", [b"[" * 100_000, b"9" * 5_000, b"\xff", b"{", b'"\\ud800"'])
def test_what_is_no_json_ends_no_request(sent: bytes) -> None:
    rules = (("POST", "/dit", lambda: jsonify({"dit": request.get_json(silent=True)})),)
    client = web.application("essai", rules, partial(web.refusal, "motif")).test_client()
    answer = client.post("/dit", data=sent, content_type="application/json")
    assert answer.status_code == 200, answer.get_data()


def test_what_is_sent_is_bounded_where_nobody_says_how_much() -> None:
    """38 MB of « {}, », said of an archive's copies, took a gigabyte of the archives' door from everybody."""
    rules = (("POST", "/dit", lambda: {"lu": request.get_json(silent=True)}),)
    client = web.application("essai", rules, partial(web.refusal, "motif")).test_client()
    for size, status in ((web.LARGEST, 200), (web.LARGEST + 1, 413)):
        assert client.post("/dit", data=b"1".rjust(size), content_type="application/json").status_code == status


@pytest.mark.parametrize("piece", ["{},", "[],", '{"":{}},', "[[]],"])
def test_what_says_much_in_little_is_no_json(piece: str) -> None:
    """Two megabytes of « {}, » took seventy, for each of six requests, of the 512 that the passerelle's pages have."""
    rules = (("POST", "/dit", lambda: jsonify({"dit": request.get_json(silent=True)})),)
    app = web.application("essai", rules, partial(web.refusal, "motif"))
    sent = f"[{piece * (900_000 // len(piece))}0]"
    client = app.test_client()
    tracemalloc.start()
    answer = client.post("/dit", data=sent, content_type="application/json")
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (answer.status_code, answer.get_json()) == (200, {"dit": None})
    assert peak < 8_000_000
    assert client.post("/dit", json=["é, [{"] * 20_000).get_json() == {"dit": ["é, [{"] * 20_000}


def test_what_is_known_is_given_with_its_accents(client: FlaskClient) -> None:
    assert "été" in client.get("/connu").get_data(as_text=True)
    assert client.post("/envoi", data=b"x" * 10).get_data() == b"x" * 10


def test_a_refusal_may_say_when_to_ask_again(client: FlaskClient) -> None:
    with client.application.app_context():
        answer = web.refusal("erreur", 503, "Plus tard.", 60)
    assert (answer.status_code, answer.headers["Retry-After"], answer.get_json()) == (
        503,
        "60",
        {"erreur": "Plus tard."},
    )


def test_who_hangs_up_leaves_work_that_counts_as_his(tmp_path: Path) -> None:
    """nginx counts who waits: who sent and hung up, again and again, had every thread of the door."""
    authority = Authority(tmp_path / "pki", "groupement de test")
    headers = {
        siren: {HEADER: quote((authority.issue(f"Agent {siren}", siren=siren) / "cert.pem").read_text())}
        for siren in ("215902669", "215903600")
    }
    begun, end, closed = threading.Semaphore(0), threading.Event(), threading.Event()

    def works() -> Response:
        begun.release()
        assert end.wait(30)
        return Response("fait")

    def tells() -> Response:
        def told() -> Iterator[bytes]:
            try:
                yield b"un"
                yield b"deux"
            finally:
                closed.set()

        return Response(told())

    def fails() -> Response:
        raise RuntimeError

    def gives() -> Response:
        return send_file(tmp_path / "piece")

    (tmp_path / "piece").write_bytes(b"x" * 100_000)
    rules = (
        *(("GET", "/long", works), ("GET", "/lu", tells), ("GET", "/rate", fails), ("GET", "/connu", known)),
        ("GET", "/piece", gives),
    )
    app = web.application("essai", rules, partial(web.refusal, "motif"))

    def ask(address: str, siren: str = "215902669") -> int:
        with app.test_client().get(address, headers=headers[siren]) as answer:
            return answer.status_code

    assert [ask("/rate") for _ in range(web.PLACES + 1)] == [500] * (web.PLACES + 1)  # each gives its place back
    for method in ("GET", "HEAD"):
        for _each in range(web.PLACES + 1):
            app.test_client().open("/piece", method=method, headers=headers["215902669"]).close()
    reading = app.test_client().get("/lu", headers=headers["215902669"])  # what is told on the way has its place too
    working = [threading.Thread(target=ask, args=("/long",)) for _ in range(web.PLACES - 1)]
    for thread in working:
        thread.start()
        assert begun.acquire(timeout=30)
    refused = app.test_client().get("/connu", headers=headers["215902669"])
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
    assert "recommencez dans une minute" in refused.get_json()["motif"]
    assert ask("/connu", "215903600") == 200
    assert app.test_client().get("/connu").status_code == 200  # the view says who is nobody
    reading.close()
    assert closed.is_set() and ask("/connu") == 200
    end.set()
    for thread in working:
        thread.join(30)
    assert [ask("/connu") for _ in range(web.PLACES + 1)] == [200] * (web.PLACES + 1)
