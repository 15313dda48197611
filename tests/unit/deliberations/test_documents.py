"""Documents are drawn once when they are asked again at once, and never fill the memory of the site."""

from __future__ import annotations

import datetime
import re
import time
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from creatic.deliberations import documents


@pytest.mark.parametrize(("signs", "kept"), [(10, 1), (600_000, 0)])
def test_a_document_with_heavy_pictures_is_not_kept(monkeypatch: pytest.MonkeyPatch, signs: int, kept: int) -> None:
    monkeypatch.setattr(documents, "page", lambda _kind, **_given: f"<p>Note</p><!--{'x' * signs}-->")
    documents._drawn.cache_clear()
    assert documents.draw("note").startswith(b"%PDF-")
    assert documents._drawn.cache_info().currsize == kept


@pytest.mark.parametrize(
    ("stand_in", "quality", "said"),
    [("", "maire", "Le maire, Anne Petit"), ("Luc Roux", "maire", "Pour le maire empêché, Luc Roux"),
     ("Luc Roux", "président", "Pour le président empêché, Luc Roux")],
)  # fmt: skip # a table
def test_a_convocation_bears_the_name_of_who_convenes(stand_in: str, quality: str, said: str) -> None:
    pytest.importorskip("chameleon")  # of the site; what is given to it is asked in test_watch
    meeting = SimpleNamespace(
        date=datetime.date(2026, 12, 14), heure="18:30", lieu="en mairie", first=lambda: None, scrutin_le=None,
        urgence="", convoquee_le=None, convoques=["Luc Roux"], title="Conseil", delay=lambda: None,
        attendance=lambda: None, label=lambda: "",
    )  # fmt: skip # a table
    page = documents.page("convocation", commune="Loos", seance=meeting, qualite=quality, maire="Anne Petit",
                          suppleant=stand_in, projets=[], draft=False)  # fmt: skip # one call by its parts
    plain = " ".join(re.sub("<[^>]*>", "", page).split())
    assert said in plain
    assert ("Anne Petit" in plain) is not stand_in.startswith("Luc")


@pytest.mark.parametrize(
    "cells",
    [
        '<tr><td colspan="30000">x</td></tr>',
        '<tr><td colspan="30_000">x</td></tr>',  # as Python reads it
        "<tr>" + '<td colspan="1000">x</td>' * 30 + "</tr>",
        '<col span="30000000"><tr><td>x</td></tr>',
        '<colgroup span="30000000"></colgroup><tr><td rowspan="30000000">x</td></tr>',
    ],
)
def test_a_table_that_says_to_be_wide_does_not_hold_the_site(cells: str) -> None:
    documents._drawn.cache_clear()
    begun = time.process_time()
    assert documents._drawn(f"<table>{cells}</table>").startswith(b"%PDF-")
    assert time.process_time() - begun < 1.5


def test_a_table_of_somebody_s_keeps_its_cells() -> None:
    page = ElementTree.Element("tr")
    for given in ({"colspan": "3", "rowspan": "2"}, {}, {"colspan": "x"}):
        ElementTree.SubElement(page, "td", given)
    documents._bound(page)
    assert [(one.get("colspan"), one.get("rowspan")) for one in page.iter("td")] == [
        ("3", "2"), (None, None), ("1", None)
    ]  # fmt: skip # a table
