"""Tables as an OpenDocument spreadsheet (ODS). A text stays a text: no cell has a formula, whatever was typed."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence

Value = str | int | float | None
TYPE = "application/vnd.oasis.opendocument.spreadsheet"
# What XML 1.0 has not, and lines and tabs, which a cell shows badly.
_NO_XML = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What a program that takes a CSV made of this sheet would reckon (CWE-1236).
_BEGINS = ("=", "+", "-", "@")


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
    plain = _NO_XML.sub(" ", value)
    return f"'{plain}" if plain.startswith(_BEGINS) else plain
