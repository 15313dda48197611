#!/usr/bin/python3 -I
"""Puts the morning's pages, that the control node sent as one archive, where nginx shows them: all of them, or none.

``/var/lib/supervision/matin``: ``pages.tar.gz``, a folder that its digest names, and the link ``courant`` to it. Each
page has its compressed copy beside, that nginx gives (``gzip_static``): the page of a region is light on a telephone.
"""

import gzip
import hashlib
import os
import re
import shutil
import sys
import tarfile
from pathlib import Path

FOLDER = Path("/var/lib/supervision/matin")
ARCHIVE, SHOWN = "pages.tar.gz", "courant"
_NAME = re.compile(r"(communes/)?[a-z0-9][a-z0-9-]{0,99}\.(html|js)")
_MOST, _LARGEST = 10_000, 16 << 20  # pages; bytes of one


def place(folder: Path) -> bool:
    """Show the pages of the archive; tells whether that changes anything.

    Raises:
        ValueError: it holds something else than pages; those that are shown stay (French).
        tarfile.TarError, EOFError, OSError: it is cut short, or the disk is full; the same.
    """
    with (folder / ARCHIVE).open("rb") as stream:
        name = hashlib.file_digest(stream, "sha256").hexdigest()[:32]
    link = folder / SHOWN
    if link.is_symlink() and str(link.readlink()) == name and (folder / name).is_dir():
        return False
    staging, beside = folder / ".nouveau", folder / f".{SHOWN}"
    shutil.rmtree(staging, ignore_errors=True)
    (staging / "communes").mkdir(parents=True)
    with tarfile.open(folder / ARCHIVE, "r:gz") as pack:
        for rank, entry in enumerate(pack):
            content = pack.extractfile(entry) if entry.isreg() and _NAME.fullmatch(entry.name) else None
            if content is None or rank >= _MOST or entry.size > _LARGEST:
                raise ValueError(f"« {entry.name[:100]} » n'est pas une page du matin, ou il y en a trop")
            page = content.read()
            (staging / entry.name).write_bytes(page)
            (staging / f"{entry.name}.gz").write_bytes(gzip.compress(page, mtime=0))
    if not (staging / "index.html").is_file():
        raise ValueError("l'archive n'a pas de page index.html")
    shutil.rmtree(folder / name, ignore_errors=True)
    staging.rename(folder / name)
    beside.unlink(missing_ok=True)
    beside.symlink_to(name)
    beside.replace(link)
    for old in folder.iterdir():
        if old.is_dir() and not old.is_symlink() and old.name != name:
            shutil.rmtree(old)
    return True


def main(folder: Path = FOLDER) -> int:
    """Place them; gives the exit status."""
    os.umask(0o022)  # nginx reads them; who may go through the folder is said above it
    try:
        print("changé" if place(folder) else "déjà là")
    except (ValueError, tarfile.TarError, EOFError, OSError) as error:
        print(f"Pages du matin refusées, celles d'avant restent : {error}. À faire : fab matin", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
