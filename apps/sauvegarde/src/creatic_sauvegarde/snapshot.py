"""Databases copied while their service works: what borg reads is one moment of each.

They are copied before borg reads the rest. A service that records in its database what it wrote on disk then finds,
after a restoration, files that its database may not know yet, and never the contrary.
"""

from __future__ import annotations

import fnmatch
import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from creatic_agent.durable import write
from creatic_sauvegarde import postgresql
from creatic_sauvegarde.contents import Owners, Refusals, UnfitError
from creatic_sauvegarde.settings import BackupError, Settings
from creatic_sauvegarde.writing import Place

MANIFEST = "instantanes.json"
_MAX_COPY_LIST_BYTES = 1_000_000  # bytes of it
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
            [sys.executable, "-I", "-c", _COPY, source, target],
            cwd="/",
            umask=0o077,
            capture_output=True,
            text=True,
            check=False,
            **owner,
        )
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
    write(settings.snapshots / MANIFEST, json.dumps(taken, indent=1).encode(), 0o600)
    return taken


def put_back(settings: Settings, root: Path, refusals: Refusals | None = None) -> list[str]:
    """Put the restored copies where the declared databases were below root, with their owners. Returns the databases.

    Below another folder, PostgreSQL stays as pgBackRest keeps it: its repository and its key are there.

    Args:
        refusals: where to tell what the backup's own list of copies should not name.

    Raises:
        BackupError: there is no such list that can be read.
    """
    refusals = refusals or Refusals()
    place = Place(root)
    done: list[str] = []
    try:
        listed = _read_copies(place, settings)
        owners = Owners.from_settings(settings) if os.geteuid() == 0 and root == settings.base == Path("/") else None
        for one in listed:
            try:
                if "bases" in one:
                    done += _restore_server(settings, root, one)
                else:
                    done.append(_restore_database(settings, place, one, owners))
            except (UnfitError, OSError, KeyError, TypeError, ValueError) as error:
                reason = str(error) if isinstance(error, UnfitError) else f"copie illisible : {error}"
                refusals.add(str(one.get("origine", MANIFEST)).lstrip("/"), f"base de données, {reason}")
    finally:
        place.close()
    return done


def _read_copies(place: Place, settings: Settings) -> list[dict[str, Any]]:
    """The list of copies that a backup brought; none where no database is declared."""
    name = f"{settings.snapshots.relative_to(settings.base)}/{MANIFEST}"
    try:
        with place.old(name) as stream:
            found = json.loads(stream.read(_MAX_COPY_LIST_BYTES))
    except FileNotFoundError:
        if settings.all_of("sqlite") + settings.all_of("postgresql"):
            raise BackupError("la sauvegarde n'a pas la liste des copies de ses bases") from None
        return []
    except (ValueError, RecursionError) as error:
        raise BackupError(f"la liste des copies de bases de la sauvegarde ne se lit pas : {error}") from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BackupError("la liste des copies de bases de la sauvegarde ne se lit pas")
    return found


def _restore_server(settings: Settings, root: Path, one: dict[str, Any]) -> list[str]:
    names = [str(name) for name in one["bases"]]
    if unknown := sorted(set(names) - set(settings.all_of("postgresql"))):
        raise UnfitError(f"qui n'est pas déclarée : {unknown[0]}")
    if root == Path("/"):
        postgresql.check_saved(str(one["jeu"]))
        postgresql.put_back(str(one["jeu"]))
    return [f"postgresql:{name}" for name in names]


def _restore_database(settings: Settings, place: Place, one: dict[str, Any], owners: Owners | None) -> str:
    origin, copy = str(one["origine"]).lstrip("/"), str(one["copie"]).lstrip("/")
    name = origin.rpartition("/")[2]
    if not any(_matches_declared(origin, wanted.lstrip("/")) for wanted in settings.all_of("sqlite")):
        raise UnfitError("qui n'est pas déclarée")
    within, _, number = copy.removesuffix(f"/{name}").rpartition("/")
    if within != str(settings.snapshots.relative_to(settings.base)) or not number.isdigit():
        raise UnfitError("dont la copie n'est pas parmi les copies")
    mode = int(str(one["mode"]), 8) & 0o777
    owner = owners.find(str(one["proprietaire"]), -1, str(one["groupe"]), -1) if owners else None
    partial = f"{origin.removesuffix(name)}.{name}.restauration"
    with place.old(copy) as source, place.new(partial) as (descriptor, target):
        shutil.copyfileobj(source, target, 1 << 20)
        target.flush()
        if owner:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
    for beside in ("-wal", "-shm", "-journal"):
        place.remove(origin + beside)
    place.replace(partial, name)
    return f"/{origin}"


def _matches_declared(origin: str, wanted: str) -> bool:
    """Whether a path is the declared one, or fits its pattern; never through ``..``."""
    parts, patterns = origin.split("/"), wanted.split("/")
    return (
        not {"", ".", ".."} & set(parts)
        and len(parts) == len(patterns)
        and all(map(fnmatch.fnmatchcase, parts, patterns))
    )
