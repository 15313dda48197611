"""A restoration: the last backup put back, and compared with what the backup lists."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from creatic_sauvegarde import borg, postgresql, snapshot
from creatic_sauvegarde.settings import BackupError, Settings

# A machine whose clock was ahead made backups dated from the future: they are not the last one.
_AHEAD = timedelta(minutes=5)


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
    fit = [one for one in found if one["le"] <= limit + _AHEAD]
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


def perform(
    settings: Settings, name: str = "", limit: datetime | None = None, root: Path | None = None
) -> dict[str, Any]:
    """Put a backup back over this machine, its services stopped meanwhile; or below another folder.

    Returns:
        What was restored: archive, its date, files, bytes, seconds, and backups left aside for their date.

    Raises:
        BackupError: something could not be put back, or is not what the backup lists.
    """
    started, now = time.monotonic(), datetime.now(UTC)
    found = borg.archives(settings)
    chosen = choose(found, limit or now, name)
    archive = f"{settings.repository}::{chosen['name']}"
    units = [] if root else settings.all_of("units")
    root = root or settings.base
    with stopped(units):
        if root == Path("/") and settings.all_of("postgresql"):
            postgresql.set_aside()
        borg.run(settings, "extract", "--bypass-lock", archive, cwd=root)
        listed = borg.paths(settings, archive)
        differences = compare(listed, root)
        if differences:
            raise BackupError(
                f"{len(differences)} éléments ne sont pas ceux de la sauvegarde : {', '.join(differences[:5])}"
            )
        databases = snapshot.put_back(settings, root)
        shutil.rmtree(root / settings.snapshots.relative_to(settings.base))
    return {
        "archive": chosen["name"],
        "date": chosen["le"].isoformat(timespec="seconds"),
        "fichiers": sum(kind == "-" for kind, _size in listed.values()),
        "octets": sum(size for kind, size in listed.values() if kind == "-"),
        "bases": databases,
        "secondes": round(time.monotonic() - started, 1),
        "du_futur": [one["name"] for one in found if one["le"] > (limit or now) + _AHEAD],
    }


def compare(listed: dict[str, tuple[str, int]], root: Path) -> list[str]:
    """Paths that are missing, of another kind, or of another size than listed."""
    kinds = {"-": Path.is_file, "d": Path.is_dir, "l": Path.is_symlink}
    wrong = []
    for name, (kind, size) in listed.items():
        path = root / name
        if kind in kinds and not (kinds[kind](path) and (kind != "-" or path.stat().st_size == size)):
            wrong.append(f"/{name}")
    return wrong
