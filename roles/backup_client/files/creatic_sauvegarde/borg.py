"""borg, called with this machine's keys, and what its refusals mean."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from creatic_sauvegarde.settings import Away, BackupError, Settings

BORG = "/usr/bin/borg"
LOT = "copie-"  # begins the names of lots (lots.py), which are no backups of this machine
# Words of borg, ssh or the server → what happened, what to do, and whether the next run may just try again.
_MEANINGS = (
    ("gelé par le serveur", "le serveur a gelé le dépôt : appelez le groupement (fab backup.rollback)", False),
    ("quota exceeded", "le quota du dépôt est atteint, rien n'a été perdu de ce qui y est : faites-le relever", False),
    ("No space left", "le disque du serveur de sauvegarde est plein : prévenez le groupement", False),
    ("Insufficient free space", "le disque du serveur de sauvegarde est plein : prévenez le groupement", False),
    ("passphrase supplied", "la phrase secrète n'est pas celle du dépôt : reprenez celle du séquestre", False),
    ("Permission denied (publickey", "le serveur ne connaît pas la clé de cette machine : inscrivez-la", False),
    ("Host key verification failed", "le serveur n'est pas celui qui est attendu : n'insistez pas, prévenez", False),
    ("not allowed", "le serveur refuse ce dépôt à la clé de cette machine", False),
    ("newer than repository", "le dépôt est revenu en arrière depuis : « creatic-sauvegarde oublier » s'il a été "
     "annoncé, sinon prévenez le groupement", False),
    ("Integrity Error", "le dépôt est abîmé : voir « Un dépôt abîmé » dans le guide d'exploitation", False),
    ("Data integrity error", "le dépôt est abîmé : voir « Un dépôt abîmé » dans le guide d'exploitation", False),
    ("Failed to create/acquire the lock", "un autre passage tient le dépôt : le prochain réessaiera", True),
    ("Connection timed out", "le serveur de sauvegarde ne répond pas : le prochain passage réessaiera", True),
    ("Connection refused", "le serveur de sauvegarde ne répond pas : le prochain passage réessaiera", True),
    ("No route to host", "le serveur de sauvegarde ne répond pas : le prochain passage réessaiera", True),
    ("Connection closed by remote", "la liaison avec le serveur a été coupée : le prochain passage réessaiera", True),
)  # fmt: skip
_NONE = ("does not exist", "is not a valid repository")


class NoRepository(BackupError):
    """The server has no repository of this machine yet."""


def explain(output: str) -> BackupError:
    """What went wrong, from what borg and ssh said."""
    for words, french, again in _MEANINGS:
        if words in output:
            return (Away if again else BackupError)(french)
    if any(words in output for words in _NONE):
        return NoRepository("aucune sauvegarde de cette machine n'a encore été faite")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return BackupError(f"borg a échoué : {lines[-1] if lines else 'sans message'}")


def run(settings: Settings, *arguments: str, cwd: Path = Path("/")) -> str:
    """Run borg.

    Raises:
        BackupError: it failed, or warns (status 1, and 100 and above in the modern scheme).
    """
    done = subprocess.run(
        [BORG, *arguments], env=settings.environment(), cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise explain(done.stderr + done.stdout)
    return done.stdout


def archives(settings: Settings, repository: str = "") -> list[dict[str, Any]]:
    """Backups of a repository, oldest first: name, id, and ``le``, an aware date."""
    found = [one for one in _listed(settings, repository) if not one["name"].startswith(LOT)]
    for one in found:
        one["le"] = datetime.fromisoformat(one["start"]).astimezone(UTC)
    return found


def lots(settings: Settings) -> list[str]:
    """Names of the repository's lots, oldest first."""
    return [one["name"] for one in _listed(settings) if one["name"].startswith(LOT)]


def _listed(settings: Settings, repository: str = "") -> list[dict[str, Any]]:
    where = repository or settings.repository
    found: list[dict[str, Any]] = json.loads(run(settings, "list", "--bypass-lock", "--json", where))["archives"]
    return found


def paths(settings: Settings, archive: str, chosen: Sequence[str] = ()) -> dict[str, tuple[str, int]]:
    """Kind and size of everything in a backup, by path without its leading slash."""
    listed = run(settings, "list", "--bypass-lock", "--json-lines", "--format", "{type}{size}{path}", archive, *chosen)
    entries = (json.loads(line) for line in listed.splitlines())
    return {one["path"]: (one["type"], int(one["size"])) for one in entries}
