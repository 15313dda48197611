"""The élus' own space: what they are called to, with its papers, and nothing else; what they open is noted."""

from __future__ import annotations

import datetime
import html
import io
import re
from dataclasses import dataclass
from typing import Any

import pypdf
import pytest
from testinfra.host import Host

from testbed.deliberations import HTML, MANAGER, MEETINGS, STRANGER, WRITER, Browser, Site, token
from tests.profiles.deliberations.conftest import pdf, pdf_text
from tests.profiles.deliberations.test_deliberations import configure, wanted
from tests.profiles.deliberations.test_mails import ADDRESSES, TODAY, annex, say, waiting, write

pytestmark = pytest.mark.exterieur  # asked as people do, from another machine

__all__ = ["wanted"]  # a fixture

SPACE = "/gondecourt/@@espace"
AMINA, BRUNO = "amina.benali", "bruno.carpentier"
DENIED = (302, 401)  # to the form, or refused


@dataclass(frozen=True)
class Convened:
    """A meeting of Gondecourt that was just convened, with one item on its agenda and a draft beside it."""

    path: str
    uid: str
    item: str
    item_uid: str
    name: str

    def page(self) -> str:
        return f"{SPACE}-seance?seance={self.uid}"

    def point(self) -> str:
        return f"{SPACE}-point?seance={self.uid}&point={self.item_uid}"

    def piece(self, name: str) -> str:
        return f"{SPACE}-piece?seance={self.uid}&piece={name}"


def convene(site: Site, name: str, **given: Any) -> Convened:
    write(site, MANAGER, ADDRESSES)
    path = site.meeting((TODAY + datetime.timedelta(9)).isoformat(), name)
    site.done(MANAGER, "PATCH", path, {"envoyee_le": None} | given)
    item = site.projet(path, f"Objet {name}")
    site.projet(path, f"Brouillon {name}")
    site.done(WRITER, "POST", item, annex("plan.pdf", pdf(f"Plan {name}")))
    site.move(WRITER, item, "soumettre")
    site.move(MANAGER, item, "inscrire")
    site.convene(path)
    uids = [str(site.done(MANAGER, "GET", one)["UID"]) for one in (path, item)]
    return Convened(path, uids[0], item, uids[1], name)


def annexes(site: Site, one: Convened) -> dict[str, str]:
    """UID of each annex, by name."""
    items = site.done(MANAGER, "GET", f"{one.item}?fullobjects=1")["items"]
    return {annexed["title"]: str(annexed["UID"]) for annexed in items}


def read(browser: Browser, path: str) -> str:
    """A page that must be given."""
    answer = browser.ask("GET", path)
    assert answer.status == 200, (path, answer.status, answer.headers.get("Location"))
    return str(answer.data.decode())


def test_an_elu_reads_the_meeting_and_its_papers(site: Site, mark: str) -> None:
    one = convene(site, f"lecture {mark}")
    browser = site.browser(AMINA)
    listed = read(browser, SPACE)
    assert one.name in listed and "Amina Benali" in listed and "1 point à l'ordre du jour" in listed
    page = read(browser, one.page())
    for said in (
        f"Objet lecture {mark}",
        "aucun n'est noté à ce jour",
        "1 annexe",
        "Tout le dossier",
    ):
        assert said in page, said
    assert "Brouillon" not in page
    point = read(browser, one.point())
    assert "Exposé : Objet" in point and "Article 1" in point and "plan.pdf" in point and "Changé depuis" not in point
    uids = annexes(site, one)
    sent = {name: browser.ask("GET", one.piece(name)) for name in ("convocation", "note", "dossier")}
    plan = browser.ask("GET", one.piece(f"annexe:{uids['plan.pdf']}"))
    assert {answer.status for answer in (*sent.values(), plan)} == {200}
    assert plan.headers["Content-Type"] == "application/pdf"
    assert plan.headers["Content-Disposition"].startswith("inline")
    bound = pdf_text(sent["dossier"].data)
    for text in ("convocation du conseil municipal", f"objet lecture {mark}", f"plan lecture {mark}"):
        assert text in bound.casefold(), text
    outline: list[Any] = pypdf.PdfReader(io.BytesIO(sent["dossier"].data)).outline
    marks = [str(entry["/Title"]) for entry in outline]
    assert marks[:3] == ["Convocation", "Note de synthèse et projets", "Point 1, annexe « plan.pdf »"]
    assert all(one.startswith("Projet de procès-verbal – ") for one in marks[3:])


def test_an_elu_writes_a_pouvoir_which_the_commune_notes_and_takes_it_back(site: Site, mark: str) -> None:
    one = convene(site, f"pouvoir {mark}")
    browser, manager = site.browser(AMINA), site.browser(MANAGER)
    browser.ask("POST", one.page(), {"mandataire": "Bruno Carpentier"})  # as another site would have it sent
    assert "Vous avez écrit ici" not in read(browser, one.page())
    browser.ask("POST", one.page(), token(read(browser, one.page())) | {"mandataire": "Luc Roux"})
    browser.ask("POST", one.page(), token(read(browser, one.page())) | {"mandataire": "Bruno Carpentier"})
    assert "un pouvoir à Bruno Carpentier" in read(browser, one.page())
    assert "Amina Benali à Bruno Carpentier, écrit le" in read(manager, one.path)
    site.done(MANAGER, "PATCH", one.path, {"presents": ["Claire Dubois", "Bruno Carpentier"], "pouvoirs": []})
    manager.ask("POST", f"{one.path}/@@pouvoir-ecrit", token(read(manager, one.path)) | {"elu": "Amina Benali"})
    assert site.done(MANAGER, "GET", one.path)["pouvoirs"] == ["Amina Benali : Bruno Carpentier"]
    assert "Vous avez donné pouvoir à Bruno Carpentier." in read(browser, one.page())
    browser.ask("POST", one.page(), token(read(browser, one.page())) | {"revoquer": "1"})
    assert "Noté : à retirer" in read(manager, one.path)
    manager.ask("POST", f"{one.path}/@@pouvoir-ecrit", token(read(manager, one.path)) | {"elu": "Amina Benali"})
    assert not site.done(MANAGER, "GET", one.path)["pouvoirs"]


def test_an_elu_says_whether_they_come_and_a_person_notes_who_is_there(site: Site, mark: str) -> None:
    one = convene(site, f"reponse {mark}")
    amina, bruno, manager = site.browser(AMINA), site.browser(BRUNO), site.browser(MANAGER)
    amina.ask("POST", one.page(), {"reponse": "present"})  # as another site would have it sent
    assert "Amina Benali : <b>n'a pas répondu</b>" in html.unescape(read(amina, one.page()))
    amina.ask("POST", one.page(), token(read(amina, one.page())) | {"reponse": "excuse"})
    amina.ask("POST", one.page(), token(read(amina, one.page())) | {"reponse": "present"})
    bruno.ask("POST", one.page(), token(read(bruno, one.page())) | {"mandataire": "Amina Benali"})
    assert "Amina Benali : <b>sera présent(e)</b>" in read(amina, one.page())
    assert "Amina" not in read(bruno, one.page()).partition("Votre réponse")[0]
    page = read(manager, one.path)
    assert "Se disent présents : 1 sur 5, 3 requis pour le quorum." in page
    assert "donne pouvoir à Amina Benali" in page and "Réponse dans l'espace des élus : Amina Benali, sera" in page
    assert site.done(MANAGER, "GET", one.path)["presents"] in (None, []), "an answer is no presence"
    evening = read(manager, f"{one.path}/@@conduire")
    assert "J'ai vérifié qui est dans la salle" in html.unescape(evening)
    assert re.findall(r'<input[^>]*name="la_(\d)"[^>]*checked', evening) == ["1"]
    asked = {"faire": "presence", "propose": "1", "la_0": "1", "la_1": "1", "pouvoir_2": "1", "president": "0"}
    proof = token(evening) | dict(re.findall(r'name="(vu)" value="([^"]+)"', evening)[:1])
    manager.ask("POST", f"{one.path}/@@conduire", proof | asked)
    assert site.done(MANAGER, "GET", one.path)["presents"] in (None, []), "nobody looked at the room"
    manager.ask("POST", f"{one.path}/@@conduire", proof | asked | {"verifie": "1"})
    known = site.done(MANAGER, "GET", one.path)
    assert [one["title"] for one in known["presents"]] == ["Claire Dubois", "Amina Benali"]
    assert known["pouvoirs"] == ["Bruno Carpentier : Amina Benali"]
    assert 'name="verifie"' not in read(manager, f"{one.path}/@@conduire"), "it is noted"


def dated(browser: Browser, one: Convened) -> dict[str, str]:
    """What the file of a meeting for calendars says, by name; its zone's parts come before."""
    answer = browser.ask("GET", f"{SPACE}-agenda?seance={one.uid}")
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    lines = answer.data.decode().replace("\r\n ", "").split("\r\n")
    return dict(line.partition(":")[::2] for line in lines)


def test_a_meeting_is_put_in_a_calendar_moved_there_and_cancelled(site: Site, mark: str) -> None:
    one = convene(site, f"agenda {mark}", lieu="Mairie ; salle 1, rez-de-chaussée", heure="20:15")
    [leaving] = waiting(site, one.uid)
    browser, day = site.browser(AMINA), TODAY + datetime.timedelta(9)
    assert "Mettre dans mon agenda" in read(browser, one.page()) and "seance.ics" in leaving["texte"]
    first = dated(browser, one)
    sent = next(piece for piece in leaving["pieces"] if piece["nom"] == "seance.ics")
    assert site.file("passerelle", site.path(sent["url"])).decode().count(first["UID"]) == 1
    assert first["DTSTART;TZID=Europe/Paris"] == f"{day:%Y%m%d}T201500" and first["TZID"] == "Europe/Paris"
    assert first["LOCATION"] == "Mairie \\; salle 1\\, rez-de-chaussée" and first["STATUS"] == "CONFIRMED"
    assert not any(f"Objet agenda {mark}" in text for text in first.values()), "nothing of the agenda leaves"
    site.move(MANAGER, one.path, "reprendre")
    assert dated(browser, one)["STATUS"] == "TENTATIVE"
    site.done(MANAGER, "PATCH", one.path, {"date": (day + datetime.timedelta(1)).isoformat()})
    site.convene(one.path)
    moved = dated(browser, one)
    assert (moved["UID"], moved["STATUS"]) == (first["UID"], "CONFIRMED")
    assert int(moved["SEQUENCE"]) > int(first["SEQUENCE"])
    assert moved["DTSTART;TZID=Europe/Paris"] != first["DTSTART;TZID=Europe/Paris"]
    assert site.move(MANAGER, one.path, "annuler") == "annulee" and waiting(site, one.uid) == []
    gone = dated(browser, one)
    assert (gone["UID"], gone["STATUS"]) == (first["UID"], "CANCELLED")
    assert int(gone["SEQUENCE"]) > int(moved["SEQUENCE"])
    assert "Cette séance est annulée" in read(browser, one.page()) and "Donner pouvoir" not in read(browser, one.page())
    assert site.api(MANAGER, "PATCH", one.path, {"lieu": "Ailleurs"}).status in (401, 403)
    assert "séance est annulée" in read(site.browser(MANAGER), one.path)
    for stranger in (site.browser(STRANGER), site.browser(MANAGER), Browser(site)):
        assert stranger.ask("GET", f"{SPACE}-agenda?seance={one.uid}").status in DENIED
    assert browser.ask("GET", f"{SPACE}-agenda?seance=autre").status == 404


def test_who_logs_in_is_led_to_their_meetings(site: Site) -> None:
    password, browser = site.password(AMINA), Browser(site)
    assert browser.log_in(AMINA, password).headers["Location"].endswith(SPACE)
    assert SPACE in read(browser, "/") and SPACE not in read(site.browser(WRITER), "/")


def test_nothing_of_the_rest_is_theirs(site: Site, mark: str) -> None:
    """An élu has no right on the preparation, whichever way it is asked for; nobody else has one on their pages."""
    one = convene(site, f"reste {mark}")
    hidden = site.meeting((TODAY + datetime.timedelta(30)).isoformat(), f"secrete {mark}")
    uid = str(site.done(MANAGER, "GET", hidden)["UID"])
    browser = site.browser(AMINA)
    assert f"secrete {mark}" not in read(browser, SPACE)
    for path in (
        f"{SPACE}-seance?seance={uid}",
        f"{SPACE}-seance",
        f"{SPACE}-piece?seance={uid}&piece=convocation",
        one.piece("annexe:0"),
        one.piece("acte:0"),
        one.piece("proces-verbal"),
        one.piece("../dossier"),
        f"{SPACE}-point?seance={one.uid}&point={uid}",
    ):
        assert browser.ask("GET", path).status == 404, path
    for path in (
        MEETINGS,
        one.path,
        f"{one.path}/@@envois",
        f"{one.path}/@@note",
        f"{one.path}/@@suites",
        one.item,
        f"{one.item}/edit",
        f"{MEETINGS}/@@adresses",
        "/la-madeleine/@@espace",
    ):
        assert browser.ask("GET", path).status in DENIED, path
    for path in (MEETINGS, one.path, one.item, f"{one.path}/@workflow"):
        assert site.api(AMINA, "GET", path).status in (401, 404), path
    assert site.api(AMINA, "PATCH", one.item, {"title": "Changé"}).status in (401, 404)
    assert site.done(AMINA, "GET", "/@search?portal_type=projet")["items_total"] == 0
    for stranger in (site.browser(STRANGER), site.browser(WRITER), site.browser(MANAGER), Browser(site)):
        for path in (SPACE, one.page(), one.point(), one.piece("dossier"), one.piece("convocation")):
            assert stranger.ask("GET", path).status in DENIED, path


def test_an_elu_who_is_not_called_reads_nothing(site: Site, mark: str) -> None:
    one = convene(site, f"sans lui {mark}", convoques=["Claire Dubois", "Amina Benali", "Thomas Wattiez"])
    browser = site.browser(BRUNO)
    assert one.name not in read(browser, SPACE)
    assert browser.ask("GET", one.page()).status == 404
    assert browser.ask("GET", one.piece("dossier")).status == 404


def test_what_is_opened_is_received(site: Site, mark: str) -> None:
    one = convene(site, f"recu {mark}")
    [leaving] = waiting(site, one.uid)
    assert say(site, leaving, "Amina Benali", "incertain") == 1

    def again() -> int:
        return int(site.done("passerelle", "POST", "/@conseil", {})["convocations"]["convocation_a_revoir"])

    before, manager = again(), site.browser(MANAGER)
    browser = site.browser(AMINA)
    cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
    for way, headers in (("HEAD", {}), ("GET", {"Sec-Purpose": "prefetch"}), ("GET", {"Sec-Fetch-Dest": "image"})):
        site.ask(way, one.page(), HTML | cookies | headers)
    assert "Ouverte dans" not in read(manager, f"{one.path}/@@envois")
    assert "Pas encore ouverte" in read(browser, SPACE)
    for path in (one.page(), one.page(), one.piece("note"), one.point()):
        read_or_file = browser.ask("GET", path)
        assert read_or_file.status == 200, path
    log = read(manager, f"{one.path}/@@envois")
    assert "Ouverte dans l'espace des élus le" in log and log.count("Page de la séance, le") == 1
    assert "Note de synthèse et projets, le" in log and "Point 1 : Objet" in log
    hidden = read(site.browser(WRITER), f"{one.path}/@@envois")
    assert "Ouverte dans l'espace des élus le" in hidden and "Page de la séance" not in hidden
    assert again() == before - 1


def test_a_paper_convocation_that_is_read_here_is_told_too(site: Site, mark: str) -> None:
    one = convene(site, f"hors site {mark}", envoyee_le=TODAY.isoformat())
    manager = site.browser(MANAGER)
    assert "À remettre sur papier" in read(manager, f"{one.path}/@@envois"), "each hand-over is still to be noted"
    read(site.browser(AMINA), one.page())
    assert "Page de la séance, le" in read(manager, f"{one.path}/@@envois")


def test_an_agenda_that_is_taken_back_is_said_and_what_changes_is_marked(site: Site, mark: str) -> None:
    one = convene(site, f"repris {mark}")
    browser = site.browser(AMINA)
    read(browser, one.page())
    site.move(MANAGER, one.path, "reprendre")
    page = read(browser, one.page())
    assert "reprend l'ordre du jour" in page and "Objet repris" not in page
    assert browser.ask("GET", one.point()).status == 404 and browser.ask("GET", one.piece("note")).status == 200
    site.convene(one.path)
    assert "Pas encore ouverte" in read(browser, SPACE)
    changed = {"dispositif": {"data": "<p>Article 1 : autrement.</p>", "content-type": "text/html"}}
    site.done(MANAGER, "PATCH", one.item, changed)
    assert "Changé depuis la convocation" in read(browser, one.page()) and "version 2" in read(browser, one.page())
    assert "autrement" in read(browser, one.point())


def test_their_own_pouvoir_and_what_was_decided(site: Site, mark: str) -> None:
    meeting = site.meeting("2026-11-26", f"pouvoir {mark}")
    item = site.projet(meeting, f"Objet pouvoir {mark}")
    site.open(meeting, item)
    site.done(
        MANAGER, "PATCH", meeting, {"pouvoirs": ["Thomas Wattiez : Claire Dubois", "Élise Delattre : Amina Benali"]}
    )
    number = site.adopt(item)
    uid, item_uid = (str(site.done(MANAGER, "GET", path)["UID"]) for path in (meeting, item))
    amina, bruno = site.browser(AMINA), site.browser(BRUNO)
    page = read(amina, f"{SPACE}-seance?seance={uid}")
    assert "Élise Delattre vous a donné pouvoir." in page and "Thomas Wattiez vous a donné" not in page
    assert "vous a donné pouvoir" not in read(bruno, f"{SPACE}-seance?seance={uid}")
    point = read(amina, f"{SPACE}-point?seance={uid}&point={item_uid}")
    assert f"sous le numéro {number}" in point
    act = amina.ask("GET", f"{SPACE}-piece?seance={uid}&piece=acte:{item_uid}")
    assert f"Objet pouvoir {mark}" in pdf_text(act.data)


def test_the_draft_of_the_minutes_comes_with_the_next_convocation(site: Site, mark: str) -> None:
    before = site.meeting(TODAY.isoformat(), f"proces-verbal {mark}")
    site.done(MANAGER, "PATCH", before, {"heure": "23:58"})  # one of the last that others of these tests close
    item = site.projet(before, f"Objet discute {mark}")
    site.open(before, item)
    site.adopt(item)
    site.move(MANAGER, before, "clore")
    one = convene(site, f"suivante {mark}")
    browser = site.browser(AMINA)
    page = read(browser, one.page())
    assert f"Projet de procès-verbal – Conseil municipal proces-verbal {mark}" in html.unescape(page)
    papers = [browser.ask("GET", one.piece(f"projet-pv:{rank}")) for rank in range(3)]
    texts = [pdf_text(paper.data) for paper in papers if paper.status == 200]
    assert any(f"Objet discute {mark}" in text and "Projet de procès-verbal" in text for text in texts)
    for rank in ("99", "-1", "x", ""):
        assert browser.ask("GET", one.piece(f"projet-pv:{rank}")).status == 404, rank


def test_a_former_elu_loses_it(host: Host, site: Site, wanted: dict[str, Any]) -> None:
    """Out of the file, their account goes; out of the council alone, it opens nothing, even logged in."""
    first, *others = wanted["communes"]
    browser = site.browser(AMINA)
    read(browser, SPACE)
    without = {login: name for login, name in first["acces_elus"].items() if login != AMINA}
    gone = first | {"acces_elus": without, "comptes": [o for o in first["comptes"] if o["identifiant"] != AMINA]}
    told = configure(host, site, {"communes": [gone, *others]}, check=True)
    assert f"compte {AMINA} : retiré" in told
    council = [name for name in first["elus"] if name != "Amina Benali"]
    try:
        for changed in (first | {"acces_elus": without}, first | {"elus": council}):
            configure(host, site, {"communes": [changed, *others]}, check=False)
            assert browser.ask("GET", SPACE).status in DENIED
            configure(host, site, wanted, check=False)
            read(browser, SPACE)
    finally:
        configure(host, site, wanted, check=False)
    assert configure(host, site, wanted, check=True) == []
