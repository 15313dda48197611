"""A signed file whose stamps have lost their text: what is drawn differently is the text that people see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from .files import open_pdf
from .structure import END, TOKEN, AmbiguousStructureError, Parser

_OPERATOR = re.compile(rb"[A-Za-z'\"][A-Za-z0-9'\"*]*+")
_IMAGE = re.compile(rb"ID[\0\t\n\f\r ].*?[\0\t\n\f\r ]EI" + END, re.DOTALL)
_SHOWS = {b"Tj", b"TJ", b"'", b'"'}
_SAYS = {b"/ActualText", b"/Alt", b"/E"}  # a text that is read instead of what is drawn
_STREAM_KEYS = {"/DecodeParms", "/Filter", "/Length"}


def write(path: Path, original: Path, target: Path) -> None:
    """Write it.

    Args:
        path: what was signed.
        original: that, without the stamps.

    Raises:
        Unclear: a stamp is drawn in a way that cannot be told, or is read otherwise than drawn.
    """
    with open_pdf(original) as (_bytes, before), open_pdf(path) as (_stream, after), target.open("wb") as output:
        writer = IncrementalPdfFileWriter.from_reader(after)
        for number in range(before.xrefs.total_revisions, after.xrefs.total_revisions):
            for link in after.xrefs.explicit_refs_in_revision(number):
                one = after.get_object(link)
                if isinstance(one, generic.StreamObject) and (one.get("/Subtype") == "/Form" or "/PatternType" in one):
                    keys = {key: one.raw_get(key) for key in one if key not in _STREAM_KEYS}
                    bare = generic.StreamObject(keys, stream_data=without_text(one.data))
                    writer.objects[(link.generation, link.idnum)] = bare
        writer.write(output)


def without_text(content: bytes) -> bytes:
    """What a page or a form draws, without its text.

    Raises:
        Unclear: it does not follow the grammar, or says a text that is read instead.
    """
    parser, kept, at = Parser(content), bytearray(content), 0
    operands: list[Any] = []
    begin = 0
    while (at := parser.blank(at)) < len(content):
        begin = begin if operands else at
        if TOKEN.match(content, at):
            value, at = parser.value(at)
            operands.append(value)
            continue
        operator = _OPERATOR.match(content, at)
        if not operator:
            raise AmbiguousStructureError("un tampon dont le contenu ne suit pas la norme")
        at = operator.end()
        if operator[0] in _SHOWS:
            kept[begin:at] = b" " * (at - begin)
        elif operator[0] in (b"BDC", b"DP") and not _is_silent(operands):
            raise AmbiguousStructureError("un tampon qui se lit autrement qu'il ne se voit")
        elif operator[0] == b"BI":
            image = _IMAGE.search(content, at)
            if not image:
                raise AmbiguousStructureError("un tampon dont le contenu ne suit pas la norme")
            at = image.end()
        operands = []
    return bytes(kept)


def _is_silent(operands: list[Any]) -> bool:
    return bool(operands) and isinstance(operands[-1], dict) and not _SAYS & set(operands[-1])
