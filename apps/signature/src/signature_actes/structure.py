"""Whether a PDF can be read in one way only: to the byte, without trusting its tables.

Readers agree on a file whose tables are right. When one is not (an entry one byte off, a reference to an object that
does not exist), some stop, others look for `N G obj` through the whole file and show what they find: two readers, two
documents, one valid signature. So a file is read here from its first byte to its last, by the grammar alone (ISO
32000-2, 7.5), and then compared with what its tables say: each object is where a table of its own revision has it, each
entry leads to one, each reference leads to an object that exists, no byte is left over, and nothing that looks like an
object, a trailer or the place of a table stands anywhere else. Whoever rebuilds the table of such a file finds what the
table says.

A hybrid file (7.5.8.4: Word's and Excel's) has a second table of all its objects, which its first readers do not know.
Those that do take either first: so neither contradicts the other, and the second only adds objects that are free in the
first, as these programs write them.
"""

from __future__ import annotations

import base64
import mmap
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

MAX_UNPACKED_BYTES = 64_000_000
"""Bytes of a stream that is unpacked here: a table, objects that are packed, what was appended."""
_MAX_NESTING_DEPTH = 100
_MAX_TRAILER_BYTES = 100  # bytes from the last `startxref` to the end: readers look no farther than a thousand
_MAX_OBJECT_COUNT = 8_388_608  # objects, beyond which readers give up (ISO 32000-1, annex C)
_SPAN = 1 << 20
_SPAN_OVERLAP_BYTES = 200  # bytes looked at again where two spans meet
_ACTS = {b"/JavaScript", b"/Hide", b"/SetOCGState", b"/ImportData"}  # actions that change what is shown
_LAYER_STATE_KEYS = (
    b"/ViewState",
    b"/PrintState",
    b"/ExportState",
)  # of a layer: what a reader shows of it on each occasion
_OCCASIONS = (b"/View", b"/Print", b"/Export")
_FREE = ("f", 0, 0)  # an entry of a table
_PDF_KEYWORDS: dict[bytes, Any] = {b"true": True, b"false": False, b"null": None}
_PACKED_BY_OTHERS = {b"/DCTDecode", b"/JPXDecode", b"/CCITTFaxDecode", b"/JBIG2Decode"}  # of images: nothing below

_S = rb"[\0\t\n\f\r ]"
END = rb"(?=[\0\t\n\f\r ()<>\[\]{}/%]|\Z)"
_PDF_BLANK_PATTERN = re.compile(rb"(?:" + _S + rb"++|%[^\r\n]*+[\r\n])*+")
_REMARK = re.compile(rb"%[^\r\n]*+")
_MAKER = re.compile(rb"%[ -~]{1,200}[\r\n]")  # what libraries that sign write of themselves, before `startxref`
_ODD_REMARK = re.compile(rb"obj|xref|trailer|stream|%PDF|%EOF|<<")
_HEADER = re.compile(rb"%PDF-[12]\.\d[ \t]*(?:\r\n|\r|\n)")
_OBJECT = re.compile(rb"(?<=[\r\n])([1-9]\d{0,6}) (\d{1,5}) obj" + END)  # as a reader finds it that looks at lines
_END_OBJECT = re.compile(rb"endobj" + END)
_STREAM_START_PATTERN = re.compile(rb"stream(?:\r\n|\n)")
_END_STREAM = re.compile(rb"(?:\r\n|\n|\r)?endstream" + _S + rb"*+endobj" + END)
_XREF_START_PATTERN = re.compile(rb"xref[ \t]*(?:\r\n|\r|\n)")
_XREF_SUBSECTION_PATTERN = re.compile(rb"(\d{1,10}) (\d{1,10})[ \t]*(?:\r\n|\r|\n)")
_ENTRY = re.compile(rb"(\d{10}) (\d{5}) ([nf])(?: \r| \n|\r\n)")
_TRAILER = re.compile(_S + rb"*+trailer(?=" + _S + rb"|<)")
_START = re.compile(rb"startxref" + _S + rb"++(\d{1,10})" + _S + rb"++%%EOF(?=" + _S + rb"|\Z)")
TOKEN = re.compile(
    rb"(?P<link>(\d{1,10})" + _S + rb"++(\d{1,5})" + _S + rb"++R" + END + rb")"
    rb"|(?P<number>[+-]?(?:\d++(?:\.\d*+)?|\.\d++)" + END + rb")"
    rb"|(?P<name>/[^\0\t\n\f\r ()<>\[\]{}/%]*+)"
    rb"|(?P<dictionary><<)|(?P<array>\[)|(?P<hexadecimal><[0-9A-Fa-f\0\t\n\f\r ]*+>)|(?P<text>\()"
    rb"|(?P<word>(?:true|false|null)" + END + rb")"
)
_IN_TEXT = re.compile(rb"[^()\\]*+")
_NAME_ESCAPE_PATTERN = re.compile(rb"#(..)?", re.DOTALL)
_GAP = rb"(?:" + _S + rb"|%[^\r\n]{0,100}[\r\n])"
_NUMBERS_LOOKBACK_BYTES = 400  # bytes, where the numbers of an object are looked for
_OBJECT_NUMBERS_PATTERN = re.compile(rb"(?:\A|\d)" + _GAP + rb"++\d++" + _GAP + rb"*+\Z|\A" + _GAP + rb"++\Z")
_AFTER = {
    b"trailer": re.compile(rb"trailer" + _GAP + rb"*+<<"),
    b"startxref": re.compile(rb"startxref" + _GAP + rb"*+\d"),
}


class AmbiguousStructureError(Exception):
    """What makes two readings possible, in French."""


class Link(NamedTuple):
    """A reference to an object."""

    number: int
    generation: int


@dataclass(frozen=True)
class Layout:
    """How a file that can be read in one way is made.

    Attributes:
        revisions: how often it was written, the first time included.
        hybrid: it has a second table, which old readers do not know.
        linearized: it says where its first page is apart from its tables.
        fields: it has some to fill in, of which a browser shows the value, a printer the drawing.
        programs: it has some, which change what is shown.
        layers: some are shown or not by what a reader is, or does: on paper alone, from a zoom on, in a language.
    """

    revisions: int
    hybrid: bool
    linearized: bool
    fields: bool = False
    programs: bool = False
    layers: bool = False

    @property
    def living(self) -> bool:
        """Whether what a reader shows is not only what its pages draw."""
        return self.fields or self.programs

    @property
    def is_plain(self) -> bool:
        """Whether it was written once, with one table."""
        return self.revisions == 1 and not (self.hybrid or self.linearized)


def read(path: Path) -> Layout:
    """Read a file to its last byte.

    Raises:
        Unclear: it can be read in several ways.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _File(data).layout()
        except (RecursionError, OverflowError, zlib.error) as error:
            raise AmbiguousStructureError(
                f"il est fait autrement que la norme ne le dit ({type(error).__name__})"
            ) from None


@dataclass
class _Found:
    """An object where it stands.

    Attributes:
        value: when it is a number: lengths of streams are.
        links: what it leads to.
        late: of a stream whose length is elsewhere: that object, where the stream begins, where `endstream` is.
    """

    link: Link
    place: tuple[int, int]  # offset and 0; or the number of the stream that it is packed in, and its rank
    value: int | None
    links: frozenset[Link]
    late: tuple[Link, int, int] | None = None


@dataclass
class _Section:
    """A table. Entries: in use (`n`, offset, generation), packed (`p`, stream, rank), free (`f`)."""

    place: int
    trailer: dict[bytes, Any]
    links: frozenset[Link]
    entries: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    own: Link | None = None  # of a table that is a stream

    def add(self, number: int, entry: tuple[str, int, int]) -> None:
        if number in self.entries:
            raise AmbiguousStructureError(f"octet {self.place} : deux entrées pour l'objet {number}")
        self.entries[number] = entry


@dataclass
class _Revision:
    found: list[_Found] = field(default_factory=list)
    packed: list[_Found] = field(default_factory=list)
    sections: list[_Section] = field(default_factory=list)
    start: int = -1  # what startxref says
    front: int = -1  # of a hybrid file that ends twice: what the first one says
    end: int = 0


class Parser:
    """The values of PDF, strictly."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.size = len(data)
        self.remarks: list[int] = []  # where comments are
        self.links = set[Link]()
        self.fields = self.programs = self.layers = False

    def blank(self, at: int) -> int:
        """Skip blanks and harmless comments."""
        end: int = _PDF_BLANK_PATTERN.match(self.data, at).end()  # type: ignore[union-attr] # matches nothing too
        while (mark := self.data.find(b"%", at, end)) >= 0:
            at = _REMARK.match(self.data, mark).end()  # type: ignore[union-attr] # there is a mark
            if _ODD_REMARK.search(self.data, mark, at):
                raise AmbiguousStructureError(f"octet {mark} : un commentaire qui ressemble à une partie du document")
            self.remarks.append(mark)
        return end

    def value(self, at: int, depth: int = 0) -> tuple[Any, int]:
        """The value at a place, and its end."""
        token = TOKEN.match(self.data, at)
        if not token or depth > _MAX_NESTING_DEPTH:
            raise AmbiguousStructureError(f"octet {at} : une valeur qui ne suit pas la norme")
        kind, said, end = token.lastgroup, token[0], token.end()
        if token["link"]:
            link = Link(int(token[2]), int(token[3]))
            self.links.add(link)
            return link, end
        if kind == "number":
            if b"." in said:
                return float(said), end
            number = int(said)
            if abs(number) >= 1 << 32:
                raise AmbiguousStructureError(f"octet {at} : un nombre trop grand")
            return number, end
        if kind == "name":
            return _decode_name(said, at), end
        if kind == "text":
            return b"()", self._skip_text(end)
        if kind == "hexadecimal":
            return b"()", end
        if kind == "word":
            return _PDF_KEYWORDS[said], end
        return self._read_dictionary(end, depth) if kind == "dictionary" else self._read_array(end, depth)

    def _read_array(self, at: int, depth: int) -> tuple[list[Any], int]:
        found = []
        while self.data[(at := self.blank(at)) : at + 1] != b"]":
            one, at = self.value(at, depth + 1)
            found.append(one)
        return found, at + 1

    def _read_dictionary(self, at: int, depth: int) -> tuple[dict[bytes, Any], int]:
        found: dict[bytes, Any] = {}
        while self.data[(at := self.blank(at)) : at + 2] != b">>":
            token = TOKEN.match(self.data, at)
            if not token or token.lastgroup != "name":
                raise AmbiguousStructureError(f"octet {at} : une clé qui ne suit pas la norme")
            key = _decode_name(token[0], at)
            if key in found:
                raise AmbiguousStructureError(f"octet {at} : deux valeurs pour une clé")
            found[key], at = self.value(self.blank(token.end()), depth + 1)
        acts = found.get(b"/S")
        self.fields |= found.get(b"/FT", b"/Sig") != b"/Sig"
        named = isinstance(acts, bytes) and acts in _ACTS
        # An action's name that stands elsewhere may be any: nobody writes one so.
        self.programs |= named or isinstance(acts, Link) or not found.keys().isdisjoint((b"/JS", b"/XFA"))
        self.layers |= _depends_on_reader(found)
        return found, at + 2

    def _skip_text(self, at: int) -> int:
        depth = 1
        while depth:
            at = _IN_TEXT.match(self.data, at).end()  # type: ignore[union-attr] # matches nothing too
            mark = self.data[at : at + 1]
            if not mark:
                raise AmbiguousStructureError("une chaîne sans fin")
            depth += (mark == b"(") - (mark == b")")
            at += 2 if mark == b"\\" else 1
        return at


def _depends_on_reader(keys: dict[bytes, Any]) -> bool:
    """Whether a dictionary has layers seen by some readers, or on some occasions, alone (ISO 32000-2, 8.11.4.4).

    Some readers look at what a layer says of itself, others only where the document tells them to, others never.
    """
    if any(keys.get(name, b"/ON") != b"/ON" for name in _LAYER_STATE_KEYS):
        return True
    if b"/Event" in keys and b"/Category" in keys:
        named = keys[b"/Category"]
        return not isinstance(named, list) or any(one not in _OCCASIONS for one in named)
    return all(keys.get(name, []) != [] for name in (b"/AS", b"/OFF"))


def _decode_name(said: bytes, at: int) -> bytes:
    def plain(found: re.Match[bytes]) -> bytes:
        try:
            code = int(found[1] or b"", 16)
        except ValueError:
            code = 0
        if not code:
            raise AmbiguousStructureError(f"octet {at} : un nom qui ne suit pas la norme")
        return bytes([code])

    return _NAME_ESCAPE_PATTERN.sub(plain, said) if b"#" in said else said


class _File(Parser):
    """A file, read from its first byte to its last."""

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.revisions = [_Revision()]
        self.hybrid = self.linearized = False
        self.known = set[int]()  # places of `obj`, `trailer` and `startxref`
        self.streams: list[tuple[int, dict[bytes, Any], int, int]] = []  # revision, keys, start and end of the content

    def layout(self) -> Layout:
        """Judge it."""
        self._sweep_file()
        self._merge_halves()
        self._merge_second_table()
        if not self.revisions:
            raise AmbiguousStructureError("sa table des objets manque")
        self._check_chain()
        view = dict[int, _Found]()
        for revision in self.revisions:
            self._check_tables(revision, view)
            for one in [*revision.found, *revision.packed]:
                self._check_links(one, view)
            for section in revision.sections:
                _check_resolved(section.links, view, "la table des objets")
        for one in view.values():
            self._check_links(one, view)
        if any(mark >= self.revisions[0].end for mark in self.remarks):
            raise AmbiguousStructureError("un commentaire dans ce qui a été ajouté")
        self._nothing_elsewhere()
        return Layout(len(self.revisions), self.hybrid, self.linearized, self.fields, self.programs, self.layers)

    # What stands there

    def _sweep_file(self) -> None:
        head = _HEADER.match(self.data)
        if not head:
            raise AmbiguousStructureError("il ne commence pas par %PDF")
        at = head.end()
        while (at := self.blank(end := at)) < self.size:
            if found := _OBJECT.match(self.data, at):
                at = self._read_object(found)
            elif found := _START.match(self.data, at):
                self.known.add(at)
                self.remarks = [one for one in self.remarks if one < end or not _MAKER.match(self.data, one)]
                revision = self.revisions[-1]
                revision.start, at = int(found[1]), found.end()
                revision.end = at
                self.revisions.append(_Revision())
            elif found := _XREF_START_PATTERN.match(self.data, at):
                at = self._read_table(found)
            else:
                raise AmbiguousStructureError(f"octet {at} : ce qui s'y trouve n'appartient à aucun objet")
        if self.size - max(self.known, default=0) > _MAX_TRAILER_BYTES:
            raise AmbiguousStructureError("la place de sa table des objets n'est pas à la fin")
        last = self.revisions.pop()
        if last.found or last.sections:
            raise AmbiguousStructureError("des objets sont après la fin du document")

    def _read_object(self, head: re.Match[bytes]) -> int:
        """Read an object; gives its end."""
        start, link = head.start(), Link(int(head[1]), int(head[2]))
        self.known.add(head.end() - len(b"obj"))
        self.links = set()
        value, end = self.value(self.blank(head.end()))
        one = _Found(link, (start, 0), value if _is_number(value) else None, frozenset(self.links))
        revision = self.revisions[-1]
        revision.found.append(one)
        at = self.blank(end)
        if isinstance(value, dict) and (opened := _STREAM_START_PATTERN.match(self.data, at)):
            return self._read_stream(one, value, opened.end())
        self.linearized |= isinstance(value, dict) and b"/Linearized" in value
        closed = _END_OBJECT.match(self.data, at)
        if not closed:
            raise AmbiguousStructureError(f"octet {start} : l'objet {link.number} ne se termine pas")
        return closed.end()

    def _read_stream(self, one: _Found, keys: dict[bytes, Any], start: int) -> int:
        number, length = one.link.number, keys.get(b"/Length")
        stop = self.data.find(b"endstream", start)
        end = stop
        if isinstance(length, Link):
            one.late = (length, start, stop)
            while end > start and stop - end < 2 and self.data[end - 1] in b"\r\n":
                end -= 1
        elif _is_number(length) and length >= 0:
            end = start + length
        else:
            raise AmbiguousStructureError(f"octet {start} : la longueur du flux de l'objet {number} manque")
        closed = _END_STREAM.match(self.data, end) if start <= end <= stop else None
        if not closed or closed.start() + len(closed[0]) < stop:
            raise AmbiguousStructureError(f"octet {start} : le flux de l'objet {number} n'a pas la longueur qu'il dit")
        kind = keys.get(b"/Type")
        if isinstance(kind, Link) or b"/F" in keys:
            raise AmbiguousStructureError(
                f"octet {start} : le contenu ou la nature du flux de l'objet {number} est ailleurs"
            )
        if kind == b"/XRef":
            self.revisions[-1].sections.append(self._table_stream(one, keys, start, end))
        elif kind == b"/ObjStm":
            self._unpack_objects(one, keys, start, end)
        else:
            self.streams.append((len(self.revisions) - 1, keys, start, end))
        return closed.end()

    def _read_table(self, head: re.Match[bytes]) -> int:
        section = _Section(head.start(), {}, frozenset())
        at = head.end()
        while part := _XREF_SUBSECTION_PATTERN.match(self.data, at):
            at = part.end()
            for number in range(int(part[1]), int(part[1]) + int(part[2])):
                entry = _ENTRY.match(self.data, at)
                if not entry:
                    raise AmbiguousStructureError(f"octet {at} : une entrée de table qui ne suit pas la norme")
                used = entry[3] == b"n"
                section.add(number, ("n", int(entry[1]), int(entry[2])) if used else _FREE)
                at = entry.end()
        mark = _TRAILER.match(self.data, at)
        if not mark:
            raise AmbiguousStructureError(f"octet {at} : la table des objets n'a pas de fin")
        self.known.add(mark.end() - len(b"trailer"))
        self.links = set()
        value, end = self.value(self.blank(mark.end()))
        if not isinstance(value, dict):
            raise AmbiguousStructureError(f"octet {at} : la table des objets n'a pas de fin")
        section.trailer, section.links = value, frozenset(self.links)
        self.revisions[-1].sections.append(section)
        return end

    def _table_stream(self, one: _Found, keys: dict[bytes, Any], start: int, end: int) -> _Section:
        section = _Section(one.place[0], keys, one.links, own=one.link)
        size, widths = keys.get(b"/Size"), keys.get(b"/W")
        parts: Any = keys.get(b"/Index", [0, size])
        if (
            not _are_numbers(widths)
            or len(widths) != 3
            or not all(0 <= width <= 8 for width in widths)
            or not _are_numbers(parts)
            or len(parts) % 2
            or b"/XRefStm" in keys
        ):
            raise AmbiguousStructureError(f"octet {start} : la table des objets ne suit pas la norme")
        content, at = _unpack_content(self.data[start:end], keys), 0
        kind_width, first, second = widths
        for begin, count in zip(parts[::2], parts[1::2], strict=True):
            if begin < 0 or count < 0 or at + count * sum(widths) > len(content):
                raise AmbiguousStructureError(f"octet {start} : la table des objets n'est pas entière")
            for number in range(begin, begin + count):
                kind = int.from_bytes(content[at : at + kind_width]) if kind_width else 1
                at += kind_width
                left, right = content[at : at + first], content[at + first : at + first + second]
                at += first + second
                if kind not in (0, 1, 2):
                    raise AmbiguousStructureError(f"octet {start} : une entrée de table d'une sorte inconnue")
                section.add(number, ("fnp"[kind], int.from_bytes(left), int.from_bytes(right)) if kind else _FREE)
        if at != len(content):
            raise AmbiguousStructureError(f"octet {start} : la table des objets est plus longue qu'elle ne dit")
        return section

    def _unpack_objects(self, one: _Found, keys: dict[bytes, Any], start: int, end: int) -> None:
        """Objects that are packed in a stream, which they fill."""
        number, told = one.link.number, [keys.get(b"/N"), keys.get(b"/First")]
        odd = AmbiguousStructureError(
            f"octet {start} : les objets rangés dans l'objet {number} ne suivent pas la norme"
        )
        if one.link.generation or not _are_numbers(told):
            raise odd
        count, first = told
        content = _unpack_content(self.data[start:end], keys)
        if next(_find_lookalikes(content), None) is not None:
            raise odd
        try:
            pairs = [int(word) for word in content[:first].split()]
        except ValueError:
            raise odd from None
        if len(pairs) != 2 * count or not 0 <= first <= len(content):
            raise odd
        parser, at = Parser(content), first
        for rank, (inner, place) in enumerate(zip(pairs[::2], pairs[1::2], strict=True)):
            parser.links = set()
            if parser.blank(at) != parser.blank(first + place) or first + place < at:
                raise odd
            value, at = parser.value(parser.blank(first + place))
            self.revisions[-1].packed.append(
                _Found(Link(inner, 0), (number, rank), value if _is_number(value) else None, frozenset(parser.links))
            )
        if parser.blank(at) != len(content) or (parser.remarks and len(self.revisions) > 1):  # cairo says the page
            raise odd
        self.fields |= parser.fields
        self.programs |= parser.programs
        self.layers |= parser.layers

    # What the tables say

    def _merge_halves(self) -> None:
        """A file made for the web is written once, though `startxref` comes twice: 0 after its first page's table."""
        if len(self.revisions) > 1 and self.revisions[0].start == 0:
            first, second = self.revisions[:2]
            first.found += second.found
            first.packed += second.packed
            first.sections += second.sections
            first.start, first.end = second.start, second.end
            self._join_first()

    def _merge_second_table(self) -> None:
        """Word writes once as well: past the end comes an empty table, which says where the second one is."""
        if len(self.revisions) < 2:
            return
        first, second = self.revisions[:2]
        if second.found or second.packed or [(one.own, one.entries) for one in second.sections] != [(None, {})]:
            return
        if b"/XRefStm" in second.sections[0].trailer:
            first.front = first.start
            first.sections += second.sections
            first.start, first.end = second.start, second.end
            self._join_first()

    def _join_first(self) -> None:
        """The second revision is the end of the first one."""
        self.streams = [(max(0, number - 1), keys, start, end) for number, keys, start, end in self.streams]
        del self.revisions[1]

    def _check_chain(self) -> None:
        """Each revision has one table, which leads to the one before. The first one may have a second, aside."""
        before, root = None, None
        for rank, revision in enumerate(self.revisions):
            places = {one.place: one for one in revision.sections}
            main = places.pop(revision.start, None)
            if main is None:
                raise AmbiguousStructureError(
                    f"octet {revision.end} : la table des objets n'est pas où le fichier la dit"
                )
            front = places.pop(revision.front, None)
            aside = next(iter(places.values()), None) if rank == 0 and len(places) == 1 else None
            if aside and main.trailer.get(b"/Prev") == aside.place and b"/Prev" not in aside.trailer:
                self.linearized, before = True, aside.place
                places.clear()
            elif aside and main.trailer.get(b"/XRefStm") == aside.place and aside.own and b"/Prev" not in aside.trailer:
                self.hybrid = True
                before = front.place if front else None
                if not front or not {b"/Prev", b"/XRefStm"} & front.trailer.keys():
                    places.clear()
            if places or (b"/XRefStm" in main.trailer and (rank or not self.hybrid)):
                raise AmbiguousStructureError(
                    "il a deux tables des objets, que tous les logiciels ne lisent pas de même"
                )
            if main.trailer.get(b"/Prev") != before:
                raise AmbiguousStructureError(
                    f"octet {revision.start} : la table des objets ne mène pas à la précédente"
                )
            for one in revision.sections:
                root = root or one.trailer.get(b"/Root")
                if one.trailer.get(b"/Root", root) != root or b"/Encrypt" in one.trailer:
                    raise AmbiguousStructureError("il a plusieurs catalogues, ou il est chiffré")
            if not isinstance(main.trailer.get(b"/Root"), Link):
                raise AmbiguousStructureError("il n'a pas de catalogue")
            before = revision.start

    def _check_tables(self, revision: _Revision, view: dict[int, _Found]) -> None:
        """What stands in a revision is what its tables name, each object once; what is to be seen is kept in `view`."""
        placed = {(one.link.number, one.place[0], one.link.generation): one for one in revision.found}
        packed = {(one.link.number, *one.place): one for one in revision.packed}
        for number, (kind, left, right) in self._merge_entries(revision).items():
            if kind == "f":
                view.pop(number, None)
                continue
            named = (placed if kind == "n" else packed).pop((number, left, right), None)
            if named is None or not number:
                raise AmbiguousStructureError(f"l'objet {number} n'est pas à l'endroit exact que dit la table")
            view[number] = named
        tables = {one.place for one in revision.sections}  # a table that is a stream need not name itself
        for one in (*placed.values(), *packed.values()):
            if one.place[0] not in tables or one.link.number in view:
                raise AmbiguousStructureError(
                    f"l'objet {one.link.number} {one.link.generation} n'est pas celui de la table"
                )

    def _merge_entries(self, revision: _Revision) -> dict[int, tuple[str, int, int]]:
        """What the tables of a revision name: two halves of one, or two that do not contradict each other."""
        hybrid = any(b"/XRefStm" in one.trailer for one in revision.sections)
        plain, aside = dict[int, tuple[str, int, int]](), dict[int, tuple[str, int, int]]()
        for section in revision.sections:
            size = section.trailer.get(b"/Size")
            if not _is_number(size) or size > _MAX_OBJECT_COUNT or any(number >= size for number in section.entries):
                raise AmbiguousStructureError(
                    f"octet {section.place} : la table des objets est plus grande qu'elle ne dit"
                )
            known = aside if hybrid and section.own else plain
            for number, entry in section.entries.items():
                if entry[0] != "f" and known.get(number, _FREE)[0] != "f":
                    raise AmbiguousStructureError(f"octet {section.place} : deux entrées pour l'objet {number}")
                if entry[0] != "f" or number not in known:
                    known[number] = entry
        for number, entry in aside.items():
            if plain.get(number, _FREE)[0] != "f" and plain[number] != entry:
                raise AmbiguousStructureError(f"ses deux tables ne disent pas de même où est l'objet {number}")
        return plain | aside

    def _check_links(self, one: _Found, view: dict[int, _Found]) -> None:
        """All that an object leads to exists, the length of its stream too."""
        _check_resolved(one.links, view, f"l'objet {one.link.number}")
        if one.late:
            link, start, stop = one.late
            length = view[link.number].value
            if length is None or length < 0 or self.data[start + length : stop] not in (b"", b"\n", b"\r", b"\r\n"):
                raise AmbiguousStructureError(
                    f"octet {start} : le flux de l'objet {one.link.number} n'a pas la longueur qu'il dit"
                )

    # What must not stand there

    def _nothing_elsewhere(self) -> None:
        for place in _find_lookalikes(self.data):
            if place not in self.known:
                raise AmbiguousStructureError(f"octet {place} : ce qui ressemble à un objet, là où il n'y en a pas")
        for number, keys, start, end in self.streams:
            if number and any(
                next(_find_lookalikes(span), None) is not None for span in _stream_spans(self.data[start:end], keys)
            ):
                raise AmbiguousStructureError(
                    f"octet {start} : ce qui ressemble à un objet, dans un flux qui a été ajouté"
                )


def _find_lookalikes(data: Any) -> Iterator[int]:
    """Places of what a reader that rebuilds the table takes for an object, a trailer, the place of a table."""
    for word, after in ((b"obj", None), *_AFTER.items()):
        at = -1
        while (at := data.find(word, at + 1)) >= 0:
            if (
                after.match(data, at)
                if after
                else _OBJECT_NUMBERS_PATTERN.search(data[max(0, at - _NUMBERS_LOOKBACK_BYTES) : at])
            ):
                yield at


def _check_resolved(links: frozenset[Link], view: dict[int, _Found], where: str) -> None:
    for link in links:
        if link.number not in view or view[link.number].link != link:
            raise AmbiguousStructureError(
                f"{where} renvoie à l'objet {link.number} {link.generation}, qui n'existe pas"
            )


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_numbers(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(map(_is_number, values))


def _stream_filters(keys: dict[bytes, Any]) -> list[Any]:
    said = keys.get(b"/Filter")
    return said if isinstance(said, list) else [] if said is None else [said]


def _inflate_content(content: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    found = unpacker.decompress(content, MAX_UNPACKED_BYTES)
    if not unpacker.eof or unpacker.unused_data.strip(b"\r\n"):
        raise AmbiguousStructureError("un flux compressé trop grand, inachevé, ou suivi d'autre chose")
    return found


def _from_text(content: bytes) -> bytes:
    try:
        return base64.a85decode(content.rstrip().removesuffix(b"~>"))
    except ValueError:
        raise AmbiguousStructureError("un flux qui a été ajouté est compressé d'une façon inconnue") from None


def _unpack_content(content: bytes, keys: dict[bytes, Any]) -> bytes:
    """The content of a table or of packed objects, which only zlib packs."""
    filters, options = _stream_filters(keys), keys.get(b"/DecodeParms")
    if not filters and options is None:
        return content
    if isinstance(options, list) and len(options) == 1:
        options = options[0]
    if filters != [b"/FlateDecode"] or not isinstance(options, dict | None):
        raise AmbiguousStructureError("une table des objets compressée d'une façon inconnue")
    found, told = _inflate_content(content), [(options or {}).get(key, 1) for key in (b"/Predictor", b"/Columns")]
    if told[0] == 1:
        return found
    if not _are_numbers(told):
        raise AmbiguousStructureError("une table des objets compressée d'une façon inconnue")
    predictor, width = told
    if not 10 <= predictor <= 15 or width < 1 or len(found) % (width + 1):
        raise AmbiguousStructureError("une table des objets compressée d'une façon inconnue")
    if set(options or {}) - {b"/Predictor", b"/Columns"}:
        raise AmbiguousStructureError("une table des objets compressée d'une façon inconnue")
    rows, above = bytearray(), bytes(width)
    for at in range(0, len(found), width + 1):
        row = found[at + 1 : at + 1 + width]
        if found[at] == 2:
            row = bytes((one + up) & 255 for one, up in zip(row, above, strict=True))
        elif found[at]:
            raise AmbiguousStructureError("une table des objets compressée d'une façon inconnue")
        rows += row
        above = row
    return bytes(rows)


def _stream_spans(content: bytes, keys: dict[bytes, Any]) -> Iterator[bytes]:
    """What a stream holds, unpacked, in spans that overlap."""
    filters = _stream_filters(keys)
    if filters and filters[-1] in _PACKED_BY_OTHERS:
        filters = filters[:-1]
    for each in filters:
        if each == b"/FlateDecode":
            content = _inflate_content(content)
        elif each == b"/ASCII85Decode":
            content = _from_text(content)
        else:
            raise AmbiguousStructureError("un flux qui a été ajouté est compressé d'une façon inconnue")
    for at in range(0, len(content), _SPAN):
        yield content[at : at + _SPAN + _SPAN_OVERLAP_BYTES]
