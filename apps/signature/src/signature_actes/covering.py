"""What a stamp lies over: a page is drawn as the circuit gave it (pdftoppm), and is blank where the stamp will be.

Nothing less will do: a small stamp, opaque, hides a figure of the act as well as a large one.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .refusal import DocumentRefusedError

SECONDS = 60
MAX_PAGES = 50
_DRAWN_SIDE_PIXELS = 1500  # pixels of the longer side: a dot of a text of four points is one
MAX_PAPER_CONTRAST = (
    40  # levels of grey, of 256, between the darkest and the lightest of what is paper: scanned paper is not even
)
NO_POPPLER = (
    "{} : ce que montrent les pages ne se vérifie pas ici, où « pdftoppm » et « pdftotext » manquent. À faire : "
    "installez le paquet poppler-utils, puis relancez"
)
_TURNED = {0: 0, 90: 1, 180: 2, 270: 3}

Box = tuple[float, float, float, float]
"""Left, bottom, right, top, in points."""


@dataclass(frozen=True)
class Page:
    """A page with the stamps that it gets.

    Attributes:
        number: from 1.
        box: what is drawn of it (MediaBox).
        turned: degrees, clockwise (Rotate).
        stamps: where they are.
    """

    number: int
    box: Box
    turned: int
    stamps: Sequence[Box]


def check(path: Path, pages: Sequence[Page]) -> None:
    """Make sure that stamps hide nothing of a document.

    Args:
        path: the document, without these stamps.

    Raises:
        Refusal: one does, or this cannot be told.
    """
    if len(pages) > MAX_PAGES:
        raise DocumentRefusedError(
            f"{path.name} : la signature a mis un tampon sur plus de {MAX_PAGES} pages. À faire : signez sans tampon, "
            "ou sur une page"
        )
    for page in pages:
        width, height, pixels = draw_page(path, page.number)
        for stamp in page.stamps:
            left, top, right, bottom = place(page, stamp, width, height)
            rows = [pixels[row * width + left : row * width + right] for row in range(top, bottom)]
            if left < right and rows and max(map(max, rows)) - min(map(min, rows)) > MAX_PAPER_CONTRAST:
                raise DocumentRefusedError(
                    f"{path.name} : le tampon de la signature recouvre ce que porte la page {page.number}. À faire : "
                    "repartez du document du circuit, et signez-le sans tampon visible, ou avec un tampon posé sur un "
                    "blanc de la page"
                )


def place(page: Page, stamp: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a stamp in the page that is drawn with this width and height."""
    x0, y0, x1, y1 = page.box
    wide, high = x1 - x0, y1 - y0
    corners = [(x - x0, y1 - y) for x, y in ((stamp[0], stamp[1]), (stamp[2], stamp[3]))]
    for _quarter in range(_TURNED.get(page.turned % 360, 0)):
        corners, wide, high = [(high - y, x) for x, y in corners], high, wide
    across, down = sorted(x * width / wide for x, _y in corners), sorted(y * height / high for _x, y in corners)
    left, top = max(0, math.floor(across[0])), max(0, math.floor(down[0]))
    return left, top, min(width, math.ceil(across[1])), min(height, math.ceil(down[1]))


def draw_page(path: Path, number: int) -> tuple[int, int, bytes]:
    """A page in levels of grey: its width and height, and its pixels from the top."""
    page = str(number)
    asked: list[str | Path] = [
        "pdftoppm",
        "-q",
        "-gray",
        "-scale-to",
        str(_DRAWN_SIDE_PIXELS),
        "-f",
        page,
        "-l",
        page,
        path,
    ]
    try:
        done = subprocess.run(asked, capture_output=True, timeout=SECONDS, check=False)
    except FileNotFoundError:
        raise DocumentRefusedError(NO_POPPLER.format(path.name)) from None
    except subprocess.TimeoutExpired:
        done = None
    head = done.stdout.split(None, 4) if done and done.returncode == 0 else []
    if len(head) == 5 and head[0] == b"P5" and all(one.isdigit() for one in head[1:4]):
        width, height = int(head[1]), int(head[2])
        pixels = done.stdout[-width * height :] if done and width * height else b""
        if len(pixels) == width * height > 0:
            return width, height, pixels
    raise DocumentRefusedError(
        f"{path.name} : la page {number}, qui a reçu un tampon, ne se dessine pas. À faire : signez le document sans "
        "tampon visible"
    )
