"""The files at the door: what is refused before anything reads it, and how the signed copy comes to be."""

from __future__ import annotations

import mmap
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader

from creatic_agent import durable
from creatic_agent.reasons import reason

from . import structure
from .refusal import DocumentRefusedError

ODD = (
    PdfError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,  # a filter or a cipher that it does not have
    RecursionError,
    TypeError,
    ValueError,
    zlib.error,
)
"""What a hostile file makes of pyHanko, which asserts and decodes as it reads."""
ASK_THE_PARAPHEUR = (
    "déposez-le dans le parapheur, qui l'écrit de nouveau, téléchargez le document du dossier, et signez celui-là"
)
REMAKE = "refaites-le depuis le document d'origine (« Exporter au format PDF »), et déposez-le"
MAX_BYTES = 150_000_000  # what a TdT takes (S²LOW)
_PDF_HEADER = b"%PDF-"
_MAX_PAGE_TREE_NODES = 1000  # of a tree of pages, before its first page
_PDF_HEADER_SEARCH_BYTES = 1024  # where a PDF's header must be (ISO 32000-1, annex H)


_UNREAD = "le PDF est abîmé. À faire : refaites-le depuis le document d'origine"
_SIGNED_UNREAD = (
    "ce PDF signé ne se lit pas ici : il est incomplet, ou fait autrement que la norme ne le dit, ce qui ne dit rien "
    "contre sa signature. À faire : demandez à qui l'a signé de l'envoyer de nouveau tel quel, ou de signer un PDF/A"
)


class DamagedPdfError(DocumentRefusedError, cause="abime"):
    """A PDF that is not made as one."""


class AmbiguousPdfError(DocumentRefusedError, cause="ambigu"):
    """A PDF that can be read in several ways."""


def check_size(path: Path, limit: int = MAX_BYTES) -> None:
    """Refuse what is no regular file, is empty or too large.

    Args:
        limit: bytes.

    Raises:
        Refusal: says which.
    """
    try:
        known = path.stat()
        if not stat.S_ISREG(known.st_mode):  # a pipe would be waited for
            raise DocumentRefusedError(f"{path.name} : ce n'est pas un fichier")
        path.open("rb").close()
    except (OSError, ValueError) as error:
        told = reason(error) if isinstance(error, OSError) else "son nom n'en est pas un"
        raise DocumentRefusedError(f"{path.name} : le fichier ne s'ouvre pas ({told})") from None
    if known.st_size == 0:
        raise DocumentRefusedError(f"{path.name} : le fichier est vide. À faire : exportez de nouveau le document")
    if known.st_size > limit:
        raise DocumentRefusedError(
            f"{path.name} : {known.st_size / 1e6:.0f} Mo, {limit / 1e6:.0f} Mo au plus. À faire : réduisez la "
            "résolution des pages numérisées"
        )


def looks_like_xml(path: Path) -> bool:
    """Tell whether a file is taken for a PES: by its content, its name is the user's.

    Raises:
        Refusal: empty, too large, not to be read; a PDF as well, which what reads PDF would show.
    """
    check_size(path)
    with path.open("rb") as stream:
        head = stream.read(_PDF_HEADER_SEARCH_BYTES + len(_PDF_HEADER))
    found = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
    if found and _PDF_HEADER in head:
        raise DocumentRefusedError(
            f"{path.name} : ce fichier est à la fois un PDF et un fichier XML, et chaque logiciel y lirait autre "
            "chose. À faire : exportez de nouveau le document depuis le logiciel qui l'a fait"
        )
    return found


@contextmanager
def open_pdf(path: Path, limit: int = MAX_BYTES) -> Iterator[tuple[BinaryIO, PdfFileReader]]:
    """Open a PDF that may be signed or checked; gives the file and its reader.

    Raises:
        Refusal: empty, too large, no PDF, damaged, encrypted, without a page, with two tables that
            contradict each other.
    """
    check_size(path, limit)
    with path.open("rb") as stream:
        if _PDF_HEADER not in stream.read(_PDF_HEADER_SEARCH_BYTES):
            raise DocumentRefusedError(
                f"{path.name} : ce n'est pas un PDF. À faire : enregistrez le document au format PDF/A"
            )
        try:
            reader = PdfFileReader(stream, strict=True)
            encrypted = reader.encrypted
            empty = not encrypted and not _has_page(reader)
            hybrid = reader.xrefs.hybrid_xrefs_present
        except ODD:
            raise DamagedPdfError(f"{path.name} : {_SIGNED_UNREAD if is_signed(path) else _UNREAD}") from None
        if encrypted:
            raise DocumentRefusedError(
                f"{path.name} : le PDF est protégé par un mot de passe ou des restrictions. À faire : enregistrez-le "
                "sans protection"
            )
        if empty:
            raise DocumentRefusedError(
                f"{path.name} : ce PDF n'a pas de page. À faire : exportez de nouveau le document"
            )
        if hybrid:  # pyHanko takes none as long as it is strict, whatever the two tables say
            check_clear(path, REMAKE)
            reader.strict = False
        yield stream, reader


def is_signed(path: Path) -> bool:
    """Whether a PDF bears a signature, by its bytes: that dictionary is never packed, whose place must be filled in."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"/ByteRange") >= 0


def _has_page(reader: PdfFileReader) -> bool:
    """Whether a tree of pages leads to one; only as much of it is read."""
    waiting, seen = [reader.root.raw_get("/Pages")], 0
    while waiting and seen < _MAX_PAGE_TREE_NODES:
        node, seen = waiting.pop().get_object(), seen + 1
        if "/Kids" not in node:
            return bool(node.get("/Type") == "/Page")
        kids = node["/Kids"]
        waiting += [kids.raw_get(rank) for rank in reversed(range(len(kids)))]
    return False


def check_clear(path: Path, remedy: str) -> structure.Layout:
    """Make sure that a PDF can be read in one way only.

    Args:
        remedy: what to do otherwise, in French.

    Raises:
        Ambiguous: it cannot; which says nothing against who made it.
    """
    try:
        return structure.read(path)
    except structure.AmbiguousStructureError as reason:
        raise AmbiguousPdfError(
            f"{path.name} : ce PDF n'est pas lisible d'une seule façon ({reason}) : d'un logiciel à l'autre, on n'y "
            f"verrait pas forcément le même document. Cela vient souvent du logiciel qui l'a fait. À faire : {remedy}"
        ) from None


@contextmanager
def new_file(target: Path) -> Iterator[BinaryIO]:
    """Write a file that appears whole or not at all, and takes no other's place.

    Raises:
        Refusal: there is a file of that name already, or it cannot be written.
    """
    taken = f"{target.name} existe déjà. À faire : déplacez-le, ou donnez un autre nom avec --sortie"
    if target.exists():
        raise DocumentRefusedError(taken)
    begun = False
    try:
        with durable.whole(target, None, replace=False) as stream:
            begun = True
            yield stream
    except FileExistsError:
        raise DocumentRefusedError(taken) from None
    except OSError as error:
        if not begun:
            raise DocumentRefusedError(f"{target.parent} : on ne peut pas y écrire ({reason(error)})") from None
        raise DocumentRefusedError(f"{target.name} : écriture impossible ({reason(error)})") from None
