"""borg, called with this machine's keys, and what its refusals mean."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

from creatic_sauvegarde.settings import BackupError, ServerUnavailableError, Settings

BORG = "/usr/bin/borg"
LOT = "copie-"  # begins the names of lots (lots.py), which are no backups of this machine
# `borg list` says neither the names of extended attributes nor names that are no text: it is made to.
_PYTHON = "/usr/bin/python3"
_LIST = """
import json, os, sys
sys.argv[0] = "borg"
from borg import archiver
from borg.helpers.parseformat import ItemFormatter
def described(self, item):
    names = [os.fsdecode(name) for name in item.get("xattrs", {})]
    names += [name for name in ("acl_access", "acl_default") if item.get(name)]
    more = {"mode": item.mode & 0o7777, "path": item.path, "source": item.get("source", ""), "xattrs": names,
            "user": item.user or "", "group": item.group or ""}
    return json.dumps(self.get_item_data(item) | more) + "\\n"
ItemFormatter.format_item_json = described
sys.exit(archiver.main())
"""
_MAX_LISTING_LINE_BYTES = 1_000_000  # bytes of a line of a list
_MAX_PATTERN_EXCLUSIONS = 200  # names that no line of a file can hold
# Words of borg, ssh or the server → what happened, what to do, and whether the next run may just try again.
_MEANINGS = (
    ("gelé par le serveur", "le serveur a gelé le dépôt : appelez le groupement (fab sauvegarde.revenir)", False),
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
    ("sessions ouvertes ici", "cette machine a déjà des sessions au serveur de sauvegarde, que sa ligne a coupées "
     "peut-être : le prochain passage réessaiera", True),
    ("Failed to create/acquire the lock", "un autre passage tient le dépôt : le prochain réessaiera", True),
    ("Connection timed out", "le serveur de sauvegarde ne répond pas : le prochain passage réessaiera", True),
    ("Connection refused", "le serveur de sauvegarde ne répond pas : le prochain passage réessaiera", True),
    ("No route to host", "le serveur de sauvegarde ne répond pas : le prochain passage réessaiera", True),
    ("Connection closed by remote", "la liaison avec le serveur a été coupée : le prochain passage réessaiera", True),
)  # fmt: skip # a row a line
_MISSING_REPOSITORY_MESSAGES = ("does not exist", "is not a valid repository")


class RepositoryNotFoundError(BackupError):
    """The server has no repository of this machine yet."""


def explain(output: str) -> BackupError:
    """What went wrong, from what borg and ssh said."""
    for words, french, again in _MEANINGS:
        if words in output:
            return (ServerUnavailableError if again else BackupError)(french)
    if any(words in output for words in _MISSING_REPOSITORY_MESSAGES):
        return RepositoryNotFoundError("aucune sauvegarde de cette machine n'a encore été faite")
    lines = [line.strip() for line in output.partition("\n\nPlatform: ")[0].splitlines() if line.strip()]
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
    found = [one for one in _query_archives(settings, repository)["archives"] if not one["name"].startswith(LOT)]
    for one in found:
        one["le"] = datetime.fromisoformat(one["start"]).astimezone(UTC)
    return found


def lots(settings: Settings) -> list[str]:
    """Names of the repository's lots, oldest first."""
    return depot(settings)[1]


def depot(settings: Settings) -> tuple[str, list[str]]:
    """The repository's identity, and the names of its lots, oldest first."""
    found = _query_archives(settings)
    return str(found["repository"]["id"]), [one["name"] for one in found["archives"] if one["name"].startswith(LOT)]


def declare_needs(settings: Settings, needs: str) -> None:
    """Tell the server which repositories must stay (JSON, see lots.py).

    Raises:
        BackupError: it did not take it.
    """
    server = f"ssh://{urlsplit(settings.repository).netloc}"
    done = subprocess.run(
        [*settings.environment()["BORG_RSH"].split(), server, "besoins"],
        env=settings.environment(),
        input=needs,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise explain(done.stderr + done.stdout)


def _query_archives(settings: Settings, repository: str = "") -> dict[str, Any]:
    where = repository or settings.repository
    found: dict[str, Any] = json.loads(run(settings, "list", "--bypass-lock", "--json", where))
    return found


def listing(settings: Settings, archive: str) -> Iterator[dict[str, Any]]:
    """What a backup lists, one item after the other, as borg gives it: ``type``, ``mode`` (a number), ``uid``, ``gid``,
    ``user``, ``group``, ``size``, ``path``, ``source`` (of links), ``xattrs`` (their names).

    Raises:
        BackupError: borg failed.
    """
    command = [_PYTHON, "-I", "-c", _LIST, "list", "--bypass-lock", "--json-lines", "--format", "{type}{size}{path}"]
    with _stream_borg(settings, [*command, archive]) as stream:
        while line := stream.readline(_MAX_LISTING_LINE_BYTES):
            if line.endswith(b"\n"):
                yield json.loads(line)
                continue
            while (rest := stream.readline(_MAX_LISTING_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield {"path": line[:100].decode(errors="replace")}


@contextmanager
def content(
    settings: Settings, archive: str, paths: Sequence[str], without: Sequence[str] = ()
) -> Iterator[tarfile.TarFile]:
    """A backup as a tar, read as it comes.

    Args:
        paths: the only ones that are sent, with what is below; none for all of it.
        without: those of which nothing is sent, however many they are.

    Raises:
        BackupError: borg failed.
    """
    plain = [one for one in without if one.strip() == one and not {"\n", "\r"} & set(one)]
    odd = [f"--exclude=pf:{one}" for one in sorted(set(without) - set(plain))[:_MAX_PATTERN_EXCLUSIONS]]
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="surrogateescape") as patterns:
        patterns.writelines(f"pf:{one}\n" for one in plain)
        patterns.flush()
        command = [BORG, "export-tar", "--bypass-lock", f"--exclude-from={patterns.name}", *odd, archive, "-", *paths]
        with (
            _stream_borg(settings, command, lenient=True) as stream,
            tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as tar,
        ):
            yield tar


@contextmanager
def _stream_borg(settings: Settings, command: list[str], lenient: bool = False) -> Iterator[IO[bytes]]:
    """The output of a borg that works meanwhile; it is read to its end, or cut when what reads it gives up.

    Args:
        lenient: its warnings are no failure; what reads it sees what was not sent.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            env=settings.environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        ended = False
        try:
            with cast("IO[bytes]", process.stdout) as stream:
                yield stream
                while stream.read(1 << 20):
                    pass
            ended = True
        except tarfile.TarError:
            pass  # borg stopped in the middle, and says why
        finally:
            if not ended:
                process.terminate()
            status = process.wait()
        if not ended or (status and not (lenient and (status == 1 or 100 <= status < 128))):
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - 10_000))
            raise explain(errors.read().decode(errors="replace"))
