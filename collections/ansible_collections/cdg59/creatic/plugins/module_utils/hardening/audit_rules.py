# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""auditd's rules on the privileged commands this very machine has (ANSSI-BP-028 R73)."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, StateError, run, write

FOLDERS = ("/usr", "/opt")


def privileged(folders: tuple[str, ...] = FOLDERS) -> list[str]:
    """Setuid and setgid programs of the folders, without crossing into other file systems."""
    present = [folder for folder in folders if Path(folder).is_dir()]
    command = ["find", *present, "-xdev", "-type", "f", "-perm", "/6000"]
    return sorted(run(command, "recherche des programmes à droits spéciaux").splitlines())


def rules(programs: list[str]) -> str:
    """One rule for each program, as augenrules reads them."""
    head = "## Maintenu par Ansible (rôle hardening) : programmes à droits spéciaux de cette machine.\n"
    return head + "".join(
        f"-a always,exit -F path={program} -F perm=x -F auid>=1000 -F auid!=unset -F key=privileged\n"
        for program in programs
    )


def apply(path: Path, check: bool = False) -> list[Change]:
    """Write the rules of the privileged commands, and have the kernel take all rules when they changed.

    Rules that are locked (``-e 2``) can only change at the next boot; so they wait for it.

    Raises:
        StateError: the rules are refused.
    """
    text = rules(privileged())
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if text == before:
        return []
    if not check:
        write(path, text, 0o640)
    return [Change(str(path), before.rstrip("\n"), text.rstrip("\n"))]


def load() -> str:
    """Load every rule into the kernel.

    Returns:
        ``chargées``; ``redémarrage`` when the present rules are locked; ``sans audit`` where the kernel gives
        this machine no audit (a container).

    Raises:
        StateError: a rule is wrong.
    """
    run(["augenrules"], "règles d'audit")  # merges rules.d
    try:
        status = run(["auditctl", "-s"], "audit")
    except StateError:  # the kernel gives this machine no audit
        return "sans audit"
    if "enabled 2" in status:
        return "redémarrage"
    run(["auditctl", "-R", "/etc/audit/audit.rules"], "règles d'audit refusées")
    return "chargées"
