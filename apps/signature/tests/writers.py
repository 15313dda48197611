"""Documents as the field's programs write them: Word and Excel by hand, the others by themselves."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pypdf
import pytest
from reportlab.pdfgen import canvas
from weasyprint import HTML, Attachment

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
    place, pairs = 0, []
    for number, content in inside.items():
        pairs.append(b"%d %d" % (number, place))
        place += len(content) + 1
    head = b" ".join(pairs) + b" "
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


def _source(path: Path, pages: int = 2) -> Path:
    """What other programs are given to write again."""
    source = path.with_name("source.pdf")
    paper = canvas.Canvas(str(source))
    for number in range(pages):
        paper.drawString(100, 700, TITLE if number == 0 else f"Page {number + 1}")
        paper.showPage()
    paper.save()
    return source


def _ran(*command: str | Path, **options: Any) -> None:
    """Run a writer, where it is installed."""
    program = str(command[0])
    if shutil.which(program) is None:
        pytest.skip(f"{program} n'est pas installé ici")
    subprocess.run([str(one) for one in command], check=True, capture_output=True, timeout=600, **options)


def by_reportlab(path: Path) -> None:
    _source(path).rename(path)


def by_weasyprint(path: Path, **options: Any) -> None:
    HTML(string=f"<p>{TITLE}</p><p style='page-break-before: always'>Page 2</p>").write_pdf(path, **options)


def by_pypdf(path: Path, *, incremental: bool) -> None:
    source = _source(path)
    writer = pypdf.PdfWriter(source, incremental=True) if incremental else pypdf.PdfWriter(clone_from=source)
    writer.add_metadata({"/Title": "Acte"})
    writer.write(path)


def by_ghostscript(path: Path, level: str) -> None:
    _ran("gs", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=pdfwrite", f"-dCompatibilityLevel={level}",
         f"-sOutputFile={path}", _source(path))  # fmt: skip # a command by its words


def by_cups_pdf(path: Path) -> None:
    """What its virtual printer runs on the PostScript of a printed document (cups-pdf.conf, GSCall)."""
    printed = path.with_name("imprime.ps")
    _ran("pdftops", _source(path), printed)
    _ran("gs", "-q", "-dCompatibilityLevel=1.5", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=pdfwrite",
         f"-sOutputFile={path}", "-dAutoRotatePages=/PageByPage", "-dAutoFilterColorImages=false",
         "-dColorImageFilter=/FlateEncode", "-dPDFSETTINGS=/prepress", "-f", printed)  # fmt: skip # as above


def by_cairo(path: Path) -> None:
    _ran("pdftocairo", "-pdf", _source(path), path)


def by_qpdf(path: Path, *options: str) -> None:
    _ran("qpdf", *options, _source(path), path)


def by_pikepdf(path: Path, saved: str, before: str = "pass") -> None:
    """Debian's (img2pdf brings it), or this environment's."""
    code = f"import pikepdf, sys; pdf = pikepdf.open(sys.argv[1]); {before}; pdf.save(sys.argv[2], {saved})"
    _by_python("pikepdf", code, _source(path), path)


def by_fpdf2(path: Path) -> None:
    code = (
        "import fpdf, sys; pdf = fpdf.FPDF(); pdf.set_font('helvetica', size=12)\n"
        f"for words in ({TITLE!r}, 'Page 2'): pdf.add_page(); pdf.cell(text=words)\n"
        "pdf.output(sys.argv[1])"
    )
    _by_python("fpdf", code, path)


def _by_python(module: str, code: str, *arguments: Path) -> None:
    for program in (sys.executable, "/usr/bin/python3"):
        known = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
        if shutil.which(program) and not subprocess.run([program, "-c", known], check=False).returncode:
            _ran(program, "-c", code, *arguments)
            return
    pytest.skip(f"{module} n'est pas installé ici")


def by_chromium(path: Path) -> None:
    page, profile = path.with_name("page.html"), path.with_name("profil")
    page.write_text(f"<html lang=fr><p>{TITLE}<p style='page-break-before: always'>Page 2", encoding="utf-8")
    _ran("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
         f"--user-data-dir={profile}", f"--print-to-pdf={path}", page.as_uri())  # fmt: skip # as above


def by_libreoffice(path: Path) -> None:
    page = path.with_name("texte.html")
    page.write_text(f"<p>{TITLE}</p><p style='page-break-before: always'>Page 2</p>", encoding="utf-8")
    _ran("soffice", f"-env:UserInstallation=file://{path.parent / 'bureau'}", "--headless", "--convert-to",
         "pdf:writer_web_pdf_Export", "--outdir", path.parent, page)  # fmt: skip # as above
    path.with_name("texte.pdf").rename(path)


def by_tex(path: Path) -> None:
    source = path.with_name("texte.tex")
    source.write_text(
        rf"\documentclass{{article}}\begin{{document}}{TITLE}\newpage Page 2\end{{document}}", encoding="utf-8"
    )
    _ran("pdflatex", "-interaction=batchmode", f"-output-directory={path.parent}", source)
    path.with_name("texte.pdf").rename(path)


def _spoilt(path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path.write_bytes(spoil(_source(path).read_bytes()))


def _appended(data: bytes, objects: Mapping[int, tuple[int, bytes]], size: int) -> bytes:
    """A second revision: content and generation of each object."""
    start, root = (int(re.findall(rb"%s\s+(\d+)" % key, data)[-1]) for key in (b"startxref", b"/Root"))
    body, table = bytearray(data), []
    for number, (generation, content) in objects.items():
        table.append(b"%d 1\n%010d %05d n \n" % (number, len(body), generation))
        body += b"%d %d obj\n%s\nendobj\n" % (number, generation, content)
    last = b"trailer\n<< /Size %d /Root %d 0 R /Prev %d >>\nstartxref\n%d\n%%%%EOF\n" % (size, root, start, len(body))
    return bytes(body) + b"xref\n" + b"".join(table) + last


def _catalog(data: bytes, more: bytes) -> tuple[int, bytes]:
    number = int(re.findall(rb"/Root\s+(\d+)", data)[-1])
    [found] = re.findall(rb"(?s)\n%d 0 obj\s*<<(.*?)>>\s*endobj" % number, data)
    return number, b"<<%s %s>>" % (found, more)


def _with_catalog(data: bytes, more: bytes, others: Mapping[int, tuple[int, bytes]] | None = None) -> bytes:
    number, catalog = _catalog(data, more)
    return _appended(data, {number: (0, catalog), **(others or {})}, 90)


def _with_generations(data: bytes) -> bytes:
    """Objects that no table names, of which a program has left two generations."""
    old = b"70 0 obj\n(premier)\nendobj\n70 1 obj\n(second)\nendobj\n"
    place = data.rindex(b"xref\n0 ")
    start = place + len(old)
    return data[:place] + old + re.sub(rb"startxref\n\d+", b"startxref\n%d" % start, data[place:])


def _attached(path: Path) -> None:
    attachment = path.with_name("facture.xml")
    attachment.write_text("<facture/>", encoding="utf-8")
    by_weasyprint(path, pdf_variant="pdf/a-3b", attachments=[Attachment(filename=attachment, relationship="Data")])


Writer = Callable[[Path], object]
WRITERS: dict[str, Writer] = {
    "Word": word,
    "Word, one page": lambda path: word(path, pages=1),
    "Excel, many pages": lambda path: word(path, pages=12),
    "LibreOffice": by_libreoffice,
    "TeX": by_tex,
    "Chromium": by_chromium,
    "cups-pdf": by_cups_pdf,
    "ghostscript 1.3": lambda path: by_ghostscript(path, "1.3"),
    "ghostscript 1.7": lambda path: by_ghostscript(path, "1.7"),
    "cairo": by_cairo,
    "reportlab": by_reportlab,
    "fpdf2": by_fpdf2,
    "weasyprint": by_weasyprint,
    "weasyprint, PDF/A-3 with a file": _attached,
    "weasyprint, PDF/UA": lambda path: by_weasyprint(path, pdf_variant="pdf/ua-1"),
    "pypdf": lambda path: by_pypdf(path, incremental=False),
    "pypdf, appended": lambda path: by_pypdf(path, incremental=True),
    "pikepdf": lambda path: by_pikepdf(path, "static_id=True"),
    "pikepdf, objects packed": lambda path: by_pikepdf(
        path, "object_stream_mode=pikepdf.ObjectStreamMode.generate"
    ),
    "pikepdf, with a file": lambda path: by_pikepdf(
        path, "static_id=True", "pdf.attachments['annexe.txt'] = b'annexe'"
    ),
    "qpdf, for the web": lambda path: by_qpdf(path, "--linearize"),
    "qpdf, for the web, packed": lambda path: by_qpdf(path, "--linearize", "--object-streams=generate"),
    "qpdf, to be read": lambda path: by_qpdf(path, "--qdf"),
}  # fmt: skip # a table
"""By program. One that is not installed skips."""
ODDITIES: dict[str, Writer] = {
    "a byte order mark first": lambda path: _spoilt(path, lambda data: b"\xef\xbb\xbf" + data),
    "blank lines first": lambda path: _spoilt(path, lambda data: b"\r\n\r\n" + data),
    "zeros last": lambda path: _spoilt(path, lambda data: data + bytes(700)),
    "many zeros last": lambda path: _spoilt(path, lambda data: data + bytes(9000)),
    "blank lines last": lambda path: _spoilt(path, lambda data: data + b"\r\n" * 900),
    "a reference to nothing": lambda path: _spoilt(path, lambda data: _with_catalog(data, b"/Reste 80 0 R")),
    "an earlier generation": lambda path: _spoilt(path, _with_generations),
    "an XFA form": lambda path: _spoilt(
        path,
        lambda data: _with_catalog(
            data,
            b"/AcroForm << /Fields [] /XFA 81 0 R >>",
            {81: (0, b"<< /Length 10 >>\nstream\n<xdp:xdp/>\nendstream")},
        ),
    ),
    "a table one byte off": lambda path: _spoilt(
        path, lambda data: re.sub(rb"startxref\n(\d+)", lambda one: b"startxref\n%d" % (int(one[1]) + 1), data)
    ),
    "properties that are nothing": lambda path: _spoilt(
        path, lambda data: re.sub(rb"/Info \d+ 0 R", b"/Info 80 0 R", data)
    ),
    "a metadata that is nothing": lambda path: _spoilt(path, lambda data: _with_catalog(data, b"/Metadata 80 0 R")),
}  # fmt: skip # a table
"""What programs of the field spoil, and readers mend."""
