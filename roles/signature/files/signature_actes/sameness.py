"""Whether a signed PDF is a given document and signatures: all its bytes first, then only what signing adds.

What a person signs is theirs, but the circuit asked for one document: one changed before it was signed is another.
pyHanko compares what came after a signature; here nothing is signed in the first revision.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import HistoricalResolver, PdfFileReader

_CHUNK = 1 << 20
_ROOT_KEYS = {"/AcroForm", "/DSS", "/Extensions", "/Metadata", "/Version"}
_FORM_KEYS = {"/Fields", "/SigFlags"}


def is_signed_copy(given: Path, reader: PdfFileReader, original: Path) -> bool:
    """Tell whether a signed file is this document.

    Args:
        reader: of the signed file.
        original: an intact PDF.
    """
    with original.open("rb") as wanted, given.open("rb") as had:
        while block := wanted.read(_CHUNK):
            if had.read(len(block)) != block:
                return False
    with original.open("rb") as stream:
        revision = PdfFileReader(stream).xrefs.total_revisions - 1
    before = reader.get_historical_resolver(revision)
    changed = set[generic.Reference]()
    for later in range(revision + 1, reader.xrefs.total_revisions):
        changed |= reader.xrefs.explicit_refs_in_revision(later)
    return all(_added_only(reference, before, reader) for reference in changed)


def _added_only(reference: generic.Reference, before: HistoricalResolver, reader: PdfFileReader) -> bool:
    try:
        old = before.get_object(generic.Reference(reference.idnum, reference.generation, before))
    except PdfError:
        return True  # new
    if isinstance(old, generic.NullObject):
        return True
    new = reader.get_object(generic.Reference(reference.idnum, reference.generation, reader))
    if _dump(old) == _dump(new):
        return True
    if type(old) is not type(new):
        return False
    if isinstance(old, generic.ArrayObject):
        return _array(old, new, reader)
    if not isinstance(old, generic.DictionaryObject):
        return False
    differing = {key for key in old.keys() | new.keys() if _dump(old.raw_get(key) if key in old else None)
                 != _dump(new.raw_get(key) if key in new else None)}  # fmt: skip
    if reference == _reference(reader, "/Root"):
        return differing <= _ROOT_KEYS
    if reference == _reference(reader, "/Info") or old.get("/Type") == "/Metadata":
        return True
    if old.get("/Type") == "/Page":
        return differing <= {"/Annots"} and _array(old.get("/Annots", []), new.get("/Annots", []), reader)
    if "/Fields" in old:
        return differing <= _FORM_KEYS and _array(old.get("/Fields", []), new.get("/Fields", []), reader)
    return False


def _reference(reader: PdfFileReader, key: str) -> generic.Reference | None:
    found = reader.trailer.raw_get(key) if key in reader.trailer else None
    return found.reference if isinstance(found, generic.IndirectObject) else None


def _array(old: list[Any], new: list[Any], reader: PdfFileReader) -> bool:
    """The same items, then signature fields or their widgets."""
    if [_dump(one) for one in old] != [_dump(one) for one in list(new)[: len(old)]]:
        return False
    for item in list(new)[len(old) :]:
        field = reader.get_object(item.reference) if isinstance(item, generic.IndirectObject) else item
        if not isinstance(field, generic.DictionaryObject):
            return False
        parent = field.get("/Parent", {})
        if "/Sig" not in (field.get("/FT"), parent.get("/FT")):
            return False
    return True


def _dump(value: Any) -> bytes:
    if value is None:
        return b""
    buffer = io.BytesIO()
    value.write_to_stream(buffer)
    return buffer.getvalue()
