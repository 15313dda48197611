"""What a document from outside is, told by its content: its name, and what it was said to be, are others'."""

from __future__ import annotations

import io
import re
import zipfile

_HEAD = 1024  # where a PDF's header must be (ISO 32000-1, annex H); HTML is told by as much
_BLANK = b" \t\r\n\f\0"
_STARTS = {
    b"%PDF-": "pdf",
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "tar.gz",
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpg",
    b"GIF8": "gif",
    b"II*\0": "tif",
    b"MM\0*": "tif",
    b"{\\rtf": "rtf",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "doc",
}
_HTML = re.compile(  # a comment ends at its first -->: tried at each other one, many would take for ever
    rb"(?:<\?xml[^>]*>\s*)?(?><!--.*?-->\s*)*+<(?:!doctype\s+html|(?:html|head|body|title|meta|div|p|table|span)[\s>/])",
    re.IGNORECASE | re.DOTALL,
)
_XML = re.compile(rb"<(?:\?xml[\s]|[A-Za-z_][\w.:-]*[\s>/])")
# What an office document, which is a zip, holds beside its text.
_OFFICE = {"word/": "docx", "xl/": "xlsx", "ppt/": "pptx"}
_OPEN = {b"text": "odt", b"spreadsheet": "ods", b"presentation": "odp"}
_OPEN_NAME = b"mimetypeapplication/vnd.oasis.opendocument."


def suffix(content: bytes) -> str:
    """The suffix of a document's name, without its dot: what it is; `bin` when that is not known here."""
    head = content[:_HEAD]
    bare = head.removeprefix(b"\xef\xbb\xbf").lstrip(_BLANK)
    found = next((kind for start, kind in _STARTS.items() if bare.startswith(start)), "")
    if found == "zip":
        return _office(content)
    if found:
        return found
    if _HTML.match(bare):
        return "html"
    if _XML.match(bare):
        return "xml"
    return "pdf" if b"%PDF-" in head else "bin"


def _office(content: bytes) -> str:
    """Which zip it is."""
    for name, kind in _OPEN.items():
        if _OPEN_NAME + name in content[:200]:
            return kind
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            names = package.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):  # a zip that is torn, or of an odd kind
        return "zip"
    if "[Content_Types].xml" not in names:
        return "zip"
    return next((kind for place, kind in _OFFICE.items() if any(name.startswith(place) for name in names)), "zip")
