"""The pages in a real browser: filters without any program, search with page.js, WCAG AA, no wider than a phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from creatic.morning.pages import Pages
from creatic.morning.screen import Morning
from testbed.shown import CONTRASTS, FAULTS, Ask

from .conftest import OWNERS, state

SMALL = """[...document.querySelectorAll("a.k, button, select, input")].filter((one) => one.getClientRects().length)
  .filter((one) => Math.min(one.offsetWidth, one.offsetHeight) < 24).map((one) => one.outerHTML)"""
ROWS = "[...document.querySelectorAll('tr.f')].filter((one) => one.getClientRects().length).length"
SQUARES = "[...document.querySelectorAll('li.f')].filter((one) => one.getClientRects().length).length"


@pytest.fixture
def index(home: Path, found: Morning) -> Path:
    """Forty communes of two territories, one of them with accents in its name."""
    names = {f"c{rank}": f"Commune {rank}" for rank in range(37)} | {"oeuilly": "Œuilly-l'Hôpital d'Été"}
    hosts = {"pc": {"deploye": True, "resume": "déployé et prouvé"}}
    found.communes = dict(found.communes) | {
        slug: state(slug, nom, prete=rank % 3 > 0, hotes=hosts) for rank, (slug, nom) in enumerate(names.items())
    }
    for rank in range(30):
        found.communes[f"c{rank}"]["commune"]["territoire"] = "Flandre"
    return Pages(home, found, "cdg59", OWNERS).write()


def choose(name: str, rank: str) -> str:
    """Chooses in a filter, as a person does."""
    return f"""(() => {{ const one = document.getElementById("{name}"); one.value = "{rank}";
      one.dispatchEvent(new Event("input", {{bubbles: true}})); }})()"""


@pytest.mark.parametrize("programs", [False, True], ids=["without a program", "with page.js"])
def test_filters_need_no_program(opened: Callable[..., Ask], index: Path, programs: bool) -> None:
    ask = opened(index, 1280, programs=programs)
    assert (ask(ROWS), ask(SQUARES)) == (40, 40)
    ask(choose("f-t", "0"))
    assert (ask(ROWS), ask(SQUARES)) == (30, 30)
    ask(choose("f-r", "1"))
    assert ask(ROWS) == ask(SQUARES) == 10
    ask("document.querySelector('#filtres button').click()")
    assert ask(ROWS) == 40
    assert ask("document.getElementById('cherche').getClientRects().length") == int(programs)


def test_a_name_is_found_without_its_accents(opened: Callable[..., Ask], index: Path) -> None:
    ask = opened(index, 1280)
    for words, number in (("hopital ete", 1), ("COMMUNE 3", 8), ("œuilly", 1), ("script", 1), ("zzz", 0), ("", 40)):
        ask(choose("cherche", words))
        assert (ask(ROWS), ask(SQUARES)) == (number, number), words
        assert ask("document.getElementById('compte').textContent") == f"{number} commune{'s' * (number > 1)}"
    ask(choose("cherche", "commune"))
    ask(choose("f-t", "1"))
    assert ask(ROWS) == 7


@pytest.mark.parametrize("name", ["index.html", "communes/gondecourt.html"])
def test_they_can_be_read_by_all(opened: Callable[..., Ask], index: Path, name: str) -> None:
    ask = opened(index.parent / name, 1280)
    looked, bad = ask(CONTRASTS)
    assert looked > 30 and bad == []
    assert ask(FAULTS) == [] and ask("document.documentElement.lang") == "fr"
    assert ask(SMALL) == []


@pytest.mark.parametrize("name", ["index.html", "communes/gondecourt.html"])
def test_nothing_is_wider_than_a_phone(opened: Callable[..., Ask], index: Path, name: str) -> None:
    ask = opened(index.parent / name, 360)
    assert ask("document.documentElement.scrollWidth") == 360
    assert ask(SMALL) == []


def test_what_names_say_is_never_run(opened: Callable[..., Ask], index: Path) -> None:
    ask = opened(index, 1280)
    assert ask("typeof plain + document.scripts.length") == "undefined1"
    assert ask("document.querySelector('h1').textContent") == "Ce matin"
    refused = "(() => { const one = document.createElement('script'); one.textContent = 'window.x = 1';"
    assert ask(f"{refused} document.body.append(one); return typeof window.x; }})()") == "undefined"
