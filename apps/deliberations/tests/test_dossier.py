"""The papers of a meeting in one PDF: one that breaks never keeps the others."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from creatic.deliberations import dossier
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas

from apps.deliberations.tests import test_pieces


def pdf(text: str, pages: int = 1) -> bytes:
    written = io.BytesIO()
    canvas = Canvas(written)
    for _page in range(pages):
        canvas.drawString(72, 720, text)
        canvas.showPage()
    canvas.save()
    return written.getvalue()


def locked(text: str) -> bytes:
    writer = PdfWriter(clone_from=io.BytesIO(pdf(text)))
    writer.encrypt("secret")
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def part(title: str, data: bytes) -> dossier.Paper:
    return dossier.Paper(title, len(data), lambda: data)


def test_papers_follow_one_another_each_with_its_bookmark() -> None:
    made, left = dossier.bind(
        [part("Convocation", pdf("un")), part("Note", pdf("deux", 2)), part("Plan", pdf("trois"))]
    )
    read = PdfReader(io.BytesIO(made))
    assert [page.extract_text().strip() for page in read.pages] == ["un", "deux", "deux", "trois"]
    outline: list[Any] = read.outline
    marks = [(entry["/Title"], read.get_destination_page_number(entry)) for entry in outline]
    assert (marks, left) == ([("Convocation", 0), ("Note", 1), ("Plan", 3)], [])


@pytest.mark.parametrize(("start", "pages"), [(pdf("un"), 2), (b"%PDF-1.4\n", 1)])
def test_what_follows_the_end_mark_or_has_none_costs_nothing(start: bytes, pages: int) -> None:
    began = time.process_time()
    made, left = dossier.bind([part("Convocation", pdf("deux")), part("Annexe", start + b"0" * 20_000_000)])
    assert time.process_time() - began < 0.5  # one and a half, when the library looks for the mark
    assert (len(PdfReader(io.BytesIO(made)).pages), len(left)) == (pages, 2 - pages)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04 un tableur", "Annexe : ce n'est pas un PDF"),
        (b"%PDF-1.4\n" + b"0" * 1000, "Annexe : ce PDF ne se lit pas"),
        (pdf("long", 3)[:700], "Annexe : ce PDF ne se lit pas"),
        (locked("secret"), "Annexe : ce PDF est protégé par un mot de passe"),
        (b"", "Annexe : ce n'est pas un PDF"),
    ],
)
def test_what_does_not_read_is_named_and_the_rest_is_there(data: bytes, said: str) -> None:
    made, left = dossier.bind([part("Convocation", pdf("un")), part("Annexe", data), part("Plan", pdf("deux"))])
    assert [page.extract_text().strip() for page in PdfReader(io.BytesIO(made)).pages] == ["un", "deux"]
    [told] = left
    assert told == said


def test_what_is_too_heavy_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> bytes:
        raise AssertionError("read")

    heavy = dossier.Paper("Atlas", dossier.BYTES_MAX + 1, never)
    made, left = dossier.bind([part("Convocation", pdf("un")), heavy])
    assert (len(PdfReader(io.BytesIO(made)).pages), left) == (1, ["Atlas : 30,0 Mo, de trop pour un seul fichier"])
    monkeypatch.setattr(dossier, "PAGES_MAX", 2)
    _made, left = dossier.bind([part("Convocation", pdf("un")), part("Budget", pdf("deux", 2))])
    assert left == ["Budget : 2 pages, de trop pour un seul fichier"]


def test_room_is_shared_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    one = pdf("un")
    monkeypatch.setattr(dossier, "BYTES_MAX", len(one) + 10)
    _made, left = dossier.bind([part("Convocation", one), part("Plan", one)])
    assert len(left) == 1 and left[0].startswith("Plan : ")


def test_nothing_at_all_is_said() -> None:
    with pytest.raises(ValueError, match="aucune pièce"):
        dossier.bind([part("Tableur", b"PK")])


def test_a_paper_that_unfolds_without_end_is_named_takes_nothing_of_the_site_and_the_rest_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dossier, "SECONDS", 4)
    monkeypatch.setattr(dossier, "_PAPER_CPU_SECONDS", 2)
    named = b" ".join(b"%d 0 R" % (4 + rank) for rank in range(40))
    filled = b"[" + b"<</A 1>> " * 90_000 + b"]"
    page = test_pieces.PAGES[1].replace(b"/MediaBox", b"/Annots[<</Type/Annot/A[%s]>>]/MediaBox" % named)
    data = test_pieces.unfolding([b"<</Type/Catalog/Pages 2 0 R>>", test_pieces.PAGES[0], page, *[filled] * 40])
    before, began = test_pieces.peak(), time.process_time()
    made, left = dossier.bind([part("Convocation", pdf("un")), part("Annexe", data), part("Plan", pdf("deux"))])
    assert [page.extract_text().strip() for page in PdfReader(io.BytesIO(made)).pages] == ["un", "deux"]
    [told] = left
    assert told.startswith("Annexe : ")
    assert time.process_time() - began < 1
    assert test_pieces.peak() - before < 100 * test_pieces.MEGABYTE
