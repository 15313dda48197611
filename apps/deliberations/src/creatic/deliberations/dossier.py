"""The papers of a meeting in one PDF, as they were when it was convened, with a bookmark for each. Without Plone.

What cannot be put in it (another format, damaged, too heavy) is named, and never keeps the rest. Messages are French.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from creatic.deliberations import apart, hidden, mailing

BYTES_MAX = 30_000_000
"""Bytes of all that is put in: they are held in memory together."""
PAGES_MAX = 2000
MAX_MEMORY_BYTES = 700_000_000
"""Bytes of address space of who puts them together, beside copies of them."""
SECONDS = 60
"""Of processor, to put all of them together."""
_PAPER_CPU_SECONDS = 10
"""The same, of one by itself."""
_BINDING_TIMEOUT_SECONDS = 120
"""Elapsed seconds to find which takes too much: who convenes waits."""


@dataclass(frozen=True)
class Paper:
    """A paper: what it is called, its bytes (`read` gives them, `size` says how many)."""

    title: str
    size: int
    read: Callable[[], bytes]


def bind(parts: Sequence[Paper]) -> tuple[bytes, list[str]]:
    """Put papers one after the other.

    Returns:
        The PDF, and what is not in it, in French.

    They are read by a process of its own (`apart`): one that takes too much is named, and left out.

    Raises:
        ValueError: nothing can be put in it; hidden.Unfit, others' files are being read, or all of them take too much.
    """
    left: dict[int, str] = {}
    taken: dict[int, bytes] = {}
    room = BYTES_MAX
    for rank, part in enumerate(parts):
        if part.size > room:
            left[rank] = f"{mailing.megabytes(part.size)}, de trop pour un seul fichier"
        else:
            taken[rank], room = part.read(), room - part.size
    try:
        made, unfit = _bind_in_process(parts, taken, SECONDS)
    except apart.TooMuch:
        left |= _too_much(parts, taken)
        made, unfit = _bind_in_process(parts, {rank: data for rank, data in taken.items() if rank not in left}, SECONDS)
    left |= unfit
    if not made:
        raise ValueError("aucune pièce de cette séance ne se met dans un seul fichier")
    return made, [f"{parts[rank].title} : {left[rank]}" for rank in sorted(left)]


def _too_much(parts: Sequence[Paper], taken: dict[int, bytes]) -> dict[int, str]:
    """Which of them take too much, each by itself; what there is no time to try is not put in either."""
    found, until = {}, time.monotonic() + _BINDING_TIMEOUT_SECONDS
    for rank, data in taken.items():
        if time.monotonic() > until:
            found[rank] = "il n'a pas pu être lu à temps"
            continue
        try:
            _bind_in_process(parts, {rank: data}, _PAPER_CPU_SECONDS)
        except apart.TooMuch:
            found[rank] = "il demande trop de mémoire ou de temps pour être lu"
    return found


def _bind_in_process(parts: Sequence[Paper], taken: dict[int, bytes], seconds: int) -> tuple[bytes, dict[int, str]]:
    """Have papers put together by a process of its own; gives nothing when none can be, and what is not in it.

    Raises:
        hidden.Unfit: they take too much, or others' are being read.
    """
    asked = json.dumps({"titres": [parts[rank].title for rank in taken], "pages": PAGES_MAX}).encode()
    said = apart.read(joined, asked, *taken.values(), memory=MAX_MEMORY_BYTES, seconds=seconds, elapsed=2 * seconds)
    head, _end, made = said.partition(b"\n")
    ranks = list(taken)
    return made, {ranks[int(place)]: why for place, why in json.loads(head).items()}


def joined(asked: bytes, *files: bytes) -> bytes:
    """Put papers together, for `apart`: a line of JSON (what is not in it, by place), then the PDF, if there is one.

    Args:
        asked: JSON, `titres` and the most `pages`.
        files: one for each title.
    """
    from pypdf import PdfReader, PdfWriter

    told = json.loads(asked)
    writer, left, pages = PdfWriter(), {}, told["pages"]
    for place, (title, data) in enumerate(zip(told["titres"], files, strict=True)):
        try:
            clean, count = _rewrite_paper(data, pages)
        except hidden.UnfitDocumentError as unfit:
            # The reader mends nothing, and knows no error of a library.
            left[place] = str(unfit).partition(". À faire")[0].partition(" (")[0]
            continue
        writer.append(PdfReader(io.BytesIO(clean)), outline_item=title, import_outline=False)
        pages -= count
    written = io.BytesIO()
    if writer.pages:
        writer.write(written)
    return json.dumps(left).encode() + b"\n" + written.getvalue()


def _rewrite_paper(data: bytes, most: int) -> tuple[bytes, int]:
    """Write a paper again by itself, so that one that breaks does so here; gives it with its number of pages.

    Raises:
        Unfit: it is no PDF, is locked, does not read, or has too many pages.
    """
    from pypdf import PdfWriter

    if not hidden.is_pdf(data):
        raise hidden.UnfitDocumentError("ce n'est pas un PDF")
    with hidden.readable():
        reader = hidden.opened(data)
        count = len(reader.pages)
        if count > most:
            raise hidden.UnfitDocumentError(f"{count} pages, de trop pour un seul fichier")
        writer = PdfWriter()
        writer.append(reader, import_outline=False)
        written = io.BytesIO()
        writer.write(written)
    return written.getvalue(), count
