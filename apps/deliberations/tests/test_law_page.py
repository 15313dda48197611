"""What the page of a meeting says of the law: the rows of its own body, escaped."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from creatic.deliberations import places

from apps.deliberations.tests.beside_plone import module
from creatic_agent import law

TEMPLATES = Path(places.__file__).with_name("templates")
HOSTILE = '<script>alert("x")</script> & « trois »'


_MORE = ("plone.app.layout", "plone.app.layout.viewlets", "plone.app.layout.viewlets.common", "plone.dexterity",
         "plone.dexterity.browser", "plone.dexterity.browser.view")  # fmt: skip # a list of words


class _Shown:
    """What Plone's own pages are made of."""


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Any:
    return module(
        monkeypatch, "pages", "places", "aftermath", "convening", "convocation", "watch", "lifecycle", "publishing",
        "reading", "subjects", "gestures", "accounts", "workflows", "summons", "documents", "written", "proxies",
        "matters", more=_MORE, having={
            "plone.app.layout.viewlets.common": {"ViewletBase": _Shown},
            "plone.dexterity.browser.view": {"DefaultView": _Shown},
            "zExceptions": {"NotFound": LookupError},
            "creatic.deliberations.publishing": {"Publication": _Shown},
            "creatic.deliberations.workflows": {"WORKFLOWS": {}},
        },
    )  # fmt: skip # a list of words


def seen(pages: Any, body: law.Body) -> Any:
    view = pages.SeanceView()
    view.context = SimpleNamespace(its_law=lambda: body)
    return view


def institution(**written: Any) -> Any:
    found = SimpleNamespace(portal_type="Institution", **written)
    return SimpleNamespace(portal_type="seance", aq_chain=[SimpleNamespace(portal_type="seance"), found])


@pytest.mark.parametrize(
    ("written", "row"),
    [
        ({"creatic_type": "commune", "creatic_habitants": 400}, law.of("", 400)),
        ({"creatic_type": "commune", "creatic_habitants": 3600, "creatic_habitants_publicite": 3400},
         law.of("", 3600, 3400)),
        ({"creatic_type": "commune", "creatic_habitants": None}, law.of("", 0)),
        ({"creatic_type": "ccas", "creatic_habitants": 400}, law.of("ccas")),
        ({"creatic_type": "d'une version à venir"}, law.of("autre")),
        ({}, law.of("")),
    ],
)  # fmt: skip # a table
def test_the_law_of_a_meeting_is_its_bodys(written: dict[str, Any], row: law.Body) -> None:
    assert places.law_of(institution(**written)) == row


def test_a_page_shows_each_rule_with_its_article_and_its_doubt(pages: Any) -> None:
    view = seen(pages, law.of("ccas"))
    rows = {one["regle"]: one for one in view.law_rows()}
    assert view.law_label() == "CCAS" and len(rows) == 29
    assert (rows["Urgence"]["article"], rows["Urgence"]["doute"]) == ("R123-16 du CASF", "")
    assert rows["Publicité des actes"]["doute"] == "à vérifier" and rows["Scrutin public"]["doute"] == "non fixé"
    assert [one.partition(" : ")[0] for one in view.law_doubts()] == ["À vérifier", "Non fixé"]


@pytest.mark.parametrize("kind", law.KINDS)
def test_the_block_is_drawn_as_the_site_draws_it_and_escaped(pages: Any, kind: str) -> None:
    engine = pytest.importorskip("zope.pagetemplate.pagetemplatefile")  # of the site; what it shows is asked above

    hostile = dataclasses.replace(law.of(kind), quorum=dataclasses.replace(law.of(kind).quorum, said=HOSTILE))
    drawn = engine.PageTemplateFile(str(TEMPLATES / "loi.pt")).pt_render({"view": seen(pages, hostile)})
    assert "<script>" not in drawn and "&lt;script&gt;" in drawn and "&amp; « trois »" in drawn
    assert drawn.count("<tr>") == 30 and '<details id="loi"' in drawn
    assert f"Ce que dit la loi : {law.of(kind).label}" in drawn


@pytest.mark.parametrize("name", ["loi.pt", "steps.pt"])
def test_a_block_asked_alone_is_no_page(pages: Any, name: str) -> None:
    """A page that has it gives it what it shows; a visitor who asked for it had a 500."""
    configured = Path(places.__file__).with_name("configure.zcml").read_text(encoding="utf-8")
    [page] = [one for one in configured.split("<browser:page ") if f"templates/{name}" in one]
    assert 'class=".pages.Shared"' in page.partition("/>")[0]
    alone = pages.Shared()
    alone.__name__ = "creatic-law"
    with pytest.raises(LookupError, match="creatic-law"):
        alone()


def test_the_page_of_a_meeting_has_the_block() -> None:
    assert 'use-macro="context/@@creatic-law/macros/law"' in (TEMPLATES / "seance.pt").read_text(encoding="utf-8")
