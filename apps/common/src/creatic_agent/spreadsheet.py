"""Tables as an OpenDocument spreadsheet (ODS). A text stays a text: no cell has a formula, whatever was typed."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence

Value = str | int | float | None
TYPE = "application/vnd.oasis.opendocument.spreadsheet"
# What XML 1.0 has not, and lines and tabs, which a cell shows badly.
_NO_XML = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BEGINS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def inert(text: str) -> str:
    """A text as a cell that no program reckons, of a CSV or of a sheet that a CSV is made of.

    An apostrophe before what begins as a formula, whatever blanks are before it, or by a tab or an end of line (OWASP,
    « CSV Injection »; CWE-1236). Neither quotes around a cell nor blanks before it keep a spreadsheet from reckoning.
    """
    return f"'{text}" if text.startswith(("\t", "\r", "\n")) or text.lstrip().startswith(_BEGINS) else text


def make(tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Value]]]]) -> bytes:
    """The file: a sheet by table, of its head and its lines. Numbers are numbers, the rest is text."""
    # Not asked of who looks at a page: it takes lxml along.
    from odfdo import Cell, Document, Row, Table

    document = Document("spreadsheet")
    body = document.body
    body.clear()
    for name, (head, lines) in tables.items():
        table = Table(name)
        for line in (head, *lines):
            row = Row()
            row.set_cells(
                [
                    Cell(value, cell_type="float")
                    if isinstance(value, int | float)
                    else Cell(_text(value or ""), cell_type="string")
                    for value in line
                ]
            )
            table.append_row(row)
        body.append(table)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def _text(value: str) -> str:
    return inert(_NO_XML.sub(" ", value))
