# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A commune whose file is gone from the inventory, and that never left: its people's accounts are not to be closed.

Read each time an inventory is loaded, hence neither the authority's own classes nor the facts of all runs.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.registry import environment
from ansible_collections.cdg59.creatic.plugins.module_utils.registry.checked_yaml import Problem

_IN_FORCE = """
SELECT DISTINCT commune, siren FROM certificat
WHERE commune <> '' AND statut IN ('valide', 'remplace') AND fin > ?
"""


def absent(folder: Path, communes: Mapping[str, str]) -> list[Problem]:
    """Give the communes that the control node knows, that the inventory lacks and that did not leave, with the fix.

    Args:
        folder: of the inventory.
        communes: SIREN of each commune of the inventory, by slug.
    """
    home = environment.state_of(folder)
    if home is None:
        return []
    run, rolled = _last_rollout(home)
    certified = _certified(home)
    named = {siren: slug for slug, siren in communes.items()}
    return [
        _problem(slug, named.get(siren, ""))
        for slug, siren in sorted((rolled | certified).items())
        if slug not in communes and not _left(home, slug, slug in certified, run)
    ]


def _problem(slug: str, now_named: str) -> Problem:
    fix = (
        f"remettez ce fichier (git, sauvegarde) ; si la commune part, ensuite fab commune.depart {slug} --vers DOSSIER"
    )
    if now_named:
        fix = f"redonnez ce nom à communes/{now_named}.yml, qui est la même commune (SIREN)"
    told = "le fichier a disparu, et la commune n'est pas partie : ses comptes et ses accès seraient fermés"
    return Problem(f"communes/{slug}.yml", None, "", told, fix)


def _certified(home: Path) -> dict[str, str]:
    """SIREN of each commune that has certificates in force, by slug."""
    address = f"{(home / 'pki' / 'registre.sqlite').absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=60)) as book:
            return dict(book.execute(_IN_FORCE, (datetime.now(UTC).isoformat(),)).fetchall())
    except sqlite3.Error:
        return {}  # a registry that cannot be read is told by who needs it


def _last_rollout(home: Path) -> tuple[str, dict[str, str]]:
    """The last run of `fab communes` that left a state, and the SIREN of each commune of it."""
    for path in sorted(home.glob("evidence/2*/etat.json"), reverse=True):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            found = json.loads(path.read_text(encoding="utf-8"))
            return path.parent.name, {slug: str(one["commune"]["siren"]) for slug, one in found.items()}
    return "", {}


def _left(home: Path, slug: str, certified: bool, rollout: str) -> bool:
    """Whether it signed for its hand-over, and did not come back once it was closed."""
    from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import store  # only when one is absent
    from ansible_collections.cdg59.creatic.plugins.module_utils.life.record import FOLDER

    for run in reversed(store.runs(home / FOLDER)):
        facts = store.facts_of(run)
        if (facts.get("commune") or {}).get("slug") == slug and facts.get("genre") in ("recu", "cloture"):
            return facts["genre"] == "recu" or not (certified or rollout > run.name)
    return False
