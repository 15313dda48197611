# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Kernel settings: kept in one file of /etc/sysctl.d, and in force now."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, StateError, write
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason

PROC = Path("/proc/sys")


def _normalize_value(value: str) -> str:
    return " ".join(value.split())


def apply(path: Path, settings: dict[str, str], check: bool = False, proc: Path = PROC) -> list[Change]:
    """Keep the settings in a file, and put in force those which are not.

    Args:
        path: file of /etc/sysctl.d, wholly ours.
        settings: wanted value by key, with dots, as sysctl(8) writes them.
        check: report only.
        proc: where the kernel shows them (for tests).

    Raises:
        StateError: the kernel refuses a value. A key it does not have is kept in the file only, marked with
            a dash as sysctl.d(5) asks, so that boot does not fail on it.
    """
    changes = []
    missing = set()
    refused = []
    for key, value in settings.items():
        live = proc / key.replace(".", "/")
        try:
            present = _normalize_value(live.read_text(encoding="ascii"))
        except FileNotFoundError:
            missing.add(key)
            continue
        if present == _normalize_value(value):
            continue
        changes.append(Change(key, f"{key} = {present}", f"{key} = {_normalize_value(value)}"))
        if not check:
            try:
                live.write_text(f"{value}\n", encoding="ascii")
            except OSError as error:
                refused.append(f"{key} = {value} ({reason(error)})")
    lines = [f"{'-' if key in missing else ''}{key} = {value}" for key, value in sorted(settings.items())]
    text = "# Maintenu par Ansible.\n" + "\n".join(lines) + "\n"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if text != before:
        changes.append(Change(str(path), before.rstrip("\n"), text.rstrip("\n")))
        if not check:
            write(path, text)
    if refused:
        raise StateError(f"le noyau refuse {', '.join(refused)} ; le fichier {path} est écrit, redémarrez la machine")
    return changes
