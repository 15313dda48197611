"""One backup: snapshots, borgmatic, figures."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from creatic_agent.durable import write
from creatic_sauvegarde import borg
from creatic_sauvegarde.settings import BackupError, ServerUnavailableError, Settings

_BORGMATIC = "/usr/bin/borgmatic"
FIGURES = "sauvegarde.prom"
LAST = "derniere.json"


@contextmanager
def lock_backup(settings: Settings) -> Iterator[None]:
    """One backup at a time on this machine."""
    with (settings.state / "verrou").open("w") as handle:
        os.fchmod(handle.fileno(), 0o600)  # who may read a file may lock it
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServerUnavailableError("une sauvegarde est déjà en cours") from None
        yield


def _run_borgmatic(settings: Settings, *arguments: str) -> str:
    done = subprocess.run(
        [_BORGMATIC, "--no-color", "--config", settings.borgmatic, *arguments],
        env=settings.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        # A hook of ours speaks for itself.
        for line in (done.stderr + done.stdout).splitlines():
            _, mark, reason = line.partition("creatic-sauvegarde : ")
            if mark:
                raise BackupError(reason)
        raise borg.explain(done.stderr + done.stdout)
    return done.stdout


def perform(settings: Settings) -> dict[str, Any]:
    """Back up, the repository made if there is none.

    Returns:
        What was done: archive, seconds, bytes, of which new.
    """
    started = time.time()
    done: dict[str, Any] = {"le": int(started), "bonne": False, "raison": ""}
    try:
        with lock_backup(settings):
            try:
                said = _run_borgmatic(settings, "create", "--json")
            except borg.RepositoryNotFoundError:
                _run_borgmatic(settings, "repo-create", "--encryption", "repokey-blake2")
                said = _run_borgmatic(settings, "create", "--json")
        result = json.loads(said)[0]
        figures = result["archive"]["stats"]
        done |= {
            "bonne": True,
            "archive": result["archive"]["name"],
            "secondes": round(time.time() - started, 1),
            "fichiers": figures["nfiles"],
            "octets": figures["original_size"],
            "octets_nouveaux": figures["deduplicated_size"],
            "octets_depot": result["cache"]["stats"]["unique_csize"],
        }
    except BackupError as error:
        done["raison"] = str(error)
        raise
    finally:
        _publish_metrics(settings, done)
    return done


def _publish_metrics(settings: Settings, done: dict[str, Any]) -> None:
    last = settings.state / LAST
    before = json.loads(last.read_text(encoding="utf-8")) if last.exists() else {}
    good = done if done["bonne"] else before.get("derniere_bonne", {})
    write(last, json.dumps(done | {"derniere_bonne": good}, ensure_ascii=False).encode(), 0o600)
    values = {
        "last_run_timestamp_seconds": ("Start of the last backup, good or not.", done["le"]),
        "last_run_good": ("1 when it went well.", int(done["bonne"])),
        "last_good_timestamp_seconds": ("Start of the last good backup by this clock, 0 for never.", good.get("le", 0)),
        "duration_seconds": ("Time that the last good one took.", good.get("secondes", 0)),
        "original_bytes": ("What it saved.", good.get("octets", 0)),
        "new_bytes": ("Of which the repository did not have yet.", good.get("octets_nouveaux", 0)),
    }
    text = "".join(
        f"# HELP creatic_backup_{name} {told}\n# TYPE creatic_backup_{name} gauge\ncreatic_backup_{name} {value}\n"
        for name, (told, value) in values.items()
    )
    write(settings.metrics / FIGURES, text.encode(), 0o644)
