"""Files converted into another format, and what became of them checked: one request on standard input, one answer.

systemd starts a process for each connection to a unix socket (`sae-conversion@.service`), under an account that has no
key, no network, and little memory: what a hostile file does to Ghostscript or LibreOffice ends with it.

A request is a line of JSON (``nom``, of the file, for people; ``format``, its PRONOM identifier; ``octets``), then the
file. An answer is a line of JSON, then the converted file: ``outil``, ``version``, ``suffixe``, ``controles`` (what was
checked, in French), ``remarques`` (what the copy has no longer, in French), ``octets``; or ``refus``, a French reason.

What is checked: the copy is a PDF that can be read, not encrypted, of as many pages as the original, with the same
words when that was a PDF, all its fonts within. That it declares PDF/A is the door's to see (Siegfried), as for any
file; whether it conforms is validated by nobody here.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from xml.sax.saxutils import unescape

from creatic_agent.errors import CreaticError

MAX_CONVERTED_FILE_BYTES = 500_000_000  # bytes of a file, and of what it becomes
LONGEST_S = 540  # seconds that a tool may take; the unit ends a little after
_ANSWER_S = 650
_MAX_CONVERTER_LINE_BYTES = 1 << 16
_CONVERSION_BLOCK_BYTES = 1 << 20
_MAX_COMPARED_CHARACTERS = 200_000_000  # characters of text that are compared
_ICC = Path("/usr/share/color/icc/ghostscript/srgb.icc")
# PDF/A wants to know what its colours are (ISO 19005-2, 6.2.3): sRGB, within the file.
_INTENT = f"""%!
[/_objdef {{icc}} /type /stream /OBJ pdfmark
[{{icc}} << /N 3 >> /PUT pdfmark
[{{icc}} ({_ICC}) (r) file /PUT pdfmark
[/_objdef {{intent}} /type /dict /OBJ pdfmark
[{{intent}} << /Type /OutputIntent /S /GTS_PDFA1 /DestOutputProfile {{icc}} /OutputConditionIdentifier (sRGB) >>
/PUT pdfmark
[{{Catalog}} << /OutputIntents [ {{intent}} ] >> /PUT pdfmark
"""
# A line of pdffonts: name, type, encoding, whether it is within, in part, with its Unicode, and its object.
_FONT = re.compile(
    r"(.+?) +(?:Type|CID|TrueType|unknown).* (yes|no) +(?:yes|no) +(?:yes|no) +(?:\d+ +\d+|\[none\])", re.IGNORECASE
)
_DRAWN_PAGE_SIZE = 200  # pixels of a page's longer side, drawn to be compared
_MAX_MEAN_DIFFERENCE = (
    4  # of 255, between two drawings of a page, in the mean: what another rendering of its letters makes
)
_PDF_SOURCE_PUIDS = ("fmt/14", "fmt/15", "fmt/16", "fmt/17", "fmt/18", "fmt/19", "fmt/20", "fmt/276", "fmt/1129")
_IMAGES = (
    "fmt/11", "fmt/12", "fmt/13", "fmt/41", "fmt/42", "fmt/43", "fmt/44", "x-fmt/390", "x-fmt/391", "fmt/645",
    "fmt/1507", "fmt/353",
)  # fmt: skip # a list of words
_ODT_PUIDS = ("fmt/136", "fmt/290", "fmt/291", "fmt/1756")


_Made = tuple[str, str, int, list[str], list[str]]  # tool, its version, pages of the copy, checks, remarks


class ConversionError(CreaticError, cause="non_converti"):
    """There is no copy, or none that is good; the message, in French, says why."""


# -- what the door asks ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Converted:
    """What came of a file: the tool and its version, what was checked, what the copy has no longer (French)."""

    tool: str
    version: str
    suffix: str
    checks: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Converter:
    """The service of conversions.

    Attributes:
        socket: where it listens; a process answers each request.
    """

    socket: Path

    def convert(self, source: Path, name: str, puid: str, target: Path) -> Converted:
        """Write what a file becomes. Raises NotConverted, or OSError: this machine's disk."""
        size = source.stat().st_size
        if size > MAX_CONVERTED_FILE_BYTES:
            raise ConversionError(
                f"il fait {size // 1_000_000} Mo, plus que les {MAX_CONVERTED_FILE_BYTES // 1_000_000} Mo admis"
            )
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(_ANSWER_S)
                link.connect(str(self.socket))
                request = {"nom": name, "format": puid, "octets": size}
                link.sendall(json.dumps(request).encode() + b"\n")
                with source.open("rb") as stream:
                    link.sendfile(stream)
                with link.makefile("rb") as answer:
                    told = json.loads(answer.readline(_MAX_CONVERTER_LINE_BYTES))
                    if "refus" in told:
                        raise ConversionError(str(told["refus"]))
                    with target.open("wb") as written:
                        _copy_bytes(answer, written, int(told["octets"]))
                    return Converted(
                        str(told["outil"]),
                        str(told["version"]),
                        str(told["suffixe"]),
                        tuple(map(str, told["controles"])),
                        tuple(map(str, told["remarques"])),
                    )
        except (ConnectionError, TimeoutError, FileNotFoundError, ValueError, KeyError, TypeError) as error:
            raise ConversionError(
                f"la conversion n'a pas abouti ({error}) : voyez systemctl status sae-conversion.socket, journalctl "
                "-u 'sae-conversion@*'"
            ) from error


def _copy_bytes(source: BinaryIO, target: BinaryIO, size: int) -> None:
    while size > 0:
        block = source.read(min(size, _CONVERSION_BLOCK_BYTES))
        if not block:
            raise ConnectionError("la réponse s'est interrompue")
        target.write(block)
        size -= len(block)


# -- what the service does ------------------------------------------------------------------------------------


def _run_tool(work: Path, *command: str) -> str:
    """What a tool prints. Raises NotConverted: it failed, or is not there."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(work), "TMPDIR": str(work), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, cwd=work, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST_S,
            check=False,
        )  # fmt: skip # a call by its parts
    except FileNotFoundError:
        raise ConversionError(
            f"{command[0]} n'est pas installé sur la porte des archives (archive_gateway_office pour LibreOffice)"
        ) from None
    except subprocess.TimeoutExpired:
        raise ConversionError(f"{command[0]} n'a pas fini en {LONGEST_S // 60} minutes") from None
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).decode(errors="replace").splitlines() if line.strip()]
        raise ConversionError(f"{command[0]} n'en vient pas à bout : {' ; '.join(said[:3])[:300] or done.returncode}")
    return done.stdout.decode(errors="replace")


@dataclass(frozen=True)
class _PdfContent:
    """What poppler reads in a PDF. `absent`: fonts that are not within."""

    pages: int
    words: Sequence[str]
    absent: tuple[str, ...]


def _read_pdf(work: Path, pdf: Path) -> _PdfContent:
    """Raises NotConverted: it cannot be read."""
    lines = (line.partition(":") for line in _run_tool(work, "pdfinfo", pdf.name).splitlines())
    told = {name: value.strip() for name, _, value in lines}
    if told.get("Encrypted", "no") != "no":
        raise ConversionError("il est chiffré : demandez-en au service versant une version qui ne l'est pas")
    fonts = (_FONT.fullmatch(line.rstrip()) for line in _run_tool(work, "pdffonts", pdf.name).splitlines()[2:])
    absent = {one[1].strip() for one in fonts if one and one[2] == "no"}
    _run_tool(work, "pdftotext", "-enc", "UTF-8", pdf.name, f"{pdf.name}.txt")
    with (work / f"{pdf.name}.txt").open(encoding="utf-8", errors="replace") as stream:
        words = stream.read(_MAX_COMPARED_CHARACTERS).split()
    return _PdfContent(int(told.get("Pages", "0")), words, tuple(sorted(absent)))


def _of_pdf(work: Path, source: Path, target: Path) -> _Made:
    before = _read_pdf(work, source)
    if not before.pages:
        raise ConversionError("il n'a aucune page")
    attached = re.match(r"[1-9]\d*", _run_tool(work, "pdfdetach", "-list", source.name))
    if attached:
        raise ConversionError(
            f"il porte {attached[0]} fichiers joints, que la copie n'aurait plus : demandez-les au service versant"
        )
    (work / "intent.ps").write_text(_INTENT, encoding="ascii")
    # What poppler mends in silence (a table off, blank lines first) stops Ghostscript: it is given what qpdf reads, of
    # the same content. The copy is compared with the original.
    _run_tool(work, "qpdf", "--no-warn", "--warning-exit-0", "--decode-level=none", source.name, "lu.pdf")
    _run_tool(
        work, "gs", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-dQUIET", "-sDEVICE=pdfwrite", "-dPDFA=2",
        # Rather nothing than a copy that does not conform, or of a part of what is damaged.
        "-dPDFACompatibilityPolicy=2", "-dPDFSTOPONERROR", "-sColorConversionStrategy=RGB", "-dAutoRotatePages=/None",
        # Its pictures lose nothing.
        "-dAutoFilterColorImages=false", "-dColorImageFilter=/FlateEncode", "-dAutoFilterGrayImages=false",
        "-dGrayImageFilter=/FlateEncode", "-dDownsampleColorImages=false", "-dDownsampleGrayImages=false",
        "-dDownsampleMonoImages=false",
        f"--permit-file-read={_ICC}", f"-sOutputFile={target.name}", "intent.ps", "lu.pdf",
    )  # fmt: skip # a command by its words
    after = _check_copy(work, target, before.pages)
    if _comparable_text(after) != _comparable_text(before):
        raise ConversionError("le texte de la copie n'est pas celui de l'original")
    _same_drawing(work, source, target)
    remarks = []
    if before.absent:
        remarks.append(f"polices absentes de l'original, remplacées : {', '.join(before.absent)[:200]}")
    if _is_signed(source):
        remarks.append("l'original est signé : sa signature reste avec lui, la copie n'en a pas")
    return (
        "Ghostscript",
        _run_tool(work, "gs", "--version").strip(),
        after.pages,
        [f"{len(before.words)} mots, les mêmes, et chaque page dessinée comme l'original"],
        remarks,
    )


def _comparable_text(seen: _PdfContent) -> str:
    """Its text, without what a producer may write otherwise: spaces, ligatures."""
    return unicodedata.normalize("NFKC", "".join(seen.words)).replace(" ", "")


def _same_drawing(work: Path, source: Path, target: Path) -> None:
    """Draw both in small, and compare page after page. Raises NotConverted."""
    drawn = []
    for pdf, name in ((source, "avant"), (target, "apres")):
        (work / name).mkdir()
        _run_tool(work, "pdftoppm", "-gray", "-scale-to", str(_DRAWN_PAGE_SIZE), pdf.name, f"{name}/page")
        drawn.append(sorted((work / name).iterdir()))
    for number, (one, other) in enumerate(zip(*drawn, strict=True), start=1):
        before, after = one.read_bytes(), other.read_bytes()
        apart = sum(abs(left - right) for left, right in zip(before, after, strict=False)) / (len(before) or 1)
        if len(before) != len(after) or apart > _MAX_MEAN_DIFFERENCE:
            raise ConversionError(f"la page {number} de la copie n'a pas l'aspect de l'original")


def _is_signed(source: Path) -> bool:
    """Whether a PDF has a signature: what its dictionary must hold, wherever it stands (ISO 32000-1, 12.8.1)."""
    held = b""
    with source.open("rb") as stream:
        while block := stream.read(_CONVERSION_BLOCK_BYTES):
            if b"/ByteRange" in held + block:
                return True
            held = block[-16:]
    return False


def _of_image(work: Path, source: Path, target: Path) -> _Made:
    _run_tool(work, "img2pdf", f"--pdfa={_ICC}", "--output", target.name, source.name)
    if " smask " in _run_tool(work, "pdfimages", "-list", target.name):
        raise ConversionError("il a des transparences, que le PDF/A-1 n'a pas : demandez-en une version sans elles")
    pages = _check_copy(work, target, None).pages
    version = _run_tool(work, "img2pdf", "--version").strip().rpartition(" ")[2]
    return "img2pdf", version, pages, ["pixels repris tels quels"], []


def _of_text(work: Path, source: Path, target: Path) -> _Made:
    _run_tool(
        work, "soffice", f"-env:UserInstallation=file://{work}/profil", "--headless", "--norestore", "--convert-to",
        'pdf:writer_pdf_Export:{"SelectPdfVersion":{"type":"long","value":"2"}}', "--outdir", f"{work}/sortie",
        source.name,
    )  # fmt: skip # a command by its words
    made = work / "sortie" / f"{source.stem}.pdf"
    if not made.is_file():
        raise ConversionError("LibreOffice ne le lit pas")
    made.replace(target)
    after = _check_copy(work, target, None)
    missing = _words_of_text(source) - set("".join(after.words))
    if missing:
        raise ConversionError(
            f"des caractères de l'original ne sont pas dans la copie : {' '.join(sorted(missing))[:60]}"
        )
    version = re.search(r"\d[\d.]*", _run_tool(work, "soffice", "--version"))
    return (
        "LibreOffice", version[0] if version else "inconnue", after.pages, ["tous les caractères de l'original y sont"],
        ["la mise en page est celle que LibreOffice donne aujourd'hui"],
    )  # fmt: skip # a row by its columns


def _words_of_text(source: Path) -> set[str]:
    """The letters and digits of an OpenDocument text's body."""
    try:
        with zipfile.ZipFile(source) as document, document.open("content.xml") as stream:
            body = stream.read(_MAX_COMPARED_CHARACTERS).decode("utf-8", "replace").partition("<office:text")[2]
    except (KeyError, zipfile.BadZipFile, OSError) as error:
        raise ConversionError(f"ce n'est pas un document OpenDocument lisible ({error})") from error
    return {one for one in unescape(re.sub(r"<[^>]*>", " ", "<" + body)) if one.isalnum()}


def _check_copy(work: Path, target: Path, pages: int | None) -> _PdfContent:
    """What the copy is, once it is good. Raises NotConverted."""
    if not target.is_file() or not target.stat().st_size:
        raise ConversionError("l'outil n'a rien écrit : il ne peut pas en faire une copie conforme au PDF/A")
    if target.stat().st_size > MAX_CONVERTED_FILE_BYTES:
        raise ConversionError(f"la copie ferait plus de {MAX_CONVERTED_FILE_BYTES // 1_000_000} Mo")
    after = _read_pdf(work, target)
    if not after.pages or (pages is not None and after.pages != pages):
        raise ConversionError(f"la copie a {after.pages} pages, l'original {pages or 'au moins une'}")
    if after.absent:
        raise ConversionError(f"des polices manquent à la copie : {', '.join(after.absent)[:200]}")
    return after


_Recipe = Callable[[Path, Path, Path], _Made]
_RECIPES: Mapping[str, tuple[str, _Recipe]] = {
    **dict.fromkeys(_PDF_SOURCE_PUIDS, ("pdf", _of_pdf)),
    **dict.fromkeys(_IMAGES, ("image", _of_image)),
    **dict.fromkeys(_ODT_PUIDS, ("odt", _of_text)),
}
CONVERTIBLE = frozenset(_RECIPES)  # PRONOM identifiers


def convert(work: Path, source: Path, puid: str, target: Path) -> Converted:
    """Convert a file of this folder into PDF/A, and check the copy. Raises NotConverted, OSError."""
    if puid not in _RECIPES:
        raise ConversionError(f"aucun outil d'ici ne convertit le format {puid[:40]}")
    suffix, recipe = _RECIPES[puid]
    given = work / f"original.{suffix}"
    source.rename(given)
    tool, version, pages, checks, remarks = recipe(work, given, target)
    whole = [f"copie lisible (poppler), {pages} pages", *checks, "polices toutes dans le fichier"]
    return Converted(tool, version, ".pdf", tuple(whole), tuple(remarks))


def serve(source: BinaryIO, output: BinaryIO) -> None:
    """Answer one request. Raises OSError: who asked is gone, or the disk is full."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        target = work / "copie.pdf"
        try:
            asked: dict[str, Any] = json.loads(source.readline(_MAX_CONVERTER_LINE_BYTES))
            size = int(asked["octets"])
            if not 0 < size <= MAX_CONVERTED_FILE_BYTES:
                raise ConversionError(f"il fait {size} octets")
            with (work / "recu").open("wb") as written:
                _copy_bytes(source, written, size)
            done = convert(work, work / "recu", str(asked["format"]), target)
        except ConversionError as error:
            output.write(json.dumps({"refus": str(error)}).encode() + b"\n")
            return
        size = target.stat().st_size
        told = {
            "outil": done.tool,
            "version": done.version,
            "suffixe": done.suffix,
            "controles": done.checks,
            "remarques": done.remarks,
            "octets": size,
        }
        output.write(json.dumps(told).encode() + b"\n")
        with target.open("rb") as stream:
            _copy_bytes(stream, output, size)
        output.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """What systemd starts for each connection. Returns 0."""
    del argv
    os.umask(0o077)
    with suppress(ConnectionError):  # who asked went away
        serve(sys.stdin.buffer, sys.stdout.buffer)
    return 0
