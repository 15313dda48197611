"""Files that two readers read as two documents: none is signed, taken for the circuit's, nor let in as it is."""

from __future__ import annotations

import asyncio
import io
import random
import re
import subprocess
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pypdf
import pytest
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from reportlab.pdfgen import canvas
from signature_actes import pades, structure
from signature_actes.check import check_pdf
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError
from signature_actes.stamp import LocalUnit
from weasyprint import HTML

from apps.signature.tests.conftest import SIREN, Issuer, run, software
from apps.signature.tests.test_sameness import annotation, appended, shown, sign, stream_of, text, updated, visible

CLAIRE = Person("Claire Dubois", SIREN)
OTHER = "Autre texte"
LAST = rb"startxref\n\d+\n%%EOF\n\Z"


def refused(issuer: Issuer, path: Path, original: Path) -> str:
    """Why it is; and ours would not sign it."""
    with pytest.raises(DocumentRefusedError) as told:
        asyncio.run(check_pdf(path, CLAIRE, issuer.trust, original))
    with pytest.raises(DocumentRefusedError, match="À faire"):
        asyncio.run(pades.sign(path, path.with_name("encore.pdf"), software(issuer, issuer.person())))
    return str(told.value)


def number_of(path: Path, key: str) -> int:
    """The object of the catalog, the page or its content."""
    with path.open("rb") as stream:
        reader = PdfFileReader(stream)
        page = reader.root["/Pages"]["/Kids"]
        found = {
            "catalog": reader.trailer.raw_get("/Root"),
            "page": page.raw_get(0),
            "content": page[-1].raw_get("/Contents"),
        }
        return int(found[key].idnum)


def size_of(path: Path) -> int:
    with path.open("rb") as stream:
        return int(PdfFileReader(stream).trailer["/Size"])


def with_keys(source: Path, key: str, more: bytes) -> dict[int, bytes]:
    """The catalog or the page, with these keys as well."""
    with source.open("rb") as stream:
        reader, content = PdfFileReader(stream), io.BytesIO()
        one = reader.root if key == "catalog" else reader.root["/Pages"]["/Kids"][0]
        one.write_to_stream(content)
    return {number_of(source, key): content.getvalue().rstrip().removesuffix(b">>") + more + b" >>"}


def field(source: Path, target: Path, keys: bytes, hidden: bytes = b"") -> Path:
    """A signature's field as the comparison admits it, of these keys; then bytes that no table names."""
    free = size_of(source)
    form = with_keys(source, "catalog", b"/AcroForm << /Fields [%d 0 R] >>" % free)
    page = with_keys(source, "page", b"/Annots [%d 0 R]" % free)
    empty = b"<< /FT /Sig /T (Signature) /Type /Annot /Subtype /Widget /F 4 /Rect [0 0 0 0] %s >>" % keys
    appended(source, target, {**form, **page, free: empty})
    if hidden:
        data = target.read_bytes()
        at = data.rindex(b"\nxref\n") + 1
        moved = data[:at] + hidden + data[at:]
        target.write_bytes(
            re.sub(rb"startxref\n\d+\n%%EOF\n\Z", b"startxref\n%d\n%%%%EOF\n" % (at + len(hidden)), moved)
        )
    return target


def replacement(source: Path) -> bytes:
    return b"%d 0 obj\n%s\nendobj\n" % (number_of(source, "content"), text(OTHER))


# Each of them was taken for the circuit's document, and signed by our own program.


@pytest.mark.parametrize("keys", [b"/TU 900 0 R", b"/AP 900 0 R", b"/BS 900 0 R", b"/MK << /R 900 0 R >>"])
@pytest.mark.parametrize("place", ["between", "in a stream"])
def test_a_reference_that_dangles(issuer: Issuer, act: Path, tmp_path: Path, keys: bytes, place: str) -> None:
    """A reader that meets it builds the table again, and finds the other text."""
    hidden = replacement(act)
    if place == "in a stream":  # of an object that nothing leads to
        free = size_of(act) + 1
        forged = field(act, tmp_path / "change.pdf", keys)
        forged = appended(forged, tmp_path / "ombre.pdf", {free: stream_of(hidden)})
    else:
        forged = field(act, tmp_path / "ombre.pdf", keys, hidden)
    told = refused(issuer, sign(issuer, forged), act)
    assert "n'est pas lisible d'une seule façon" in told
    assert "modifié" not in told


def test_this_is_no_theory(issuer: Issuer, tmp_path: Path) -> None:
    """The signature is good, and people who open the file read another text on its last page."""
    act = pages(tmp_path / "acte.pdf")
    path = sign(issuer, field(act, tmp_path / "ombre.pdf", b"/TU 900 0 R", replacement(act)))
    assert "Signature is Valid" in run("pdfsig", path)
    assert OTHER in shown(path) and "Page 2" not in shown(path)
    assert "n'est pas lisible d'une seule façon" in refused(issuer, path, act)


Spoil = Callable[[bytes], bytes]


def in_last(old: bytes, new: bytes) -> Spoil:
    """Change the last occurrence."""

    def spoil(data: bytes) -> bytes:
        at = data.rindex(old)
        return data[:at] + new + data[at + len(old) :]

    return spoil


def entry_off(data: bytes) -> bytes:
    """The last entry of the last table is one byte off."""
    found = list(re.finditer(rb"(\d{10}) 00000 n", data))[-1]
    return data[: found.start()] + b"%010d" % (int(found[1]) + 1) + data[found.end(1) :]


HIDDEN = b"9 0 obj\n(x)\nendobj\n"
SPOILT: Mapping[str, Spoil] = {
    "an entry one byte off": entry_off,
    "an entry one byte before": lambda data: re.sub(
        rb"(\d{10}) 00000 n (?=\ntrailer)", lambda one: b"%010d 00000 n " % (int(one[1]) - 1), data
    ),
    "another generation": in_last(b" 00000 n", b" 00001 n"),
    "a table off": lambda data: re.sub(
        rb"startxref\n(\d+)\n%%EOF\n\Z", lambda one: b"startxref\n%d\n%%%%EOF\n" % (int(one[1]) + 1), data
    ),
    "an object after the end": lambda data: data + HIDDEN,
    "a comment after the end": lambda data: data + b"% rien\n",
    "an object in a comment": lambda data: data + b"% 9 0 obj\n",
    "another end": lambda data: data + b"%%EOF\n",
    "an object before the first": lambda data: data.replace(b"\n", b"\n%9 0 obj\n", 1),
    "bytes before": lambda data: b"\n" + data,
    "bytes after": lambda data: data + b"rien",
    "blanks after": lambda data: data + b" " * 2000,
    "zeros after": lambda data: data + b"\0\0x",
    "a loop of tables": lambda data: re.sub(
        rb"/Prev \d+(?=[^P]*\Z)", b"/Prev %d" % data.rindex(b"\nxref\n"), data
    ),
    "an earlier table left out": lambda data: re.sub(rb" /Prev \d+(?=[^P]*\Z)", b"", data),
    "two tables": in_last(b"/Size", b"/XRefStm 10 /Size"),
    "a reference to another generation": in_last(b"/Root 1 0 R", b"/Root 1 1 R"),
    "a smaller table": lambda data: re.sub(rb"/Size \d+(?=[^S]*\Z)", b"/Size 3", data),
    "a table too large": lambda data: re.sub(rb"/Size \d+(?=[^S]*\Z)", b"/Size 2000000000", data),
    "a length": lambda data: data.replace(b"/Length 20", b"/Length 19"),
    "twice a key": in_last(b"/Reste", b"/Reste 3 /Reste"),
    "twice a key, escaped": in_last(b"/Reste", b"/Rest#65 3 /Reste"),
    "an odd number": in_last(b"/Reste 0", b"/Reste --5"),
    "a trailer elsewhere": in_last(b"(rien)", b"(trailer << /Root 9 0 R >>)"),
    "the place of a table elsewhere": in_last(b"(rien)", b"(startxref 9)"),
    "an object elsewhere": in_last(b"(rien)", b"(9 0 obj)"),
    "an object elsewhere, spread": in_last(b"(rien)", b"(9\t\n0 \r obj)"),
    "an object elsewhere, with comments": in_last(b"(rien)", b"(9 %x\n0 %x\nobj)"),
    "an end within a stream": in_last(b"0123456789abcdefghij", b"0123456endstreamghij"),
}  # fmt: skip # a case a line


def two_revisions(act: Path, target: Path) -> Path:
    """As anybody's program appends."""
    again = with_keys(act, "catalog", b"/Reste 0 /Mot (rien)")
    return appended(act, target, {**again, size_of(act): stream_of(b"0123456789abcdefghij")})


@pytest.mark.parametrize("what", SPOILT)
def test_what_can_be_read_in_two_ways(issuer: Issuer, act: Path, tmp_path: Path, what: str) -> None:
    path = two_revisions(act, tmp_path / "deux.pdf")
    assert structure.read(path) == structure.Layout(2, hybrid=False, linearized=False)
    plain = path.read_bytes()
    old, new = re.findall(rb"/Root (\d+) 0 R", plain), b"/Root %d 1 R"
    spoilt = (
        in_last(b"/Root %s 0 R" % old[-1], new % int(old[-1]))(plain)
        if what.startswith("a reference to another")
        else SPOILT[what](plain)
    )
    assert spoilt != plain
    # What moved, the tables are told: only what is spoilt is wrong.
    shift = len(spoilt) - len(plain)
    if what in ("twice a key", "twice a key, escaped", "an odd number") or "elsewhere" in what:
        start = int(re.findall(rb"startxref\n(\d+)", plain)[-1])
        first = int(re.findall(rb"startxref\n(\d+)", plain)[0])
        stream_at = plain.index(b"%d 0 obj\n<< /Length 20" % size_of(act))
        spoilt = spoilt.replace(b"%010d" % stream_at, b"%010d" % (stream_at + shift))
        spoilt = re.sub(b"startxref\n%d\n" % start, b"startxref\n%d\n" % (start + shift), spoilt)
        assert first < start
    path.write_bytes(spoilt)
    with pytest.raises(structure.AmbiguousStructureError):
        structure.read(path)
    with pytest.raises(DocumentRefusedError):
        asyncio.run(pades.sign(path, tmp_path / "signe.pdf", software(issuer, issuer.person())))
    assert not (tmp_path / "signe.pdf").exists()


def packed(
    act: Path, target: Path, inside: bytes, pairs: bytes, entries: Mapping[int, tuple[int, int, int]], more: bytes = b""
) -> Path:
    """A revision whose table and objects are packed; entries of the table by number."""
    at, free = act.stat().st_size, size_of(act)
    content = zlib.compress(pairs + inside)
    keys = b"/Type /ObjStm /N %d /First %d /Filter /FlateDecode " % (len(pairs.split()) // 2, len(pairs))
    body = b"%d 0 obj\n<< %s%s\nendobj\n" % (free, keys, stream_of(content)[3:]) + more
    listed = {free: (1, at, 0), free + 1: (1, at + len(body), 0), **entries}
    index = b" ".join(b"%d 1" % one for one in sorted(listed))
    table = b"".join(
        bytes([kind]) + left.to_bytes(4, "big") + right.to_bytes(2, "big")
        for _number, (kind, left, right) in sorted(listed.items())
    )
    with act.open("rb") as stream:
        reader = PdfFileReader(stream)
        start = reader.xrefs.get_startxref_for_revision(reader.xrefs.total_revisions - 1)
    keys = b"<< /Type /XRef /W [1 4 2] /Index [%s] /Size %d /Root %d 0 R /Prev %d " % (
        index, max(listed) + 1, number_of(act, "catalog"), start
    )  # fmt: skip
    last = b"%d 0 obj\n%s%s\nendobj\n" % (free + 1, keys, stream_of(table)[3:])
    target.write_bytes(act.read_bytes() + body + last + b"startxref\n%d\n%%%%EOF\n" % (at + len(body)))
    return target


def test_objects_that_are_packed(act: Path, tmp_path: Path) -> None:
    free, target = size_of(act), tmp_path / "range.pdf"
    good = {free + 2: (2, free, 0), free + 3: (2, free, 1)}
    pairs = b"%d 0 %d 4 " % (free + 2, free + 3)

    def unclear(*told: object, **more: bytes) -> str:
        with pytest.raises(structure.AmbiguousStructureError) as raised:
            structure.read(packed(act, target, *told, **more))  # type: ignore[arg-type] # as the function takes them
        return str(raised.value)

    assert structure.read(packed(act, target, b"(a) (b)", pairs, good)).revisions == 2
    # One that no table names replaces an object of the document; one stands between the others; the rank is another's.
    content = number_of(act, "content")
    three = pairs + b"%d 8 " % content
    assert str(content) in unclear(b"(a) (b) (c)", three, good)
    assert "ne suivent pas la norme" in unclear(b"(a) (b) (c)", pairs, good)
    assert "ne suivent pas la norme" in unclear(b"(a) % c\n(b)", b"%d 0 %d 8 " % (free + 2, free + 3), good)
    assert "endroit exact" in unclear(b"(a) (b)", pairs, {free + 2: (2, free, 1), free + 3: (2, free, 0)})
    assert "n'existe pas" in unclear(b"(a) [900 0 R]", pairs, good)
    assert "ne suivent pas la norme" in unclear(b"(a) (9 0 obj)", pairs, good)
    # A text that replaces another is in a stream that is packed, and looks like an object.
    hidden = zlib.compress(replacement(act))
    at = free + 4
    stream = b"%d 0 obj\n<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (
        at, len(hidden), hidden
    )  # fmt: skip
    body = packed(act, target, b"(a) (b)", pairs, good).read_bytes().index(b"%d 0 obj\n<< /Type /XRef" % (free + 1))
    named = {**good, at: (1, body, 0)}
    assert "dans un flux qui a été ajouté" in unclear(b"(a) (b)", pairs, named, more=stream)


def test_a_second_table_for_some_readers(act: Path, tmp_path: Path) -> None:
    """What is appended has one table (hybrid files have two)."""
    target = packed(act, tmp_path / "hybride.pdf", b"(a)", b"90 0 ", {90: (2, size_of(act), 0)})
    data = target.read_bytes()
    stream, start = int(re.findall(rb"startxref\n(\d+)", data)[-1]), int(re.findall(rb"startxref\n(\d+)", data)[0])
    data = re.sub(LAST, b"", data)
    table = b"xref\n%d 2\n%010d 00000 n \n%010d 00000 n \n" % (size_of(act), act.stat().st_size, stream)
    table += b"trailer\n<< /Size 91 /Root %d 0 R /Prev %d /XRefStm %d >>\n" % (
        number_of(act, "catalog"), start, stream
    )  # fmt: skip
    target.write_bytes(data + table + b"startxref\n%d\n%%%%EOF\n" % len(data))
    with pytest.raises(structure.AmbiguousStructureError, match="deux tables"):
        structure.read(target)


# What people's programs make.


def pages(path: Path) -> Path:
    paper = canvas.Canvas(str(path))
    for number in range(3):
        paper.drawString(100, 700, f"Page {number}")
        paper.showPage()
    paper.save()
    return path


def by_weasyprint(path: Path, **options: str) -> None:
    HTML(string="<h1>Délibération</h1><p>Vu le code</p>").write_pdf(path, **options)


def by_ghostscript(path: Path, level: str) -> None:
    source = pages(path.with_name("source.pdf"))
    subprocess.run(
        ["gs", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=pdfwrite", f"-dCompatibilityLevel={level}",
         f"-sOutputFile={path}", source], check=True, capture_output=True,
    )  # fmt: skip


def by_pypdf(path: Path, *, incremental: bool) -> None:
    source = pages(path.with_name("source.pdf"))
    writer = pypdf.PdfWriter(source, incremental=True) if incremental else pypdf.PdfWriter(clone_from=source)
    writer.pages[0].rotate(90)
    writer.write(path)


@pytest.mark.parametrize(
    ("make", "revisions"),
    [
        (pages, 1),
        (by_weasyprint, 1),
        (lambda path: by_weasyprint(path, pdf_variant="pdf/a-3b"), 1),
        (lambda path: by_weasyprint(path, pdf_variant="pdf/ua-1"), 1),
        (lambda path: by_ghostscript(path, "1.3"), 1),
        (lambda path: by_ghostscript(path, "1.7"), 1),
        (lambda path: by_pypdf(path, incremental=False), 1),
        (lambda path: by_pypdf(path, incremental=True), 2),
    ],
    ids=["reportlab", "weasyprint", "pdf/a", "pdf/ua", "ghostscript 1.3", "ghostscript 1.7", "pypdf", "pypdf appended"],
)
def test_what_programs_make_is_read_in_one_way(tmp_path: Path, make: Callable[[Path], object], revisions: int) -> None:
    make(tmp_path / "acte.pdf")
    assert structure.read(tmp_path / "acte.pdf").revisions == revisions


def test_signatures_seals_and_stamps_are_read_in_one_way(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    one = visible(issuer, act, tmp_path / "1.pdf", "Maire", (50, 60, 250, 140))
    two = visible(issuer, one, tmp_path / "2.pdf", "Adjoint", (350, 60, 550, 140))
    sealed = tmp_path / "scelle.pdf"
    asyncio.run(pades.seal(two, sealed, software(issuer, issuer.person()), LocalUnit(issuer.tsa()), issuer.trust))
    assert [structure.read(path).revisions for path in (one, two)] == [2, 3]
    assert structure.read(sealed).revisions > 3
    assert asyncio.run(check_pdf(two, CLAIRE, issuer.trust, act)).holder == "Claire Dubois"


@pytest.mark.costly
def test_poppler_rebuilds_nothing_that_is_let_through(tmp_path: Path) -> None:
    """Files spoilt at random: what is not refused is read by its own tables."""
    chance = random.Random(59)  # noqa: S311 - the same files each time
    path, kept = tmp_path / "abime.pdf", 0
    by_pypdf(tmp_path / "appended.pdf", incremental=True)
    by_weasyprint(tmp_path / "packed.pdf", pdf_variant="pdf/ua-1")
    plain = [(tmp_path / name).read_bytes() for name in ("source.pdf", "appended.pdf", "packed.pdf")]
    words = [b"0", b"900 0 R", b"<<", b">>", b"]", b"(", b"/", b"#", b"%", b"endstream", b"9 0 obj", b"/Size 3"]
    for _one in range(200):
        data = bytearray(chance.choice(plain))
        at, word = chance.randrange(len(data)), chance.choice(words)
        data[at : at + chance.choice((0, len(word)))] = chance.choice((word, bytes([chance.randrange(256)])))
        path.write_bytes(data)
        try:
            structure.read(path)
        except structure.AmbiguousStructureError:
            continue
        kept += 1
        done = subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, errors="replace", check=False)
        assert not re.search("reconstruct|xref|trailer", done.stderr), (at, word)
    assert kept


# What another reader reads, and nobody sees.


def stamp_of(
    content: bytes, area: tuple[float, float, float, float] = (100, 100, 300, 180), box: bytes = b""
) -> Callable[[IncrementalPdfFileWriter], object]:
    """A stamp that draws this; its font is Helvetica."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        font = generic.DictionaryObject(
            {
                pdf_name("/Type"): pdf_name("/Font"),
                pdf_name("/Subtype"): pdf_name("/Type1"),
                pdf_name("/BaseFont"): pdf_name("/Helvetica"),
            }
        )
        fonts = generic.DictionaryObject({pdf_name("/F1"): writer.add_object(font)})
        shape = [float(one) for one in box.split()] if box else [0, 0, 200, 80]
        look = generic.StreamObject(
            {
                pdf_name("/Type"): pdf_name("/XObject"),
                pdf_name("/Subtype"): pdf_name("/Form"),
                pdf_name("/BBox"): generic.ArrayObject(map(generic.FloatObject, shape)),
                pdf_name("/Resources"): generic.DictionaryObject({pdf_name("/Font"): fonts}),
            },
            stream_data=content,
        )
        faces = generic.DictionaryObject({pdf_name("/N"): writer.add_object(look)})
        annotation(area, AP=faces)(writer)

    return change


SEEN = b"BT /F1 10 Tf 10 50 Td (Signe par Claire) Tj ET "


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (SEEN, ""),
        (b"q 0.9 g 0 0 200 80 re f Q " + SEEN, ""),
        (SEEN + b"BT /F1 10 Tf 10 300 Td (Autre texte) Tj ET", "texte diffère"),
        (SEEN + b"BT /F1 10 Tf 300 20 Td (Autre texte) Tj ET", "texte diffère"),
        (SEEN + b"BT /F1 10 Tf 150 20 Td (Autre texte bien trop long pour y tenir) Tj ET", "texte diffère"),
        (SEEN + b"q 0 0 1 1 re W n BT /F1 10 Tf 10 20 Td (Autre texte) Tj ET Q", "ne s'y voit pas"),
        (SEEN + b"BT 3 Tr /F1 10 Tf 10 20 Td (Autre texte) Tj ET", "ne s'y voit pas"),
        (SEEN + b"1 g BT /F1 10 Tf 10 20 Td (Autre texte) Tj ET", "ne s'y voit pas"),
        (SEEN + b"BT /F1 10 Tf 10 20 Td (Autre texte) Tj ET 1 g 0 15 200 20 re f", "ne s'y voit pas"),
        (SEEN + b"q 0 0 1 rg 0 10 200 25 re f Q BT 3 Tr /F1 10 Tf 10 20 Td (Autre texte) Tj ET", "ne s'y voit pas"),
        (SEEN + b"BT 3 Tr /F1 10 Tf 10 50 Td (Signe pas Claire) Tj ET", "ne s'y voit pas"),
        (SEEN + b"/Span << /ActualText (Autre texte) >> BDC BT /F1 10 Tf 10 20 Td (Vu) Tj ET EMC", "ne s'y voit pas"),
    ],
    ids=["seen", "on grey", "above", "beside", "over its edge", "clipped", "not painted", "white", "covered",
         "not painted, on a ground", "not painted, under another", "said otherwise"],
)  # fmt: skip # a case a line
def test_what_a_stamp_says_is_seen(issuer: Issuer, act: Path, tmp_path: Path, content: bytes, told: str) -> None:
    path = sign(issuer, updated(act, tmp_path / "tampon.pdf", stamp_of(content)))
    if told:
        with pytest.raises(DocumentRefusedError, match=told):
            asyncio.run(check_pdf(path, CLAIRE, issuer.trust, act))
    else:
        assert asyncio.run(check_pdf(path, CLAIRE, issuer.trust, act)).holder == "Claire Dubois"
