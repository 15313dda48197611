# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Files that a machine sends as evidence: checked here again, because an auditor opens them from the report.

A file is what its name says and nothing that a browser runs: no page, no drawing with a program in it, no style sheet.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import clean
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.proof import MAX_FILE, MAX_FILES, SUFFIXES

_MAX_PIXELS = 50_000_000
_MAX_INFLATED = 64 << 20
_FILE_NAME_PATTERN = re.compile(r"(?!\.)[\w.@+ -]{1,120}")
# XML that browsers draw or run, and the language of style sheets (https://www.w3.org/TR/xml-stylesheet).
_ACTIVE_NAMESPACES = (
    "http://www.w3.org/1999/xhtml",
    "http://www.w3.org/2000/svg",
    "http://www.w3.org/1999/XSL/Transform",
    "http://www.w3.org/1998/Math/MathML",
    "http://www.mozilla.org/xbl",
    "http://www.mozilla.org/keymaster/gatekeeper/there.is.only.xul",
)
# ISO 32000-1, 12.6.4: actions that run, open or send something; any letter of a name may be written #xx (7.3.5).
_ACTIVE_NAMES = (
    *("JavaScript", "Launch", "RichMedia", "XFA", "SubmitForm", "ImportData", "GoToR", "GoToE"),
    *("EmbeddedFile", "EmbeddedFiles", "Encrypt", "LZWDecode"),  # LZW would hide what is inside
)
_ACTIVE_PDF = re.compile(
    b"/(?:"
    + b"|".join(
        b"".join(b"(?:%s|#%s)" % (letter.encode(), b"%02x" % ord(letter)) for letter in name) for name in _ACTIVE_NAMES
    )
    + rb")(?![A-Za-z0-9])",
    re.IGNORECASE,
)
# Readers take a blank after the word, and a line end of any kind.
_PDF_STREAM_START = re.compile(rb"stream[ \t\0]*(?:\r?\n|\r)")
_ZLIB = (b"x", b"h", b"X", b"8", b"H", b"\x18", b"(")  # what begins a zlib stream (RFC 1950, 2.2)
_PNG = b"\x89PNG\r\n\x1a\n"
# What makes a terminal, or the order of what is read, say something else.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class InvalidFileError(CreaticError, ValueError, cause="fichier"):
    """A file is not what may be kept; the message is French, without the file's name."""


def _check_picture(content: bytes, kind: str) -> None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=(kind,)) as picture:
            width, height = picture.size
            picture.verify()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidFileError(f"ce n'est pas une image {kind}") from error
    if width * height > _MAX_PIXELS:
        raise InvalidFileError(f"image de {width} × {height} points, démesurée")
    if not (_png_ends(content) if kind == "PNG" else content.endswith(b"\xff\xd9")):
        raise InvalidFileError("image suivie d'autre chose")


def _png_ends(content: bytes) -> bool:
    """Whether nothing follows the last chunk of a picture (PNG, 5.3): an archive or a page could."""
    at = len(_PNG)
    while at + 12 <= len(content):
        size, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        at += 12 + size
        if kind == b"IEND":
            return at == len(content)
    return False


def _check_pdf(content: bytes) -> None:
    if not content.startswith(b"%PDF-"):
        raise InvalidFileError("ce n'est pas un PDF")
    left = _MAX_INFLATED
    parts = [content]
    whole, last = memoryview(content), content.rfind(b"endstream")
    for found in _PDF_STREAM_START.finditer(content):
        start = found.end()
        # Only its own filter knows where a stream ends: `endstream` may stand inside.
        streams: list[bytes | memoryview] = [whole[start:]]
        if start <= last:
            end = content.index(b"endstream", start)
            left -= end - start
            streams += _decode_text_filters(content[start:end])
        for stream in streams:
            for part in (stream, _inflate_stream(stream, max(left, 1))):
                if isinstance(part, bytes):
                    left -= len(part)
                    parts.append(part)
        if left <= 0:
            raise InvalidFileError("PDF démesuré, une fois décompressé")
    for part in parts:
        if active := _ACTIVE_PDF.search(part):
            raise InvalidFileError(f"PDF qui contient plus que des pages ({active[0].decode()[1:]})")


def _inflate_stream(stream: bytes | memoryview, most: int) -> bytes:
    """What a zlib stream holds; nothing when it is none."""
    if not bytes(stream[:1]).startswith(_ZLIB):
        return b""
    try:
        return zlib.decompressobj().decompress(stream, most)
    except zlib.error:
        return b""


def _decode_text_filters(stream: bytes) -> Iterator[bytes]:
    """What each filter of letters alone reads in a stream (ISO 32000-1, 7.4)."""
    if not stream.isascii():
        return
    letters = b"".join(stream.split()).removesuffix(b">")
    for decode in (_of_hex, base64.a85decode):
        try:
            yield decode(letters.removesuffix(b"~"))
        except ValueError:
            continue


def _of_hex(letters: bytes) -> bytes:
    """Bytes of hexadecimal digits, of which the last may be missing (ISO 32000-1, 7.4.2)."""
    return bytes.fromhex((letters + b"0" * (len(letters) % 2)).decode())


def _check_xml(content: bytes) -> None:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InvalidFileError("ce n'est pas du XML lisible") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise InvalidFileError("XML avec une déclaration de type (DOCTYPE)")
    for node in (*root.itersiblings(preceding=True), *root.iter(), *root.itersiblings()):
        if isinstance(node, etree._ProcessingInstruction):
            raise InvalidFileError(f"XML avec une instruction de traitement ({clean(str(node.target))[:40]})")
        spaces = node.nsmap.values() if isinstance(node.tag, str) else ()
        if any(str(space).rstrip("/#").casefold() in map(str.casefold, _ACTIVE_NAMESPACES) for space in spaces):
            raise InvalidFileError("XML qu'un navigateur exécuterait (page, dessin ou feuille de style)")


def _check_text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidFileError("ce n'est pas du texte UTF-8") from error
    if found := _CONTROLS.search(text):
        raise InvalidFileError(f"ce n'est pas du texte (caractère U+{ord(found[0]):04X})")
    # What a browser does not know by its name, it recognizes by its beginning (https://mimesniff.spec.whatwg.org).
    if re.sub(r"^[\s\ufeff]+", "", text).startswith(("<", "%PDF-", "%!PS")):
        raise InvalidFileError("texte qui se présente comme une page ou un document")
    return text


def _check_json(content: bytes) -> None:
    try:
        json.loads(_check_text(content))
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, InvalidFileError) else InvalidFileError("ce n'est pas du JSON") from error


_CHECKS = {
    ".png": lambda content: _check_picture(content, "PNG"),
    ".jpg": lambda content: _check_picture(content, "JPEG"),
    ".jpeg": lambda content: _check_picture(content, "JPEG"),
    ".pdf": _check_pdf,
    ".xml": _check_xml,
    ".json": _check_json,
    ".txt": _check_text,
    ".log": _check_text,
}


def check_file(name: str, content: bytes) -> None:
    """Refuse a file that may not be kept as evidence.

    Raises:
        FileRefused: its kind is not collected, it is too big, or it is not what its name says.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidFileError(f"type de fichier refusé ; attendu : {', '.join(SUFFIXES)}")
    if len(content) > MAX_FILE:
        raise InvalidFileError(f"{len(content) >> 20} Mio, {MAX_FILE >> 20} au plus")
    _CHECKS[suffix](content)


def _decode_content(item: Any) -> bytes:
    """Content of a file as the machine sends it (nom, octets, sha256, contenu in base64)."""
    packed = item.get("contenu") if isinstance(item, dict) else None
    if not isinstance(packed, str) or not isinstance(item.get("nom"), str):
        raise InvalidFileError("envoi illisible (nom, contenu)")
    if len(packed) > MAX_FILE * 4 // 3 + 4:
        raise InvalidFileError(f"plus de {MAX_FILE >> 20} Mio")
    try:
        content = base64.b64decode(packed, validate=True)
    except ValueError as error:
        raise InvalidFileError("contenu illisible (base64)") from error
    if hashlib.sha256(content).hexdigest() != item.get("sha256"):
        raise InvalidFileError("modifié pendant son transfert : relancer")
    return content


def receive_files(folder: Path, prefix: str, files: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Write the files that a machine sent, those which may be kept.

    Args:
        folder: where to write.
        prefix: place of `folder` in the commune's folder.

    Returns:
        What the evidence says of each (chemin, sha256, octets), and the French reasons of those that are refused.
    """
    kept: dict[str, dict[str, Any]] = {}
    refused = []
    if not isinstance(files, Sequence) or isinstance(files, str):
        return [], ["la liste des fichiers est illisible"]
    if len(files) > MAX_FILES:
        refused.append(f"{len(files)} fichiers, {MAX_FILES} au plus : les suivants sont laissés")
    folder.mkdir(parents=True, exist_ok=True)
    for item in files[:MAX_FILES]:
        name = Path(str(item.get("nom") if isinstance(item, dict) else "")).name
        try:
            content = _decode_content(item)
            if not _FILE_NAME_PATTERN.fullmatch(name):
                raise InvalidFileError("nom de fichier refusé : lettres, chiffres, points et tirets, 120 au plus")
            if name.casefold() in kept:
                raise InvalidFileError("deux fichiers de ce nom")
            check_file(name, content)
        except InvalidFileError as error:
            refused.append(f"{clean(name)[:120] or 'fichier sans nom'} : {error}")
            continue
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        kept[name.casefold()] = {"chemin": f"{prefix}/{name}", "sha256": digest, "octets": len(content)}
    return list(kept.values()), refused
