"""Documents are drawn once when they are asked again at once, and never fill the memory of the site."""

from __future__ import annotations

import base64
import datetime
import io
import re
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock
from xml.etree import ElementTree

import pytest
from creatic.deliberations import apart, documents
from pypdf import PdfReader

from apps.deliberations.tests import test_pieces, test_watch
from creatic_agent import law

LONG = "<p>a</p>" * 25_000


@pytest.mark.parametrize(("signs", "kept"), [(10, 1), (600_000, 0)])
def test_a_document_with_heavy_pictures_is_not_kept(monkeypatch: pytest.MonkeyPatch, signs: int, kept: int) -> None:
    monkeypatch.setattr(documents, "page", lambda _kind, **_given: f"<p>Note</p><!--{'x' * signs}-->")
    documents._render_cached_pdf.cache_clear()
    assert documents.draw("note").startswith(b"%PDF-")
    assert documents._render_cached_pdf.cache_info().currsize == kept


@pytest.mark.parametrize(
    ("stand_in", "quality", "kind", "said", "article"),
    [("", "maire", "", "Le maire, Anne Petit", "article L2121-20 du code général des collectivités territoriales"),
     ("Luc Roux", "maire", "", "Pour le maire empêché, Luc Roux", "L2121-20"),
     ("Luc Roux", "président", "ccas", "Pour le président empêché, Luc Roux",
      "article R123-16 du code de l'action sociale et des familles")],
)  # fmt: skip # a table
def test_a_convocation_bears_the_name_of_who_convenes(
    stand_in: str, quality: str, kind: str, said: str, article: str
) -> None:
    pytest.importorskip("chameleon")  # of the site; what is given to it is asked in test_watch
    meeting = SimpleNamespace(
        date=datetime.date(2026, 12, 14), heure="18:30", lieu="en mairie", first=lambda: None, scrutin_le=None,
        urgence="", convoquee_le=None, convoques=["Luc Roux"], title="Conseil", delay=lambda: None,
        attendance=lambda: None, label=lambda: "", its_law=lambda: law.of(kind),
    )  # fmt: skip # a table
    page = documents.page("convocation", commune="Loos", seance=meeting, qualite=quality, maire="Anne Petit",
                          suppleant=stand_in, projets=[], draft=False)  # fmt: skip # one call by its parts
    plain = " ".join(re.sub("<[^>]*>", "", page).split())
    assert said in plain and article in plain
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
    begun = time.process_time()
    assert documents.drawn(f"<table>{cells}</table>".encode()).startswith(b"%PDF-")
    assert time.process_time() - begun < 1.5


def test_a_table_of_somebody_s_keeps_its_cells() -> None:
    page = ElementTree.Element("tr")
    for given in ({"colspan": "3", "rowspan": "2"}, {}, {"colspan": "x"}):
        ElementTree.SubElement(page, "td", given)
    documents._limit_spans(page)
    assert [(one.get("colspan"), one.get("rowspan")) for one in page.iter("td")] == [
        ("3", "2"), (None, None), ("1", None)
    ]  # fmt: skip # a table


def text(raw: str) -> SimpleNamespace:
    """A rich text, as Plone keeps it."""
    return SimpleNamespace(raw=raw, output=raw, mimeType="text/html")


def projet(title: str, expose: str) -> SimpleNamespace:
    return SimpleNamespace(title=title, expose=text(expose), dispositif=text("<p>Adopte.</p>"))


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents of which nothing but the texts counts, drawn in some seconds."""
    monkeypatch.setattr(documents, "_DRAWING_CPU_SECONDS", 4)
    monkeypatch.setattr(documents, "page", lambda _kind, **given: "".join(one.expose.raw for one in given["projets"]))
    documents._render_cached_pdf.cache_clear()


@pytest.mark.parametrize("expose", [LONG, "<div>" * 30_000, "<table><tr><td>" * 3_000 + "a"])
@pytest.mark.usefixtures("pages")
def test_a_text_without_end_takes_no_time_nor_memory_of_the_site_and_is_named(expose: str) -> None:
    united = [projet("Voirie", "<p>Une rue.</p>"), projet("Budget primitif", expose)]
    before, began = test_pieces.peak(), time.process_time()
    for _again in range(2):  # known the second time
        with pytest.raises(
            documents.RenderingError, match=r"la note .* « Budget primitif » est trop long .* À faire : joignez"
        ):
            documents.draw("note", projets=united)
    assert time.process_time() - began < 1
    assert test_pieces.peak() - before < 50 * test_pieces.MEGABYTE
    assert documents.draw("note", projets=united[:1]).startswith(b"%PDF-")


@pytest.mark.usefixtures("pages")
def test_what_a_busy_machine_does_not_draw_is_drawn_later(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [projet("Voirie", "<p>Une place.</p>")]
    with monkeypatch.context() as busy:
        busy.setattr(apart, "_QUEUE_TIMEOUT_SECONDS", 0.01)
        with (
            apart._READING_TURNS.turn("loos", 1),
            pytest.raises(documents.RenderingError, match="recommencez dans quelques minutes"),
        ):
            documents.draw("convocation", projets=own)
        busy.setattr(documents, "_DRAWING_TIMEOUT_SECONDS", 0.01)
        busy.setattr(apart, "_QUEUE_TIMEOUT_SECONDS", 60)
        with pytest.raises(documents.RenderingError, match=r"le procès-verbal à temps\. À faire : recommencez"):
            documents.draw("proces_verbal", projets=own)
    assert documents.draw("convocation", projets=own).startswith(b"%PDF-")


def test_nothing_is_fetched_to_draw_and_a_picture_inside_is_shown(tmp_path: Path) -> None:
    picture = test_pieces.picture("PNG")
    kept = tmp_path / "secret.png"
    kept.write_bytes(picture)
    inside = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    shown = [
        len(PdfReader(io.BytesIO(documents._render_cached_pdf(f"<p>é</p><img src='{source}'>"))).pages[0].images)
        for source in (inside, kept.as_uri(), "http://localhost:9/a.png")
    ]
    assert shown == [1, 0, 0]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (LONG, "25 000 éléments"),
        ("mot " * 100_000, "400 000 signes"),
        ("<br>" * 25_000, "25 000 éléments"),  # nothing of it is closed
        ("<" * 13_000, "éléments"),
        (f"<img src='data:image/png;base64,{'A' * 12_000_000}'>", "12 Mo avec ses images"),
        ("<p>Considérant que la commune compte 800 habitants ;</p>" * 2_000, ""),
        ("<table>" + ("<tr>" + "<td>12</td>" * 7 + "</tr>") * 1_000 + "</table>", ""),
        (f"<img src='data:image/png;base64,{'A' * 3_000_000}'>", ""),
        ("", ""),
    ],
)
def test_a_text_is_refused_where_it_is_written_beyond_what_is_drawn(raw: str, said: str) -> None:
    found = documents.problem(raw)
    assert said in found
    assert bool(found) == bool(said)
    assert ("À faire : " in found) == bool(said)


def test_no_way_leads_a_text_without_end_into_a_projet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms and the API ask its field first; this is asked of all that is written."""
    watch = test_watch.module(monkeypatch, "watch")
    watch.BadRequest = type("BadRequest", (Exception,), {})
    watch.getRequest = lambda: None
    own = SimpleNamespace(expose=text("<p>a</p>"), dispositif=text(LONG), title="Budget", creatic_connu={})
    monkeypatch.setattr(watch, "_watched_fields", lambda _thing: {"dispositif": "Dispositif"})
    monkeypatch.setattr(watch, "_last_snapshot", lambda _thing: {})
    watch._judge_texts(own, ["title", "expose"])  # one that was there before stays
    with pytest.raises(watch.BadRequest, match="« Budget » : Dispositif : ce texte est trop long"):
        watch._judge_texts(own, ["dispositif"])


class Heavy:
    """A text with pictures, of which it is known how often it was read."""

    read = 0

    @property
    def raw(self) -> str:
        """What a database of many megabytes would give."""
        Heavy.read += 1
        return f"<img src='data:image/png;base64,{'A' * 9_000_000}'>"


@pytest.mark.parametrize("kind", ["note", "proces_verbal", "registre"])
def test_texts_that_weigh_too_much_together_are_not_even_read(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Ten projets, each as heavy as one may be, held the memory of the site of all communes, at each look."""
    monkeypatch.setattr(Heavy, "read", 0)
    monkeypatch.setattr(documents, "_load_template", lambda: pytest.fail("drawn"))
    united = [SimpleNamespace(title=f"{rank}", expose=Heavy(), dispositif=Heavy()) for rank in range(50)]
    with pytest.raises(documents.RenderingError, match=r"dépassent ensemble 30 Mo avec leurs images\. À faire : "):
        documents.page(kind, commune="Loos", projets=united)
    assert Heavy.read == 4


@pytest.mark.parametrize(("kind", "count"), [("note", 1), ("deliberation", 1), ("liste", 50), ("convocation", 50)])
def test_what_weighs_less_or_shows_no_text_is_drawn(monkeypatch: pytest.MonkeyPatch, kind: str, count: int) -> None:
    monkeypatch.setattr(documents, "_load_template", lambda: lambda **_given: "<p>é</p>")
    united = [SimpleNamespace(title="a", expose=Heavy(), dispositif=None) for _rank in range(count)]
    assert documents.page(kind, commune="Loos", projets=united) == "<p>é</p>"


def test_a_meeting_takes_no_more_texts_than_its_note_unites(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = test_watch.module(monkeypatch, "watch")
    watch.BadRequest = type("BadRequest", (Exception,), {})
    watch.getRequest = lambda: None
    monkeypatch.setattr(watch, "_watched_fields", lambda _thing: {"expose": "Exposé"})
    monkeypatch.setattr(watch, "_last_snapshot", lambda _thing: {})
    others = [SimpleNamespace(expose=Heavy(), dispositif=Heavy()) for _rank in range(2)]
    heavy, wordy, light = (
        SimpleNamespace(expose=one, dispositif=None, title="Budget", creatic_connu={})
        for one in (Heavy(), text("mot " * 60_000), text("<p>a"))
    )
    for own in (heavy, wordy, light):
        meeting = SimpleNamespace(projets=lambda own=own: iter([*others, own]))
        monkeypatch.setattr(watch, "aq_parent", lambda _one, meeting=meeting: meeting)
        if own is light:  # it may always be made shorter
            watch._judge_texts(own, ["expose"])
            continue
        with pytest.raises(watch.BadRequest, match="« Budget » : Exposé : les textes de cette séance dépassent"):
            watch._judge_texts(own, ["expose"])
        # Of a meeting that was there before: what is made shorter step by step is taken at each.
        shorter = watch._field_text(SimpleNamespace(mimeType="text/html", raw=own.expose.raw + "x"))
        with monkeypatch.context() as later:
            later.setattr(watch, "_last_snapshot", lambda _thing, shorter=shorter: {"expose": shorter})
            watch._judge_texts(own, ["expose"])
        same = watch._field_text(SimpleNamespace(mimeType="text/html", raw=own.expose.raw))
        with monkeypatch.context() as later, pytest.raises(watch.BadRequest, match="dépassent"):
            later.setattr(watch, "_last_snapshot", lambda _thing, same=same: {"expose": same})
            watch._judge_texts(own, ["expose"])


@pytest.mark.parametrize("step", ["adopter", "rejeter"])
def test_a_step_whose_document_is_not_drawn_is_not_taken(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    beside = ("content", "places", "reading", "watch", "aftermath", "convening", "ballots")
    lifecycle = test_watch.module(monkeypatch, "lifecycle", *beside)
    refused = type("Refused", (Exception,), {})
    lifecycle.watch.undo.side_effect = refused
    lifecycle.names.return_value = {}
    monkeypatch.setattr(lifecycle, "number", lambda *_given: None)

    def draw(_kind: str, **_given: object) -> bytes:
        raise documents.RenderingError("la délibération est trop longue")

    monkeypatch.setattr(lifecycle.documents, "draw", draw)
    own = SimpleNamespace(document=None, title="Budget", reindexObject=lambda: None)
    with pytest.raises(refused):
        lifecycle.projet_moved(own, SimpleNamespace(transition=SimpleNamespace(id=step)))
    assert own.document is None
    lifecycle.watch.undo.assert_called_once_with(own, "la délibération est trop longue")


def test_nothing_of_a_step_that_is_undone_is_written_whatever_page_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = test_watch.module(monkeypatch, "watch")
    refused = type("Refused", (Exception,), {})

    def refuse(_thing: object, _why: str) -> None:
        watch.transaction.doom.assert_called_once_with()
        raise refused

    monkeypatch.setattr(watch, "refuse", refuse)
    with pytest.raises(refused):
        watch.undo(SimpleNamespace(title="Budget"), "trop long")


def test_a_draft_of_proces_verbal_that_is_not_drawn_is_named_and_the_others_go(monkeypatch: pytest.MonkeyPatch) -> None:
    beside = ("content", "places", "convening", "gestures", "publishing", "subjects", "watch")
    aftermath = test_watch.module(monkeypatch, "aftermath", *beside)
    held = [
        SimpleNamespace(
            label=lambda day=day: f"Conseil du {day}", moment=lambda day=day: day, date=datetime.date(2026, 9, day)
        )
        for day in (1, 2, 30)
    ]

    def minutes(meeting: SimpleNamespace) -> bytes:
        if meeting is held[0]:
            raise documents.RenderingError("le texte de « Budget » est trop long. À faire : joignez-le")
        return b"%PDF-"

    monkeypatch.setattr(aftermath, "minutes", minutes)
    monkeypatch.setattr(aftermath, "_pending_meetings", lambda _folder: held[:2])
    monkeypatch.setattr(aftermath, "is_closed", lambda _meeting: True)
    monkeypatch.setattr(aftermath, "settled", lambda _meeting: {})
    held[2].aq_parent = None
    found, undrawn = aftermath.drafts(held[2])
    assert [title for title, _file in found] == ["Projet de procès-verbal – Conseil du 2"]
    assert undrawn == ["Projet de procès-verbal – Conseil du 1 : le texte de « Budget » est trop long"]


def test_minutes_that_are_not_drawn_are_not_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    beside = ("content", "places", "convening", "gestures", "publishing", "subjects", "watch")
    aftermath = test_watch.module(monkeypatch, "aftermath", *beside)

    def minutes(_meeting: object, told: object = None) -> bytes:
        assert told
        raise documents.RenderingError("trop long")

    monkeypatch.setattr(aftermath, "minutes", minutes)
    monkeypatch.setattr(aftermath, "settled", lambda _meeting: {})
    monkeypatch.setattr(aftermath, "items", lambda _meeting: [])
    monkeypatch.setattr(aftermath, "following", lambda _meeting: SimpleNamespace(date=datetime.date(2026, 12, 1)))
    monkeypatch.setattr(aftermath.rules, "signs_problem", lambda *_given: "")
    page = aftermath.Aftermath()
    monkeypatch.setattr(aftermath.Aftermath, "may_decide", lambda _page: True)
    page.context = SimpleNamespace(president="Anne Petit", presents=[], proces_verbal=None)
    monkeypatch.setattr(aftermath, "talks", lambda _meeting: {"": "Rien"})
    page.request = SimpleNamespace(form={"president": "Anne Petit", "secretaire": "Luc Roux", "vu": "d'avant"})
    with pytest.raises(ValueError, match="ses discussions ont changé"):
        page._settle()
    page.request.form["vu"] = page.written()
    with pytest.raises(documents.RenderingError):
        page._settle()
    assert vars(page.context) == {"president": "Anne Petit", "presents": [], "proces_verbal": None}


def test_no_look_at_a_page_reads_minutes_that_do_not_go_on_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its template asks before it says that there is nothing to publish: texts without end were read at each look."""
    beside = ("content", "places", "convening", "gestures", "publishing", "subjects", "watch")
    aftermath = test_watch.module(monkeypatch, "aftermath", *beside)
    page = aftermath.Aftermath()
    page.context = SimpleNamespace(convoques=["Anne Petit"])
    for goes in (True, False):
        monkeypatch.setattr(aftermath.Aftermath, "may_publish", lambda _page, goes=goes: goes)
        monkeypatch.setattr(aftermath, "minutes_page", lambda *_given, **_more: "<body>Luc Roux</body>")
        assert page.read_before()["noms"] == ["Luc Roux"] * goes
    monkeypatch.setattr(aftermath, "minutes_page", lambda *_given, **_more: pytest.fail("read"))
    page.read_before()


def test_minutes_that_weigh_too_much_are_said_on_the_page_that_shows_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    beside = ("content", "places", "convening", "gestures", "publishing", "subjects", "watch")
    aftermath = test_watch.module(monkeypatch, "aftermath", *beside)

    def minutes_page(*_given: object, **_more: object) -> str:
        raise documents.RenderingError("impossible de mettre en page le procès-verbal : trop lourd. À faire : réduisez")

    monkeypatch.setattr(aftermath, "minutes_page", minutes_page)
    monkeypatch.setattr(aftermath.Aftermath, "may_publish", lambda _page: True)
    page = aftermath.Aftermath()
    page.context = SimpleNamespace(convoques=[])
    assert page.read_before()["refus"].startswith("Impossible de mettre en page le procès-verbal : trop lourd")


@pytest.mark.parametrize(
    ("page", "kind", "leads"), [("Note", "seance", "/loos"), ("Register", "Folder", "/loos/@@prep")]
)
def test_a_page_says_why_a_document_is_not_drawn(
    monkeypatch: pytest.MonkeyPatch, page: str, kind: str, leads: str
) -> None:
    beside = (
        "content",
        "places",
        "aftermath",
        "convening",
        "gestures",
        "lifecycle",
        "publishing",
        "reading",
        "watch",
        "written",
    )
    pages = test_watch.module(monkeypatch, "pages", *beside)

    def draw() -> bytes:
        raise documents.RenderingError("impossible de mettre en page la note : trop long. À faire : raccourcissez-la")

    shown = getattr(pages, page)()
    shown.context = SimpleNamespace(portal_type=kind, absolute_url=lambda: "https://deliberations/loos")
    shown.request = MagicMock()
    assert shown._draw(draw, "note.pdf") == b""
    shown.request.response.redirect.assert_called_once()
    assert leads in shown.request.response.redirect.call_args.args[0]
    said = pages.api.portal.show_message.call_args.args[0]
    assert said == "Impossible de mettre en page la note : trop long. À faire : raccourcissez-la."
