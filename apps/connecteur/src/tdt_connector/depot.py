"""The hot folder: which files of depot/ belong together, are whole, and may be taken."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePath

from creatic_agent import totem

from . import description as descriptions
from .checks import check_size
from .config import Delays
from .journal import SeenFile
from .storage import open_regular

log = logging.getLogger("tdt-connector")

# Names that programs give to a file while they write it.
_IGNORED_SUFFIXES = (".part", ".tmp", ".filepart", ".crdownload", "~")
_IGNORED_PREFIXES = (".", "~$")
_BLANK_MOST = 1 << 16  # bytes that disks and messages add, zeros or blank lines
_TAIL = 2048


@dataclass(frozen=True)
class Group:
    """Files that go together. With a `problem`, they go to rejets/ as they are."""

    kind: str  # acte, pes or autre
    stem: str
    names: tuple[str, ...]
    problem: str = ""


@dataclass
class _Entry:
    info: os.stat_result
    since: float  # when this size and this date were first seen


def ignored(name: str) -> bool:
    """True for the names of files still being written."""
    return name.startswith(_IGNORED_PREFIXES) or name.lower().endswith(_IGNORED_SUFFIXES)


def same_file(known: SeenFile, info: os.stat_result) -> bool:
    """True when `info` is still the very file that was taken."""
    return (known.inode, known.size, known.mtime_ns) == (info.st_ino, info.st_size, info.st_mtime_ns)


class DepotWatcher:
    """Remembers what it saw, so that only files that stay the same are taken."""

    def __init__(self, folder: Path, delays: Delays, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._delays = delays
        self._limit = limit
        self._clock = clock
        self._now = 0.0  # of the present look: judged at two instants, files that belong together would part
        self._entries: dict[str, _Entry] = {}
        self._parsed: dict[str, tuple[int, int, descriptions.Description | list[str]]] = {}

    def ready(self, taken: Collection[tuple[str, int]]) -> list[Group]:
        """Look once; return the groups to take now. `taken` are (name, inode) the journal already holds."""
        self._look(taken)
        groups: list[Group] = []
        claimed: set[str] = set()
        described = [name for name in self._entries if PurePath(name).suffix.lower() in (".yml", ".yaml")]
        for name in sorted(described):
            self._add(groups, name, lambda name: self._described(name, claimed))
        unread = not self._stable(*described)  # who knows which files they name
        for name in sorted(set(self._entries) - claimed):
            self._add(groups, name, lambda name: self._alone(name, unread))
        return groups

    @staticmethod
    def _add(groups: list[Group], name: str, look: Callable[[str], Group | None]) -> None:
        """One file that vanishes, cannot be read or meets a bug does not hold the others back."""
        try:
            group = look(name)
        except OSError as error:
            log.warning("« %s » reste dans le dépôt : %s", name, error)
            return
        except Exception as error:
            log.exception("« %s » : erreur inattendue", name)
            problem = f"le connecteur n'a pas su le lire ({type(error).__name__}) ; prévenez le groupement."
            group = Group("autre", PurePath(name).stem, (name,), problem)
        if group:
            groups.append(group)

    def _look(self, taken: Collection[tuple[str, int]]) -> None:
        now = self._now = self._clock()
        entries: dict[str, _Entry] = {}
        with os.scandir(self._folder) as listing:
            for item in listing:
                try:
                    info = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if ignored(item.name) or stat.S_ISDIR(info.st_mode) or (item.name, info.st_ino) in taken:
                    continue
                old = self._entries.get(item.name)
                unchanged = old is not None and (old.info.st_ino, old.info.st_size, old.info.st_mtime_ns) == (
                    info.st_ino,
                    info.st_size,
                    info.st_mtime_ns,
                )
                entries[item.name] = _Entry(info, old.since if old and unchanged else now)
        self._entries = entries
        self._parsed = {name: value for name, value in self._parsed.items() if name in entries}

    def _age(self, name: str) -> float:
        return self._now - self._entries[name].since

    def _stable(self, *names: str) -> bool:
        return all(self._age(name) >= self._delays.stabilite for name in names)

    def _late(self, *names: str) -> bool:
        return all(self._age(name) >= self._delays.incomplet for name in names)

    def _described(self, name: str, claimed: set[str]) -> Group | None:
        stem = PurePath(name).stem
        namesakes = [
            other
            for other in self._entries
            if PurePath(other).stem == stem and PurePath(other).suffix.lower() in (".pdf", ".xml")
        ]
        claimed.add(name)
        claimed.update(namesakes)
        if not self._stable(name):
            return None
        unfit = self._unfit(name)
        if unfit:
            return Group("autre", stem, (name,), unfit) if self._stable(*namesakes) else None
        parsed = self._parse(name)
        if isinstance(parsed, list):
            if not self._stable(*namesakes):
                return None
            return Group("autre", stem, (name, *namesakes), "\n".join(parsed))
        suffix = ".xml" if parsed.pes else ".pdf"
        default = next((other for other in namesakes if other.lower().endswith(suffix)), f"{stem}{suffix}")
        main = parsed.file or default
        wanted = [main, *(annex.name for annex in parsed.annexes)]
        present = [other for other in wanted if other in self._entries]
        claimed.update(present)
        missing = [other for other in wanted if other not in self._entries]
        if missing:
            if not self._late(name, *present):
                return None
            text = ", ".join(f"« {other} »" for other in missing)
            return Group(
                "autre",
                stem,
                (name, *present),
                f"fichier annoncé par « {name} » mais jamais déposé : {text}.",
            )
        if not self._stable(*present):
            return None
        problem = self._problem(present)
        if not problem and not self._late(*present) and any(self._looks_unfinished(other) for other in present):
            return None
        return Group("pes" if parsed.pes else "acte", stem, (name, *present), problem)

    def _alone(self, name: str, unread: bool) -> Group | None:
        """A file that no description names; one that is `unread` yet may name it, unless it is a flow."""
        if not self._stable(name):
            return None
        path = PurePath(name)
        budget_alone = path.suffix.lower() == ".xml" and self._is_budget(name)
        if path.suffix.lower() == ".xml" and not budget_alone:
            problem = self._problem([name])
            if not problem and not self._late(name) and self._looks_unfinished(name):
                return None
            return Group("pes", path.stem, (name,), problem)
        if unread or not self._late(name):
            return None
        waited = f"déposé depuis {self._delays.incomplet / 60:.0f} minutes"
        if budget_alone or path.suffix.lower() == ".pdf":
            more = "fichier, annexes, " if budget_alone else ""
            problem = (
                f"« {name} » est {waited} sans son fichier de description. Déposez avec lui « {path.stem}.yml » "
                f"({more}numero, objet, date, nature, classification, type)."
            )
        else:
            problem = f"« {name} » est {waited} et aucun fichier de description ne le cite ; le connecteur l'ignore."
        return Group("autre", path.stem, (name,), problem)

    def _is_budget(self, name: str) -> bool:
        """Whether it is a budget, which comes with a description as acts do, and not a PES."""
        if self._unfit(name):
            return False
        with open_regular(self._folder / name) as (handle, _):
            head = os.pread(handle, _TAIL, 0)
            return any(one.encode() in head for one in (totem.NAMESPACE, totem.CFU_NAMESPACE))

    def _parse(self, name: str) -> descriptions.Description | list[str]:
        info = self._entries[name].info
        known = self._parsed.get(name)
        if known and known[:2] == (info.st_ino, info.st_mtime_ns):
            return known[2]
        result: descriptions.Description | list[str]
        try:
            with open_regular(self._folder / name) as (handle, _):
                result = descriptions.parse(os.read(handle, descriptions.MAX_BYTES + 1))
        except descriptions.DescriptionError as error:
            result = error.faults
        self._parsed[name] = (info.st_ino, info.st_mtime_ns, result)
        return result

    def _problem(self, names: list[str]) -> str:
        """Why these files cannot be copied out of depot/, or ""."""
        unfit = [text for text in map(self._unfit, names) if text]
        unfit += [
            f"« {name} » : ce nom est réservé au connecteur ; renommez le fichier."
            for name in names
            if name in descriptions.RESERVED
        ]
        if unfit:
            return "\n".join(unfit)
        return check_size(sum(self._entries[name].info.st_size for name in names), self._limit) or ""

    def _unfit(self, name: str) -> str:
        if not stat.S_ISREG(self._entries[name].info.st_mode):
            return f"« {name} » n'est pas un fichier ordinaire (lien ou autre) ; déposez le document lui-même."
        try:
            with open_regular(self._folder / name):
                return ""
        except PermissionError:
            return f"« {name} » : le connecteur n'a pas le droit de le lire ; donnez la lecture au groupe du dossier."

    def _looks_unfinished(self, name: str) -> bool:
        """A PDF without its end mark, an XML that does not end on a tag, or nothing at all (yet)."""
        with open_regular(self._folder / name) as (handle, info):
            if info.st_size == 0:
                return True
            head = os.pread(handle, _TAIL, 0)
            tail = os.pread(handle, _BLANK_MOST, max(0, info.st_size - _BLANK_MOST)).rstrip(b"\0\r\n\t\f ")[-_TAIL:]
        if b"%PDF-" in head:
            return b"%%EOF" not in tail
        if name.lower().endswith(".xml"):
            return not tail.endswith(b">")
        return False
