"""How a council votes: quorum and president of each item, ballots without names, a second convocation."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from creatic.deliberations import rules

from testbed.deliberations import MANAGER, MAYOR, MEETINGS, WRITER, Site, token
from tests.profiles.deliberations.conftest import pdf_text

pytestmark = pytest.mark.exterieur  # asked as people do, from another machine

MAIRE, AMINA, BRUNO, ELISE, THOMAS = (
    "claire-dubois", "amina-benali", "bruno-carpentier", "elise-delattre", "thomas-wattiez",
)  # fmt: skip # a list of words
TODAY = datetime.datetime.now(ZoneInfo("Europe/Paris")).date()  # the site's, not this machine's
HELD = TODAY - datetime.timedelta(5)  # a meeting opens on its day: its second one is today's


def refused(site: Site, path: str, change: dict[str, Any], said: str) -> None:
    answer = site.api(MANAGER, "PATCH", path, change)
    assert answer.status in (400, 403), (change, answer.status)
    assert said in str(answer.json()["message"]), (change, answer.data.decode())


def may_not(site: Site, path: str, transition: str, said: str) -> None:
    """A transition is refused, and the page says why."""
    assert site.api(MANAGER, "POST", f"{path}/@workflow/{transition}").status == 400, transition
    assert said in site.browser(MANAGER).ask("GET", path).data.decode()


def document(site: Site, path: str) -> str:
    """The text of what was voted."""
    number = site.done(MANAGER, "GET", path)["numero"]
    return pdf_text(site.file(MANAGER, f"{path}/@@download/document/{number}.pdf"))


def test_a_list_of_more_lines_than_a_council_is_told_by_its_field(site: Site, mark: str) -> None:
    path = site.meeting(TODAY.isoformat(), f"trop de lignes {mark}")
    for name in ("convoques", "pouvoirs"):
        refused(
            site, path, {name: ["Anne Petit : Luc Roux"] * (rules.MEMBERS_MOST + 1)}, f"{rules.MEMBERS_MOST} au plus"
        )


@dataclass(frozen=True)
class Council:
    """A meeting in session, with its items."""

    path: str
    secret: str
    election: str
    accounts: str
    last: str
    after: str


@pytest.fixture(scope="module")
def council(site: Site, mark: str) -> Council:
    path = site.meeting(HELD.isoformat(), f"scrutins {mark}")
    subjects = ("Nomination", "Élection du maire", "Compte financier unique 2026", "Dernier point", "Point suivant")
    items = [site.projet(path, f"{subject} {mark}") for subject in subjects]
    site.open(path, *items)
    return Council(path, *items)


def test_a_secret_vote_names_nobody(site: Site, council: Council) -> None:
    asked = {"scrutin": "secret_tiers", "bulletins_pour": 3, "bulletins_contre": 1}
    site.done(MANAGER, "PATCH", council.secret, asked)
    may_not(site, council.secret, "adopter", "notez combien de présents le demandent")
    site.done(MANAGER, "PATCH", council.secret, {"bulletins_pour": None, "bulletins_contre": None})
    site.done(MANAGER, "PATCH", council.secret, {"scrutin": "secret_nomination"})
    refused(site, council.secret, {"pour": [MAIRE]}, "scrutin secret : aucun nom ne s'écrit")
    refused(site, council.secret, {"bulletins_pour": 5}, "5 bulletins pour 4 votants")
    site.done(MANAGER, "PATCH", council.secret, {"huis_clos_par": "maire", "huis_clos_pour": 3})
    site.done(MANAGER, "PATCH", council.secret, {"bulletins_pour": 2})
    may_not(site, council.secret, "adopter", "le dépouillement n'est pas saisi")
    refused(site, council.secret, {"scrutin": "secret_tiers"}, "un vote est saisi")
    site.done(MANAGER, "PATCH", council.secret, {"bulletins_pour": 2, "bulletins_contre": 2})
    may_not(site, council.secret, "adopter", "le vote n'est pas favorable")  # no casting vote in a secret tie
    assert site.move(MANAGER, council.secret, "rejeter") == "rejete"
    text = document(site, council.secret)
    for said in ("au scrutin secret, par 2 bulletins pour, 2 contre", "rejette le projet suivant", "Scrutin secret",
                 "Huis clos", "3 voix sur 4"):  # fmt: skip # a list of words
        assert said in text, text
    assert "Contre (" not in text
    assert site.api(MANAGER, "PATCH", council.secret, {"bulletins_pour": 3}).status == 401


def test_an_election_goes_by_rounds(site: Site, council: Council) -> None:
    first = "Claire Dubois : 2, Amina Benali : 2"
    site.done(MANAGER, "PATCH", council.election, {"scrutin": "election", "tours": [first]})
    may_not(site, council.election, "adopter", "un deuxième tour est nécessaire")
    refused(site, council.election, {"tours": ["Claire Dubois 3"]}, "ne se lit pas")
    site.done(MANAGER, "PATCH", council.election, {"tours": [first, "Claire Dubois : 3, blancs : 1"]})
    assert site.move(MANAGER, council.election, "adopter") == "adopte"
    text = document(site, council.election)
    assert "au deuxième tour, par 3 voix pour Claire Dubois (3 suffrages exprimés, majorité absolue)" in text


def test_the_maire_leaves_for_the_vote_of_the_accounts(site: Site, council: Council) -> None:
    page = site.browser(MANAGER).ask("GET", council.accounts).data.decode()
    assert "se retire au moment du vote" in page  # its subject says what it is
    site.done(MANAGER, "PATCH", council.accounts, {"pour": [AMINA, BRUNO]})
    may_not(site, council.accounts, "adopter", "se retire au vote de ses comptes")
    site.done(MANAGER, "PATCH", council.accounts, {"pour": []})
    # Four are there: without the maire, and without whom she represents, three.
    there = {"presents": [MAIRE, AMINA, BRUNO, ELISE], "pouvoirs": ["Thomas Wattiez : Claire Dubois"]}
    site.done(MANAGER, "PATCH", council.accounts, there | {"sortis": [MAIRE], "president": AMINA})
    assert site.api(MANAGER, "PATCH", council.accounts, {"pour": [THOMAS]}).status == 400
    site.done(MANAGER, "PATCH", council.accounts, {"pour": [AMINA, BRUNO, ELISE]})
    assert site.move(MANAGER, council.accounts, "adopter") == "adopte"
    text = document(site, council.accounts)
    for said in ("Sortis pour ce vote Claire Dubois", "3 présents sur 5", "Président de séance Amina Benali"):
        assert said in text, text


@pytest.fixture(scope="module")
def second(site: Site, council: Council) -> str:
    """The second meeting, convened after the quorum was lost in the first; gives its path."""
    for one in (council.secret, council.election, council.accounts):
        assert site.state(MANAGER, one) in ("rejete", "adopte"), "les essais précédents ont échoué"
    noted = site.done(MANAGER, "GET", council.last)["presents"]
    assert len(noted) == 4  # who came for the accounts is still there
    may_not(site, council.path, "clore", "n'a pas été voté, ni ajourné, ni retiré")
    closed = {"huis_clos_par": "maire", "huis_clos_pour": 2}
    site.done(MANAGER, "PATCH", council.last, {"presents": [MAIRE, AMINA], "pouvoirs": []} | closed)
    for one in (council.last, council.after):  # lost for this one, and from there on
        refused(site, one, {"pour": [MAIRE, AMINA]}, "le quorum n'est pas atteint pour ce point : 2 présents sur 5")
    browser = site.browser(MANAGER)
    own = token(browser.ask("GET", council.after).data.decode())
    assert browser.ask("POST", f"{council.after}/@@unanimite", own).status == 302
    assert not site.done(MANAGER, "GET", council.after)["pour"]
    assert site.move(MANAGER, council.path, "clore") == "close"
    [told] = [
        one
        for one in site.done("passerelle", "GET", "/@adoptees")["results"]
        if one["uid"] == site.done(MANAGER, "GET", council.election)["UID"]
    ]
    assert "par 3 voix pour Claire Dubois" in told["vote"]
    assert told["quorum"] == "3 présents sur 5 membres en exercice, 3 requis"
    refused(site, council.after, {"pour": [MAIRE]}, "la séance est terminée")
    form = token(browser.ask("GET", council.path).data.decode()) | {"heure": "18:30"}

    def convene(days: int) -> str:
        day = (TODAY + datetime.timedelta(days)).isoformat()
        answer = browser.ask("POST", f"{council.path}/@@seconde-convocation", form | {"date": day})
        return site.path(answer.headers["Location"])

    assert convene(3) == council.path  # one day short
    page = browser.ask("GET", council.path).data.decode()
    assert "3 jours francs au moins (L2121-17), donc à partir du" in page
    assert '<details id="loi"' in page and "Ce que dit la loi : Conseil municipal" in page and "R2121-9" in page
    made = convene(4)
    assert made.startswith(f"{MEETINGS}/") and made != council.path
    return made


def test_the_second_meeting_needs_no_quorum(site: Site, council: Council, second: str, mark: str) -> None:
    items = [site.path(one["@id"]) for one in site.done(MANAGER, "GET", second)["items"]]
    assert [path.rpartition("/")[2] for path in items] == [
        path.rpartition("/")[2] for path in (council.last, council.after)
    ]
    assert site.done(MANAGER, "GET", items[0])["huis_clos_pour"] is None  # the former meeting decided it
    site.done(MANAGER, "PATCH", second, {"date": (TODAY + datetime.timedelta(3)).isoformat()})
    may_not(site, second, "convoquer", "il faut 3 jours francs")
    sent = {"envoyee_le": (TODAY - datetime.timedelta(4)).isoformat()}  # on paper, after the first meeting
    site.done(MANAGER, "PATCH", second, {"date": (TODAY - datetime.timedelta(1)).isoformat()} | sent)
    may_not(site, second, "convoquer", "il faut 3 jours francs")
    site.done(MANAGER, "PATCH", second, {"date": TODAY.isoformat()})
    refused(site, items[0], {"title": "Autre objet"}, "la seconde convocation porte sur le même objet")
    new = site.projet(second, f"Point nouveau {mark}")
    site.move(WRITER, new, "soumettre")
    site.move(MANAGER, new, "inscrire")
    copied = site.done(MANAGER, "POST", f"{second}/@copy", {"source": items[1]})
    copy = site.path(copied[0]["target"])
    assert not site.done(MANAGER, "GET", copy)["reportee"], "a copy was on no first agenda"
    site.done(MANAGER, "DELETE", copy)
    site.convene(second)
    convocation = pdf_text(site.file(WRITER, f"{second}/@@convocation"))
    assert "il délibérera sans condition de quorum (article L2121-17" in convocation
    site.done(MANAGER, "PATCH", second, {"presents": [MAIRE, AMINA], "president": MAIRE, "secretaire": AMINA})
    site.hand_over(second)
    site.move(MANAGER, second, "ouvrir")
    refused(site, new, {"pour": [MAIRE, AMINA]}, "le quorum n'est pas atteint")  # it was not on the first agenda
    site.done(MANAGER, "PATCH", items[0], {"pour": [MAIRE, AMINA]})
    assert site.move(MANAGER, items[0], "adopter") == "adopte"
    assert "seconde convocation, sans condition de quorum (L2121-17)" in document(site, items[0])


def test_a_meeting_without_quorum_is_noted_and_never_opens(site: Site, mark: str) -> None:
    path = site.meeting(TODAY.isoformat(), f"désert {mark}")
    item = site.projet(path, f"Reporté {mark}")
    site.move(WRITER, item, "soumettre")
    site.move(MANAGER, item, "inscrire")
    site.convene(path)
    site.done(MANAGER, "PATCH", path, {"presents": [MAIRE, AMINA]})
    may_not(site, path, "ouvrir", "le quorum n'est pas atteint : 2 présents sur 5 membres en exercice, 3 requis")
    may_not(site, path, "constater", "remise sur papier n'est pas notée")
    site.hand_over(path)
    assert site.move(MANAGER, path, "constater") == "sans_quorum"
    assert site.api(MANAGER, "PATCH", path, {"presents": [MAIRE]}).status == 401
    text = pdf_text(site.file(WRITER, f"{path}/@@proces-verbal"))
    assert "Le quorum n'étant pas atteint (2 présents sur 5 membres en exercice, 3 requis)" in text
    assert "Préparer la seconde séance" in site.browser(MANAGER).ask("GET", path).data.decode()
    assert "Préparer la seconde séance" not in site.browser(WRITER).ask("GET", path).data.decode()


def agenda(site: Site, days: int, name: str, **given: Any) -> str:
    """A meeting in so many days, with one item on its agenda, to be convened now."""
    path = site.meeting((TODAY + datetime.timedelta(days)).isoformat(), name)
    site.done(MANAGER, "PATCH", path, {"envoyee_le": None} | given)
    item = site.projet(path, f"Délai {name}")
    site.move(WRITER, item, "soumettre")
    site.move(MANAGER, item, "inscrire")
    return path


def test_a_convocation_one_day_short_is_refused_with_the_right_day(site: Site, mark: str) -> None:
    path = agenda(site, 5, f"court {mark}")  # four clear days, where five are asked
    first = rules.french_date(TODAY + datetime.timedelta(6), weekday=True)
    may_not(site, path, "convoquer", f"il faut 5 jours francs entre la convocation du {rules.french_date(TODAY)}")
    may_not(site, path, "convoquer", f"(L2121-12) : elle peut se tenir à partir du {first}")
    site.done(MANAGER, "PATCH", path, {"envoyee_le": (TODAY + datetime.timedelta(1)).isoformat()})
    may_not(site, path, "convoquer", "est à venir")
    site.done(MANAGER, "PATCH", path, {"envoyee_le": (TODAY - datetime.timedelta(1)).isoformat()})
    assert site.convene(path) == "convoquee"
    refused(site, path, {"date": TODAY.isoformat()}, "ce que dit la convocation ne change plus")
    site.move(MANAGER, path, "reprendre")  # what is sent next leaves today
    may_not(site, path, "convoquer", "il faut 5 jours francs")


def test_a_meeting_does_not_open_before_its_day(site: Site, mark: str) -> None:
    path = agenda(site, 6, f"avancée {mark}")
    site.convene(path)
    site.done(MANAGER, "PATCH", path, {"presents": [MAIRE, AMINA, BRUNO], "president": MAIRE, "secretaire": AMINA})
    may_not(site, path, "ouvrir", "elle ne s'ouvre pas avant (L2121-10)")


def test_each_version_of_a_convocation_is_kept(site: Site, mark: str) -> None:
    path = agenda(site, 8, f"versions {mark}")
    site.convene(path)
    site.done(MANAGER, "PATCH", path, {"affichee_le": TODAY.isoformat()})
    assert "affichée ou publiée le" in site.browser(WRITER).ask("GET", path).data.decode()
    first = site.file(WRITER, f"{path}/@@envoi?version=1")
    assert "Il est proposé au conseil" in pdf_text(site.file(WRITER, f"{path}/@@note"))
    site.move(MANAGER, path, "reprendre")
    assert site.done(MANAGER, "GET", path)["affichee_le"] is None, "what is sent next is posted up again"
    site.done(MANAGER, "PATCH", path, {"lieu": "Salle des fêtes"})
    site.convene(path)
    assert site.file(WRITER, f"{path}/@@envoi?version=1") == first
    assert "Salle des fêtes" in pdf_text(site.file(WRITER, f"{path}/@@envoi?version=2"))
    assert f"Délai versions {mark}" in pdf_text(site.file(WRITER, f"{path}/@@envoi?version=1&piece=note"))
    for wrong in ("0", "3", "x", "-1"):
        assert site.browser(WRITER).ask("GET", f"{path}/@@envoi?version={wrong}").status == 404, wrong


def test_an_emergency_is_approved_before_anything_is_voted(site: Site, mark: str) -> None:
    path = agenda(site, 1, f"urgence {mark}", urgence="digue rompue")
    may_not(site, path, "convoquer", "il faut un jour franc")
    on_paper = {"date": TODAY.isoformat(), "envoyee_le": (TODAY - datetime.timedelta(2)).isoformat()}
    site.done(MANAGER, "PATCH", path, on_paper)
    [item] = [site.path(one["@id"]) for one in site.done(MANAGER, "GET", path)["items"]]
    site.convene(path)
    assert "en raison de l'urgence : digue rompue" in pdf_text(site.file(WRITER, f"{path}/@@convocation"))
    here = {"presents": [MAIRE, AMINA, BRUNO], "president": MAIRE, "secretaire": AMINA}
    site.done(MANAGER, "PATCH", path, here)
    site.hand_over(path)
    site.move(MANAGER, path, "ouvrir")
    refused(site, item, {"pour": [MAIRE]}, "n'a pas approuvé l'urgence")
    assert "n'est pas approuvée : 0 voix pour sur 3" in pdf_text(site.file(WRITER, f"{path}/@@proces-verbal"))
    site.done(MANAGER, "PATCH", path, {"urgence_pour": 2})
    site.done(MANAGER, "PATCH", item, {"pour": [MAIRE]})
    assert site.move(MANAGER, item, "adopter") == "adopte"


def test_a_note_of_synthesis_goes_with_it(site: Site, mark: str) -> None:
    path = agenda(site, 8, f"sans note {mark}")
    [item] = [site.path(one["@id"]) for one in site.done(MANAGER, "GET", path)["items"]]
    site.done(MANAGER, "PATCH", item, {"expose": {"data": "", "content-type": "text/html"}})
    may_not(site, path, "convoquer", "note explicative de synthèse (L2121-12)")


def test_what_leaves_is_what_the_maire_approved_and_reached_each_member(site: Site, mark: str) -> None:
    """L2121-10 to L2121-12; CE, 9 March 2007, n° 290687."""
    path = agenda(site, 0, f"approbation {mark}", envoyee_le=(TODAY - datetime.timedelta(8)).isoformat())
    [item] = [site.path(one["@id"]) for one in site.done(MANAGER, "GET", path)["items"]]
    may_not(site, path, "convoquer", "le maire ne l'a pas approuvée (L2121-10)")
    forged = site.browser(MANAGER)
    own = token(forged.ask("GET", path).data.decode())
    assert forged.ask("POST", f"{path}/@@approuver", own | {"vu": "x"}).status in (302, 401)
    may_not(site, path, "convoquer", "le maire ne l'a pas approuvée (L2121-10)")
    site.send(MAYOR, path, f"{path}/@@approuver")
    site.done(MANAGER, "PATCH", item, {"dispositif": {"data": "<p>Autre chose.</p>", "content-type": "text/html"}})
    may_not(site, path, "convoquer", "a changé depuis que le maire l'a approuvée")
    site.convene(path)
    here = {"presents": [MAIRE, AMINA, BRUNO], "president": MAIRE, "secretaire": AMINA}
    site.done(MANAGER, "PATCH", path, here)
    may_not(site, path, "ouvrir", "remise sur papier n'est pas notée : Claire Dubois, Amina Benali")
    site.hand_over(path, (TODAY - datetime.timedelta(3)).isoformat())
    may_not(site, path, "ouvrir", "convocation partie trop tard : Claire Dubois")
    for name in ("Claire Dubois", "Amina Benali", "Bruno Carpentier", "Élise Delattre", "Thomas Wattiez"):
        day = (TODAY - datetime.timedelta(8)).isoformat()  # corrected, one by one
        page = site.send(MANAGER, f"{path}/@@envois", f"{path}/@@envois", elu=name, jour=day)
    assert f"noté par {MANAGER}" in page and f"Approuvée par {MAYOR}" in page
    assert site.move(MANAGER, path, "ouvrir") == "ouverte"


def test_a_nomination_begins_as_a_secret_vote(site: Site, mark: str) -> None:
    path = site.meeting(TODAY.isoformat(), f"nomination {mark}")
    item = site.projet(path, f"Désignation des délégués au syndicat {mark}")
    assert site.done(MANAGER, "GET", item)["scrutin"]["token"] == "secret_nomination"
    assert "scrutin secret, sauf si le conseil" in site.browser(WRITER).ask("GET", item).data.decode()
    site.open(path, item)
    voters = [MAIRE, AMINA, BRUNO, THOMAS]
    site.done(MANAGER, "PATCH", item, {"scrutin": "public", "secret_renonce": 3})
    site.done(MANAGER, "PATCH", item, {"pour": voters})
    may_not(site, item, "adopter", "sauf si le conseil décide le contraire à l'unanimité (3 voix sur 4)")
    site.done(MANAGER, "PATCH", item, {"pour": []})
    site.done(MANAGER, "PATCH", item, {"secret_renonce": 4})
    site.adopt(item)
    assert "décide à l'unanimité (4 voix) de ne pas procéder au scrutin secret" in document(site, item)


def test_who_represents_the_commune_elsewhere_counts_for_the_quorum(site: Site, mark: str) -> None:
    path = site.meeting(TODAY.isoformat(), f"syndicat {mark}")
    item = site.projet(path, f"Subvention au syndicat {mark}")
    site.open(path, item)
    site.done(MANAGER, "PATCH", item, {"sortis": [BRUNO]})
    refused(site, item, {"pour": [MAIRE]}, "le quorum n'est pas atteint pour ce point : 2 présents sur 5")
    site.done(MANAGER, "PATCH", item, {"sortis": [], "deportes": [BRUNO]})
    assert site.api(MANAGER, "PATCH", item, {"pour": [BRUNO]}).status == 400
    site.done(MANAGER, "PATCH", item, {"pour": [MAIRE, AMINA, THOMAS]})
    site.move(MANAGER, item, "adopter")
    assert "2 présents, et 1 sorti qui compte (L2131-11) sur 5" in document(site, item)


def test_opinions_of_commissions_go_with_an_item_until_its_vote(site: Site, mark: str) -> None:
    meeting = site.meeting(HELD.isoformat(), f"avis {mark}")
    item = site.projet(meeting, f"Tarifs {mark}")
    before, after = (rules.french_date(HELD + datetime.timedelta(days)) for days in (-6, 1))
    lines = [f"Commission des finances, {HELD - datetime.timedelta(6):%d/%m/%Y} : favorable ; sous réserve d'un devis",
             f"Écoles, {HELD - datetime.timedelta(6):%d/%m/%Y} : sans avis"]  # fmt: skip # a list
    refused(site, item, {"avis": ["Finances : oui"]}, "ne se lit pas : écrivez « Commission des finances")
    site.done(WRITER, "PATCH", item, {"avis": lines})
    site.open(meeting, item)
    agenda, note = (
        " ".join(pdf_text(site.file(MANAGER, f"{meeting}/@@{one}")).split()) for one in ("convocation", "note")
    )
    assert f"Commission des finances, {before} : avis favorable" in agenda and "sous réserve" not in agenda
    assert "avis favorable ; sous réserve d'un devis" in note.replace("’", "'") and "Écoles" in note
    for path in (meeting, item):
        assert (
            f"Commission des finances, {before} : avis favorable"
            in site.browser(MANAGER).ask("GET", path).data.decode()
        )
    late = lines[0].replace(f"{HELD - datetime.timedelta(6):%d/%m/%Y}", f"{HELD + datetime.timedelta(1):%d/%m/%Y}")
    site.done(MANAGER, "PATCH", item, {"avis": [late]})
    may_not(site, item, "adopter", f"est daté du {after}, après la séance")
    site.done(MANAGER, "PATCH", item, {"avis": lines})
    site.done(MANAGER, "PATCH", item, {"pour": [MAIRE, AMINA, BRUNO]})
    refused(site, item, {"avis": lines[:1]}, "un vote est saisi")
    site.move(MANAGER, item, "adopter")
    assert site.api(MANAGER, "PATCH", item, {"avis": []}).status == 401
    act = " ".join(document(site, item).split()).replace("’", "'")
    assert f"Vu l'avis favorable de la commission des finances du {before}" in act and "devis" not in act
    assert f"Vu la consultation de la commission « Écoles » du {before}, sans avis" in act
