"""What the PDF of the archive room have in common: their fonts, their margins, what is at the foot of a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import Paragraph, SimpleDocTemplate


def paragraph(value: object, style: ParagraphStyle) -> Paragraph:
    """A text as it is written: the fonts of every PDF reader know the characters of cp1252 alone."""
    from reportlab.platypus import Paragraph

    return Paragraph(escape(str(value).encode("cp1252", "replace").decode("cp1252")), style)


def built(story: Sequence[Any], mark: str, **described: str) -> bytes:
    """A PDF, A4, in French.

    Args:
        story: what it holds, in reportlab's words.
        mark: at the foot of each page.
        described: its title, its author.
    """
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.platypus import SimpleDocTemplate

    def foot(canvas: Canvas, template: SimpleDocTemplate) -> None:
        canvas.saveState()
        canvas.setFont("Helvetica", 8)
        canvas.drawString(18 * mm, 10 * mm, mark)
        canvas.drawRightString(A4[0] - 18 * mm, 10 * mm, f"page {template.page}")
        canvas.restoreState()

    buffer = io.BytesIO()
    margins = {f"{side}Margin": 18 * mm for side in ("left", "right", "top", "bottom")}
    template = SimpleDocTemplate(buffer, pagesize=A4, lang="fr", **described, **margins)
    template.build(list(story), onFirstPage=foot, onLaterPages=foot)
    return buffer.getvalue()
