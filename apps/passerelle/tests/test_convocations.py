"""Convocations by mail: each élu gets one, whatever the relay, the network and the machine do meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from email.message import EmailMessage
from typing import Any, cast

import pytest
from passerelle.convocations import SIZE_MAX, Convocations, _Later, problem
from passerelle.deliberations import Deliberations
from passerelle.errors import Trouble
from passerelle.metrics import publish_council

from testbed.chain import COMMUNES, World
from testbed.mail import relay

COUNCIL = {"Claire Dubois": "claire@gondecourt.test", "Amina Benali": "amina@gondecourt.test"}


class Stopped(Exception):
    """The machine stopped."""


class Summons:
    """A passerelle that sends through a relay which answers so."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self._patch = world, monkeypatch
        monkeypatch.setattr("passerelle.convocations._PAUSE", 0)

    def turn(self, answers: Mapping[str, bytes] | None = None, stop: str = "") -> list[EmailMessage]:
        """One turn; gives what the relay took."""
        with relay(answers=answers) as (host, port, received):
            self.through(host, port, stop)
        return received

    def through(self, host: str, port: int, stop: str = "") -> None:
        def step(name: str) -> None:
            if name == stop:
                raise Stopped

        known = COMMUNES | {"gondecourt": replace(COMMUNES["gondecourt"], mails=("dgs@gondecourt.test",))}
        config = replace(self.world.config, communes=known, mail_relay=host, mail_port=port, mail_sender="p@x.test")
        made = Convocations(config, self.world.store, self.world.chain.servers.deliberations, step)
        if stop:
            with pytest.raises(Stopped):
                made.turn()
        else:
            made.turn()

    def states(self) -> dict[str, str]:
        """What the deliberations' server knows, by élu."""
        return {name: one["etat"] for (_uid, _version, name, _rank), one in self.world.deliberations.receipts.items()}


@pytest.fixture
def summons(world: World, monkeypatch: pytest.MonkeyPatch) -> Summons:
    world.deliberations.convene("s1", COUNCIL)
    return Summons(world, monkeypatch)


def test_each_gets_one_with_its_pieces(summons: Summons) -> None:
    received = summons.turn()
    assert sorted(str(one["To"]) for one in received) == sorted(COUNCIL.values())
    first = received[0]
    assert (first["Subject"], first["Reply-To"]) == ("Convocation : conseil", "dgs@gondecourt.test")
    body = first.get_body()
    assert body and "Vous êtes convoqué." in body.get_content() and "\n.\n" in body.get_content().replace("\r", "")
    [piece] = list(first.iter_attachments())
    assert (piece.get_filename(), piece.get_content()) == ("convocation.pdf", b"%PDF-1.4\n% s1\n%%EOF\n")
    assert received[0]["Message-ID"] != received[1]["Message-ID"]
    assert summons.states() == dict.fromkeys(COUNCIL, "accepte")
    [receipt, _other] = summons.world.deliberations.receipts.values()
    assert receipt["detail"] == "250 bien" and receipt["le"]
    assert summons.turn() == []


@pytest.mark.parametrize("said", [b"500 non", b"421 au revoir", b""])
def test_what_the_relay_says_after_it_took_a_mail_sends_none_again(summons: Summons, said: bytes) -> None:
    assert len(summons.turn({"QUIT": said})) == 2
    assert summons.states() == dict.fromkeys(COUNCIL, "accepte")
    assert summons.turn() == []


def test_a_relay_that_is_away_or_asks_to_wait_delays_and_loses_none(summons: Summons) -> None:
    summons.through("127.0.0.1", 9)
    for verb, code in (("MAIL", 400), ("RCPT", 499), ("DATA", 451), (".", 451)):
        assert summons.turn({verb: b"%d plus tard" % code}) == [], verb
    assert summons.turn({"EHLO": b"", "HELO": b""}) == []
    assert summons.states() == {}
    assert len(summons.turn()) == 2


def test_a_relay_that_leaves_at_the_addresses_of_one_council_has_those_of_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them ended a turn, and was tried again before the other councils."""
    world.deliberations.convene("s1", COUNCIL)
    world.deliberations.convene("s2", {"Luc": "luc@x.test"}, commune="la-madeleine")
    monkeypatch.setattr("passerelle.convocations._PAUSE", 0)
    config = replace(world.config, mail_relay="relais.test", mail_sender="p@x.test")
    made, tried = Convocations(config, world.store, world.chain.servers.deliberations), []

    def post(_made: Convocations, _key: Any, address: str, *_given: Any) -> int:
        tried.append(address)
        if address in COUNCIL.values():
            raise _Later("parti", alone=False)
        return 1

    monkeypatch.setattr(Convocations, "_post", post)
    assert [made.turn() for _turn in range(3)] == [0, 1, 1]
    assert tried.count("luc@x.test") == 2


def test_a_council_whose_pieces_do_not_come_takes_the_turn_of_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its pieces take of a turn counts: it began each one, and the others waited."""
    world.deliberations.convene("s1", COUNCIL)
    world.deliberations.convene("s2", {"Luc": "luc@x.test"}, commune="la-madeleine")
    config = replace(world.config, mail_relay="relais.test", mail_sender="p@x.test")
    made = Convocations(config, world.store, world.chain.servers.deliberations)

    def slow(_server: Any, piece: Mapping[str, Any]) -> Any:
        made._end_of_turn = 0.0
        raise Trouble(piece["url"])

    monkeypatch.setattr(Convocations, "_fetched", staticmethod(slow))
    asked: list[str] = []
    send = Convocations._send

    def watched(made: Convocations, server: Any, one: Mapping[str, Any]) -> int:
        if made._end_of_turn:
            asked.append(one["commune"])
        return send(made, server, one)

    monkeypatch.setattr(Convocations, "_send", watched)
    for _turn in range(3):
        made.turn()
    assert asked == ["gondecourt", "la-madeleine", "gondecourt"]


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "."])
def test_a_refusal_is_told_and_not_tried_again(summons: Summons, verb: str) -> None:
    assert summons.turn({verb: b"550 5.1.1 inconnu"}) == []
    assert summons.states() == dict.fromkeys(COUNCIL, "refuse")
    assert all("550" in one["detail"] for one in summons.world.deliberations.receipts.values())
    assert summons.turn() == []


def test_a_relay_that_falls_silent_over_a_mail_leaves_it_to_a_person(summons: Summons) -> None:
    assert len(summons.turn({".": b""})) == 2  # it had them
    assert summons.states() == dict.fromkeys(COUNCIL, "incertain")
    assert summons.turn() == []


@pytest.mark.parametrize(
    ("point", "had", "state"),
    [("en cours", 0, "incertain"), ("pris par le relais", 1, "incertain"), ("noté accepte", 1, "accepte")],
)
def test_a_machine_that_stops_sends_none_twice(summons: Summons, point: str, had: int, state: str) -> None:
    taken = len(summons.turn(stop=point))
    assert taken == had
    assert len(summons.turn()) == 1  # the other one
    assert sorted(summons.states().values()) == sorted([state, "accepte"])


def test_a_long_turn_ends_before_the_queue_ends_it(summons: Summons, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passerelle.convocations._TURN", 0)
    assert summons.turn() == [] and summons.states() == {}
    monkeypatch.undo()
    assert len(summons.turn()) == 2


def test_a_meeting_that_the_server_cannot_note_keeps_no_other(
    summons: Summons, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Deliberations.tell_convocation

    def told(server: Deliberations, uid: str, *given: Any) -> None:
        if uid == "s1":
            raise Trouble("HTTP 500")
        heard(server, uid, *given)

    summons.world.deliberations.convene("s2", {"Anne": "anne@x.test"})
    monkeypatch.setattr(Deliberations, "tell_convocation", told)
    assert len(summons.turn()) == 3
    assert summons.turn() == [] and summons.states() == {"Anne": "accepte"}
    monkeypatch.undo()
    summons.turn()
    assert len(summons.states()) == 3


def test_a_person_has_one_sent_again(summons: Summons) -> None:
    summons.turn({".": b""})
    [one] = summons.world.deliberations.convocations
    one["destinataires"] = [{"elu": "Amina Benali", "adresse": "amina@ailleurs.test", "essai": 2}]
    assert [str(mail["To"]) for mail in summons.turn()] == ["amina@ailleurs.test"]


def test_a_relay_that_takes_little_refuses_before_anything_leaves(summons: Summons) -> None:
    assert summons.turn({"EHLO": b"250-essai\r\n250 SIZE 40"}) == []
    assert all("40 au plus" in one["detail"] for one in summons.world.deliberations.receipts.values())


def named(mail: EmailMessage) -> list[str | None]:
    return [piece.get_filename() for piece in mail.iter_attachments()]


def said(mail: EmailMessage) -> str:
    body = mail.get_body()
    return body.get_content() if body else ""


def test_a_dossier_that_is_too_heavy_keeps_no_convocation_from_leaving(summons: Summons) -> None:
    [one] = summons.world.deliberations.convocations
    heavy = {"url": "https://nowhere.test/", "nom": "note-de-synthese.pdf", "sha256": "0" * 64, "octets": SIZE_MAX}
    one["pieces"] = [*one["pieces"], heavy]  # never fetched
    received = summons.turn()
    assert len(received) == 2 and summons.states() == dict.fromkeys(COUNCIL, "accepte")
    assert named(received[0]) == ["convocation.pdf"]
    assert "Vous êtes convoqué." in said(received[0]) and "note-de-synthese.pdf (20,0 Mo)" in said(received[0])
    assert "L2121-13" in said(received[0])
    for receipt in summons.world.deliberations.receipts.values():  # what the DGS reads beside each élu
        assert "sans ce qui est trop lourd : note-de-synthese.pdf (20,0 Mo)" in receipt["detail"]


def test_a_piece_is_told_by_what_it_is(summons: Summons) -> None:
    world = summons.world
    [one] = world.deliberations.convocations
    told = {
        "seance.ics": (b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n", "text/calendar"),
        "plan.png": (b"\x89PNG\r\n", "application/octet-stream"),
    }
    for name, (content, _kind) in told.items():
        world.deliberations.documents[name] = content
        one["pieces"].append(
            {"url": f"{world.deliberations.url}/documents/{name}", "nom": name, "octets": len(content),
             "sha256": hashlib.sha256(content).hexdigest()}
        )  # fmt: skip # a row
    received = {part.get_filename(): part for part in summons.turn()[0].iter_attachments()}
    for name, (content, kind) in told.items():
        assert (received[name].get_content_type(), received[name].get_payload(decode=True)) == (kind, content)


def test_a_relay_that_takes_less_has_what_it_takes(summons: Summons) -> None:
    world = summons.world
    [one] = world.deliberations.convocations
    one["destinataires"] = one["destinataires"][:1]
    world.deliberations.documents["plan.pdf"] = plan = b"%PDF-1.4\n" + b"0" * 60_000
    one["pieces"] = [
        *one["pieces"],
        {"url": f"{world.deliberations.url}/documents/plan.pdf", "nom": "plan.pdf", "octets": len(plan),
         "sha256": hashlib.sha256(plan).hexdigest()},
    ]  # fmt: skip # a list by rows
    [mail] = summons.turn({"EHLO": b"250-essai\r\n250 SIZE 50000"})
    assert named(mail) == ["convocation.pdf"] and "plan.pdf (0,1 Mo)" in said(mail)
    one["destinataires"] = [{"elu": "Luc Roux", "adresse": "luc@gondecourt.test", "essai": 1}]
    [mail] = summons.turn({"EHLO": b"250-essai\r\n250 SIZE 100000"})
    assert named(mail) == ["convocation.pdf", "plan.pdf"] and "plan.pdf" not in said(mail)


def test_one_whose_hour_has_passed_does_not_leave(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deliberations.convene("s2", COUNCIL, limite="2020-01-01T18:30:00+01:00")
    assert Summons(world, monkeypatch).turn() == []


def test_a_bad_one_keeps_no_other(summons: Summons) -> None:
    world = summons.world
    hostile = "a@b.test\r\nBcc: c@d.test"
    world.deliberations.convene("s0", {"Luc": hostile})
    other = world.deliberations.convene("s3", {"Luc": "luc@x.test"})
    other["pieces"][0]["sha256"] = "0" * 64
    world.deliberations.convene("s4", {"Anne": "anne@x.test"}, objet="Convocation\r\nBcc: c@d.test")
    received = summons.turn()
    assert sorted(str(one["To"]) for one in received) == sorted([*COUNCIL.values(), "anne@x.test"])
    assert not any(one["Bcc"] for one in received)


@pytest.mark.parametrize("odd", ["hélène@x.test", "a@b.test, c@d.test", "a@b.test\r\nBcc: c@d.test", "a\0@b.test", 7])
def test_an_address_that_cannot_be_written_to_keeps_no_other_of_the_council(summons: Summons, odd: Any) -> None:
    [one] = summons.world.deliberations.convocations
    one["destinataires"].insert(0, {"elu": "Hélène Roux", "adresse": odd, "essai": 1})
    assert sorted(str(mail["To"]) for mail in summons.turn()) == sorted(COUNCIL.values())
    assert summons.states() == {**dict.fromkeys(COUNCIL, "accepte"), "Hélène Roux": "refuse"}
    told = next(told for told in summons.world.deliberations.receipts.values() if told["etat"] == "refuse")
    assert "Adresses des élus" in told["detail"]  # on the meeting's page
    assert summons.turn() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uid": ""}, "uid"),
        ({"texte": None}, "texte"),
        ({"limite": "demain"}, "pas une date"),
        ({"limite": "2026-12-01T18:30:00"}, "fuseau"),
        ({"version": True}, "version"),
        ({"pieces": [{"url": "x", "nom": "x", "sha256": "y", "octets": 1}]}, "mal annoncée"),
        ({"pieces": [{"url": "x", "nom": "x", "sha256": "0" * 64, "octets": -1}]}, "mal annoncée"),
        ({"destinataires": [{"elu": "A", "adresse": "a@b.test, c@d.test", "essai": 1}]}, "une adresse et une seule"),
        ({"destinataires": [{"elu": "A\0", "adresse": "a@b.test", "essai": 1}]}, "une adresse et une seule"),
        ({"destinataires": "tous"}, "une adresse et une seule"),
    ],
)
def test_what_is_badly_announced_is_said(world: World, change: dict[str, Any], said: str) -> None:
    good = world.deliberations.convene("s5", COUNCIL)
    assert problem(good) == ""
    assert said in problem(good | change)


def test_what_is_late_in_the_councils_is_a_figure(world: World) -> None:
    told = {"retards": {"liste": 1, "arret": 0}, "convocations": {"convocation_a_revoir": 2}, "echecs": ["Loos"]}
    world.deliberations.late = cast(dict[str, Any], told)
    publish_council(world.config, world.chain.servers.deliberations().council())
    text = world.config.metrics.with_name("passerelle_conseil.prom").read_text(encoding="utf-8")
    for line in ('{etat="liste"} 1', '{etat="convocation_a_revoir"} 2', '{etat="liste_en_echec"} 1'):
        assert f"passerelle_conseil{line}" in text
    publish_council(world.config, None)  # the groupement has no such server any more
    assert not world.config.metrics.with_name("passerelle_conseil.prom").exists()
