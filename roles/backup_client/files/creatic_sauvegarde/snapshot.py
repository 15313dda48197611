"""Databases copied while their service works: what borg reads is one moment of each.

They are copied before borg reads the rest. A service that records in its database what it wrote on disk then finds,
after a restoration, files that its database may not know yet, and never the contrary.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from creatic_sauvegarde import postgresql
from creatic_sauvegarde.settings import BackupError, Settings, write

MANIFEST = "instantanes.json"
# Run as the owner of the database: SQLite may write beside it (WAL), and nothing there may become root's.
_COPY = """
import sqlite3, sys
source = sqlite3.connect(f"file:{sys.argv[1]}?mode=rw", uri=True, timeout=60)
target = sqlite3.connect(sys.argv[2])
source.backup(target)
target.execute("PRAGMA journal_mode=DELETE")
told = target.execute("PRAGMA integrity_check").fetchone()[0]
target.close()
sys.exit(told if told != "ok" else 0)
"""


def databases(settings: Settings) -> list[Path]:
    """The declared databases; a pattern may match none."""
    found: list[Path] = []
    for name in settings.all_of("sqlite"):
        found += sorted(settings.base.glob(name.lstrip("/"))) if "*" in name else [settings.base / name.lstrip("/")]
    return found


def take(settings: Settings) -> list[dict[str, Any]]:
    """Copy every declared database; those of the time before go first.

    Returns:
        What was copied, as in the manifest.

    Raises:
        BackupError: a database is missing, damaged, or busy for too long.
    """
    shutil.rmtree(settings.snapshots, ignore_errors=True)
    settings.snapshots.mkdir(parents=True)
    settings.snapshots.chmod(0o711)  # whatever the umask: owners of databases go through it
    taken: list[dict[str, Any]] = []
    for number, source in enumerate(databases(settings)):
        try:
            state = source.stat()
        except FileNotFoundError:
            raise BackupError(f"{source} : cette base déclarée n'existe pas, rien n'est sauvegardé") from None
        folder = settings.snapshots / str(number)
        folder.mkdir()
        owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(folder, "root", state.st_gid)
            owner = {"user": state.st_uid, "group": state.st_gid, "extra_groups": []}
        folder.chmod(0o730)
        target = folder / source.name
        done = subprocess.run(
            [sys.executable, "-I", "-c", _COPY, source, target], cwd="/", umask=0o077,
            capture_output=True, text=True, check=False, **owner,
        )  # fmt: skip
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise BackupError(f"{source} : la base ne peut pas être copiée ({lines[-1] if lines else 'sans message'})")
        taken.append(
            {
                "origine": f"/{source.relative_to(settings.base)}",
                "copie": f"/{target.relative_to(settings.base)}",
                "proprietaire": pwd.getpwuid(state.st_uid).pw_name,
                "groupe": grp.getgrgid(state.st_gid).gr_name,
                "mode": f"{state.st_mode & 0o7777:04o}",
            }
        )
    if names := settings.all_of("postgresql"):
        taken.append({"bases": names, "jeu": postgresql.save(names)})
    write(settings.snapshots / MANIFEST, json.dumps(taken, indent=1).encode())
    return taken


def put_back(settings: Settings, root: Path) -> list[str]:
    """Put the restored copies where the databases were below root, with their owners. Returns the databases.

    Below another folder, PostgreSQL stays as pgBackRest keeps it: its repository and its key are there.
    """
    folder = root / settings.snapshots.relative_to(settings.base)
    done = []
    for one in json.loads((folder / MANIFEST).read_text(encoding="utf-8")):
        if "bases" in one:
            if root == Path("/"):
                postgresql.put_back(one["jeu"])
            done += [f"postgresql:{name}" for name in one["bases"]]
            continue
        target = root / one["origine"].lstrip("/")
        for beside in ("-wal", "-shm", "-journal"):
            target.with_name(target.name + beside).unlink(missing_ok=True)
        partial = target.with_name(f".{target.name}.restauration")
        shutil.copyfile(root / one["copie"].lstrip("/"), partial)
        os.chmod(partial, int(one["mode"], 8))  # noqa: PTH101 - beside chown, of the same kind
        if os.geteuid() == 0 and root == Path("/"):  # elsewhere, the owner may be a stranger
            shutil.chown(partial, one["proprietaire"], one["groupe"])
        partial.replace(target)
        done.append(one["origine"])
    return done
