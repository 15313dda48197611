"""The door of a circuit: a PDF becomes one that every reader reads in the same way, once, before anybody signs it.

One that was written once, with one table, right to the byte, is left as it is. Another one is read leniently, by qpdf,
and written again whole: streams keep their bytes (what nothing packed is packed), what nothing leads to and what an
earlier version held go away. Another reader must then show both alike. What bears a signature is never written again.

A form is drawn: of a field, browsers show the value and others the drawing, and a program shows what it likes, when it
likes. Somebody would sign what another never sees.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from . import check, files, forms, pades, rereading, structure
from .refusal import DocumentRefusedError

SECONDS = 90
_OPTIONS = (
    "--no-warn",
    "--warning-exit-0",
    "--deterministic-id",
    "--object-streams=disable",
    "--decode-level=none",
    "--compress-streams=y",
)
_FLATTEN_OPTIONS = ("--flatten-annotations=screen",)
_PROGRAM = (
    "{} : ce PDF est un formulaire, ou contient un programme (JavaScript, XFA) : d'un logiciel à l'autre, on n'y "
    "verrait pas forcément le même document. À faire : imprimez-le au format PDF (« Imprimer », « Enregistrer au "
    "format PDF »), et déposez le fichier obtenu"
)
_TWO = "{} : d'un logiciel à l'autre, ce PDF ne montre pas le même document. À faire : " + files.REMAKE
_LAYERS = (
    "{} : ce PDF a des calques qui se voient ou non selon le logiciel, à l'écran ou sur le papier : on n'y signerait "
    "pas forcément ce qu'un autre y lit. À faire : imprimez-le au format PDF (« Imprimer », « Enregistrer au format "
    "PDF »), et déposez le fichier obtenu"
)
_QPDF_MISSING_REASON = (
    "{} : ce PDF est à écrire de nouveau, et « qpdf » manque ici. À faire : installez le paquet qpdf, puis relancez"
)
_BLANK_MOST = 1 << 16  # bytes that disks and messages add, zeros or blank lines
_EOF_SEARCH_BYTES = 2048  # bytes, where a file says that it ends: one that was cut on its way does not


class Form(Enum):
    """What becomes of fields and programs."""

    DRAWN = "of what a person will sign"
    SIGNED = "of a contract: what a supplier signed stays as it is"
    KEPT = "of a piece, which nobody signs here"


def admit(source: Path, target: Path, form: Form = Form.DRAWN) -> bool:
    """Let a document into a circuit.

    Args:
        target: where it is written when it must be again.
        form: what becomes of its fields.

    Returns:
        Whether it was: the circuit's document is then that one.

    Raises:
        Refusal: it is no PDF that can be signed, or can be read in several ways and cannot be written again.
    """
    files.check_size(source)
    told: files.AmbiguousPdfError | files.DamagedPdfError | None = None
    layout: structure.Layout | None = None
    stays = False
    try:
        with files.open_pdf(source) as (_stream, reader):
            layout = files.check_clear(source, files.REMAKE)
            if form is not Form.KEPT and (closed := pades.closed(source, reader)):
                raise DocumentRefusedError(f"{source.name} : {closed}")
            stays = form is Form.SIGNED and bool(check.signatures(source, reader))
    except files.DamagedPdfError as refusal:
        told = refusal
        if not _has_eof_marker(source):
            raise
    except files.AmbiguousPdfError as refusal:
        told = refusal
    draws = (layout is None or layout.living) and form is not Form.KEPT
    if layout:
        _check_layers(source, layout, form, stays)
    if layout and layout.is_plain and not draws:
        return False
    _write_again(source, target)
    if files.is_signed(source) or files.is_signed(target):
        target.unlink()
        if told:
            raise told
        if draws and not stays:
            raise DocumentRefusedError(_PROGRAM.format(source.name))
        return False
    try:
        with files.open_pdf(target):
            written = files.check_clear(target, files.REMAKE)
        _check_layers(source, written, form, stays)
        rereading.check(target, source)
        if draws and written.living:
            written = _draw_form(source, target)
    except (
        files.AmbiguousPdfError,
        files.DamagedPdfError,
        rereading.RenderingMismatchError,
        forms.MissingAppearanceError,
    ):
        raise DocumentRefusedError((_PROGRAM if draws and layout else _TWO).format(source.name)) from None
    if draws and written.programs:  # fields that the structure of a text still names are in no form, on no page
        raise DocumentRefusedError(_PROGRAM.format(source.name))
    return True


def _check_layers(source: Path, layout: structure.Layout, form: Form, stays: bool) -> None:
    if layout.layers and form is not Form.KEPT and not stays:
        raise DocumentRefusedError(_LAYERS.format(source.name))


def _draw_form(source: Path, target: Path) -> structure.Layout:
    """Write a form as its fields are drawn; what they say must be what they show."""
    with tempfile.TemporaryDirectory() as name:
        settled = Path(name, source.name)
        asked = forms.settle(target, settled)
        known = settled if asked else source
        _write_again(known, target, _FLATTEN_OPTIONS)
        with files.open_pdf(target):
            written = files.check_clear(target, files.REMAKE)
        rereading.check(target, known)
        if asked:
            rereading.check_words(target, source)
    return written


def _has_eof_marker(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _BLANK_MOST))
        return b"%%EOF" in stream.read().rstrip(b"\0\t\n\f\r ")[-_EOF_SEARCH_BYTES:]


def _write_again(source: Path, target: Path, options: Sequence[str] = ()) -> None:
    asked: list[str | Path] = ["qpdf", *_OPTIONS, *options, source, target]
    try:
        done = subprocess.run(asked, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False)
    except FileNotFoundError:
        raise DocumentRefusedError(_QPDF_MISSING_REASON.format(source.name)) from None
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode or not target.is_file():
        raise files.DamagedPdfError(f"{source.name} : le PDF est abîmé. À faire : {files.REMAKE}")
