"""What another reader than ours shows of two files (poppler): the drawing and the text of every page, stamps aside.

Screen readers and searches read a text that the page does not draw, clipped away or white: the text is compared as
well, and that of a stamp is one that is seen in it.
"""

from __future__ import annotations

import html
import math
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import IO, NamedTuple

from . import covering
from .refusal import Refusal

SECONDS = 100
SIDE = 500  # pixels of the longer side: letters are compared by the text
_BLEEDS = 2  # pixels beside a stamp that its edge colours
_WORD = re.compile(r'<word xMin="([-.\d]+)" yMin="([-.\d]+)" xMax="([-.\d]+)" yMax="([-.\d]+)">(.*)</word>')
_DIFFERENT = (
    "lu par un autre logiciel, ce n'est pas le document du circuit : page {}, {}. À faire : téléchargez celui du "
    "circuit, signez-le, et déposez le fichier signé tel quel"
)
_UNSEEN = (
    "le tampon de la signature porte un texte qui ne s'y voit pas (page {}), et que lisent pourtant les logiciels de "
    "lecture. À faire : signez le document du circuit sans tampon visible, ou avec un tampon dont tout le texte se voit"
)
_UNREAD = (
    "un autre logiciel ne lit pas ce document, ou n'en a pas le temps : il ne peut pas être comparé à celui du "
    "circuit. À faire : allégez le document (résolution des pages numérisées) ou refaites-le, puis recommencez"
)


class Different(Refusal):
    """The other reader shows something else."""


class Word(NamedTuple):
    """A word and where it is, in points from the left and the top of the page as it is shown."""

    left: float
    top: float
    right: float
    bottom: float
    text: str


def check(path: Path, original: Path, stamped: Sequence[covering.Page] = ()) -> None:
    """Make sure that another reader shows a file as it shows the original.

    Args:
        stamped: pages with the stamps that were added to them.

    Raises:
        Refusal: it shows something else, or this cannot be told.
    """
    stamps = {page.number: page for page in stamped}
    pages, wanted = _texts(path), _texts(original)
    for number, (had, has) in enumerate(zip(wanted, pages, strict=False), start=1):
        _check_text(path, number, had, has, stamps.get(number))
    if len(pages) != len(wanted):
        shorter = min(len(pages), len(wanted))
        raise Different(f"{path.name} : {_DIFFERENT.format(shorter + 1, 'qui manque à l’un des deux')}")
    _check_drawings(path, original, stamps)


def _check_text(path: Path, number: int, had: Sequence[Word], has: Sequence[Word], page: covering.Page | None) -> None:
    areas = _areas(page) if page else []
    added = {word for word in set(has) - set(had) if any(_within(word, area) for area in areas)}
    if [word for word in has if word not in added] != list(had):
        raise Different(f"{path.name} : {_DIFFERENT.format(number, 'dont le texte diffère')}")
    if page and added:
        drawn = covering.drawn(path, number)
        if not all(_is_seen(word, page, *drawn) for word in added):
            raise Refusal(f"{path.name} : {_UNSEEN.format(number)}")


def _areas(page: covering.Page) -> list[tuple[int, int, int, int]]:
    """Where the stamps of a page are, in points of the page as it is shown."""
    return [covering.place(page, stamp, *_sizes(page)) for stamp in page.stamps]


def _sizes(page: covering.Page) -> tuple[int, int]:
    wide, high = math.ceil(page.box[2] - page.box[0]), math.ceil(page.box[3] - page.box[1])
    return (high, wide) if page.turned % 180 else (wide, high)


def _within(word: Word, area: tuple[int, int, int, int]) -> bool:
    """Whether a word is in a stamp: all of it, but for what a font keeps free above and below."""
    left, top, right, bottom = area
    free = (word.bottom - word.top) / 2
    return (
        left <= word.left
        and word.right <= right
        and top - free <= word.top <= (word.top + word.bottom) / 2 <= bottom
        and top <= (word.top + word.bottom) / 2
        and word.bottom <= bottom + free
    )


def _is_seen(word: Word, page: covering.Page, width: int, height: int, pixels: bytes) -> bool:
    """Whether there is something where a word is said to be."""
    wide, high = _sizes(page)
    left, right = max(0, math.floor(word.left * width / wide)), min(width, math.ceil(word.right * width / wide))
    top, bottom = max(0, math.floor(word.top * height / high)), min(height, math.ceil(word.bottom * height / high))
    rows = [pixels[row * width + left : row * width + right] for row in range(top, bottom)]
    return left < right and bool(rows) and max(map(max, rows)) - min(map(min, rows)) > covering.PAPER


def _texts(path: Path) -> list[list[Word]]:
    """The words of each page, in the order of its content."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as told:
        asked: list[str | Path] = ["pdftotext", "-q", "-raw", "-bbox", "-enc", "UTF-8", path, "-"]
        try:
            done = subprocess.run(
                asked, stdout=told, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False
            )
        except FileNotFoundError:
            raise Refusal(covering.NO_POPPLER.format(path.name)) from None
        except subprocess.TimeoutExpired:
            raise Refusal(f"{path.name} : {_UNREAD}") from None
        if done.returncode:
            raise Refusal(f"{path.name} : {_UNREAD}")
        told.seek(0)
        pages: list[list[Word]] = []
        for line in told:
            if line.startswith("  <page "):
                pages.append([])
            elif pages and (found := _WORD.fullmatch(line.strip())):
                left, top, right, bottom = map(float, found.groups()[:4])
                pages[-1].append(Word(left, top, right, bottom, html.unescape(found[5])))
            elif pages:  # the part of a word that has an end of line
                pages[-1].append(Word(0, 0, 0, 0, line))
        return pages


def _check_drawings(path: Path, original: Path, stamps: Mapping[int, covering.Page]) -> None:
    with _drawings(path) as pages, _drawings(original) as wanted:
        number = 0
        for number, (had, has) in enumerate(zip_longest(wanted, pages), start=1):
            if had is None or has is None:
                raise Refusal(f"{path.name} : {_UNREAD}")
            if had != has and (number not in stamps or _aside(had, stamps[number]) != _aside(has, stamps[number])):
                raise Different(f"{path.name} : {_DIFFERENT.format(number, 'qui se dessine autrement')}")
        if not number:
            raise Refusal(f"{path.name} : {_UNREAD}")


class _Drawing(NamedTuple):
    width: int
    height: int
    pixels: bytes


def _aside(drawing: _Drawing, page: covering.Page) -> _Drawing:
    """A page without what its stamps show."""
    width, height, pixels = drawing.width, drawing.height, bytearray(drawing.pixels)
    for stamp in page.stamps:
        left, top, right, bottom = covering.place(page, stamp, width, height)
        left, right = max(0, left - _BLEEDS), min(width, right + _BLEEDS)
        for row in range(max(0, top - _BLEEDS), min(height, bottom + _BLEEDS)):
            pixels[row * width + left : row * width + right] = bytes(right - left)
    return _Drawing(width, height, bytes(pixels))


@contextmanager
def _drawings(path: Path) -> Iterator[Iterator[_Drawing]]:
    """All the pages of a file, in levels of grey, one at a time."""
    asked: list[str | Path] = ["pdftoppm", "-q", "-gray", "-scale-to", str(SIDE), path]
    try:
        running = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise Refusal(covering.NO_POPPLER.format(path.name)) from None
    late = threading.Timer(SECONDS, running.kill)
    late.start()

    def read(stream: IO[bytes]) -> Iterator[_Drawing]:
        while (kind := stream.readline()) == b"P5\n":
            width, height = map(int, stream.readline().split())
            stream.readline()
            pixels = stream.read(width * height)
            if len(pixels) < width * height:
                break
            yield _Drawing(width, height, pixels)
        if kind or running.wait():
            raise Refusal(f"{path.name} : {_UNREAD}")

    try:
        with running:
            assert running.stdout  # noqa: S101 - asked for above
            yield read(running.stdout)
            running.kill()
    finally:
        late.cancel()
        running.kill()
