# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""PAM profiles, through Debian's pam-auth-update: what it generates stays what packages expect."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, StateError, run

CONFIGS = Path("/usr/share/pam-configs")
SEEN_FILE = Path("/var/lib/pam/seen")
STACKS = Path("/etc/pam.d")


def _module_lines(profile: str) -> list[tuple[str, str]]:
    """(stack, module with its arguments) of a profile, as they must be found in common-*."""
    lines = []
    stack = ""
    for line in profile.splitlines():
        header = re.match(r"(Auth|Account|Session|Password)(-Initial)?:\s*$", line)
        if header:
            # Initial lines replace the others in first place: only one of them is generated.
            stack = "" if header.group(2) else header.group(1).lower()
        elif stack and line[:1].isspace() and line.strip():
            lines.append((stack, line.split("]")[-1].split(None, 0 if "]" in line else 1)[-1].strip()))
        elif not line[:1].isspace():
            stack = ""
    return lines


def missing(names: list[str], configs: Path = CONFIGS, stacks: Path = STACKS) -> list[str]:
    """Profiles of which some module is not in the generated stacks.

    Raises:
        StateError: a profile is not there.
    """
    absent = []
    for name in names:
        try:
            profile = (configs / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise StateError(f"le profil PAM {configs / name} n'existe pas : installez-le avant") from None
        for stack, module in _module_lines(profile):
            text = (stacks / f"common-{stack}").read_text(encoding="utf-8")
            if " ".join(module.split()) not in " ".join(text.split()):
                absent.append(name)
                break
    return absent


def apply(names: list[str], check: bool = False) -> list[Change]:
    """Enable the profiles that are not.

    Raises:
        StateError: common-* was edited by hand, so that pam-auth-update refuses to touch it.
    """
    try:
        absent = missing(names)
    except StateError:
        if not check:
            raise
        absent = names
    if absent and not check:
        run(["pam-auth-update", "--package", "--enable", *names], "pam-auth-update a échoué")
        if missing(names):
            raise StateError(
                "pam-auth-update n'a pas pris les profils : /etc/pam.d/common-* a été modifié à la main. Après "
                "relecture, « pam-auth-update --force » sur la machine les reprend ; puis relancez"
            )
    return [Change(f"profil PAM {name}", "", "actif") for name in absent]
