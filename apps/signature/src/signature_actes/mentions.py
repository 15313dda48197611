"""Who signs stands on the act: name and quality (CRPA, L212-1), looked for in the text of the PDF (pdftotext)."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from .refusal import DocumentRefusedError

SECONDS = 60
MAX_TEXT = 50_000_000  # bytes


def plain(text: str) -> str:
    """Words without case, accents, hyphens of line ends nor punctuation, between single spaces."""
    text = re.sub(r"[-\u00ad\u2010]\s*\n\s*", "", text)
    folded = unicodedata.normalize("NFKD", text.replace("œ", "oe").replace("Œ", "oe"))
    return " ".join(re.findall(r"[a-z0-9]+", folded.encode("ascii", "ignore").decode().casefold()))


def text_of(path: Path) -> str:
    """Text of a PDF; nothing for pages that are images.

    Raises:
        Refusal: pdftotext cannot read it.
    """
    target = path.with_name("texte.txt")
    try:
        done = subprocess.run(
            ["pdftotext", "-q", "-enc", "UTF-8", "-nopgbrk", path, target], timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode or not target.is_file():
        raise DocumentRefusedError(
            f"{path.name} : le texte du PDF ne se lit pas. À faire : enregistrez de nouveau le document en PDF"
        )
    with target.open("rb") as stream:
        return stream.read(MAX_TEXT).decode("utf-8", "replace")


def _name_orders(name: str) -> list[str]:
    """A name with its words in each order that people write: « Anne Petit », « PETIT Anne »."""
    words = plain(name).split()
    return [" ".join([*words[rank:], *words[:rank]]) for rank in range(len(words))]


def check(path: Path, wanted: Sequence[str]) -> bool:
    """Check that a document bears who signs it.

    Args:
        wanted: the name, then what must stand on it of the quality.

    Returns:
        Whether there was a text to look into.

    Raises:
        Refusal: it is not on the document.
    """
    found = f" {plain(text_of(path))} "
    if not found.strip():
        return False
    name, *quality = wanted
    # « Jean-Pierre » cut at the end of a line has lost its hyphen.
    turns = [*_name_orders(name), *_name_orders(name.replace("-", ""))]
    lacking = [] if any(f" {turn} " in found for turn in turns) else [name]
    # A plural or a feminine of the last word stays the same quality: « délégation(s) ».
    lacking += [one for one in quality if f" {plain(one)}" not in found]
    if lacking:
        listed = ", ".join(f"« {one} »" for one in lacking)
        raise DocumentRefusedError(
            f"{path.name} : le document ne porte pas {listed}. Le nom et la qualité de qui signe figurent sur l'acte "
            "(CRPA, L212-1). À faire : écrivez-les au bas du document, ou choisissez un autre signataire"
        )
    return True
