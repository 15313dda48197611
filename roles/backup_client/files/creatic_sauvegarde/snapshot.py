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


def _postgres(program: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a program of PostgreSQL as its administrator, by the unix socket."""
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        options |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    return subprocess.run([program, *arguments], cwd="/", stderr=subprocess.PIPE, check=False, **options)


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "sans message"


def dump(name: str, target: Path) -> str:
    """Write what a PostgreSQL database holds at one moment; gives the role that owns it.

    Raises:
        BackupError: it is not there, or the server does not answer.
    """
    query = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = :'base'"
    asked = _postgres(
        "psql", "-XAtq", "--set", f"base={name}", "postgres", input=query.encode(), stdout=subprocess.PIPE
    )  # fmt: skip
    owner = asked.stdout.decode().strip()
    if asked.returncode or not owner:
        why = _said(asked) if asked.returncode else "elle n'existe pas"
        raise BackupError(f"base PostgreSQL « {name} » : {why}, rien n'est sauvegardé")
    with target.open("wb") as stream:  # borg compresses, and finds again what did not change
        done = _postgres("pg_dump", "--format=custom", "--compress=0", name, stdout=stream)
    if done.returncode:
        raise BackupError(f"base PostgreSQL « {name} » : elle ne peut pas être copiée ({_said(done)})")
    return owner


def load(name: str, owner: str, source: Path) -> None:
    """Replace a PostgreSQL database by a copy; its owner is made if there is none.

    Raises:
        BackupError: the server does not take it.
    """
    script = (
        "SELECT format('CREATE ROLE %I LOGIN', :'role') WHERE NOT EXISTS"
        " (SELECT 1 FROM pg_roles WHERE rolname = :'role') \\gexec\n"
        "SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', :'base') \\gexec\n"
    )
    names = ("--set", f"role={owner}", "--set", f"base={name}", "--set", "ON_ERROR_STOP=1")
    done = _postgres("psql", "-XAtq", *names, "postgres", input=script.encode(), stdout=subprocess.DEVNULL)
    if not done.returncode:
        with source.open("rb") as stream:
            done = _postgres(
                "pg_restore", "--create", "--exit-on-error", "--dbname=postgres",
                stdin=stream, stdout=subprocess.DEVNULL,
            )  # fmt: skip
    if done.returncode:
        raise BackupError(f"base PostgreSQL « {name} » : elle ne peut pas être remise ({_said(done)})")


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
    taken = []
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
    for name in settings.all_of("postgresql"):
        target = settings.snapshots / f"{name}.dump"
        copy = f"/{target.relative_to(settings.base)}"
        taken.append({"base": name, "copie": copy, "proprietaire": dump(name, target)})
    write(settings.snapshots / MANIFEST, json.dumps(taken, indent=1).encode())
    return taken


def put_back(settings: Settings, root: Path) -> list[str]:
    """Put the restored copies where the databases were below root, with their owners. Returns the databases.

    Below another folder, a PostgreSQL database stays a file, for pg_restore.
    """
    folder = root / settings.snapshots.relative_to(settings.base)
    done = []
    for one in json.loads((folder / MANIFEST).read_text(encoding="utf-8")):
        if "base" in one:
            source = root / one["copie"].lstrip("/")
            if root == Path("/"):
                load(one["base"], one["proprietaire"], source)
            else:
                shutil.copyfile(source, root / source.name)
            done.append(f"postgresql:{one['base']}")
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
