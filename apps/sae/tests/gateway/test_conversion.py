"""Formats at risk: real files, converted by the real tools, deposited again beside their original, with provenance."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import socket
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from lxml import etree
from PIL import Image
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas
from sae import access, conversion, converter
from sae.access import Desk, Register
from sae.api import create_app
from sae.config import ACCESS, Account
from sae.conversion import ALREADY, BEGUN, DONE, MADE, NOT, ORIGIN, REFUSED, WAITS, Migrator
from sae.converter import Converter
from sae.elimination import Trust
from sae.store import StoreUnavailableError
from sae.versement import formats
from sae.versement.container import Member
from sae.versement.registry import Archive
from sae.versement.seda import NAMESPACE

from apps.signature.tests.writers import ODDITIES, TITLE, WRITERS
from creatic_agent.identity import HEADER
from testbed.connector import Authority
from testbed.sae import AGENCY, GONDECOURT, OLD_PAGES, SIREN, Gateway, bag, old_pdf, sip, tar
from testbed.unix import UnixService

_N = f"{{{NAMESPACE}}}"
OLD = frozenset({"fmt/14", "fmt/15", "fmt/16"})
PRIVATE = "<Rule>AR048</Rule><StartDate>2026-01-15</StartDate>"
TEXT = OLD_PAGES[0]
FIELD = (
    "Word",
    "Excel, many pages",
    "LibreOffice",
    "TeX",
    "fpdf2",
    "cups-pdf",
    "pypdf, appended",
    "pikepdf, objects packed",
)
Run = Callable[..., int]


class Conversions(UnixService):
    """The service of conversions, in a thread."""

    def _answer(self, link: socket.socket) -> None:
        with link.makefile("rb") as source, link.makefile("wb") as output:
            converter.serve(source, output)


def attached() -> bytes:
    writer = PdfWriter(clone_from=io.BytesIO(old_pdf()))
    writer.add_attachment("tableau.csv", b"a;b\n1;2\n")
    made = io.BytesIO()
    writer.write(made)
    return b"%PDF-1.2" + made.getvalue()[8:]


def locked() -> bytes:
    writer = PdfWriter(clone_from=io.BytesIO(old_pdf()))
    writer.encrypt("secret", algorithm="RC4-40")
    made = io.BytesIO()
    writer.write(made)
    return b"%PDF-1.2" + made.getvalue()[8:]


def old_odt() -> bytes:
    """A text as OpenOffice.org 2 wrote them."""
    space = "urn:oasis:names:tc:opendocument:xmlns"
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content office:version="1.0" xmlns:office="{space}:'
        f'office:1.0" xmlns:text="{space}:text:1.0"><office:body><office:text><text:p>{TEXT}</text:p></office:text>'
        "</office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.text"
    manifest = (
        f'<?xml version="1.0" encoding="UTF-8"?><manifest:manifest xmlns:manifest="{space}:manifest:1.0">'
        f'<manifest:file-entry manifest:media-type="{kind}" manifest:full-path="/"/><manifest:file-entry '
        'manifest:media-type="text/xml" manifest:full-path="content.xml"/></manifest:manifest>'
    )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in (("mimetype", kind), ("content.xml", content), ("META-INF/manifest.xml", manifest)):
            archive.writestr(name, text)
    return made.getvalue()


def tiff() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 30, 30)).save(made, "TIFF", compression="tiff_lzw")
    return made.getvalue()


class Room:
    """A gateway with its service of conversions."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        Conversions(gateway.root / "conversion.sock")
        self.migrator = Migrator(
            gateway.engine, Converter(gateway.root / "conversion.sock"), "Camille Delattre", "veille de 2026"
        )

    def keep(self, content: bytes, name: str = "ACTE-1", file: str = "content/acte.pdf", **said: str) -> Archive:
        answer = self.gateway.deposit(sip({file: content}, message=name, access=PRIVATE, **said))
        assert answer.accepted, answer.reasons
        return self.archive(str(answer.aip))

    def archive(self, aip: str) -> Archive:
        found = self.gateway.registry.archive("gondecourt", aip)
        assert found is not None
        return found

    def copy_of(self, archive: Archive) -> Archive:
        [aip] = self.gateway.registry.copies("gondecourt", archive.aip)
        return self.archive(aip)

    def read(self, archive: Archive, name: str) -> bytes:
        stream = self.gateway.store.get("gondecourt", "aip", f"{archive.aip}.tar")
        return b"".join(self.gateway.engine.file_blocks(stream, archive, name))

    def manifest(self, archive: Archive) -> Any:
        return etree.fromstring(self.read(archive, "manifest.xml"))

    def events(self, name: str, aip: str) -> list[dict[str, Any]]:
        return [one.detail for one in self.gateway.journal.events(aip=aip) if one.event == name]


@pytest.fixture
def room(gateway: Gateway) -> Room:
    return Room(gateway)


@pytest.fixture
def run(room: Room, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, on this gateway."""
    monkeypatch.setattr(conversion.settings, "load", lambda _path: room.gateway.config)
    monkeypatch.setattr(conversion.Engine, "from_config", lambda _config: room.gateway.engine)
    monkeypatch.setattr(conversion, "SOCKET", room.gateway.root / "conversion.sock")
    monkeypatch.setenv("SUDO_USER", "camille")
    return lambda *arguments: conversion.main([str(one) for one in arguments])


def test_a_copy_in_pdf_a_comes_beside_its_original_with_its_provenance(room: Room) -> None:
    content = old_pdf()
    kept = room.keep(content)
    stored = room.gateway.root / "archives"
    before = {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()}
    done = room.migrator.convert(kept, OLD)
    copy = room.copy_of(kept)
    assert (done.state, done.text) == (MADE, f"fichiers convertis : 1, archive {copy.aip}")
    assert all(path.read_bytes() == bytes_ for path, bytes_ in before.items()), "the original was touched"
    assert (copy.message, copy.retain_until, copy.action) == (f"CONVERSION-{kept.aip}", kept.retain_until, kept.action)
    [own, listed] = copy.files
    made = room.read(copy, str(listed["nom"]))
    assert own["nom"] == "manifest.xml" and (listed["format"], made[:5]) == ("fmt/477", b"%PDF-")
    assert [page.extract_text().strip() for page in PdfReader(io.BytesIO(made)).pages] == [TEXT, "page 2"]

    root = room.manifest(copy)
    texts = {name: root.findtext(f".//{_N}{name}") for name in ("RepositoryArchiveUnitPID", "CreatingApplicationName")}
    assert texts == {"RepositoryArchiveUnitPID": kept.aip, "CreatingApplicationName": "Ghostscript"}
    assert root.find(f".//{_N}IsVersionOf") is not None and root.findtext(f".//{_N}FormatId") == "fmt/477"
    management = root.find(f".//{_N}ManagementMetadata")
    assert management is not None
    assert [one.text for one in management.find(f"{_N}AppraisalRule")] == ["ACTES-10", "2026-01-15", "Keep"]
    assert [one.text for one in management.find(f"{_N}AccessRule")] == ["AR048", "2026-01-15"]
    told = json.loads(root.findall(f".//{_N}EventDetailData")[1].text)
    assert told | {"convertie_le": "", "version": ""} == {
        "fichier": "content/acte.pdf", "sha512": hashlib.sha512(content).hexdigest(), "format": "fmt/16",
        "copie": listed["nom"], "copie_sha512": hashlib.sha512(made).hexdigest(), "copie_format": "fmt/477",
        "outil": "Ghostscript", "version": "", "convertie_le": "",
        "controles": ["copie lisible (poppler), 2 pages", "8 mots, les mêmes, et chaque page dessinée comme l'original",
                      "polices toutes dans le fichier"],
        "remarques": ["polices absentes de l'original, remplacées : Helvetica"],
    }  # fmt: skip # a table
    agents = {one.text for one in root.iter(f"{_N}LinkingAgentIdentifierValue")}
    assert agents == {"Camille Delattre", f"Ghostscript {told['version']}"}

    [begun] = room.events(BEGUN, kept.aip)
    assert begun["fichiers"] == [told] and begun["demande_par"] == "Camille Delattre"
    [accepted] = room.events("versement.accepte", copy.aip)
    assert accepted["sip_sha512"] == begun["sip_sha512"]
    [[done_], [origin]] = room.events(DONE, kept.aip), room.events(ORIGIN, copy.aip)
    assert (done_["copie"], origin["original"]) == (copy.aip, kept.aip)

    again = room.migrator.convert(kept, OLD)
    assert (again.state, again.text) == (ALREADY, f"déjà convertie, archive {copy.aip}")
    assert room.gateway.registry.usage()["gondecourt"][0] == 2
    [counted] = [one for one in room.gateway.registry.formats() if one["format"] == "fmt/16"]
    assert (counted["archives"], counted["converties"]) == (1, 1)


@pytest.mark.parametrize("step", ["conversion journalisée", "reçu", "range", "rangé", "copie versée"])
def test_cut_anywhere_and_run_again_there_is_one_copy(room: Room, step: str) -> None:
    class Cut(Exception):
        pass

    def cut(name: str) -> None:
        if name == step:
            raise Cut

    kept = room.keep(old_pdf())
    room.gateway.engine.step = cut
    with pytest.raises(Cut):
        room.migrator.convert(kept, OLD)
    room.gateway.engine.step = lambda name: None
    list(room.gateway.engine.resume())
    assert room.migrator.convert(kept, OLD).state in (MADE, ALREADY)
    copy = room.copy_of(kept)
    assert room.gateway.registry.usage()["gondecourt"][0] == 2
    assert len(room.events(DONE, kept.aip)) == len(room.events(ORIGIN, copy.aip)) == 1


def test_storage_away_the_upkeep_stores_the_copy(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = room.keep(old_pdf())

    def away(*_given: object, **_said: object) -> None:
        raise StoreUnavailableError("éteint")

    with monkeypatch.context() as patched:
        patched.setattr(room.gateway.store, "put", away)
        assert room.migrator.convert(kept, OLD).state == WAITS
        assert "en cours de versement" in room.migrator.convert(kept, OLD).text
    list(room.gateway.engine.resume())
    assert room.migrator.convert(kept, OLD).state == ALREADY
    assert room.events(DONE, kept.aip)[0]["copie"] == room.copy_of(kept).aip


def test_one_bad_archive_never_keeps_the_others(room: Room, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    content = old_pdf()
    bad = {
        "cut": (content[:300] + b"\n%%EOF\n", "n'en vient pas à bout"),
        "attached": (attached(), "il porte 1 fichiers joints"),
        "locked": (locked(), "« content/acte.pdf » : "),
    }
    kept = {name: room.keep(given, f"MAUVAIS-{name}").aip for name, (given, _) in bad.items()}
    good = [room.keep(old_pdf(f"acte {number}"), f"BON-{number}") for number in range(2)]
    damaged = room.keep(old_pdf("abîmé"), "ABIME")
    [path] = (room.gateway.root / "archives").rglob(f"*{damaged.aip}*.tar")
    path.write_bytes(path.read_bytes().replace(b"premis", b"PREMIS", 1))
    given = [word for number in range(14, 21) for word in ("--format", f"fmt/{number}")]
    assert run("prevoir", *given) == 0
    assert "Archives à convertir : 6 ; déjà : 0 ; non : 0." in capsys.readouterr().out
    assert run("faire", *given, "--motif", "veille") == 1
    out = capsys.readouterr().out
    assert "Archives converties : 2 ; déjà : 0 ; non : 4 ; en attente : 0." in out
    for name, aip in kept.items():
        [line] = [line for line in out.splitlines() if aip in line]
        assert line.startswith("✗") and bad[name][1] in line
        assert room.events(REFUSED, aip)[0]["demande_par"] == "camille"
        assert room.gateway.registry.copies("gondecourt", aip) == []
    assert f"✗ gondecourt {damaged.aip} : " in out
    assert all(room.copy_of(one) for one in good)
    assert run("faire", *given) == 1
    assert "Archives converties : 0 ; déjà : 2 ; non : 4" in capsys.readouterr().out
    assert run("faire", *given, "--archive", good[0].aip) == 0
    capsys.readouterr()
    assert run("faire", *given, "--archive", "rien") == 1
    assert "✗ rien : aucune archive" in capsys.readouterr().out
    assert run("faire", *given, "--compte", "inconnu") == 1
    assert "compte « inconnu » inconnu ; connus : gondecourt, loos" in capsys.readouterr().err


def test_nobody_asks_without_a_name(room: Room, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.delenv("SUDO_USER")
    room.keep(old_pdf())
    assert run("faire", "--format", "fmt/16") == 1
    assert "dites qui le demande (--par)" in capsys.readouterr().err
    assert room.gateway.registry.usage()["gondecourt"][0] == 1


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: old_pdf(version=(1, 4)), "des polices manquent à la copie"),
        (lambda: old_pdf(TEXT), "la copie a 1 pages, l'original 2"),
        (lambda: b"%PDF-1.7 rien", "n'en vient pas à bout"),
        (lambda: b"", "l'outil n'a rien écrit"),
    ],
)
def test_a_copy_that_is_not_good_is_refused(
    room: Room, monkeypatch: pytest.MonkeyPatch, made: Callable[[], bytes], said: str
) -> None:
    kept, real = room.keep(old_pdf()), converter._run_tool

    def bad(work: Path, *command: str) -> str:
        if command[0] == "gs" and "-dPDFA=2" in command:
            (work / "copie.pdf").write_bytes(made())
            return ""
        return real(work, *command)

    monkeypatch.setattr(converter, "_run_tool", bad)
    done = room.migrator.convert(kept, OLD)
    assert done.state == NOT and said in done.text
    assert room.gateway.registry.usage()["gondecourt"][0] == 1


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("Another", "le texte de la copie n'est pas celui de l'original"),
        (TEXT, "la page 1 de la copie n'a pas l'aspect de l'original"),
    ],
)
def test_a_copy_of_another_text_or_look_is_refused(
    room: Room, monkeypatch: pytest.MonkeyPatch, word: str, said: str
) -> None:
    kept, real = room.keep(old_pdf()), converter._run_tool

    def other(work: Path, *command: str) -> str:
        if command[0] == "gs" and "-dPDFA=2" in command:
            canvas = Canvas(str(work / "autre.pdf"))
            canvas.rect(0, 0, 600, 300, fill=1)
            canvas.drawString(72, 700, word)
            canvas.showPage()
            canvas.drawString(72, 700, "page 2")
            canvas.save()
            command = (*command[:-1], "autre.pdf")
        return real(work, *command)

    monkeypatch.setattr(converter, "_run_tool", other)
    done = room.migrator.convert(kept, OLD)
    assert done.state == NOT and said in done.text


def test_a_copy_that_is_no_pdf_a_is_refused(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, real = room.keep(old_pdf()), converter._run_tool

    def silent(work: Path, *command: str) -> str:
        told = real(work, *command)
        if "-dPDFA=2" in command:
            copy = work / "copie.pdf"
            copy.write_bytes(copy.read_bytes().replace(b"pdfaid:part", b"pdfaid:pars"))
        return told

    monkeypatch.setattr(converter, "_run_tool", silent)
    assert "la copie n'est pas un PDF/A (fmt/276" in room.migrator.convert(kept, OLD).text


def test_a_signature_stays_with_its_original_and_the_copy_says_so(room: Room) -> None:
    content = old_pdf().replace(b"%%EOF", b"% /ByteRange [0 1 2 3]\n%%EOF")
    kept = room.keep(content)
    assert room.migrator.convert(kept, OLD).state == MADE
    [begun] = room.events(BEGUN, kept.aip)
    assert "sa signature reste avec lui" in begun["fichiers"][0]["remarques"][1]


@pytest.mark.parametrize(
    "name",
    (*FIELD, *ODDITIES),
)
def test_what_programs_of_the_field_write_is_known_and_converted(tmp_path: Path, name: str) -> None:
    source = tmp_path / "acte.pdf"
    {**WRITERS, **ODDITIES}[name](source)
    found = formats.identify_one(Member("content/acte.pdf", source, source.stat().st_size, ""))
    assert found.puid in converter.CONVERTIBLE and found.pdfa == "PDF sans déclaration PDF/A"
    work, copy = tmp_path / "travail", tmp_path / "travail/copie.pdf"
    work.mkdir()
    shutil.copy(source, work / "donne")
    done = converter.convert(work, work / "donne", found.puid, copy)
    assert "les mêmes, et chaque page dessinée comme l'original" in " ".join(done.checks)
    assert PdfReader(copy).pages[0].extract_text().startswith(TITLE)  # TeX numbers its pages


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbf<html/>", b"\n\n" + bytes(2000), b"\xef\xbb\xbf", b"a %PDF-1.4\n%%EOF"]
)
def test_what_is_no_pdf_behind_its_blanks_is_not_known(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "acte.pdf"
    path.write_bytes(content)
    assert not formats.identify_one(Member("content/acte.pdf", path, len(content), "")).pdfa


def test_pictures_are_taken_as_they_are(room: Room) -> None:
    kept = room.keep(tiff(), file="content/plan.tif")
    assert room.migrator.convert(kept, frozenset({"fmt/353"})).state == MADE
    copy = room.copy_of(kept)
    [picture] = PdfReader(io.BytesIO(room.read(copy, "content/00001.pdf"))).pages[0].images
    assert picture.image is not None
    assert (picture.image.size, picture.image.getpixel((3, 3))) == ((30, 20), (200, 30, 30))
    assert room.manifest(copy).findtext(f".//{_N}Filename") == "plan.pdf"


def test_a_picture_with_transparencies_is_said(room: Room) -> None:
    made = io.BytesIO()
    Image.new("RGBA", (30, 20), (200, 30, 30, 90)).save(made, "PNG")
    kept = room.keep(made.getvalue(), file="content/blason.png")
    done = room.migrator.convert(kept, frozenset({str(kept.files[1]["format"])}))
    assert (done.state, "demandez-en une version sans elles" in done.text) == (NOT, True)


def test_an_opendocument_text_of_2005(room: Room) -> None:
    if shutil.which("soffice") is None:
        pytest.skip("libreoffice-writer-nogui n'est pas installé ici")  # 400 MB, that bootstrap does not fetch
    kept = room.keep(old_odt(), file="content/acte.odt")
    puid = str(kept.files[1]["format"])
    assert puid == "fmt/136"
    done = room.migrator.convert(kept, frozenset({puid}))
    assert done.state == MADE, done.text
    made = room.read(room.copy_of(kept), "content/00001.pdf")
    assert TEXT in PdfReader(io.BytesIO(made)).pages[0].extract_text()


def test_what_no_tool_converts_is_said(room: Room) -> None:
    kept = room.keep(b"<?xml version='1.0'?><a/>", file="content/a.xml")
    puids = frozenset({"fmt/101"})
    assert room.migrator.planned(kept, puids).text == "aucun outil d'ici ne convertit fmt/101"
    assert room.migrator.convert(kept, puids).state == NOT


def test_what_is_to_be_eliminated_is_not_converted(room: Room) -> None:
    kept = room.keep(old_pdf(), action="Destroy", rule="COURTE-1", start="2026-11-01")
    late = replace(kept, retain_until=int(time.time()) + 86400)
    assert "une copie serait gardée plus longtemps qu'elle" in room.migrator.convert(late, OLD).text
    over = replace(kept, retain_until=int(time.time()) - 1)
    assert room.migrator.convert(over, OLD).text == "sa durée est passée : elle est à éliminer, pas à convertir"
    room.gateway.journal.note("elimination.debut", "gondecourt", "succes", {}, kept.aip)
    assert "en train de l'être" in room.migrator.convert(kept, OLD).text
    assert room.gateway.registry.copies("gondecourt", kept.aip) == []


def test_what_comes_later_into_a_format_at_risk_is_another_copy(room: Room) -> None:
    package = sip({"content/a.pdf": old_pdf(), "content/b.tif": tiff()}, message="ACTE-1")
    kept = room.archive(str(room.gateway.deposit(package).aip))
    assert room.migrator.convert(kept, OLD).state == MADE
    assert room.migrator.convert(kept, OLD | {"fmt/353"}).state == MADE
    assert room.migrator.convert(kept, OLD | {"fmt/353"}).state == ALREADY
    first, second = room.gateway.registry.copies("gondecourt", kept.aip)
    assert [room.archive(one).message for one in (first, second)] == [
        f"CONVERSION-{kept.aip}",
        f"CONVERSION-{kept.aip}-2",
    ]
    assert room.manifest(room.archive(second)).findtext(f".//{_N}Filename") == "b.pdf"


def test_an_identifier_that_somebody_else_took_is_no_copy(room: Room) -> None:
    kept = room.keep(old_pdf())
    other = room.keep(old_pdf("autre"), f"CONVERSION-{kept.aip}")
    done = room.migrator.convert(kept, OLD)
    assert done.state == NOT and f"est celui d'un autre versement (archive {other.aip})" in done.text


def test_a_bag_and_an_agreement(room: Room) -> None:
    files = bag({"acte.pdf": old_pdf()}, Regle_DUA="ACTES-10", Date_Debut_DUA="2026-01-15")
    kept = room.archive(str(room.gateway.deposit(tar(files)).aip))
    # The agreement that the account has today: the door takes no other.
    account: Account = replace(GONDECOURT, agreement="ACCORD-2026")
    room.gateway.engine.config = replace(room.gateway.config, accounts={"gondecourt": account})
    assert room.migrator.convert(kept, OLD).state == MADE
    copy = room.copy_of(kept)
    root = room.manifest(copy)
    assert root.findtext(f"{_N}ArchivalAgreement") == "ACCORD-2026"
    assert (copy.retain_until, copy.action) == (kept.retain_until, "Destroy")
    assert root.find(f".//{_N}AccessRule") is None, "a bag says no access rule: nobody reads before it is classified"


def test_a_copy_is_read_by_nobody_before_its_original(room: Room) -> None:
    free = "<Rule>AR038</Rule><StartDate>2026-01-15</StartDate>"
    package = sip({"content/acte.pdf": old_pdf()}, message="ACTE-1", access=free)
    kept = room.archive(str(room.gateway.deposit(package).aip))
    room.migrator.convert(kept, OLD)
    copy = room.copy_of(kept)
    with closing(Register(room.gateway.config.folder / access.NAME)) as book:
        nobody = Trust(room.gateway.root, None, ())
        desk = Desk(
            room.gateway.journal, room.gateway.store, book, nobody, room.gateway.config.accounts, AGENCY, ACCESS
        )
        assert desk.verdict("gondecourt", copy.aip).communicable
        desk.classify("gondecourt", kept.aip, "AR048", date(2026, 1, 15), "vie privée")
        found = desk.verdict("gondecourt", copy.aip)
        assert not found.communicable and found.code == "AR048"


def test_who_reads_sees_both(room: Room, tmp_path: Path) -> None:
    kept = room.keep(old_pdf())
    room.migrator.convert(kept, OLD)
    copy = room.copy_of(kept)
    issued = Authority(tmp_path / "pki", "groupement de test").issue("commune", siren=SIREN)
    headers = {HEADER: quote((issued / "cert.pem").read_text())}
    client = create_app(room.gateway.config, room.gateway.engine).test_client()
    told = {aip: client.get(f"/v1/archives/{aip}", headers=headers).get_json() for aip in (kept.aip, copy.aip)}
    assert (told[kept.aip]["copies"], told[kept.aip]["copie_de"]) == ([copy.aip], "")
    assert (told[copy.aip]["copies"], told[copy.aip]["copie_de"]) == ([], kept.aip)
    page = client.get("/", headers=headers).get_data(as_text=True)
    assert f"copie en PDF/A de <code>{kept.aip}</code>" in page
    assert f"copie en PDF/A : <code>{copy.aip}</code>" in page


def test_what_asks_the_service_badly_is_answered(tmp_path: Path) -> None:
    Conversions(tmp_path / "s.sock")
    source = tmp_path / "a"
    source.write_bytes(b"x")
    with pytest.raises(converter.ConversionError, match="aucun outil d'ici ne convertit le format fmt/1"):
        Converter(tmp_path / "s.sock").convert(source, "a", "fmt/1", tmp_path / "b")
    with pytest.raises(converter.ConversionError, match=r"systemctl status sae-conversion\.socket"):
        Converter(tmp_path / "absent.sock").convert(source, "a", "fmt/16", tmp_path / "b")


def test_a_tool_that_is_absent_or_never_ends_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(converter.ConversionError, match="absent-d-ici n'est pas installé sur la porte des archives"):
        converter._run_tool(tmp_path, "absent-d-ici")
    monkeypatch.setattr(converter, "LONGEST_S", 0.1)
    with pytest.raises(converter.ConversionError, match="sleep n'a pas fini"):
        converter._run_tool(tmp_path, "sleep", "5")
