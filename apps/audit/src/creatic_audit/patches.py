"""Patch state, from the package lists as they are on the machine: nothing is fetched, no cache is written."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LISTS = Path("/var/lib/apt/lists")
REBOOT = Path("/run/reboot-required")
HISTORY = Path("/var/log/apt/history.log")


def _moment(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def lists_date(folder: Path = LISTS) -> str | None:
    """When the package lists were last brought up to date, ISO 8601; None when there are none."""
    # apt gives a list the date of the mirror; the folder for downloads changes at every update.
    partial = folder / "partial"
    if not any(folder.glob("*_InRelease")) or not partial.is_dir():
        return None
    return max(_moment(partial), *map(_moment, folder.glob("*_InRelease"))).isoformat(timespec="seconds")


def last_upgrade(path: Path = HISTORY) -> str | None:
    """Start of the last apt run that changed a package, as apt writes it (machine's local time)."""
    if not path.is_file():
        return None
    found = re.findall(r"^Start-Date: (\S+)\s+(\S+)", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return "T".join(found[-1]) if found else None


def patches() -> dict[str, Any]:
    """Installed packages, and those for which the lists have something newer.

    Returns:
        ``installes`` (count), ``a_mettre_a_jour`` and ``securite`` (lists of {nom, installee, disponible}; security
        ones are in both), ``listes_du``, ``derniere_operation``, ``redemarrage_requis``.
    """
    import apt_pkg

    apt_pkg.init()
    apt_pkg.config.set("Dir::Cache::pkgcache", "")
    apt_pkg.config.set("Dir::Cache::srcpkgcache", "")
    cache = apt_pkg.Cache(progress=None)
    choice = apt_pkg.DepCache(cache)
    installed = [package for package in cache.packages if package.current_ver]
    upgradable, security = [], []
    for package in installed:
        candidate = choice.get_candidate_ver(package)
        if candidate is None or apt_pkg.version_compare(candidate.ver_str, package.current_ver.ver_str) <= 0:
            continue
        item = {
            "nom": package.get_fullname(True),
            "installee": package.current_ver.ver_str,
            "disponible": candidate.ver_str,
        }
        upgradable.append(item)
        if any(
            file.label == "Debian-Security" or file.archive.endswith("-security") for file, _ in candidate.file_list
        ):
            security.append(item)
    return {
        "installes": len(installed),
        "a_mettre_a_jour": sorted(upgradable, key=lambda item: item["nom"]),
        "securite": sorted(security, key=lambda item: item["nom"]),
        "listes_du": lists_date(),
        "derniere_operation": last_upgrade(),
        "redemarrage_requis": REBOOT.exists(),
    }
