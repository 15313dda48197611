"""Documents of the commune in PDF: a title, facts, tables, on A4."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MARGIN = 16  # mm
_PLACE = "-"  # of a text
# Made at a time: the longest takes 80 MB.
_FEW = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class Facts:
    """Names and values, one a line."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Listing:
    """A table. Widths are parts of the page's."""

    head: Sequence[str]
    widths: Sequence[float]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A title inside the document."""

    text: str


Block = Facts | Listing | Section | str


def make(title: str, author: str, foot: str, blocks: Sequence[Block], landscape: bool = False) -> bytes:
    """The PDF. What was typed somewhere is text, never markup.

    Args:
        title: of the document.
        author: the commune.
        foot: what stands at the foot of each page, before its number.
        blocks: paragraphs (texts), and the rest, in order.
        landscape: the long side is the width.
    """
    with _FEW:
        return _make(title, author, foot, blocks, landscape)


def _make(title: str, author: str, foot: str, blocks: Sequence[Block], landscape: bool) -> bytes:
    # Not asked of who looks at a page: 20 MB of memory.
    from reportlab.lib import pagesizes
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, Table

    size = pagesizes.landscape(pagesizes.A4) if landscape else pagesizes.A4
    width = size[0] - 2 * _MARGIN * mm
    body = ParagraphStyle("body", fontName="Helvetica", fontSize=9.5, leading=13, spaceAfter=6)
    small = ParagraphStyle("small", parent=body, fontSize=8, leading=10, spaceAfter=0, splitLongWords=1)
    heading = ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=16, leading=22, textColor=HexColor("#14306b"))
    section = ParagraphStyle("section", parent=heading, fontSize=11, leading=20, spaceBefore=8)
    lines = [("GRID", (0, 0), (-1, -1), 0.4, HexColor("#b8c0cf")), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    head = ("BACKGROUND", (0, 0), (-1, 0), HexColor("#f3f5f9"))

    def text(value: str, style: Any = body) -> Any:
        # The fonts of every PDF reader know these characters alone.
        plain = _CONTROL.sub(" ", value).encode("cp1252", "replace").decode("cp1252")
        made = Paragraph(_PLACE, style)
        made.frags[0].text = " ".join(plain.split())  # one piece: as markup, each « & » would be a piece of a kilobyte
        return made

    def drawn(block: Block) -> Any:
        if isinstance(block, Section):
            return text(block.text, section)
        if isinstance(block, Facts):
            table = Table([[text(name), text(value)] for name, value in block.rows], [0.28 * width, 0.72 * width])
            table.setStyle(lines)
            return table
        if isinstance(block, Listing):
            cells = [[text(cell, small) for cell in row] for row in (block.head, *block.rows)]
            whole = sum(block.widths)
            listing = LongTable(cells, [width * part / whole for part in block.widths], repeatRows=1)
            listing.setStyle([*lines, head])
            return listing
        return text(block)

    def footer(canvas: Canvas, template: Any) -> None:
        canvas.saveState()
        canvas.setFont("Helvetica", 8)
        canvas.drawString(_MARGIN * mm, 9 * mm, foot.encode("cp1252", "replace").decode("cp1252"))
        canvas.drawRightString(size[0] - _MARGIN * mm, 9 * mm, f"page {template.page}")
        canvas.restoreState()

    draw: Callable[[Canvas, Any], None] = footer
    buffer = io.BytesIO()
    margins = {f"{side}Margin": _MARGIN * mm for side in ("left", "right", "top", "bottom")}
    template = SimpleDocTemplate(buffer, pagesize=size, title=title, author=author, lang="fr", **margins)
    template.build([text(title, heading), *map(drawn, blocks)], onFirstPage=draw, onLaterPages=draw)
    return buffer.getvalue()
