"""What this machine was at the end of its last deployment, and what of it has moved since.

Compared: the files of /etc, of the project's programs and of /usr/local (content, owner, mode), the kernel's settings
that /etc/sysctl.d asks for, and the filter. Left out: what programs rewrite by themselves, certificates that their
timer renews, and a package's own configuration as the package brought it, so that an update is no drift.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from creatic_agent.durable import write

NAME = "reference.json"
_ROOTS = ("etc", "usr/local", "usr/lib/creatic", "var/spool/cron")
_LIVE = re.compile(
    r"/etc/(mtab|resolv\.conf|adjtime|ld\.so\.cache|\.pwd\.lock|\.updated|aliases\.db|[a-z]+-"
    r"|(alternatives|rc.\.d|ssl/certs|creatic/pki|cups|lvm|ca-certificates|NetworkManager/system-connections)/.*)"
    r"|.*(\.dpkg-\w+|\.ucf-\w+|/__pycache__/.*|\.part)"
)
_SECRET = re.compile(r"/etc/g?shadow")  # a password that its owner changed is no drift: owner and mode are compared
_SETTING = re.compile(r"-?([a-z0-9_./-]+)\s*=")
_CONFFILE = re.compile(r"^ (/\S+) ([0-9a-f]{32})", re.MULTILINE)
_LARGEST = 64 << 20  # bytes of a file that is read


def _content(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _described(path: Path, shown: str) -> str:
    """One line of what a file is."""
    info = path.lstat()
    kind = stat.S_IFMT(info.st_mode)
    what = ""
    if kind == stat.S_IFLNK:
        return f"lien {path.readlink()}"
    if kind == stat.S_IFREG and info.st_size <= _LARGEST and not _SECRET.fullmatch(shown):
        what = _content(path, "sha256")
    return f"{kind >> 12:o} {stat.S_IMODE(info.st_mode):04o} {info.st_uid}:{info.st_gid} {what}"


def _files(top: Path) -> Iterator[tuple[str, str]]:
    for root in _ROOTS:
        for folder, folders, names in os.walk(top / root):
            for name in sorted([*folders, *names]):
                path = Path(folder, name)
                shown = f"/{path.relative_to(top)}"
                if _LIVE.fullmatch(shown):
                    continue
                try:
                    yield shown, _described(path, shown)
                except OSError:  # it went away meanwhile
                    continue


def _settings(top: Path) -> Iterator[tuple[str, str]]:
    for path in sorted((top / "etc/sysctl.d").glob("*.conf")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if found := _SETTING.match(line.strip()):
                name = found[1]
                place = top / "proc/sys" / (name if "/" in name else name.replace(".", "/"))
                try:
                    yield name, " ".join(place.read_text(encoding="utf-8", errors="replace").split())
                except OSError:
                    yield name, "absent"


def _filter() -> str:
    """Digest of the rules in force; what changes by itself (counters, elements) left out."""
    try:
        told = subprocess.run(
            ["nft", "-s", "-t", "list", "table", "inet", "creatic"], capture_output=True, check=False, timeout=60
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        told = b""
    return hashlib.sha256(told).hexdigest()


def picture(top: Path = Path("/")) -> dict[str, Any]:
    """What this machine is: ``fichiers``, ``noyau`` (each by its name) and ``filtre``, a digest."""
    return {"fichiers": dict(_files(top)), "noyau": dict(_settings(top)), "filtre": _filter()}


def keep(folder: Path, top: Path = Path("/")) -> None:
    """Note what the machine is now, as what it will be compared with; root's alone."""
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    write(folder / NAME, json.dumps({"prise": taken, **picture(top)}).encode(), 0o600)


def _pristine(top: Path, shown: str, packaged: Mapping[str, str]) -> bool:
    """Whether a file is its package's configuration, as the installed version brings it."""
    path = top / shown.lstrip("/")
    return shown in packaged and path.is_file() and _content(path, "md5") == packaged[shown]


def _moved(before: Mapping[str, str], after: Mapping[str, str], kind: str) -> list[tuple[str, str, str]]:
    words = dict.fromkeys(before.keys() - after.keys(), "retiré")
    words |= dict.fromkeys(after.keys() - before.keys(), "ajouté")
    words |= {name: "modifié" for name in before.keys() & after.keys() if before[name] != after[name]}
    return [(kind, name, words[name]) for name in sorted(words)]


def drift(folder: Path, top: Path = Path("/"), most: int = 200) -> dict[str, Any] | None:
    """What has moved since the reference.

    Args:
        folder: where `keep` noted it.
        most: of them that are named; all are counted.

    Returns:
        ``reference`` (date), ``nombre`` and ``ecarts`` ({quoi, nom, comment}); None without a reference.
    """
    try:
        before = json.loads((folder / NAME).read_text(encoding="utf-8"))
        taken, files, kernel, rules = (before[name] for name in ("prise", "fichiers", "noyau", "filtre"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    after = picture(top)
    status = top / "var/lib/dpkg/status"
    text = status.read_text(encoding="utf-8", errors="replace") if status.is_file() else ""
    packaged = dict(_CONFFILE.findall(text))
    found = [one for one in _moved(files, after["fichiers"], "fichier") if not _pristine(top, one[1], packaged)]
    found += _moved(kernel, after["noyau"], "noyau")
    found += [("filtre", "inet creatic", "modifié")] if rules != after["filtre"] else []
    told = [dict(zip(("quoi", "nom", "comment"), (kind, name[:300], how), strict=True)) for kind, name, how in found]
    return {"reference": taken, "nombre": len(told), "ecarts": told[:most]}
