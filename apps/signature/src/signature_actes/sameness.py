"""Whether a signed PDF is a given document and signatures: all its bytes first, then only what signing adds.

What a person signs is theirs, but the circuit asked for one document: one changed before it was signed is another.
pyHanko compares what came after a signature; here nothing is signed in the first revision. All that a document shows is
reached from its catalog (ISO 32000-2, 7.7): what is reached there must be as it was, and stay nothing where it was
nothing. What may come beside it is a closed list: signature fields of bounded size, proofs (/DSS), metadata. Such a
field lies where the document left one, or where its page is blank (`covering`).
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from lxml import etree
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.xref import XRefSectionType
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature

from . import covering, rereading
from .files import ODD, open_pdf

LARGEST = 1 / 8
"""What one added signature may take of a page; all of them together, twice as much."""
_COMPARED_CHUNK_BYTES = 1 << 20
_BOXES = ("/MediaBox", "/CropBox")
_INHERITED = (*_BOXES, "/Rotate")
_ASIDE = {"/AcroForm", "/DSS", "/Extensions", "/Metadata", "/Perms", "/Version"}  # keys of the catalog
_FORM_KEYS = {"/Fields", "/NeedAppearances", "/SigFlags"}
_NEW_FORM_KEYS = {"/DA", "/DR", "/Fields", "/SigFlags"}  # where there was no field that they could change
_INFO_KEYS = {"/ModDate", "/Producer"}
_PROOFS = {"/Type", "/Certs", "/CRLs", "/OCSPs", "/VRI"}
_FILLED = {"/AP", "/F", "/M", "/V"}
_FIELD_KEYS = _FILLED | {
    "/BS", "/Border", "/DA", "/DR", "/FT", "/Ff", "/H", "/Kids", "/Lock", "/MK", "/NM", "/P", "/Parent", "/Q", "/Rect",
    "/SV", "/StructParent", "/Subtype", "/T", "/TM", "/TU", "/Type",
}  # fmt: skip # neither actions (/A, /AA) nor layers (/OC)
_XREF_SECTION_PATTERN = re.compile(rb"\s*(?:\d+ \d+\s+(?:\d{10} \d{5} [nf]\s{1,2})*)*trailer\s*")
_XREF_ENTRY_PATTERN = re.compile(rb"\d{10} \d{5} [nf]")
_UNSCALED = 8 | 16  # NoZoom, NoRotate: what is small at one scale hides the page at another


class _UnexpectedChangeError(Exception):
    """Something else than what signing adds."""


def is_signed_copy(given: Path, reader: PdfFileReader, original: Path) -> bool:
    """Tell whether a signed file is this document.

    Args:
        reader: of the signed file.
        original: the document.

    Raises:
        Refusal: that one is no PDF that can be read, a stamp lies over something of it, another reader shows them
            differently.
    """
    with open_pdf(original) as (wanted, before), given.open("rb") as had:
        wanted.seek(0)
        while block := wanted.read(_COMPARED_CHUNK_BYTES):
            if had.read(len(block)) != block:
                return False
        comparison = _Comparison(before, reader)
        try:
            comparison.check()
        except (_UnexpectedChangeError, *ODD):  # what cannot be read is not what was given
            return False
    covering.check(original, comparison.stamped)
    rereading.check(given, original, comparison.marked)
    return True


def added_to(signature: EmbeddedPdfSignature) -> ModificationLevel:
    """What comes after a signature: proofs (/DSS) and timestamps, others' signatures that no page shows, or more.

    Programs write them in more ways than pyHanko knows: what is signed is compared with the file that it became.
    """
    reader = signature.reader
    reader.stream.seek(0)
    _start, _length, second, rest = map(int, signature.byte_range)
    signed = io.BytesIO(reader.stream.read(second + rest))
    try:
        comparison = _Comparison(PdfFileReader(signed), reader)
        comparison.check()
        later = [one for one in reader.embedded_signatures if one.signed_revision > signature.signed_revision]
    except (_UnexpectedChangeError, *ODD):
        return ModificationLevel.OTHER
    if comparison.marked:
        return ModificationLevel.OTHER
    only_proofs = all(one.sig_object_type == "/DocTimeStamp" for one in later)
    return ModificationLevel.LTA_UPDATES if only_proofs else ModificationLevel.FORM_FILLING


class _Comparison:
    """Of a document and a longer file; each value is read by its own reader, so that no later object hides it."""

    def __init__(self, before: PdfFileReader, after: PdfFileReader) -> None:
        self.before, self.after = before, after
        self.later = defaultdict[int, set[int]](set)  # numbers and generations of later objects
        self.waiting: list[Any] = []
        self.seen = set[generic.Reference]()
        self.widgets = dict[generic.Reference, generic.DictionaryObject]()  # of signatures that were added
        self.reserved = set[generic.Reference]()  # those of them for which the document had left a place
        self.stamped: list[covering.Page] = []  # pages where others are seen
        self.marked: list[covering.Page] = []  # pages where any is seen

    def check(self) -> None:
        first = self.before.xrefs.total_revisions
        _require_same(first <= self.after.xrefs.total_revisions)
        _require_same(_section_starts(self.before, first) == _section_starts(self.after, first))
        for number in range(first, self.after.xrefs.total_revisions):
            _require_same(not self.after.xrefs.refs_freed_in_revision(number) and self._is_plain(number))
            for reference in self.after.xrefs.explicit_refs_in_revision(number):
                self.later[reference.idnum].add(reference.generation)
        old, new = (_raw_value(one.trailer, "/Root") for one in (self.before, self.after))
        _require_same(_are_equal(old, new))
        self._check_catalog(_resolve_value(old), _resolve_value(new))
        if (old := _raw_value(self.before.trailer, "/Info")) is not None:
            new = _raw_value(self.after.trailer, "/Info")
            _require_same(_are_equal(old, new))
            self._check_except(_INFO_KEYS, _resolve_value(old), _resolve_value(new))
        while self.waiting:
            self._check_unchanged(self.waiting.pop())
        self._check_widgets(_raw_value(self.after.root, "/Pages"), {})

    def _is_plain(self, number: int) -> bool:
        """Whether a revision gives each object one place: of two, readers take the first, the last or the newest."""
        section = self.after.xrefs.get_xref_container_info(number)
        places = self.after.xrefs.get_xref_data(number)
        if section.xref_section_type is XRefSectionType.STANDARD:
            self.after.stream.seek(section.start_location)
            table = self.after.stream.read(section.end_location - section.start_location)
            known = {0, *places.standard_xrefs, *places.freed}
            if not _XREF_SECTION_PATTERN.fullmatch(table) or len(_XREF_ENTRY_PATTERN.findall(table)) > len(known):
                return False
        elif section.xref_section_type is not XRefSectionType.STREAM:  # two tables, of which old readers know one
            return False
        for link in self.after.xrefs.object_streams_used_in(number):
            packed = _read_object(self.after, generic.IndirectObject(link.idnum, link.generation, self.after))
            names = packed.data[: int(packed["/First"])].split()[::2]
            if len(set(names)) < len(names):
                return False
        return True

    def _check_unchanged(self, one: Any) -> None:
        """What the document leads to is what it was, and leads to what it led to."""
        if not isinstance(one, generic.IndirectObject):
            self.waiting.extend(_inner_values(one))
            return
        if one.reference in self.seen:
            return
        self.seen.add(one.reference)
        _require_same(self.later[one.idnum] <= {one.generation})
        old, new = _read_object(self.before, one), _read_object(self.after, one)
        if old is None:
            _require_same(new is None and not self.later[one.idnum])
        elif _is_dictionary(old) and old.get("/Type") == "/Page":
            self._check_except({"/Annots"}, old, new)
            self._check_longer(_resolve_value(_raw_value(old, "/Annots")), _resolve_value(_raw_value(new, "/Annots")))
        elif _is_dictionary(old) and _is_empty_signature(old):
            self._check_except(_FILLED, old, new)
            if not _are_equal(old, new):
                self.widgets[one.reference] = new
                self.reserved.add(one.reference)
        else:
            _require_same(_are_equal(old, new))
            self.waiting.extend(_inner_values(old))

    def _check_except(self, changing: set[str], old: Any, new: Any) -> None:
        """A dictionary whose other keys are what they were."""
        _require_same(_is_dictionary(old) and _is_dictionary(new))
        for key in (old.keys() | new.keys()) - changing:
            _require_same(key in old and key in new and _are_equal(old.raw_get(key), new.raw_get(key)))
            self.waiting.append(old.raw_get(key))

    def _check_catalog(self, old: Any, new: Any) -> None:
        self._check_except(_ASIDE, old, new)
        form, now = (_resolve_value(_raw_value(one, "/AcroForm")) for one in (old, new))
        if form is None and now is not None:
            _require_same(_is_dictionary(now) and set(now) <= _NEW_FORM_KEYS)
            self._check_longer(None, _resolve_value(_raw_value(now, "/Fields")))
        elif form is not None:
            self._check_except(_FORM_KEYS, form, now)
            self._check_longer(*(_resolve_value(_raw_value(one, "/Fields")) for one in (form, now)))
            wanted, wants = (_resolve_value(_raw_value(one, "/NeedAppearances")) for one in (form, now))
            # Signing takes the mark away; then a field shows its appearance, where it showed its value.
            _require_same(
                wanted == wants or (not wants and not _has_appearance(_resolve_value(_raw_value(form, "/Fields"))))
            )
        proofs, described = (_resolve_value(_raw_value(new, key)) for key in ("/DSS", "/Metadata"))
        _require_same(proofs is None or (_is_dictionary(proofs) and set(proofs) <= _PROOFS))
        # A person may certify: the catalog then says which signature does.
        rights, given = (_resolve_value(_raw_value(one, "/Perms")) for one in (old, new))
        _require_same(
            _are_equal(rights, given) or (rights is None and _is_dictionary(given) and set(given) == {"/DocMDP"})
        )
        _require_same(isinstance(new.get("/Version", generic.NameObject("/1.7")), generic.NameObject))
        if described is not None and not _are_equal(_resolve_value(_raw_value(old, "/Metadata")), described):
            _require_same(isinstance(described, generic.StreamObject) and _is_xmp(described.data))

    def _check_longer(self, old: Any, new: Any) -> None:
        """A list with what it had, then signatures' fields."""
        _require_same(all(one is None or isinstance(one, generic.ArrayObject) for one in (old, new)))
        had, has = (list(_inner_values(one)) for one in (old, new))
        _require_same([_comparable_value(one) for one in had] == [_comparable_value(one) for one in has[: len(had)]])
        self.waiting.extend(had)
        for one in has[len(had) :]:
            self._check_field(one)

    def _check_field(self, one: Any, *, kid: bool = False) -> None:
        """A signature's field that was not there, or one of its widgets."""
        _require_same(isinstance(one, generic.IndirectObject) and _read_object(self.before, one) is None)
        field = _resolve_value(one)
        _require_same(_is_dictionary(field) and set(field) <= _FIELD_KEYS and field.get("/Type", "/Annot") == "/Annot")
        _require_same(_is_signature(field) and field.get("/Subtype", "/Widget") == "/Widget")
        if one.reference in self.widgets:
            return
        self.widgets[one.reference] = field
        kids = _resolve_value(_raw_value(field, "/Kids"))
        _require_same(kids is None or (isinstance(kids, generic.ArrayObject) and not kid))
        for each in _inner_values(kids):
            self._check_field(each, kid=True)

    def _check_widgets(self, top: Any, inherited: Mapping[str, Any]) -> None:
        """Signatures that were added take little of the pages that show them; no other page may come to show them."""
        waiting, passed = [(top, inherited)], set[generic.Reference]()
        aside, number = dict(self.widgets), 0
        while waiting:
            one, above = waiting.pop()
            page = _resolve_value(one)
            if not _is_dictionary(page):
                continue
            number += "/Kids" not in page
            if isinstance(one, generic.IndirectObject):
                if one.reference in passed:
                    continue
                passed.add(one.reference)
            boxes = {**above, **{key: _resolve_value(page.raw_get(key)) for key in _INHERITED if key in page}}
            waiting.extend(
                (kid, boxes) for kid in reversed(list(_inner_values(_resolve_value(_raw_value(page, "/Kids")))))
            )
            seen, stamps = list[covering.Box](), list[covering.Box]()
            for link in _inner_values(_resolve_value(_raw_value(page, "/Annots"))):
                if isinstance(link, generic.IndirectObject) and (widget := self.widgets.get(link.reference)):
                    aside.pop(link.reference, None)
                    box = _parse_box(_resolve_value(_raw_value(widget, "/Rect")))
                    flags = _resolve_value(_raw_value(widget, "/F"))
                    _require_same(flags is None or isinstance(flags, generic.NumberObject))
                    if not _box_area(box):
                        continue
                    _require_same(not (flags or 0) & _UNSCALED)
                    seen.append(box)
                    if link.reference not in self.reserved:
                        stamps.append(box)
            if seen:
                areas = [_box_area(one) for one in seen]
                shown = [_parse_box(boxes[key]) for key in _BOXES if key in boxes]
                whole = min(map(_box_area, shown), default=0)
                _require_same(max(areas) <= whole * LARGEST and sum(areas) <= whole * 2 * LARGEST)
                turned = boxes.get("/Rotate", 0)
                _require_same("/MediaBox" in boxes and isinstance(turned, int) and turned % 90 == 0)
                self.marked.append(covering.Page(number, _parse_box(boxes["/MediaBox"]), turned % 360, seen))
                if stamps:
                    self.stamped.append(replace(self.marked[-1], stamps=stamps))
        _require_same(
            not any(_box_area(_parse_box(_resolve_value(_raw_value(widget, "/Rect")))) for widget in aside.values())
        )


def _require_same(held: bool) -> None:
    if not held:
        raise _UnexpectedChangeError


def _section_starts(reader: PdfFileReader, count: int) -> list[int]:
    return [reader.xrefs.get_xref_container_info(number).start_location for number in range(count)]


def _raw_value(where: Any, key: str) -> Any:
    return where.raw_get(key) if key in where else None


def _resolve_value(raw: Any) -> Any:
    found = raw.get_object() if isinstance(raw, generic.IndirectObject) else raw
    return None if isinstance(found, generic.NullObject) else found


def _read_object(reader: PdfFileReader, link: generic.IndirectObject) -> Any:
    """An object as a file ends with it, not kept in memory; None for none."""
    try:
        found = reader.get_object(link.reference, revision=reader.xrefs.total_revisions - 1)
    except PdfError:
        return None
    return None if isinstance(found, generic.NullObject) else found


def _inner_values(value: Any) -> Iterator[Any]:
    if isinstance(value, generic.DictionaryObject):
        yield from (value.raw_get(key) for key in value)
    elif isinstance(value, generic.ArrayObject):
        yield from (value.raw_get(place) for place in range(len(value)))


def _is_dictionary(value: Any) -> bool:
    return isinstance(value, generic.DictionaryObject) and not isinstance(value, generic.StreamObject)


def _is_signature(field: generic.DictionaryObject) -> bool:
    above = _resolve_value(_raw_value(field, "/Parent"))
    kind = _raw_value(field, "/FT") or (_raw_value(above, "/FT") if _is_dictionary(above) else None)
    return bool(kind == "/Sig")


def _is_empty_signature(field: generic.DictionaryObject) -> bool:
    above = _resolve_value(_raw_value(field, "/Parent"))
    return _is_signature(field) and "/V" not in field and not (_is_dictionary(above) and "/V" in above)


def _has_appearance(fields: Any) -> bool:
    waiting, passed = list(_inner_values(fields)), set[generic.Reference]()
    while waiting:
        one = waiting.pop()
        if isinstance(one, generic.IndirectObject):
            if one.reference in passed:
                continue
            passed.add(one.reference)
        field = _resolve_value(one)
        if _is_dictionary(field):
            if "/AP" in field:
                return True
            waiting.extend(_inner_values(_resolve_value(_raw_value(field, "/Kids"))))
    return False


def _is_xmp(content: bytes) -> bool:
    try:
        root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        return False
    return root.tag in ("{adobe:ns:meta/}xmpmeta", "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}RDF")


def _parse_box(rectangle: Any) -> covering.Box:
    """A rectangle, by its lower left and its upper right corner; a point when there is none."""
    if rectangle is None:
        return 0, 0, 0, 0
    _require_same(isinstance(rectangle, generic.ArrayObject) and len(rectangle) == 4)
    x0, y0, x1, y1 = (float(_resolve_value(one)) for one in _inner_values(rectangle))
    _require_same(all(map(isfinite, (x0, y0, x1, y1))))
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _box_area(box: covering.Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _are_equal(old: Any, new: Any) -> bool:
    """The same value, however it is written: Acrobat sorts keys, others write 595.0 for 595."""
    return bool(_comparable_value(old) == _comparable_value(new))


def _comparable_value(value: Any) -> Any:
    if isinstance(value, generic.IndirectObject):
        return generic.IndirectObject, value.idnum, value.generation
    if isinstance(value, generic.StreamObject):
        return value.encoded_data, _comparable_keys(value)
    if isinstance(value, generic.DictionaryObject):
        return _comparable_keys(value)
    if isinstance(value, generic.ArrayObject):
        return [_comparable_value(one) for one in _inner_values(value)]
    if isinstance(value, generic.TextStringObject):
        return str(value)  # in UTF-16 or not: ours writes titles again
    if isinstance(value, generic.ByteStringObject):
        return bytes(value)
    if isinstance(value, generic.NumberObject | generic.FloatObject):
        return float(value)
    if isinstance(value, generic.BooleanObject):
        return bool, value.value
    return type(value), None if value is None or isinstance(value, generic.NullObject) else str(value)


def _comparable_keys(value: generic.DictionaryObject) -> dict[str, Any]:
    return {str(key): _comparable_value(value.raw_get(key)) for key in value}
