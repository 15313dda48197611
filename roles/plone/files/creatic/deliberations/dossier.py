"""The papers of a meeting in one PDF, as they were when it was convened, with a bookmark for each. Without Plone.

What cannot be put in it (another format, damaged, too heavy) is named, and never keeps the rest. Messages are French.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from creatic.deliberations import hidden, mailing

BYTES_MAX = 30_000_000
"""Bytes of all that is put in: they are held in memory together."""
PAGES_MAX = 2000


@dataclass(frozen=True)
class Part:
    """A paper: what it is called, its bytes (`read` gives them, `size` says how many)."""

    title: str
    size: int
    read: Callable[[], bytes]


def bind(parts: Sequence[Part]) -> tuple[bytes, list[str]]:
    """Put papers one after the other.

    Returns:
        The PDF, and what is not in it, in French.

    Raises:
        ValueError: nothing can be put in it.
    """
    from pypdf import PdfReader, PdfWriter

    writer, left = PdfWriter(), []
    room, pages = BYTES_MAX, PAGES_MAX
    for part in parts:
        if part.size > room:
            left.append(f"{part.title} : {mailing.megabytes(part.size)}, de trop pour un seul fichier")
            continue
        try:
            clean, count = _alone(part.read(), pages)
        except hidden.Unfit as unfit:
            # The reader mends nothing, and knows no error of a library.
            left.append(f"{part.title} : {str(unfit).partition('. À faire')[0].partition(' (')[0]}")
            continue
        writer.append(PdfReader(io.BytesIO(clean)), outline_item=part.title, import_outline=False)
        room, pages = room - part.size, pages - count
    if not writer.pages:
        raise ValueError("aucune pièce de cette séance ne se met dans un seul fichier")
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue(), left


def _alone(data: bytes, most: int) -> tuple[bytes, int]:
    """Write a paper again by itself, so that one that breaks does so here; gives it with its number of pages.

    Raises:
        Unfit: it is no PDF, is locked, does not read, or has too many pages.
    """
    from pypdf import PdfWriter

    if not hidden.is_pdf(data):
        raise hidden.Unfit("ce n'est pas un PDF")
    with hidden.readable():
        reader = hidden.opened(data)
        count = len(reader.pages)
        if count > most:
            raise hidden.Unfit(f"{count} pages, de trop pour un seul fichier")
        writer = PdfWriter()
        writer.append(reader, import_outline=False)
        written = io.BytesIO()
        writer.write(written)
    return written.getvalue(), count
