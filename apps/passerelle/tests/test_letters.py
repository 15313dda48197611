"""The préfet's letters, from the TdT to the commune's people and back: the real connector, simulator and passerelle."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from passerelle.clocks import after, court
from passerelle.files import Files
from passerelle.letters import Letters
from passerelle.mail import Post, due
from tdt_connector import answers, attached, letters
from tdt_connector.handover import HandoverError, Passerelle
from tdt_connector.journal import Journal
from tdt_connector.proof import test_pdf as make_pdf
from tdt_simulator.testing import TdtServer

from testbed.chain import COMMUNES, World
from testbed.connector import FAST, SIREN, Authority, Commune, platform
from testbed.mail import relay as mail_relay

ANSWER = make_pdf("Réponse", "1")
SAME = {"Sec-Fetch-Site": "same-origin"}
MAIRE = "claire.dubois@gondecourt.test"


@pytest.fixture
def tdt(tmp_path: Path, authority: Authority) -> Iterator[TdtServer]:
    """A TdT that works."""
    with platform(tmp_path / "tdt", authority) as server:
        yield server


@pytest.fixture
def commune(tmp_path: Path, tdt: TdtServer, authority: Authority, world: World) -> Commune:
    """Gondecourt, one act of which the préfecture has."""
    own = authority.folder / "connecteur"
    made = Commune(
        tmp_path / "commune", tdt.url, authority, delais=replace(FAST, reception=0.01),
        certificat=own, passerelle_url=world.web.url, passerelle_certificate=own,
    )  # fmt: skip # one call by its parts
    made.drop("2026_001")
    made.run()
    return made


def act_of(tdt: TdtServer) -> int:
    return int(tdt.acts()[0]["transaction"])


def relay(commune: Commune) -> list[str]:
    with Journal(commune.config.journal) as journal:
        return Passerelle(commune.config, journal).relay()


def written(commune: Commune, tdt: TdtServer, kind: str, text: str = "Il manque le plan") -> int:
    """A letter of the préfecture, received and given to the passerelle; its number at the TdT."""
    number = int(tdt.letter(act_of(tdt), kind, text))
    commune.run(until=lambda: number in dict(letters.received(commune.config)))
    assert any("donné à la passerelle" in one for one in relay(commune))
    return number


def settled(commune: Commune) -> bool:
    """No answer is on its way."""
    with Journal(commune.config.journal) as journal:
        return not any(
            f'"{state}"' in text
            for text in journal.values(answers.ANSWERS).values()
            for state in (answers.TO_SEND, answers.INTENT, answers.SENT)
        )


def unread(tdt: TdtServer) -> list[int]:
    """Letters that wait at the TdT."""
    found = tdt.store.transactions("kind IN (2, 3, 4, 5) AND response IS NULL AND read = 0")
    return sorted(one.id for one in found)


def sent(tdt: TdtServer) -> list[Any]:
    """Answers that the TdT has."""
    return list(tdt.store.transactions("response IS NOT NULL"))


def decide(ask: Any, gesture: str, who: str = "poste", number: int = 1, **given: Any) -> requests.Response:
    headers = given.pop("headers", SAME)
    files = given.pop("files", None)
    found: requests.Response = ask(
        who, f"/lettres/{number}", "POST", data={"geste": gesture} | given, files=files, headers=headers,
        allow_redirects=False,
    )  # fmt: skip # one call by its parts
    return found


def reply(ask: Any, sense: str, *pieces: bytes, number: int = 1) -> requests.Response:
    files = [("document", ("Réponse.pdf", ANSWER)), *(("pieces", ("plan.pdf", one)) for one in pieces)]
    return decide(ask, "repondre", number=number, sens=sense, files=files)


def test_a_letter_reaches_its_commune_and_its_answer_the_prefet(
    world: World,
    commune: Commune,
    tdt: TdtServer,
    ask: Any,
) -> None:
    letter = written(commune, tdt, "pieces")
    assert unread(tdt) == [letter]
    assert relay(commune) == []
    listed = ask("poste", "/").text
    assert "Demande de pièces complémentaires" in listed and "à prendre en charge" in listed
    page = ask("poste", "/lettres/1").text
    for words in ("2026_001", "école d", "Il manque le plan", "Déféré possible", "Refuser de les envoyer"):
        assert words in page, words
    document = ask("poste", "/lettres/1/recu/0")
    assert document.headers["Content-Type"] == "application/pdf" and document.content.startswith(b"%PDF-")
    came = commune.folder("lettres")[0] / f"lettre-{letter}.tar.gz"
    last = page.count("/lettres/1/recu/") - 1
    assert ask("poste", f"/lettres/1/recu/{last}").content == came.read_bytes()

    assert decide(ask, "prendre").status_code == 303
    assert "pris en charge par Secrétariat général" in ask("poste", "/").text
    relay(commune)
    commune.run(until=lambda: unread(tdt) == [])
    commune.run(until=lambda: "marqué lu" in "".join(relay(commune)))
    assert world.chain and relay(commune) == []

    assert reply(ask, "reponse", make_pdf("Plan", "2")).status_code == 303
    assert "réponse en cours d&#39;envoi" in ask("poste", "/").text
    relay(commune)
    commune.run(until=lambda: settled(commune))
    assert any("acquittee" in one for one in relay(commune))
    [answer] = sent(tdt)
    assert (answer.row["related_id"], answer.row["response"]) == (letter, 4)
    assert [one["sha256"] for one in tdt.store.files(answer.id)][1] == hashlib.sha256(ANSWER).hexdigest()
    today = f"{date.today():%d/%m/%Y}"
    assert f"réponse reçue par la préfecture le {today}" in ask("poste", "/").text
    assert f"deux mois après la réponse, reçue le {today}" in ask("poste", "/lettres/1").text
    assert ask("poste", "/lettres/1/reponse/0").content == ANSWER
    assert reply(ask, "reponse").status_code == 409
    assert relay(commune) == []
    assert len(sent(tdt)) == 1
    with Journal(commune.config.journal) as journal:  # what the archive is given of it
        [brought, gone] = attached.units(commune.config, journal)
        found = {one.unit.name: one.words for one in attached.standings(commune.config, journal)}
    assert brought.about == gone.about == commune.folder("acquittes")[0].name and set(found.values()) == {
        "attend le versement de son acte"
    }
    assert brought.title.startswith("Demande de pièces complémentaires du") and brought.name == f"COURRIER-{letter}"
    assert [title for _name, _named, title in gone.files] == ["Réponse", "Pièce 1", "Accusé de réception de la réponse"]


def test_only_its_commune_s_people_see_and_touch_a_letter(
    world: World, commune: Commune, tdt: TdtServer, ask: Any
) -> None:
    written(commune, tdt, "observations", "Un motif secret")
    everybody = ask("groupement", "/").text
    assert (
        "Lettre d&#39;observations" in everybody and "motif secret" not in everybody and "/lettres/1" not in everybody
    )
    for who, status in (("groupement", 403), ("connecteur", 403), ("autre-connecteur", 403), ("etranger", 403)):
        for path in ("/lettres/1", "/lettres/1/recu/0"):
            assert ask(who, path).status_code == status, (who, path)
        assert decide(ask, "prendre", who).status_code == status, who
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}):
        assert decide(ask, "prendre", headers=headers).status_code == 403
    assert "à prendre en charge" in ask("poste", "/").text
    one = Letters(world.store, Files(world.root)).get(world.config.communes["gondecourt"], 1)
    digest = one.data["fichiers"][0]["sha256"]
    assert ask("autre-connecteur", f"/connecteur/lettres/{one.tdt}/reponse/{digest}").status_code == 404
    # A digest that is announced opens nothing: its content must be brought.
    told = {"lettre": 7, "type": "pieces", "recu_le": "2026-11-28"}
    told |= {"fichiers": [{"nom": "x.pdf", "sha256": digest, "octets": 5}]}
    answer = ask("autre-connecteur", "/connecteur/lettres", "POST", json=told)
    assert answer.json() == {"attendus": [0]}
    assert ask("autre-connecteur", "/connecteur/lettres/7/0", "PUT", data=b"autre").status_code == 400
    found = Letters(world.store, Files(world.root))
    other = found.get(world.config.communes["la-madeleine"], found.shown("la-madeleine")[0].number)
    assert found.document(other, "recu", 0) is None


@pytest.mark.parametrize(("kind", "sense", "code"), [("observations", "refus", 3), ("courrier", "reponse", 2)])
def test_refusals_and_simple_answers_leave_as_the_protocol_has_them(
    world: World,
    commune: Commune,
    tdt: TdtServer,
    ask: Any,
    kind: str,
    sense: str,
    code: int,
) -> None:
    written(commune, tdt, kind)
    assert "un seul document" in reply(ask, sense, b"%PDF-1.4 autre").text
    assert reply(ask, sense).status_code == 303
    relay(commune)
    commune.run(until=lambda: settled(commune))
    relay(commune)
    [answer] = sent(tdt)
    assert answer.row["response"] == code
    words = "transmise à la préfecture" if kind == "courrier" else "reçue par la préfecture"
    assert words in ask("poste", "/").text


def test_what_cannot_be_answered_is_said_and_changes_nothing(
    world: World, commune: Commune, tdt: TdtServer, ask: Any
) -> None:
    written(commune, tdt, "defere")
    assert "n&#39;a pas cette réponse" in reply(ask, "reponse").text
    assert "mémoire" in ask("poste", "/lettres/1").text
    assert "Dites pourquoi" in decide(ask, "classer", motif=" ").text
    assert decide(ask, "danser").status_code == 400
    assert decide(ask, "prendre", number=99).status_code == 404
    assert decide(ask, "classer", motif="Mémoire confié à Maître Dupont").status_code == 303
    page = ask("poste", "/lettres/1").text
    assert "classé sans réponse d&#39;ici par Secrétariat général" in page and "Maître Dupont" in page
    written(commune, tdt, "pieces")
    for files in ([], [("document", ("r.pdf", b"MZ"))], [("document", ("r.png", b"\x89PNG\r\n"))]):
        assert decide(ask, "repondre", number=2, sens="reponse", files=files).status_code == 400, files
    kept = set((world.root / "fichiers").iterdir())
    assert reply(ask, "reponse", b"MZ", number=2).status_code == 400
    assert set((world.root / "fichiers").iterdir()) == kept  # not the answer either: nothing would remove it
    relay(commune)
    assert sent(tdt) == []


def test_bad_letters_are_kept_shown_and_keep_no_other(world: World, commune: Commune, tdt: TdtServer, ask: Any) -> None:
    """Damaged, of an unknown act, of another commune, twice the same."""
    good = written(commune, tdt, "pieces")
    again = int(tdt.letter(act_of(tdt), "pieces", "Il manque le plan"))
    foreign = commune.root / "lettres" / "20260301-lettre-d-observations-x-901"
    damaged = commune.root / "lettres" / "20260301-courrier-de-la-prefecture-902"
    for folder in (foreign, damaged):
        folder.mkdir()
    message = (commune.folder("lettres")[-1] / "x").parent
    xml = next(path for path in message.glob("*_0.xml")).read_bytes()
    (foreign / "m.xml").write_bytes(xml.replace(SIREN.encode(), b"215903683"))
    (foreign / "lettre-901.tar.gz").write_bytes(b"\x1f\x8b")
    (damaged / "lettre-902.tar.gz").write_bytes(b"\x1f\x8b abime")
    commune.run(until=lambda: again in dict(letters.received(commune.config)))
    relay(commune)
    rows = {one.tdt: one for one in Letters(world.store, None).shown("gondecourt")}  # type: ignore[arg-type] # no file is read
    assert set(rows) == {good, again, 901, 902}
    pages = {number: ask("poste", f"/lettres/{one.number}").text for number, one in rows.items()}
    assert "autre collectivité (SIREN 215903683)" in pages[901]
    assert "d&#39;une autre collectivité" in reply(ask, "reponse", number=rows[901].number).text
    assert "Le message du protocole manque" in pages[902] and "acte inconnu" in ask("poste", "/").text
    assert f'/lettres/{rows[good].number}">no {rows[good].number}' in pages[again]
    assert "Même courrier" not in pages[good]


@pytest.mark.parametrize("day", ["9999-12-31", "0026-11-28"])
def test_a_day_that_is_none_keeps_no_other_letter_and_starts_no_delay(world: World, ask: Any, day: str) -> None:
    came = date.today()
    told = {"lettre": 7, "type": "pieces", "date": day, "recu_le": f"{came}", "id_acte": "x", "fichiers": []}
    told |= {"acte": {"objet": "Un acte", "date": day, "recu_le": day}}
    assert ask("autre-connecteur", "/connecteur/lettres", "POST", json=told | {"recu_le": day}).status_code == 400
    assert ask("autre-connecteur", "/connecteur/lettres", "POST", json=told).status_code == 200
    assert f"réponse attendue le {after(came):%d/%m/%Y}" in ask("groupement", "/").text
    [one] = Letters(world.store, None).waiting()  # type: ignore[arg-type] # no file is read
    assert (one.day, one.clocks.due, one.clocks.court) == (came, after(came), court(after(came)))


def test_an_act_s_requests_make_one_delay_and_another_act_s_none(world: World, ask: Any) -> None:
    """The préfet's delay begins again with each of them, but not with those of another act, nor of another commune."""
    act = {"objet": "Un acte", "date": "2026-01-14", "recu_le": "2026-01-15"}

    def told(number: int, kind: str, day: str, **given: Any) -> None:
        one = {"lettre": number, "type": kind, "date": day, "recu_le": day, "id_acte": "x", "fichiers": [], "acte": act}
        answer = ask("autre-connecteur", "/connecteur/lettres", "POST", json=one | given)
        assert answer.status_code == 200, answer.text

    told(1, "pieces", "2026-03-05")
    told(2, "observations", "2026-04-02")
    told(3, "observations", "2026-07-01", id_acte="y")
    told(4, "observations", "2026-07-02", siren="215900000")
    found = {one.tdt: one.clocks for one in Letters(world.store, None).waiting()}  # type: ignore[arg-type] # `waiting` opens no file
    assert found[1].court == found[2].court == court(date(2026, 6, 2)) and "ne le rouvre pas" not in found[2].why
    assert (found[3].court, "ne le rouvre pas" in found[3].why) == (date(2026, 3, 16), True)


def test_a_letter_s_delay_runs_from_its_reception_by_the_commune(world: World, ask: Any) -> None:
    act = {"objet": "Un acte", "date": "2026-01-14", "recu_le": "2026-01-15"}
    told = {
        "lettre": 1,
        "type": "pieces",
        "date": "2026-02-02",
        "recu_le": "2026-02-20",
        "id_acte": "x",
        "fichiers": [],
    }
    assert ask("autre-connecteur", "/connecteur/lettres", "POST", json=told | {"acte": act}).status_code == 200
    [one] = Letters(world.store, None).waiting()  # type: ignore[arg-type] # no file is read
    assert (one.day, one.dated, one.clocks.due) == (date(2026, 2, 20), date(2026, 2, 2), date(2026, 4, 20))
    assert "courrier du 02/02/2026, reçu le 20/02/2026" in ask("groupement", "/").text


POINTS = [("réponse notée", 1), ("réponse notée", 2), ("réponse postée", 1), ("AR de la réponse", 1), ("lu", 1)]


@pytest.mark.parametrize(("point", "nth"), POINTS)
def test_killed_anywhere_an_answer_leaves_once(
    world: World,
    commune: Commune,
    tdt: TdtServer,
    ask: Any,
    point: str,
    nth: int,
) -> None:
    written(commune, tdt, "pieces")
    reply(ask, "refus")
    relay(commune)
    heard = 0

    def die(name: str) -> None:
        nonlocal heard
        heard += name == point
        if heard == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def done() -> bool:
        return settled(commune) and unread(tdt) == []

    code = commune.child(lambda: commune.run(until=done, on_step=die))
    assert code in (0, -signal.SIGKILL)
    commune.run(until=done)
    relay(commune)
    assert [one.row["response"] for one in sent(tdt)] == [3]
    assert "réponse reçue par la préfecture" in ask("poste", "/").text


def test_an_answer_whose_send_is_not_answered_is_found_again(
    world: World,
    commune: Commune,
    tdt: TdtServer,
    ask: Any,
) -> None:
    written(commune, tdt, "observations")
    written(commune, tdt, "observations", "Une autre")
    for number in (1, 2):
        tdt.fault("coupure")
        reply(ask, "reponse", number=number)
        relay(commune)
        commune.run(until=lambda count=number: len(sent(tdt)) == count)  # type: ignore[misc] # bound now
        tdt.clear_faults()
        commune.run(until=lambda: settled(commune))
        relay(commune)
    assert len(sent(tdt)) == 2
    assert ask("poste", "/").text.count("réponse reçue par la préfecture") == 2


def test_a_passerelle_away_or_restored_loses_no_letter(
    world: World, commune: Commune, tdt: TdtServer, ask: Any
) -> None:
    number = int(tdt.letter(act_of(tdt), "pieces", "Il manque le plan"))
    commune.run(until=lambda: number in dict(letters.received(commune.config)))
    world.web.stop()
    with pytest.raises(HandoverError, match="refuse la connexion"):
        relay(commune)
    assert unread(tdt) == [number]
    world.web.start()
    relay(commune)
    reply(ask, "refus")
    relay(commune)
    commune.run(until=lambda: settled(commune))
    relay(commune)
    with world.store.transaction() as connection:  # as it was before it heard of the answer's end
        connection.execute("UPDATE lettre SET suivi = jsonb_set(suivi, '{reponse,etat}', '\"a_envoyer\"')")
    relay(commune)
    relay(commune)
    assert "réponse reçue par la préfecture" in ask("poste", "/").text
    assert len(sent(tdt)) == 1


def test_a_passerelle_restored_without_a_letter_gets_it_again_and_has_it_answered_once(
    world: World, commune: Commune, tdt: TdtServer, ask: Any
) -> None:
    written(commune, tdt, "pieces")
    reply(ask, "refus")
    relay(commune)
    commune.run(until=lambda: settled(commune))
    relay(commune)
    with world.store.transaction() as connection:  # as it was before the letter came
        connection.execute("DELETE FROM lettre_passage")
        connection.execute("DELETE FROM lettre")
    assert any("donné à la passerelle" in one for one in relay(commune))
    assert relay(commune) == []
    assert "à prendre en charge" in ask("poste", "/").text
    assert reply(ask, "reponse", number=2).status_code == 303
    relay(commune)
    commune.run(until=lambda: settled(commune))
    relay(commune)
    assert "déjà partie de ce connecteur" in ask("poste", "/lettres/2").text
    assert len(sent(tdt)) == 1


def test_an_answer_that_the_tdt_refuses_is_told_and_may_be_made_again(
    world: World,
    commune: Commune,
    tdt: TdtServer,
    ask: Any,
) -> None:
    written(commune, tdt, "pieces")
    commune.config = replace(commune.config, taille_max_mo=0.0001)
    reply(ask, "refus")
    relay(commune)
    commune.run(until=lambda: settled(commune))
    relay(commune)
    assert "Réponse trop lourde" in ask("poste", "/lettres/1").text
    commune.config = replace(commune.config, taille_max_mo=150)
    assert reply(ask, "reponse").status_code == 303
    relay(commune)
    commune.run(until=lambda: settled(commune))
    relay(commune)
    assert [one.row["response"] for one in sent(tdt)] == [4]


# -- mails ------------------------------------------------------------------------------------------------------------


def test_dgs_and_maire_are_told_once_and_nothing_of_the_letter(
    world: World,
    commune: Commune,
    tdt: TdtServer,
    ask: Any,
) -> None:
    written(commune, tdt, "pieces", "Un motif secret")
    known = COMMUNES | {"gondecourt": replace(COMMUNES["gondecourt"], mails=(MAIRE, "paul.renard@gondecourt.test"))}
    config = replace(world.config, communes=known, url="https://passerelle.test", mail_sender="p@passerelle.test")
    store = Letters(world.store, None)  # type: ignore[arg-type] # no file is read
    today = date.today()
    with mail_relay() as (host, port, received):
        post = Post(replace(config, mail_relay=host, mail_port=port), store)
        assert post.send(today) == 2
        assert post.send(today) == 0
        assert {one["To"] for one in received} == {MAIRE, "paul.renard@gondecourt.test"}
        assert received[0]["Subject"] == "Préfecture : demande de pièces complémentaires, acte 2026_001"
        text = received[0].get_content()
        assert "https://passerelle.test/lettres/1" in text and "motif secret" not in text and "école" not in text
        assert post.send(today + timedelta(days=7)) == 2  # nobody took it: once, not for each day that passed
        assert "personne n'a pris" in received[-1].get_content()
        decide(ask, "prendre")
        assert post.send(today + timedelta(days=50)) == 2
        assert "réponse attendue dans" in received[-1].get_content()
        [letter] = store.shown(None)
        last = letter.clocks.due
        assert last
        assert post.send(last + timedelta(days=1)) == 2
        assert "délai de réponse est passé" in received[-1].get_content()
        decide(ask, "classer", motif="Répondu sur papier")
        assert post.send(last + timedelta(days=9)) == 0
    assert Post(config, store).send(today) == 0


def test_a_relay_away_delays_a_mail_and_loses_none(world: World, commune: Commune, tdt: TdtServer) -> None:
    written(commune, tdt, "courrier")
    known = COMMUNES | {"gondecourt": replace(COMMUNES["gondecourt"], mails=(MAIRE,))}
    config = replace(world.config, communes=known, mail_sender="p@passerelle.test")
    store = Letters(world.store, None)  # type: ignore[arg-type] # no file is read
    with mail_relay() as (host, port, received):
        away = replace(config, mail_relay=host, mail_port=9)
        assert Post(away, store).send(date.today()) == 0
        assert Post(replace(away, mail_port=port), store).send(date.today()) == 1
        assert [one["To"] for one in received] == [MAIRE]
    [letter] = store.shown(None)
    assert [mark for mark, _subject, _text in due(letter, date.today(), config)] == ["annonce"]
