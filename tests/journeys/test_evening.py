"""The evening of a council on one page, in a real Chromium: votes, who comes and goes, what is taken back, two PCs, and
how many gestures it takes."""

from __future__ import annotations

import datetime as dt
import html
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Locator

from testbed.browser import People, Person, people
from testbed.clerk import enter
from testbed.control_node import HOME
from testbed.deliberations import MANAGER, WRITER, Site, token
from testbed.gestures import count
from testbed.parapheur import word
from tests.profiles.deliberations.conftest import pdf_text, signed

TABLET, DESK = (1024, 768), (1280, 800)
TWELVE = 12
WHOLE, AFTER = 60, 30
"""Gestures of an evening of twelve délibérations at most, and of those that come after the votes."""


@pytest.fixture(scope="module")
def site() -> Site:
    return Site("10.59.0.42", "deliberations.creatic.test", HOME)


@pytest.fixture(scope="module")
def mark() -> str:
    return word()


@pytest.fixture(scope="module")
def those(site: Site) -> Iterator[People]:
    with tempfile.TemporaryDirectory() as home:
        servers = {site.name: site.address}
        with people(servers, site.trust, Path(home), os.environ.get("CREATIC_IMAGES", "")) as found:
            yield found


@pytest.fixture
def who(those: People, site: Site) -> Iterator[Person]:
    with those.one() as found:
        enter(found, site, MANAGER)
        yield found


def today() -> str:
    """The site's day, in France."""
    return dt.datetime.now(ZoneInfo("Europe/Paris")).date().isoformat()


def convened(site: Site, mark: str, *subjects: str, heard: str = "") -> tuple[str, list[str]]:
    """A meeting of today that is convened, not open yet; gives its path, and those of its items."""
    meeting = site.meeting(today(), f"soirée {mark} {dt.datetime.now().timestamp()}")
    items = [site.projet(meeting, subject) for subject in subjects]
    if heard:
        body = {"@type": "projet", "title": heard, "sorte": "decisions",
                "expose": {"data": "<p>Décision 12 : un bail.</p>", "content-type": "text/html"}}  # fmt: skip # a table
        items.append(site.path(site.done(WRITER, "POST", meeting, body)["@id"]))
    for one in items:
        site.move(WRITER, one, "soumettre")
        site.move(MANAGER, one, "inscrire")
    site.convene(meeting)
    site.hand_over(meeting)
    return meeting, items


def conduct(who: Person, site: Site, meeting: str) -> None:
    who.go(f"https://{site.name}{meeting}/@@conduire")


def open_it(who: Person) -> None:
    """All are there; the maire presides, as the page proposes, and another keeps the minutes."""
    who.page.get_by_role("button", name="Tous présents").click()
    who.page.get_by_label("Secrétaire de séance").select_option(label="Amina Benali")
    press(who, who.page.get_by_role("button", name="Ouvrir la séance"))


def row(who: Person, rank: int) -> Locator:
    """An item of the page."""
    return who.page.locator("section[data-part]").filter(
        has=who.page.get_by_role("heading", name=re.compile(rf"^{rank}\. "))
    )


def press(who: Person, button: Locator) -> str:
    """Press a button of the page; gives what is said when it is done, or refused."""
    saying = who.page.locator(".creatic-dit")
    saying.evaluate("one => { one.textContent = ''; }")
    button.click()
    saying.filter(has_text=re.compile(r"\w")).wait_for()
    return saying.inner_text()


def test_an_evening_takes_few_gestures(site: Site, who: Person, mark: str) -> None:
    """From presence to publication, alone with one PC; the visas and the signature are the parapheur's, by lots."""
    subjects = [f"Tarif municipal {rank}" for rank in range(1, TWELVE + 1)]
    meeting, items = convened(site, mark, *subjects)
    made = count(who.page)
    who.go(f"https://{site.name}{meeting}")
    who.press("Conduire la séance", "link")
    open_it(who)
    for rank in range(1, TWELVE + 1):
        said = press(who, row(who, rank).get_by_role("button", name="Adopter à l'unanimité"))
        assert f"Point {rank} : « Adopter » est fait" in said
    before = made.all
    press(who, who.page.get_by_role("button", name="Clore la séance"))
    assert site.state(MANAGER, meeting) == "close"
    assert [site.state(MANAGER, one) for one in items] == ["adopte"] * TWELVE
    # The next morning: signed, received by the préfecture; the visas and the signature are the parapheur's lots.
    for rank, one in enumerate(items):
        number, uid = (site.done(MANAGER, "GET", one)[name] for name in ("numero", "UID"))
        original = site.file("passerelle", f"{one}/@@download/document/{number}.pdf")
        told = {"uid": uid, "etat": "acquittee", "id_acte": f"059-215902669-{rank}", "date_reception": today()}
        site.done("passerelle", "POST", "/@suivi", told | signed(original + b"\n% signature\n"))
    who.press("publier les délibérations", "link")
    who.picture("publier")
    for box in who.page.get_by_role("checkbox", name=re.compile("^J'ai relu le n°")).all():
        box.click()
    who.press("Publier ce qui est coché")
    assert f"Choix noté pour {TWELVE} délibérations" in who.read()
    assert [site.state(MANAGER, one) for one in items] == ["publie"] * TWELVE
    numbers = [site.done(MANAGER, "GET", one)["numero"] for one in items]
    assert [int(one.rpartition("_")[2]) - int(numbers[0].rpartition("_")[2]) for one in numbers] == [*range(TWELVE)]
    assert before <= WHOLE - AFTER, (made, before)
    assert made.all - before <= AFTER and made.all <= WHOLE, (made, before)
    print(f"gestes : {before} jusqu'au vote, {made.all - before} après ({made})")


def test_each_item_has_its_own_vote_and_what_one_refuses_keeps_the_others(site: Site, who: Person, mark: str) -> None:
    meeting, items = convened(
        site, mark, "Garderie", "Désignation d'un délégué", "Voirie", "Salle", heard="Décisions du maire"
    )
    conduct(who, site, meeting)
    open_it(who)
    # By name, against and for.
    first = row(who, 1)
    first.get_by_text("Vote par nom", exact=True).click()
    first.get_by_role("radiogroup", name="Bruno Carpentier").get_by_text("Contre").click()
    # The second is secret: its own fields alone, and what it refuses leaves what is typed in the first.
    second = row(who, 2)
    assert second.get_by_role("button", name="Adopter à l'unanimité").count() == 0
    second.get_by_label("Bulletins pour").fill("9")
    second.get_by_label("Bulletins contre").fill("0")
    assert "9 bulletins pour 5 votants" in press(who, second.get_by_role("button", name="Adopter"))
    assert second.get_by_label("Bulletins pour").input_value() == "9"
    assert site.state(MANAGER, items[1]) == "inscrit"
    assert "« Adopter » est fait" in press(who, first.get_by_role("button", name="Adopter, vote par nom"))
    assert "4 voix pour, 1 voix contre" in row(who, 1).inner_text()
    second.get_by_label("Bulletins pour").fill("4")
    second.get_by_label("Bulletins contre").fill("1")
    assert "« Adopter » est fait" in press(who, second.get_by_role("button", name="Adopter"))
    assert "« Ajourner » est fait" in press(who, row(who, 3).get_by_role("button", name="Ajourner"))
    assert "« Retirer de l'ordre du jour » est fait" in press(who, row(who, 4).get_by_role("button", name="Retirer"))
    # What is heard is in the procès-verbal, and keeps nothing from closing.
    heard = row(who, 5)
    assert heard.get_by_role("button", name="Adopter").count() == 0
    heard.get_by_label("Ce qui est dit sur le point 5").fill("Le conseil n'a pas de question.")
    press(who, heard.get_by_role("button", name="Noter ce qui est dit"))
    assert "est fait" in press(who, who.page.get_by_role("button", name="Clore la séance"))
    text = pdf_text(site.file(MANAGER, f"{meeting}/@@proces-verbal"))
    for said in (
        "Compte rendu des décisions prises par délégation (L2122-23), sans vote",
        "Décision 12 : un bail",
        "Le conseil n'a pas de question",
        "Ce point est ajourné",
        "Ce point est retiré de l'ordre du jour",
    ):
        assert said in text, text
    assert not site.done(MANAGER, "GET", items[4])["numero"]


def test_who_comes_and_goes_is_known_from_a_point_on(site: Site, who: Person, mark: str) -> None:
    meeting, items = convened(site, mark, "Un", "Deux", "Trois")
    conduct(who, site, meeting)
    open_it(who)
    press(who, row(who, 1).get_by_role("button", name="Adopter à l'unanimité"))
    who.page.get_by_label("Qui part donne pouvoir à").select_option(label="Claire Dubois")
    said = press(who, who.page.get_by_role("button", name="Thomas Wattiez part"))
    assert "Thomas Wattiez part au point 2, pouvoir à Claire Dubois" in said
    press(who, who.page.get_by_role("button", name="Bruno Carpentier part"))
    assert "parti au point 2" in who.page.locator("#presence").inner_text()
    press(who, row(who, 2).get_by_role("button", name="Adopter à l'unanimité"))
    assert "Bruno Carpentier arrive au point 3" in press(
        who, who.page.get_by_role("button", name="Bruno Carpentier arrive")
    )
    press(who, row(who, 3).get_by_role("button", name="Adopter à l'unanimité"))
    votes = [len(site.done(MANAGER, "GET", one)["pour"]) for one in items]
    assert votes == [5, 4, 5]
    text = pdf_text(site.file(MANAGER, f"{meeting}/@@proces-verbal"))
    assert (
        "Présents à ce point : Claire Dubois, Amina Benali, Élise Delattre ; pouvoirs : Thomas Wattiez à Claire" in text
    )


def test_a_vote_is_taken_back_until_the_meeting_is_closed(site: Site, who: Person, mark: str) -> None:
    meeting, items = convened(site, mark, "Premier", "Deuxième")
    conduct(who, site, meeting)
    open_it(who)
    for rank in (1, 2):
        press(who, row(who, rank).get_by_role("button", name="Adopter à l'unanimité"))
    given = [site.done(MANAGER, "GET", one)["numero"] for one in items]
    uids = {site.done(MANAGER, "GET", one)["UID"] for one in items}
    told = [one["uid"] for one in site.done("passerelle", "GET", "/@adoptees")["results"]]
    assert not uids & {*told}, "nothing leaves while it may be taken back"
    assert "« Reprendre ce point » est fait" in press(who, row(who, 1).get_by_role("button", name="Reprendre ce point"))
    assert not site.done(MANAGER, "GET", items[0])["numero"]
    press(who, row(who, 1).get_by_role("button", name="Effacer le vote"))
    press(who, row(who, 1).get_by_role("button", name="Adopter à l'unanimité"))
    assert [site.done(MANAGER, "GET", one)["numero"] for one in items] == given, "no hole in the register"
    page = html.unescape(site.browser(MANAGER).ask("GET", items[0]).data.decode())
    assert "Reprendre ce point" in page.partition("Historique")[2]
    press(who, who.page.get_by_role("button", name="Clore la séance"))
    assert row(who, 1).get_by_role("button", name="Reprendre ce point").count() == 0
    assert site.api(MANAGER, "POST", f"{items[0]}/@workflow/revenir").status == 400
    told = [one["uid"] for one in site.done("passerelle", "GET", "/@adoptees")["results"]]
    assert uids <= {*told}


def test_two_pcs_on_one_meeting(site: Site, who: Person, those: People, mark: str) -> None:
    meeting, items = convened(site, mark, "Partagé", "Autre")
    conduct(who, site, meeting)
    open_it(who)
    with those.one() as other:
        enter(other, site, MANAGER)
        conduct(other, site, meeting)
        other.page.get_by_label("Ce qui est dit sur le point 2").evaluate("one => one.closest('details').open = true")
        press(who, row(who, 1).get_by_role("button", name="Adopter à l'unanimité"))
        said = press(other, row(other, 1).get_by_role("button", name="Ajourner"))
        assert "ce que cette page montrait a changé depuis" in said and "Adopter" in said
        assert site.state(MANAGER, items[0]) == "adopte"
        assert row(other, 1).get_by_role("button", name="Reprendre ce point").count() == 1, "it shows what is now"
        # The network goes: what is typed stays.
        typed = other.page.get_by_label("Ce qui est dit sur le point 2")
        typed.fill("Une longue discussion.")
        other.page.context.set_offline(True)
        said = press(other, row(other, 2).get_by_role("button", name="Noter ce qui est dit"))
        assert "le réseau ne répond pas" in said
        assert typed.input_value() == "Une longue discussion."
        other.page.context.set_offline(False)
        press(other, row(other, 2).get_by_role("button", name="Noter ce qui est dit"))
    assert "Une longue discussion" in pdf_text(site.file(MANAGER, f"{meeting}/@@proces-verbal"))


def test_the_page_is_for_who_keeps_the_votes_and_by_a_form_of_its_own(site: Site, mark: str) -> None:
    meeting, [item] = convened(site, mark, "Réservé")
    page = f"{meeting}/@@conduire"
    shown = site.browser(MANAGER).ask("GET", page).data.decode()
    seen = re.search(r'name="vu" value="([^"]+)"', shown)
    assert seen
    fields = {"faire": "presence", "vu": seen[1], "la_0": "1"}
    writer = site.browser(WRITER)
    asked = token(writer.ask("GET", page).data.decode()) | fields
    assert writer.ask("POST", page, asked).status in (302, 401)
    assert not site.done(MANAGER, "GET", meeting)["presents"]
    site.browser(MANAGER).ask("POST", page, fields)  # without the token of a page
    assert not site.done(MANAGER, "GET", meeting)["presents"]
    assert site.browser("nadia.moreau").ask("GET", page).status in (302, 401, 404)
    assert site.state(MANAGER, item) == "inscrit"


def test_by_keyboard_and_on_a_tablet(site: Site, who: Person, mark: str) -> None:
    meeting, items = convened(site, mark, "Au clavier", "Désignation d'un délégué", heard="Questions")
    for name, (width, height) in {"tablette": TABLET, "bureau": DESK}.items():
        who.page.set_viewport_size({"width": width, "height": height})
        conduct(who, site, meeting)
        who.picture(f"conduire-convoquee-{name}")
    assert who.faults("conduire_convoquee") == []
    open_it(who)
    for name, (width, height) in {"tablette": TABLET, "bureau": DESK}.items():
        who.page.set_viewport_size({"width": width, "height": height})
        who.picture(f"conduire-ouverte-{name}")
    row(who, 1).get_by_text("Vote par nom", exact=True).click()
    assert who.faults("conduire_ouverte") == []
    conduct(who, site, meeting)
    for _ in range(300):
        who.page.keyboard.press("Tab")
        if who.page.evaluate("document.activeElement.textContent.trim()") == "Adopter à l'unanimité":
            break
    who.page.keyboard.press("Enter")
    who.page.locator(".creatic-dit").filter(has_text="« Adopter » est fait").wait_for()
    assert site.state(MANAGER, items[0]) == "adopte"
    assert (
        who.page.evaluate("document.activeElement.closest('section').querySelector('h3').textContent")
        .strip()
        .startswith("1.")
    )
