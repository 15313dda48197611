"""One connector's letters, however many, keep no other commune's from being reckoned, shown, or told of."""

from __future__ import annotations

import hashlib
import io
import itertools
import smtplib
import time
import tracemalloc
from dataclasses import replace
from datetime import date
from typing import Any, cast

import pytest
from passerelle import metrics, overview, room
from passerelle.acts import BadRequest
from passerelle.clocks import clocks
from passerelle.files import Files
from passerelle.letters import Letter, Letters
from passerelle.mail import Post
from passerelle.returns import Returns
from psycopg.types.json import Jsonb

from apps.passerelle.tests.test_mail import CAME, CONFIG, GONDECOURT
from testbed.chain import World


def _announce(ask: Any, number: int, about: str = "", who: str = "connecteur") -> Any:
    told = {"lettre": number, "recu_le": "2026-11-28", "type": "observations", "id_acte": about, "fichiers": []}
    return ask(who, "/connecteur/lettres", "POST", json=told)


def _flood(world: World, count: int, about: str = "059-X") -> None:
    """As a connector left them before there was a bound."""
    data = {"type": "observations", "numero": "1", "id_acte": about, "acte": {}, "texte": "", "defaut": "",
            "date": "2026-11-01", "recu_le": "2026-11-02", "fichiers": [], "etrangere": ""}  # fmt: skip # a table
    with world.store.transaction() as connection:
        rows = [(rank, Jsonb(data)) for rank in range(1, count + 1)]
        query = "INSERT INTO lettre (commune, tdt, donnees) VALUES ('gondecourt', %s, %s)"
        connection.cursor().executemany(query, rows)


def test_letters_about_one_act_are_bounded_and_the_others_come(
    world: World, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ABOUT_MAX", 3)
    assert [_announce(ask, one, "059-X").status_code for one in range(1, 6)] == [200] * 3 + [409] * 2
    assert "prévenez le groupement" in _announce(ask, 4, "059-X").json()["message"]
    assert _announce(ask, 2, "059-X").status_code == 200  # what is known is told again
    assert _announce(ask, 6, "059-Y").status_code == _announce(ask, 7).status_code == 200
    assert _announce(ask, 1, "059-X", "autre-connecteur").status_code == 200


def test_letters_of_a_day_are_bounded_by_commune(world: World, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LETTERS_DAY", 3)
    answers = [_announce(ask, one, f"059-{one}") for one in range(1, 5)]
    assert [one.status_code for one in answers] == [200] * 3 + [429]
    assert "Rien n'est perdu" in answers[-1].json()["message"]
    assert _announce(ask, 1, who="autre-connecteur").status_code == 200
    with world.store.transaction() as connection:
        connection.execute("UPDATE lettre SET recu_le = now() - interval '2 days'")
    assert _announce(ask, 4).status_code == 200


def test_many_letters_about_one_act_are_reckoned_at_once(world: World) -> None:
    """Figures are taken twice a minute: 500 letters took 44 seconds, 2,700 stopped the worker for ever."""
    _flood(world, 600)
    begun = time.process_time()  # of this process: the machine may be busy with something else
    metrics.publish(world.config, world.store)
    assert time.process_time() - begun < 15
    assert 'passerelle_lettres{etat="non_prise"} 600' in world.config.metrics.read_text()


@pytest.mark.parametrize(
    "told", ["2026-11-01T10:00:00", "2026-11-01+01:00", "2026-11-01 (papier)", "2026-13-01", "x", 7]
)
def test_a_day_that_a_connector_says_of_an_act_keeps_nobody_s_letters(world: World, ask: Any, told: Any) -> None:
    """All communes' mails, figures and lists are made of the letters of all."""
    letter = {"lettre": 1, "recu_le": "2026-11-28", "type": "pieces", "id_acte": "059-X", "fichiers": []}
    letter["acte"] = {"objet": "Budget", "date": told, "recu_le": told}
    assert ask("connecteur", "/connecteur/lettres", "POST", json=letter).status_code == 200
    assert _announce(ask, 1, who="autre-connecteur").status_code == 200
    letters = Letters(world.store, Files(world.root))
    for found in (letters.waiting(), letters.awaited(10), letters.shown(None)):
        assert {one.commune for one in found} == {"gondecourt", "la-madeleine"}
    assert ask("groupement", "/").status_code == ask("poste", "/lettres/1").status_code == 200


def _answered(ask: Any, number: int = 1) -> str:
    """A letter that an agent answered; the key of the answer."""
    assert _announce(ask, number).status_code == 200
    form = {"geste": "repondre", "sens": "reponse"}
    given = {"document": ("r.pdf", b"%PDF-1.4", "application/pdf")}
    headers = {"Sec-Fetch-Site": "same-origin"}
    path = f"/lettres/{number}"
    assert ask("poste", path, "POST", data=form, files=given, headers=headers, allow_redirects=False).status_code == 303
    [one] = ask("connecteur", "/connecteur/lettres").json()["results"]
    return str(one["reponse"]["cle"])


def _say(ask: Any, key: str, state: str, receipt: str = "") -> Any:
    told = {"lettre": 1, "reponse": key, "etat": state, "ar": receipt}
    return ask("connecteur", "/connecteur/lettres/suivi", "POST", json=told)


def test_the_receipt_of_an_answer_is_a_file_once_and_bounded(world: World, ask: Any) -> None:
    key, files = _answered(ask), Files(world.root)
    before = len(list(files.folder.iterdir()))
    assert _say(ask, key, "transmise", "<AR/>").status_code == 200  # there is none yet
    assert _say(ask, key, "acquittee", "<AR>é</AR>").status_code == 200
    assert _say(ask, key, "acquittee", "<AR>2</AR>").status_code == 200  # said again
    assert _say(ask, key, "refusee").status_code == _say(ask, key, "transmise").status_code == 409
    one = Letters(world.store, files).get(world.config.communes["gondecourt"], 1)
    assert files.path(one.answer["ar"]).read_text(encoding="utf-8") == "<AR>é</AR>"
    assert len(list(files.folder.iterdir())) == before + 1


def test_of_answers_that_come_at_once_one_stays(world: World, ask: Any) -> None:
    """Each was kept before it was known whether it would be: 600 MB of a letter, that no share counted."""
    assert _announce(ask, 1).status_code == 200
    files, commune = Files(world.root), world.config.communes["gondecourt"]
    letters, first = Letters(world.store, files), b"%PDF-1.4 first"

    class Slow(io.BytesIO):
        """A document beside whose reading a colleague's answer comes."""

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() == 0 and size != 8 and not letters.get(commune, 1).answer:
                letters.reply(commune, 1, "Odile", "reponse", [("r.pdf", io.BytesIO(first))])
            return super().read(size)

    before = set(files.folder.iterdir())
    with pytest.raises(BadRequest, match="déjà"):
        letters.reply(commune, 1, "Luc", "reponse", [("r.pdf", Slow(b"%PDF-1.4 second"))])
    assert set(files.folder.iterdir()) - before == {files.path(hashlib.sha256(first).hexdigest())}
    assert letters.get(commune, 1).answer["par"] == "Odile"


def test_a_receipt_that_is_none_is_not_kept(world: World, ask: Any) -> None:
    key, files = _answered(ask), Files(world.root)
    before = len(list(files.folder.iterdir()))
    assert _say(ask, key, "acquittee", "é" * 100_000).status_code == 200
    one = Letters(world.store, files).get(world.config.communes["gondecourt"], 1)
    assert one.answered and one.answer["ar"] == ""
    assert len(list(files.folder.iterdir())) == before


def test_lists_have_nothing_of_what_letters_weigh(world: World, ask: Any) -> None:
    """400 letters of a day, whose receipts said 200,000 characters each, took 600 MB of everybody's 512 at each ask."""
    key, text = _answered(ask), "\U0001f600" * 4000
    assert _say(ask, key, "acquittee").status_code == 200
    with world.store.transaction() as connection:
        connection.execute(  # as one of before may be
            "UPDATE lettre SET donnees = donnees || jsonb_build_object('texte', %(text)s::text, 'fichiers',"
            " jsonb_build_array(%(text)s::text)), suivi = jsonb_set(suivi || jsonb_build_object('anciennes',"
            " jsonb_build_array(%(text)s::text)), '{reponse,ar}', to_jsonb(repeat(%(text)s, 50)))",
            {"text": text},
        )
        for number in range(2, 202):
            connection.execute(
                "INSERT INTO lettre (commune, tdt, donnees, suivi)"
                " SELECT commune, %s, donnees, suivi FROM lettre WHERE tdt = 1",
                (number,),
            )
    letters, commune = Letters(world.store, Files(world.root)), world.config.communes["gondecourt"]
    lists = (
        lambda: letters.whole(commune), lambda: letters.decided(commune), letters.waiting,
        lambda: letters.awaited(10_000), lambda: letters.shown(None, 10_000), lambda: letters.requests(commune, [""]),
    )  # fmt: skip # a list
    for one in lists:
        tracemalloc.start()
        one()
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2_500_000  # ten kilobytes a letter
    assert letters.get(commune, 1).data["texte"] == text


def test_a_letter_that_cannot_be_read_keeps_no_other(world: World, ask: Any) -> None:
    """One of before a check that is made now, say."""
    _flood(world, 2)
    assert _announce(ask, 1, who="autre-connecteur").status_code == 200
    with world.store.transaction() as connection:
        connection.execute("UPDATE lettre SET donnees = donnees - 'recu_le' WHERE commune = 'gondecourt' AND tdt = 1")
        connection.execute(
            """UPDATE lettre SET donnees = donnees || '{"date": "demain"}' WHERE commune = 'gondecourt' AND tdt = 2"""
        )
    letters = Letters(world.store, Files(world.root))
    for found in (letters.waiting(), letters.awaited(10), letters.shown(None)):
        assert [one.commune for one in found] == ["la-madeleine"]
    metrics.publish(world.config, world.store)
    assert ask("groupement", "/").status_code == ask("autre-poste", "/").status_code == 200


def test_the_many_letters_of_one_commune_hide_no_other(world: World, ask: Any) -> None:
    assert _announce(ask, 1, who="autre-connecteur").status_code == 200
    _flood(world, 30, "")
    shown = Letters(world.store, Files(world.root)).shown(None, limit=10)
    assert len(shown) == 10 and "la-madeleine" in {one.commune for one in shown}
    assert "La Madeleine" in ask("groupement", "/").text
    with world.store.transaction() as connection:
        rows = [(slug, f"20261128-r-{rank}") for rank, slug in enumerate(["la-madeleine"] + ["gondecourt"] * 30)]
        query = "INSERT INTO retour VALUES (%s, %s, 'r.xml', '', 1, now() + %s * interval '1 second')"
        connection.cursor().executemany(query, [(*row, rank) for rank, row in enumerate(rows)])
    returned = Returns(world.store, Files(world.root)).shown(world.config, None, limit=10)
    assert len(returned) == 10 and "La Madeleine" in {one["commune"] for one in returned}


def test_the_many_deadlines_of_one_commune_hide_no_other(
    world: World, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The groupement's figures show so many: a connector that brought more, and older, left the others none."""
    _flood(world, 30, "")
    assert _announce(ask, 1, who="autre-connecteur").status_code == 200
    for slug, day, count in (("gondecourt", "2026-01-05", 30), ("la-madeleine", "2026-11-05", 1)):
        for rank in range(count):
            act = {"circuit": "marche", "numero": f"M{rank}", "date": day, "objet": "o"}
            decision = act | {"circuit": "arrete", "nature": "D", "transmission": "oui", "annexes": []}
            with world.store.transaction() as connection:
                world.store.add(connection, f"{slug}-{rank}", slug, act, "teletransmission")
            world.chain.arrivals.take(
                f"parapheur:{slug}-{rank}", slug, decision | {"document": {"nom": "x"}}, "signature"
            )
        with world.store.transaction() as connection:
            told = {"circuit": "deliberation", "numero": "D", "date": "2026-11-20", "objet": "o"}
            world.store.add(connection, f"{slug}-seance", slug, told, "termine")
    monkeypatch.setattr(overview, "_DEADLINES_MAX", 10)
    letters = Letters(world.store, Files(world.root))
    assert {one.commune for one in letters.awaited(10)} == {"gondecourt", "la-madeleine"}
    found = overview.reckon(world.config, world.store, letters, date(2026, 1, 1), date(2027, 1, 1)).deadlines
    mine = {one.what for one in found if one.commune == "La Madeleine"}
    assert len(found) == 10 and len(mine) == 3 and found == sorted(found, key=lambda one: one.due)


def test_the_many_acts_of_one_commune_that_wait_for_a_person_hide_no_other_s(world: World, ask: Any) -> None:
    """Two hundred are shown to the groupement, those that wait first: an arrêté of unsaid nature is one."""
    for slug, count in (("la-madeleine", 1), ("gondecourt", 12)):
        for rank in range(count):
            told = {"circuit": "arrete", "numero": f"A{rank}", "date": "2026-11-20", "objet": "o"}
            with world.store.transaction() as connection:
                world.store.add(connection, f"{slug}-{rank}", slug, told, "teletransmission")
                world.store.change(connection, f"{slug}-{rank}", blocked="à qualifier")
    found = world.store.shown(None, limit=10)
    assert len(found) == 10 and "la-madeleine" in {one.commune for one in found}
    assert [one.commune for one in world.store.shown(["gondecourt"], limit=10)] == ["gondecourt"] * 10


class _Waiting:
    """Many letters of one commune, then one of another."""

    def waiting(self) -> list[Letter]:
        data = {"type": "pieces", "numero": "1", "id_acte": "", "date": "", "recu_le": "2026-03-02"}
        run = clocks("pieces", CAME.date(), None, None)
        slugs = ["gondecourt"] * 100 + ["loos"]
        return [Letter(rank, slug, rank, data, {}, CAME, {}, run) for rank, slug in enumerate(slugs)]

    def note_mail(self, number: int, mark: str) -> None:
        """Nothing is kept."""


def test_the_mails_of_one_commune_wait_for_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay is everybody's, and a job that does not end has the whole passerelle begin again."""
    loos = replace(GONDECOURT, slug="loos", name="Loos", mails=("maire@loos.test",))
    config = replace(CONFIG, communes={**CONFIG.communes, "loos": loos})
    written: list[str] = []
    monkeypatch.setattr(Post, "write", lambda _post, address, *_message: written.append(address))
    Post(config, cast(Letters, _Waiting())).send(date(2026, 3, 2))
    assert written[-1] == "maire@loos.test" and len(written) < 50
    clock = iter(range(0, 100_000, 200))
    monkeypatch.setattr("passerelle.mail.time.monotonic", lambda: next(clock))
    written.clear()
    Post(config, cast(Letters, _Waiting())).send(date(2026, 3, 2))
    assert len(written) < 5


@pytest.mark.parametrize("error", [TimeoutError("x"), smtplib.SMTPServerDisconnected("x")])
def test_a_relay_that_leaves_at_the_many_mails_of_one_commune_has_those_of_the_others(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Each of its mails ended a turn: a hundred of them, and the others were told of nothing."""
    loos = replace(GONDECOURT, slug="loos", name="Loos", mails=("maire@loos.test",))
    config = replace(CONFIG, communes={**CONFIG.communes, "loos": loos})
    written: list[str] = []

    def write(_post: Post, address: str, *_message: str) -> None:
        if not address.endswith("@loos.test"):
            raise error
        written.append(address)

    monkeypatch.setattr(Post, "write", write)
    post = Post(config, cast(Letters, _Waiting()))
    for _turn in range(2):
        post.send(date(2026, 3, 2))
    assert "maire@loos.test" in written


def test_a_relay_that_is_slow_over_one_commune_s_mails_has_those_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    loos = replace(GONDECOURT, slug="loos", name="Loos", mails=("maire@loos.test",))
    config = replace(CONFIG, communes={**CONFIG.communes, "loos": loos})
    written: list[str] = []
    monkeypatch.setattr(Post, "write", lambda _post, address, *_message: written.append(address))
    clock = itertools.count(step=60)
    monkeypatch.setattr("passerelle.mail.time.monotonic", lambda: next(clock))
    post = Post(config, cast(Letters, _Waiting()))
    for _turn in range(2):
        post.send(date(2026, 3, 2))
    assert "maire@loos.test" in written


def test_an_answer_that_is_refused_leaves_no_file(world: World, ask: Any) -> None:
    """Whoever answers again and again what was answered would fill the disk with what nothing removes."""
    assert _announce(ask, 1).status_code == 200
    statuses = [
        ask(
            "poste", "/lettres/1", "POST", data={"geste": "repondre", "sens": "reponse"},
            files=[("document", ("r.pdf", b"%PDF-" + bytes([rank])))], headers={"Sec-Fetch-Site": "same-origin"},
            allow_redirects=False,
        ).status_code
        for rank in range(3)
    ]  # fmt: skip # one call by its parts
    assert statuses == [303, 409, 409]
    assert len([*(world.root / "fichiers").iterdir()]) == 1


def test_a_turn_of_mails_looks_at_what_waits_and_at_some_of_each_commune(world: World, ask: Any) -> None:
    """A year of all communes' letters was read each minute, whatever became of them."""
    assert _announce(ask, 1, who="autre-connecteur").status_code == 200
    _flood(world, 30, "")
    over = {"prise": {"par": "x"}, "sans_suite": {"par": "x"}}
    states = {  # what became of those that came long ago, by rank, and whether somebody may have to be told
        1: ({}, True),
        2: (over, False),
        3: ({"prise": {"par": "x"}}, True),
        4: ({"prise": {"par": "x"}, "reponse": {"etat": "acquittee", "cle": "c"}}, False),
        5: ({"prise": {"par": "x"}, "reponse": {"etat": "refusee", "cle": "c"}, "sans_suite": None}, True),
        6: ({"prise": {"par": "x"}, "reponse": {"etat": "a_envoyer", "cle": "c", "le": "2026-11-01"}}, True),
    }
    with world.store.transaction() as connection:
        connection.execute("UPDATE lettre SET suivi = %s WHERE commune = 'gondecourt'", (Jsonb(over),))
        for rank, (track, _told) in states.items():
            query = "UPDATE lettre SET suivi = %s WHERE commune = 'gondecourt' AND tdt = %s"
            connection.execute(query, (Jsonb(track), rank))
        connection.execute("UPDATE lettre SET recu_le = now() - interval '60 days' WHERE tdt <= 20")
    letters = Letters(world.store, Files(world.root))
    wanted = {rank for rank, (_track, told) in states.items() if told} | {*range(21, 31)}
    assert {one.tdt for one in letters.waiting() if one.commune == "gondecourt"} == wanted
    seen: set[int] = set()
    for _turn in range(200):
        found = letters.waiting(limit=3)
        assert [one.commune for one in found].count("gondecourt") == 3
        assert "la-madeleine" in {one.commune for one in found}
        seen |= {one.tdt for one in found if one.commune == "gondecourt"}
    assert seen == wanted  # each has its turn


def _answer(ask: Any, number: int, size: int, who: str = "poste") -> Any:
    return ask(
        who, f"/lettres/{number}", "POST", data={"geste": "repondre", "sens": "reponse"},
        files=[("document", ("r.pdf", b"%PDF-" + bytes(size) + bytes([number])))],
        headers={"Sec-Fetch-Site": "same-origin"}, allow_redirects=False,
    )  # fmt: skip # one call by its parts


def test_answers_of_a_day_are_bounded_by_commune(world: World, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account of a commune's agents shares its disk with the acts of all."""
    monkeypatch.setattr(room, "DAY_MAX", 650_000)
    assert [_announce(ask, one).status_code for one in (1, 2, 3)] == [200] * 3
    assert _announce(ask, 1, who="autre-connecteur").status_code == 200
    assert [_answer(ask, one, 300_000).status_code for one in (1, 2)] == [303, 303]
    refused = _answer(ask, 3, 300_000)
    assert refused.status_code == 429 and "répondez demain" in refused.text
    assert len([*(world.root / "fichiers").iterdir()]) == 2  # nothing is kept of it
    assert _answer(ask, 4, 300_000, "autre-poste").status_code == 303
    told = {"reponse": _key(world, 1), "lettre": 1, "etat": "refusee", "motif": "x"}
    assert ask("connecteur", "/connecteur/lettres/suivi", "POST", json=told).status_code == 200
    assert _answer(ask, 1, 300_000).status_code == 429  # one that is sent again counts too
    assert _announce(ask, 5).status_code == 200  # the connector's share is its own
    with world.store.transaction() as connection:
        query = "UPDATE lettre SET suivi = jsonb_set(suivi, '{reponse,le}', '\"2020-01-01T10:00:00+01:00\"')"
        connection.execute(query + " WHERE suivi ? 'reponse'")
    assert _answer(ask, 1, 300_000).status_code == 303
    monkeypatch.setattr(room, "KEPT_MAX", 900_000)
    assert _answer(ask, 3, 300_000).status_code == 507


def _key(world: World, tdt: int) -> str:
    """The key of a letter's answer."""
    with world.store.transaction() as connection:
        query = "SELECT suivi->'reponse'->>'cle' AS cle FROM lettre WHERE commune = 'gondecourt' AND tdt = %s"
        [row] = connection.execute(query, (tdt,)).fetchall()
    return str(row["cle"])
