"""PDF documents: the stamped act, the bordereau, the préfecture's letters."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from xml.sax.saxutils import escape

from pypdf import PdfReader, PdfWriter
from pypdf.errors import PyPdfError
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

_INK = HexColor("#1b3a6b")
_PALE = HexColor("#eef2f8")
_RULE = HexColor("#b8c4d6")
_BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=10, leading=14)
_LABEL = ParagraphStyle("label", parent=_BODY, textColor=HexColor("#44506a"))
_TITLE = ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=17, leading=22, textColor=_INK)
_SUBTITLE = ParagraphStyle("subtitle", parent=_BODY, textColor=HexColor("#44506a"), spaceAfter=6 * mm)
_SECTION = ParagraphStyle("section", fontName="Helvetica-Bold", fontSize=11, leading=20, textColor=_INK)


class UnreadablePdfError(Exception):
    """The document cannot be stamped."""


def french_date(day: date) -> str:
    """Return a date as people read it: 25/11/2025."""
    return f"{day:%d/%m/%Y}"


def _build(title: str, story: Sequence[Flowable]) -> bytes:
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=20 * mm,
        rightMargin=20 * mm,
        topMargin=20 * mm,
        bottomMargin=20 * mm,
        title=title,
        author="Simulateur de TdT (laboratoire)",
        lang="fr",
    )
    document.build(list(story))
    return buffer.getvalue()


def _table(rows: list[tuple[str, str]]) -> Table:
    cells = [[Paragraph(escape(label), _LABEL), Paragraph(escape(value), _BODY)] for label, value in rows]
    table = Table(cells, colWidths=[58 * mm, 112 * mm])
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, _RULE),
                ("BACKGROUND", (0, 0), (0, -1), _PALE),
            ]
        )
    )
    return table


def bordereau(authority: str, sections: Sequence[tuple[str, list[tuple[str, str]]]]) -> bytes:
    """Return the bordereau d'acquittement of an act: titled lists of (label, value)."""
    story: list[Flowable] = [
        Paragraph("Bordereau d'acquittement de transaction", _TITLE),
        Paragraph(escape(f"Collectivité : {authority}"), _SUBTITLE),
    ]
    for title, rows in sections:
        story += [Paragraph(escape(title), _SECTION), _table(rows), Spacer(1, 5 * mm)]
    return _build("Bordereau d'acquittement de transaction", story)


def letter(sender: str, recipient: str, title: str, day: date, text: str) -> bytes:
    """Return a letter of the préfecture."""
    story: list[Flowable] = [
        Paragraph(escape(sender), _TITLE),
        Paragraph(f"Le {french_date(day)}", _SUBTITLE),
        Paragraph(escape(f"À l'attention de : {recipient}"), _BODY),
        Spacer(1, 8 * mm),
        Paragraph(escape(title), _SECTION),
        *(Paragraph(escape(line), _BODY) for line in text.splitlines()),
    ]
    return _build(title, story)


def _stamp_page(width: float, height: float, lines: Sequence[str]) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(width, height))
    box_width, line_height, margin = 74 * mm, 3.6 * mm, 6 * mm
    box_height = line_height * len(lines) + 3 * mm
    left, bottom = width - box_width - margin, height - box_height - margin
    canvas.setStrokeColor(_INK)
    canvas.setFillColor(HexColor("#ffffff"))
    canvas.setLineWidth(0.8)
    canvas.roundRect(left, bottom, box_width, box_height, 1.5 * mm, fill=1)
    canvas.setFillColor(_INK)
    for rank, line in enumerate(lines):
        canvas.setFont("Helvetica-Bold" if rank == 0 else "Helvetica", 7.5)
        canvas.drawString(left + 2 * mm, bottom + box_height - line_height * (rank + 1) - 0.4 * mm, line)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def stamp(document: Path, lines: Sequence[str]) -> bytes:
    """Return the document with the receipt's stamp on the top right of each page.

    Raises:
        UnreadablePdfError: the document is damaged or encrypted.
    """
    try:
        reader = PdfReader(document)
        writer = PdfWriter(clone_from=reader)
        for page in writer.pages:
            page.transfer_rotation_to_content()
            box = page.cropbox
            mark = PdfReader(io.BytesIO(_stamp_page(float(box.width), float(box.height), lines))).pages[0]
            page.merge_translated_page(mark, float(box.left), float(box.bottom))
        buffer = io.BytesIO()
        writer.write(buffer)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise UnreadablePdfError(str(error)) from error
    return buffer.getvalue()
