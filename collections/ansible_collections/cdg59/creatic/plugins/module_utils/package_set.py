# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Packages wanted and unwanted, in one pass: dpkg is asked, apt only runs when something is missing."""

from __future__ import annotations

from ansible_collections.cdg59.creatic.plugins.module_utils.hardening_common import Change, HardeningError, run

APT = (
    *("apt-get", "--yes", "--quiet", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"),
    *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
)
QUIET = {
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_MODE": "a",
    "UCF_FORCE_CONFFOLD": "1",
}


def installed() -> set[str]:
    """Names of the installed packages."""
    out = run(["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Package}\n"], "dpkg ne répond pas")
    return {line[3:].split(":")[0] for line in out.splitlines() if line.startswith(("ii", "hi"))}


def apply(present: list[str], absent: list[str], check: bool = False) -> list[Change]:
    """Install what is missing, purge what is unwanted.

    Raises:
        HardeningError: apt fails, or a package is both wanted and unwanted.
    """
    both = sorted(set(present) & set(absent))
    if both:
        raise HardeningError(f"paquets à la fois voulus et refusés : {', '.join(both)}")
    here = installed()
    missing = [name for name in present if name not in here]
    unwanted = [name for name in absent if name in here]
    if missing and not check:
        run([*APT, "install", *missing], f"installation impossible ({', '.join(missing)})", QUIET)
    if unwanted and not check:
        run([*APT, "purge", *unwanted], f"retrait impossible ({', '.join(unwanted)})", QUIET)
    return [Change(name, "absent", "installé") for name in missing] + [
        Change(name, "installé", "retiré") for name in unwanted
    ]
