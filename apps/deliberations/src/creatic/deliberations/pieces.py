"""A file is judged where it enters, without Plone: its kind by its content, its size, what it hides that may do harm.

What follows (parapheur, préfecture, archives) takes PDFs and pictures alone: a file that none of them would take is
told to who brings it, before anybody votes on it. It is read in a process of its own (`apart`). Messages are French,
for people.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from creatic.deliberations import apart, hidden

SIZE_MAX = 100_000_000
"""Bytes of one: the préfecture's platform refuses a sending of 150 MB, the act with all of its annexes."""
_IMAGE_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG", (".png",)),
    (b"\xff\xd8\xff", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif")),
)
_PDF_KIND = "PDF"
# What is not taken, as people call it, by its first bytes.
_REFUSED_SIGNATURES = (
    (b"MZ", "un programme (Windows)"),
    (b"\x7fELF", "un programme"),
    (b"#!", "un programme"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "un document Office ancien (doc, xls, ppt), ou protégé par un mot de passe"),
    (b"7z\xbc\xaf\x27\x1c", "une archive (7z)"),
    (b"Rar!", "une archive (rar)"),
    (b"\x1f\x8b", "une archive (gz)"),
    (b"GIF8", "une image GIF"),
    (b"II*\x00", "une image TIFF"),
    (b"MM\x00*", "une image TIFF"),
    (b"RIFF", "une image WebP, un son ou une vidéo"),
    (b"{\\rtf", "un document RTF"),
)
_MARKUP = re.compile(rb"\s*<(?:!doctype|html|\?xml|svg|script)", re.IGNORECASE)
_MACROS = ("vbaproject.bin", "basic/", "scripts/")
_SAVE = "enregistrez-le en PDF (« Enregistrer sous », « PDF »), puis joignez ce PDF"
_PRINT = "imprimez-le en PDF, puis joignez ce PDF"
# Keys of what a PDF does by itself, and what people call it.
_ACTIONS = {"/JS": "un programme (JavaScript)", "/Launch": "une commande qui lance un programme"}
_MAX_SHOWN_LENGTH = 80
MAX_MEMORY_BYTES = 300_000_000
"""Bytes of address space of who reads one, beside copies of it: what passes unfolds little where it is read later."""
MAX_WHOLE_MEMORY_BYTES = 700_000_000
"""The same, where the whole of a document is read: its text, and its structure, which a long one has much of."""
SECONDS = 60
"""Of processor, to judge one where it enters; twice as much to read the whole of it."""
_XML_HEADER_BYTES = 64
"""Bytes of a file inside that tell whether it is XML."""
_STRUCTURE = ("/StructTreeRoot", "/SE")
"""Where a tagged PDF says again what its pages are made of: hundreds of thousands of objects, and no reader opens or
runs anything from there alone."""
# What was said of the last files, or why they are unfit, by what was asked and digest: pages and forms ask often.
_READING_CACHE: dict[tuple[str, bytes], tuple[str, str]] = {}
_SAID_MAX = 32


def kind(data: bytes) -> str:
    """`PDF`, `PNG` or `JPEG`, by content; "" for anything else."""
    if hidden.is_pdf(data):
        return _PDF_KIND
    return next((name for head, name, _suffixes in _IMAGE_SIGNATURES if data.startswith(head)), "")


def content_type(data: bytes) -> str:
    """Media type of what is taken, by content; "" for anything else."""
    return {"PDF": "application/pdf", "PNG": "image/png", "JPEG": "image/jpeg"}.get(kind(data), "")


def problem(name: str, data: bytes) -> str:
    """Say why a file is not taken, and what to do, in French; "" when it is.

    Args:
        name: of the file, as its sender gives it.
        data: its content.
    """
    if not data:
        return "il est vide (0 octet). À faire : vérifiez le fichier d'origine, puis joignez-le de nouveau"
    if len(data) > SIZE_MAX:
        return (
            f"il pèse {len(data) / 1e6:.0f} Mo, et {SIZE_MAX // 1_000_000} Mo au plus sont acceptés. À faire : "
            "réduisez la qualité de ses images, ou joignez-le en plusieurs fichiers"
        )
    found = kind(data)
    if found and (said := _extension_problem(name, found)):
        return said
    try:
        return known(judged, data, MAX_MEMORY_BYTES, SECONDS)
    except hidden.UnfitDocumentError as error:
        return str(error)


def revealed(data: bytes) -> list[str]:
    """As `hidden.revealed`, read apart. Raises hidden.Unfit."""
    found: list[str] = json.loads(known(tells, data, MAX_WHOLE_MEMORY_BYTES, 2 * SECONDS))
    return found


def for_everybody(data: bytes) -> bytes:
    """As `hidden.for_everybody`, read apart. Raises hidden.Unfit."""
    return _read_whole(hidden.for_everybody, data)


def cleaned(data: bytes) -> bytes:
    """As `hidden.cleaned`, read apart. Raises hidden.Unfit."""
    return _read_whole(hidden.cleaned, data)


def occulted(original: bytes, copy: bytes) -> bytes:
    """As `hidden.occulted`, read apart. Raises hidden.Unfit."""
    return _read_whole(hidden.occulted, original, copy)


def known(reader: Callable[[bytes], bytes], data: bytes, memory: int, seconds: int) -> str:
    """What is said of a file, in words: asked once while it is of the last ones."""
    about = (reader.__name__, hashlib.sha256(data).digest())
    if (kept := _READING_CACHE.get(about)) is None:
        try:
            found = apart.read(reader, data, memory=memory, seconds=seconds, elapsed=3 * SECONDS)
            kept = (found.decode(), "")
        except (apart.Busy, apart.ReadingTimeoutError):  # of the machine, not of the file
            raise
        except hidden.UnfitDocumentError as error:
            kept = ("", str(error))
        for old in list(itertools.islice(_READING_CACHE, max(0, len(_READING_CACHE) + 1 - _SAID_MAX))):
            _READING_CACHE.pop(old, None)
        _READING_CACHE[about] = kept
    said, unfit = kept
    if unfit:
        raise hidden.UnfitDocumentError(unfit)
    return said


def _read_whole(reader: Callable[..., bytes], *files: bytes) -> bytes:
    """Have the whole of files read. Raises hidden.Unfit."""
    return apart.read(reader, *files, memory=MAX_WHOLE_MEMORY_BYTES, seconds=2 * SECONDS, elapsed=3 * SECONDS)


def judged(data: bytes) -> bytes:
    """Why what a file holds is not taken, for `apart`."""
    return _content_problem(data).encode()


def tells(data: bytes) -> bytes:
    """What a file says without showing it, for `apart`. Raises hidden.Unfit."""
    return json.dumps(hidden.revealed(data)).encode()


def _content_problem(data: bytes) -> str:
    """Why what a file holds is not taken, as `problem` says it."""
    found = kind(data)
    if not found:
        return f"c'est {_refused_kind(data)}. Sont acceptés : PDF, PNG et JPEG, d'après le contenu. À faire : {_SAVE}"
    if said := _of_pdf(data) if found == _PDF_KIND else _of_picture(data, found):
        return said
    if zipfile.is_zipfile(io.BytesIO(data)):
        return f"ce fichier {found} cache une archive (zip). À faire : {_PRINT}"
    return ""


def _extension_problem(name: str, found: str) -> str:
    """Say that the name of a file is another kind's; the extension alone tells programs what it is."""
    suffix = re.search(r"\.(?=[^.\s]*[A-Za-z])[^.\s/\\]{1,10}$", name)  # not the year of « du 12.06.2026 »
    expected = next((suffixes for _head, one, suffixes in _IMAGE_SIGNATURES if one == found), (".pdf",))
    if not suffix or suffix[0].lower() in expected:
        return ""
    return (
        f"son nom finit par « {suffix[0]} », mais son contenu est un {found}. À faire : renommez-le en "
        f"« {name[: suffix.start()]}{expected[0]} », si c'est bien le fichier voulu"
    )


def _refused_kind(data: bytes) -> str:
    """What people call a file that is not taken."""
    for head, said in _REFUSED_SIGNATURES:
        if data.startswith(head):
            return said
    if zipfile.is_zipfile(io.BytesIO(data)):
        return _of_zip(data)
    if _MARKUP.match(data.removeprefix(b"\xef\xbb\xbf")):
        return "une page web ou un fichier XML"
    return "un fichier d'une sorte inconnue"


def _of_zip(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            names = [one.lower() for one in opened.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # a zip that is torn, or of an odd kind
        return "une archive (zip)"
    office = "[content_types].xml" in names or "mimetype" in names
    if not office:
        return "une archive (zip)"
    macros = any(one.endswith(_MACROS[0]) or one.startswith(_MACROS[1:]) for one in names)
    return f"un document Office{', avec des macros' * macros}"


def _of_picture(data: bytes, found: str) -> str:
    """Say that a picture is cut off, or goes on after its end."""
    end = data.rfind(b"IEND\xaeB`\x82") if found == "PNG" else data.rfind(b"\xff\xd9")
    if end < 0:
        return f"cette image {found} est incomplète. À faire : copiez-la de nouveau depuis l'original"
    return ""


def _of_pdf(data: bytes) -> str:
    """Say that a PDF cannot be read by those who follow, or does something by itself, or holds other files."""
    try:
        with hidden.readable():
            reader = hidden.opened(data)
            held = list(dict.fromkeys(_find_active_content(reader.trailer["/Root"].get_object())))
    except hidden.UnfitDocumentError as error:
        return str(error)
    if held:
        return f"ce PDF contient {', '.join(held)}. À faire : {_PRINT}"
    return ""


def _find_active_content(root: Any) -> Iterator[str]:
    """What a PDF holds that a page does not show, and that may do harm; a structured copy (XML: Factur-X) may not."""
    # All that pages lead to is copied with them, when papers are put together: nothing of it is left aside.
    for one in itertools.chain(hidden._walk_dictionaries(root, _STRUCTURE), hidden._walk_dictionaries(root["/Pages"])):
        for key, said in _ACTIONS.items():
            if key in one or hidden._value_at(one, "/S") == key:
                yield said
        files = hidden._value_at(one, "/EF")
        if files is None:
            continue
        name = str(hidden._value_at(one, "/UF") or hidden._value_at(one, "/F") or "sans nom")
        stream = next((files[key].get_object() for key in files), None)
        if not hidden.begins(stream, _XML_HEADER_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<?xml"):
            yield f"un autre fichier (« {name[:_MAX_SHOWN_LENGTH]} »)"
