"""From what was signed to files: decryption with this machine's key, then an archive of which little is believed."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import zlib
from pathlib import Path

from creatic_agent.durable import sync_tree
from creatic_flotte.settings import Refused, Settings

_MOST_BYTES = 512 << 20
_MOST_FILES = 20_000
_MOST_READ = 1 << 20  # at once: tarfile reads a long name or a pax header whole


def decrypt(settings: Settings, sealed: Path, target: Path) -> None:
    """Open what was encrypted for this machine (CMS, RFC 5652 and 5083), with its key, the one before or the next.

    The certificate of the next key comes in these very data.

    Raises:
        Refused: it is for another key.
    """
    keys = [settings.current / "key.pem", *sorted(settings.certificate.glob("*/key.pem"))]
    for key in keys:
        command = ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", str(sealed), "-out", str(target)]
        done = subprocess.run(
            [*command, "-inkey", str(key)],
            capture_output=True,
            env=os.environ | {"LC_ALL": "C"},
            timeout=300,
            check=False,
        )
        if done.returncode == 0:
            target.chmod(0o600)
            return
        target.unlink(missing_ok=True)
        if b"No space left" in done.stderr:
            raise OSError(28, "ENOSPC")
    raise Refused("les données ne s'ouvrent avec aucune clé de cette machine : elles sont pour un autre certificat")


class _Bounded(io.RawIOBase):
    """An archive of which little is read at once, whatever its headers say of their own length."""

    def __init__(self, clear: gzip.GzipFile) -> None:
        self._clear = clear

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_READ:
            raise Refused("archive démesurée")
        return self._clear.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if offset > _MOST_BYTES + _MOST_FILES * 2 * tarfile.BLOCKSIZE:
            raise Refused("archive démesurée")
        return self._clear.seek(offset, whence)

    def tell(self) -> int:
        return self._clear.tell()


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a new folder: files and folders alone, inside it, within bounds.

    Raises:
        Refused: it is no such archive. OSError: no room.
    """
    folder.mkdir(mode=0o700)
    size = count = 0
    try:
        with gzip.open(archive) as clear, tarfile.open(fileobj=_Bounded(clear), mode="r:") as tar:
            for member in tar:
                count, size = count + 1, size + member.size
                if count > _MOST_FILES or size > _MOST_BYTES:
                    raise Refused("archive démesurée")
                if (member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse) and not member.isdir():
                    raise Refused(f"archive : {member.name[:80]!r} n'est ni un fichier ni un dossier")
                if member.name.startswith("/"):
                    raise Refused(f"archive : {member.name[:80]!r} sort de son dossier")
                tar.extract(member, folder, set_attrs=True, filter="data")
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise Refused(f"archive signée, mais illisible ({type(error).__name__})") from None
    sync_tree(folder)
