"""What a letter's archive holds, brought out beside it: bounded, one bad member never keeping the others."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from creatic_agent.durable import fresh
from creatic_agent.errors import CreaticError

_BYTES_MAX = 600_000_000  # of all that is in the archive
_HEADER_MAX = 1 << 20  # of what comes before a member's content: names, attributes
_MEMBERS_MAX = 2000
_NAME_MAX = 200  # bytes, as file systems count
_BLOCK = 1 << 16


class UnpackError(CreaticError, cause="depaquetage"):
    """The archive was brought out in part, or not at all; the text is French."""


class _Bounded(io.RawIOBase):
    """A stream of which at most `left` bytes may be read, and nothing beyond _BYTES_MAX."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self.left = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self.left:
            raise UnpackError("archive démesurée")
        self.left -= size
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset > _BYTES_MAX:
            raise UnpackError("archive démesurée")
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()


def unpack(content: bytes, folder: Path) -> None:
    """Bring the files of a tar.gz out, without their folders. A name that is taken is never replaced.

    Raises UnpackError, once all that can be had is there.
    """
    passed: list[str] = []
    stream = _Bounded(gzip.GzipFile(fileobj=io.BytesIO(content)))
    stream.left = _HEADER_MAX
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for _rank in range(_MEMBERS_MAX):
                stream.left = _HEADER_MAX
                member = archive.next()
                if member is None:
                    break
                stream.left = _BYTES_MAX
                if member.isfile() and not _bring_out(archive, member, folder):
                    passed.append(member.name)
            else:
                raise UnpackError(f"archive de plus de {_MEMBERS_MAX} fichiers")
        stream.left = _BYTES_MAX
        while stream.read(_BLOCK):  # to its end, where gzip says whether all of it is as it was
            pass
    except UnpackError:
        raise
    except Exception as error:  # tarfile and gzip raise about anything on what is damaged
        raise UnpackError(f"archive illisible ({type(error).__name__})") from error
    if passed:
        raise UnpackError(f"{len(passed)} fichier(s) de l'archive laissés dedans, dont « {passed[0][:100]} »")


def _bring_out(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> bool:
    """Bring a file out; False when its name cannot be one here, would not be seen, or is taken."""
    name = PurePosixPath(member.name).name
    if not name or name.startswith(".") or "\0" in name or len(name.encode("utf-8", "surrogateescape")) > _NAME_MAX:
        return False
    source = archive.extractfile(member)
    if source is None or member.issparse():
        return False
    target = folder / name
    try:
        stream = fresh(target)
    except FileExistsError:
        return False
    try:
        with stream:
            shutil.copyfileobj(source, stream, _BLOCK)
    except BaseException:
        target.unlink()
        raise
    return True
