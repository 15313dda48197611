# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Who may use a control node that several share; runs on the host, standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.access.accounts import sudo_group, table
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, StateError, run

JOURNAL = "systemd-journal"  # why a timer's command failed


def apply(group: str, operators: Sequence[str], check: bool = False, root: Path = Path("/")) -> list[Change]:
    """Give a group its members, these and no other; they may execute sudo, and read the journal.

    Accounts that leave it keep what they have besides, which another may have given them.

    Args:
        group: which is there.
        operators: accounts of this machine.
        check: report only.
        root: folder of the system.

    Raises:
        StateError: an account is not there (nothing is changed), or a command on accounts fails.
    """
    known = {fields[0] for fields in table(root / "etc/passwd")}
    if absent := sorted({*operators} - known):
        raise StateError(
            f"control_node_operators : cette machine n'a pas de compte {', '.join(absent)}. À faire : créez-le (un par "
            "personne, avec sa clé SSH : sudo adduser --disabled-password NOM), ou corrigez la liste, puis relancez"
        )
    members = {fields[0]: [name for name in fields[3].split(",") if name] for fields in table(root / "etc/group")}
    changes = []
    wanted = sorted({*operators})
    if sorted(members.get(group, [])) != wanted:
        changes.append(Change(group, " ".join(sorted(members.get(group, []))), " ".join(wanted)))
        if not check:
            run(["gpasswd", "--members", ",".join(wanted), group], f"membres du groupe {group}")
    for other in filter(None, (sudo_group(root), JOURNAL)):
        for name in sorted({*wanted} - {*members.get(other, [])}):
            changes.append(Change(name, "", f"membre de {other}"))
            if not check:
                run(["usermod", "--append", "--groups", other, name], f"compte {name}")
    return changes
