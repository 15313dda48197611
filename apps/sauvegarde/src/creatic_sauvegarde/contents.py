"""What a backup holds, judged before any of it is put back.

Whoever was root on the saved machine wrote what he liked in its backup. So what comes back is what this machine's roles
declare, in plain files, folders and links that stay inside, of accounts that they gave it to; anything else is told.
"""

from __future__ import annotations

import fnmatch
import grp
import os
import pwd
import re
import stat
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from creatic_agent.errors import CreaticError
from creatic_sauvegarde.settings import BackupError, Settings

MAX_ITEMS = 2_000_000
MAX_SHOWN_REFUSALS = 50
# What stays free on a disk, in bytes, whatever the backup holds: this much, or a tenth of what is free.
_MIN_FREE_BYTES = 500_000_000
_NAME, _PATH, _DEPTH = 255, 4096, 100
_MAX_FOLLOWED_LINKS = 40  # links, one through the other, as the kernel does
_UNSUPPORTED_KINDS = {"b": "périphérique", "c": "périphérique", "p": "tube (FIFO)", "s": "socket"}
_PRIVILEGED = ("security.", "trusted.")
_OUT, _LEFT, _NO_NAME = "hors de ce qui est déclaré", "déclaré comme laissé de côté", "nom qui n'en est pas un"


@dataclass(frozen=True)
class Entry:
    """Something that may be put back.

    Attributes:
        kind: as ``ls`` says it: ``-`` file, ``d`` folder, ``l`` symbolic link; ``h`` a hard link to a file before it.
        mode: permissions; no setuid, and setgid on folders alone.
        size: bytes of a file.
        owner: number of its account here.
        group: number of its group here.
        target: of a link.
    """

    kind: str
    mode: int
    size: int
    owner: int
    group: int
    target: str = ""


class UnfitError(CreaticError, cause="contenu"):
    """An item is not put back; the message (French) says why."""


def sanitize_text(text: str) -> str:
    """A name that somebody else chose, as it can be shown on a terminal: one line, nothing that it would obey."""
    told = "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)
    return told if len(told) <= 200 else f"{told[:200]}…"


@dataclass
class Refusals:
    """What is not put back, or not as it was saved."""

    count: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: list[tuple[str, str]] = field(default_factory=list)

    def add(self, path: str, reason: str) -> None:
        """Note one; the reason (French) is counted up to its colon."""
        self.count += 1
        self.reasons[reason.partition(" : ")[0]] += 1
        if len(self.first) < MAX_SHOWN_REFUSALS:
            self.first.append((f"/{sanitize_text(path)}", sanitize_text(reason)))

    def lines(self) -> list[str]:
        """All of it in French, the first ones one by one, all of them counted."""
        told = [f"refusé : {path} : {reason}" for path, reason in self.first]
        if self.count > len(self.first):
            told.append(f"… et {self.count - len(self.first)} autres")
        told += [f"{number} × {reason}" for reason, number in self.reasons.most_common()]
        return told


class Owners:
    """Who may own what comes back: root, those to whom the roles gave these places on this machine, and those whose
    services work there. An account that is of such a group may too: it deposits there.

    Args:
        places: files and folders of this machine.
        units: its services.
    """

    def __init__(self, places: Iterable[Path], units: list[str] | None = None) -> None:
        self.users, self.groups = {0}, {0}
        for place in places:
            for found in _stat_tree(place):
                self.users.add(found.st_uid)
                self.groups.add(found.st_gid)
        for group in grp.getgrall():
            if group.gr_gid in self.groups - {0}:
                self.users |= {account.pw_uid for account in map(_find_account, group.gr_mem) if account}
        for kind, name in _service_accounts(units or []):
            with suppress(KeyError):
                if kind == "User":
                    self.users.add(pwd.getpwnam(name).pw_uid)
                else:
                    self.groups.add(grp.getgrnam(name).gr_gid)
        self.groups |= {account.pw_gid for account in pwd.getpwall() if account.pw_uid in self.users}

    @classmethod
    def from_settings(cls, settings: Settings) -> Owners:
        """Those of all that is declared."""
        places = [settings.base / one for one in declared(settings)]
        places += [(settings.base / name.lstrip("/")).parent for name in settings.all_of("sqlite")]
        return cls(places, settings.all_of("units"))

    def find(self, user: str, uid: int, group: str, gid: int) -> tuple[int, int]:
        """Numbers here of an account and its group, by their names when there are any.

        Raises:
            UnfitError: they are not expected there.
        """
        try:
            owner = pwd.getpwnam(user).pw_uid if user else uid
            owned = grp.getgrnam(group).gr_gid if group else gid
        except (KeyError, ValueError):
            raise UnfitError(f"propriétaire inconnu sur cette machine : {user}:{group}") from None
        if owner not in self.users or owned not in self.groups:
            raise UnfitError(f"propriétaire inattendu : {user or uid}:{group or gid}")
        return owner, owned


def _service_accounts(units: list[str]) -> list[tuple[str, str]]:
    """Under which ``User`` and ``Group`` units work."""
    if not units:
        return []
    asked = ["systemctl", "show", "--property=User", "--property=Group", *units]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    lines = [line.partition("=") for line in done.stdout.splitlines()]
    return [(kind, name) for kind, _sign, name in lines if name]


def _find_account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _stat_tree(place: Path) -> Iterator[os.stat_result]:
    """What a place is, and what is below it; nothing when it is not there."""
    try:
        yield place.lstat()
        with os.scandir(place) as entries:
            inside = list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in inside:
        if entry.is_dir(follow_symlinks=False):
            yield from _stat_tree(Path(entry.path))
        else:
            yield entry.stat(follow_symlinks=False)


def declared(settings: Settings) -> list[str]:
    """Paths that a backup is made of, as it names them: no leading slash, ``.`` for all of the base."""
    found = [str(PurePosixPath(path.lstrip("/") or ".")) for path in settings.all_of("paths")]
    return [*found, str(settings.snapshots.relative_to(settings.base))]


def _left_out(patterns: list[str]) -> re.Pattern[str] | None:
    """What borg leaves out by patterns of its style ``fm:``, each of which matches what is below too."""
    parts = [
        re.sub(r"\\[zZ]$", "", fnmatch.translate(one.lstrip("/") + ("*" if one.endswith("/") else "")))
        for one in patterns
    ]
    return re.compile(f"(?:{'|'.join(parts)})(?=/|\\Z)") if parts else None


class Contents:
    """A backup's list, judged item by item as it is read.

    Args:
        settings: what is declared.
        root: below which folder it will be put.

    Attributes:
        entries: what may be put back, by path without its leading slash, in the list's order.
        refusals: the rest.
        unwanted: refused paths of what is declared, which borg is not to send at all.
    """

    def __init__(self, settings: Settings, root: Path) -> None:
        self.entries: dict[str, Entry] = {}
        self.refusals = Refusals()
        self.unwanted: list[str] = []
        self._again = 0
        self._declared = declared(settings)
        self._copies = f"{self._declared[-1]}/"
        self._all = "." in self._declared
        self._left = _left_out(settings.all_of("exclude"))
        self._root, self._base = root, settings.base
        # What an account other than root puts back is its own; so is all of the control node's, wherever it came from.
        self.mine = os.geteuid() != 0 or settings.base != Path("/")
        self._owners = None if self.mine else Owners.from_settings(settings)
        self._refused: set[str] = set()
        self._items = 0

    def judge(self, item: Mapping[str, Any]) -> None:
        """Take one item of the list, as `borg.listing` gives it.

        Raises:
            BackupError: there are too many.
        """
        self._items += 1
        if self._items > MAX_ITEMS:
            raise BackupError(f"la sauvegarde compte plus de {MAX_ITEMS} éléments : rien n'est remis")
        path = item.get("path")
        path = path if isinstance(path, str) else ""
        try:
            if not self._leads_to_declared(path, item):
                self.entries[path] = self._check_item(path, item)
        except (UnfitError, KeyError, TypeError, ValueError, OverflowError) as error:
            self.refusals.add(path, str(error) if isinstance(error, UnfitError) else "description illisible")
            if path in self.entries or str(error) == _NO_NAME:
                self._count_discarded(item)
            elif self._is_within(path):
                self.unwanted.append(path)
            if path not in self.entries and self._is_within(path):
                self._refused.add(path)

    def _count_discarded(self, item: Mapping[str, Any]) -> None:
        """What borg cannot be told to leave out by its name is sent, to be thrown away: not without end."""
        size = item.get("size")
        self._again += size if isinstance(size, int) else 0
        if self._again > _MIN_FREE_BYTES:
            raise BackupError("la sauvegarde est pleine de fichiers mal nommés ou en double : rien n'est remis")

    def _leads_to_declared(self, path: str, item: Mapping[str, Any]) -> bool:
        """Folders that lead to what is declared are this machine's own: they stay as they are."""
        if item.get("type") != "d":
            return False
        return path == "." or (not self._all and any(one.startswith(f"{path}/") for one in self._declared))

    def inside(self, path: str) -> bool:
        """Whether a path is declared; those that are declared as left out are not."""
        return self._is_within(path) and not (self._left and self._left.match(path))

    def unlisted(self, path: str) -> bool:
        """Whether something is declared, and was not in the list; the base itself stays as it is."""
        return path != "." and self.inside(path) and path not in self.entries and path not in self._refused

    def _is_within(self, path: str) -> bool:
        return self._all or any(path == one or path.startswith(f"{one}/") for one in self._declared)

    def _check_item(self, path: str, item: Mapping[str, Any]) -> Entry:
        self._check_place(path)
        kind, mode, size = str(item["type"]), int(item["mode"]), int(item["size"])
        self._check_free(path)
        if kind not in "-dl" or size < 0:
            raise UnfitError(_UNSUPPORTED_KINDS.get(kind, "type inconnu"))
        owner, group = (
            (-1, -1)
            if self._owners is None
            else self._owners.find(
                str(item["user"] or ""), int(item["uid"]), str(item["group"] or ""), int(item["gid"])
            )
        )
        target = str(item.get("source") or "")
        if kind == "-":
            if mode & (stat.S_ISUID | stat.S_ISGID):
                raise UnfitError("fichier setuid ou setgid")
            mode &= 0o777
            if target:
                kind, size = "h", 0
                if target not in self.entries or self.entries[target].kind != "-":
                    raise UnfitError(f"lien dur vers ce qui n'est pas remis : {target}")
        elif kind == "d":
            # A folder's group goes to what is made in it.
            if mode & stat.S_ISUID or (mode & stat.S_ISGID and group == 0):
                raise UnfitError("dossier setuid, ou setgid de root")
            mode &= 0o3777
        elif not self._stays_inside(path, target):
            raise UnfitError(f"lien qui mène hors de ce qui est déclaré : {target}")
        self._check_attributes(path, item)
        return Entry(kind, mode, size, owner, group, target)

    def _check_place(self, path: str) -> None:
        parts = path.split("/")
        if {"", ".", ".."} & set(parts) or "\0" in path or len(parts) > _DEPTH:
            raise UnfitError(_NO_NAME)
        if len(os.fsencode(path)) > _PATH or any(len(os.fsencode(one)) > _NAME for one in parts):
            raise UnfitError(_NO_NAME)
        if not self._is_within(path):
            raise UnfitError(_OUT)

    def _check_free(self, path: str) -> None:
        if not self.inside(path):
            raise UnfitError(_LEFT)
        if path in self.entries or path in self._refused:
            raise UnfitError("deux fois dans la sauvegarde")
        above = self.entries.get(path.rpartition("/")[0])
        if (above and above.kind != "d") or self._below_refused(path.split("/")):
            raise UnfitError("sous un élément qui n'est pas un dossier remis")

    def _below_refused(self, parts: list[str]) -> bool:
        return any("/".join(parts[:depth]) in self._refused for depth in range(1, len(parts)))

    def _stays_inside(self, path: str, target: str) -> bool:
        """Whether a symbolic link leads to something declared. ``..`` comes first only: after a name, which may be a
        link itself, it would lead elsewhere than it reads."""
        names = [one for one in target.split("/") if one not in ("", ".")]
        if not target or "\0" in target or len(os.fsencode(target)) > _PATH:
            return False
        if target.startswith("/"):
            if self._root != Path("/"):
                return False
            place: list[str] = []
        else:
            place = path.split("/")[:-1]
        while names and names[0] == "..":
            if not place:
                return False
            place.pop()
            names.pop(0)
        if ".." in names:
            return False
        return self.inside("/".join([*place, *names]) or ".")

    def check_links(self) -> None:
        """Once all is judged: refuse links that lead out through others, of the backup or of this machine."""
        out = [path for path, one in self.entries.items() if one.kind == "l" and not self._ends_inside(path)]
        for path in out:
            self.drop(path, f"lien qui mène hors de ce qui est déclaré, par un autre : {self.entries[path].target}")
            self._refused.add(path)

    def _ends_inside(self, path: str) -> bool:
        waiting, place, followed = path.split("/")[::-1], list[str](), 0
        while waiting:
            name = waiting.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if not place:
                    return False
                place.pop()
                continue
            place.append(name)
            target = self._link_target("/".join(place))
            if target is None:
                continue
            followed += 1
            if followed > _MAX_FOLLOWED_LINKS or (target.startswith("/") and self._root != Path("/")):
                return False
            place = [] if target.startswith("/") else place[:-1]
            waiting.extend(target.split("/")[::-1])
            if len(waiting) > _PATH:
                return False
        return self.inside("/".join(place) or ".")

    def _link_target(self, path: str) -> str | None:
        """Where a link leads: the backup's, or what this machine has there; None for what is none."""
        if entry := self.entries.get(path):
            return entry.target if entry.kind == "l" else None
        try:
            return str((self._root / path).readlink())
        except OSError:
            return None

    def _check_attributes(self, path: str, item: Mapping[str, Any]) -> None:
        """Nothing comes back but content, owner, permissions and date; the rest is told."""
        names = [str(one) for one in item.get("xattrs", ())]
        if privileged := [one for one in names if one.startswith(_PRIVILEGED)]:
            raise UnfitError(f"fichier à privilège : attribut {', '.join(sorted(privileged))}")
        if names:
            self.refusals.add(path, f"remis sans ses attributs étendus : {', '.join(sorted(names))}")

    def drop(self, path: str, reason: str) -> None:
        """Something that was to come back does not (reason in French)."""
        self.entries.pop(path, None)
        self.refusals.add(path, reason)

    # -- Room -------------------------------------------------------------------------------------------

    def check_room(self) -> None:
        """Make sure that the disks hold all of it, with room to spare.

        Raises:
            BackupError: they do not; nothing was changed.
        """
        wanted: Counter[int] = Counter()
        files: Counter[int] = Counter()
        disks: dict[str, tuple[int, Path]] = {}
        for path, entry in self.entries.items():
            folder = path.rpartition("/")[0]
            if folder not in disks:
                place = _existing_parent(self._root / folder)
                disks[folder] = (place.stat().st_dev, place)
            disk = disks[folder][0]
            there = _replaced_size(self._root / path)
            wanted[disk] += entry.size - max(0, there)
            if path.startswith(self._copies):
                wanted[disk] += entry.size  # which then goes where the database is
            files[disk] += there < 0
        for disk, place in {one[0]: one[1] for one in disks.values()}.items():
            state = os.statvfs(place)
            free = state.f_bavail * state.f_frsize
            if wanted[disk] > 0 and wanted[disk] > free - max(_MIN_FREE_BYTES, free // 10):
                raise BackupError(
                    f"la sauvegarde prendrait {wanted[disk] / 1e9:.1f} Go de plus, il y a {free / 1e9:.1f} Go libres à "
                    f"{place} : rien n'est remis, donnez-lui plus de place ou voyez ce que la machine a sauvegardé"
                )
            if state.f_files and files[disk] > state.f_favail * 9 // 10:
                raise BackupError(f"la sauvegarde compte {files[disk]} éléments de plus que ce que tient {place}")

    def expected_entries(self) -> dict[str, tuple[str, int]]:
        """Kind and size of what is to come back, as `restore.compare` wants it."""
        sizes = {path: one.size for path, one in self.entries.items()}
        return {
            path: ("-", sizes.get(one.target, 0)) if one.kind == "h" else (one.kind, one.size)
            for path, one in self.entries.items()
        }

    def selected_paths(self) -> list[str]:
        """Declared paths of which the backup has something, for borg; none for all of it."""
        if self._all:
            return []
        return [
            one for one in self._declared if any(path == one or path.startswith(f"{one}/") for path in self.entries)
        ]


def _existing_parent(place: Path) -> Path:
    while not place.is_dir():
        place = place.parent
    return place


def _replaced_size(path: Path) -> int:
    """Bytes of the file that is replaced; -1 when there is none."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else 0
