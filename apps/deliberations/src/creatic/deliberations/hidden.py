"""What a document says without showing it (names in its properties, comments, files inside), and the copy without it.

What is put on line names nobody that its reader does not see (CRPA, L312-1-2; RGPD, article 5). An original is never
changed: a copy is given. Messages are French, for people.
"""

from __future__ import annotations

import html
import io
import itertools
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PROPERTIES = {
    "/Author": "auteur", "/Title": "titre", "/Subject": "sujet", "/Keywords": "mots-clés", "/Manager": "responsable",
    "/Company": "société",
}  # fmt: skip # a table
# Of a PDF's properties, those that name programs and moments alone: taken out, and not told.
_UNREPORTED_PROPERTIES = ("/Creator", "/Producer", "/CreationDate", "/ModDate", "/Trapped")
# Elements of office documents that name people.
_OFFICE_PROPERTY_LABELS = {
    "creator": "auteur", "lastModifiedBy": "modifié par", "Manager": "responsable", "Company": "société",
    "initial-creator": "auteur", "printed-by": "imprimé par",
}  # fmt: skip # a table
_OFFICE_PARTS = ("docProps/core.xml", "docProps/app.xml", "meta.xml")
_PART_MAX = 1_000_000  # bytes of one of them
# Their text, their comments and what was changed in them: parts, and what in these is not on the page that one prints.
_OFFICE_TEXT_PATTERN = re.compile(
    r"word/(?:document|comments|footnotes|endnotes|header\d*|footer\d*)\.xml|xl/(?:workbook|comments\d*)\.xml"
    r"|xl/comments/comment\d*\.xml|ppt/commentAuthors\.xml|content\.xml"
)
_MAX_OFFICE_TEXT_BYTES = 20_000_000  # bytes of all of them
_CHANGED = re.compile(r'<w:(?:ins|del|moveFrom|moveTo|\w+Change)\b[^<>]{0,500}\bw:author="([^"]+)"')
_COMMENTED = re.compile(
    r'<w:comment\b[^<>]{0,500}\bw:author="([^"]+)"|<author>([^<]+)</author>|<p:cmAuthor\b[^<>]{0,500}\bname="([^"]+)"'
    r"|<office:annotation\b[^<>]{0,500}>\s{0,99}<dc:creator>([^<]+)<"
)
_REVISED = re.compile(r"<office:change-info>\s{0,99}<dc:creator>([^<]+)<")
_HIDDEN = (
    (re.compile(r"<w:del\b|<text:deletion\b"), "du texte supprimé, encore lisible"),
    (re.compile(r'<w:vanish\s*/>|<w:vanish w:val="(?:1|true|on)"|text:display="none"'), "du texte masqué"),
    (re.compile(r'<sheet\b[^<>]{0,500}\bstate="(?:very)?[hH]idden"|table:display="false"'), "une feuille masquée"),
)
_EMPTY_TABLE = re.compile(rb"%%EOF\s{1,9}xref\s{1,9}0 0\s{1,9}trailer\b[^%]{0,2000}/XRefStm\b")
_MAX_VALUE_LENGTH = 80  # characters of a value
_DESCRIPTION_MAX = 2_000_000  # bytes of one
_PDF_HEADER_BYTES = 1024  # bytes before which readers look for the header of a PDF
_BLANK_BYTES = b"\xef\xbb\xbf\0\t\n\f\r "
_COMMENTS = ("/Text", "/Popup", "/FileAttachment")
_MAX_EXIF_OFFSET_BYTES = 200_000  # bytes: it is one of the first segments of a JPEG, each of 65,535 bytes
_TITLE_WORD_PATTERN = re.compile(r"\w+")
_TITLE_PAGES_COUNT = 3  # pages on which the title of a document is
# Pages up to which the text of two documents is compared.
_MAX_COMPARED_PAGES = 50


class UnfitDocumentError(ValueError):
    """A document that cannot be put on line; the text is French and says what to do."""


@contextmanager
def readable() -> Iterator[None]:
    """Whatever a broken PDF makes the library raise is Unfit."""
    try:
        yield
    except UnfitDocumentError:
        raise
    except Exception as error:  # noqa: BLE001 # pypdf raises any type on a damaged file
        what = type(error).__name__
        raise UnfitDocumentError(f"ce PDF ne se lit pas ({what}). À faire : enregistrez-le de nouveau en PDF") from None


def opened(data: bytes) -> Any:
    """Open a PDF that has pages and no password. Raises Unfit; inside `readable`, where it may be broken too."""
    import logging

    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    # The library looks for the end mark backwards, byte by byte: seconds for 20 MB that follow it, or have none.
    reader = PdfReader(io.BytesIO(data[: data.rfind(b"%%EOF") + len(b"%%EOF")]))
    if reader.is_encrypted:
        raise UnfitDocumentError("ce PDF est protégé par un mot de passe. À faire : enregistrez-le sans protection")
    if not len(reader.pages):
        raise UnfitDocumentError("ce PDF n'a pas de page")
    return reader


def is_pdf(data: bytes) -> bool:
    """Whether it is the one format that is put on line: it must not be modifiable (CGCT, R2131-1).

    Some programs leave a mark of order or blanks before the header; readers take them.
    """
    return data[:_PDF_HEADER_BYTES].lstrip(_BLANK_BYTES).startswith(b"%PDF-")


def is_signed(data: bytes) -> bool:
    """Whether a PDF bears a signature, which any change would break."""
    return b"/ByteRange" in data


def _walk_dictionaries(root: Any, but: tuple[str, ...] = ()) -> Iterator[Any]:
    """All that a PDF's catalog reaches, by other ways than some keys."""
    from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject

    seen: set[int] = set()
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if isinstance(one, IndirectObject):
            if one.idnum in seen:
                continue
            seen.add(one.idnum)
            one = one.get_object()
        if isinstance(one, DictionaryObject):
            yield one
            waiting += [one.raw_get(key) for key in list(one) if key not in but]
        elif isinstance(one, ArrayObject):
            waiting += list(one)


def _value_at(dictionary: Any, key: str) -> Any:
    """What a dictionary holds under a key, followed where it is; None without it."""
    return dictionary[key] if key in dictionary else None  # noqa: SIM401 - pypdf's get gives a reference, not its object


def begins(stream: Any, most: int) -> bytes:
    """First bytes of a stream, as it is or deflated, which is how texts are put in a PDF; nothing of another.

    The library gives it whole, and keeps it: some of a few kilobytes fill the memory.
    """
    filters = _value_at(stream, "/Filter") if stream is not None else ""
    if filters in (None, []):
        return bytes(stream._data[:most])
    if filters not in ("/FlateDecode", ["/FlateDecode"]):
        return b""
    try:
        return zlib.decompressobj().decompress(stream._data, most)
    except zlib.error:
        return b""


def _annotated_pages(root: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Pages that bear annotations, with them."""
    for one in _walk_dictionaries(root):
        if _value_at(one, "/Type") == "/Page" and _value_at(one, "/Annots"):
            yield one, [found for found in one["/Annots"] if found.get_object() is not None]


def revealed(data: bytes) -> list[str]:
    """What a document says without showing it, in French; empty when it says nothing. Raises Unfit."""
    if not is_pdf(data):
        return _of_office(data)
    with readable():
        reader = opened(data)
        root = reader.trailer["/Root"].get_object()
        title = str((reader.metadata or {}).get("/Title") or "")
        shown = title if _shows_title(reader, title) else ""
        found = [
            f"{_PROPERTIES.get(key, key[1:])} : {str(value)[:_MAX_VALUE_LENGTH]}"
            for key, value in (reader.metadata or {}).items()
            if key not in _UNREPORTED_PROPERTIES and str(value).strip() and not (key == "/Title" and shown)
        ]
        found += _of_descriptions(root, [*found, shown])
        if any("/EmbeddedFiles" in one or _value_at(one, "/AF") for one in _walk_dictionaries(root)):
            found.append("des fichiers joints dans le PDF")
        if _has_hidden_layers(root):
            found.append("un calque masqué")
        comments = [
            str(_value_at(one.get_object(), "/T") or "sans nom")
            for _page, annotations in _annotated_pages(root)
            for one in annotations
            if _value_at(one.get_object(), "/Subtype") in _COMMENTS or _names_somebody(one.get_object())
        ]
        found += [f"commentaire de {name[:_MAX_VALUE_LENGTH]}" for name in dict.fromkeys(comments)]
        if not is_signed(data) and _count_versions(data) > 1:
            found.append("une version précédente du texte")
        return found


def _shows_title(reader: Any, title: str) -> bool:
    """Whether all the words of a title are on its first pages: what a reader sees there is not hidden (the title of
    each act is its number, as its page says)."""
    asked = _word_stems(title)
    if not asked:
        return False
    pages = itertools.islice(reader.pages, _TITLE_PAGES_COUNT)
    return asked <= set().union(*(_word_stems(page.extract_text()) for page in pages))


def _word_stems(text: str) -> set[str]:
    """Words of a text, whether one or several are meant."""
    return {word.rstrip("sx") or word for word in _TITLE_WORD_PATTERN.findall(text.casefold())}


def _has_hidden_layers(root: Any) -> bool:
    """Whether some of its optional contents (ISO 32000-1, 8.11) are not shown when it is opened."""
    shown = _value_at(_value_at(root, "/OCProperties") or {}, "/D") or {}
    return bool(_value_at(shown, "/OFF")) or _value_at(shown, "/BaseState") == "/OFF"


def _names_somebody(annotation: Any) -> bool:
    """Whether an annotation says who made it: the title of a form's field is its name, not a person's."""
    return bool(_value_at(annotation, "/T")) and _value_at(annotation, "/Subtype") != "/Widget"


def _of_descriptions(root: Any, known: list[str]) -> list[str]:
    """Values of its XMP descriptions that its properties do not tell."""
    from pypdf.generic import StreamObject

    found = []
    for one in _walk_dictionaries(root):
        stream = _value_at(one, "/Metadata")
        if not isinstance(stream, StreamObject):
            continue
        description = begins(stream, _DESCRIPTION_MAX)
        if stream._data and not 0 < len(description) < _DESCRIPTION_MAX:
            found.append("description XMP : trop longue, ou d'une écriture inconnue")
        text = description.decode("utf-8", "replace")
        for value in re.findall(r"<(?:rdf:li|pdf:Author|xmp:Author|pdf:Keywords)[^>/]*>([^<]+)<", text):
            if value.strip() and not any(value.strip() in one for one in known):
                found.append(f"description XMP : {value.strip()[:_MAX_VALUE_LENGTH]}")
    return list(dict.fromkeys(found))


def _count_versions(data: bytes) -> int:
    """How many times a PDF was saved upon itself: what was there before is still in the file.

    A file for the web is written once and ends twice, as Word's does: an empty table says where the second one is.
    """
    return data.count(b"startxref") - (b"/Linearized" in data[:2048]) - bool(_EMPTY_TABLE.search(data))


def _of_office(data: bytes) -> list[str]:
    """Names and hidden text in an office document (docx, xlsx, odt…), when it is one."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            parts = [
                opened.read(name).decode("utf-8", "replace")
                for name in _OFFICE_PARTS
                if name in opened.namelist() and opened.getinfo(name).file_size < _PART_MAX
            ]
            texts, room = [], _MAX_OFFICE_TEXT_BYTES
            for one in opened.infolist():
                if _OFFICE_TEXT_PATTERN.fullmatch(one.filename) and one.file_size <= room:
                    texts.append(opened.read(one).decode("utf-8", "replace"))
                    room -= one.file_size
    # No zip, damaged inside, or ciphered and of an unknown method (RuntimeError): it tells no name.
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError):
        return []
    found = []
    for text in parts:
        for element, value in re.findall(r"<(?:\w+:)?([\w-]+)(?:\s[^>]*)?>([^<]+)</", text):
            if element in _OFFICE_PROPERTY_LABELS and value.strip():
                found.append(f"{_OFFICE_PROPERTY_LABELS[element]} : {value.strip()[:_MAX_VALUE_LENGTH]}")
    for text in texts:
        for said, pattern in (
            ("commentaire de", _COMMENTED),
            ("modification suivie de", _CHANGED),
            ("modification suivie de", _REVISED),
        ):
            names = ("".join(one) for one in (match.groups("") for match in pattern.finditer(text)))
            found += [f"{said} {html.unescape(name).strip()[:_MAX_VALUE_LENGTH]}" for name in dict.fromkeys(names)]
        found += [words for pattern, words in _HIDDEN if pattern.search(text)]
    return list(dict.fromkeys(found))


def cleaned(data: bytes) -> bytes:
    """A copy of a PDF without what it says without showing it; itself when it is signed and says nothing.

    Raises:
        Unfit: no PDF, unreadable, or signed with something hidden in it.
    """
    from pypdf import PdfWriter
    from pypdf.generic import ArrayObject, NameObject

    if not is_pdf(data):
        raise UnfitDocumentError(
            "ce n'est pas un PDF, seul format publié (CGCT, R2131-1). À faire : enregistrez-le en PDF"
        )
    hides = revealed(data)
    if is_signed(data):
        if hides:
            raise UnfitDocumentError(
                f"ce PDF est signé et cache : {', '.join(hides)}. Les retirer détruirait la signature. À faire : "
                "joignez une copie à publier"
            )
        return data
    with readable():
        reader = opened(data)
        root = reader.trailer["/Root"].get_object()
        for page, annotations in list(_annotated_pages(root)):
            kept = [one for one in annotations if _value_at(one.get_object(), "/Subtype") not in _COMMENTS]
            for one in kept:
                if _names_somebody(one.get_object()):
                    del one.get_object()["/T"]
            page[NameObject("/Annots")] = ArrayObject(kept)
        for one in list(_walk_dictionaries(root)):
            for key in ("/Metadata", "/PieceInfo", "/LastModified", "/AF", "/EmbeddedFiles", "/JavaScript",
                        "/OpenAction", "/AA", "/Popup", "/RC"):  # fmt: skip # a list of words
                one.pop(key, None)
        writer = PdfWriter(clone_from=reader)
        writer.metadata = None
        written = io.BytesIO()
        writer.write(written)
    copy = written.getvalue()
    if left := revealed(copy):
        raise UnfitDocumentError(
            f"il reste dans ce PDF : {', '.join(left)}. À faire : imprimez-le en PDF et joignez cette copie"
        )
    return copy


def for_everybody(data: bytes) -> bytes:
    """What is put on line of a file that a person publishes by hand: a PDF without what it hides, another as it is.

    Raises:
        Unfit: see `cleaned`; or a file of another kind hides something.
    """
    if is_pdf(data):
        return cleaned(data)
    # Where a photograph was taken, when, by which device (Exif 2.3, 4.7.2).
    photographed = ["le lieu, l'appareil ou l'auteur d'une photographie (EXIF)"] * (
        b"Exif\0\0" in data[:_MAX_EXIF_OFFSET_BYTES]
    )
    if hides := revealed(data) + photographed:
        raise UnfitDocumentError(f"ce fichier cache : {', '.join(hides)}. À faire : enregistrez-le en PDF")
    return data


def _pdf_words(data: bytes) -> set[str] | None:
    """Words of a PDF; None when there are too many pages to read."""
    with readable():
        reader = opened(data)
        if len(reader.pages) > _MAX_COMPARED_PAGES:
            return None
        return {word for page in reader.pages for word in page.extract_text().split()}


def occulted(original: bytes, copy: bytes) -> bytes:
    """The copy to publish in place of an original, without what it hides.

    A name under a black box can still be selected: a copy in which all the words of the original are still there hides
    nothing, and is refused.

    Raises:
        Unfit: see `cleaned`; or nothing was taken out.
    """
    made = _remove_signatures(copy)
    try:
        before = _pdf_words(original) if is_pdf(original) else None
    except UnfitDocumentError:  # it is locked or broken, and is not what is published
        before = None
    after = _pdf_words(made)
    if before and after is not None and before <= after:
        raise UnfitDocumentError(
            "tout le texte de l'original s'y lit encore (il se sélectionne sous les caches). À faire : retirez le "
            "texte, puis imprimez en PDF ou numérisez"
        )
    return made


def _remove_signatures(copy: bytes) -> bytes:
    if is_pdf(copy) and is_signed(copy):
        raise UnfitDocumentError(
            "cette copie est signée : on n'occulte pas un document signé. À faire : imprimez-le en PDF"
        )
    return cleaned(copy)
