"""A file is judged where it enters: its kind by its content, its size, what it hides that may do harm."""

from __future__ import annotations

import datetime
import io
import resource
import signal
import subprocess
import threading
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from creatic.deliberations import apart, choice, hidden, pieces, turns
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject
from reportlab.pdfgen.canvas import Canvas

from apps.deliberations.tests import test_hidden


def pdf() -> bytes:
    """A PDF of one page."""
    written = io.BytesIO()
    canvas = Canvas(written)
    canvas.drawString(72, 720, "Plan")
    canvas.save()
    return written.getvalue()


def picture(kind: str) -> bytes:
    """A picture, as a camera or a scanner writes it."""
    written = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(written, kind)
    return written.getvalue()


def archive(*names: str) -> bytes:
    """A zip of these."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as opened:
        for name in names:
            opened.writestr(name, "contenu")
    return written.getvalue()


def with_file(name: str, content: bytes) -> bytes:
    """A PDF that holds another file."""
    writer = PdfWriter(clone_from=io.BytesIO(pdf()))
    writer.add_attachment(name, content)
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def with_action(script: bool) -> bytes:
    """A PDF that does something when it is opened."""
    writer = PdfWriter(clone_from=io.BytesIO(pdf()))
    kind, key, value = ("/JavaScript", "/JS", "app.alert(1)") if script else ("/Launch", "/F", "cmd.exe")
    action = DictionaryObject({NameObject("/S"): NameObject(kind), NameObject(key): TextStringObject(value)})
    writer.root_object[NameObject("/OpenAction")] = action
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def locked() -> bytes:
    """A PDF under a password."""
    writer = PdfWriter(clone_from=io.BytesIO(pdf()))
    writer.encrypt("b", "a", algorithm="RC4-128")
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plan.pdf", pdf()), ("PLAN.PDF", pdf()), ("plan", pdf()), ("photo.png", picture("PNG")),
        ("photo.JPG", picture("JPEG")), ("photo.jpeg", picture("JPEG")), ("blancs.pdf", b"\r\n\r\n" + pdf()),
        ("bom.pdf", b"\xef\xbb\xbf" + pdf()), ("facture.pdf", with_file("factur-x.xml", b"<?xml version='1.0'?><a/>")),
        ("suite.pdf", pdf() + b"\0" * 40), ("Délibération du 12.06.2026", pdf()),
    ],
)  # fmt: skip # a case a line
def test_what_follows_takes_is_taken(name: str, data: bytes) -> None:
    assert pieces.problem(name, data) == ""


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("faux.exe", b"MZ\x90\x00" + b"x" * 400, "c'est un programme (Windows)"),
        ("faux.pdf", b"MZ\x90\x00" + b"x" * 400, "c'est un programme (Windows)"),
        ("vide.pdf", b"", "il est vide (0 octet)"),
        ("plans.zip", archive("a.pdf"), "c'est une archive (zip)"),
        ("plans.pdf", archive("a.pdf"), "c'est une archive (zip)"),
        ("budget.xlsx", archive("[Content_Types].xml", "xl/workbook.xml"), "c'est un document Office."),
        ("budget.xlsm", archive("[Content_Types].xml", "xl/vbaProject.bin"), "un document Office, avec des macros"),
        ("note.odt", archive("mimetype", "Basic/Standard/Module1.xml"), "un document Office, avec des macros"),
        ("vieux.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "un document Office ancien"),
        ("page.pdf", b"\xef\xbb\xbf  <!DOCTYPE html><p>", "c'est une page web ou un fichier XML"),
        ("note.txt", b"bonjour", "c'est un fichier d'une sorte inconnue"),
        ("photo.pdf", picture("PNG"), "son nom finit par « .pdf », mais son contenu est un PNG"),
        ("setup.exe", pdf(), "son nom finit par « .exe », mais son contenu est un PDF"),
        ("coupe.pdf", b"%PDF-1.7\n1 0 obj", "ce PDF"),
        ("cle.pdf", locked(), "ce PDF est protégé par un mot de passe"),
        ("joint.pdf", with_file("outil.exe", b"MZ\x90"), "ce PDF contient un autre fichier (« outil.exe »)"),
        ("joint.pdf", with_file("plans.zip", archive("a")), "ce PDF contient un autre fichier (« plans.zip »)"),
        ("script.pdf", with_action(script=True), "un programme (JavaScript)"),
        ("lance.pdf", with_action(script=False), "une commande qui lance un programme"),
        ("double.png", picture("PNG") + archive("a.exe"), "ce fichier PNG cache une archive (zip)"),
        ("double.pdf", pdf() + archive("a.exe"), "ce fichier PDF cache une archive (zip)"),
        ("coupe.png", picture("PNG")[:40], "cette image PNG est incomplète"),
        ("coupe.jpg", picture("JPEG")[:40], "cette image JPEG est incomplète"),
    ],
)  # fmt: skip # a case a line
def test_what_nobody_takes_is_refused_with_what_to_do(name: str, data: bytes, said: str) -> None:
    found = pieces.problem(name, data)
    assert said in found
    assert "À faire : " in found


def test_what_is_too_heavy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "SIZE_MAX", 1_000_000)
    assert "il pèse 2 Mo, et 1 Mo au plus" in pieces.problem("plan.pdf", b"%PDF-" + b"0" * 2_000_000)


def test_the_kind_that_pages_tell_is_the_contents() -> None:
    kinds = [pieces.content_type(one) for one in (pdf(), picture("PNG"), picture("JPEG"), b"<html>")]
    assert kinds == ["application/pdf", "image/png", "image/jpeg", ""]


MEGABYTE = 1 << 20


def unfolding(objects: list[bytes]) -> bytes:
    """A PDF of these objects, of which the first is the catalog, as a hostile hand writes it."""
    written, places = bytearray(b"%PDF-1.7\n"), []
    for number, one in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n" % number + one + b"\nendobj\n"
    start = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    written += b"".join(b"%010d 00000 n \n" % place for place in places)
    written += b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(written)


PAGES = [b"<</Type/Pages/Kids[3 0 R]/Count 1>>", b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 10 10]>>"]


def with_deflated(count: int, content: bytes) -> bytes:
    """A PDF that holds a file several times, deflated."""
    packed = zlib.compress(content, 9)
    stream = b"<</Filter/FlateDecode/Length %d>>stream\n" % len(packed) + packed + b"\nendstream"
    files = b" ".join(b"<</Type/Filespec/F(a.xml)/EF<</F %d 0 R>>>>" % (4 + rank) for rank in range(count))
    return unfolding([b"<</Type/Catalog/Pages 2 0 R/AF[%s]>>" % files, *PAGES, *[stream] * count])


def peak() -> int:
    """Bytes of memory that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_files_inside_that_unfold_without_end_take_no_memory_of_the_site() -> None:
    data = with_deflated(8, b"<?xml version='1.0'?>" + b" " * 60 * MEGABYTE)
    before = peak()
    assert pieces.problem("plan.pdf", data) == ""  # each is XML, of which the beginning is read
    assert peak() - before < 50 * MEGABYTE


def test_what_takes_too_much_to_be_read_is_refused_and_the_site_stays() -> None:
    named = b" ".join(b"%d 0 R" % (4 + rank) for rank in range(9))
    filled = b"[" + b"<</A 1>> " * 90_000 + b"]"
    data = unfolding([b"<</Type/Catalog/Pages 2 0 R/A[%s]>>" % named, *PAGES, *[filled] * 9])
    before = peak()
    found = pieces.problem("plan.pdf", data)
    assert "À faire : " in found
    assert peak() - before < 50 * MEGABYTE


def tagged(count: int) -> bytes:
    """A PDF that says again what its page is made of, in so many elements."""
    element = b"<</Type/StructElem/S/TD/P 4 0 R/K 0/Pg 3 0 R>>"
    kids = b" ".join(b"%d 0 R" % (5 + rank) for rank in range(count))
    root = b"<</Type/StructTreeRoot/K[%s]>>" % kids
    return unfolding([b"<</Type/Catalog/Pages 2 0 R/StructTreeRoot 4 0 R>>", *PAGES, root, *[element] * count])


def test_the_structure_of_a_long_tagged_document_is_not_unfolded() -> None:
    assert pieces.problem("plu.pdf", tagged(90_000)) == ""


def test_one_that_waits_too_long_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_QUEUE_TIMEOUT_SECONDS", 0.01)
    with apart._READING_TURNS.turn("loos", 1):
        assert "recommencez dans quelques minutes" in pieces.problem("plan.pdf", pdf() + b"\n% autre")
    assert pieces.problem("plan.pdf", pdf() + b"\n% autre") == ""


@pytest.mark.parametrize("ended", [subprocess.TimeoutExpired("lecteur", 1), -signal.SIGKILL, 1])
def test_what_a_busy_machine_made_one_say_is_not_kept_of_a_file(
    ended: subprocess.TimeoutExpired | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel ends it for memory that others have; 1 is what its own bounds make of it, and stays said."""
    data = pdf() + f"\n% {ended}".encode()

    def run(*_given: object, **_more: object) -> subprocess.CompletedProcess[bytes]:
        if isinstance(ended, subprocess.TimeoutExpired):
            raise ended
        return subprocess.CompletedProcess([], ended, b"", b"")

    with monkeypatch.context() as busy:
        busy.setattr(apart.subprocess, "run", run)
        assert "trop de mémoire ou de temps" in pieces.problem("plan.pdf", data)
    assert bool(pieces.problem("plan.pdf", data)) is (ended == 1)


FONT = b"/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"


def with_text(unit: bytes, size: int) -> bytes:
    """A PDF whose page draws something again and again, deflated."""
    packed = zlib.compress(b"BT /F1 9 Tf " + unit * (size // len(unit)), 9)
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 10 10]/Contents 4 0 R" + FONT + b">>"
    stream = b"<</Filter/FlateDecode/Length %d>>stream\n" % len(packed) + packed + b"\nendstream"
    return unfolding([b"<</Type/Catalog/Pages 2 0 R>>", PAGES[0], page, stream])


def test_a_copy_to_publish_whose_text_unfolds_takes_no_time_nor_memory_of_the_site(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pieces, "SECONDS", 1)
    data = with_text(b"(a b) Tj ", 8 * MEGABYTE)
    assert len(data) < 20_000
    before, began = peak(), time.process_time()
    with pytest.raises(ValueError, match="demande trop de mémoire ou de temps"):
        choice.read(
            {"objet": "Aide", "document": choice.COPY, "copie": io.BytesIO(data)}, pdf(), [], choice.ON_LINE,
            datetime.date(2026, 11, 20), datetime.date(2026, 11, 28),
        )  # fmt: skip # a form
    assert time.process_time() - began < 0.5
    assert peak() - before < 50 * MEGABYTE


def test_what_is_said_of_a_document_apart_is_what_is_said_of_it_here() -> None:
    named = test_hidden.pdf("Plan", Author="Anne")
    assert "auteur : Anne" in pieces.revealed(named) == hidden.revealed(named)
    assert hidden.revealed(pieces.cleaned(named)) == []
    assert hidden.revealed(pieces.for_everybody(named)) == []
    assert hidden.revealed(pieces.occulted(named, test_hidden.pdf("[occulte]"))) == []
    with pytest.raises(hidden.UnfitDocumentError, match="tout le texte de l'original"):
        pieces.occulted(named, named)
    for _again in range(2):
        with pytest.raises(hidden.UnfitDocumentError, match="mot de passe"):
            pieces.revealed(locked())


def test_a_long_tagged_document_is_still_published() -> None:
    assert pieces.cleaned(tagged(9_000)).startswith(b"%PDF-")


def test_files_of_one_commune_that_take_long_never_keep_another_waiting() -> None:
    done: list[str] = []
    began, end = threading.Event(), threading.Event()

    def ask(whose: str) -> None:
        try:
            with turns_of.turn(whose, 20):
                began.set()
                end.wait(20)
                done.append(whose)
        except turns.QueueFullError:
            done.append(f"{whose} : plus de place")

    turns_of = turns.Turns(3)
    asking = []
    for rank, whose in enumerate(("loos", "loos", "lille", "loos", "lens"), 1):
        asking.append(threading.Thread(target=ask, args=(whose,)))
        asking[-1].start()
        assert began.wait(20)
        until = time.monotonic() + 20
        while len(turns_of._waiting) + len(done) + 1 < rank and time.monotonic() < until:
            time.sleep(0.001)
    end.set()
    for one in asking:
        one.join(20)
    # A third of Loos has no place, and its second gives its own to Lens, which found none.
    assert sorted(done[:2]) == ["loos : plus de place"] * 2
    assert done[2:] == ["loos", "lille", "lens"]


def test_the_next_is_of_who_was_served_longest_ago() -> None:
    order: list[str] = []
    waits = turns.Turns(3)

    def ask(whose: str) -> None:
        with waits.turn(whose, 20):
            order.append(whose)

    with waits.turn("loos", 1):
        asking = []
        for rank, whose in enumerate(("loos", "lille"), 1):
            asking.append(threading.Thread(target=ask, args=(whose,)))
            asking[-1].start()
            until = time.monotonic() + 20
            while len(waits._waiting) < rank and time.monotonic() < until:
                time.sleep(0.001)
    for one in asking:
        one.join(20)
    assert order == ["lille", "loos"]


def test_a_file_takes_the_turn_of_its_commune() -> None:
    data = pdf() + b"\n% le tour"
    with ThreadPoolExecutor() as threads, apart._READING_TURNS.turn("loos", 1):

        def ask(whose: str, what: bytes) -> str:
            apart.WHOSE.set(whose)
            return pieces.problem("plan.pdf", what)

        second = threads.submit(ask, "loos", data)
        until = time.monotonic() + 20
        while not apart._READING_TURNS._waiting and time.monotonic() < until:
            time.sleep(0.001)
        assert "recommencez" in threads.submit(ask, "loos", data + b"2").result(20)
        other = threads.submit(ask, "lille", data + b"3")
        until = time.monotonic() + 20
        while len(apart._READING_TURNS._waiting) < 2 and time.monotonic() < until:
            time.sleep(0.001)
        assert [one.whose for one in apart._READING_TURNS._waiting] == ["loos", "lille"]
        assert apart._READING_TURNS._served.get("lille") is None
    assert (second.result(20), other.result(20)) == ("", "")
    assert apart._READING_TURNS._served["lille"] < apart._READING_TURNS._served["loos"]


@pytest.mark.parametrize("key", [b"SE", b"Parent"])
def test_what_a_page_leads_to_is_read_by_whatever_key(monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    monkeypatch.setattr(pieces, "SECONDS", 3)
    named = b" ".join(b"%d 0 R" % (5 + rank) for rank in range(9))
    filled = b"[" + b"<</A 1>> " * 90_000 + b"]"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 10 10]/Annots[4 0 R]>>"
    mark = b"<</Type/Annot/Subtype/Square/Rect[0 0 1 1]/%s[%s]>>" % (key, named)
    data = unfolding([b"<</Type/Catalog/Pages 2 0 R>>", PAGES[0], page, mark, *[filled] * 9])
    assert "À faire : " in pieces.problem("plan.pdf", data)
