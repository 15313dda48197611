# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Which archives are to come back from the depot; what the table of durations (durees.yml) tells roles."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.plugin_utils.refusals import refusing

from creatic.archive import durees
from creatic.archive import room as archive_room


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


@refusing(durees.DureesError)
def _load_table(folder: str) -> durees.Table | None:
    return durees.read(Path(folder))


def archive_rules(rules: Mapping[str, int], folder: str) -> dict[str, int]:
    """Years of each appraisal rule: creatic_archive_regles, and those of the inventory's table of durations.

    Raises:
        AnsibleFilterError: a rule has two durations, or the table is refused.
    """
    table = _load_table(folder)
    found = dict(rules)
    for name, years in (table.rules() if table else {}).items():
        if found.setdefault(name, years) != years:
            raise AnsibleFilterError(
                f"creatic_archive_regles : {name} a {found[name]} ans, et {years} dans {durees.NAME}. À faire : "
                "retirez-la de creatic_archive_regles"
            )
    return found


def archive_agreed(folder: str) -> str:
    """The Archives départementales' agreement to the table of durations; empty without one."""
    table = _load_table(folder)
    return table.agreed() if table else ""


def archive_access(folder: str) -> dict[str, int]:
    """Years of each access rule that archives are deposited under, those of the table of durations among them."""
    table = _load_table(folder)
    return dict(table.access if table else durees.ACCESS)


def archive_schedule(archive: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The variable tdt_connector_archive, with the lines of the table of durations where there is one.

    Args:
        archive: what `connector_archive` gave; empty, it stays so.
    """
    table = _load_table(folder) if archive else None
    lines = table.schedule() if table else []
    return dict(archive) | ({"schedule": lines} if lines else {})


class FilterModule:
    """Filters for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        found = (archive_access, archive_agreed, archive_rules, archive_schedule, archives_to_recover)
        return {work.__name__: work for work in found}
