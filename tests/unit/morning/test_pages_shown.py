"""The pages in a real browser: filters without any program, search with page.js, WCAG AA, no wider than a phone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from preuve_navigateur.chromium import Chromium

from creatic.morning.pages import Pages
from creatic.morning.screen import Morning
from testbed.patience import allowed

from .conftest import OWNERS, state

# Texts of which the contrast is under WCAG 2.2 AA (1.4.3), with what they are on.
CONTRASTS = """(() => {
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, rank) => sum + v * [0.2126, 0.7152, 0.0722][rank], 0);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let looked = 0;
  const bad = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !one.getClientRects().length || ["SCRIPT", "STYLE", "OPTION"].includes(one.tagName)) continue;
    const style = getComputedStyle(one);
    const front = light(rgb(one.namespaceURI.endsWith("svg") ? style.fill : style.color)), back = light(behind(one));
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    looked += 1;
    if (ratio < 4.5) bad.push(`${one.tagName} ${one.className} ${ratio.toFixed(2)} ${one.textContent.slice(0, 20)}`);
  }
  return [looked, bad];
})()"""
# Controls and links without a name, ids that are twice there, headings that skip a level.
FAULTS = """(() => {
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  const named = (one) => one.getAttribute("aria-label") || one.title || one.textContent.trim() ||
    (one.labels && one.labels.length);
  const levels = [...document.querySelectorAll("h1, h2, h3")].map((one) => Number(one.tagName[1]));
  return [
    ...ids.filter((id, rank) => ids.indexOf(id) !== rank),
    ...[...document.querySelectorAll("a, button, input, select")].filter((one) => !named(one))
      .map((one) => one.outerHTML),
    ...levels.filter((level, rank) => rank && level > levels[rank - 1] + 1).map((level) => `h${level}`),
  ];
})()"""
SMALL = """[...document.querySelectorAll("a.k, button, select, input")].filter((one) => one.getClientRects().length)
  .filter((one) => Math.min(one.offsetWidth, one.offsetHeight) < 24).map((one) => one.outerHTML)"""
ROWS = "[...document.querySelectorAll('tr.f')].filter((one) => one.getClientRects().length).length"
SQUARES = "[...document.querySelectorAll('li.f')].filter((one) => one.getClientRects().length).length"

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    folder = tmp_path_factory.mktemp("navigateur")
    program = folder / "chromium"
    # In a container, root has no other sandbox than the machine's.
    program.write_text(f'#!/bin/sh\nexport HOME={folder}\nexec /usr/bin/chromium --no-sandbox --disable-gpu "$@"\n')
    program.chmod(0o755)
    with Chromium(program=str(program)) as chromium:
        yield chromium


@pytest.fixture
def opened(browser: Chromium) -> Iterator[Callable[..., Ask]]:
    """Opens a page, at a width; gives what asks the browser about it."""
    targets = []

    def show(path: Path, width: int, *, programs: bool = True) -> Ask:
        def call(method: str, **given: Any) -> Any:
            return browser._call(time.monotonic() + allowed(30), method, session, **given)

        target = browser._call(time.monotonic() + allowed(30), "Target.createTarget", url="about:blank")["targetId"]
        targets.append(target)
        session = browser._call(time.monotonic() + allowed(30), "Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        call("Emulation.setScriptExecutionDisabled", value=not programs)
        call("Page.navigate", url=path.as_uri())

        def ask(script: str) -> Any:
            return call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

        end = time.monotonic() + allowed(30)
        while ask("document.readyState + document.location.protocol") != "completefile:":
            assert time.monotonic() < end, "la page ne s'est pas ouverte"
            time.sleep(0.05)
        return ask

    yield show
    for target in targets:
        browser._call(time.monotonic() + allowed(30), "Target.closeTarget", targetId=target)


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
