"""What people of a commune do in browsers, by the pages alone: a council and what goes wrong in it, the keyboard alone,
every page readable by all, no secret in an address."""

from __future__ import annotations

import datetime as dt
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from playwright.sync_api import Route

from scripts import demo_chaine
from testbed.browser import Person
from testbed.clerk import Clerks, clerks, enter
from testbed.control_node import command
from testbed.deliberations import MANAGER
from testbed.parapheur import pdf, word
from testbed.passerelle import Passerelle

from .conftest import a_letter

PICTURES = os.environ.get("CREATIC_IMAGES", "")


@pytest.fixture(scope="module")
def lab() -> demo_chaine.Lab:
    return demo_chaine.Lab()


@pytest.fixture(scope="module")
def those(lab: demo_chaine.Lab) -> Iterator[Clerks]:
    others = {one.name: one.address for one in (lab.ged, lab.passerelle)}
    with clerks(lab.site, lab.parapheur, PICTURES, **others) as found:
        yield found


@pytest.fixture(scope="module")
def meeting(those: Clerks) -> tuple[str, list[str]]:
    """A meeting that is open, with two projets, and how the pages told what was wrong on the way."""
    day = dt.date.today()
    meeting = those.prepare(day, word())
    first = those.write(meeting, "Tarifs de la cantine", "7.1")
    second = those.write(meeting, "Avis sur un projet", "9.4")
    # A program under the name of a plan is told at once, and nothing of it is kept.
    said = those.join(first, "plan.pdf", b"MZ" + b"\0" * 4000)
    assert "« plan.pdf » n'est pas accepté : c'est un programme" in said
    assert "À faire :" in said
    said = those.join(first, "plan.pdf", b"")
    assert "vide" in said
    assert those.site.done(MANAGER, "GET", those.site.path(first)).get("items", []) == []
    those.join(first, "plan.pdf", pdf("Plan"))
    assert "++add++" not in those.writer.page.url, those.writer.read()
    for one in (first, second):
        those.submit(one)
    those.open(meeting, day, first, second)
    return meeting, [first, second]


def test_a_refused_vote_names_its_field_and_what_it_lacks(those: Clerks, meeting: tuple[str, list[str]]) -> None:
    _meeting, [_first, second] = meeting
    page = those.manager.page
    those.manager.go(second)
    those.manager.press("Adopter")  # nothing was voted
    assert "« Adopter » est refusé : le vote n'est pas saisi" in those.manager.read()
    those.manager.press("Présence et vote", "link")
    assert page.get_by_label("Scrutin", exact=True).is_visible(), "the form opens where the vote is"
    page.get_by_label("Scrutin", exact=True).select_option(label="Scrutin secret, demandé par le tiers des présents")
    page.get_by_label("Scrutin secret, demandé par").fill("1")
    page.get_by_label("Scrutin secret : bulletins pour").fill("2")
    those.manager.press("Enregistrer")
    said = those.manager.read()
    if "++" not in page.url and "@@vote" not in page.url:  # a partial count is kept, and told as such
        those.manager.press("Adopter")
        said = those.manager.read()
    assert "contre" in said and "Champ indéterminé" not in said
    assert those.adopt_secretly(second, (2, 1), 1).startswith("20")


def test_a_vote_by_the_keyboard_alone(those: Clerks, meeting: tuple[str, list[str]]) -> None:
    _meeting, [first, _second] = meeting
    those.manager.go(first)
    those.manager.by_keyboard("Unanimité pour")
    those.manager.by_keyboard("Adopter")
    assert "« Adopter » est fait" in those.manager.read()


def test_the_visa_and_the_signature_by_the_keyboard_alone(
    lab: demo_chaine.Lab, those: Clerks, meeting: tuple[str, list[str]]
) -> None:
    place, [first, _second] = meeting
    those.close(place)
    those.manager.go(first)
    number = those.number()
    those.find(those.manager, number)
    assert "plan.pdf" in those.manager.read(), "who gives the visa reads the annexes"
    assert those.manager.faults("parapheur_dossier") == []
    those.manager.by_keyboard("Donner le visa")
    assert "est maintenant : À signer" in those.manager.read()
    signed = lab.sign(those.to_sign(number))
    assert "plan.pdf" in those.mayor.read(), "and who signs"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "acte-signe.pdf").write_bytes(signed)
        those.find(those.mayor, number)
        those.mayor.page.get_by_label("Fichier signé").set_input_files(Path(folder, "acte-signe.pdf"))
        those.mayor.by_keyboard("Déposer le fichier signé")
    assert "est maintenant : À télétransmettre" in those.mayor.read()
    those.manager.go(f"{first}/@@publication")
    those.manager.page.get_by_label("Publier le document signé").press("Space")
    for choice in those.manager.page.get_by_role("radio", name="La publier").all():
        choice.press("Space")
    those.manager.page.locator("button[name=choisir]").press("Enter")
    those.manager.page.wait_for_load_state()
    assert "Info" in those.manager.read()


def pages_of(who: Person, base: str, *paths: str) -> dict[str, list[str]]:
    """What is wrong with some pages, none for good ones; each has a title of its own."""
    found, titles = {}, set()
    for path in paths:
        who.page.goto("about:blank")  # what follows the sign # alone would not be asked for
        who.go(f"{base}{path}")
        who.settle()
        assert "Privilèges insuffisants" not in who.read(), path
        if wrong := who.faults(path.strip("/#").replace("/", "_") or "accueil"):
            found[path] = wrong
        titles.add(who.page.title())
    if len(titles) < len(paths):
        found["titres"] = sorted(titles)
    return found


def test_every_page_of_the_deliberations_is_readable_by_all(those: Clerks, meeting: tuple[str, list[str]]) -> None:
    place, [first, second] = meeting
    base, inside = f"https://{those.site.name}", (those.site.path(one) for one in (place, first, second))
    meeting_path, projet, _other = inside
    asked = ["/", "/gondecourt/decisions", "/gondecourt/publications", "/gondecourt/seances", meeting_path, projet,
             f"{projet}/@@publication", f"{meeting_path}/@@envois", f"{meeting_path}/@@suites"]  # fmt: skip # a list
    assert pages_of(those.manager, base, *asked) == {}
    assert pages_of(those.writer, base, "/gondecourt/seances/++add++seance") == {}
    those.writer.go(base)
    those.writer.page.get_by_text("Karim Lefèvre").first.click()  # their menu
    those.writer.press("Changer le mot de passe", "link")
    assert "Changer le mot de passe" in those.writer.page.title()
    assert those.writer.faults("mot_de_passe") == []
    # A page that is not there, and the space of an élue.
    missing = those.writer.page.goto(f"{base}/gondecourt/rien")
    assert missing is not None and missing.status == 404 and those.writer.faults("introuvable") == []
    uids = [those.site.done(MANAGER, "GET", path)["UID"] for path in (meeting_path, projet)]
    within = f"seance={uids[0]}"
    space = ["espace", f"espace-seance?{within}", f"espace-point?{within}&point={uids[1]}"]
    with those.others.one() as reader:
        enter(reader, those.site, "amina.benali")
        assert pages_of(reader, base, *(f"/gondecourt/@@{one}" for one in space)) == {}


def test_every_page_of_the_parapheur_is_readable_by_all(those: Clerks) -> None:
    base = f"https://{those.parapheur.name}"
    asked = [f"/parapheur/{name}" for name in ("", "dossiers/", "deposer/", "absences/", "delegations/")]
    assert pages_of(those.manager, base, *asked, "/authentication/password/change/") == {}
    refused = those.manager.page.goto(f"{base}/documents/documents/")
    assert refused is not None and refused.status == 403
    assert those.manager.faults() == []


def test_no_secret_is_in_an_address(those: Clerks) -> None:
    who, page, before = those.writer, those.writer.page, len(those.writer.addresses)
    who.go(f"https://{those.parapheur.name}/authentication/password/change/")
    for name, value in (
        ("old_password", "Ancien-Faux-1"),
        ("new_password1", "Nouveau-Un-1"),
        ("new_password2", "Autre-2"),
    ):
        page.locator(f"[name={name}]").fill(value)
    who.press("Changer le mot de passe")
    assert "incorrect" in who.read()
    who.go(f"https://{those.parapheur.name}/parapheur/deposer/")
    page.get_by_label("Objet").fill("Un essai")
    page.get_by_label("Date de l'acte").fill("2026-12-01")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "faux.pdf").write_bytes(b"MZ" + b"\0" * 2000)
        page.get_by_label("Document :").set_input_files(Path(folder, "faux.pdf"))
        who.press("Déposer")
    assert "Refusé" in who.read()
    for address in map(unquote, who.addresses[before:]):
        for secret in ("Ancien-Faux-1", "Nouveau-Un-1", "Autre-2", "csrfmiddlewaretoken", "_authenticator"):
            assert secret not in address


def test_pages_of_the_ged_are_readable_by_all(lab: demo_chaine.Lab, those: Clerks) -> None:
    login, ged = "claire.dubois", lab.ged
    ged.choose(login)
    base = f"https://{ged.name}"
    with those.others.one() as who:
        who.go(f"{base}/authentication/login/")
        assert who.faults("ged_connexion") == []
        who.page.locator("[name=username]").fill(login)
        who.page.locator("[name=password]").fill(ged.password(login))
        who.press("Se connecter")
        document = ged.listed(login, "/documents/")[0]["id"]
        asked = ["/#/documents/documents/", f"/#/documents/documents/{document}/preview/",
                 f"/#/metadata/documents/{document}/metadata/edit/", "/#/cabinets/cabinets/",
                 "/#/sources/sources/documents/wizard/"]  # fmt: skip # a list
        assert pages_of(who, base, *asked) == {}
        # A form of Mayan's frame that comes again writes nothing of what it sent in the address.
        who.page.goto("about:blank")
        who.go(f"{base}/#/metadata/documents/{document}/metadata/edit/")
        who.settle()
        who.page.locator("[name$=-value]").first.fill("pas une date")
        with who.page.expect_response(lambda answer: answer.request.method == "POST"):
            who.page.locator("#ajax-content form button[type=submit]").first.click()
        who.settle()
        assert "csrfmiddlewaretoken" not in who.page.url


def kind(address: str) -> str:
    """What pages of one template have in common: their path, without numbers and names."""
    return re.sub(r"/\d+|/pour/[^/]+", "/…", urlsplit(address).path)


def drawn(server: Passerelle, who: str, reader: Person, most: int = 12) -> dict[str, list[str]]:
    """What is wrong with the pages of a server that asks for a certificate, one of each kind that the first leads to.

    The browser has no certificate: what it asks of the server, styles and scripts too, is asked for it.
    """

    def answer(route: Route) -> None:
        said = server.ask(who, route.request.url.removeprefix(base))
        route.fulfill(status=said.status, headers=dict(said.headers), body=said.data)

    base = f"https://{server.name}"
    reader.page.route(f"{base}/**", answer)
    found: dict[str, list[str]] = {}
    waiting = ["/"]
    while waiting and len(found) < most:
        address = waiting.pop(0)
        if kind(address) in found:
            continue
        given = server.ask(who, address)
        if given.status != 200 or not given.headers["Content-Type"].startswith("text/html"):
            continue
        reader.go(base + address)
        found[kind(address)] = reader.faults(f"{server.name.partition('.')[0]}_{who}{kind(address).replace('/', '_')}")
        links = reader.page.locator("a[href]").evaluate_all("all => all.map(one => one.getAttribute('href'))")
        for one in links:
            there = urljoin(base + address, one)
            if there.startswith(f"{base}/"):
                waiting.append(there.removeprefix(base))
    return found


def test_pages_of_the_passerelle_are_readable_by_all(lab: demo_chaine.Lab, those: Clerks) -> None:
    """A commune's, and the groupement's; an act, the registers, a letter of the préfecture."""
    seen: set[str] = set()
    a_letter(lab)
    for who in ("poste", "groupement"):
        with those.others.one() as reader:
            found = drawn(lab.passerelle, who, reader)
        assert not any(found.values()), found
        seen |= set(found)
    assert {"/", "/acte", "/registre", "/decisions", "/suivi", "/lettres/…"} <= seen


def test_pages_of_the_morning_are_readable_by_all(lab: demo_chaine.Lab, those: Clerks) -> None:
    assert command("fab", "matin").returncode in (0, 1)  # 1: something is to be done, whose lines are read too
    there = lab.hosts["veille"]
    watch = replace(lab.passerelle, address=there["ansible_host"], name=there["creatic_names"][0])
    with those.others.one() as reader:
        found = drawn(watch, "groupement", reader)
    assert len(found) >= 2 and not any(found.values()), found
