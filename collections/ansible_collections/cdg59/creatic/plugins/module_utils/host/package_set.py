# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Packages wanted and unwanted, in one pass: dpkg is asked, apt only runs when something is missing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, StateError, run

APT = (
    *("apt-get", "--yes", "--quiet", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"),
    *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
)
LISTS = Path("/var/lib/apt/lists")
LISTS_AGE_S = 86400  # older package lists are fetched again before something is installed
# invoke-rc.d asks it whether a service may start; 101: it may not.
POLICY = Path("/usr/sbin/policy-rc.d")
NO_START = "#!/bin/sh\n# Ansible (cdg59.creatic.package_set), the time of an installation.\nexit 101\n"
QUIET = {
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_MODE": "a",
    "UCF_FORCE_CONFFOLD": "1",
}
# Where nothing starts, systemd need not read its units again after each package (ENVIRONMENT.md of systemd).
OFFLINE = {"SYSTEMD_OFFLINE": "1"}


def installed() -> set[str]:
    """Names of the installed packages."""
    out = run(["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Package}\n"], "dpkg ne répond pas")
    return {line[3:].split(":")[0] for line in out.splitlines() if line.startswith(("ii", "hi"))}


def _lists_are_fresh() -> bool:
    """Whether package lists were fetched within a day."""
    dates = [path.stat().st_mtime for path in LISTS.glob("*_Packages*")]
    return bool(dates) and time.time() - max(LISTS.stat().st_mtime, *dates) < LISTS_AGE_S


@contextlib.contextmanager
def _nothing_starts() -> Iterator[dict[str, str]]:
    """No service starts while packages are installed; a policy of the site's own comes back afterwards.

    Gives the environment of the installation; systemd reads its units once, at the end.
    """
    before = POLICY.read_bytes() if POLICY.exists() else b""
    mode = POLICY.stat().st_mode & 0o7777 if before else 0
    POLICY.write_text(NO_START, encoding="ascii")
    POLICY.chmod(0o755)
    try:
        yield QUIET | OFFLINE
    finally:
        if before and before != NO_START.encode():  # ours: an installation was cut off
            POLICY.write_bytes(before)
            POLICY.chmod(mode)
        else:
            POLICY.unlink()
        run(["systemctl", "daemon-reload"], "systemd ne relit pas ses unités")


def _install_packages(missing: list[str], environment: dict[str, str]) -> None:
    update, install = [*APT, "update"], [*APT, "install", *missing]
    what = f"installation impossible ({', '.join(missing)})"
    fresh = _lists_are_fresh()
    if not fresh:
        run(update, "les listes de paquets n'ont pas pu être mises à jour", QUIET)
    try:
        run(install, what, environment)
    except StateError:
        if not fresh:
            raise
        run(update, what, QUIET)  # the mirror may have replaced what the lists name
        run(install, what, environment)


def apply(present: list[str], absent: list[str], check: bool = False, start: bool = True) -> list[Change]:
    """Install what is missing, purge what is unwanted.

    Args:
        present: packages that must be there.
        absent: packages that must not.
        check: report only.
        start: services of new packages may start at once.

    Raises:
        StateError: apt fails, or a package is both wanted and unwanted.
    """
    both = sorted(set(present) & set(absent))
    if both:
        raise StateError(f"paquets à la fois voulus et refusés : {', '.join(both)}")
    here = installed()
    missing = [name for name in present if name not in here]
    unwanted = [name for name in absent if name in here]
    if missing and not check:
        with contextlib.nullcontext(QUIET) if start else _nothing_starts() as environment:
            _install_packages(missing, environment)
    if unwanted and not check:
        run([*APT, "purge", *unwanted], f"retrait impossible ({', '.join(unwanted)})", QUIET)
    return [Change(name, "absent", "installé") for name in missing] + [
        Change(name, "installé", "retiré") for name in unwanted
    ]
