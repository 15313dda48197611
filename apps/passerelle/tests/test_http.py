"""What the passerelle makes of what other servers answer, and what it is told of in return."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from flask import Flask, Response, jsonify, redirect, request
from passerelle import ged, page
from passerelle.acts import BadRequest
from passerelle.config import Commune as PasserelleCommune
from passerelle.config import Config
from passerelle.deliberations import problem
from passerelle.errors import Away, Refused, Trouble
from passerelle.ged import Piece
from passerelle.http import Server
from passerelle.identity import visitor
from passerelle.queue import Retry, _cron
from passerelle.steps import STAGES
from passerelle.store import as_act
from tdt_connector.handover import HandoverError, Passerelle
from tdt_connector.journal import Journal, SeenFile, State

from creatic_agent.identity import Denied
from testbed.chain import COMMUNES, FakeConnector, World
from testbed.connector import Authority, Commune
from testbed.servers import PASSWORD, TlsServer


class Other:
    """A server that answers what it is told to."""

    def __init__(self, authority: Authority) -> None:
        self.app, self.authority = Flask("autre"), authority
        self.answer: Any = ("", 200)
        self.asked: list[tuple[str, str, str | None]] = []
        for path in ("/", "/<path:path>"):
            self.app.add_url_rule(path, path, self._answer, methods=["GET", "POST"])
        self.server = TlsServer(self.app, authority.folder / "tdt")

    def _answer(self, path: str = "") -> Any:
        self.asked.append((request.method, request.path, request.headers.get("Authorization")))
        return self.answer() if callable(self.answer) else self.answer

    def client(self, **options: Any) -> Server:
        return Server("la GED", f"{self.server.url}/", str(self.authority.bundle), **options)


@pytest.fixture
def other(authority: Authority) -> Iterator[Other]:
    made = Other(authority)
    yield made
    made.server.stop()


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (lambda: (jsonify({"message": "Trop de demandes."}), 429), Away, "la GED répond HTTP 429 : Trop de demandes."),
        (lambda: ("page", 502), Away, "la GED répond HTTP 502."),
        (lambda: ("page", 503), Away, "la GED répond HTTP 503."),
        (lambda: ("page", 504), Away, "la GED répond HTTP 504."),
        (lambda: (jsonify({"detail": "Champ\n absent."}), 400), Refused, "la GED répond HTTP 400 : Champ absent."),
        (lambda: (jsonify({"numero": ["vide"]}), 409), Refused, 'la GED répond HTTP 409 : {"numero": ["vide"]}'),
        (lambda: (jsonify(["non"]), 422), Refused, 'la GED répond HTTP 422 : ["non"]'),
        (lambda: (Response("{", mimetype="application/json"), 404), Refused, "la GED répond HTTP 404."),
        (lambda: ("page", 413), Refused, "la GED répond HTTP 413."),
        (lambda: (jsonify({"detail": "x" * 500}), 500), Trouble, f"la GED répond HTTP 500 : {'x' * 400}"),
        (lambda: ("page", 403), Trouble, "la GED répond HTTP 403."),
        (lambda: redirect("/ailleurs"), Trouble, "la GED répond HTTP 302."),
    ],
)
def test_what_a_server_says_decides_what_is_done(
    other: Other, answer: Any, expected: type[Exception], words: str
) -> None:
    other.answer = answer
    with pytest.raises(expected) as told:
        other.client().ask("GET", "/x")
    assert (type(told.value), str(told.value)) == (expected, words)
    assert [path for _method, path, _account in other.asked] == ["/x"]


def test_answers_are_json_or_nothing(other: Other) -> None:
    assert other.client().json("POST", "/x") == {}
    other.answer = lambda: jsonify({"a": 1})
    assert other.client().json("GET", f"{other.server.url}/x") == {"a": 1}
    other.answer = "page"
    with pytest.raises(Trouble, match=r"^la GED : réponse illisible à /x\.$"):
        other.client().json("GET", "/x")


@pytest.mark.parametrize("found", [{}, [], {"results": 1}, {"results": [1]}])
def test_a_list_is_one_of_objects(other: Other, found: Any) -> None:
    other.answer = lambda: jsonify(found)
    with pytest.raises(Trouble, match=r"^la GED : réponse inattendue à /x\.$"):
        other.client().results("/x")
    other.answer = lambda: jsonify({"results": [{"a": 1}]})
    assert other.client().results("/x") == [{"a": 1}]


@pytest.mark.parametrize("url", ["https://ailleurs.test/x", "https://localhost:1/x"])
def test_another_machine_is_not_asked(other: Other, url: str) -> None:
    with pytest.raises(Refused, match=r"^la GED renvoie vers une autre machine \((ailleurs\.test|localhost)\)\.$"):
        other.client().ask("GET", url)
    assert other.asked == []


def test_the_environment_sends_nothing_by_a_proxy(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    other.answer = lambda: jsonify({"a": 1})
    assert other.client().json("GET", "/x") == {"a": 1}


def test_a_server_that_is_not_proven_or_not_there(other: Other, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "inconnue", "inconnue")
    with pytest.raises(Trouble, match=r"^la GED : certificat refusé \(.+\)\.$"):
        Server("la GED", other.server.url, str(stranger.bundle)).ask("GET", "/x")
    other.server.stop()
    with pytest.raises(Away, match=r"^la GED ne répond pas \(ConnectionError\)\.$"):
        other.client().ask("GET", "/x")


def test_a_session_is_opened_once_and_again_when_it_ended(other: Other) -> None:
    tokens: dict[str, tuple[str, float]] = {}
    client = other.client(tokens=tokens)
    other.answer = lambda: jsonify({"token": "un"})
    client.log_in("passerelle", PASSWORD)
    client.log_in("passerelle", PASSWORD)
    other.answer = ("", 401)
    with pytest.raises(Trouble):
        client.ask("GET", "/x")
    assert tokens == {}
    other.answer = lambda: jsonify({"token": "deux"})
    client.log_in("passerelle", PASSWORD)
    other.answer = ("", 200)
    client.ask("GET", "/y")
    opening = "/api/v4/auth/token/obtain/"
    assert other.asked == [
        ("POST", opening, None),
        ("GET", "/x", "Token un"),
        ("POST", opening, "Token un"),
        ("GET", "/y", "Token deux"),
    ]
    tokens[other.server.url] = "deux", time.monotonic() - 4 * 3600 - 1  # it ends soon: another is taken
    other.answer = lambda: jsonify({"token": "trois"})
    client.log_in("passerelle", PASSWORD)
    assert tokens[other.server.url][0] == "trois"
    other.answer = lambda: jsonify({"jeton": "un"})
    with pytest.raises(Trouble, match=r"^la GED refuse le compte « passerelle » \('token'\)\.$"):
        other.client().log_in("passerelle", PASSWORD)


def test_a_file_has_a_largest_size(other: Other) -> None:
    other.answer = b"x" * 2_000_000
    target = io.BytesIO()
    assert other.client(limit=2_000_000).fetch("/x", target) == digest_of(b"x" * 2_000_000)
    assert target.getvalue() == b"x" * 2_000_000
    with pytest.raises(Refused, match=r"^la GED : le fichier dépasse 1 Mo\.$"):
        other.client(limit=1_999_999).fetch("/x", io.BytesIO())


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# -- the GED ------------------------------------------------------------------------------------------------


class Played:
    """A document store whose answers are given by path."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.called: list[tuple[str, str, Any]] = []

    def log_in(self, login: str, password: str) -> None:
        """There is one."""

    def json(self, method: str, path: str, **given: Any) -> Any:
        self.called.append((method, path, given.get("json")))
        found: Any = next((value for key, value in self.answers.items() if f"/{key}/" in path), [])
        if method == "GET" and isinstance(found, list):
            number = int(path.rpartition("page=")[2])
            return {"results": found[number - 1 : number], "next": "suite" if number < len(found) else None}
        return {"id": 59}

    def ask(self, method: str, path: str, **given: Any) -> None:
        self.called.append((method, path, given["data"]))


def store(**answers: Any) -> tuple[ged.Ged, Played]:
    played = Played(**answers)
    return ged.Ged(played, "passerelle", PASSWORD), played  # type: ignore[arg-type] # plays a Server


@pytest.fixture
def piece(tmp_path: Path) -> Piece:
    (tmp_path / "abc").write_bytes(b"%PDF-")
    return Piece("ref mot", "mot", "2026_1 - Budget", tmp_path / "abc", "2026_1.pdf", "application/pdf")


def test_lists_are_read_to_their_last_page() -> None:
    client, played = store(document_types=[{"id": 1}, {"id": 2}, {"id": 3}])
    assert client._listed("/document_types/") == [{"id": 1}, {"id": 2}, {"id": 3}]
    assert [path for _method, path, _body in played.called] == [
        f"/api/v4/document_types/?page_size=1000&page={number}" for number in (1, 2, 3)
    ]


def test_a_document_is_found_by_its_whole_mark(piece: Piece) -> None:
    search = "documents.documentsearchresult"
    client, played = store(**{search: [{"id": "7", "description": "autre mot"}, {"id": "8", "description": "ref mot"}]})
    assert client._document("Loos", "Loos - Délibération", piece) == 8
    assert {method for method, _path, _body in played.called} == {"GET"}
    client, _played = store(**{search: [{"id": "9", "description": "ref mot"}, {"id": "8", "description": "ref mot"}]})
    with pytest.raises(Refused) as told:
        client._document("Loos", "Loos - Délibération", piece)
    assert str(told.value) == "la GED a 2 documents « 2026_1 - Budget » : supprimez-en (nos [9])."


def test_a_document_is_made_of_its_type(piece: Piece) -> None:
    client, played = store(
        document_types=[{"id": 4, "label": "Loos - Arrêté"}, {"id": 5, "label": "Loos - Délibération"}]
    )
    assert client._document("Loos", "Loos - Délibération", piece) == 59
    body = {"document_type_id": 5, "label": "2026_1 - Budget", "description": "ref mot", "language": "fra"}
    assert played.called[-1] == ("POST", "/api/v4/documents/", body)
    with pytest.raises(Refused) as told:
        client._document("Loos", "Loos - Marché public", piece)
    assert str(told.value) == (
        "la GED n'a pas de type « Loos - Marché public » pour Loos, ou la passerelle n'y a pas droit."
    )


def test_metadata_are_set_right(piece: Piece) -> None:
    there = [
        {"id": 1, "metadata_type": {"name": "numero"}, "value": "2026_1"},
        {"id": 2, "metadata_type": {"name": "objet"}, "value": "ancien"},
    ]
    client, played = store(metadata=there, metadata_types=[{"id": 3, "name": "date_acte"}])
    client._describe(8, {"numero": "2026_1", "objet": "Budget", "date_acte": "2026-11-20", "inconnu": "x"})
    assert [one for one in played.called if one[0] != "GET"] == [
        ("PATCH", "/api/v4/documents/8/metadata/2/", {"value": "Budget"}),
        ("POST", "/api/v4/documents/8/metadata/", {"metadata_type_id": 3, "value": "2026-11-20"}),
    ]
    played.called.clear()
    client._describe(8, {"numero": "2026_1"})
    assert not any("metadata_types" in path for _method, path, _body in played.called)


def test_a_folder_has_its_whole_path() -> None:
    client, _played = store(cabinets=[{"id": 3, "full_path": "Loos / Budget"}, {"id": 4, "full_path": "Budget"}])
    assert client._cabinet(("Loos", "Budget")) == 3
    with pytest.raises(
        Refused, match=r"^la GED n'a pas de dossier « Loos / Arrêtés », ou la passerelle n'y a pas droit"
    ):
        client._cabinet(("Loos", "Arrêtés"))


def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that sleeping moves."""
    now = [1000.0]
    monkeypatch.setattr(
        ged,
        "time",
        SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s)),
    )
    return now


def test_a_file_is_sent_once_and_waited_for(piece: Piece, monkeypatch: pytest.MonkeyPatch) -> None:
    now, noted = clock(monkeypatch), list[dict[str, Any]]()
    client, played = store(files=[])
    sent: dict[str, Any] = {}
    with pytest.raises(Away, match=r"^la GED n'a pas encore pris « 2026_1\.pdf » en charge\.$"):
        client._upload(8, piece, sent, lambda: noted.append(dict(sent)))
    assert noted == [{"le": 1000.0}, {"le": 1000.0, "recu": True}]
    posts = [one for one in played.called if one[0] == "POST"]
    assert posts == [("POST", "/api/v4/documents/8/files/", {"action_name": "replace"})]
    assert 1020 < now[0] < 1024
    with pytest.raises(Away):  # the answer came: it is not sent again, however late
        client._upload(8, piece, sent, lambda: noted.append(dict(sent)))
    assert [one for one in played.called if one[0] == "POST"] == posts
    played.answers["files"] = [{"checksum": "abc"}]
    client._upload(8, piece, {}, lambda: pytest.fail("it is there"))


@pytest.mark.parametrize(("ago", "again"), [(100.0, False), (161.0, True), (181.0, True)])
def test_a_file_sent_without_an_answer_is_sent_again_after_three_minutes(
    piece: Piece, monkeypatch: pytest.MonkeyPatch, ago: float, again: bool
) -> None:
    clock(monkeypatch)
    client, played = store(files=[])
    sent: dict[str, Any] = {"le": 1000.0 - ago}
    with pytest.raises(Away):
        client._upload(8, piece, sent, lambda: None)
    assert (any(one[0] == "POST" for one in played.called), "recu" in sent) == (again, again)


# -- what is announced, shown, retried ----------------------------------------------------------------------


DIGEST = "a" * 64
GOOD: dict[str, Any] = {
    "uid": "u",
    "reference": "r",
    "commune": "loos",
    "numero": "1",
    "date": "2026-11-20T10:00:00",
    "objet": "o",
    "document": {"url": "https://d/x", "sha256": DIGEST},
}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"annexes": None}, ""),
        *(
            ({name: value}, f"le champ « {name} » manque.")
            for name in ("uid", "reference", "commune", "numero", "date", "objet")
            for value in (" ", 3, None)
        ),
        ({"date": "20/11/2026"}, "le champ « date » n'est pas une date : « 20/11/2026 »."),
        ({"date": "2026-02-30"}, "le champ « date » n'est pas une date : « 2026-02-30 »."),
        ({"date": "2026-13-01T10:00:00"}, "le champ « date » n'est pas une date : « 2026-13-01T10:00:00 »."),
        ({"document": None}, "un document est annoncé sans son empreinte (sha256)."),
        ({"document": {"url": "x", "sha256": "A" * 64}}, "un document est annoncé sans son empreinte (sha256)."),
        ({"document": {"sha256": DIGEST}}, "un document est annoncé sans son adresse (url)."),
        ({"annexes": [{"url": "x"}]}, "un document est annoncé sans son empreinte (sha256)."),
        ({"annexes": [{"url": 3, "sha256": DIGEST}]}, "un document est annoncé sans son adresse (url)."),
    ],
)
def test_what_is_wrong_with_an_announcement(changes: dict[str, Any], told: str) -> None:
    assert problem(GOOD | changes) == told


def test_tries_are_twice_as_far_apart_each_time() -> None:
    retry = Retry(Config({}))
    delays = [
        retry.get_retry_decision(exception=Away("x"), job=SimpleNamespace(attempts=tries)).retry_at  # type: ignore[arg-type] # plays a job
        for tries in (0, 1, 2, 5, 6, 60)
    ]
    assert all(delays)
    spans = [round((one - delays[0]).total_seconds()) for one in delays if one and delays[0]]
    assert spans == [0, 5, 15, 155, 295, 295]
    assert (_cron(30), _cron(59), _cron(60), _cron(120)) == (
        "* * * * * */30",
        "* * * * * */59",
        "*/1 * * * *",
        "*/2 * * * *",
    )


def shown(world: World, step: str, commune: str = "gondecourt", **changes: Any) -> tuple[dict[str, Any], list[str]]:
    now = datetime(2026, 11, 27, 12, tzinfo=UTC)
    values: dict[str, Any] = {"data": {"circuit": "deliberation"}, "track": {}, "blocked": "", "late": ""} | changes
    act = as_act(
        {"reference": "r", "commune": commune, "donnees": values["data"], "etape": step, "suivi": values["track"],
         "blocage": values["blocked"], "retard": values["late"], "recu_le": now, "modifie_le": now}
    )  # fmt: skip # a row
    row = page._row(world.config, act)
    return row, row["etapes"]


def test_stages_say_what_is_done_here_and_to_come(world: World) -> None:
    row, stages = shown(world, "signature")
    assert len(stages) == len(STAGES)
    assert stages == ["fait", "ici", "avenir", "avenir", "avenir", "avenir", "avenir"]
    assert (row["etat"], row["texte"], row["depuis"]) == ("ici", "au parapheur, à signer", "27/11/2026 à 13:00")
    assert shown(world, "signature", commune="loos")[1] == [
        "fait",
        "sans",
        "avenir",
        "avenir",
        "avenir",
        "sans",
        "avenir",
    ]
    published = {"publication": {"le": "2026-11-22", "mode": "electronique"}}
    assert shown(world, "termine", track=published)[1] == ["fait"] * 7
    assert shown(world, "termine", track=published)[0]["texte"] == "au bout de la chaîne"
    assert shown(world, "ged", blocked="Illisible.")[1] == ["fait"] * 4 + ["bloque", "avenir", "avenir"]
    flow = {"circuit": "pes"}
    row, stages = shown(world, "aracte", data=flow)
    assert stages == ["fait", "fait", "fait", "ici", "sans", "sans", "sans"]
    assert row["texte"] == "transmis, attend l'acquittement de la DGFiP"
    assert shown(world, "aracte")[0]["texte"] == "transmis, attend l'ARActe"
    assert shown(world, "reception", commune="disparue")[0]["commune"] == "disparue"


def test_a_refusal_says_who_and_why(world: World) -> None:
    for refusal, text in (
        ({"par": "Camille", "motif": "Non."}, "Refusé au parapheur par Camille : Non."),
        ({"motif": ""}, "Refusé au parapheur : sans motif"),
    ):
        row, stages = shown(world, "signature", track={"refus": refusal})
        assert (row["etat"], row["texte"], stages[1]) == ("refus", text, "bloque")
    assert shown(world, "reprise", track={"refus": {"motif": "Non."}})[0]["etat"] == "ici"


def test_the_page_counts_what_waits(world: World) -> None:
    for uid in ("d1", "d2", "d3"):
        world.reach(world.deliberations.adopt(uid), "signature")
    world.chain.block("deliberations:d1", "Illisible.")
    world.parapheur.refuse("deliberations:d2", "Non.")
    world.chain.arrivals.look()
    found = page.content(world.config, world.store, None)
    assert [one["reference"] for one in found["a_revoir"]] == ["deliberations:d1", "deliberations:d2"]
    assert (found["finis"], found["en_chemin"], found["commune"]) == (0, 1, "")
    own = page.content(world.config, world.store, COMMUNES["loos"])
    assert (own["actes"], own["commune"]) == ([], "Loos")


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("connecteur", ("Connecteur - Gondecourt", "gondecourt", True)),
        ("poste", ("Secrétariat général", "gondecourt", False)),
        ("groupement", ("Exploitation", None, False)),
    ],
)
def test_the_certificate_says_who(world: World, authority: Authority, who: str, expected: tuple[Any, ...]) -> None:
    found = visitor((authority.folder / who / "cert.pem").read_text(), world.config)
    assert (found.name, found.commune and found.commune.slug, found.connector) == expected


CCAS = PasserelleCommune("gondecourt-ccas", "CCAS de Gondecourt", "265902668", ("deliberations",), host="gondecourt")


@pytest.mark.parametrize(
    ("who", "chosen", "expected"),
    [
        ("poste", "gondecourt-ccas", "gondecourt-ccas"),
        ("poste", "gondecourt", "gondecourt"),
        ("poste", "la-madeleine", "gondecourt"),  # another commune is not its own
        ("poste", "la-madeleine-ccas", "gondecourt"),
        ("poste", "../gondecourt-ccas", "gondecourt"),
        ("connecteur", "gondecourt-ccas", "gondecourt"),  # a connector speaks for its own SIREN
        ("autre-poste", "gondecourt-ccas", "la-madeleine"),
        ("groupement", "gondecourt-ccas", None),
        ("poste-ccas", "", "gondecourt-ccas"),
        ("poste-ccas", "gondecourt", "gondecourt-ccas"),  # nor is the commune an entity's
    ],
)
def test_a_pc_of_a_commune_opens_its_entities_and_no_other(
    world: World, authority: Authority, who: str, chosen: str, expected: str | None
) -> None:
    other = replace(CCAS, slug="la-madeleine-ccas", siren="265903682", host="la-madeleine")
    config = replace(world.config, communes=COMMUNES | {one.slug: one for one in (CCAS, other)})
    found = visitor((authority.folder / who / "cert.pem").read_text(), config, chosen)
    assert (found.commune and found.commune.slug) == expected


def test_an_entity_is_chosen_from_its_commune_s_page(world: World, ask: Any) -> None:
    world.reconfigure(communes=COMMUNES | {CCAS.slug: CCAS})
    same = {"Sec-Fetch-Site": "same-origin"}
    assert '<a href="/pour/gondecourt-ccas">voir CCAS de Gondecourt</a>' in ask("poste", "/").text
    assert "/pour/" not in ask("groupement", "/").text
    for who, path, headers, status in (
        ("poste", "/pour/gondecourt-ccas", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("poste", "/pour/la-madeleine", same, 404),
        ("connecteur", "/pour/gondecourt-ccas", same, 404),
        ("groupement", "/pour/gondecourt-ccas", same, 404),
    ):
        answer = ask(who, path, headers=headers, allow_redirects=False)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (status, False), (who, path)
    answer = ask("poste", "/pour/gondecourt-ccas", headers=same, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("__Host-entite=gondecourt-ccas", "Secure", "HttpOnly", "SameSite=Strict"))
    chosen = {"Cookie": "__Host-entite=gondecourt-ccas"}
    own = ask("poste", "/", headers=chosen).text
    assert "CCAS de Gondecourt ·" in own and '<a href="/pour/gondecourt">voir Gondecourt</a>' in own
    back = ask("poste", "/pour/gondecourt", headers=same | chosen, allow_redirects=False)
    assert "__Host-entite=;" in back.headers["Set-Cookie"]


def test_a_certificate_that_opens_nothing(world: World, authority: Authority) -> None:
    for header in ("", "abc", "é"):
        with pytest.raises(Denied, match=r"^Aucun certificat client n'a été présenté\.$"):
            visitor(header, world.config)
    for who, text in (("etranger", "au SIREN 356000000"), ("tdt", "qui ne porte pas de SIREN (OU « 0002 … »)")):
        with pytest.raises(Denied) as told:
            visitor((authority.folder / who / "cert.pem").read_text(), world.config)
        assert str(told.value) == f"Ce certificat {text} n'est d'aucune commune que sert la passerelle."
    nobody = replace(world.config, siren="")
    with pytest.raises(Denied):
        visitor((authority.folder / "tdt" / "cert.pem").read_text(), nobody)


# -- what connectors say ------------------------------------------------------------------------------------


def test_what_a_connector_may_not_say(world: World) -> None:
    reference = world.deliberations.adopt("d1")
    connector = FakeConnector(world.chain, COMMUNES["gondecourt"])
    world.reach(reference, "teletransmission")
    [act] = connector.pull()
    connector.say(reference, "transmise")
    number = "059-215902669-20261120-2026_D1-DE"
    for day in ("", "hier", None):
        with pytest.raises(BadRequest) as told:
            world.chain.connectors.follow(
                COMMUNES["gondecourt"],
                {"reference": reference, "etat": "acquittee", "id_acte": number, "date_reception": day},
                f'<ARActe IDActe="{number}"/>'.encode(),
            )
        shown_day = day or ""
        assert str(told.value) == f"Champ « date_reception » : « {shown_day} » n'est pas une date (AAAA-MM-JJ)."
        assert told.value.status == 400
    connector.acknowledge(act)
    with pytest.raises(BadRequest, match="n'est pas à transmettre"):
        connector.say(reference, "refusee", motif="trop tard")
    connector.say(reference, "transmise")  # late news of before change nothing
    assert world.act(reference).tdt["etat"] == "acquittee"


# -- the connector's side -----------------------------------------------------------------------------------


@pytest.fixture
def commune(tmp_path: Path, authority: Authority) -> Commune:
    own = authority.folder / "connecteur"
    return Commune(
        tmp_path / "commune",
        "https://tdt.test",
        authority,
        certificat=own,
        passerelle_url="https://passerelle.test",
        passerelle_certificate=own,
    )


class Said:
    """What the passerelle answers to a connector."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, commune: Commune) -> None:
        self.commune, self.posted = commune, list[dict[str, Any]]()
        self.waiting: Any = []
        self.status, self.body, self.files = 200, {"message": "non"}, dict[str, bytes]()
        monkeypatch.setattr(Passerelle, "_call", lambda _passerelle, *given, **options: self._call(*given, **options))

    def _call(self, method: str, path: str, **options: Any) -> Any:
        if path.startswith("/connecteur/fichiers/"):
            content = self.files[path.rpartition("/")[2]]
            return SimpleNamespace(ok=True, iter_content=lambda _size: [content], close=lambda: None)
        if path == "/connecteur/lettres":  # a passerelle of before: it takes no letters
            return SimpleNamespace(ok=False, status_code=404)
        if method == "GET":
            return SimpleNamespace(ok=self.status < 400, status_code=self.status, json=lambda: self.waiting)
        self.posted.append(options["json"])
        return SimpleNamespace(ok=self.status < 400, status_code=self.status, json=lambda: self.body)

    def relay(self) -> list[str]:
        with Journal(self.commune.config.journal) as journal:
            return Passerelle(self.commune.config, journal).relay()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, commune: Commune) -> Said:
    return Said(monkeypatch, commune)


@pytest.mark.parametrize("waiting", [[], {}, {"results": [{"reference": None}, {"reference": ""}]}, {"results": 3}])
def test_a_list_to_send_that_is_none(said: Said, waiting: Any) -> None:
    said.waiting = waiting
    if isinstance(waiting, dict) and isinstance(waiting.get("results"), list):
        assert said.relay() == []  # an act without a reference is nobody's
        return
    with pytest.raises(HandoverError) as told:
        said.relay()
    assert str(told.value) == "la passerelle a répondu autre chose que la liste des actes à transmettre."


def test_a_passerelle_that_refuses_is_told(said: Said, commune: Commune) -> None:
    said.status, said.waiting = 403, {"message": "Certificat inconnu."}
    with pytest.raises(HandoverError, match=r"^la passerelle a répondu HTTP 403 : Certificat inconnu\.$"):
        said.relay()
    said.waiting = ["page"]
    with pytest.raises(HandoverError, match=r"^la passerelle a répondu HTTP 403 : sans explication$"):
        said.relay()
    commune.config = replace(commune.config, passerelle_url="")
    with pytest.raises(HandoverError, match=r"^la passerelle n'est pas configurée sur ce connecteur\.$"):
        said.relay()


def test_a_document_that_is_not_the_announced_one_is_not_taken(said: Said, commune: Commune) -> None:
    act = {"reference": "r", "numero": "7", "sha256": DIGEST}
    said.files[DIGEST] = b"%PDF-"
    said.waiting = {"results": [act]}
    with pytest.raises(HandoverError, match=r"^un fichier de la passerelle n'a pas l'empreinte annoncée\.$"):
        said.relay()
    assert commune.folder("depot") == []
    for wrong in ("", "A" * 64, None):
        said.waiting = {"results": [act | {"sha256": wrong}]}
        with pytest.raises(HandoverError, match=r"^la passerelle annonce un fichier sans son empreinte\.$"):
            said.relay()


def test_an_act_is_put_in_the_depot_as_a_clerk_would(said: Said, commune: Commune) -> None:
    content, image = b"%PDF- acte", b"\x89PNG"
    for one in (content, image):
        said.files[digest_of(one)] = one
    said.waiting = {
        "results": [{
            "reference": "deliberations:d1", "numero": "2026/É 7", "objet": "Tarifs", "date": "2026-01-15T10:00",
            "nature": "1", "matiere": "7.5", "type": "99_DE", "sha256": digest_of(content),
            "annexes": [{"nom": "plan.PNG", "sha256": digest_of(image)}, {"sha256": digest_of(image)}],
        }]
    }  # fmt: skip # one record
    assert said.relay()[0] == "2026/É 7 : pris à la passerelle (deliberations:d1)."
    stem = f"2026_7-{digest_of(b'deliberations:d1')[:12]}"
    names = [path.name for path in commune.folder("depot")]
    assert names == [f"{stem}-annexe-1.png", f"{stem}-annexe-2.pdf", f"{stem}.pdf", f"{stem}.yml"]
    described = yaml.safe_load((commune.root / "depot" / f"{stem}.yml").read_text())
    assert described == {
        "numero": "2026/É 7", "objet": "Tarifs", "date": "2026-01-15", "nature": "1", "classification": "7.5",
        "type": "99_DE", "transmission": "oui", "fichier": f"{stem}.pdf",
        "annexes": [{"fichier": f"{stem}-annexe-1.png", "type": "99_DE"},
                    {"fichier": f"{stem}-annexe-2.pdf", "type": "99_DE"}],
    }  # fmt: skip # a table
    assert (commune.root / "depot" / f"{stem}.pdf").stat().st_mode & 0o777 == 0o640
    assert said.posted == [{"reference": "deliberations:d1", "etat": "recue"}]
    said.waiting = {"results": []}
    assert said.relay() == []


def followed(commune: Commune, path: list[State], kind: str = "acte", dit: str = "", **values: Any) -> None:
    with Journal(commune.config.journal) as journal:
        row = journal.add("ref", kind, [SeenFile("7.yml", 1, 2, 3, "x")])
        for state in path:
            row = journal.move(row, state, **(values if state is path[-1] else {}))
        journal.set_value("passerelle:r", json.dumps({"nom": "7", "dit": dit}))


SENT = [State.CHECKED, State.INTENT, State.SENT]


@pytest.mark.parametrize(
    ("path", "values", "news"),
    [
        ([], {}, {"etat": "recue"}),
        ([State.CHECKED], {}, {"etat": "recue"}),
        ([State.CHECKED, State.INTENT], {}, {"etat": "recue"}),
        ([State.CHECKED, State.INTENT, State.TO_RECONCILE], {}, {"etat": "recue"}),
        (SENT, {}, {"etat": "transmise"}),
        ([*SENT, State.REFUSED], {"detail": "Hors délai."}, {"etat": "refusee", "motif": "Hors délai."}),
        ([*SENT, State.ERROR], {"detail": "Anomalie."}, {"etat": "en_erreur", "motif": "Anomalie."}),
        ([*SENT, State.CANCELLED], {}, {"etat": "en_erreur", "motif": State.CANCELLED.label}),
        ([State.REJECTED], {"detail": "Trop large."}, {"etat": "en_erreur", "motif": "Trop large."}),
        ([*SENT, State.ACKNOWLEDGED], {}, {"etat": "transmise"}),  # not filed yet
    ],
)
def test_each_state_has_its_news(
    said: Said, commune: Commune, path: list[State], values: dict[str, Any], news: dict[str, Any]
) -> None:
    followed(commune, path, **values)
    said.waiting = {"results": []}
    assert said.relay() == [f"r : {news['etat']}, dit à la passerelle."]
    assert said.posted == [{"reference": "r"} | news]
    assert said.relay() == []
    assert len(said.posted) == 1


@pytest.mark.parametrize("status", [400, 404, 409])
def test_news_that_the_passerelle_refuses_for_good_are_not_said_again(
    said: Said, commune: Commune, status: int
) -> None:
    followed(commune, SENT)
    said.waiting = {"results": []}
    ask = Said._call
    said.status = 200

    def refuse(method: str, path: str, **options: Any) -> Any:
        said.status = 200 if method == "GET" else status
        return ask(said, method, path, **options)

    said._call = refuse  # type: ignore[method-assign] # this one
    assert said.relay() == ["r : transmise, dit à la passerelle. REFUSÉ : non"]
    assert said.relay() == []


def test_news_that_could_not_be_said_are_said_later(said: Said, commune: Commune) -> None:
    followed(commune, SENT)
    said.waiting = {"results": []}
    ask = Said._call

    def away(method: str, path: str, **options: Any) -> Any:
        said.status = 200 if method == "GET" else 503
        return ask(said, method, path, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(said, "_call", away)
        with pytest.raises(HandoverError, match=r"^la passerelle a répondu HTTP 503 : non$"):
            said.relay()
    said.status = 200
    assert said.relay() == ["r : transmise, dit à la passerelle."]
