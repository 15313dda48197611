"""What a document says without showing it, and the copy that is put on line."""

from __future__ import annotations

import io
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from creatic.deliberations import hidden
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Text
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject
from reportlab.pdfgen.canvas import Canvas

from apps.signature.tests.writers import word
from testbed.patience import allowed


def pdf(text: str = "Logement attribué à Anne Cachée", **properties: str) -> bytes:
    """A PDF of one page."""
    written = io.BytesIO()
    canvas = Canvas(written)
    for name, value in properties.items():
        getattr(canvas, f"set{name}")(value)
    canvas.drawString(72, 720, text)
    canvas.save()
    return written.getvalue()


def rich() -> bytes:
    """A PDF with all that hides a name."""
    writer = PdfWriter(clone_from=io.BytesIO(pdf(Author="Anne Auteur", Title="Dossier Paul Titre")))
    writer.add_metadata({"/Manager": "Luc Responsable"})
    writer.add_attachment("note.txt", b"secret de Zo")
    writer.add_annotation(0, Text(rect=(50, 50, 90, 90), text="revoir", title_bar="Eve Relectrice"))
    description = DecodedStreamObject()
    description.set_data(b"<rdf:li>Max Descrit</rdf:li>")
    page = writer.pages[0]
    page[NameObject("/Metadata")] = writer._add_object(description)
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


NAMES = ("Anne Auteur", "Paul Titre", "Luc Responsable", "Eve Relectrice", "Max Descrit")


def test_all_that_hides_a_name_is_told() -> None:
    found = " / ".join(hidden.revealed(rich()))
    for name in (*NAMES, "des fichiers joints dans le PDF"):
        assert name in found, found


def test_a_description_without_end_is_told_and_not_unfolded() -> None:
    writer = PdfWriter(clone_from=io.BytesIO(pdf()))
    description = DecodedStreamObject()
    description.set_data(b"<rdf:li>Max Descrit</rdf:li>" + b" " * 40_000_000)
    writer.root_object[NameObject("/Metadata")] = writer._add_object(description.flate_encode(9))
    written = io.BytesIO()
    writer.write(written)
    tracemalloc.start()
    found = " / ".join(hidden.revealed(written.getvalue()))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "Max Descrit" in found
    assert "description XMP : trop longue" in found
    assert most < 20_000_000
    assert hidden.revealed(hidden.cleaned(written.getvalue())) == []


def test_the_copy_shows_the_same_and_hides_nothing() -> None:
    original = rich()
    copy = hidden.cleaned(original)
    assert hidden.revealed(copy) == []
    for name in (*NAMES, "secret de Zo"):
        assert name.encode() not in copy
    kinds = [str(one.get("/Type")) for one in hidden._walk_dictionaries(PdfReader(io.BytesIO(copy)).trailer["/Root"])]
    assert {"/EmbeddedFile", "/Filespec", "/Metadata"}.isdisjoint(kinds)
    assert copy.count(b" obj\n") <= original.count(b" obj\n") - 4, "what is not shown any more left the file"
    shown = [PdfReader(io.BytesIO(one)).pages[0].extract_text() for one in (original, copy)]
    assert shown[0] == shown[1] != ""


def test_what_was_there_before_a_correction_leaves_the_file() -> None:
    writer = PdfWriter(io.BytesIO(pdf("Anne Secrete")), incremental=True)
    blank = PdfReader(io.BytesIO(pdf("Occulte"))).pages[0]
    writer.pages[0][NameObject("/Contents")] = blank["/Contents"].clone(writer)
    written = io.BytesIO()
    writer.write(written)
    assert hidden.revealed(written.getvalue())[-1] == "une version précédente du texte"
    copy = hidden.cleaned(written.getvalue())
    assert PdfReader(io.BytesIO(copy)).pages[0].extract_text().strip() == "Occulte"
    assert copy.count(b"startxref") == 1


def test_word_writes_once_though_its_file_ends_twice(tmp_path: Path) -> None:
    data = word(tmp_path / "word.pdf").read_bytes()
    assert data.count(b"startxref") == 2
    assert hidden.revealed(data) == ["auteur : Secretariat"]
    assert hidden.revealed(hidden.cleaned(data)) == []
    # What was saved upon it is an earlier version all the same.
    writer = PdfWriter(io.BytesIO(data), incremental=True)
    writer.pages[0].rotate(90)
    again = io.BytesIO()
    writer.write(again)
    assert "une version précédente du texte" in hidden.revealed(again.getvalue())


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\r\n\r\n", b"\0\0", b"\xef\xbb\xbf\n"])
def test_blank_lines_or_a_mark_come_before_a_pdf(before: bytes) -> None:
    assert hidden.is_pdf(before + pdf())
    assert hidden.cleaned(before + pdf()).startswith(b"%PDF-")
    assert not hidden.is_pdf(before + b"<script>" + pdf())
    assert not hidden.is_pdf(b"GIF89a" + pdf())


def test_a_signed_document_is_left_as_it_is_or_refused() -> None:
    plain = hidden.cleaned(pdf()) + b"% /ByteRange [0 1]"
    assert hidden.cleaned(plain) == plain
    with pytest.raises(hidden.UnfitDocumentError, match="signé et cache : auteur : Anne"):
        hidden.cleaned(pdf(Author="Anne") + b"% /ByteRange [0 1]")
    with pytest.raises(hidden.UnfitDocumentError, match="on n'occulte pas un document signé"):
        hidden.occulted(pdf(), plain)


def test_a_name_under_a_black_box_is_seen() -> None:
    original = pdf("Logement de Anne")
    with pytest.raises(hidden.UnfitDocumentError, match="s'y lit encore"):
        hidden.occulted(original, pdf("Logement de Anne", Author="x"))
    assert hidden.revealed(hidden.occulted(original, pdf("Logement de [occulte]", Author="Anne"))) == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xd0\xcf\x11\xe0 doc", "ce n'est pas un PDF"),
        (b"%PDF-1.4 rien", "ne se lit pas"),
        (b"", "ce n'est pas un PDF"),
    ],
)
def test_what_cannot_be_put_on_line_is_refused_with_its_reason(data: bytes, said: str) -> None:
    with pytest.raises(hidden.UnfitDocumentError, match=said):
        hidden.cleaned(data)


def test_a_locked_document_is_refused() -> None:
    writer = PdfWriter(clone_from=io.BytesIO(hidden.cleaned(pdf())))
    writer.encrypt("secret", algorithm="AES-256")
    written = io.BytesIO()
    writer.write(written)
    with pytest.raises(hidden.UnfitDocumentError, match="protégé par un mot de passe"):
        hidden.revealed(written.getvalue())
    assert hidden.revealed(hidden.occulted(written.getvalue(), pdf("Occulte"))) == []  # its copy is not
    assert hidden.revealed(hidden.occulted(b"%PDF-1.4 rien", pdf("Occulte"))) == []


def test_names_in_an_office_document_are_told() -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as made:
        names = "<dc:creator>Anne</dc:creator><cp:lastModifiedBy>Luc</cp:lastModifiedBy>"
        made.writestr("docProps/core.xml", f"<c>{names}</c>")
        made.writestr("word/document.xml", "<w:t>texte</w:t>")
    assert hidden.revealed(written.getvalue()) == ["auteur : Anne", "modifié par : Luc"]
    assert hidden.revealed(b"PK autre") == []


def office(**parts: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in parts.items():
            made.writestr(name.replace("__", "/") + ".xml", text)
    return written.getvalue()


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"word__comments": '<w:comment w:id="1" w:author="Eve &amp; Zo">'}, ["commentaire de Eve & Zo"]),
        (
            {"word__document": '<w:del w:id="2" w:author="Paul"><w:delText>Anne</w:delText></w:del>'},
            ["modification suivie de Paul", "du texte supprimé, encore lisible"],
        ),
        ({"word__header1": "<w:rPr><w:vanish/></w:rPr><w:t>Anne</w:t>"}, ["du texte masqué"]),
        ({"word__document": '<w:delete/><w:vanish w:val="0"/><w:t>rien</w:t>'}, []),
        ({"xl__comments1": "<authors><author>Luc</author></authors>"}, ["commentaire de Luc"]),
        ({"xl__workbook": '<sheet name="Agents" sheetId="2" state="hidden" r:id="r2"/>'}, ["une feuille masquée"]),
        (
            {
                "content": "<office:annotation office:name='a'>\n<dc:creator>Max</dc:creator></office:annotation>"
                "<text:deletion><office:change-info><dc:creator>Ida</dc:creator>"
            },
            ["commentaire de Max", "modification suivie de Ida", "du texte supprimé, encore lisible"],
        ),
    ],
)
def test_comments_tracked_changes_and_hidden_text_are_told(parts: dict[str, str], told: list[str]) -> None:
    assert hidden.revealed(office(**parts)) == told


def test_a_hostile_office_document_is_read_in_a_moment() -> None:
    started = time.process_time()
    hostile = office(
        word__document="<w:ins " * 400_000, content="<office:annotation " * 200_000, word__comments="<author>"
    )
    assert hidden.revealed(hostile) == []
    bomb = office(**{f"word__header{rank}": " " * 9_000_000 for rank in range(20)})
    assert hidden.revealed(bomb) == []
    assert time.process_time() - started < allowed(10)


def test_a_layer_that_is_not_shown_is_told_and_keeps_the_pdf_from_being_published() -> None:
    writer = PdfWriter(clone_from=io.BytesIO(hidden.cleaned(pdf())))
    layer = writer._add_object(DictionaryObject({NameObject("/Type"): NameObject("/OCG")}))
    for shown in (DictionaryObject(), DictionaryObject({NameObject("/OFF"): ArrayObject([layer])})):
        writer._root_object[NameObject("/OCProperties")] = DictionaryObject({NameObject("/D"): shown})
        written = io.BytesIO()
        writer.write(written)
        assert hidden.revealed(written.getvalue()) == ["un calque masqué"] * len(shown)
    with pytest.raises(hidden.UnfitDocumentError, match="il reste dans ce PDF : un calque masqué"):
        hidden.cleaned(written.getvalue())


def test_an_office_document_that_is_damaged_tells_no_name_and_stops_nothing() -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("docProps/core.xml", "<dc:creator>Jeanne Martin</dc:creator>" * 50)
    whole = written.getvalue()
    start = whole.index(b"core.xml") + len(b"core.xml")
    assert hidden.revealed(whole[:start] + b"\xff" * 20 + whole[start + 20 :]) == []


def test_what_a_person_publishes_by_hand_hides_nothing_either() -> None:
    clean = hidden.for_everybody(rich())
    assert hidden.revealed(clean) == [] and b"Anne Auteur" not in clean
    drawing = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    assert hidden.for_everybody(drawing) == drawing
    photograph = b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + b"\0" * 9
    assert hidden.for_everybody(photograph) == photograph


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (office(**{"docProps/core": "<dc:creator>Anne Auteur</dc:creator>"}), "auteur : Anne Auteur"),
        (b"\xff\xd8\xff\xe1\x00\x50Exif\0\0MM\0*" + b"\0" * 40, "EXIF"),
        (pdf(Author="Anne Auteur") + b"\n/ByteRange [0 1 2 3]", "ce PDF est signé et cache : auteur : Anne Auteur"),
        (b"%PDF-1.7 abime", "ce PDF ne se lit pas"),
    ],
)
def test_what_cannot_be_cleaned_is_kept_off_line_with_its_reason(data: bytes, said: str) -> None:
    with pytest.raises(hidden.UnfitDocumentError) as refused:
        hidden.for_everybody(data)
    assert said in str(refused.value)
    assert "À faire" in str(refused.value)


def test_a_title_that_its_page_shows_is_not_hidden() -> None:
    """Each act bears its number as its title: told of every one, nobody reads what is told any more."""
    drawn = pdf("Registre des délibérations – N° 2026_003", Title="Délibération 2026_003", Subject="x", Author="y")
    assert not [one for one in hidden.revealed(drawn) if "titre" in one]
    other = pdf("Registre des délibérations – N° 2026_003", Title="Secours à Anne Cachée", Subject="x", Author="y")
    assert "titre : Secours à Anne Cachée" in hidden.revealed(other)


def test_an_author_is_told_whatever_the_page_shows() -> None:
    assert "auteur : Anne" in hidden.revealed(pdf("Logement attribué à Anne Cachée", Author="Anne"))


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\r\n", b"\0\0"])
def test_a_pdf_with_blanks_before_its_header_is_one(before: bytes) -> None:
    assert hidden.is_pdf(before + pdf())
    assert not hidden.is_pdf(b"PK\x03\x04" + pdf())
