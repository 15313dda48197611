# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Which archives are to come back from the depot."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.module_utils.archive import room as archive_room


def archives_to_recover(expected: str, absent: Sequence[str], wanted: Sequence[str] = ()) -> list[str]:
    """Names in the depot of the archives to put back.

    Args:
        expected: what ``sae-journal attendues`` gave.
        absent: what each node answered to ``creatic-archive absentes``; empty for one that did not.
        wanted: identifiers; without any, the archives that no node has.

    Returns:
        ``compte/archive.tar``, sorted.

    Raises:
        AnsibleFilterError: the journal does not know one that is wanted.
    """
    names = zlib.decompress(base64.b64decode(expected)).decode().splitlines()
    if not wanted:
        reports = {str(number): {"presence": json.loads(text)} if text else {} for number, text in enumerate(absent)}
        return sorted(_in_depot(name) for name in archive_room.lost(reports))
    known = {name.rpartition("/")[2].removesuffix(".tar"): _in_depot(name) for name in names}
    unknown = sorted(set(wanted) - known.keys())
    if unknown:
        raise AnsibleFilterError(
            f"archives inconnues du journal, ou éliminées : {', '.join(unknown)}. Donnez les identifiants que montre "
            "« sae-journal montrer »"
        )
    return sorted(known[aip] for aip in set(wanted))


def _in_depot(name: str) -> str:
    account, _, file = name.split("/", 2)
    return f"{account}/{file}"


class FilterModule:
    """Filters for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"archives_to_recover": archives_to_recover}
