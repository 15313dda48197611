"""A restoration: the last backup put back, and compared with what the backup lists."""

from __future__ import annotations

import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from creatic_sauvegarde import borg, postgresql, snapshot, writing
from creatic_sauvegarde.contents import Contents, Refusals
from creatic_sauvegarde.settings import BackupError, Settings

# A machine whose clock was ahead made backups dated from the future: they are not the last one.
_MAX_CLOCK_AHEAD = timedelta(minutes=5)


def choose(found: list[dict[str, Any]], limit: datetime, name: str = "") -> dict[str, Any]:
    """The backup to restore.

    Args:
        found: backups, as `borg.archives` gives them.
        limit: none can be later.
        name: the wanted one; the last one by default.

    Raises:
        BackupError: there is none.
    """
    if name:
        named = [one for one in found if one["name"] == name]
        if not named:
            raise BackupError(f"aucune sauvegarde « {name} » : voir creatic-sauvegarde liste")
        return named[0]
    fit = [one for one in found if one["le"] <= limit + _MAX_CLOCK_AHEAD]
    if not fit:
        raise BackupError("aucune sauvegarde à restaurer" + (" : toutes sont datées du futur" if found else ""))
    return max(fit, key=lambda one: one["le"])


@contextmanager
def stopped(units: list[str]) -> Iterator[None]:
    """Units stopped meanwhile; started again once all went well, and left stopped otherwise."""
    if units:
        subprocess.run(["systemctl", "stop", *units], check=True)
    yield
    if units:
        subprocess.run(["systemctl", "start", *units], check=True)


class IncompleteRestoreError(BackupError):
    """What may come back did; something else was refused, and units that were stopped are stopped still.

    Attributes:
        done: what `perform` would have returned.
        refusals: what did not come back.
    """

    def __init__(self, done: dict[str, Any], refusals: Refusals, units: list[str]) -> None:
        what = "un élément est refusé" if refusals.count == 1 else f"{refusals.count} éléments sont refusés"
        then = f" avant « systemctl start {' '.join(units)} »" if units else ""
        super().__init__(
            f"{what} dans la sauvegarde {done['archive']}, le reste est remis ({done['fichiers']} fichiers). "
            f"La machine sauvegardée a pu être prise : voyez d'où cela vient{then}"
        )
        self.done, self.refusals = done, refusals


def perform(
    settings: Settings, name: str = "", limit: datetime | None = None, root: Path | None = None
) -> dict[str, Any]:
    """Put a backup back over this machine, its services stopped meanwhile; or below another folder.

    Returns:
        What was restored: archive, its date, files, bytes, seconds, and backups left aside for their date.

    Raises:
        Incomplete: something was refused, the rest was put back.
        BackupError: nothing was, or something is not what the backup lists.
    """
    started, now = time.monotonic(), datetime.now(UTC)
    found = borg.archives(settings)
    chosen = choose(found, limit or now, name)
    archive = f"{settings.repository}::{chosen['name']}"
    units = [] if root else settings.all_of("units")
    root = root or settings.base
    contents = Contents(settings, root)
    for item in borg.listing(settings, archive):
        contents.judge(item)
    contents.check_links()
    if not contents.entries:
        told = "".join(f" ; {line}" for line in contents.refusals.lines()[:3])
        raise BackupError(f"rien de ce qui est déclaré n'est dans la sauvegarde {chosen['name']}{told}")
    contents.check_room()
    with stopped(units):
        if root == Path("/") and settings.all_of("postgresql"):
            postgresql.set_aside()
        with borg.content(settings, archive, contents.selected_paths(), contents.unwanted) as tar:
            writing.put(contents, tar, root, postgresql.CHECKED)
        listed = contents.expected_entries()
        differences = compare(listed, root)
        if differences:
            raise BackupError(
                f"{len(differences)} éléments ne sont pas ceux de la sauvegarde : {', '.join(differences[:5])}"
            )
        databases = snapshot.put_back(settings, root, contents.refusals)
        shutil.rmtree(root / settings.snapshots.relative_to(settings.base), ignore_errors=True)
        done = {
            "archive": chosen["name"],
            "date": chosen["le"].isoformat(timespec="seconds"),
            "fichiers": sum(kind == "-" for kind, _size in listed.values()),
            "octets": sum(one.size for one in contents.entries.values()),
            "bases": databases,
            "secondes": round(time.monotonic() - started, 1),
            "du_futur": [one["name"] for one in found if one["le"] > (limit or now) + _MAX_CLOCK_AHEAD],
            "refuses": {"nombre": contents.refusals.count, "dits": contents.refusals.lines()},
        }
        if contents.refusals.count:
            raise IncompleteRestoreError(done, contents.refusals, units)
    return done


def compare(listed: dict[str, tuple[str, int]], root: Path) -> list[str]:
    """Paths that are missing, of another kind, or of another size than listed."""
    kinds = {"-": stat.S_ISREG, "d": stat.S_ISDIR, "l": stat.S_ISLNK}
    wrong = []
    for name, (kind, size) in listed.items():
        try:
            found = (root / name).lstat()
        except (FileNotFoundError, NotADirectoryError):
            wrong.append(f"/{name}")
            continue
        if not kinds[kind](found.st_mode) or (kind == "-" and found.st_size != size):
            wrong.append(f"/{name}")
    return wrong
