"""Convocations by mail: who is written to, what leaves, what the relay said of each."""

from __future__ import annotations

import base64
import datetime
import hashlib
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from testbed.deliberations import MANAGER, MEETINGS, WRITER, Site, token
from tests.profiles.deliberations.conftest import pdf, pdf_text

pytestmark = pytest.mark.exterieur  # asked as people do, from another machine

TODAY = datetime.datetime.now(ZoneInfo("Europe/Paris")).date()  # the site's, not this machine's
ADDRESSES = "Claire Dubois : claire@gondecourt.test\nAmina Benali : amina@gondecourt.test\nBruno Carpentier : papier"


def write(site: Site, login: str, text: str) -> str:
    """Send the form of the addresses; gives the page that is shown then."""
    browser, page = site.browser(login), f"{MEETINGS}/@@adresses"
    own = token(browser.ask("GET", page).data.decode())
    answer = browser.ask("POST", page, own | {"adresses": text})
    return str(answer.data.decode()) if answer.status == 200 else str(browser.ask("GET", MEETINGS).data.decode())


def waiting(site: Site, uid: str) -> list[dict[str, Any]]:
    """What is to leave of a meeting."""
    return [one for one in site.done("passerelle", "GET", "/@convocations")["results"] if one["uid"] == uid]


def say(site: Site, one: dict[str, Any], name: str, state: str, rank: int = 1) -> Any:
    """Tell what the relay said of one."""
    now = datetime.datetime.now(datetime.UTC).isoformat()
    said = {"elu": name, "etat": state, "le": now, "detail": "250 2.0.0 queued as 4XyZ", "essai": rank}
    return site.done(
        "passerelle", "POST", "/@convocations", {"uid": one["uid"], "version": one["version"], "recus": [said]}
    )["nouveaux"]


def annex(name: str, content: bytes) -> dict[str, Any]:
    return {
        "@type": "File", "title": name,
        "file": {"data": base64.b64encode(content).decode(), "encoding": "base64", "filename": name,
                 "content-type": "application/pdf"},
    }  # fmt: skip # one record


def convene(site: Site, name: str, **given: Any) -> tuple[str, str]:
    """A meeting that is convened now, by mail, with a light annex and one that is too heavy; gives path and UID."""
    path = site.meeting((TODAY + datetime.timedelta(9)).isoformat(), name)
    site.done(MANAGER, "PATCH", path, {"envoyee_le": None} | given)
    item = site.projet(path, f"Objet {name}")
    site.done(WRITER, "POST", item, annex("plan.pdf", pdf("Plan")))
    site.done(WRITER, "POST", item, annex("lourd.pdf", pdf("Lourd", heavy=11_000_000)))
    site.move(WRITER, item, "soumettre")
    site.move(MANAGER, item, "inscrire")
    page = site.browser(MANAGER).ask("GET", path).data.decode()
    assert "Convoquer envoie" in page or given
    site.convene(path)
    return path, str(site.done(MANAGER, "GET", path)["UID"])


def test_addresses_are_the_dgs_s_and_hostile_ones_are_refused(site: Site) -> None:
    page = write(site, MANAGER, "Amina Benali : a@b.test\x0bBcc: c@d.test")
    assert "Rien n'est changé" in page and "en est pas une" in page
    assert "Rien n'est changé" in write(site, MANAGER, "Luc Roux : luc@gondecourt.test")
    assert "2 par courriel, 3 sur papier" in write(site, MANAGER, ADDRESSES)
    assert site.browser(WRITER).ask("GET", f"{MEETINGS}/@@adresses").status in (302, 401)
    assert "claire@" not in str(site.done(WRITER, "GET", MEETINGS)) + str(site.done(WRITER, "GET", "/gondecourt"))


@pytest.mark.costly
def test_what_leaves_is_kept_and_what_the_relay_said_is_shown(site: Site, mark: str) -> None:
    write(site, MANAGER, ADDRESSES)
    path, uid = convene(site, f"courriels {mark}")
    [one] = waiting(site, uid)
    assert {to["elu"]: to["adresse"] for to in one["destinataires"]} == {
        "Claire Dubois": "claire@gondecourt.test",
        "Amina Benali": "amina@gondecourt.test",
    }
    names = ["convocation.pdf", "note-de-synthese.pdf", "seance.ics", "annexe-1-plan.pdf"]
    assert [piece["nom"] for piece in one["pieces"]] == names
    for piece in one["pieces"]:
        content = site.file("passerelle", site.path(piece["url"]))
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (piece["sha256"], piece["octets"])
    assert f"Objet courriels {mark}" in one["texte"] and "lourd.pdf (11,0 Mo)" in one["texte"]
    for login in (MANAGER, WRITER):
        assert site.browser(login).ask("GET", site.path(one["pieces"][0]["url"])).status in (302, 401, 404)
    for login in (WRITER, ""):
        assert site.api(login, "GET", "/@convocations").status == 401
    assert say(site, one, "Claire Dubois", "accepte") == 1
    assert say(site, one, "Claire Dubois", "refuse") == 0  # what was said once stays
    assert say(site, one, "Amina Benali", "incertain") == 1
    assert waiting(site, uid) == []
    browser = site.browser(MANAGER)
    page = browser.ask("GET", f"{path}/@@envois").data.decode()
    for said in ("Pris par le relais", "queued as 4XyZ", "Envoi incertain", "À remettre sur papier", "lourd.pdf"):
        assert said in page, said
    assert "claire@" in page
    hidden = site.browser(WRITER).ask("GET", f"{path}/@@envois").data.decode()
    assert "Pris par le relais" in hidden and "claire@" not in hidden and "queued as" not in hidden
    counts = site.done("passerelle", "POST", "/@conseil", {})["convocations"]
    assert counts["convocation_a_revoir"] >= 1
    browser.ask("POST", f"{path}/@@envois", token(page) | {"elu": "Amina Benali", "renvoyer": "1"})
    [again] = waiting(site, uid)
    assert [(to["elu"], to["essai"]) for to in again["destinataires"]] == [("Amina Benali", 2)]
    assert say(site, again, "Amina Benali", "incertain", 1) == 0  # of the try that was given up
    browser.ask("POST", f"{path}/@@envois", token(page) | {"elu": "Amina Benali", "jour": TODAY.isoformat()})
    assert waiting(site, uid) == []
    page = browser.ask("GET", f"{path}/@@envois").data.decode()
    assert "Remis sur papier" in page
    site.move(MANAGER, path, "reprendre")
    site.convene(path)
    [second] = waiting(site, uid)
    assert second["version"] == 2 and "remplace" in second["texte"]
    first = site.file(WRITER, f"{path}/@@envoi?version=1")
    assert "Convocation du conseil municipal".casefold() in pdf_text(first).casefold()


def test_one_that_left_otherwise_is_not_sent(site: Site, mark: str) -> None:
    write(site, MANAGER, ADDRESSES)
    _path, uid = convene(site, f"papier {mark}", envoyee_le=TODAY.isoformat())
    assert waiting(site, uid) == []


def test_one_that_is_taken_back_does_not_leave(site: Site, mark: str) -> None:
    write(site, MANAGER, ADDRESSES)
    path, uid = convene(site, f"reprise {mark}")
    site.move(MANAGER, path, "reprendre")
    assert waiting(site, uid) == []
