# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the control node makes again when it is lost, kept between runs in ``~/.cache/creatic``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import time
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils import durable

_WEEK_S = 7 * 86400
_DIGEST_SIZE = hashlib.sha256().digest_size


class FileCache:
    """Files by name, each behind its digest; what nobody asked for during a week is deleted.

    A file that is not whole is as if it were not there; so are all in a folder that is another account's or open to
    others, for what is kept is run. Such a folder of this account's own is emptied and closed when something is put.

    Args:
        name: of the folder.
    """

    def __init__(self, name: str) -> None:
        self.folder = Path("~/.cache/creatic").expanduser() / name

    def names(self) -> list[str]:
        """Names of all that is kept, whole or not."""
        return [path.name for path in self.folder.iterdir()] if self._is_private() else []

    def get(self, name: str) -> bytes | None:
        """A file; None when there is none that may be used."""
        path = self.folder / name
        try:
            kept = path.read_bytes() if self._is_private() else b""
            if kept[:_DIGEST_SIZE] != hashlib.sha256(kept[_DIGEST_SIZE:]).digest():
                return None
            os.utime(path)
        except OSError:
            return None
        return kept[_DIGEST_SIZE:]

    def put(self, name: str, data: bytes) -> None:
        """Keep a file; what cannot be kept, on a full disk for instance, is not."""
        with contextlib.suppress(OSError):
            if not self._is_private() and self._is_owned():
                shutil.rmtree(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._is_private():
                return
            durable.write(self.folder / name, hashlib.sha256(data).digest() + data, 0o600)
            for path in self.folder.iterdir():
                if time.time() - path.lstat().st_mtime > _WEEK_S:
                    path.unlink()

    def _is_owned(self) -> bool:
        """Whether it is a folder of this account's own."""
        try:
            found = self.folder.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()

    def _is_private(self) -> bool:
        return self._is_owned() and not self.folder.stat().st_mode & 0o077
