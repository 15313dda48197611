"""Pages as a browser draws them: French, and nothing of them asks another server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from testbed.deliberations import MANAGER, MEETINGS, Site
from testbed.patience import wait_for
from testbed.window import Window, open_window
from tests.profiles.deliberations.conftest import Act

pytestmark = pytest.mark.exterieur  # asked as people do, from another machine


@pytest.fixture
def window(site: Site, tmp_path: Path) -> Iterator[Window]:
    with open_window(site, tmp_path, os.environ.get("CREATIC_IMAGES", "")) as opened:
        yield opened


def elsewhere(site: Site, urls: list[str]) -> list[str]:
    return [url for url in urls if urlsplit(url).hostname != site.name]


def test_public_pages_ask_nothing_of_others_and_are_french(site: Site, act: Act, window: Window) -> None:
    for name, path, said in (
        ("accueil", "/", "Délibérations des communes"),
        ("decisions", "/gondecourt/decisions", "Conseil municipal"),
        ("publications", "/gondecourt/publications", act.mark),
        ("publication", act.page, "Ouvrir le document (PDF)"),
        ("connexion", "/login", "Mot de passe"),
    ):
        text, urls = window.see(path, name, said)
        assert len(urls) > 5, path
        assert elsewhere(site, urls) == [], path
        for foreign in ("Log in", "Category", "Decisions", "IMIO", "Belgi", "Plone", "tutelle"):
            assert foreign not in text, (path, foreign)


def test_pages_of_agents_ask_nothing_of_others(site: Site, act: Act, window: Window) -> None:
    window.log_in(MANAGER)
    for name, path, said in (
        ("preparation", MEETINGS, "Ajouter une séance"),
        ("seance", act.meeting, "Ordre du jour"),
        ("projet", act.projet, "Reçue en préfecture"),
        ("choix_publication", f"{act.projet}/@@publication", "Retirer de la publication"),
        ("nouvelle_seance", f"{MEETINGS}/++add++seance", "Membres en exercice"),
    ):
        _text, urls = window.see(path, name, said)
        assert elsewhere(site, urls) == [], path


def test_pages_of_an_elu_ask_nothing_of_others(site: Site, act: Act, window: Window) -> None:
    window.log_in("amina.benali")
    uid, item = (site.done(MANAGER, "GET", path)["UID"] for path in (act.meeting, act.projet))
    for name, path, said in (
        ("espace_elus", "/gondecourt/@@espace", act.mark),
        ("espace_seance", f"/gondecourt/@@espace-seance?seance={uid}", "Ordre du jour"),
        ("espace_point", f"/gondecourt/@@espace-point?seance={uid}&point={item}", "Projet de délibération"),
    ):
        _text, urls = window.see(path, name, said)
        assert elsewhere(site, urls) == [], path
        assert window.run("document.documentElement.scrollWidth <= window.innerWidth"), "wider than the screen"


@pytest.mark.parametrize("block", ["creatic-law", "creatic-steps"])
def test_a_block_of_pages_is_no_page(site: Site, act: Act, block: str) -> None:
    for path in ("", "/gondecourt"):
        assert site.ask("GET", f"{path}/@@{block}").status == 404
    assert site.browser(MANAGER).ask("GET", f"{act.meeting}/@@{block}").status == 404


def test_a_request_elsewhere_is_seen(site: Site, window: Window) -> None:
    """What the two tests above rest on."""
    window.see("/", "temoin", "Délibérations")
    window.run("new Image().src = 'https://ailleurs.test/x.png'")

    def seen() -> list[str]:
        window.run("1")  # reads what Chromium has told meanwhile
        return elsewhere(site, window.asked())

    wait_for(seen, "une demande ailleurs", every=0.5)
    assert elsewhere(site, window.asked()) == ["https://ailleurs.test/x.png"]
