"""After a meeting: what was said, the list that goes on line by itself, the procès-verbal once it is settled."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from creatic.deliberations import rules

from testbed.deliberations import MANAGER, MEETINGS, STRANGER, WRITER, Site, token
from testbed.deliberations import seen as shown_by
from tests.profiles.deliberations.conftest import pdf, pdf_text

pytestmark = pytest.mark.exterieur  # asked as people do, from another machine

TODAY = datetime.datetime.now(ZoneInfo("Europe/Paris")).date()  # the site's, not this machine's
HELD = TODAY - datetime.timedelta(3)
AGAINST = {"contre": ["claire-dubois", "amina-benali", "bruno-carpentier", "thomas-wattiez"]}
SECRET = "Ce qui s'est dit portes closes"


def send(site: Site, login: str, meeting: str, **fields: Any) -> str:
    """Send a form of the page of what follows a meeting; gives the page then."""
    browser, page = site.browser(login), f"{meeting}/@@suites"
    shown = browser.ask("GET", page).data.decode()
    if fields["faire"] == "arreter":
        fields = shown_by(shown, "arreter") | fields
    answer = browser.ask("POST", page, fields | token(shown))
    assert answer.status == 302, (answer.status, answer.data[:500])
    return str(browser.ask("GET", page).data.decode())


def seen(site: Site, meeting: str) -> str:
    """What stands for the procès-verbal that the page shows to who puts it on line."""
    [found] = re.findall(
        r'name="vu" value="([^"]+)"', site.browser(MANAGER).ask("GET", f"{meeting}/@@suites").data.decode()
    )
    return str(found)


def turn(site: Site) -> Any:
    """What the passerelle asks every hour."""
    return site.done("passerelle", "POST", "/@conseil", {})


def on_line(site: Site, kind: str, day: datetime.date, mark: str) -> str:
    """Path of a public document of a meeting that bears a mark, or ""."""
    found = site.done(MANAGER, "GET", "/gondecourt/publications?fullobjects=1&b_size=500")["items"]
    named = [one for one in found if f"/{kind}-{day.isoformat()}" in one["@id"] and mark in one["title"]]
    return site.path(named[-1]["@id"]) if named else ""


@dataclass(frozen=True)
class Held:
    """A meeting that is over, with an item adopted, one rejected, one voted in closed session."""

    path: str
    mark: str
    adopted: str
    rejected: str
    closed: str
    uids: tuple[str, str, str]


@pytest.fixture(scope="module")
def held(site: Site, mark: str) -> Held:
    own = f"suites {mark}"
    path = site.meeting(HELD.isoformat(), own)
    items = [site.projet(path, f"{subject} {mark}") for subject in ("Bibliothèque", "Parking", "Aide à M. Leroy")]
    site.open(path, *items)
    site.done(MANAGER, "PATCH", items[2], {"huis_clos_par": "maire", "huis_clos_pour": 4})
    adopted = site.adopt(items[0])
    site.done(MANAGER, "PATCH", items[1], AGAINST)
    site.move(MANAGER, items[1], "rejeter")
    rejected = str(site.done(MANAGER, "GET", items[1])["numero"])
    closed = site.adopt(items[2])
    site.move(MANAGER, path, "clore")
    first, second, third = (str(site.done(MANAGER, "GET", one)["UID"]) for one in items)
    return Held(path, own, adopted, rejected, closed, (first, second, third))


def test_what_was_said_is_in_the_draft(site: Site, held: Held) -> None:
    said = {f"debats_{held.uids[0]}": "Amina Benali demande\nle coût.", f"debats_{held.uids[2]}": SECRET}
    send(site, WRITER, held.path, faire="debats", debats_autres="Question sur la voirie <b>.", **said)
    text = pdf_text(site.file(WRITER, f"{held.path}/@@proces-verbal"))
    for one in (
        "Projet de procès-verbal",
        "Ordre du jour",
        "Amina Benali demande le coût.",
        SECRET,
        "Question sur la voirie <b>.",
        f"n° {held.rejected}",
        "rejetée",
        "Contre (4)",
    ):
        assert one.casefold() in text.casefold(), one
    page = site.file(WRITER, f"{held.path}/@@proces-verbal?format=html").decode()
    assert SECRET in page and "voirie &lt;b&gt;" in page
    public = pdf_text(site.file(WRITER, f"{held.path}/@@proces-verbal?public=1"))
    assert SECRET not in public and "huis clos" in public.casefold()
    assert "Amina Benali demande" not in public and "son objet n'est pas encore vérifié" in public


def test_the_page_is_its_commune_s(site: Site, held: Held) -> None:
    for view in ("@@suites", "@@liste", "@@proces-verbal"):
        assert site.browser(STRANGER).ask("GET", f"{held.path}/{view}").status in (302, 401, 404), view
        assert site.ask("GET", f"{held.path}/{view}").status in (302, 401, 404), view
    refused = site.browser(WRITER)
    own = token(refused.ask("GET", f"{held.path}/@@suites").data.decode())
    answer = refused.ask("POST", f"{held.path}/@@suites", own | {"faire": "liste", "publier": "1"})
    assert answer.status in (302, 401)
    assert on_line(site, "liste", HELD, held.mark) == ""


def test_the_list_waits_for_its_day_then_goes_by_itself(site: Site, held: Held, mark: str) -> None:
    assert turn(site)["echecs"] == []
    assert on_line(site, "liste", HELD, held.mark) == "", "its day has not come"
    veiled = pdf_text(site.file(WRITER, f"{held.path}/@@liste"))
    assert "Objet en attente de vérification" in veiled, "what would go on line by itself"
    for one in ("M. Leroy", "Bibliothèque", "Parking"):
        assert one not in veiled, "nobody confirmed it"
    page = site.browser(MANAGER).ask("GET", held.path).data.decode()
    assert f"À faire avant la fin du {rules.french_date(HELD + datetime.timedelta(7))}" in page
    shown = site.browser(MANAGER).ask("GET", f"{held.path}/@@suites").data.decode()
    assert "Semble nommer : M. Leroy" in shown
    page = site.send(MANAGER, f"{held.path}/@@suites", f"{held.path}/@@suites", faire="liste",
                     **{f"objet_{held.uids[2]}": "Aide à un particulier"})  # fmt: skip # one call by its parts
    assert "objets à confirmer : 3" in page
    old = f"vieille {mark}"
    day = TODAY - datetime.timedelta(6)
    path = site.meeting(day.isoformat(), old)
    item = site.projet(path, f"Voirie {old}")
    site.open(path, item)
    number = site.adopt(item)
    site.move(MANAGER, path, "clore")
    turn(site)
    public = on_line(site, "liste", day, old)
    text = site.ask("GET", public, {"Accept": "text/html"}).data.decode()
    assert number in text and f"Voirie {old}" not in text and "Objet en attente de vérification" in text
    page = site.confirm(path, objet_x="ignoré")
    text = site.ask("GET", public, {"Accept": "text/html"}).data.decode()
    assert f"Voirie {old}" in text and "en attente" not in text, "the same page says what was confirmed since"
    assert not any(old in one for one in turn(site)["listes"]), "once"
    site.move(MANAGER, public, "unpublish")
    assert not any(old in one for one in turn(site)["listes"]), "a person took it off"
    assert "remise en ligne que par une personne" in site.browser(MANAGER).ask("GET", f"{path}/@@suites").data.decode()
    site.confirm(path, publier="1")
    assert site.ask("GET", on_line(site, "liste", day, old), {"Accept": "text/html"}).status == 200
    assert site.ask("GET", public, {"Accept": "text/html"}).status != 200, "the former one stays off line"


def test_the_list_names_what_was_rejected_and_not_who_is_helped(site: Site, held: Held) -> None:
    subject = f"objet_{held.uids[2]}"
    page = site.confirm(held.path, publier="1", **{subject: "Aide aux époux Martin"})
    assert "semble nommer « époux Martin »" in page and on_line(site, "liste", HELD, held.mark) == ""
    site.confirm(held.path, publier="1", **{subject: "Aide à un particulier"})
    page = site.ask("GET", on_line(site, "liste", HELD, held.mark), {"Accept": "text/html"}).data.decode()
    for one in (held.adopted, held.rejected, held.closed, "Rejetée", "Aide à un particulier"):
        assert one in page, one
    assert "M. Leroy" not in page
    text = pdf_text(site.file(WRITER, f"{held.path}/@@liste"))
    assert "M. Leroy" not in text and held.rejected in text


def test_the_minutes_are_settled_by_the_next_meeting_then_put_on_line(site: Site, held: Held, mark: str) -> None:
    last = site.meeting(TODAY.isoformat(), f"dernière {mark}")
    site.done(MANAGER, "PATCH", last, {"heure": "23:59"})  # none is opened after it
    site.open(last, site.projet(last, f"Dernier point {mark}"))
    site.adopt(site.path(site.done(MANAGER, "GET", last)["items"][0]["@id"]))
    site.move(MANAGER, last, "clore")
    page = send(site, MANAGER, last, faire="arreter", president="Claire Dubois", secretaire="Amina Benali")
    assert "elle n'est pas encore ouverte" in page and "Arrêté à la séance" not in page
    following = site.meeting(TODAY.isoformat(), f"suivante {mark}")
    site.open(following, site.projet(following, f"Suite {mark}"))
    page = send(site, MANAGER, held.path, faire="arreter", president="Claire Dubois", secretaire="")
    assert "Arrêté à la séance" not in page
    signed = {"president": "Claire Dubois", "secretaire": "Amina Benali"}
    page = send(site, MANAGER, held.path, faire="arreter", vu="d'avant", **signed)
    assert "ses discussions ont changé depuis que cette page les montrait" in page
    page = send(site, MANAGER, held.path, faire="arreter", president="Luc Roux", secretaire="Amina Benali")
    assert "Luc Roux n" in page and "a pas présidé cette séance (L2121-15)" in page
    page = send(site, MANAGER, held.path, faire="arreter", president="Claire Dubois", secretaire="Amina Benali",
                remarques="M. Carpentier rectifie un chiffre.")  # fmt: skip # one call by its parts
    assert "signé par Claire Dubois, président de séance, et Amina Benali, secrétaire" in page
    kept = site.file(WRITER, f"{held.path}/@@proces-verbal")
    text = pdf_text(kept)
    assert "Projet de procès" not in text and "rectifie un chiffre" in text and SECRET in text
    answer = site.browser(WRITER)
    own = token(answer.ask("GET", held.path).data.decode())
    assert answer.ask("POST", f"{held.path}/@@suites", own | {"faire": "debats"}).status in (302, 401)
    assert site.file(WRITER, f"{held.path}/@@proces-verbal") == kept, "it does not change any more"
    assert on_line(site, "proces-verbal", HELD, held.mark) == "", "a person puts it on line"
    page = send(site, MANAGER, held.path, faire="publier", vu=seen(site, held.path),
                copie=("x.pdf", b"rien", "application/pdf"))  # fmt: skip # one call by its parts
    assert "Copie occultée" in page and on_line(site, "proces-verbal", HELD, held.mark) == ""
    assert "n'est pas celui que cette page montrait" in send(site, MANAGER, held.path, faire="publier")
    assert on_line(site, "proces-verbal", HELD, held.mark) == ""
    page = f"{held.path}/@@suites"
    site.send(MANAGER, page, page, faire="publier", vu=seen(site, held.path))
    public = on_line(site, "proces-verbal", HELD, held.mark)
    page = site.ask("GET", public, {"Accept": "text/html"}).data.decode()
    assert "Amina Benali demande" in page and SECRET not in page and "M. Leroy" not in page
    text = pdf_text(site.file("", f"{public}/@@download/file/proces-verbal-{HELD.isoformat()}.pdf"))
    assert "rectifie un chiffre" in text and SECRET not in text and "M. Leroy" not in text
    assert site.api(MANAGER, "PATCH", public, {"title": "autre"}).status in (401, 403)


def test_a_copy_where_more_was_taken_out_is_published_alone(site: Site, mark: str) -> None:
    own = f"occulte {mark}"
    path = site.meeting(HELD.isoformat(), own)
    item = site.projet(path, f"Confidence {own}")
    site.open(path, item)
    site.adopt(item)
    site.move(MANAGER, path, "clore")
    send(
        site, WRITER, path, faire="debats", **{f"debats_{site.done(WRITER, 'GET', item)['UID']}": "M. Roux habite là."}
    )
    send(site, MANAGER, path, faire="arreter", president="Claire Dubois", secretaire="Amina Benali")
    assert "ne sont pas confirmés" in send(site, MANAGER, path, faire="publier", vu=seen(site, path))
    site.confirm(path)
    send(site, MANAGER, path, faire="publier", vu=seen(site, path),
         copie=("x.pdf", pdf("Copie occultée", "Karim"), "application/pdf"))  # fmt: skip # one call by its parts
    page = site.ask("GET", on_line(site, "proces-verbal", HELD, own), {"Accept": "text/html"}).data.decode()
    assert "Roux" not in page


def test_the_register_is_ready_to_print_and_says_that_paper_stays(site: Site, held: Held) -> None:
    text = pdf_text(site.file(WRITER, f"{MEETINGS}/@@registre?annee={HELD.year}"))
    for one in (
        "Le registre sur papier reste obligatoire",
        "R2121-9",
        "Feuillet 1 / ",
        "Paraphe du maire",
        "Feuillet clôturant la séance du",
        "Signature du président de séance",
        "Table chronologique",
        "Table par matière",
        f"N° {held.rejected} – Parking",
        "Membres présents : Claire Dubois",
    ):
        assert one.casefold() in text.casefold(), one
    sheets = re.search(r"compte (\d+) feuillets", text)
    assert sheets and f"Feuillet {sheets[1]} / {sheets[1]}" in text
