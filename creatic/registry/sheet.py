# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Tables that people keep in a spreadsheet program, read as texts: ODS, or CSV as Excel and LibreOffice write it.

Nothing of a sheet is believed: what it holds is bounded before it is read, entities of XML are not, formulas are what
they gave when the file was written. What such a program makes of a number (59.0, 215 902 669, 1,2E+08) is taken back,
or told.
"""

from __future__ import annotations

import csv
import io
import itertools
import lzma
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from lxml import etree

MOST_ROWS, MOST_COLUMNS, MOST_TEXT = 5000, 200, 1000
MOST_BYTES = MOST_XML = 16 << 20
"""Size of a file, and of what an ODS holds once decompressed, bytes."""
_ODF_OFFICE_NAMESPACE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_ODF_TABLE_NAMESPACE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_ODF_TEXT_NAMESPACE = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_ODF_NUMERIC_TYPES = ("float", "percentage", "currency")
_NOT_SHOWN = ("annotation", "note")


class SheetError(CreaticError, cause="tableau", misuse=True):
    """A file is no table that can be read; the message says what to do."""


Row = tuple[int, list[str]]
"""Number of a row, as the spreadsheet program shows it, and its cells."""


def read(path: Path) -> list[Row]:
    """Read the first sheet of a file, without its empty rows.

    Raises:
        SheetError: it is not read, is too large, or is no ODS nor CSV.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise SheetError(f"{path} ne se lit pas ({error.strerror}). À faire : vérifiez son nom et vos droits") from None
    if len(raw) > MOST_BYTES:
        raise SheetError(f"{path.name} dépasse {MOST_BYTES >> 20} Mio. À faire : n'y gardez que la liste des communes")
    if raw.startswith(b"PK"):
        rows = _read_ods(path.name, raw)
    elif path.suffix.lower() == ".ods" or raw.startswith((b"\xd0\xcf\x11\xe0", b"<?xml", b"%PDF")):
        raise _no_table(path.name)
    else:
        rows = _read_csv(path.name, raw)
    kept = []
    for row in rows:
        if any(row[1]):
            kept.append(row)
        if len(kept) > MOST_ROWS:
            raise SheetError(
                f"{path.name} a plus de {MOST_ROWS} lignes. À faire : n'y gardez que la liste des communes"
            )
    return kept


def cleaned_text(text: str) -> str:
    """Give a cell's text without what nobody sees: spaces of all kinds are one, an apostrophe that kept a text is not.

    Characters that have no form, the mark of a file's order of bytes too, are left out.
    """
    seen = "".join(" " if one.isspace() else one for one in text[:MOST_TEXT] if unicodedata.category(one) != "Cf")
    return unicodedata.normalize("NFC", " ".join(seen.split()).removeprefix("'"))


def digits(text: str) -> str:
    """Give the number that a cell holds, as it was before a spreadsheet program showed it; another text as it is."""
    plain = re.sub(r"(?<=\d)[ ](?=\d)", "", text)
    return re.sub(r"^(\d+)[.,]0+$", r"\1", plain)


def _no_table(name: str) -> SheetError:
    return SheetError(
        f"{name} n'est ni un tableau ODS ni un CSV. À faire : dans LibreOffice ou Excel, « Enregistrer sous », au "
        "format ODS, sans mot de passe"
    )


def _read_csv(name: str, raw: bytes) -> Iterator[Row]:
    # The last one is Excel's, on a French Windows.
    for encoding in ["utf-16"] if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else ["utf-8-sig", "cp1252"]:
        try:
            text = raw.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise _no_table(name)
    if "\x00" in text:
        raise _no_table(name)
    head = next((line for line in text.splitlines() if line.strip()), "")
    mark = max(";,\t", key=head.count)
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=mark), 1):
            yield number, [cleaned_text(one) for one in cells[:MOST_COLUMNS]]
    except csv.Error as error:
        raise SheetError(f"{name} : ce CSV ne se lit pas ({error}). À faire : enregistrez-le au format ODS") from None


def _read_ods(name: str, raw: bytes) -> Iterator[Row]:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive, archive.open("content.xml") as stream:
            content = stream.read(MOST_XML + 1)
    except (LookupError, OSError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError):
        raise _no_table(name) from None
    if len(content) > MOST_XML:
        raise SheetError(f"{name} est trop grand une fois décompressé. À faire : n'y gardez que la liste des communes")
    if b"<!DOCTYPE" in content:  # no program writes one there
        raise _no_table(name)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError:
        raise _no_table(name) from None
    table = root.find(f"{_ODF_OFFICE_NAMESPACE}body/{_ODF_OFFICE_NAMESPACE}spreadsheet/{_ODF_TABLE_NAMESPACE}table")
    if table is None:
        raise _no_table(name)
    number = 0
    for row in table.iter(f"{_ODF_TABLE_NAMESPACE}table-row"):
        cells = [*itertools.islice((text for cell in row for text in _cell_values(cell)), MOST_COLUMNS)]
        times = _repeat_count(row, "number-rows-repeated")
        for rank in range(min(times, MOST_ROWS + 1) if any(cells) else 0):
            yield number + rank + 1, cells
        number += times


def _cell_values(cell: etree._Element) -> Iterator[str]:
    if cell.tag not in (f"{_ODF_TABLE_NAMESPACE}table-cell", f"{_ODF_TABLE_NAMESPACE}covered-table-cell"):
        return
    shown = "\n".join(filter(None, (_visible_text(one) for one in cell.iterchildren(f"{_ODF_TEXT_NAMESPACE}p"))))
    if shown and cell.get(f"{_ODF_OFFICE_NAMESPACE}value-type") in _ODF_NUMERIC_TYPES:
        shown = cell.get(f"{_ODF_OFFICE_NAMESPACE}value") or shown  # whatever the format shows of it
    yield from [cleaned_text(shown)] * min(_repeat_count(cell, "number-columns-repeated"), MOST_COLUMNS)


def _visible_text(element: etree._Element) -> str:
    parts = [element.text or ""]
    for one in element:
        if isinstance(one.tag, str):
            name = etree.QName(one).localname
            parts.append(
                " " if name in ("s", "tab", "line-break") else "" if name in _NOT_SHOWN else _visible_text(one)
            )
        parts.append(one.tail or "")
    return "".join(parts)


def _repeat_count(element: etree._Element, name: str) -> int:
    found = element.get(f"{_ODF_TABLE_NAMESPACE}{name}", "1")
    return int(found) if re.fullmatch("[1-9][0-9]{0,7}", found) else 1
