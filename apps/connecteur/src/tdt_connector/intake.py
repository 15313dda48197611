"""The hot folder: what was dropped is copied, made durable, recorded, and only then leaves it."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import sqlite3
import unicodedata
from datetime import datetime
from pathlib import Path

from creatic_agent.durable import sync_directory

from .depot import DepotWatcher, Group, same_file
from .filing import Filing
from .journal import Row, SeenFile, State
from .part import Bench, Part
from .storage import copy, digest, move

log = logging.getLogger("tdt-connector")


class Intake(Part):
    """Takes deposits."""

    def __init__(self, bench: Bench, filing: Filing) -> None:
        super().__init__(bench)
        self._filing = filing
        self._watcher = DepotWatcher(self._config.folder_depot, self._config.delais, self._config.max_bytes)

    def recover(self) -> None:
        """Set right the copies that a crash cut."""
        for path in self._config.folder_current.iterdir():
            if not path.is_dir():
                continue
            if path.name.startswith("."):
                shutil.rmtree(path)  # a copy that was not finished: its files are still in depot/
            elif not self._journal.find(path.name):
                self._recover_orphan(path)

    def _recover_orphan(self, folder: Path) -> None:
        """A whole copy the journal does not know: the crash came between the two."""
        depot = self._config.folder_depot
        if all(_same_content(depot / item.name, item) for item in folder.iterdir()):
            shutil.rmtree(folder)
            return
        problem = "le journal ne connaît pas ce dépôt (journal restauré ?) ; vérifiez au TdT, puis déposez de nouveau."
        row = self._journal.add(folder.name, "autre", [], State.REJECTED, problem)
        self._filing.file(self._journal.note(row, retire_du_depot=1))

    def take(self) -> None:
        """Take what is whole in depot/, refuse what cannot be."""
        taken = {(item.name, item.inode) for row in self._journal.uncleared() for item in row.files}
        for group in self._watcher.ready(taken):
            if self._stop.is_set():
                return
            self._step("prise en charge")
            try:
                if group.problem:
                    self._refuse_in_place(group)
                else:
                    self._take(group)
            except sqlite3.Error:
                raise
            except Exception as error:  # one deposit does not hold the others back
                expected = isinstance(error, OSError)
                log.error("« %s » reste dans le dépôt : %s", group.stem, error, exc_info=not expected)

    def _new_ref(self, stem: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9]+", "-", unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode())
        return f"{datetime.now():%Y%m%d-%H%M%S}-{plain.strip('-')[:40] or 'depot'}-{secrets.token_hex(2)}"

    def _take(self, group: Group) -> None:
        """Copy to en_cours/, make it durable, record it; only then leave depot/."""
        ref = self._new_ref(group.stem)
        partial = self._config.folder_current / f".{ref}"
        partial.mkdir(mode=0o750)
        try:
            files = []
            for name in group.names:
                info, sha256 = copy(self._config.folder_depot / name, partial / name, self._config.max_bytes)
                files.append(SeenFile(name, info.st_ino, info.st_size, info.st_mtime_ns, sha256))
                if (partial / name).stat().st_size != info.st_size:
                    raise OSError(f"« {name} » a changé pendant la copie")
            sync_directory(partial)
        except Exception:
            shutil.rmtree(partial)
            raise
        self._step("copié")
        move(partial, self._config.folder_current / ref)
        self._step("copié sur disque")
        row = self._journal.add(ref, group.kind, files)
        self._step("pris au journal")
        self.clear(row)
        log.info("« %s » pris en charge (%s).", group.stem, ref)

    def clear(self, row: Row) -> None:
        """Remove from depot/ the very files that were taken; a file replaced since then stays."""
        if row.state is State.REJECTED and not (self._config.folder_current / row.ref).exists():
            return  # refused where it stood: filing moves its files
        depot = self._config.folder_depot
        for item in row.files:
            try:
                if same_file(item, (depot / item.name).lstat()):
                    (depot / item.name).unlink()
                    self._step("retiré du dépôt")
            except FileNotFoundError:
                continue
        sync_directory(depot)
        self._journal.note(self._journal.get(row.id), retire_du_depot=1)

    def _refuse_in_place(self, group: Group) -> None:
        files = []
        for name in group.names:
            info = (self._config.folder_depot / name).lstat()
            files.append(SeenFile(name, info.st_ino, info.st_size, info.st_mtime_ns))
        row = self._journal.add(self._new_ref(group.stem), group.kind, files, State.REJECTED, group.problem)
        self._step("refus au journal")
        self._filing.file(row)


def _same_content(path: Path, copied: Path) -> bool:
    """Whether a file of depot/, if there still is one, is what was copied."""
    try:
        return digest(path) == digest(copied)
    except OSError:
        return False
