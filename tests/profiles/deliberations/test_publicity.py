"""A CCAS, hosted by Gondecourt: nothing of it goes on line by itself, and never who is helped (CASF, L133-5)."""

from __future__ import annotations

import datetime
import html
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pytest

from testbed.deliberations import HTML, MANAGER, MAYOR, Council, Site, token
from tests.profiles.deliberations.conftest import signed

pytestmark = pytest.mark.exterieur  # asked as people do, from another machine

WRITER = "odile.faure"
CCAS = Council("gondecourt-ccas", WRITER, MANAGER, ("Claire Dubois", "Anne Bertrand", "Odile Faure"))
TODAY = datetime.datetime.now(ZoneInfo("Europe/Paris")).date()  # the site's, not this machine's
NAME = "famille DUPONT"


@dataclass(frozen=True)
class Held:
    """A meeting of the CCAS that is over since six days, with an aid and a budget, both received by the préfecture."""

    path: str
    aid: str
    budget: str
    numbers: tuple[str, str]


@pytest.fixture(scope="module")
def ccas(site: Site) -> Site:
    return Site(site.address, site.name, site.home, None, dict(site._tokens), CCAS)


@pytest.fixture(scope="module")
def held(ccas: Site, mark: str) -> Held:
    path = ccas.meeting((TODAY - datetime.timedelta(6)).isoformat(), f"aides {mark}")
    aid = ccas.projet(path, f"Secours d'urgence – {NAME}, 12 rue des Lilas {mark}")
    budget = ccas.projet(path, f"Budget primitif {mark}")
    ccas.done(MANAGER, "PATCH", path, {"urgence": "au plus vite"})
    for one in (aid, budget):
        ccas.move(WRITER, one, "soumettre")
        ccas.move(MANAGER, one, "inscrire")
    assert ccas.api(MAYOR, "POST", f"{path}/@workflow/convoquer").status == 400
    page = html.unescape(ccas.browser(MAYOR).ask("GET", path).data.decode())
    assert "aucun texte ne permet d'abréger, en urgence, le délai de ce conseil (R123-16 du CASF)" in page
    ccas.done(MANAGER, "PATCH", path, {"urgence": ""})
    ccas.convene(path)
    ccas.hand_over(path)
    here = ["claire-dubois", "anne-bertrand", "odile-faure"]
    ccas.done(MANAGER, "PATCH", path, {"presents": here, "president": here[0], "secretaire": here[1]})
    ccas.move(MANAGER, path, "ouvrir")
    numbers = ccas.adopt(aid), ccas.adopt(budget)
    ccas.move(MANAGER, path, "clore")
    for one, number in zip((aid, budget), numbers, strict=True):
        drawn = ccas.file("passerelle", f"{one}/@@download/document/{number}.pdf")
        told = {"uid": ccas.done(MANAGER, "GET", one)["UID"], "etat": "acquittee", "id_acte": f"059-{number}-DE"}
        told |= {"date_reception": TODAY.isoformat()} | signed(drawn + b"\n% signature\n")
        ccas.done("passerelle", "POST", "/@suivi", told)
    return Held(path, aid, budget, numbers)


def test_no_list_goes_by_itself_and_the_page_says_why(ccas: Site, held: Held, mark: str) -> None:
    told = ccas.done("passerelle", "POST", "/@conseil", {})
    assert not any(f"aides {mark}" in one for one in told["listes"])
    browser = ccas.browser(MANAGER)
    page = html.unescape(browser.ask("GET", f"{held.path}/@@suites").data.decode())
    assert "CASF, L133-5 ; code pénal, 226-13" in page and "Mettre la liste en ligne" not in page
    assert browser.ask("GET", f"{held.path}/@@liste").status == 404
    forged = token(page) | {"faire": "liste", "publier": "1"}
    assert browser.ask("POST", f"{held.path}/@@suites", forged).status in (302, 401)
    shown = ccas.ask("GET", "/gondecourt-ccas/publications", HTML).data.decode()
    assert "/liste-" not in shown and "/proces-verbal-" not in shown


def test_a_decision_about_somebody_is_not_published_a_budget_is(ccas: Site, held: Held) -> None:
    assert "n'est jamais mise en ligne" in html.unescape(ccas.publish(held.aid))
    assert ccas.state(MANAGER, held.aid) == "adopte"
    assert ccas.ask("GET", f"/gondecourt-ccas/publications/{held.numbers[0].lower()}").status == 404
    ccas.publish(held.budget, collectif="1")
    assert ccas.ask("GET", f"/gondecourt-ccas/publications/{held.numbers[1].lower()}", HTML).status == 200


@pytest.mark.parametrize("document", ["liste", "proces_verbal"])
def test_nor_by_hand(ccas: Site, document: str, mark: str) -> None:
    body = {"@type": "Publication", "title": f"À la main, {document} {mark}", "document_type": document}
    path = ccas.path(ccas.done(MANAGER, "POST", "/gondecourt-ccas/publications", body)["@id"])
    answer = ccas.api(MANAGER, "POST", f"{path}/@workflow/publish", {})
    assert answer.status == 403 and "L133-5" in answer.json()["message"]


def test_nobody_finds_who_is_helped_anywhere(ccas: Site, held: Held, mark: str) -> None:
    assert ccas.api("", "GET", f"/@search?SearchableText={mark}*").status == 401
    pages = ["/", f"/@@search?SearchableText={mark}", "/sitemap.xml.gz"]
    for place in ("/gondecourt", "/gondecourt-ccas"):
        pages += [f"{place}{page}" for page in ("", "/publications", "/decisions", "/publications/rss.xml")]
    for path in pages:
        assert NAME not in ccas.ask("GET", path, HTML).data.decode(errors="replace"), path
    for path in (held.path, held.aid, f"{held.path}/@@proces-verbal", f"{held.path}/@@convocation"):
        assert ccas.ask("GET", path, HTML).status in (302, 401, 404), path


def test_its_forms_offer_no_emergency(ccas: Site) -> None:
    form = ccas.browser(MANAGER).ask("GET", "/gondecourt-ccas/seances/++add++seance").data.decode()
    assert "Membres en exercice" in form and "urgence" not in form.lower() and "Tour de scrutin" not in form
    form = ccas.browser(MANAGER).ask("GET", "/gondecourt/seances/++add++seance").data.decode()
    assert "Motif de l" in form and "Tour de scrutin" in form
