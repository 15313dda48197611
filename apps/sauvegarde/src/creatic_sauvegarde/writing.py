"""What comes back from a backup, written below a folder without ever following a link."""

from __future__ import annotations

import errno
import os
import stat
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from re import Pattern
from typing import IO

from creatic_sauvegarde.contents import Contents, Entry, UnfitError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_IN_THE_WAY = {errno.ENOTDIR, errno.ELOOP, errno.ENOTEMPTY, errno.EISDIR, errno.EEXIST}
_MAX_CHECKED_BYTES = 4096
_OLDEST, _NEWEST = -(1 << 31), 1 << 34  # dates that ext4 holds, in seconds
_MISMATCH_REASON = "autre que dans la liste de la sauvegarde"


class Place:
    """A folder that is written below.

    Args:
        root: the folder, itself trusted.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._at, self._open = "", os.dup(self._root)

    def close(self) -> None:
        os.close(self._open)
        os.close(self._root)

    def parent(self, path: str, make: bool = True) -> int:
        """Descriptor of the folder that holds a path, good until the next call.

        Args:
            make: make it when it is not there.

        Raises:
            OSError: a link or a file is on the way.
        """
        folder = path.rpartition("/")[0]
        if folder == self._at:
            return self._open
        current = os.dup(self._root)
        try:
            for name in filter(None, folder.split("/")):
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, 0o755, dir_fd=current)
                below = os.open(name, _FOLDER, dir_fd=current)
                os.close(current)
                current = below
        except OSError:
            os.close(current)
            raise
        os.close(self._open)
        self._at, self._open = folder, current
        return current

    @contextmanager
    def new(self, path: str) -> Iterator[tuple[int, IO[bytes]]]:
        """A new file, instead of what is there; its descriptor and its stream."""
        folder, name = self.parent(path), path.rpartition("/")[2]
        _clear_place(folder, name)
        descriptor = os.open(name, _NEW_FILE_FLAGS, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as stream:
            yield descriptor, stream

    @contextmanager
    def old(self, path: str) -> Iterator[IO[bytes]]:
        """A regular file that is there, to be read.

        Raises:
            OSError: it is not there, or is not one.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path.rpartition("/")[2], flags, dir_fd=self.parent(path, make=False))
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "ce n'est pas un fichier", path)
            yield stream

    def replace(self, path: str, name: str) -> None:
        """Rename a file of a folder over another one of the same folder."""
        folder = self.parent(path)
        os.replace(path.rpartition("/")[2], name, src_dir_fd=folder, dst_dir_fd=folder)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(path.rpartition("/")[2], dir_fd=self.parent(path))


def _clear_place(folder: int, name: str) -> None:
    """Remove what a new thing takes the place of; a folder that holds something stays, and is an error."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        os.rmdir(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)


def put(contents: Contents, tar: tarfile.TarFile, root: Path, checked: Mapping[str, Pattern[bytes]]) -> None:
    """Write what may come back; what cannot is told with what was refused.

    Args:
        contents: the judged list. An item that the tar shows otherwise is refused.
        tar: of the same backup.
        root: where.
        checked: small files whose whole content is to match.
    """
    place = Place(root)
    try:
        folders: dict[str, float] = {}
        made: dict[str, tuple[int, int]] = {}
        awaited = dict(contents.entries)
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined] # it would keep them all, and nobody goes back
            entry = awaited.pop(member.name, None)
            if entry is None:
                if contents.unlisted(member.name):
                    contents.drop(member.name, "absent de la liste de la sauvegarde")
                continue
            try:
                _check_same(entry, member)
                if not _OLDEST <= member.mtime < _NEWEST:
                    contents.refusals.add(member.name, "remis sans sa date, que cette machine ne sait pas écrire")
                    member.mtime = time.time()
                if entry.kind == "d":
                    _make_folder(place, member.name)
                    folders[member.name] = member.mtime
                elif entry.kind == "-":
                    made[member.name] = _write_file(place, entry, member, tar, checked.get(member.name))
                elif entry.kind == "h":
                    _hard_link(place, entry, member.name, made)
                else:
                    _make_link(place, entry, member)
            except OSError as error:
                if error.errno not in _IN_THE_WAY:
                    raise
                contents.drop(member.name, "un lien, un fichier ou un dossier plein est à sa place sur cette machine")
            except UnfitError as error:
                contents.drop(member.name, str(error))
        # Last: some may not let their owner write in them.
        for path, date in reversed(folders.items()):
            _finish_folder(place, contents.entries[path], path, date)
    finally:
        place.close()


def _check_same(entry: Entry, member: tarfile.TarInfo) -> None:
    kinds = {tarfile.REGTYPE: "-", tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h"}
    size = member.size if entry.kind == "-" else entry.size
    target = member.linkname if entry.kind in "lh" else ""
    if (kinds.get(member.type), size, target) != (entry.kind, entry.size, entry.target):
        raise UnfitError(_MISMATCH_REASON)


def _make_folder(place: Place, path: str) -> None:
    folder, name = place.parent(path), path.rpartition("/")[2]
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)
            os.mkdir(name, 0o700, dir_fd=folder)


def _finish_folder(place: Place, entry: Entry, path: str, date: float) -> None:
    descriptor = os.open(path.rpartition("/")[2], _FOLDER, dir_fd=place.parent(path))
    try:
        _set_attributes(descriptor, entry, date)
    finally:
        os.close(descriptor)


def _set_attributes(descriptor: int, entry: Entry, date: float) -> None:
    if entry.owner >= 0:
        os.fchown(descriptor, entry.owner, entry.group)
    os.fchmod(descriptor, entry.mode)  # after the owner, whose change takes setgid away
    os.utime(descriptor, (date, date))


def _write_file(
    place: Place, entry: Entry, member: tarfile.TarInfo, tar: tarfile.TarFile, wanted: Pattern[bytes] | None
) -> tuple[int, int]:
    source = tar.extractfile(member)
    if source is None:
        raise UnfitError(_MISMATCH_REASON)
    if wanted:
        read = source.read(_MAX_CHECKED_BYTES)
        if len(read) != entry.size or not wanted.fullmatch(read):
            raise UnfitError("ce contenu n'est pas celui qui est attendu là")
    with place.new(member.name) as (descriptor, stream):
        if wanted:
            stream.write(read)
        else:
            while block := source.read(1 << 20):
                stream.write(block)
        stream.flush()
        _set_attributes(descriptor, entry, member.mtime)
        found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _hard_link(place: Place, entry: Entry, path: str, made: Mapping[str, tuple[int, int]]) -> None:
    source = os.dup(place.parent(entry.target))
    try:
        name = entry.target.rpartition("/")[2]
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        if (found.st_dev, found.st_ino) != made.get(entry.target):
            raise UnfitError("lien dur vers ce qui n'est pas remis")
        folder = place.parent(path)
        _clear_place(folder, path.rpartition("/")[2])
        os.link(name, path.rpartition("/")[2], src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
    finally:
        os.close(source)


def _make_link(place: Place, entry: Entry, member: tarfile.TarInfo) -> None:
    folder, name = place.parent(member.name), member.name.rpartition("/")[2]
    _clear_place(folder, name)
    os.symlink(entry.target, name, dir_fd=folder)
    if entry.owner >= 0:
        os.chown(name, entry.owner, entry.group, dir_fd=folder, follow_symlinks=False)
    os.utime(name, (member.mtime, member.mtime), dir_fd=folder, follow_symlinks=False)
