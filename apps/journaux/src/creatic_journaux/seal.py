# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Seals the days that are over, keeps them for their term, and reads them again.

A sealed day is a folder ``AAAA-MM-JJ`` of root, out of reach of the account that listens: ``MACHINE.log.gz``, and
``manifeste.json``, which has the SHA-256 of each file and of the manifest before. The control node takes the manifests
each morning, and has them signed and timestamped among its evidence: what is changed here afterwards differs from them.

What was received may be hostile (it belongs to whom the network reaches): links, pipes and strange names are not read.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from creatic_agent import durable
from creatic_agent.errors import CreaticError
from creatic_agent.figures import Figures

MANIFEST = "manifeste.json"
TAKEN = "otes.json"
"""Beside it: journals that were taken away before their term, for want of room."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[0-9]{1,4})?")
_LOG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.log")
_CHUNK = 1 << 20
_AT_ONCE = 7  # days past their term that one purge takes away


class SealError(CreaticError, cause="sceau"):
    """A day is not sealed, or differs from its seal; the message (French) names it."""


@dataclass(frozen=True)
class Sealed:
    """A day that is sealed.

    Attributes:
        folder: where.
        text: of its manifest, as it is written.
        manifest: the same, read.
    """

    folder: Path
    text: bytes
    manifest: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Digest of its manifest."""
        return hashlib.sha256(self.text).hexdigest()

    @property
    def number(self) -> int:
        """Its rank, from 1."""
        return int(self.manifest["numero"])

    @property
    def day(self) -> str:
        """ISO 8601."""
        return str(self.manifest["jour"])


def days(sealed: Path) -> list[Sealed]:
    """The sealed days, in the order in which they were.

    Raises:
        SealError: a manifest cannot be read.
    """
    found = []
    for folder in sealed.iterdir():
        if _DAY.fullmatch(folder.name):
            try:
                text = (folder / MANIFEST).read_bytes()
                made = Sealed(folder, text, json.loads(text))
                found.append((made.number, made))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise SealError(f"{folder / MANIFEST} illisible : {error}") from None
    return [one for _number, one in sorted(found, key=lambda pair: pair[0])]


def seal(received: Path, sealed: Path, today: dt.date) -> list[str]:
    """Seal what is over; gives the days that were. Again after a crash, it goes on.

    Args:
        received: ``recu`` of the collector, a folder a day.
        sealed: where sealed days go.
        today: UTC.

    Raises:
        SealError: a manifest cannot be read.
        OSError: the disk is full, or fails; what was received stays.
    """
    for left in sealed.glob(".en-cours-*"):
        shutil.rmtree(left)
    done = []
    for day in _names(received):
        if not _DAY.fullmatch(day) or not _date(day) or day >= today.isoformat():
            continue
        folder = os.open(received / day, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if _sealed(folder, day, sealed):
                done.append(day)
            for name in _names(folder):
                if _LOG.fullmatch(name):
                    os.unlink(name, dir_fd=folder)
            left_over = _names(folder)
        finally:
            os.close(folder)
        if left_over:
            raise SealError(f"{received / day} : {left_over[0]!r} n'est pas un journal ; regardez qui l'a mis, ôtez-le")
        (received / day).rmdir()
    return done


def _sealed(folder: int, day: str, sealed: Path) -> bool:
    """Make the sealed folder of a day; False when there is nothing, or it was made before a crash."""
    known = days(sealed)
    staging = sealed / f".en-cours-{day}"
    staging.mkdir(mode=0o750)
    files = [_packed(folder, name, staging) for name in _names(folder) if _LOG.fullmatch(name)]
    same = [one for one in known if one.day == day]
    if not files or any(one.manifest["fichiers"] == files for one in same):
        shutil.rmtree(staging)
        return False
    last = known[-1] if known else None
    manifest = {
        "version": 1,
        "numero": last.number + 1 if last else 1,
        "jour": day,
        "precedent": {"jour": last.day, "sha256": last.sha256} if last else None,
        "fichiers": files,
    }
    text = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
    with durable.fresh(staging / MANIFEST) as stream:
        stream.write(text.encode())
    durable.sync_directory(staging)
    # A clock that went back brings lines of a day that is sealed: they get a seal of their own.
    staging.rename(sealed / (f"{day}.{len(same) + 1}" if same else day))
    durable.sync_directory(sealed)
    return True


def _date(day: str) -> dt.date | None:
    """The date of a day's name; None for what only looks like one, as 2026-13-45."""
    try:
        return dt.date.fromisoformat(day[:10])
    except ValueError:
        return None


def _names(place: int | Path) -> list[str]:
    with os.scandir(place) as found:
        return sorted(one.name for one in found)


def _packed(folder: int, name: str, staging: Path) -> dict[str, Any]:
    """Compress a file, the same bytes each time; gives its line of the manifest."""
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(handle, "rb") as source:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise SealError(f"{name} n'est pas un fichier ; regardez qui l'a mis, ôtez-le")
        packed, lines = staging / f"{name}.gz", 0
        with durable.fresh(packed) as target, gzip.GzipFile("", "wb", 6, target, mtime=0) as stream:
            for chunk in durable.still(source, block=_CHUNK):  # another account's: it may go on writing
                lines += chunk.count(b"\n")
                stream.write(chunk)
    return {"nom": packed.name, "sha256": digest(packed), "octets": packed.stat().st_size, "lignes": lines}


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def purge(sealed: Path, term: int, most: int, today: dt.date) -> int:
    """Take away days past their term, then, while there is too much, the oldest journals of who has more than a share.

    A machine that sends much shortens its own history: what is kept is shared out (`_share`), and who is within its
    share loses nothing. What is taken so is noted beside the manifest, which stays; the last day stays whole, for the
    next one names it. Of days past their term a week's go at a time: a clock that is years ahead does not empty the
    folder before somebody sees it.

    Args:
        sealed: the sealed days.
        term: in days. One year is what the CNIL's délibération n° 2021-122 (journalisation) takes for the longest.
        most: bytes.
        today: UTC.

    Returns:
        Days of which something went before its term.
    """
    known = days(sealed)
    # Wherever they are: a clock that went back sealed an old day after newer ones.
    past = [one for one in known[:-1] if (today - (_date(one.day) or dt.date.min)).days > term][:_AT_ONCE]
    for one in past:
        shutil.rmtree(one.folder)
    known = [one for one in known if one not in past]
    there = {one.folder: _there(one) for one in known}
    sizes: dict[str, int] = {}
    for files in there.values():
        for name, size in files.items():
            sizes[name] = sizes.get(name, 0) + size
    share, early = _share(list(sizes.values()), most), set()
    for one in known[:-1]:
        for name in [name for name in there[one.folder] if sizes[name] > share]:
            sizes[name] -= there[one.folder].pop(name)
            early.add(one.folder)
        if one.folder in early:
            taken = {str(file["nom"]) for file in one.manifest["fichiers"]} - there[one.folder].keys()
            durable.write(one.folder / TAKEN, json.dumps(sorted(taken)).encode(), 0o640)
            for name in taken:
                (one.folder / name).unlink(missing_ok=True)
    for one in known[:-1]:
        if there[one.folder]:
            break
        shutil.rmtree(one.folder)  # nothing of it is left, nor of those before
    return len(early)


def _there(one: Sealed) -> dict[str, int]:
    """Bytes of each journal of a day."""
    return {path.name: path.stat().st_size for path in one.folder.glob("*.log.gz")}


def _share(sizes: list[int], most: int) -> int:
    """What each may have of a room, so that the whole fits: those who ask for less leave theirs to the others."""
    left = most
    for rank, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - rank)
        if size > share:
            return share
        left -= size
    return max(sizes, default=0)


def figures(sealed: Path, early: int, now: float) -> str:
    """Figures of a sealing that went well, in Prometheus' text format.

    Args:
        sealed: the sealed days.
        early: days that were taken away before their term.
        now: seconds since the epoch.
    """
    made = Figures("journaux_")
    made.add("scelle_timestamp_seconds", "Last time that journals were sealed.", round(now))
    made.add("raccourcis", "Days of journals taken away before their term, for want of room.", early)
    made.add("jours", "Days of journals that are kept.", len(days(sealed)))
    return str(made)


def _taken(one: Sealed) -> set[str]:
    try:
        return {str(name) for name in json.loads((one.folder / TAKEN).read_text(encoding="ascii"))}
    except (OSError, ValueError, TypeError):
        return set()


def exported(sealed: Path, after: int, most: int = 400) -> str:
    """Manifests that follow one, as JSON: a list of texts, as they are written.

    Raises:
        SealError: a manifest cannot be read.
    """
    return json.dumps([one.text.decode() for one in days(sealed) if one.number > after][:most])


def verified(sealed: Path) -> str:
    """Read everything again, as JSON: ``manifestes`` (``numero``, ``jour``, ``sha256``) and ``fautes``, in French.

    Raises:
        SealError: a manifest cannot be read.
    """
    known = days(sealed)
    told = [{"numero": one.number, "jour": one.day, "sha256": one.sha256} for one in known]
    return json.dumps({"manifestes": told, "fautes": list(_faults(known))}, ensure_ascii=False)


def _faults(known: list[Sealed]) -> Iterator[str]:
    before: Sealed | None = None
    older: set[str] = set()
    for one in known:
        named = one.manifest["precedent"]
        if before and named != {"jour": before.day, "sha256": before.sha256}:
            yield f"{one.folder.name} : ne suit pas {before.folder.name}, modifié ou remplacé"
        before = one
        listed = {str(file["nom"]): file for file in one.manifest["fichiers"]}
        there = {path.name for path in one.folder.iterdir()} - {MANIFEST, TAKEN}
        # Room is made of the oldest: what is older than what was taken away would have gone before it.
        made_room = _taken(one) - older
        older |= there
        yield from (f"{one.folder.name}/{name} : disparu" for name in sorted(listed.keys() - there - made_room))
        yield from (f"{one.folder.name}/{name} : ajouté après le scellement" for name in sorted(there - listed.keys()))
        for name in sorted(there & listed.keys()):
            if digest(one.folder / name) != listed[name]["sha256"]:
                yield f"{one.folder.name}/{name} : modifié après le scellement"
