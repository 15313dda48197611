"""What an application of the agents refuses by itself."""

from __future__ import annotations

from functools import partial

import pytest
from flask import Response, jsonify, request
from flask.testing import FlaskClient

from creatic_agent import web
from creatic_agent.identity import Denied


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


@pytest.mark.parametrize("sent", [b"[" * 100_000, b"9" * 5_000, b"\xff", b"{", b'"\\ud800"'])
def test_what_is_no_json_ends_no_request(sent: bytes) -> None:
    rules = (("POST", "/dit", lambda: jsonify({"dit": request.get_json(silent=True)})),)
    client = web.application("essai", rules, partial(web.refusal, "motif")).test_client()
    answer = client.post("/dit", data=sent, content_type="application/json")
    assert answer.status_code == 200, answer.get_data()


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
