# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A document in Markdown, as a PDF to read and a Word file to complete and sign."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from creatic.audit.page import write_pdf

_STYLE = """
@page { size: A4; margin: 22mm 20mm 20mm;
  @bottom-right { content: counter(page) " / " counter(pages); font-size: 8pt } }
body { font: 10.5pt/1.45 "Liberation Sans", Arial, sans-serif; color: #17202e }
h1 { font-size: 20pt; color: #14306b; margin: 0 0 4mm; line-height: 1.2 }
h2 { font-size: 13pt; color: #14306b; margin: 7mm 0 2mm; border-bottom: .4pt solid #dfe4ec; break-after: avoid }
h3 { font-size: 11pt; margin: 4mm 0 1mm; break-after: avoid }
p, li { margin: 0 0 2mm; overflow-wrap: break-word } li p { margin: 0 }
table { border-collapse: collapse; width: 100%; font-size: 9pt; margin: 2mm 0 4mm }
th, td { border: .4pt solid #b8c0cf; padding: 1.2mm 2mm; text-align: left; vertical-align: top;
  overflow-wrap: break-word }
th { background: #f3f5f9 } tr { break-inside: avoid }
strong.non { color: #a3182a } strong.blanc { background: #fff2b3 }
code { font-family: "DejaVu Sans Mono", monospace; font-size: 8.5pt }
blockquote { margin: 2mm 0; padding: 1mm 4mm; border-left: 3pt solid #14306b; background: #f3f5f9 }
"""
_UNHELD, _BLANK = "[A", "[à compléter"
"""How a bold text begins that says that a statement is not held, and one that is to complete."""
_LISTS = {"bullet_list_open": "List Bullet", "ordered_list_open": "List Number"}
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def pdf(text: str, title: str, target: Path) -> None:
    """Write the PDF; nothing is fetched from anywhere."""
    body = _MARKDOWN.render(text)
    for start, kind in ((_UNHELD, "non"), (_BLANK, "blanc")):
        body = body.replace(f"<strong>{start}", f'<strong class="{kind}">{start}')
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    write_pdf(f'<!DOCTYPE html><html lang="fr"><head>{head}</head><body>{body}</body></html>', target)


def word(text: str, title: str, target: Path, day: date) -> None:
    """Write the Word file (Office Open XML): its headings, lists and tables are Word's own.

    Args:
        day: the date that the file bears; the same text on the same day gives the same bytes.
    """
    import docx
    from docx.oxml.ns import qn
    from docx.shared import Pt

    document = docx.Document()
    document.core_properties.title = title
    document.core_properties.author = ""
    document.core_properties.language = "fr-FR"
    document.core_properties.created = document.core_properties.modified = datetime(day.year, day.month, day.day)
    normal = document.styles["Normal"]
    normal.font.name, normal.font.size = "Arial", Pt(10.5)
    language = normal.element.get_or_add_rPr().makeelement(qn("w:lang"), {qn("w:val"): "fr-FR"})
    normal.element.rPr.append(language)
    _Writer(document).write(_MARKDOWN.parse(text))
    made = BytesIO()
    document.save(made)
    with zipfile.ZipFile(made) as parts, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for part in parts.infolist():  # each bears the time at which it was written
            out.writestr(zipfile.ZipInfo(part.filename, (day.year, day.month, day.day, 0, 0, 0)), parts.read(part))


class _Writer:
    """Follows Markdown's tokens into a Word document."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self.lists: list[str] = []
        self.quoted = False

    def write(self, tokens: Sequence[Token]) -> None:
        waiting = iter(tokens)
        for token in waiting:
            if token.type == "heading_open":
                self._write_runs(self.document.add_heading(level=int(token.tag[1:]) - 1), next(waiting))
            elif token.type == "table_open":
                self._write_table(waiting)
            elif token.type in _LISTS:
                self.lists.append(_LISTS[token.type])
            elif token.type in ("bullet_list_close", "ordered_list_close"):
                self.lists.pop()
            elif token.type in ("blockquote_open", "blockquote_close"):
                self.quoted = token.type.endswith("open")
            elif token.type == "inline":
                style = self.lists[-1] if self.lists else "Intense Quote" if self.quoted else None
                self._write_runs(self.document.add_paragraph(style=style), token)

    def _write_table(self, tokens: Iterator[Token]) -> None:
        rows: list[list[Token]] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(token)
            elif token.type == "table_close":
                break
        table = self.document.add_table(len(rows), max(map(len, rows)), style="Table Grid")
        for line, row in zip(table.rows, rows, strict=True):
            for cell, token in zip(line.cells, row, strict=False):
                self._write_runs(cell.paragraphs[0], token, bold=row is rows[0])

    @staticmethod
    def _write_runs(paragraph: Any, inline: Token, *, bold: bool = False) -> None:
        from docx.enum.text import WD_COLOR_INDEX
        from docx.shared import RGBColor

        strong, emphasis = int(bold), 0
        for child in inline.children or ():
            strong += {"strong_open": 1, "strong_close": -1}.get(child.type, 0)
            emphasis += {"em_open": 1, "em_close": -1}.get(child.type, 0)
            if child.type in ("text", "code_inline", "softbreak", "hardbreak"):
                run = paragraph.add_run(child.content or " ")
                run.bold, run.italic = bool(strong), bool(emphasis)
                if strong and child.content.startswith(_BLANK):
                    run.font.highlight_color = WD_COLOR_INDEX.YELLOW
                elif strong and child.content.startswith(_UNHELD):
                    run.font.color.rgb = RGBColor(0xA3, 0x18, 0x2A)
                if child.type == "code_inline":
                    run.font.name = "Courier New"
