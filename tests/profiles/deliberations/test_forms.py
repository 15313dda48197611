"""What a person does on the pages, by the forms that they show: steps, presence and vote, annexes, matters."""

from __future__ import annotations

import base64
import html
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from testbed.deliberations import MANAGER, MAYOR, MEETINGS, WRITER, Browser, Site, seen, token
from tests.profiles.deliberations.conftest import pdf

PROGRAM = b"MZ\x90\x00" + b"x" * 400


@pytest.fixture
def agenda(site: Site, mark: str) -> tuple[str, str]:
    """A meeting under preparation, with a draft."""
    meeting = site.meeting("2027-03-25", f"formulaires {mark} {time.time_ns()}")
    return meeting, site.projet(meeting, f"Garderie {mark}")


def step(browser: Browser, path: str, name: str) -> str:
    """Push the button of a step, as the page shows it; gives the page then."""
    shown = browser.ask("GET", path).data.decode()
    assert re.search(rf'<form[^>]* action="[^"]*/@@etape"[^>]*>(?:(?!</form>).)*value="{name}"', shown, re.DOTALL), name
    return push(browser, path, name, shown)


def push(browser: Browser, path: str, name: str, shown: str) -> str:
    """Push the button of a step of a page that was shown; gives the page then."""
    answer = browser.ask("POST", f"{path}/@@etape", token(shown) | seen(shown, name) | {"faire": name})
    assert answer.status == 302, answer.data[:300]
    return html.unescape(browser.ask("GET", path).data.decode())


def test_a_step_is_a_form_that_is_taken_or_says_what_lacks(site: Site, agenda: tuple[str, str]) -> None:
    meeting, projet = agenda
    assert "« Soumettre au DGS » est fait : l'état est « À valider »." in step(
        site.browser(WRITER), projet, "soumettre"
    )
    manager = site.browser(MANAGER)
    page = step(manager, meeting, "convoquer")
    assert "« Convoquer » est refusé : aucun projet n'est inscrit à l'ordre du jour" in page
    assert site.state(MANAGER, meeting) == "en_preparation"
    step(manager, projet, "inscrire")
    assert site.state(MANAGER, projet) == "inscrit"


CHANGED = "ce que cette page montrait a changé depuis"


def test_a_page_of_before_takes_no_step_on_a_text_that_it_did_not_show(site: Site, agenda: tuple[str, str]) -> None:
    """A visa, and a convocation in the maire's name, were noted of what neither had read."""
    meeting, projet = agenda
    manager, mayor = site.browser(MANAGER), site.browser(MAYOR)
    site.move(WRITER, projet, "soumettre")
    before = manager.ask("GET", projet).data.decode()
    site.move(MANAGER, projet, "renvoyer")
    site.done(WRITER, "PATCH", projet, {"title": "Vente du stade"})
    site.move(WRITER, projet, "soumettre")
    assert CHANGED in push(manager, projet, "inscrire", before)
    assert site.state(MANAGER, projet) == "a_valider"
    step(manager, projet, "inscrire")
    assert site.state(MANAGER, projet) == "inscrit"

    before = mayor.ask("GET", meeting).data.decode()
    assert seen(before, "convoquer")
    site.done(MANAGER, "PATCH", projet, {"title": "Vente du stade pour un euro"})
    page = push(mayor, meeting, "convoquer", before)
    assert CHANGED in page and "Convocation approuvée" not in page
    assert site.state(MANAGER, meeting) == "en_preparation"


def test_a_page_of_before_takes_no_step_on_a_field_that_it_did_not_show(site: Site, agenda: tuple[str, str]) -> None:
    """Not the text alone: that it stays in the commune, how it was voted."""
    _meeting, projet = agenda
    manager = site.browser(MANAGER)
    site.move(WRITER, projet, "soumettre")
    before = manager.ask("GET", projet).data.decode()
    site.move(MANAGER, projet, "renvoyer")
    site.done(WRITER, "PATCH", projet, {"non_transmis": "voirie"})
    site.move(WRITER, projet, "soumettre")
    assert CHANGED in push(manager, projet, "inscrire", before)
    assert "Non transmissible" in manager.ask("GET", projet).data.decode()
    site.done(MANAGER, "PATCH", projet, {"non_transmis": None})
    step(manager, projet, "inscrire")
    assert site.state(MANAGER, projet) == "inscrit"


def test_a_page_of_before_ends_no_vote_that_it_did_not_show(site: Site, mark: str) -> None:
    meeting = site.meeting("2026-11-23", f"voix {mark} {time.time_ns()}")
    projet = site.projet(meeting, f"Garderie {mark}")
    site.open(meeting, projet)
    voices = [one.lower().replace(" ", "-") for one in site.council.present]
    site.done(MANAGER, "PATCH", projet, {"pour": voices})
    manager = site.browser(MANAGER)
    before = manager.ask("GET", projet).data.decode()
    site.done(MANAGER, "PATCH", projet, {"pour": voices[:2], "contre": voices[2:]})
    assert CHANGED in push(manager, projet, "adopter", before)
    assert site.state(MANAGER, projet) == "inscrit"
    step(manager, projet, "adopter")
    assert site.state(MANAGER, projet) == "adopte"


def test_neither_a_link_nor_a_form_from_elsewhere_changes_a_state(site: Site, agenda: tuple[str, str]) -> None:
    _meeting, projet = agenda
    browser = site.browser(WRITER)
    own = token(browser.ask("GET", projet).data.decode())["_authenticator"]
    for path in (
        f"{projet}/content_status_modify?workflow_action=soumettre",
        f"{projet}/content_status_modify?workflow_action=soumettre&_authenticator={own}",
        f"{projet}/@@etape?faire=soumettre&_authenticator={own}",
    ):
        browser.ask("GET", path)
        assert site.state(WRITER, projet) == "brouillon", path
    browser.ask("POST", f"{projet}/@@etape", {"faire": "soumettre"})
    assert site.state(WRITER, projet) == "brouillon", "without the token of a page"


def test_the_toolbar_has_no_menu_that_says_nothing(site: Site, agenda: tuple[str, str]) -> None:
    for path in agenda:
        assert "plone-contentmenu-workflow" not in site.browser(MANAGER).ask("GET", path).data.decode()


@pytest.fixture
def secret(site: Site, mark: str) -> str:
    """An item that is voted in secret, in session."""
    meeting = site.meeting("2026-11-24", f"scrutin {mark} {time.time_ns()}")
    projet = site.projet(meeting, f"Désignation de représentants {mark}")
    site.open(meeting, projet)
    return projet


def vote(site: Site, projet: str, **fields: str) -> str:
    """Send the form of presence and vote, as it is shown; gives what is answered."""
    browser = site.browser(MANAGER)
    shown = browser.ask("GET", projet).data.decode()
    assert f'{projet}/@@vote">Présence et vote</a>' in shown
    form = browser.ask("GET", f"{projet}/@@vote").data.decode()
    assert "form.widgets.pour" in form
    assert "form.widgets.expose" not in form
    sent = {f"form.widgets.{name}": value for name, value in fields.items()}
    sent |= {"form.widgets.scrutin:list": "secret_nomination", "form.buttons.save": "Enregistrer"}
    sent |= {f"form.widgets.{name}-empty-marker": "1" for name in ("scrutin", "compte")}
    answer = browser.ask("POST", f"{projet}/@@vote", token(form) | sent)
    where = answer.headers.get("Location", "")
    return html.unescape((browser.ask("GET", site.path(where)) if where else answer).data.decode())


def test_a_refused_vote_names_its_field_and_an_empty_count_is_not_zero(site: Site, secret: str) -> None:
    site.done(MANAGER, "PATCH", secret, {"bulletins_pour": 3})  # a program says one after the other
    page = html.unescape(site.browser(MANAGER).ask("GET", secret).data.decode())
    assert "non saisi" in page
    assert "« bulletins contre » est vide" in page
    page = vote(site, secret, bulletins_pour="9")
    assert "« Scrutin secret : bulletins pour » : 9 bulletins pour 4 votants" in page
    page = vote(site, secret, bulletins_pour="3")
    assert "« bulletins contre » est vide, écrivez 0 s'il n'y en a pas" in page
    page = vote(site, secret, bulletins_pour="3", bulletins_contre="0")
    assert "Présence et vote notés." in page
    assert "l'état est « Adopté »" in step(site.browser(MANAGER), secret, "adopter")


def sent_by_form(site: Site, holder: str, name: str, data: bytes) -> Any:
    browser = site.browser(WRITER)
    form = f"{holder}/++add++File"
    shown = browser.ask("GET", form).data.decode()
    fields = {"form.widgets.title": name, "form.widgets.file": (name, data, "application/pdf")}
    return browser.ask("POST", form, token(shown) | fields | {"form.buttons.save": "Enregistrer"})


def as_json(name: str, data: bytes) -> dict[str, Any]:
    coded = base64.b64encode(data).decode()
    return {"data": coded, "encoding": "base64", "filename": name, "content-type": "application/pdf"}


@pytest.mark.parametrize(("name", "data", "said"), [
    ("faux.exe", PROGRAM, "c'est un programme (Windows)"),
    ("facture.pdf", PROGRAM, "c'est un programme (Windows)"),
    ("vide.pdf", b"", "il est vide (0 octet)"),
])  # fmt: skip # a table
def test_a_file_is_judged_where_it_enters(
    site: Site, agenda: tuple[str, str], name: str, data: bytes, said: str
) -> None:
    _meeting, projet = agenda
    answer = sent_by_form(site, projet, name, data)
    assert answer.status == 200, "the form is shown again"
    page = html.unescape(answer.data.decode())
    assert said in page
    assert "À faire : " in page
    told = site.api(WRITER, "POST", projet, {"@type": "File", "title": name, "file": as_json(name, data)})
    assert told.status == 400, told.data
    assert site.done(WRITER, "GET", projet)["items_total"] == 0
    kept = site.path(site.done(WRITER, "POST", projet, {"@type": "File", "file": as_json("a.pdf", pdf("A"))})["@id"])
    changed = site.api(WRITER, "PATCH", kept, {"file": as_json(name, data)}).status
    assert changed == 400 or not data  # an empty one changes nothing
    assert site.file(WRITER, f"{kept}/@@download/file").startswith(b"%PDF-")


def test_a_matter_is_chosen_by_its_words(site: Site, agenda: tuple[str, str]) -> None:
    meeting, projet = agenda
    form = html.unescape(site.browser(WRITER).ask("GET", f"{meeting}/++add++projet").data.decode())
    assert "7.5 – Finances locales : Subventions" in form
    assert "form.widgets.pour" not in form, "nobody voted yet"
    site.done(WRITER, "PATCH", projet, {"matiere": "5.2.1"})
    assert site.api(WRITER, "PATCH", projet, {"matiere": "5.9"}).status == 400


def test_no_word_of_programs_is_in_the_history(site: Site, agenda: tuple[str, str]) -> None:
    _meeting, projet = agenda
    site.done(WRITER, "PATCH", projet, {"scrutin": "secret_nomination", "matiere": "7.5"})
    page = html.unescape(site.browser(WRITER).ask("GET", projet).data.decode())
    history = page.partition("Historique")[2]
    assert "Scrutin public, par nom → Scrutin secret, nomination ou présentation" in history
    assert "secret_nomination" not in history


def test_each_page_has_its_own_title(site: Site, agenda: tuple[str, str]) -> None:
    meeting, projet = agenda
    browser = site.browser(MANAGER)
    paths = (
        MEETINGS,
        f"{MEETINGS}/@@adresses",
        meeting,
        f"{meeting}/edit",
        projet,
        f"{projet}/edit",
        f"{projet}/@@vote",
    )
    titles = [re.search(r"<title>(.*?)</title>", browser.ask("GET", path).data.decode(), re.DOTALL) for path in paths]
    found = [html.unescape(one[1]).strip() for one in titles if one]
    assert len(set(found)) == len(paths), found


def test_files_that_come_at_once_are_each_judged(site: Site, mark: str) -> None:
    """While one was indexed, another was found nowhere, and judged by nobody."""
    projet = site.projet(site.meeting("2026-11-25", f"à la fois {mark} {time.time_ns()}"), f"Objet {mark}")

    def send(rank: int) -> int:
        name = f"faux-{rank}.exe"
        told = site.api(WRITER, "POST", projet, {"@type": "File", "title": name, "file": as_json(name, PROGRAM)})
        return int(told.status)

    with ThreadPoolExecutor(3) as several:
        assert [*several.map(send, range(24))] == [400] * 24
