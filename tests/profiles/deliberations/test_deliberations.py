"""The site of the délibérations: a délibération's life, who sees what, accounts, what listens, configuration."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import deliberations
from testinfra.host import Host

from testbed.communes import subscribers
from testbed.deliberations import HTML, JSON, MANAGER, MAYOR, MEETINGS, STRANGER, WRITER, Browser, Site, token
from tests.profiles.deliberations.conftest import Act, pdf, pdf_text, signed
from tests.profiles.services import exposure, listens_on, memory_holds, there_and_closed, waits_on_the_disk

pytestmark = pytest.mark.exterieur  # asked as people do, from another machine

# Megabytes, all of Plone, PostgreSQL and nginx, shared pages counted once.
MEMORY = 600
VOTERS = ["claire-dubois", "amina-benali", "bruno-carpentier", "thomas-wattiez"]


# -- the host -----------------------------------------------------------------------------------------------


def test_what_runs(host: Host) -> None:
    for unit in ("postgresql@17-main", "postgresql-bases", "plone-setup", "plone", "nginx"):
        assert host.check_output(f"systemctl is-active {unit}.service") == "active", unit


def test_only_ssh_and_https_listen(host: Host) -> None:
    """PostgreSQL and Plone are reached by their unix sockets alone, not even by the loopback."""
    listens_on(host, 22, 443)


@pytest.mark.parametrize("unit", ["plone", "plone-setup", "postgresql-bases"])
def test_services_are_sandboxed(host: Host, unit: str) -> None:
    assert exposure(host, f"{unit}.service") < 2.0


def test_plone_reaches_no_network(host: Host) -> None:
    """From where it runs, an address cannot even be asked for."""
    probe = "import socket; socket.create_connection(('10.59.0.1', 22), 3)"
    properties = "-p RestrictAddressFamilies=AF_UNIX -p IPAddressDeny=any"
    with host.sudo():
        shown = host.check_output("systemctl show plone.service -p RestrictAddressFamilies -p IPAddressDeny")
        assert "RestrictAddressFamilies=AF_UNIX\n" in f"{shown}\n"
        tried = host.run(f'systemd-run --collect --wait --pipe -q {properties} -p User=plone python3 -c "{probe}"')
    assert tried.rc != 0
    assert "Address family not supported" in tried.stderr


def test_secrets_are_closed_to_other_accounts(host: Host) -> None:
    for path in ("/etc/plone/admin", "/var/lib/plone/version"):
        assert there_and_closed(host, path), path
    with host.sudo("plone"):
        assert host.run("test -r /etc/plone/admin").failed
    with host.sudo("www-data"):
        assert host.run("psql -h /run/postgresql -U plone plone -c 'SELECT 1'").failed


def test_memory_holds_on_a_small_machine(host: Host, act: Act) -> None:
    """PSS once documents were drawn."""
    memory_holds(host, "plone,postgres,www-data", MEMORY, 5)


def test_what_is_sent_waits_on_the_disk(host: Host) -> None:
    """Twelve bodies of a visitor with any cookie were 2.2 GB of the memory of a site that has 1.2."""
    waits_on_the_disk(host, "plone.service")


@pytest.mark.costly
def test_a_setup_that_is_cut_off_leaves_nothing_and_starts_again(host: Host) -> None:
    """The mark of what is installed is gone, as after a power cut: the same data comes up again, nothing is lost."""
    with host.sudo():
        host.run_expect([0], "systemctl stop plone.service plone-setup.service && mv /var/lib/plone/version /run/vu")
        try:
            # Killed in the middle of its work: it has said that it begins with our policy.
            said = 'journalctl --unit plone-setup.service --since "@$start" --output cat'
            begun = f"until {said} | grep -q ^Délibérations; do sleep 0.1; done"
            script = f"start=$(date +%s); systemctl start --no-block plone-setup.service; {begun}"
            # Dead, and known to be: a start asked before that joins the job that was killed, and fails with it. Whoever
            # asks for a page meanwhile starts another one.
            pid = "systemctl show --value --property=MainPID plone-setup.service"
            killed = f"pid=$({pid}); systemctl kill -s KILL plone-setup.service; while [ $({pid}) = $pid ]"
            host.run_expect([0], f"timeout 120 sh -c '{script}; {killed}; do sleep 0.1; done'")
            host.run("systemctl reset-failed plone-setup.service")
            assert host.run("test -e /var/lib/plone/version").failed
            host.run_expect([0], "systemctl start plone.service")
            first = [host.check_output(f"head -1 {file}") for file in ("/var/lib/plone/version", "/run/vu")]
            assert first[0] == first[1]
        finally:
            host.run("systemctl start plone.service; rm -f /run/vu")


# -- a délibération's life ----------------------------------------------------------------------------------


def test_its_state_and_its_number(site: Site, act: Act) -> None:
    assert re.fullmatch(r"2026_\d{3}", act.number)
    assert site.state(WRITER, act.projet) == "publie"
    assert site.state(WRITER, act.meeting) == "close"


def test_who_did_what_is_kept(site: Site, act: Act) -> None:
    history = site.done(MANAGER, "GET", f"{act.projet}/@workflow")["history"]
    done = [(one["action"], one["actor"]) for one in history if one["action"]]
    assert done == [("soumettre", WRITER), ("inscrire", MANAGER), ("adopter", MANAGER), ("publier", MANAGER)]


def test_its_public_page_says_when_the_prefecture_received_it(site: Site, act: Act) -> None:
    page = site.ask("GET", act.page, HTML)
    assert page.status == 200
    text = page.data.decode()
    assert "Reçue en préfecture le 27 novembre 2026" in text
    assert f"{act.number} – Subvention {act.mark}" in text
    [link] = set(re.findall(rf'href="https://{site.name}({act.page}/@@download/file/[^"]+)"', text))
    assert site.file("", link) == act.pdf


def test_its_annex_is_published_without_what_it_hides(site: Site, act: Act) -> None:
    text = site.ask("GET", act.page, HTML).data.decode()
    [link] = set(re.findall(rf'href="https://{site.name}({act.page}/plan.pdf)[/"]', text))
    shown = site.file("", f"{link}/@@download/file/plan.pdf")
    assert "Plan" in pdf_text(shown)
    assert b"Anne Cachee" not in shown
    assert b"Anne Cachee" in site.file(WRITER, f"{act.projet}/plan.pdf/@@download/file/plan.pdf"), "kept unchanged"


def test_a_deliberation_that_is_not_transmitted_is_published_without_an_aracte(site: Site, mark: str) -> None:
    meeting = site.meeting("2026-11-26", f"voirie {mark}")
    projet = site.projet(meeting, f"Droits de voirie {mark}")
    site.done(WRITER, "PATCH", projet, {"non_transmis": "voirie"})
    site.open(meeting, projet)
    number = site.adopt(projet)
    site.move(MANAGER, meeting, "clore")
    uid = str(site.done(MANAGER, "GET", projet)["UID"])
    [told] = [one for one in site.done("passerelle", "GET", "/@adoptees")["results"] if one["uid"] == uid]
    assert told["transmission"] == "non"
    drawn = site.file("passerelle", f"{projet}/@@download/document/{number}.pdf")
    site.done("passerelle", "POST", "/@suivi", {"uid": uid, "etat": "a_publier"} | signed(drawn + b"\n% signature\n"))
    page = f"/gondecourt/publications/{number.lower()}"
    assert site.ask("GET", page).status == 404, "nobody chose yet"
    site.publish(projet)
    public = Browser(site).ask("GET", page).data.decode()
    assert "Non transmissible à la préfecture" in public and "Reçue en préfecture" not in public


def test_nothing_is_on_line_before_somebody_chose_and_it_may_be_taken_off(site: Site, mark: str) -> None:
    """An occulted copy, taken off with its reason, then published again."""
    meeting = site.meeting("2026-11-25", f"retrait {mark}")
    projet = site.projet(meeting, f"Aide à Anne Secrete {mark}")
    site.open(meeting, projet)
    number = site.adopt(projet)
    uid = site.done(MANAGER, "GET", projet)["UID"]
    page, asked = f"/gondecourt/publications/{number.lower()}", {"uids": [uid]}
    signed_one = pdf(f"Aide attribuee a Anne Secrete {mark}")
    told = {"uid": uid, "etat": "acquittee", "id_acte": f"059-{number}-DE", "date_reception": "2026-11-26"}
    assert site.done("passerelle", "POST", "/@suivi", told | signed(signed_one))["revue"] == "adopte"
    assert site.done("passerelle", "POST", "/@publications", asked) == {"results": []}
    assert site.ask("GET", page).status == 404
    assert "Rien n'est publié" in html.unescape(site.browser(MANAGER).ask("GET", projet).data.decode())
    covered: dict[str, Any] = {
        "document": "occulte",
        "copie": ("copie.pdf", signed_one, "application/pdf"),
        "objet": f"Aide {mark}",
    }
    assert "s'y lit encore" in html.unescape(site.publish(projet, **covered))
    assert site.ask("GET", page).status == 404
    covered["copie"] = ("copie.pdf", pdf(f"Aide attribuee a [occulte] {mark}"), "application/pdf")
    answer = site.browser(WRITER).ask("POST", f"{projet}/@@publication", {"document": "signe"})
    assert answer.status != 200
    assert site.state(MANAGER, projet) == "adopte"
    site.publish(projet, **covered)
    shown = site.ask("GET", page, HTML).data.decode()
    decision = f"/gondecourt/decisions/seance-{site.done(WRITER, 'GET', meeting)['UID'][:12]}/{number.lower()}"
    assert f"Aide {mark}" in shown
    for public in (page, decision, f"{page}/@@download/file/{number}.pdf"):
        assert b"Secrete" not in site.ask("GET", public, HTML).data, public
    [found] = site.done("passerelle", "POST", "/@publications", asked)["results"]
    assert (found["uid"], found["mode"], found["en_ligne"]) == (uid, "electronique", True)
    site.decide(MANAGER, projet, motif="Le nom d'un tiers y restait", retirer="1")
    for public in (page, decision):
        text = site.ask("GET", public, HTML).data.decode()
        assert "retiré de la publication le" in text
        assert f"Aide {mark}" not in text
        assert "Le nom d'un tiers" not in html.unescape(text)
    assert site.ask("GET", f"{page}/@@download/file/{number}.pdf").status == 404
    assert "retire_le" in site.done("passerelle", "POST", "/@publications", asked)["results"][0]
    assert "Le nom d'un tiers y restait" in html.unescape(site.browser(MANAGER).ask("GET", projet).data.decode())
    site.publish(projet, objet=f"Aide {mark}", document="occulte", copie=covered["copie"])
    assert f"Aide {mark}" in site.ask("GET", page, HTML).data.decode()
    assert site.file(MANAGER, f"{projet}/@@download/document_signe/{number}.pdf") == signed_one


def test_what_its_public_page_is_drawn_with_is_served(site: Site, act: Act) -> None:
    text = site.ask("GET", act.page, HTML).data.decode()
    wanted = set(re.findall(rf'(?:href|src)="https://{site.name}(/[^"]+\.(?:css|js)[^"]*)"', text))
    assert any("theme.css" in path for path in wanted)
    assert {path: site.ask("GET", path).status for path in wanted} == dict.fromkeys(wanted, 200)


def test_it_is_among_the_decisions_of_its_meeting(site: Site, act: Act) -> None:
    uid = site.done(WRITER, "GET", act.meeting)["UID"]
    page = site.file("", f"/gondecourt/decisions/seance-{uid[:12]}/{act.number.lower()}").decode()
    assert f"{act.number} – Subvention {act.mark}" in page
    assert "Reçue en préfecture le 27 novembre 2026" in page
    feed = site.file("", "/gondecourt/publications/rss.xml").decode()
    assert act.mark in feed


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("@@convocation", "Convocation du conseil municipal"),
        ("@@proces-verbal", "Bruno Carpentier"),
    ],
)
def test_documents_of_the_meeting(site: Site, act: Act, view: str, said: str) -> None:
    text = pdf_text(site.file(WRITER, f"{act.meeting}/{view}"))
    assert said.casefold() in text.casefold()
    assert f"Subvention {act.mark}" in text
    assert "PROJET" not in text


def test_the_deliberation_and_the_register(site: Site, act: Act) -> None:
    text = pdf_text(site.file(WRITER, f"{act.projet}/@@download/document/{act.number}.pdf"))
    for said in (
        act.number,
        "à l'unanimité des suffrages exprimés (4 voix pour)",
        "Thomas Wattiez à Claire Dubois",
        "Élise Delattre",
        "Finances locales",
    ):
        assert said in text, text
    register = pdf_text(site.file(WRITER, f"{MEETINGS}/@@registre?annee=2026"))
    assert f"N° {act.number} – Subvention {act.mark}" in register
    assert "27/11/2026" in register


def test_nothing_of_it_changes_once_adopted(site: Site, act: Act) -> None:
    for login in (WRITER, MANAGER, MAYOR):
        assert site.api(login, "PATCH", act.projet, {"title": "autre"}).status == 401
        assert site.api(login, "DELETE", act.projet).status in (401, 403)
        assert site.api(login, "DELETE", f"{act.projet}/plan.pdf").status in (401, 403)
    assert site.done(WRITER, "GET", act.projet)["title"] == f"Subvention {act.mark}"


def test_what_is_published_is_the_passerelles(site: Site, act: Act) -> None:
    """Neither the DGS nor the administrator changes, withdraws or deletes it, nor makes another without a vote."""
    uid = site.done(WRITER, "GET", act.meeting)["UID"]
    decision = f"/gondecourt/decisions/seance-{uid[:12]}"
    for path in (act.page, decision, f"{decision}/{act.number.lower()}"):
        assert site.api(MANAGER, "PATCH", path, {"title": "autre"}).status in (401, 403), path
        assert site.api(MANAGER, "DELETE", path).status in (401, 403), path
    for transition in ("unpublish", "archive"):
        refused = site.api(MANAGER, "POST", f"{act.page}/@workflow/{transition}", {})
        assert (refused.status, "seule la passerelle la change" in refused.json()["message"]) == (403, True)
    assert site.api(MANAGER, "POST", f"{decision}/@workflow/back_to_private", {}).status == 403
    assert site.api(MANAGER, "POST", f"{act.page}/@sharing", {"entries": []}).status == 403
    publications = "/gondecourt/publications"
    forged = {"@type": "Publication", "title": "Jamais votée", "document_type": "deliberation"}
    assert site.api(MANAGER, "POST", publications, forged).status == 403
    assert site.api(MANAGER, "POST", f"{publications}/@copy", {"source": act.page}).status == 403
    page = site.ask("GET", act.page, HTML)
    assert page.status == 200
    assert f"Subvention {act.mark}" in page.data.decode()
    assert "Historique" in page.data.decode()


def test_another_act_is_withdrawn_and_stays_what_it_was(site: Site, mark: str) -> None:
    body = {"@type": "Publication", "title": f"Arrêté {mark}", "document_type": "arrete"}
    path = site.path(site.done(MANAGER, "POST", "/gondecourt/publications", body)["@id"])
    site.done(MANAGER, "PATCH", path, {"title": f"Arrêté bis {mark}"})
    for transition in ("publish", "unpublish"):
        site.move(MANAGER, path, transition)
        assert site.api(MANAGER, "PATCH", path, {"title": "autre"}).status in (401, 403)
        assert site.api(MANAGER, "DELETE", path).status in (401, 403)
    assert "Retrait" in site.browser(MANAGER).ask("GET", path).data.decode()  # its trace


def test_a_copy_of_an_adopted_projet_begins_its_own_life(site: Site, act: Act, mark: str) -> None:
    """Last year's is copied: under its follow-up, the new one would never leave."""
    meeting = site.meeting("2026-11-28", f"copie {mark}")
    made = site.done(MANAGER, "POST", f"{meeting}/@copy", {"source": act.projet})
    copy = site.path(made[0]["target"])
    found = site.done(MANAGER, "GET", copy)
    assert found["review_state"] == "brouillon" and found["title"] == f"Subvention {mark}"
    for name in ("numero", "suivi", "id_acte", "date_reception", "document", "document_signe", "pour"):
        assert not found[name], name
    site.done(MANAGER, "PATCH", copy, {"title": f"Subvention suivante {mark}"})
    site.open(meeting, copy)
    assert site.adopt(copy) != act.number
    site.move(MANAGER, meeting, "clore")  # what may be taken back does not leave
    listed = [one["uid"] for one in site.done("passerelle", "GET", "/@adoptees")["results"]]
    assert found["UID"] in listed


def test_an_act_published_by_hand_says_nothing_that_it_does_not_show(site: Site, mark: str) -> None:
    def made(name: str, content: bytes) -> str:
        file = {"data": base64.b64encode(content).decode(), "encoding": "base64", "filename": f"{name}.pdf",
                "content-type": "application/pdf"}  # fmt: skip # a table
        body = {"@type": "Publication", "title": f"{name} {mark}", "document_type": "arrete", "file": file}
        return site.path(site.done(MANAGER, "POST", "/gondecourt/publications", body)["@id"])

    path = made("circulation", pdf("Travaux", author="Anne Cachee"))
    site.move(MANAGER, path, "publish")
    public = site.file("", f"{path}/@@download/file/circulation.pdf")
    assert b"Anne Cachee" not in public and "Travaux" in pdf_text(public)
    signed_path = made("signe", pdf("Travaux", author="Anne Cachee") + b"\n/ByteRange [0 1 2 3]")
    answer = site.api(MANAGER, "POST", f"{signed_path}/@workflow/publish", {})
    assert answer.status == 403 and "ce PDF est signé et cache : auteur : Anne Cachee" in answer.json()["message"]
    assert site.state(MANAGER, signed_path) == "private"


@pytest.fixture(scope="module")
def open_meeting(site: Site, mark: str) -> tuple[str, list[str]]:
    """A meeting in session, with three projets."""
    meeting = site.meeting("2026-11-27", f"bis {mark}")
    projets = [site.projet(meeting, f"Point {rank} {mark}") for rank in range(3)]
    site.open(meeting, *projets)
    return meeting, projets


def test_a_writer_decides_nothing(site: Site, open_meeting: tuple[str, list[str]]) -> None:
    meeting, projets = open_meeting
    for path, transition in ((projets[0], "adopter"), (projets[0], "rejeter"), (meeting, "clore")):
        assert site.api(WRITER, "POST", f"{path}/@workflow/{transition}").status == 400, transition
    assert site.api(WRITER, "PATCH", projets[0], {"pour": VOTERS}).status == 401


def test_a_vote_is_counted_before_anything_is_adopted(site: Site, open_meeting: tuple[str, list[str]]) -> None:
    meeting, [projet, *_others] = open_meeting
    assert site.api(MANAGER, "POST", f"{projet}/@workflow/adopter").status == 400  # no vote yet
    twice = site.api(MANAGER, "PATCH", projet, {"pour": ["claire-dubois"], "contre": ["claire-dubois"]})
    assert twice.status == 400
    assert "Claire Dubois est compté deux fois" in twice.json()["message"]
    away = site.api(MANAGER, "PATCH", projet, {"pour": ["Élise Delattre"]})
    assert away.status == 400
    site.done(MANAGER, "PATCH", projet, {"contre": VOTERS[:3], "pour": VOTERS[3:]})
    fixed = site.api(MANAGER, "PATCH", projet, {"title": "autre"})
    assert (fixed.status, "un vote est saisi" in fixed.json()["message"]) == (403, True)
    for change in ({"date": "2026-12-24"}, {"president": "amina-benali"}, {"presents": VOTERS[:2], "pouvoirs": []}):
        fixed = site.api(MANAGER, "PATCH", meeting, change)
        assert (fixed.status, "un vote a eu lieu" in fixed.json()["message"]) == (403, True), change
    assert site.api(MANAGER, "POST", f"{projet}/@workflow/adopter").status == 400
    assert site.move(MANAGER, projet, "rejeter") == "rejete"
    rejected = site.done(MANAGER, "GET", projet)
    assert re.fullmatch(r"2026_\d{3}", rejected["numero"])
    assert site.api(MANAGER, "PATCH", projet, {"contre": VOTERS}).status == 401
    listed = [one["uid"] for one in site.done("passerelle", "GET", "/@adoptees")["results"]]
    assert rejected["UID"] not in listed
    told = {"uid": rejected["UID"], "etat": "au_parapheur"}
    assert site.api("passerelle", "POST", "/@suivi", told).status == 401  # what was refused goes nowhere


def test_two_at_once_get_two_numbers_without_a_hole(site: Site, open_meeting: tuple[str, list[str]]) -> None:
    _meeting, [rejected, *projets] = open_meeting
    for one in projets:
        site.done(MANAGER, "PATCH", one, {"pour": VOTERS})
    site.api(MANAGER, "GET", "/@types")
    started = threading.Barrier(len(projets))
    answers: list[int] = []

    def adopt(path: str) -> None:
        own = Site(site.address, site.name, site.home, None, dict(site._tokens))
        started.wait()
        answers.append(own.api(MANAGER, "POST", f"{path}/@workflow/adopter").status)

    threads = [threading.Thread(target=adopt, args=(one,)) for one in projets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * len(projets)
    numbers = sorted(int(site.done(MANAGER, "GET", one)["numero"].rpartition("_")[2]) for one in projets)
    first = int(site.done(MANAGER, "GET", rejected)["numero"].rpartition("_")[2])
    assert numbers == list(range(first + 1, first + 1 + len(projets)))


def test_a_wrong_attendance_is_told(site: Site, mark: str) -> None:
    meeting = site.meeting("2026-11-28", f"ter {mark}")
    wrong = site.api(
        MANAGER, "PATCH", meeting, {"presents": ["claire-dubois"], "pouvoirs": ["Élise Delattre : Amina Benali"]}
    )
    assert wrong.status == 400
    assert "le mandataire Amina Benali n'est pas présent" in wrong.json()["message"]
    site.done(MANAGER, "PATCH", meeting, {"presents": ["claire-dubois", "amina-benali"]})
    page = site.browser(MANAGER).ask("GET", meeting).data.decode()
    assert "aucun projet n'est inscrit à l'ordre du jour" in page  # why it cannot be convened
    assert site.api(MANAGER, "POST", f"{meeting}/@workflow/convoquer").status == 400
    projet = site.projet(meeting, f"Sans quorum {mark}")
    site.move(WRITER, projet, "soumettre")
    site.move(MANAGER, projet, "inscrire")
    site.convene(meeting)
    assert site.api(MANAGER, "POST", f"{meeting}/@workflow/ouvrir").status == 400  # two of five
    assert "le quorum n'est pas atteint" in site.browser(MANAGER).ask("GET", meeting).data.decode()


# -- the passerelle -----------------------------------------------------------------------------------------


def adopted(site: Site, mark: str) -> Iterator[str]:
    """Délibérations, each adopted when it is asked for: the lab's own passerelle takes one within its 30 seconds."""
    for rank in range(5):
        meeting = site.meeting("2026-11-27", f"quater {rank} {mark}")
        projet = site.projet(meeting, f"En attente {rank} {mark}")
        site.open(meeting, projet)
        site.adopt(projet)
        site.move(MANAGER, meeting, "clore")
        yield str(site.done(MANAGER, "GET", projet)["UID"])


@pytest.fixture(scope="module")
def waiting(site: Site, mark: str) -> dict[str, Any]:
    """An adopted délibération as it is told while nobody has handed it on yet."""
    for uid in adopted(site, f"liste {mark}"):
        for one in site.done("passerelle", "GET", "/@adoptees")["results"]:
            if one["uid"] == uid:
                return dict(one)
    pytest.fail("aucune délibération adoptée n'est annoncée")


def test_what_waits_is_told_once(site: Site, act: Act, waiting: dict[str, Any]) -> None:
    assert waiting["reference"] == f"deliberations:{waiting['uid']}"
    assert (waiting["commune"], waiting["siren"], waiting["date"]) == ("gondecourt", "215902669", "2026-11-27")
    assert (waiting["matiere"], waiting["annexes"]) == ("7.1", [])
    data = site.file("passerelle", site.path(waiting["document"]["url"]))
    assert signed(data)["sha256"] == waiting["document"]["sha256"]
    assert waiting["numero"] in pdf_text(data)
    listed = [one["uid"] for one in site.done("passerelle", "GET", "/@adoptees")["results"]]
    assert act.uid not in listed


def test_a_step_told_again_changes_nothing(site: Site, mark: str) -> None:
    def told(uid: str) -> bool:
        return bool(site.done("passerelle", "POST", "/@suivi", {"uid": uid, "etat": "au_parapheur"})["change"])

    uid = next((uid for uid in adopted(site, f"suivi {mark}") if told(uid)), None)
    assert uid, "aucun premier pas n'est noté"
    assert not told(uid)
    assert uid not in [one["uid"] for one in site.done("passerelle", "GET", "/@adoptees")["results"]]


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"etat": "parti"}, 400, "etat : « parti » est inconnu. À faire : l'un de au_parapheur"),
        ({"uid": "inconnu"}, 404, "uid : aucune délibération adoptée n'a cet identifiant"),
        ({"date_reception": "hier"}, 400, "date_reception : « hier » n'est pas une date ISO"),
        ({"date_reception": None}, 400, "date_reception et id_acte : obligatoires avec l'état acquittee"),
        ({"document": None}, 400, "document : la délibération signée n'a pas encore été reçue"),
        ({"document": "&"}, 400, "document : ce n'est pas du base64"),
        ({"document": base64.b64encode(b"MZ").decode()}, 400, "document : ce n'est pas un PDF"),
        ({"sha256": "0"}, 400, "sha256 : absent, ou ce n'est pas celui du document"),
    ],
)
def test_what_is_told_wrong_is_refused_and_changes_nothing(
    site: Site, waiting: dict[str, Any], changed: dict[str, Any], status: int, said: str
) -> None:
    right = {"uid": waiting["uid"], "etat": "acquittee", "id_acte": "059-1", "date_reception": "2026-11-27"}
    answer = site.api("passerelle", "POST", "/@suivi", right | signed(b"%PDF-1.4 x") | changed)
    assert (answer.status, answer.json()["message"][: len(said)]) == (status, said)
    path = site.path(waiting["document"]["url"]).partition("/@@")[0]
    assert site.state(MANAGER, path) == "adopte"


def test_a_published_deliberation_takes_no_other_act(site: Site, act: Act) -> None:
    told = {
        "uid": act.uid,
        "etat": "acquittee",
        "id_acte": f"059-215902669-20261126-{act.number}-DE",
        "date_reception": "2026-11-27",
    }
    again = site.done("passerelle", "POST", "/@suivi", told | signed(act.pdf))
    assert (again["change"], again["revue"]) == (False, "publie")
    assert site.api("passerelle", "POST", "/@suivi", told | signed(b"%PDF-1.4 autre")).status == 409
    assert site.api("passerelle", "POST", "/@suivi", told | {"id_acte": "autre"}).status == 409


@pytest.mark.parametrize("login", ["", WRITER, MANAGER, STRANGER])
def test_only_the_passerelle_asks_and_tells(site: Site, act: Act, login: str) -> None:
    assert site.api(login, "GET", "/@adoptees").status == 401
    assert site.api(login, "POST", "/@suivi", {"uid": act.uid, "etat": "en_erreur"}).status == 401
    assert site.api(login, "POST", "/@configuration", {"configuration": {"communes": []}}).status == 401


def test_the_passerelle_does_nothing_else(site: Site, act: Act) -> None:
    assert site.api("passerelle", "GET", MEETINGS).status == 401
    assert site.api("passerelle", "PATCH", act.projet, {"title": "autre"}).status == 401
    assert site.api("passerelle", "POST", f"{act.projet}/@workflow/renvoyer").status == 400


# -- who sees what ------------------------------------------------------------------------------------------


def test_another_commune_sees_nothing_of_the_preparation(site: Site, act: Act) -> None:
    for path in (MEETINGS, act.meeting, act.projet, f"{act.projet}/plan.pdf", f"{act.projet}/@history"):
        assert site.api(STRANGER, "GET", path).status == 401, path
    browser = site.browser(STRANGER)
    for path in (
        MEETINGS,
        act.meeting,
        act.projet,
        f"{act.meeting}/@@convocation",
        f"{MEETINGS}/@@registre",
        f"{act.projet}/@@download/document/x.pdf",
    ):
        answer = browser.ask("GET", path)
        assert answer.status == 302, path
        assert "require_login" in answer.headers["Location"], path
    assert browser.ask("GET", "/la-madeleine/seances").status == 200


def test_nothing_is_reached_under_another_commune_s_name(site: Site, act: Act) -> None:
    """Zope finds a meeting under another commune's address too: what is put on line from there was that commune's."""
    name = act.meeting.rpartition("/")[2]
    browser = site.browser(MANAGER)
    for path in (
        f"{MEETINGS}/la-madeleine/{name}",
        f"/la-madeleine{act.meeting}",
        f"/gondecourt/deliberations{MEETINGS}",
    ):
        for view in ("", "/@@convocation", "/@@suites"):
            assert browser.ask("GET", path + view).status == 404, path + view
        answer = browser.ask("GET", f"{path}/edit")  # there, nobody is what they are in their own commune
        assert answer.status == 404 or "require_login" in answer.headers["Location"], path
        for api in ("", "/++api++"):
            assert site.api(MANAGER, "GET", api + path).status == 404, api + path
    assert browser.ask("GET", act.meeting).status == 200
    assert site.api(MANAGER, "GET", f"/++api++{act.meeting}").status == 200


def test_no_page_that_is_for_anybody_says_what_it_is_about(site: Site, act: Act) -> None:
    """Plone's helpers are public, and say the title of what they are asked of."""
    path = f"{act.meeting}/@@plone_context_state/object_title"
    browser = site.browser(MANAGER)
    assert browser.ask("GET", path).status == 200
    browser.cookies.clear()
    assert "require_login" in browser.ask("GET", path).headers["Location"]


def test_another_commune_does_not_find_it(site: Site, act: Act) -> None:
    query = f"/@search?SearchableText={act.mark}&portal_type="
    for kind in ("projet", "seance"):
        assert site.done(STRANGER, "GET", query + kind)["items_total"] == 0, kind
    found = [site.path(one["@id"]) for one in site.done(WRITER, "GET", f"{query}projet")["items"]]
    assert act.projet in found
    page = site.browser(STRANGER).ask("GET", f"/@@search?SearchableText={act.mark}").data.decode()
    assert act.projet not in page


def test_another_commune_adds_nothing(site: Site, act: Act) -> None:
    body = {"@type": "seance", "title": "intrus", "date": "2026-11-26", "heure": "18:30"}
    assert site.api(STRANGER, "POST", MEETINGS, body).status == 401
    assert site.api(STRANGER, "POST", act.meeting, {"@type": "projet", "title": "intrus"}).status == 401


def test_a_visitor_sees_what_is_published_alone(site: Site, act: Act, waiting: dict[str, Any]) -> None:
    adopted = site.path(waiting["document"]["url"])
    for path in (MEETINGS, act.meeting, act.projet, adopted, adopted.partition("/@@")[0]):
        answer = site.ask("GET", path, HTML)
        assert answer.status == 302, path
        assert "require_login" in answer.headers["Location"], path
    for path in ("/", "/gondecourt/decisions", "/gondecourt/publications", "/sitemap"):
        assert waiting["objet"] not in site.ask("GET", path, HTML).data.decode(), path
    assert waiting["objet"] not in site.file("", f"/@@search?SearchableText={act.mark}").decode()
    for path in ("/@search?portal_type=projet", "/gondecourt", "/@users"):
        assert site.ask("GET", path, JSON).status == 401, path


@pytest.mark.parametrize("path", ["/manage", "/manage_main", "/acl_users/manage_main", "/portal_setup/manage_main"])
def test_zope_is_not_managed_from_outside(site: Site, path: str) -> None:
    admin = (site.home / "secrets" / "deliberations" / "admin").read_text(encoding="utf-8").strip()
    known = base64.b64encode(f"admin:{admin}".encode()).decode()
    assert site.ask("GET", path, {"Authorization": f"Basic {known}"}).status == 404


@pytest.mark.parametrize("query", ["manage_main:method=x", ":action=manage_main", "portal_setup:default_method=x"])
def test_nor_by_a_field_in_the_administrators_session(site: Site, query: str) -> None:
    admin = (site.home / "secrets" / "deliberations" / "admin").read_text(encoding="utf-8").strip()
    browser = Browser(site)
    assert browser.log_in("admin", admin).status == 302
    assert browser.ask("GET", "/").status == 200
    assert browser.ask("GET", f"/?{query}").status == 404
    field, _equal, value = query.partition("=")
    assert browser.ask("POST", "/", {field: value}).status == 404


def test_the_administrators_password_opens_nothing_in_a_header(site: Site) -> None:
    admin = (site.home / "secrets" / "deliberations" / "admin").read_text(encoding="utf-8").strip()
    known = base64.b64encode(f"admin:{admin}".encode()).decode()
    assert site.ask("GET", "/@users", JSON | {"Authorization": f"Basic {known}"}).status == 401


# -- accounts -----------------------------------------------------------------------------------------------


def test_a_first_password_opens_nothing_but_its_change(site: Site) -> None:
    login = "hugo.petit"
    if (site._accounts / f"{login}.essai").exists():
        pytest.skip("ce compte a déjà changé le sien")
    browser = Browser(site)
    assert browser.log_in(login, site.first_password(login)).status == 302
    for path in ("/", "/la-madeleine/seances", "/@@search", "/++theme++x/../la-madeleine/seances"):
        answer = browser.ask("GET", path)
        assert (answer.status, answer.headers["Location"]) == (302, f"https://{site.name}/@@forced-password-change")
    answer = browser.ask("GET", "/la-madeleine/seances/++theme++deliberations")  # nobody's to read
    assert answer.status == 302 and "require_login" in answer.headers["Location"]
    refused = site.ask("POST", "/@login", JSON, json={"login": login, "password": site.first_password(login)})
    assert refused.status == 403
    for new in ("court-9A", "toutminuscules", "MotDePasse-2026", site.first_password(login)):
        assert browser.change_password(site.first_password(login), new).status == 200, new
    assert browser.ask("GET", "/la-madeleine/seances").status == 302
    site.password(login)
    # That session was opened with the first password, which is no more.
    assert "require_login" in browser.ask("GET", "/la-madeleine/seances").headers["Location"]
    assert site.browser(login).ask("GET", "/la-madeleine/seances").status == 200


def test_guessing_locks_the_account(site: Site, host: Host) -> None:
    """Even its right password is refused then, by the API and by the form; other accounts are not."""
    right = site.password(MAYOR)

    def status(password: str) -> int:
        return int(site.ask("POST", "/@login", JSON, json={"login": MAYOR, "password": password}).status)

    assert status(right) == 200
    for _attempt in range(5):
        assert status("devine") == 401
    try:
        assert status(right) == 401
        assert Browser(site).log_in(MAYOR, right).status == 200  # the form again
        assert (
            site.ask("POST", "/@login", JSON, json={"login": WRITER, "password": site.password(WRITER)}).status == 200
        )
    finally:
        with host.sudo():
            host.run_expect([0], "systemctl restart plone.service")
    assert status(right) == 200


def test_a_form_of_another_site_is_refused(site: Site, mark: str) -> None:
    """A page elsewhere cannot have an agent's browser enter a vote; the site's own can."""
    meeting = site.meeting("2026-11-30", f"quater {mark}")
    projet = site.projet(meeting, f"Formulaire {mark}")
    site.done(MANAGER, "PATCH", meeting, {"presents": ["claire-dubois", "amina-benali"]})
    browser = site.browser(MANAGER)
    browser.ask("POST", f"{projet}/@@unanimite", {})
    assert not site.done(MANAGER, "GET", projet)["pour"]
    own = token(browser.ask("GET", f"{projet}/edit").data.decode())
    assert browser.ask("POST", f"{projet}/@@unanimite", own).status == 302
    assert [one["title"] for one in site.done(MANAGER, "GET", projet)["pour"]] == ["Claire Dubois", "Amina Benali"]


# -- configuration as code ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def wanted(pytestconfig: pytest.Config) -> dict[str, Any]:
    """The configuration that the inventory wants."""
    return deliberations.configuration(subscribers(Path(pytestconfig.getoption("--environment")), "deliberations"))


# Run on the host, as the module does: the service is not for who comes from outside.
APPLY = """
import base64, http.client, socket, sys
connection = http.client.HTTPConnection("localhost", timeout=300)
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("/run/plone.sock")
known = base64.b64encode(b"admin:" + open("/etc/plone/admin", "rb").read().strip()).decode()
headers = {"Host": sys.argv[1], "Accept": "application/json", "Content-Type": "application/json",
           "Authorization": f"Basic {known}"}
connection.request("POST", "/@configuration", sys.argv[2].encode(), headers)
print(connection.getresponse().read().decode())
"""


def answer(host: Host, site: Site, wanted: dict[str, Any], check: bool, **passwords: str) -> dict[str, Any]:
    """Apply a configuration as the module does; gives what the site says of it."""
    body = json.dumps({"configuration": wanted, "mots_de_passe": passwords, "verification": check})
    with host.sudo():
        said = host.check_output(f"python3 -c {shlex.quote(APPLY)} {site.name} {shlex.quote(body)}")
    found: dict[str, Any] = json.loads(said)
    return found


def configure(host: Host, site: Site, wanted: dict[str, Any], check: bool) -> list[str]:
    """The same; gives the changes."""
    found: list[str] = answer(host, site, wanted, check)["changements"]
    return found


def test_nothing_differs_from_the_inventory(host: Host, site: Site, wanted: dict[str, Any]) -> None:
    assert configure(host, site, wanted, check=True) == []


def test_a_login_that_passes_to_another_commune_is_made_anew(host: Host, site: Site, wanted: dict[str, Any]) -> None:
    """Its former holder knows its password, and their groups are the other commune's: all of it goes, by check mode."""
    first, *hosted, other = wanted["communes"]
    [moved] = [one for one in first["comptes"] if one["identifiant"] == WRITER]
    first = first | {"redacteurs": [], "comptes": [one for one in first["comptes"] if one != moved]}
    other = other | {"redacteurs": [*other["redacteurs"], WRITER], "comptes": [*other["comptes"], moved]}
    passed = {"communes": [first, *hosted, other]}
    told = answer(host, site, passed, check=True)
    assert (told["sans_mot_de_passe"], told["retires"]) == ([WRITER], [WRITER])
    told = answer(host, site, passed, check=True, **{WRITER: "Un-autre-mot-2-passe"})
    assert (told["sans_mot_de_passe"], told["retires"]) == ([], [])
    assert told["changements"] == [
        f"compte {WRITER} : remis à une autre commune",
        f"groupe La Madeleine - Rédacteurs : {WRITER} ajouté",
    ]


def test_who_leaves_leaves_their_first_password(host: Host, site: Site, wanted: dict[str, Any]) -> None:
    communes = [one | {"redacteurs": [], "comptes": []} for one in wanted["communes"]]
    told = answer(host, site, {"communes": communes}, check=True)
    assert WRITER in told["retires"]


def test_what_differs_is_told_then_made_exact(host: Host, site: Site, wanted: dict[str, Any]) -> None:
    """A DGS who becomes a writer, another council: told by check mode, done, then back."""
    communes = [dict(one) for one in wanted["communes"]]
    communes[0] |= {"dgs": [WRITER], "elus": [*communes[0]["elus"], "Luc Roux"]}
    other = {"communes": communes}
    expected = [
        "commune Gondecourt, élus : Claire Dubois, Amina Benali, Bruno Carpentier, Élise Delattre, Thomas Wattiez → "
        "Claire Dubois, Amina Benali, Bruno Carpentier, Élise Delattre, Thomas Wattiez, Luc Roux",
        f"groupe Gondecourt - DGS : {WRITER} ajouté",
        f"groupe Gondecourt - DGS : {MANAGER} retiré",
        f"groupe Gondecourt - Publications : {WRITER} ajouté",
        f"groupe Gondecourt - Publications : {MANAGER} retiré",
    ]
    try:
        assert configure(host, site, other, check=True) == expected
        assert configure(host, site, other, check=False) == expected
        assert configure(host, site, other, check=False) == []
    finally:
        configure(host, site, wanted, check=False)
    assert configure(host, site, wanted, check=True) == []


# -- what people write is run nowhere ------------------------------------------------------------------------


@pytest.mark.parametrize("login", [WRITER, MANAGER, MAYOR])
def test_nobody_adds_what_runs_what_they_write(site: Site, act: Act, login: str) -> None:
    """A POD template holds Python and TAL: a rédacteur could add one to the meetings' folder."""
    kinds = ("PODTemplate", "ConfigurablePODTemplate", "StyleTemplate", "SubTemplate", "MailingLoopTemplate",
             "EasyForm", "Document", "Collection", "Folder", "Link")  # fmt: skip # a list of words
    for place in (MEETINGS, act.meeting, "/gondecourt/publications", "/gondecourt", "/"):
        listed = site.api(login, "GET", f"{place.rstrip('/')}/@types")
        addable = {one["@id"].rpartition("/")[2] for one in listed.json() if one.get("addable")}
        assert addable <= {"seance", "projet", "Publication", "File", "Image"}, place
        for kind in kinds:
            made = site.api(login, "POST", place, {"@type": kind, "title": "essai"})
            assert made.status in (400, 401, 403, 404), (place, kind)


@pytest.mark.parametrize("login", [WRITER, MANAGER, MAYOR])
def test_nor_reaches_a_page_where_it_would_be(site: Site, act: Act, login: str) -> None:
    browser = site.browser(login)
    pages = (
        "@@overview-controlpanel", "@@dexterity-types", "@@manage-portlets", "@@manage-dashboard",
        "@@manage-content-rules", "@@theming-controlpanel", "@@configuration_registry",
        "portal_view_customizations/@@manage-viewlets",
        "portal_workflow/@@edit", "@@mail-controlpanel", "@@criteria.html", "@@configure_faceted.html",
        "@@rules-controlpanel",
    )  # fmt: skip # a list of words
    for place in ("", MEETINGS, act.meeting, "/gondecourt", "/gondecourt/publications"):
        for page in pages:
            assert browser.ask("GET", f"{place}/{page}").status in (302, 401, 403, 404), (place, page)
    tal = {"item_title_formatting_tal": "python: 1", "title": "autre"}
    assert site.api(login, "PATCH", "/gondecourt", tal).status in (401, 403)


def test_what_is_written_acts_on_no_page_and_hides_nothing(site: Site, mark: str) -> None:
    """A link of a class of the site's scripts fetched a picture's comment, and ran it as whoever clicked."""
    projet = site.projet(site.meeting("2026-11-26", f"textes {mark}"), f"Textes {mark}")
    text = '<p class="d-none text-end">Article 2</p><a class="pat-inject" style="position:fixed" href="/x#y">ici</a>'
    site.done(WRITER, "PATCH", projet, {"expose": {"data": text, "content-type": "text/html"}})
    page = site.browser(MANAGER).ask("GET", projet).data.decode()
    assert '<p class="text-end">Article 2</p><a href="/x#y">ici</a>' in page
    made = {"@type": "Publication", "title": f"Avis {mark}", "document_type": "arrete", "category": "8"}
    told = site.api(MANAGER, "POST", "/gondecourt/publications", made | {"description": "<img src=x onerror=x>"})
    assert (told.status, "sans balise" in told.json()["message"]) == (400, True)


def test_accounts_are_listed_to_no_visitor_nor_agent(site: Site) -> None:
    for page in ("@@qsOptions", "@@querybuilderjsonconfig"):
        for asked in (site.ask("GET", f"/{page}", HTML), site.browser(STRANGER).ask("GET", f"/gondecourt/{page}")):
            assert (asked.status, WRITER in asked.data.decode()) == (200, False), page
    for service in ("@querystring", "@vocabularies/plone.app.vocabularies.Principals?title=gondecourt"):
        told = site.api(STRANGER, "GET", f"/{service}").data.decode()
        assert not [one for one in (WRITER, "gondecourt-dgs") if one in told], service
