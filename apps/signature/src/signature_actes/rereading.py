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
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from itertools import combinations, zip_longest
from pathlib import Path
from typing import IO, NamedTuple

from . import covering, files, structure, wordless
from .refusal import DocumentRefusedError

SECONDS = 80  # for each reading
DRAWN_SIDE_PIXELS = 500  # pixels of the longer side: letters are compared by the text
_STAMP_EDGE_PIXELS = 2  # pixels beside a stamp that its edge colours
_MIN_DRAWN_DIVISOR = 4  # a quarter of a word's width and of its height is drawn: « ll » and « - » are narrow or flat
_PDFTOTEXT_WORD_PATTERN = re.compile(
    r'<word xMin="([-.\d]+)" yMin="([-.\d]+)" xMax="([-.\d]+)" yMax="([-.\d]+)">(.*)</word>'
)
_DIFFERENT = (
    "lu par un autre logiciel, ce n'est pas le document du circuit : page {}, {}. À faire : téléchargez celui du "
    "circuit, signez-le, et déposez le fichier signé tel quel"
)
_HIDDEN_TEXT_REASON = (
    "le tampon de la signature porte un texte qui ne s'y voit pas (page {}), et que lisent pourtant les logiciels de "
    "lecture. À faire : signez le document du circuit sans tampon visible, ou avec un tampon dont tout le texte se voit"
)
_UNREAD = (
    "un autre logiciel ne lit pas ce document, ou n'en a pas le temps : il ne peut pas être comparé à celui du "
    "circuit. À faire : allégez le document (résolution des pages numérisées) ou refaites-le, puis recommencez"
)


class RenderingMismatchError(DocumentRefusedError, cause="different"):
    """The other reader shows something else."""


class Word(NamedTuple):
    """A word and where it is, in points from the left and the top of the page as it is shown."""

    left: float
    top: float
    right: float
    bottom: float
    text: str


class _Drawing(NamedTuple):
    width: int
    height: int
    pixels: bytes


def check(path: Path, original: Path, stamped: Sequence[covering.Page] = ()) -> None:
    """Make sure that another reader shows a file as it shows the original.

    Args:
        stamped: pages with the stamps that were added to them.

    Raises:
        Refusal: it shows something else, or this cannot be told.
    """
    stamps, added = {page.number: page for page in stamped}, dict[int, set[Word]]()
    pages, wanted = _page_words(path), _page_words(original)
    for number, (had, has) in enumerate(zip(wanted, pages, strict=False), start=1):
        areas = _stamp_areas(stamps[number]) if number in stamps else []
        added[number] = {word for word in set(has) - set(had) if any(_is_within(word, area) for area in areas)}
        if [word for word in has if word not in added[number]] != had:
            raise RenderingMismatchError(f"{path.name} : {_DIFFERENT.format(number, 'dont le texte diffère')}")
    if len(pages) != len(wanted):
        shorter = min(len(pages), len(wanted))
        raise RenderingMismatchError(f"{path.name} : {_DIFFERENT.format(shorter + 1, 'qui manque à l’un des deux')}")
    _check_drawings(path, original, stamps)
    said = [(stamps[number], words) for number, words in added.items() if words]
    if said:
        _check_seen(path, original, said)


def check_words(path: Path, original: Path) -> None:
    """Make sure that another reader finds the same words in a file as in the original, wherever on their page.

    Raises:
        Refusal: it finds others, or this cannot be told.
    """
    found, wanted = (
        [sorted(word.text for word in page if any(map(str.isalnum, word.text))) for page in _page_words(one)]
        for one in (path, original)
    )
    if found != wanted:
        raise RenderingMismatchError(f"{path.name} : {_DIFFERENT.format(1, 'dont le texte diffère')}")


def _check_seen(path: Path, original: Path, said: Sequence[tuple[covering.Page, Set[Word]]]) -> None:
    """What stamps say is drawn by them: without their text, the page is another where each word is."""
    with tempfile.TemporaryDirectory() as name:
        bare = Path(name, path.name)
        try:
            wordless.write(path, original, bare)
        except (structure.AmbiguousStructureError, *files.ODD):
            raise DocumentRefusedError(f"{path.name} : {_HIDDEN_TEXT_REASON.format(said[0][0].number)}") from None
        for page, words in said:
            width, height, pixels = covering.draw_page(path, page.number)
            before = covering.draw_page(bare, page.number)
            drawings = _Drawing(width, height, pixels), _Drawing(*before)
            if not all(_is_seen(word, page, *drawings) for word in words) or any(
                one.text != other.text and _do_overlap(one, other) for one, other in combinations(words, 2)
            ):
                raise DocumentRefusedError(f"{path.name} : {_HIDDEN_TEXT_REASON.format(page.number)}")


def _stamp_areas(page: covering.Page) -> list[tuple[int, int, int, int]]:
    """Where the stamps of a page are, in points of the page as it is shown."""
    return [covering.place(page, stamp, *_page_sizes(page)) for stamp in page.stamps]


def _page_sizes(page: covering.Page) -> tuple[int, int]:
    wide, high = math.ceil(page.box[2] - page.box[0]), math.ceil(page.box[3] - page.box[1])
    return (high, wide) if page.turned % 180 else (wide, high)


def _is_within(word: Word, area: tuple[int, int, int, int]) -> bool:
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


def _is_seen(word: Word, page: covering.Page, with_text: _Drawing, without: _Drawing) -> bool:
    """Whether a word is what makes a page another where it is said to be: over a part of its width and its height."""
    width, height, (wide, high) = with_text.width, with_text.height, _page_sizes(page)
    left, right = max(0, math.floor(word.left * width / wide)), min(width, math.ceil(word.right * width / wide))
    top, bottom = max(0, math.floor(word.top * height / high)), min(height, math.ceil(word.bottom * height / high))
    rows, columns = set[int](), set[int]()
    for row in range(top, bottom):
        for column in range(left, right):
            place = row * width + column
            if abs(with_text.pixels[place] - without.pixels[place]) > covering.MAX_PAPER_CONTRAST:
                rows.add(row)
                columns.add(column)
    if not any(map(str.isalnum, word.text)):
        return bool(rows)
    return len(rows) * _MIN_DRAWN_DIVISOR >= bottom - top and len(columns) * _MIN_DRAWN_DIVISOR >= right - left


def _do_overlap(one: Word, other: Word) -> bool:
    """Whether half of a word is under another."""
    wide = min(one.right, other.right) - max(one.left, other.left)
    high = min(one.bottom, other.bottom) - max(one.top, other.top)
    smaller = min((each.right - each.left) * (each.bottom - each.top) for each in (one, other))
    return wide > 0 and high > 0 and wide * high * 2 > smaller


def _page_words(path: Path) -> list[list[Word]]:
    """The words of each page, in the order of its content."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as told:
        asked: list[str | Path] = ["pdftotext", "-q", "-raw", "-bbox", "-enc", "UTF-8", path, "-"]
        try:
            done = subprocess.run(
                asked, stdout=told, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False
            )
        except FileNotFoundError:
            raise DocumentRefusedError(covering.NO_POPPLER.format(path.name)) from None
        except subprocess.TimeoutExpired:
            raise DocumentRefusedError(f"{path.name} : {_UNREAD}") from None
        if done.returncode:
            raise DocumentRefusedError(f"{path.name} : {_UNREAD}")
        told.seek(0)
        pages: list[list[Word]] = []
        for line in told:
            if line.startswith("  <page "):
                pages.append([])
            elif pages and (found := _PDFTOTEXT_WORD_PATTERN.fullmatch(line.strip())):
                left, top, right, bottom = map(float, found.groups()[:4])
                pages[-1].append(Word(left, top, right, bottom, html.unescape(found[5])))
            elif pages:  # the part of a word that has an end of line
                pages[-1].append(Word(0, 0, 0, 0, line))
        return pages


def _check_drawings(path: Path, original: Path, stamps: Mapping[int, covering.Page]) -> None:
    with _draw_pages(path) as pages, _draw_pages(original) as wanted:
        number = 0
        for number, (had, has) in enumerate(zip_longest(wanted, pages), start=1):
            if had is None or has is None:
                raise DocumentRefusedError(f"{path.name} : {_UNREAD}")
            if had != has and (
                number not in stamps or _mask_stamps(had, stamps[number]) != _mask_stamps(has, stamps[number])
            ):
                raise RenderingMismatchError(f"{path.name} : {_DIFFERENT.format(number, 'qui se dessine autrement')}")
        if not number:
            raise DocumentRefusedError(f"{path.name} : {_UNREAD}")


def _mask_stamps(drawing: _Drawing, page: covering.Page) -> _Drawing:
    """A page without what its stamps show."""
    width, height, pixels = drawing.width, drawing.height, bytearray(drawing.pixels)
    for stamp in page.stamps:
        left, top, right, bottom = covering.place(page, stamp, width, height)
        left, right = max(0, left - _STAMP_EDGE_PIXELS), min(width, right + _STAMP_EDGE_PIXELS)
        for row in range(max(0, top - _STAMP_EDGE_PIXELS), min(height, bottom + _STAMP_EDGE_PIXELS)):
            pixels[row * width + left : row * width + right] = bytes(right - left)
    return _Drawing(width, height, bytes(pixels))


@contextmanager
def _draw_pages(path: Path) -> Iterator[Iterator[_Drawing]]:
    """All the pages of a file, in levels of grey, one at a time."""
    asked: list[str | Path] = ["pdftoppm", "-q", "-gray", "-scale-to", str(DRAWN_SIDE_PIXELS), path]
    try:
        running = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise DocumentRefusedError(covering.NO_POPPLER.format(path.name)) from None
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
            raise DocumentRefusedError(f"{path.name} : {_UNREAD}")

    try:
        with running:
            assert running.stdout  # noqa: S101 - asked for above
            yield read(running.stdout)
            running.kill()
    finally:
        late.cancel()
        running.kill()
