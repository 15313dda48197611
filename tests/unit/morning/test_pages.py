"""The morning's pages show all communes, obey nobody's name, and are written whole; so are those that are sent."""

from __future__ import annotations

import datetime as dt
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from lxml import html
from tinyhtml5.parser import HTMLParser

from creatic.fleet.waves import Machine, MachineState
from creatic.morning import outgoing
from creatic.morning import pages as pages_module
from creatic.morning.pages import Pages
from creatic.morning.screen import Morning, states
from creatic.registry import groupement
from testbed.patience import allowed

from .conftest import HOSTILE, OWNERS, state

SHOWN = "<script>alert(’x’)</script>\"'&{{ 7 * 7 }}</style>"


def root(text: str) -> Any:
    return html.fromstring(text)


def test_each_page_is_valid_html(pages: Pages) -> None:
    for name, text in pages.all(records=True):
        if name.endswith(".html"):
            parser = HTMLParser()
            parser.parse(text)
            assert parser.errors == [], name


def test_what_is_wrong_comes_first_with_its_commune_and_machine(pages: Pages) -> None:
    page = root(dict(pages.all(records=True))["index.html"])
    told = page.xpath("//section[@aria-labelledby='defauts']//li")
    assert " ".join(told[0].text_content().split()).startswith("✗ à traiter groupement ged disque")
    assert "! à surveiller" in told[2].text_content() and "loos-connecteur" in told[2].text_content()
    sections = [one.get("aria-labelledby") for one in page.xpath("//section")]
    assert sections[:2] == ["defauts", "communes"]


def test_names_are_words_and_nothing_else(pages: Pages) -> None:
    for name, text in pages.all(records=True):
        if not name.endswith(".html"):
            continue
        page = root(text)
        assert [one.get("src") for one in page.xpath("//script")] == (["page.js"] if name == "index.html" else [])
        assert "<script>alert" in page.text_content() or name == "communes/loos.html"
        assert not page.xpath("//@onclick | //@onload | //iframe | //object | //img")
        [policy] = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
        assert policy.startswith("default-src 'none'") and "script-src 'unsafe" not in policy
        style = "".join(page.xpath("//style//text()"))
        assert "alert" not in style and "7 * 7" not in style
        assert len(page.xpath("//style")) == 1
    title = root(dict(pages.all(records=True))["index.html"]).xpath("//a[contains(@class, 'echec')]/@title")
    assert title and title[0].endswith("— à traiter") and "<script>" in title[0]


def test_every_commune_has_its_square_its_row_and_its_page(pages: Pages) -> None:
    made = dict(pages.all(records=True))
    page = root(made["index.html"])
    for slug in ("gondecourt", "loos"):
        assert len(page.xpath(f"//li/a[@href='communes/{slug}.html']")) == 1
        assert len(page.xpath(f"//tr/th/a[@href='communes/{slug}.html']")) == 1
        assert f"communes/{slug}.html" in made
    states = [one.text_content() for one in page.xpath("//table[@id='communes-table']//td[4]")]
    assert states == ["✓ prête", "! équipée"]
    assert page.xpath("//*[@role='status']")[0].text_content() == "2 communes"


def test_filters_name_what_there_is_and_each_row_has_its_own(pages: Pages) -> None:
    page = root(dict(pages.all(records=True))["index.html"])
    shown = {one.get("id"): [text.text_content() for text in one] for one in page.xpath("//select")}
    assert shown == {
        "f-t": ["tous", "Lille"],
        "f-s": ["toutes", "Moyenne"],
        "f-w": ["toutes", "2"],
        "f-r": ["tous", "Prête", "Équipée, pas prête"],
        "f-v": ["toutes", "fedcba98 (modifié)"],
        "f-d": ["toutes", "À traiter", "À surveiller"],
    }
    assert [one.get("class") for one in page.xpath("//tr[contains(@class, 'f ')]")] == [
        "f t0 s0 w0 r0 v0 d0",
        "f t0 s0 w0 r1 v0 d1",
    ]
    assert page.xpath("//select[not(@id = //label/@for)]") == []


def test_a_commune_s_page_has_its_history(pages: Pages) -> None:
    page = root(dict(pages.all(records=True))["communes/gondecourt.html"])
    rows = page.xpath("//section[@aria-labelledby='historique']//tbody/tr")
    assert len(rows) == 6
    links = page.xpath("//section[@aria-labelledby='historique']//a/@href")
    assert links[4] == "../../evidence/2026-11-20T070000Z/gondecourt/preuve.html"
    commands = page.xpath("//section[@aria-labelledby='commandes']//td[1]/text()")
    assert commands[0] == "fab audit --limite=gondecourt"
    machines = page.xpath("//section[@aria-labelledby='machines']//th[@scope='row']/text()")
    assert machines == ["gondecourt-connecteur", "gondecourt-pc"]


def test_a_record_s_page_is_where_links_lead(pages: Pages, home: Path) -> None:
    (home / "evidence/2026-11-20T070000Z/gondecourt/preuve.html").write_text("x")
    index = pages.write()
    page = root((index.parent / "communes" / "gondecourt.html").read_text())
    href = page.xpath("//section[@aria-labelledby='historique']//a/@href")[4]
    assert (index.parent / "communes" / href).resolve().is_file()


def test_they_are_the_operator_s_alone_and_those_of_who_left_go(pages: Pages, home: Path, found: Morning) -> None:
    index = pages.write()
    files = {path.relative_to(index.parent).as_posix(): path for path in index.parent.rglob("*") if path.is_file()}
    assert {name for name in files if name.endswith((".html", ".js"))} == {
        "index.html",
        "page.js",
        "communes/gondecourt.html",
        "communes/loos.html",
    }
    assert {files[name].stat().st_mode & 0o777 for name in files if name.endswith(".html")} == {0o600}
    found.communes = {"loos": found.communes["loos"]}
    Pages(home, found, "cdg59", OWNERS).write()
    assert [path.name for path in (index.parent / "communes").iterdir()] == ["loos.html"]
    assert not [path for path in index.parent.iterdir() if path.name in (".pages", ".avant")]


@pytest.mark.parametrize("left", [".pages", ".avant", ".pages/communes"])
def test_a_run_that_died_keeps_no_other_from_writing(pages: Pages, home: Path, left: str) -> None:
    (home / "matin" / left).mkdir(parents=True)
    (home / "matin" / left / "reste.html").write_text("x")
    index = pages.write()
    assert not (index.parent / "communes" / "reste.html").exists()
    assert (index.parent / "communes" / "loos.html").is_file()


def test_what_is_sent_leads_nowhere_else_and_is_the_same_twice(pages: Pages, tmp_path: Path) -> None:
    one, two = pages.pack(tmp_path / "a.tar.gz"), pages.pack(tmp_path / "b.tar.gz")
    assert one.read_bytes() == two.read_bytes()
    with tarfile.open(one) as pack:
        names = pack.getnames()
        assert names == ["index.html", "page.js", "communes/gondecourt.html", "communes/loos.html"]
        pack.extractall(tmp_path / "la", filter="data")
    inside = {name: (tmp_path / "la" / name).read_text(encoding="utf-8") for name in names}
    for name, text in inside.items():
        if name.endswith(".html"):
            for href in root(text).xpath("//a/@href"):
                place = (Path(name).parent / href).as_posix().replace("communes/../", "")
                assert href == "/guides/" or href.startswith("#") or place in names, (name, href)
    assert "evidence/2026-11-20T070000Z/gondecourt" in inside["communes/gondecourt.html"]


@pytest.mark.parametrize(("number", "bound"), [(500, 500_000), (3800, 1_400_000)])
def test_a_region_is_a_page_of_its_size(home: Path, found: Morning, number: int, bound: int) -> None:
    found.communes = {f"c{rank}": state(f"c{rank}", f"Commune {rank}", prete=rank % 7 > 0) for rank in range(number)}
    began = time.process_time()
    made = Pages(home, found, "cdg59", {f"c{rank}-pc": f"c{rank}" for rank in range(number)})
    text = next(iter(made.all(records=False)))[1]
    assert time.process_time() - began < allowed(20)
    assert len(text.encode()) < bound
    page = root(text)
    assert len(page.xpath("//table[@id='communes-table']/tbody/tr")) == number
    assert bool(page.xpath("//ul/li/a[contains(@class, 'k ')]")) == (number <= 1000)


def test_a_day_when_everything_is_down_is_still_a_page(pages: Pages, home: Path, found: Morning) -> None:
    one = found.findings[1]
    found.findings = [one] * 19_000
    text = dict(Pages(home, found, "cdg59", OWNERS).all(records=True))["index.html"]
    assert (
        len(text) < 400_000 and f"Et {19_000 - pages_module._MAX_FINDINGS_SHOWN} de plus" in root(text).text_content()
    )


def test_a_morning_without_commune_nor_fault_is_a_page(tmp_path: Path) -> None:
    moment = dt.datetime(2026, 11, 28, 7, 30, tzinfo=dt.UTC)
    page = root(dict(Pages(tmp_path, Morning(moment), "cdg59", {}).all(records=True))["index.html"])
    assert "Rien à signaler." in page.text_content() and not page.xpath("//*[@id='defauts']")


def test_what_was_never_deployed_has_its_page(tmp_path: Path) -> None:
    """Communes of the lab's inventory, of which nothing is known yet."""
    communes = groupement.load(Path(__file__).parents[3] / "inventories/lab")
    moment = dt.datetime(2026, 11, 28, 7, 30, tzinfo=dt.UTC)
    owners = {host.name: one.slug for one in communes for host in one.hosts()}
    made = dict(Pages(tmp_path, Morning(moment, communes=states(communes, {})), "lab", owners).all(records=True))
    for one in communes:
        page = root(made[f"communes/{one.slug}.html"])
        assert page.xpath("//h1")[0].text_content() == one.data["nom"].replace("'", "’")
        assert "Jamais déployée" in page.text_content() and "Rien n’a encore été fait pour elle." in page.text_content()
        assert {*page.xpath("//section[@aria-labelledby='machines']//th[@scope='row']/text()")} == {
            host.name for host in one.hosts()
        }


FLEET = {
    name: Machine(name, "loos", "215902669", profile, "Lille", "moyenne", 2)
    for name, profile in (("loos-pc", "commune_pc"), ("loos-connecteur", "tdt_connector"), ("loos-neuf", "commune_pc"))
}
RECORD = {
    "version": 12, "decoupage": "territoire", "arret": {"par": "lea", "motif": "une panne"},
    "vagues": [{"nom": "canari", "machines": ["loos-pc"], "ouverte": "x"},
               {"nom": "territoire Lille", "machines": ["loos-connecteur", "loos-neuf"], "ouverte": ""}],
}  # fmt: skip # a publication


def test_machines_that_nobody_reaches_are_told_by_the_door(home: Path, found: Morning) -> None:
    found.findings = []
    standings = [
        MachineState("loos-pc", "en retard", 12, "vue hier"),
        MachineState("loos-connecteur", "bloquée", 11, HOSTILE, failed=True),
        MachineState("loos-neuf", "jamais vue", 0),
    ]
    outgoing.add(found, FLEET, RECORD, standings, ["le guichet attend encore x"])
    assert [(one.watched, one.machine) for one in found.findings] == [
        (False, "guichet"), (False, "guichet"), (False, "loos-connecteur"), (True, "loos-neuf"), (True, "loos-pc"),
    ]  # fmt: skip # one list
    assert found.versions == {"loos": ""}
    page = root(dict(Pages(home, found, "cdg59", OWNERS).all(records=True))["index.html"])
    waves = page.xpath("//section[@aria-labelledby='vagues']")[0].text_content()
    assert "canari, ouverte\u00a0: 0 à jour sur 1" in waves and "territoire Lille, à venir" in waves
    late = MachineState("loos-connecteur", "en retard", 12)
    outgoing.add(found, FLEET, None, [late], [])
    assert found.versions == {"loos": "v12"} and found.fleet == ["Accès sortant : rien n'a encore été publié."]
    assert not next(one for one in found.findings if "en retard" in one.text and one.machine == late.machine).watched
    made = dict(Pages(home, found, "cdg59", OWNERS).all(records=True))
    assert "en retard, v12" in made["communes/loos.html"] and "<b>v12</b>" in made["communes/loos.html"]
