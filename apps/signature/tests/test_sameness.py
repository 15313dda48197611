"""A validly signed file that shows something else than the circuit's document, in every way that was thought of."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pyhanko import stamp
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.text import TextBoxStyle
from pyhanko.sign import fields, signers
from reportlab.pdfgen import canvas
from signature_actes import covering
from signature_actes.check import check_pdf
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError
from signature_actes.sameness import is_signed_copy
from weasyprint import HTML

from apps.signature.tests.conftest import SIREN, Issuer, software

CLAIRE = Person("Claire Dubois", SIREN)
A4 = (0, 0, 595, 842)
Change = Callable[[IncrementalPdfFileWriter], object]


def verdict(issuer: Issuer, path: Path, original: Path) -> bool:
    """The signature is good by itself, so that only the comparison can refuse; then what it says."""
    try:
        assert asyncio.run(check_pdf(path, CLAIRE, issuer.trust)).holder == "Claire Dubois"
    except DocumentRefusedError as refusal:  # such that it is not even signed by our own program (test_structure.py)
        assert "n'est pas lisible d'une seule façon" in str(refusal)
        return False
    try:
        asyncio.run(check_pdf(path, CLAIRE, issuer.trust, original))
    except DocumentRefusedError as refusal:
        assert "ce n'est pas le document du circuit" in str(refusal)
        return False
    return True


def sign(issuer: Issuer, source: Path) -> Path:
    """Signed by another program than ours, which looks at nothing."""
    target = source.with_name("signe.pdf")
    described = signers.PdfSignatureMetadata(field_name="Signature", subfilter=fields.SigSeedSubFilter.PADES)
    signer = signers.PdfSigner(described, software(issuer, issuer.person()))
    with source.open("rb") as stream, target.open("wb") as output:
        asyncio.run(signer.async_sign_pdf(IncrementalPdfFileWriter(stream, strict=False), output=output))
    return target


def updated(source: Path, target: Path, change: Change) -> Path:
    with source.open("rb") as stream, target.open("wb") as output:
        writer = IncrementalPdfFileWriter(stream)
        change(writer)
        writer.write(output)
    return target


def appended(source: Path, target: Path, objects: Mapping[int, bytes], trailer: bytes = b"", free: str = "") -> Path:
    """A revision written by hand."""
    data = source.read_bytes()
    with source.open("rb") as stream:
        reader = PdfFileReader(stream)
        size = max([int(reader.trailer["/Size"]), *(one + 1 for one in objects)])
        start = reader.xrefs.get_startxref_for_revision(reader.xrefs.total_revisions - 1)
        root = reader.trailer.raw_get("/Root").idnum
    body, table = io.BytesIO(), [free]
    for number, content in objects.items():
        table.append(f"{number} 1\n{len(data) + body.tell():010} 00000 n \n")
        body.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    end = len(data) + body.tell()
    last = b"trailer\n<< /Size %d /Root %s /Prev %d >>\nstartxref\n%d\n%%%%EOF\n" % (
        size,
        trailer or b"%d 0 R" % root,
        start,
        end,
    )
    target.write_bytes(data + body.getvalue() + b"xref\n" + "".join(table).encode() + last)
    return target


def stream_of(content: bytes) -> bytes:
    return b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content)


def text(words: str) -> bytes:
    return stream_of(f"BT /F1 12 Tf 100 700 Td ({words}) Tj ET".encode("ascii"))


def shown(path: Path) -> str:
    """What a reader that is not ours shows."""
    return subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True).stdout


FONT = b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
PAGE = b"<< /Type /Page /Parent 91 0 R /MediaBox [0 0 595 842] " + FONT + b" /Contents 93 0 R >>"
OTHER = {
    90: b"<< /Type /Catalog /Pages 91 0 R >>",
    91: b"<< /Type /Pages /Kids [92 0 R] /Count 1 >>",
    92: PAGE,
    93: text("Autre texte"),
}


def test_another_catalog(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    """New objects alone, all the old ones as they were."""
    path = sign(issuer, appended(act, tmp_path / "ombre.pdf", OTHER, b"90 0 R"))
    assert "Autre texte" in shown(path) and "budget" not in shown(path)
    assert not verdict(issuer, path, act)


def test_a_whole_document_behind_the_first(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    """The bytes of the circuit's document, then another one, whose table of objects leads back to none of them."""
    forged = appended(act, tmp_path / "ombre.pdf", OTHER, b"90 0 R")
    forged.write_bytes(re.sub(rb"/Root 90 0 R /Prev \d+", b"/Root 90 0 R", forged.read_bytes()))
    path = sign(issuer, forged)
    assert "Autre texte" in shown(path)
    assert not verdict(issuer, path, act)


def test_the_catalog_s_own_object_leads_elsewhere(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    with act.open("rb") as stream:
        root = PdfFileReader(stream).trailer.raw_get("/Root").idnum
    forged = appended(act, tmp_path / "ombre.pdf", {**OTHER, root: OTHER[90]})
    assert not verdict(issuer, sign(issuer, forged), act)


def page_of(writer: IncrementalPdfFileWriter) -> generic.DictionaryObject:
    return writer.root["/Pages"]["/Kids"][0]


def prepared(act: Path, target: Path, contents: str) -> Path:
    """A document whose page waits for an object that does not exist: shows only the first text."""
    with act.open("rb") as stream:
        writer = IncrementalPdfFileWriter(stream)
        page = page_of(writer)
        old = page.raw_get("/Contents")
        links = {
            "wait": generic.IndirectObject(99, 0, writer),
            "other generation": generic.IndirectObject(99, 7, writer),
        }
        page[pdf_name("/Contents")] = generic.ArrayObject([old, links[contents]])
        writer.update_container(page)
        with target.open("wb") as output:
            writer.write(output)
    return target


@pytest.mark.parametrize("contents", ["wait", "other generation"])
def test_what_was_nothing_becomes_a_text(issuer: Issuer, act: Path, tmp_path: Path, contents: str) -> None:
    original = prepared(act, tmp_path / "piege.pdf", contents)
    assert "Autre" not in shown(original)
    path = sign(issuer, appended(original, tmp_path / "ombre.pdf", {99: text("Autre texte")}))
    assert not verdict(issuer, path, original)


def test_a_text_that_is_freed(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    with act.open("rb") as stream:
        reader = PdfFileReader(stream)
        contents = reader.root["/Pages"]["/Kids"][0].raw_get("/Contents").idnum
    forged = appended(act, tmp_path / "vide.pdf", {}, free=f"{contents} 1\n0000000000 00001 f \n")
    assert not verdict(issuer, sign(issuer, forged), act)


def test_two_places_for_one_object(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    """Readers take the first or the last of two entries of a table."""
    with act.open("rb") as stream:
        link = PdfFileReader(stream).root["/Pages"]["/Kids"][0].raw_get("/Contents")
        content = io.BytesIO()
        link.get_object().write_to_stream(content)
    forged = appended(act, tmp_path / "deux.pdf", {link.idnum: text("Autre texte"), 97: content.getvalue()})
    data = forged.read_bytes().replace(b"97 0 obj", b"%-2d 0 obj" % link.idnum)
    forged.write_bytes(data.replace(b"\n97 1\n", b"\n%-2d 1\n" % link.idnum))
    path = sign(issuer, forged)
    assert "Autre texte" in shown(path)
    assert not verdict(issuer, path, act)


@pytest.mark.parametrize("doubled", [False, True])
def test_two_objects_of_one_number_in_a_stream(act: Path, tmp_path: Path, doubled: bool) -> None:
    """And of two objects that are packed together."""
    with act.open("rb") as stream:
        reader = PdfFileReader(stream)
        start, link = reader.xrefs.get_startxref_for_revision(0), reader.trailer.raw_get("/Root")
        content = io.BytesIO()
        link.get_object().write_to_stream(content)
    packed = b"%d 0 %d %d " % (link.idnum, link.idnum if doubled else 94, len(content.getvalue()))
    data = packed + content.getvalue() + OTHER[90]
    at = act.stat().st_size
    body = b"98 0 obj\n<< /Type /ObjStm /N 2 /First %d %s\nendobj\n" % (len(packed), stream_of(data)[3:])
    entries = b"".join(
        bytes([kind]) + place.to_bytes(4, "big") + b"\0" for kind, place in ((2, 98), (1, at), (1, at + len(body)))
    )
    keys = b"<< /Type /XRef /W [1 4 1] /Index [%d 1 98 2] /Size 100 /Root %d 0 R /Prev %d " % (
        link.idnum, link.idnum, start
    )  # fmt: skip
    table = b"99 0 obj\n" + keys + stream_of(entries)[3:] + b"\nendobj\nstartxref\n%d\n%%%%EOF\n" % (at + len(body))
    changed = tmp_path / "change.pdf"
    changed.write_bytes(act.read_bytes() + body + table)
    with changed.open("rb") as stream:
        assert is_signed_copy(changed, PdfFileReader(stream), act) is not doubled


@pytest.mark.parametrize(
    ("more", "look"),
    [
        (b"/F 4.0", b"/BBox [0 0 1 1]"),
        (b"/F (x)", b"/BBox [0 0 1 1]"),
        (b"/Rect [0 0 595 842]", b"/BBox [0 0 1 1]"),
        (b"/F 4", b"/Filter /Inconnu"),
    ],
    ids=["a real for flags", "a text for flags", "two rectangles", "filter"],
)
@pytest.mark.parametrize("area", [b"[1 2 3]", b"3", b"[/a 0 0 1]", b"<< /A 0 /B 0 /C 9 /D 9 >>", b"[100 100 200 150]"])
def test_what_is_no_stamp(act: Path, tmp_path: Path, area: bytes, more: bytes, look: bytes) -> None:
    """Odd values are a refusal, never an accident of what reads them."""
    field = b"<< /Type /Annot /Subtype /Widget /FT /Sig /T (T) /Rect %s %s /AP << /N 96 0 R >> >>" % (area, more)
    page = with_keys(act, b" /Annots [95 0 R]", "page")
    keys = {
        number: content.replace(b"/Avant", b"/Contents") for number, content in page.items()
    } | with_keys(act, b" /AcroForm << /Fields [95 0 R] >>")  # fmt: skip
    xmp = b"<< %s /Length 0 >>\nstream\n\nendstream" % look
    changed = appended(act, tmp_path / "change.pdf", {**keys, 95: field, 96: xmp})
    with changed.open("rb") as stream:
        fine = area.startswith(b"[100") and more == b"/F 4"
        assert is_signed_copy(changed, PdfFileReader(stream), act) is fine


@pytest.mark.parametrize(
    "filters", [b"/Filter /Inconnu", b"/Filter /FlateDecode", b"/Filter [/FlateDecode] /DecodeParms 3"]
)
def test_metadata_that_nobody_can_read(act: Path, tmp_path: Path, filters: bytes) -> None:
    described = b"<< %s /Length 3 >>\nstream\nabc\nendstream" % filters
    changed = appended(act, tmp_path / "change.pdf", {**with_keys(act, b" /Metadata 95 0 R"), 95: described})
    with changed.open("rb") as stream:
        assert not is_signed_copy(changed, PdfFileReader(stream), act)


def with_keys(source: Path, keys: bytes, path: str = "/Root") -> dict[int, bytes]:
    """The catalog (or the first page) of a document with these keys as well."""
    with source.open("rb") as stream:
        reader = PdfFileReader(stream)
        link = reader.trailer.raw_get("/Root")
        link = link if path == "/Root" else reader.root["/Pages"]["/Kids"].raw_get(0)
        content = io.BytesIO()
        link.get_object().write_to_stream(content)
    kept = content.getvalue().replace(b"/Contents ", b"/Avant ")
    return {link.idnum: kept.rstrip().removesuffix(b">>") + keys + b" >>"}


def test_metadata_that_a_page_shows(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    """The same stream is the document's description and a page's text: readers skip what they do not understand."""
    rdf = b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + rdf + b"%s</x:xmpmeta>"
    link = b" /Metadata 95 0 R"
    shared = {**with_keys(act, link), **with_keys(act, b" /Contents 95 0 R", "page"), 95: stream_of(xmp % b"")}
    original = appended(act, tmp_path / "piege.pdf", shared)
    other = {95: stream_of(xmp % b" BT /F1 12 Tf 100 500 Td (Autre texte) Tj ET ")}
    assert not verdict(issuer, sign(issuer, appended(original, tmp_path / "ombre.pdf", other)), original)


def change_page(writer: IncrementalPdfFileWriter) -> None:
    page = page_of(writer)
    page[pdf_name("/Contents")] = writer.add_object(generic.StreamObject(stream_data=b"BT (Autre texte) Tj ET"))
    writer.update_container(page)


def change_font(writer: IncrementalPdfFileWriter) -> None:
    fonts = page_of(writer)["/Resources"]["/Font"]
    font = fonts[next(iter(fonts))]
    font[pdf_name("/BaseFont")] = pdf_name("/Symbol")
    writer.update_container(font)


def turn_page(writer: IncrementalPdfFileWriter) -> None:
    page = page_of(writer)
    page[pdf_name("/CropBox")] = generic.ArrayObject(map(generic.NumberObject, (0, 0, 10, 10)))
    writer.update_container(page)


def in_catalog(key: str, value: Callable[[IncrementalPdfFileWriter], generic.PdfObject]) -> Change:
    def change(writer: IncrementalPdfFileWriter) -> None:
        writer.root[pdf_name(key)] = value(writer)
        writer.update_root()

    return change


def annotation(
    area: tuple[float, float, float, float] = (100, 100, 300, 180),
    /,
    page: generic.DictionaryObject | None = None,
    **keys: generic.PdfObject,
) -> Change:
    """An annotation of these keys on the page; as a field too when it is a signature's."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        look = generic.StreamObject(
            {
                pdf_name("/Type"): pdf_name("/XObject"),
                pdf_name("/Subtype"): pdf_name("/Form"),
                pdf_name("/BBox"): generic.ArrayObject(map(generic.FloatObject, area)),
            },
            stream_data=b"1 1 1 rg 0 0 9999 9999 re f",
        )
        one = generic.DictionaryObject(
            {
                pdf_name("/Type"): pdf_name("/Annot"),
                pdf_name("/Subtype"): pdf_name("/Widget"),
                pdf_name("/FT"): pdf_name("/Sig"),
                pdf_name("/T"): generic.pdf_string("Tampon"),
                pdf_name("/Rect"): generic.ArrayObject(map(generic.FloatObject, area)),
                pdf_name("/F"): generic.NumberObject(4),
                pdf_name("/AP"): generic.DictionaryObject({pdf_name("/N"): writer.add_object(look)}),
            }
        )
        for key, value in keys.items():
            one[pdf_name(f"/{key}")] = value
        link = writer.add_object(one)
        where = page_of(writer) if page is None else page
        where[pdf_name("/Annots")] = generic.ArrayObject([*where.get("/Annots", []), link])
        writer.update_container(where)
        form = generic.DictionaryObject({pdf_name("/Fields"): generic.ArrayObject([link])})
        writer.root[pdf_name("/AcroForm")] = form
        writer.update_root()

    return change


SCRIPT = generic.DictionaryObject({pdf_name("/S"): pdf_name("/JavaScript"), pdf_name("/JS"): generic.pdf_string("x")})
SPREAD = [(0.0, y, 300.0, y + 200.0) for y in (0.0, 210.0, 420.0, 630.0)]


def several(*changes: Change) -> Change:
    def change(writer: IncrementalPdfFileWriter) -> None:
        for one in changes:
            one(writer)

    return change


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda writer: writer.add_object(generic.NumberObject(1)), True),
        (annotation(), True),
        (annotation((0, 0, 0, 0)), True),
        (annotation((400, 180, 100, 100)), True),
        (annotation((0, 0, 240, 250)), True),
        (annotation((0, 0, 260, 250)), False),
        (in_catalog("/Version", lambda _: pdf_name("/2.0")), True),
        (change_page, False),
        (change_font, False),
        (turn_page, False),
        (annotation(A4), False),
        (annotation((595, 842, 0, 0)), False),
        (annotation((0, 400, 595, 842)), False),
        (annotation((100, 100, 101, 101), F=generic.NumberObject(4 | 8)), False),
        (annotation((100, 100, 101, 101), F=generic.NumberObject(4 | 16)), False),
        (several(*(annotation(area) for area in SPREAD)), False),
        (annotation(Subtype=pdf_name("/FreeText")), False),
        (annotation(FT=pdf_name("/Tx")), False),
        (annotation(A=SCRIPT), False),
        (annotation(AA=SCRIPT), False),
        (annotation(OC=SCRIPT), False),
        (annotation(Type=pdf_name("/Page")), False),
        (in_catalog("/OpenAction", lambda _: SCRIPT), False),
        (in_catalog("/OCProperties", lambda _: SCRIPT), False),
    ],
    ids=["unused", "stamp", "unseen", "stamp upside down", "an eighth", "more", "version", "text", "font",
         "crop", "page", "page upside down", "half a page", "not scaled", "not turned", "several", "free text",
         "text field", "action", "actions", "layer", "not an annotation", "opening", "layers"],
)  # fmt: skip # a case a line
def test_what_comes_beside_the_document(issuer: Issuer, act: Path, tmp_path: Path, change: Change, same: bool) -> None:
    path = sign(issuer, updated(act, tmp_path / "change.pdf", change))
    assert path.read_bytes().startswith(act.read_bytes())
    assert verdict(issuer, path, act) is same


@pytest.mark.parametrize(
    ("kid", "same"),
    [(b"/Rect [0 0 90 90]", True), (b"/FT /Tx /V (Autre) /Rect [0 0 90 90]", False), (b"/Rect [0 0 595 842]", False)],
    ids=["small", "text", "page"],
)
@pytest.mark.parametrize("annots", [b"[95 0 R]", b"[96 0 R]"], ids=["its field", "itself"])
def test_a_part_of_a_field(act: Path, tmp_path: Path, annots: bytes, kid: bytes, same: bool) -> None:
    """It is what its field is, and as small; what is seen is on a page that says that it has it."""
    page = {
        key: one.replace(b"/Avant", b"/Contents") for key, one in with_keys(act, b" /Annots " + annots, "p").items()
    }
    parts = {
        95: b"<< /FT /Sig /T (T) /Kids [96 0 R] >>",
        96: b"<< /Type /Annot /Subtype /Widget /Parent 95 0 R /F 4 %s >>" % kid,
    }
    form = with_keys(act, b" /AcroForm << /Fields [95 0 R] >>")
    changed = appended(act, tmp_path / "change.pdf", {**form, **page, **parts})
    with changed.open("rb") as stream:
        assert is_signed_copy(changed, PdfFileReader(stream), act) is (same and annots == b"[96 0 R]")


@pytest.mark.parametrize(
    ("keys", "same"),
    [
        (b"/Version /2.0", True),
        (b"/Extensions << /ESIC << /BaseVersion /1.7 /ExtensionLevel 2 >> >>", True),
        (b"/Metadata 94 0 R", True),
        (b"/DSS << /Certs [] /VRI << >> >>", True),
        (b"/AcroForm << /Fields [] /SigFlags 3 >>", True),
        (b"/Version 3", False),
        (b"/DSS << /Autre 3 >>", False),
        (b"/DSS 3", False),
        (b"/Metadata 95 0 R", False),
        (b"/Metadata 96 0 R", False),
        (b"/Metadata 3", False),
        (b"/AcroForm << /Fields [] /XFA (x) >>", False),
        (b"/AcroForm << /Fields [] /NeedAppearances true >>", False),
        (b"/AcroForm << /Fields 3 >>", False),
        (b"/AcroForm 3", False),
        (b"/AA << >>", False),
    ],
)
def test_what_the_catalog_may_say(act: Path, tmp_path: Path, keys: bytes, same: bool) -> None:
    """Asked before the signature: ours would write some of it again."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    streams = {94: stream_of(xmp), 95: stream_of(b"<html/>"), 96: stream_of(b"%x")}
    changed = appended(act, tmp_path / "change.pdf", {**with_keys(act, keys), **streams})
    with changed.open("rb") as stream:
        assert is_signed_copy(changed, PdfFileReader(stream), act) is same


@pytest.mark.costly
def test_the_last_page_of_a_thousand(tmp_path: Path) -> None:
    """Pages that lead to each other, deep; the last one takes a stamp as large as itself."""
    source = tmp_path / "mille.pdf"
    paper = canvas.Canvas(str(source))
    for page in range(1200):
        paper.bookmarkPage(f"p{page}")
        paper.linkAbsolute("suite", f"p{(page + 1) % 1200}", Rect=(0, 0, 10, 10))
        paper.showPage()
    paper.save()

    def last(area: tuple[float, float, float, float]) -> Change:
        def change(writer: IncrementalPdfFileWriter) -> None:
            annotation(area, page=writer.root["/Pages"]["/Kids"][-1])(writer)

        return change

    for area, same in (((100, 100, 300, 180), True), (A4, False)):
        changed = updated(source, tmp_path / "change.pdf", last(area))
        with changed.open("rb") as stream:
            assert is_signed_copy(changed, PdfFileReader(stream), source) is same


def visible(
    issuer: Issuer, source: Path, target: Path, name: str, box: tuple[int, int, int, int] | None, certify: bool = False
) -> Path:
    """As Acrobat signs: a stamp that is seen, in a field made for it or found empty."""
    with source.open("rb") as stream, target.open("wb") as output:
        writer = IncrementalPdfFileWriter(stream)
        if box:
            fields.append_signature_field(writer, fields.SigFieldSpec(name, box=box))
        style = stamp.TextStampStyle(stamp_text="Signé par %(signer)s", text_box_style=TextBoxStyle(font_size=8))
        described = signers.PdfSignatureMetadata(
            field_name=name, subfilter=fields.SigSeedSubFilter.PADES, certify=certify
        )
        signer = software(issuer, issuer.person())
        asyncio.run(signers.PdfSigner(described, signer, stamp_style=style).async_sign_pdf(writer, output=output))
    return target


def test_a_stamp_as_people_make_them(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    path = visible(issuer, act, tmp_path / "tampon.pdf", "Maire", (350, 60, 550, 140))
    assert "Signé par" in shown(path)
    assert verdict(issuer, path, act)


def test_a_person_may_certify(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    assert verdict(issuer, visible(issuer, act, tmp_path / "c.pdf", "Maire", (350, 60, 550, 140), certify=True), act)


def test_a_title_with_accents_is_written_again(issuer: Issuer, tmp_path: Path) -> None:
    """In UTF-16 by who made the document, in PDFDocEncoding by who signs it; another title is another document."""
    source = tmp_path / "titre.pdf"
    HTML(string="<title>Délibération du 5</title><h1>Délibération</h1>").write_pdf(source)
    with source.open("rb") as stream:
        assert PdfFileReader(stream).trailer["/Info"].raw_get("/Title").original_bytes.startswith(b"\xfe\xff")
    assert verdict(issuer, sign(issuer, source), source)

    def entitle(writer: IncrementalPdfFileWriter) -> None:
        info = writer.trailer["/Info"]
        info[pdf_name("/Title")] = generic.pdf_string("Arrêté")
        writer.update_container(info)

    changed = updated(source, tmp_path / "autre.pdf", entitle)
    with changed.open("rb") as stream:
        assert not is_signed_copy(changed, PdfFileReader(stream), source)


def test_the_same_objects_written_in_another_way(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    """As other writers do: keys in another order, 595.0 for 595, hexadecimal strings, names with their escapes."""
    page = (
        b"<< /Type /Page /Titre %s /Rotate %s /Trans << /A 1 /B [ true null /N ] >> "
        b"/Parent 91 0 R /MediaBox [0 0 595 842] /Contents 93 0 R >>"
    )
    original = appended(act, tmp_path / "avant.pdf", {**OTHER, 92: page % (b"(ab)", b"0")}, b"90 0 R")
    again = (
        b"<< /Contents 93 0 R /MediaBox [0.0 0 595.000 842] /Parent 91 0 R "
        b"/Trans << /B [true null /#4E] /A 1.0 >> /Rotate %s /Titre <6162> /Type /Page >>"
    )
    for turn, same in ((b"0", True), (b"90", False)):
        changed = appended(original, tmp_path / "apres.pdf", {92: again % turn}, b"90 0 R")
        with changed.open("rb") as stream:
            assert is_signed_copy(changed, PdfFileReader(stream), original) is same


@pytest.mark.parametrize(("box", "same"), [((350, 60, 550, 140), True), (A4, False)], ids=["small", "page"])
def test_a_field_that_the_document_left_empty(
    issuer: Issuer, act: Path, tmp_path: Path, box: tuple[int, int, int, int], same: bool
) -> None:
    def leave(writer: IncrementalPdfFileWriter) -> None:
        fields.append_signature_field(writer, fields.SigFieldSpec("Maire", box=box))

    original = updated(act, tmp_path / "modele.pdf", leave)
    path = visible(issuer, original, tmp_path / "tampon.pdf", "Maire", None)
    assert verdict(issuer, path, original) is same


def test_a_sealed_act_takes_another_signature(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    """What a circuit hands on: signatures and proofs that are already there."""
    one = visible(issuer, act, tmp_path / "1.pdf", "Maire", (50, 60, 250, 140))
    two = visible(issuer, one, tmp_path / "2.pdf", "Adjoint", (350, 60, 550, 140))
    assert verdict(issuer, two, one) and verdict(issuer, two, act)
    assert not verdict(issuer, one, two)


# -- objects of the document that are written again -------------------------------------------------------------


def number(value: int) -> generic.NumberObject:
    return generic.NumberObject(value)


def array(*values: generic.PdfObject) -> generic.ArrayObject:
    return generic.ArrayObject(values)


def stream(content: bytes) -> generic.StreamObject:
    return generic.StreamObject(stream_data=content)


def dictionary(value: int) -> generic.DictionaryObject:
    return generic.DictionaryObject({pdf_name("/Valeur"): number(value)})


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (lambda: number(5), lambda: number(5), True),
        (lambda: number(5), lambda: number(6), False),
        (lambda: dictionary(5), lambda: dictionary(5), True),
        (lambda: dictionary(5), lambda: dictionary(6), False),
        (lambda: dictionary(5), lambda: array(number(5)), False),
        (lambda: array(number(5)), lambda: array(number(6)), False),
        (lambda: array(number(5)), array, False),
        (lambda: array(number(5)), lambda: array(number(5), number(6)), False),
        (lambda: array(number(5)), lambda: array(number(5), generic.DictionaryObject(
            {pdf_name("/FT"): pdf_name("/Sig")})), False),
        (generic.NullObject, lambda: number(6), False),
        (lambda: stream(b"texte"), lambda: stream(b"texte"), True),
        (lambda: stream(b"texte"), lambda: stream(b"autre"), False),
    ],
    ids=["number", "other number", "dictionary", "other dictionary", "other type", "other item", "item away",
         "item more", "signature more", "nothing before", "stream", "other stream"],
)  # fmt: skip # a case a line
def test_only_what_signing_adds_makes_the_circuit_s_document(
    issuer: Issuer,
    act: Path,
    tmp_path: Path,
    before: Callable[[], generic.PdfObject],
    after: Callable[[], generic.PdfObject],
    same: bool,
) -> None:
    """An object of the circuit's document, written again before the signature, two revisions ahead of it."""
    kept: list[int] = []

    def add(writer: IncrementalPdfFileWriter) -> None:
        reference = writer.add_object(before())
        kept.append(reference.idnum)
        writer.root[pdf_name("/Reste")] = reference
        writer.update_root()

    def write_again(writer: IncrementalPdfFileWriter) -> None:
        writer.objects[(0, kept[0])] = after()

    original = updated(act, tmp_path / "origine.pdf", add)
    changed = updated(original, tmp_path / "change.pdf", write_again)
    again = updated(changed, tmp_path / "encore.pdf", lambda writer: writer.add_object(number(1)))
    assert verdict(issuer, sign(issuer, again), original) is same


# -- what a stamp lies over ---------------------------------------------------------------------------------------


def sheet(path: Path, turned: int = 0, box: str = "", image: bool = False) -> Path:
    """A second page, turned, with an amount at (300, 600), in points of its own."""
    paper = canvas.Canvas(str(path), pagesize=(595, 842))
    paper.drawString(72, 72, "Garde")
    paper.showPage()
    paper.setFont("Helvetica", 6)
    if image:
        paper.rect(300, 600, 3, 3, fill=1)
    else:
        paper.drawString(300, 600, "1 234,56")
    paper.showPage()
    paper.save()

    def turn(writer: IncrementalPdfFileWriter) -> None:
        page = writer.root["/Pages"]["/Kids"][1]
        page[pdf_name("/Rotate")] = generic.NumberObject(turned)
        if box:
            page[pdf_name(box)] = generic.ArrayObject(map(generic.NumberObject, (100, 200, 595, 842)))
        writer.update_container(page)

    updated(path, path.with_name("tourne.pdf"), turn).rename(path)
    return path


OVER, BESIDE = (295, 595, 345, 615), [(295, 540, 345, 590), (240, 595, 290, 615), (250, 227, 300, 247)]


def stamped(source: Path, target: Path, area: tuple[float, float, float, float]) -> bool:
    """Whether a stamp may be there, on the second page; a refusal names what it covers."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        annotation(area, page=writer.root["/Pages"]["/Kids"][1])(writer)

    updated(source, target, change)
    with target.open("rb") as stream:
        try:
            return is_signed_copy(target, PdfFileReader(stream), source)
        except DocumentRefusedError as refusal:
            assert "le tampon de la signature recouvre ce que porte la page 2" in str(refusal)
            return False


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
@pytest.mark.parametrize("box", ["", "/MediaBox", "/CropBox"])
def test_a_stamp_lies_over_nothing_of_the_page(tmp_path: Path, turned: int, box: str) -> None:
    source = sheet(tmp_path / "acte.pdf", turned, box)
    assert not stamped(source, tmp_path / "tampon.pdf", OVER)
    assert [area for area in BESIDE if not stamped(source, tmp_path / "tampon.pdf", area)] == []


def test_a_stamp_lies_over_no_image_nor_other_stamp(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    assert not stamped(sheet(tmp_path / "image.pdf", image=True), tmp_path / "tampon.pdf", OVER)
    one = visible(issuer, act, tmp_path / "1.pdf", "Maire", (50, 60, 250, 140))
    two = visible(issuer, one, tmp_path / "2.pdf", "Adjoint", (200, 100, 400, 180))
    with pytest.raises(DocumentRefusedError, match="recouvre ce que porte la page 1"):
        asyncio.run(check_pdf(two, CLAIRE, issuer.trust, one))


def test_the_circuit_s_own_place_may_lie_over_a_text(tmp_path: Path) -> None:
    """It was seen by who asked for the signature."""
    source = sheet(tmp_path / "acte.pdf")

    def leave(writer: IncrementalPdfFileWriter) -> None:
        fields.append_signature_field(writer, fields.SigFieldSpec("Maire", on_page=1, box=OVER))

    def fill(writer: IncrementalPdfFileWriter) -> None:
        field = writer.root["/AcroForm"]["/Fields"][0]
        look = writer.add_object(generic.StreamObject(stream_data=b"1 1 1 rg 0 0 99 99 re f"))
        field[pdf_name("/AP")] = generic.DictionaryObject({pdf_name("/N"): look})
        writer.update_container(field)

    reserved = updated(source, tmp_path / "modele.pdf", leave)
    filled = updated(reserved, tmp_path / "rempli.pdf", fill)
    with filled.open("rb") as stream:
        assert is_signed_copy(filled, PdfFileReader(stream), reserved)


def test_a_stamp_that_cannot_be_judged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sheet(tmp_path / "acte.pdf")
    page = covering.Page(1, (0, 0, 595, 842), 0, [(10.0, 10.0, 20.0, 20.0)])
    covering.check(source, [page])
    with pytest.raises(DocumentRefusedError, match="sur plus de 50 pages"):
        covering.check(source, [page] * 51)
    with pytest.raises(DocumentRefusedError, match="la page 9, qui a reçu un tampon, ne se dessine pas"):
        covering.check(source, [covering.Page(9, page.box, 0, page.stamps)])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DocumentRefusedError, match="poppler-utils"):
        covering.check(source, [page])
