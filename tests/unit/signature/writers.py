"""Documents as the field's programs write them: Word and Excel by hand, the others by themselves."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

TITLE = "Deliberation 2026-11-05 : budget primitif"
"""What stands on the first page of all of them."""
_ID = b"/ID[<5C1C2E0B6C4A4F4E9D7B0C6A3E2F1D00><5C1C2E0B6C4A4F4E9D7B0C6A3E2F1D00>] "


def _body(objects: Mapping[int, bytes]) -> tuple[bytearray, dict[int, int]]:
    data, places = bytearray(b"%PDF-1.7\r\n%\xb5\xb5\xb5\xb5\r\n"), dict[int, int]()
    for number, content in objects.items():
        places[number] = len(data)
        data += b"%d 0 obj\r\n%s\r\nendobj\r\n" % (number, content)
    return data, places


def _stream(keys: bytes, content: bytes) -> bytes:
    return b"<<%s/Filter/FlateDecode/Length %d>>\r\nstream\r\n%s\r\nendstream" % (
        keys, len(packed := zlib.compress(content)), packed
    )  # fmt: skip


def word(
    path: Path,
    *,
    pages: int = 2,
    hidden: Mapping[int, bytes] | None = None,
    table: Callable[[bytes], bytes] = bytes,
    second: Callable[[dict[int, tuple[int, int, int]]], object] = lambda _entries: None,
) -> Path:
    """A document as Word and Excel save it, 2007 to 365: the whole file with its table, in which what describes the
    structure is free; then an empty table, which says where a second one is (/XRefStm), that has it all.

    Args:
        hidden: other objects of the second table alone.
        table: what becomes of the first one.
        second: what is changed of the second one.
    """
    first = 3
    info, tree = first + 2 * pages + 1, first + 2 * pages + 2
    font = first + 2 * pages
    kids = b" ".join(b"%d 0 R" % (first + 2 * rank) for rank in range(pages))
    plain = {
        1: b"<</Type/Catalog/Pages 2 0 R/Lang(fr) /StructTreeRoot %d 0 R/MarkInfo<</Marked true>>/Metadata %d 0 R"
        b"/ViewerPreferences %d 0 R>>" % (tree, tree + 4, tree + 5),
        2: b"<</Type/Pages/Count %d/Kids[ %s] >>" % (pages, kids),
    }
    for rank in range(pages):
        words = TITLE if rank == 0 else f"Page {rank + 1}"
        drawn = (
            b"/P <</MCID 0>> BDC q BT /F1 11.04 Tf 1 0 0 1 70.944 760.08 Tm 0 g [(%s)] TJ ET Q EMC " % words.encode()
        )
        plain[first + 2 * rank] = (
            b"<</Type/Page/Parent 2 0 R/Resources<</Font<</F1 %d 0 R>>/ProcSet[/PDF/Text/ImageB/ImageC/ImageI] >>"
            b"/MediaBox[ 0 0 595.32 841.92] /Contents %d 0 R/Group<</Type/Group/S/Transparency/CS/DeviceRGB>>/Tabs/S"
            b"/StructParents %d>>" % (font, first + 2 * rank + 1, rank)
        )
        plain[first + 2 * rank + 1] = _stream(b"", drawn)
    plain[font] = b"<</Type/Font/Subtype/Type1/Name/F1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
    plain[info] = (
        b"<</Author(Secretariat) /Creator(Microsoft Word) /CreationDate(D:20261105101500+01'00') "
        b"/Producer(Microsoft Word) >>"
    )
    inside = {
        tree: b"<</Type/StructTreeRoot/RoleMap<</Footnote/Note>>/ParentTree %d 0 R/K[ %d 0 R] /ParentTreeNextKey %d>>"
        % (tree + 1, tree + 2, pages),
        tree + 1: b"<</Nums[ %s] >>" % b" ".join(b"%d [ %d 0 R] " % (rank, tree + 2) for rank in range(pages)),
        tree + 2: b"<</P %d 0 R/S/P/Type/StructElem/K[ 0] /Pg 3 0 R>>" % tree,
        **(hidden or {}),
    }
    place, words = 0, []
    for number, content in inside.items():
        words.append(b"%d %d" % (number, place))
        place += len(content) + 1
    head = b" ".join(words) + b" "
    box = tree + 3
    plain[box] = _stream(b"/Type/ObjStm/N %d/First %d" % (len(inside), len(head)), head + b" ".join(inside.values()))
    xmp = (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
    plain[tree + 4] = b"<</Type/Metadata/Subtype/XML/Length %d>>\r\nstream\r\n%s\r\nendstream" % (len(xmp), xmp)
    plain[tree + 5] = b"<</DisplayDocTitle true>>"
    data, places = _body(plain)
    own = max([tree + 5, *inside]) + 1
    entries: dict[int, tuple[int, int, int]] = {0: (0, 0, 65535)}
    entries |= {number: (1, offset, 0) for number, offset in places.items()}
    entries |= {number: (2, box, rank) for rank, number in enumerate(inside)}
    second(entries)
    content = b"".join(
        bytes([kind]) + left.to_bytes(4, "big") + right.to_bytes(2, "big")
        for _number, (kind, left, right) in sorted(entries.items())
    )
    root = b"/Root 1 0 R/Info %d 0 R%s" % (info, _ID)
    aside = places[own] = len(data)
    data += b"%d 0 obj\r\n%s\r\nendobj\r\n" % (
        own, _stream(b"/Type/XRef/Size %d/W[ 1 4 2] %s" % (own, root), content)
    )  # fmt: skip
    free = [number for number in range(own + 1) if number not in places]
    following = dict(zip(free, [*free[1:], 0], strict=True))
    lines = b"".join(
        b"%010d 00000 n\r\n" % places[number] if number in places else b"%010d 65535 f\r\n" % following[number]
        for number in range(own + 1)
    )
    start = len(data)
    data += table(b"xref\r\n0 %d\r\n%strailer\r\n<</Size %d%s>>\r\n" % (own + 1, lines, own + 1, root))
    data += b"startxref\r\n%d\r\n%%%%EOF\r\n" % start
    last = len(data)
    data += b"xref\r\n0 0\r\ntrailer\r\n<</Size %d%s/Prev %d/XRefStm %d>>\r\n" % (own + 1, root, start, aside)
    path.write_bytes(data + b"startxref\r\n%d\r\n%%%%EOF" % last)
    return path
