"""Open a SIP's container, .tar or .zip, without trusting it: bounded, streaming, no name of it ever used as a path.

Each file is written under a number; its name stays a text. Refused: links, devices, absolute or climbing names,
duplicates, encryption, too many files, too many bytes, a compression ratio of a zip bomb.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

from sae.config import Limits
from sae.versement.refusal import SipRefusedError, refuse

_MEMBER_BLOCK_BYTES = 1 << 20
# The largest single read that tarfile or zipfile may ask for: a header that announces more is an attack.
_MAX_READ = 16 << 20
_MIN_RATIO_CHECK_BYTES = 10_000_000  # below this size, a high compression ratio is no danger
_MAX_NAME, _MAX_DEPTH = 1000, 30
_MAX_PATH = 2000  # bytes of a name; a path has 4095, and an archive is brought back into some folder
_MAX_NAMES = 4_000_000  # bytes of all names together: each is kept some ten times until the archive is stored
# Bytes that tar may have before a file (its header and the GNU or PAX ones), and fields that hold for all its files.
_MAX_HEADER, _MAX_COMMON = 128 << 10, 100
# Bytes that zip may have after its files: its end, comment included, and its directory, on average for each file.
_MAX_END, _MAX_ENTRY, _ENTRY = 128 << 10, 512, b"PK\x01\x02"


@dataclass(frozen=True)
class Member:
    """A file of the SIP, on disk under a number."""

    name: str
    path: Path
    size: int
    sha512: str


class _Bounded(io.RawIOBase):
    """A file whose reader cannot be made to fill the memory."""

    def __init__(self, stream: BinaryIO, limits: Limits) -> None:
        self._stream, self._limits = stream, limits
        self._left: int | None = None  # bytes of headers that may still be read; None while contents are
        self._entries = 0

    @contextmanager
    def headers(self, most: int) -> Iterator[None]:
        """What is read meanwhile is headers, of so many bytes at most."""
        self._left = most
        try:
            yield
        finally:
            self._left = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        # The system would call it an error of the disk, which is never held against a SIP: it would wait for ever.
        if whence == os.SEEK_SET and not 0 <= offset <= sys.maxsize:
            raise refuse("CONTENEUR", "Le conteneur place un fichier hors de lui-même : il est abîmé.")
        return self._stream.seek(offset, whence)

    def tell(self) -> int:  # names: io.RawIOBase
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        most = _MAX_READ if self._left is None else self._left
        if size < 0 or size > most:
            at, end = self._stream.tell(), self._stream.seek(0, os.SEEK_END)
            self._stream.seek(at)
            if (end - at if size < 0 else size) > most:
                raise refuse("CONTENEUR", "Le conteneur annonce un en-tête démesuré.")
        block = self._stream.read(size)
        if self._left is not None:
            self._left -= len(block)
            self._entries += block.count(_ENTRY)  # before zipfile makes an object of each
            _check_count(self._entries - 1, self._limits)
        return block


def unpack(package: Path, folder: Path, limits: Limits) -> dict[str, Member]:
    """Write the files of a container into an empty folder; gives them by name, in the container's order.

    Raises Refusal (code CONTENEUR), or OSError when the disk is at fault.
    """
    packed = package.stat().st_size
    with package.open("rb") as stream:
        head = stream.read(512)
        stream.seek(0)
        source = _Bounded(stream, limits)
        if head[:4] == b"PK\x03\x04":
            entries = _zip_entries(source, limits)
        elif head[257:262] == b"ustar":
            entries = _tar_entries(source, limits)
        else:
            raise refuse("CONTENEUR", "Le fichier reçu n'est ni un .tar (sans compression) ni un .zip.")
        return _write_members(entries, folder, packed, limits)


def _write_members(
    entries: Iterator[tuple[str, int, BinaryIO]], folder: Path, packed: int, limits: Limits
) -> dict[str, Member]:
    members: dict[str, Member] = {}
    total = names = 0
    with _translate_errors():
        for name, announced, source in entries:
            plain = _check_name(name)
            if plain == ".":
                raise refuse("CONTENEUR", "« . » est le nom d'un fichier du SIP : c'est celui de tout dossier.")
            names += len(plain.encode())
            if names > _MAX_NAMES:
                raise refuse("CONTENEUR", f"Les noms des fichiers font plus de {_MAX_NAMES // 1_000_000} Mo ensemble.")
            if plain in members:
                raise refuse("CONTENEUR", f"« {plain} » est deux fois dans le conteneur.")
            path = folder / f"{len(members):06d}"
            digest, size = hashlib.sha512(), 0
            with path.open("xb") as target:
                while block := source.read(_MEMBER_BLOCK_BYTES):
                    size += len(block)
                    _check_volume(total + size, packed, limits)
                    digest.update(block)
                    target.write(block)
            if size != announced:
                raise refuse("CONTENEUR", f"« {plain} » fait {size} octets, {announced} étaient annoncés.")
            total += size
            members[plain] = Member(plain, path, size, digest.hexdigest())
    if not members:
        raise refuse("CONTENEUR", "Le conteneur est vide.")
    # No disk holds both; "/" as the lowest character puts what is in a folder right after the file of its name.
    for one, other in pairwise(sorted(members, key=lambda name: name.replace("/", "\0"))):
        if other.startswith(f"{one}/"):
            text = (
                f"« {_sanitize_name(one)} » est un fichier, et le dossier de « {_sanitize_name(other)} » "
                ": renommez l'un des deux."
            )
            raise refuse("CONTENEUR", text)
    return members


def _check_volume(total: int, packed: int, limits: Limits) -> None:
    if total > limits.unpacked:
        raise refuse("CONTENEUR", f"Le contenu dépasse {limits.unpacked // 1_000_000} Mo une fois décompressé.")
    if total > _MIN_RATIO_CHECK_BYTES and total > packed * limits.ratio:
        raise refuse(
            "CONTENEUR",
            f"Le contenu est plus de {limits.ratio} fois plus gros que le conteneur : bombe de décompression.",
        )


def _check_count(rank: int, limits: Limits) -> None:
    if rank >= limits.files:
        raise refuse("CONTENEUR", f"Le conteneur a plus de {limits.files} entrées.")


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except SipRefusedError:
        raise
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise refuse("CONTENEUR", f"Le conteneur est abîmé ou tronqué ({error}).") from error
    except RecursionError as error:
        raise refuse("CONTENEUR", "Le conteneur enchaîne trop d'en-têtes devant un même fichier.") from error
    except (RuntimeError, OverflowError) as error:  # zipfile: encrypted, or unknown method
        raise refuse("CONTENEUR", f"Le conteneur ne peut pas être ouvert ({error}).") from error


def _tar_entries(source: _Bounded, limits: Limits) -> Iterator[tuple[str, int, BinaryIO]]:
    with source.headers(_MAX_HEADER):
        archive = tarfile.open(fileobj=cast(BinaryIO, source), mode="r:", errorlevel=2)  # noqa: SIM115 - `with` follows
    with archive:
        for rank, member in enumerate(_tar_headers(archive, source)):
            _check_count(rank, limits)
            if member.isdir():
                _check_name(member.name)
                continue
            if not member.isreg() or member.issparse():
                raise refuse("CONTENEUR", f"« {_sanitize_name(member.name)} » est un lien ou un fichier spécial.")
            content = archive.extractfile(member)
            if content is None:
                raise refuse("CONTENEUR", f"« {_sanitize_name(member.name)} » est illisible.")
            yield member.name, member.size, cast(BinaryIO, content)


def _tar_headers(archive: tarfile.TarFile, source: _Bounded) -> Iterator[tarfile.TarInfo]:
    """The members, of which none is kept: each one has a copy of the fields that hold for all."""
    while True:
        with source.headers(_MAX_HEADER):
            member = archive.next()
        if member is None:
            return
        archive.members.clear()  # type: ignore[attr-defined] # in CPython, not in typeshed
        if len(archive.pax_headers) > _MAX_COMMON:
            raise refuse("CONTENEUR", "Le conteneur annonce un en-tête démesuré.")
        yield member


def _zip_entries(source: _Bounded, limits: Limits) -> Iterator[tuple[str, int, BinaryIO]]:
    with source.headers(_MAX_END + limits.files * _MAX_ENTRY):
        archive = zipfile.ZipFile(cast(BinaryIO, source))
    with archive:
        _check_count(len(archive.infolist()) - 1, limits)
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                _check_name(info.filename.rstrip("/"))
                continue
            if kind not in (0, stat.S_IFREG):
                raise refuse("CONTENEUR", f"« {_sanitize_name(info.filename)} » est un lien ou un fichier spécial.")
            if info.flag_bits & 1:
                raise refuse("CONTENEUR", f"« {_sanitize_name(info.filename)} » est chiffré.")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise refuse("CONTENEUR", f"« {_sanitize_name(info.filename)} » emploie une compression non admise.")
            if info.file_size > limits.unpacked:
                raise refuse("CONTENEUR", f"« {_sanitize_name(info.filename)} » dépasse la taille admise.")
            with archive.open(info) as content:
                yield info.filename, info.file_size, cast(BinaryIO, content)


def _sanitize_name(name: str) -> str:
    """A name that may be shown and journaled."""
    clean = "".join(char if char.isprintable() else "?" for char in name[:120])
    return clean.encode("utf-8", "replace").decode()


def _check_name(name: str) -> str:
    """The name in its one written form; raises Refusal when it could leave its folder or fool a reader."""
    plain = unicodedata.normalize("NFC", name).removeprefix("./")
    parts = plain.split("/")
    wrong = (
        not plain.isprintable()
        or "\\" in plain
        or any(part in ("", ".", "..") for part in parts)
        or (len(parts[0]) == 2 and parts[0][1] == ":")
        or len(parts) > _MAX_DEPTH
        or any(len(part.encode("utf-8", "surrogateescape")) > 255 for part in parts)
        or len(plain) > _MAX_NAME
        or len(plain.encode("utf-8", "surrogateescape")) > _MAX_PATH
        or any("\ud800" <= char <= "\udfff" for char in plain)
    )
    if wrong and plain != ".":
        raise refuse(
            "CONTENEUR", f"« {_sanitize_name(name)} » n'est pas un nom de fichier admis (chemin relatif sans « .. »)."
        )
    return plain
