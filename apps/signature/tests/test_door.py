"""The door of a circuit: what is brought becomes one document for every reader, or is not let in."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
from pypdf.generic import BooleanObject, DecodedStreamObject, DictionaryObject, NameObject, TextStringObject
from reportlab.pdfgen import canvas
from signature_actes import door, receive, structure
from signature_actes.files import open_pdf
from signature_actes.refusal import DocumentRefusedError

from apps.signature.tests.conftest import Issuer
from apps.signature.tests.test_receive import ask
from apps.signature.tests.test_sameness import appended, shown, sign, stream_of
from apps.signature.tests.test_structure import (
    OTHER,
    by_pypdf,
    entry_off,
    field,
    number_of,
    pages,
    replacement,
    size_of,
    with_keys,
)


def written_by(spoil: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """A document that a careless program wrote."""

    def make(path: Path) -> None:
        pages(path)
        path.write_bytes(spoil(path.read_bytes()))

    return make


def by_qpdf(*options: str) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        source = pages(path.with_name("source.pdf"))
        subprocess.run(["qpdf", *options, source, path], check=True)

    return make


def dangling(path: Path) -> None:
    source = pages(path.with_name("source.pdf"))
    appended(source, path, with_keys(source, "catalog", b"/Reste 900 0 R"))


def hybrid(path: Path) -> None:
    """As a well known word processor writes: some objects are in a second table."""
    source = pages(path.with_name("source.pdf"))
    by_qpdf("--object-streams=disable")(path)
    data, free = path.read_bytes(), size_of(path)
    start, catalog = int(re.findall(rb"startxref\n(\d+)", data)[-1]), number_of(path, "catalog")
    packed = stream_of(b"%d 0 (cache)" % (free + 1))
    first = len(b"%d 0 " % (free + 1))
    box = b"%d 0 obj\n<< /Type /ObjStm /N 1 /First %d %s\nendobj\n" % (free, first, packed[3:])
    entries = b"".join(bytes([kind]) + place.to_bytes(4, "big") + b"\0" for kind, place in ((1, start), (2, free)))
    keys = b"<< /Type /XRef /W [1 4 1] /Index [%d 2] /Size %d /Root %d 0 R " % (free, free + 3, catalog)
    table = b"%d 0 obj\n%s%s\nendobj\n" % (free + 2, keys, stream_of(entries)[3:])
    old = data[start:].replace(b"trailer << ", b"trailer << /XRefStm %d " % (start + len(box)))
    old = re.sub(rb"/Size \d+", b"/Size %d" % (free + 3), old)
    old = re.sub(rb"startxref\n\d+", b"startxref\n%d" % (start + len(box) + len(table)), old)
    path.write_bytes(data[:start] + box + table + old)
    source.unlink()


ODD: dict[str, Callable[[Path], object]] = {
    "written twice": lambda path: by_pypdf(path, incremental=True),
    "made for the web": by_qpdf("--linearize"),
    "made for the web, packed": by_qpdf("--linearize", "--object-streams=generate"),
    "with remarks": by_qpdf("--qdf", "--object-streams=generate"),
    "two tables": hybrid,
    "a reference to nothing": dangling,
    "an entry off": written_by(
        lambda data: re.sub(rb"(\d{10}) 00000 n", lambda one: b"%010d 00000 n" % (int(one[1]) - 1), data, count=3)
    ),
    "the table off": written_by(
        lambda data: re.sub(rb"startxref\n(\d+)", lambda one: b"startxref\n%d" % (int(one[1]) + 1), data)
    ),
    "bytes before": written_by(lambda data: b"\r\n" + data),
    "bytes after": written_by(lambda data: data + b"\0\0 fin\n"),
    "short entries": written_by(lambda data: data.replace(b" n \n", b" n\n").replace(b" f \n", b" f\n")),
    "a length off": written_by(lambda data: re.sub(rb"/Length (\d+)", b"/Length 1", data, count=1)),
    "a remark like an object": written_by(lambda data: data.replace(b"\n", b"\n% 3 0 obj\n", 1)),
}


@pytest.mark.parametrize("what", ODD)
def test_what_readers_read_in_their_own_way_is_written_again(tmp_path: Path, what: str) -> None:
    source, one, two = (tmp_path / name for name in ("acte.pdf", "un.pdf", "deux.pdf"))
    ODD[what](source)
    before = source.read_bytes()
    assert door.admit(source, one)
    assert structure.read(one).is_plain
    assert source.read_bytes() == before
    assert shown(one) == shown(source) and "Page 2" in shown(one)
    # The same bytes each time, and none of a page lost; it passes the door the second time.
    assert door.admit(source, two) and one.read_bytes() == two.read_bytes()
    assert not door.admit(one, tmp_path / "trois.pdf")
    with open_pdf(one) as (_stream, reader):
        assert len(reader.root["/Pages"]["/Kids"]) == 3
    with pages(tmp_path / "plain.pdf").open("rb") as stream:
        drawn = [page.get_contents().get_data().split() for page in pypdf.PdfReader(stream).pages]  # type: ignore[union-attr] # each has one
    assert [page.get_contents().get_data().split() for page in pypdf.PdfReader(one).pages] == drawn  # type: ignore[union-attr] # each has one


def test_what_describes_a_document_stays(tmp_path: Path) -> None:
    source = pages(tmp_path / "source.pdf")
    writer = pypdf.PdfWriter(source, incremental=True)
    writer.add_metadata({"/Title": "Délibération", "/Commune": "Loos"})
    writer.add_attachment("annexe.txt", b"annexe")
    writer.add_outline_item(title="Vu", page_number=1)
    writer.write(tmp_path / "acte.pdf")
    assert door.admit(tmp_path / "acte.pdf", tmp_path / "ecrit.pdf")
    found = pypdf.PdfReader(tmp_path / "ecrit.pdf")
    assert found.metadata and (found.metadata["/Title"], found.metadata["/Commune"]) == ("Délibération", "Loos")
    assert found.attachments["annexe.txt"] == [b"annexe"]
    assert [one.title for one in found.outline] == ["Vu"]  # type: ignore[union-attr] # one entry, no list


def test_what_is_read_in_one_way_stays_as_it_is(tmp_path: Path) -> None:
    target = tmp_path / "ecrit.pdf"
    assert not door.admit(pages(tmp_path / "acte.pdf"), target)
    assert not target.exists()


def test_two_documents_in_one_are_none(tmp_path: Path) -> None:
    """What one reader shows after it has built the table again, another never shows."""
    act = pages(tmp_path / "acte.pdf")
    forged = field(act, tmp_path / "piege.pdf", b"/TU 900 0 R", replacement(act))
    assert OTHER in shown(forged)
    with pytest.raises(
        DocumentRefusedError, match=r"^piege.pdf : d'un logiciel à l'autre, ce PDF ne montre pas le même document"
    ):
        door.admit(forged, tmp_path / "ecrit.pdf")
    # Here the other reader loses the last page's text, which is no accusation either.
    act.write_bytes(entry_off(act.read_bytes()))
    with pytest.raises(DocumentRefusedError, match="ne montre pas le même document"):
        door.admit(act, tmp_path / "encore.pdf")


def test_what_is_signed_is_judged_as_it_is(issuer: Issuer, tmp_path: Path) -> None:
    act, target = pages(tmp_path / "acte.pdf"), tmp_path / "ecrit.pdf"
    assert not door.admit(sign(issuer, act), target)
    odd = sign(issuer, field(act, tmp_path / "piege.pdf", b"/TU 900 0 R"))
    with pytest.raises(DocumentRefusedError, match="n'est pas lisible d'une seule façon"):
        door.admit(odd, target)
    assert not target.exists()


def cut(path: Path) -> None:
    pages(path)
    path.write_bytes(path.read_bytes()[:-300])


def locked(path: Path) -> None:
    writer = pypdf.PdfWriter(clone_from=pages(path.with_name("source.pdf")))
    writer.encrypt("", "secret", algorithm="AES-256")
    writer.write(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (cut, "le PDF est abîmé. À faire"),
        (locked, "protégé par un mot de passe ou des restrictions. À faire"),
        (lambda path: path.write_bytes(b"%PDF-1.7\nrien\n%%EOF\n"), "le PDF est abîmé. À faire"),
        (lambda path: path.write_bytes(b"PK\x03\x04"), "ce n'est pas un PDF. À faire"),
        (lambda path: path.write_bytes(b""), "le fichier est vide. À faire"),
    ],
    ids=["cut", "locked", "nothing", "zip", "empty"],
)
def test_what_cannot_be_written_again_is_told(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    make(tmp_path / "acte.pdf")
    with pytest.raises(DocumentRefusedError, match=rf"^acte\.pdf : .*{words}"):
        door.admit(tmp_path / "acte.pdf", tmp_path / "ecrit.pdf")


def test_without_qpdf_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_pypdf(tmp_path / "acte.pdf", incremental=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DocumentRefusedError, match="installez le paquet qpdf"):
        door.admit(tmp_path / "acte.pdf", tmp_path / "ecrit.pdf")


def test_the_service_gives_the_circuit_s_document(tmp_path: Path) -> None:
    """To the application, which keeps what was brought beside it."""
    paper = canvas.Canvas(str(tmp_path / "source.pdf"))
    paper.drawString(100, 700, "Claire Dubois, maire")
    paper.save()
    writer = pypdf.PdfWriter(tmp_path / "source.pdf", incremental=True)
    writer.pages[0].rotate(90)
    writer.write(tmp_path / "acte.pdf")
    told, written = ask({}, (tmp_path / "acte.pdf").read_bytes(), b"", [])
    assert told == {"taille": len(written)} and written
    (tmp_path / "ecrit.pdf").write_bytes(written)
    assert structure.read(tmp_path / "ecrit.pdf").is_plain
    request = b'{"nom": "a.pdf", "signataires": [], "origine": %d, "signe": 0, "mentions": ["Anne Petit"]}\n'
    output, brought = io.BytesIO(), (tmp_path / "acte.pdf").read_bytes()
    receive.answer(io.BytesIO(request % len(brought) + brought), output, {})
    assert output.getvalue().startswith(b'{"refus": ') and output.getvalue().count(b"\n") == 1  # no document follows


Change = Callable[[pypdf.PdfWriter, list[DictionaryObject], DictionaryObject], object]


def script(text: str) -> DictionaryObject:
    return DictionaryObject({NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject(text)})


def form(path: Path, *changes: Change) -> Path:
    """A form as people fill one in, then spoilt; changes get the writer, its fields, what holds them."""
    paper = canvas.Canvas(str(path))
    paper.drawString(100, 700, "Subvention :")
    paper.acroForm.textfield(name="montant", x=180, y=690, width=120, height=20, value="100 euros", borderWidth=0)
    paper.acroForm.checkbox(name="accord", x=100, y=600, checked=True)
    paper.save()
    writer = pypdf.PdfWriter(clone_from=path)
    held = writer.root_object["/AcroForm"].get_object()
    assert isinstance(held, DictionaryObject)
    fields = [one.get_object() for one in writer.pages[0]["/Annots"]]  # type: ignore[attr-defined] # a list
    for change in changes:
        change(writer, fields, held)
    writer.write(path)
    return path


def say_another(_writer: pypdf.PdfWriter, fields: list[DictionaryObject], _held: DictionaryObject) -> None:
    fields[0][NameObject("/V")] = TextStringObject("100 000 euros")


def run_on_input(_writer: pypdf.PdfWriter, fields: list[DictionaryObject], _held: DictionaryObject) -> None:
    fields[0][NameObject("/AA")] = DictionaryObject({NameObject("/F"): script("AFNumber_Format(2)")})


def hold_another(writer: pypdf.PdfWriter, _fields: list[DictionaryObject], held: DictionaryObject) -> None:
    stream = DecodedStreamObject()
    stream.set_data(b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'/>")
    held[NameObject("/XFA")] = writer._add_object(stream)


def ask_for_drawings(_writer: pypdf.PdfWriter, _fields: list[DictionaryObject], held: DictionaryObject) -> None:
    """As LibreOffice does."""
    held[NameObject("/NeedAppearances")] = BooleanObject(True)


def name_in_structure(writer: pypdf.PdfWriter, fields: list[DictionaryObject], _held: DictionaryObject) -> None:
    """As LibreOffice does, for who reads with a voice."""
    link = fields[0].indirect_reference
    assert link
    told = DictionaryObject({NameObject("/Type"): NameObject("/OBJR"), NameObject("/Obj"): link})
    part = DictionaryObject({NameObject("/S"): NameObject("/Form"), NameObject("/K"): told})
    tree = DictionaryObject({NameObject("/Type"): NameObject("/StructTreeRoot"), NameObject("/K"): part})
    writer.root_object[NameObject("/StructTreeRoot")] = writer._add_object(tree)


def draw_nothing(_writer: pypdf.PdfWriter, fields: list[DictionaryObject], _held: DictionaryObject) -> None:
    del fields[1]["/AP"]


def pretend_signed(writer: pypdf.PdfWriter, _fields: list[DictionaryObject], _held: DictionaryObject) -> None:
    writer.root_object[NameObject("/PieceInfo")] = DictionaryObject({NameObject("/ByteRange"): BooleanObject(True)})


def run_at_opening(writer: pypdf.PdfWriter, _fields: list[DictionaryObject], _held: DictionaryObject) -> None:
    writer.root_object[NameObject("/OpenAction")] = script("this.getField('montant').value = '100 000 euros'")


@pytest.mark.parametrize(
    "changes",
    [(), (say_another,), (run_on_input,), (hold_another,), (ask_for_drawings,), (ask_for_drawings, name_in_structure)],
)
def test_a_form_is_drawn(tmp_path: Path, changes: tuple[Change, ...]) -> None:
    """A browser shows the value of a field, a printer its drawing: who signed one never saw the other."""
    source, target = form(tmp_path / "acte.pdf", *changes), tmp_path / "ecrit.pdf"
    assert door.admit(source, target)
    assert "100 euros" in shown(target)
    written = pypdf.PdfReader(target)
    assert not written.get_fields() and "/AcroForm" not in written.root_object
    assert not structure.read(target).programs


@pytest.mark.parametrize(
    "changes", [(run_at_opening,), (ask_for_drawings, say_another), (ask_for_drawings, draw_nothing)]
)
def test_a_program_or_a_form_that_says_two_things_is_not_let_in(tmp_path: Path, changes: tuple[Change, ...]) -> None:
    source = form(tmp_path / "acte.pdf", *changes)
    with pytest.raises(
        DocumentRefusedError, match=r"^acte.pdf : ce PDF est un formulaire, ou .* À faire : imprimez-le"
    ):
        door.admit(source, tmp_path / "ecrit.pdf")


@pytest.mark.parametrize("kind", ["/SetOCGState", "/Hide", "/ImportData"])
@pytest.mark.parametrize("apart", [False, True])
def test_an_action_that_changes_what_is_shown_is_seen_wherever_its_name_stands(
    tmp_path: Path, kind: str, apart: bool
) -> None:
    """Readers follow a reference to a name as they follow any other."""
    paper = canvas.Canvas(str(tmp_path / "plain.pdf"))
    paper.drawString(100, 700, "Subvention : 100 euros")
    paper.save()
    writer = pypdf.PdfWriter(clone_from=tmp_path / "plain.pdf")
    name = NameObject(kind)
    action = DictionaryObject({NameObject("/S"): writer._add_object(name) if apart else name})
    writer.root_object[NameObject("/OpenAction")] = action
    writer.write(tmp_path / "acte.pdf")
    assert structure.read(tmp_path / "acte.pdf").programs
    with pytest.raises(
        DocumentRefusedError, match=r"^acte.pdf : ce PDF est un formulaire, ou .* À faire : imprimez-le"
    ):
        door.admit(tmp_path / "acte.pdf", tmp_path / "ecrit.pdf")


def test_a_program_packed_among_other_objects_is_seen(tmp_path: Path) -> None:
    source = form(tmp_path / "source.pdf", run_at_opening)
    subprocess.run(["qpdf", "--object-streams=generate", source, tmp_path / "acte.pdf"], check=True)
    with pytest.raises(DocumentRefusedError, match="programme"):
        door.admit(tmp_path / "acte.pdf", tmp_path / "ecrit.pdf")


VISIBLE = "/Usage << /View << /ViewState /ON >> /Print << /PrintState /ON >> /Export << /ExportState /ON >> >>"
TOLD = "/AS [<< /Event /View /Category [/View] /OCGs [%d 0 R] >> << /Event /Print /Category [/Print] /OCGs [%d 0 R] >>]"


def layered(path: Path, group: str, configuration: str) -> Path:
    """A document of one layer, as programs that add a watermark or export a plan write it."""
    source = pages(path.with_name(f"sans-{path.name}"))
    free = size_of(source)
    known = configuration.replace("%d", str(free))
    layers = f"/OCProperties << /OCGs [{free} 0 R] /D << /ON [{free} 0 R] {known} >> >>"
    appended(source, path, {
        **with_keys(source, "catalog", layers.encode()), free: f"<< /Type /OCG /Name (Montant) {group} >>".encode(),
    })  # fmt: skip # by rows
    return path


@pytest.mark.parametrize(
    ("group", "configuration"),
    [("/Usage << /Print << /PrintState /OFF >> >>", TOLD), ("/Usage << /View << /ViewState /OFF >> >>", ""),
     ("/Usage << /Export << /ExportState /OFF >> >>", ""), (VISIBLE, "/AS [<< /Event /View /Category [/Zoom] >>]"),
     (VISIBLE, f"/OFF [%d 0 R] {TOLD}"), (VISIBLE, "/AS [<< /Event /View /Category /Language >>]")],
    ids=["on paper", "on a screen", "once exported", "from a zoom on", "by some readers", "in a language"],
)  # fmt: skip # a case a line
@pytest.mark.parametrize("packed", ["disable", "generate"])
def test_layers_that_some_see_and_others_do_not_are_not_let_in(
    tmp_path: Path, group: str, configuration: str, packed: str
) -> None:
    """Who signs on a screen never saw what is read on paper."""
    source, acte = layered(tmp_path / "source.pdf", group, configuration), tmp_path / "acte.pdf"
    subprocess.run(["qpdf", f"--object-streams={packed}", source, acte], check=True)
    with pytest.raises(DocumentRefusedError, match=r"^acte.pdf : ce PDF a des calques .* À faire : imprimez-le"):
        door.admit(acte, tmp_path / "ecrit.pdf")
    door.admit(acte, tmp_path / "piece.pdf", door.Form.KEPT)


@pytest.mark.parametrize(("group", "configuration"), [("", ""), (VISIBLE, TOLD), ("", "/OFF []"), ("", "/AS []")])
def test_layers_that_everybody_sees_are(tmp_path: Path, group: str, configuration: str) -> None:
    source, target = layered(tmp_path / "acte.pdf", group, configuration), tmp_path / "ecrit.pdf"
    assert door.admit(source, target)
    assert not door.admit(target, tmp_path / "encore.pdf")


def test_a_signed_form_is_only_a_contract_s(issuer: Issuer, tmp_path: Path) -> None:
    """Nobody writes it again: what a supplier signed stays, an act is exported from its text."""
    signed, target = sign(issuer, form(tmp_path / "acte.pdf")), tmp_path / "ecrit.pdf"
    with pytest.raises(DocumentRefusedError, match="est un formulaire"):
        door.admit(signed, target)
    assert not target.exists()
    assert not door.admit(signed, target, door.Form.SIGNED)
    pretended = form(tmp_path / "faux.pdf", pretend_signed)
    with pytest.raises(DocumentRefusedError, match="est un formulaire"):  # bytes are no signature
        door.admit(pretended, target, door.Form.SIGNED)
    assert not door.admit(form(tmp_path / "piece.pdf", run_at_opening), target, door.Form.KEPT)
    for contract, brought in (("signature", signed), ("piece", tmp_path / "piece.pdf")):
        request = b'{"nom": "a.pdf", "signataires": [], "origine": %d, "signe": 0, "contrat": "%s"}\n'
        output, content = io.BytesIO(), brought.read_bytes()
        receive.answer(io.BytesIO(request % (len(content), contract.encode()) + content), output, {})
        assert output.getvalue() == b'{"taille": 0}\n'
