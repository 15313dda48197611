# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""A commune whose file is gone from the inventory, and that never left: its people's accounts are not to be closed.

The same of an entity that a file no longer names, or names otherwise: what it has is kept under its slug and its SIREN.

Read each time an inventory is loaded, hence neither the authority's own classes nor the facts of all runs.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from creatic.evidence import rollout
from creatic.registry import environment
from creatic.registry.checked_yaml import Problem

_IN_FORCE = """
SELECT DISTINCT commune, siren, nom FROM certificat
WHERE commune <> '' AND statut IN ('valide', 'remplace') AND fin > ?
"""
# As role tdt_connector names what it asks for an entity (filter connector_entity_certificates).
_OF_AN_ENTITY = ("tdt-", "sae-")


def absent(folder: Path, communes: Mapping[str, str], hosted: Mapping[str, str]) -> list[Problem]:
    """Give what the control node knows, the inventory lacks and did not leave, with the fix: communes, then entities.

    Args:
        folder: of the inventory.
        communes: SIREN of each commune of the inventory, by slug.
        hosted: SIREN of each entity that they host, by slug.
    """
    home = environment.state_of(folder)
    if home is None:
        return []
    run, states = _last_rollout(home)
    certificates = _certified_holders(home)
    rolled = {slug: str(one["commune"]["siren"]) for slug, one in states.items()}
    certified = {slug: siren for slug, siren, name in certificates if not name.startswith(_OF_AN_ENTITY)}
    named = {siren: slug for slug, siren in {**communes, **hosted}.items()}
    gone = [
        _absence_problem(slug, named.get(siren, ""))
        for slug, siren in sorted((certified | rolled).items())
        if slug not in communes and not _is_handed_over(home, slug, slug in certified, run)
    ]
    there = {**communes, **hosted}
    known: dict[str, tuple[str, str, str]] = {}
    for slug, siren, name in certificates:
        entity = name[len("tdt-") :] if name.startswith(_OF_AN_ENTITY) else ""
        if entity and (entity not in known or there.get(entity) == siren):  # one that was replaced is in force too
            known[entity] = (slug, siren, "")
    bearing = set(known)
    for slug, state in states.items():
        for name, one in rollout.remembered(state).items():
            known[name] = (slug, one["siren"], one["passage"])
    return gone + [
        _entity_problem(home_of, slug, siren, there.get(slug, ""), named.get(siren, ""))
        for slug, (home_of, siren, met) in sorted(known.items())
        if home_of in communes and there.get(slug) != siren and not _is_handed_over(home, slug, slug in bearing, met)
    ]


def _absence_problem(slug: str, now_named: str) -> Problem:
    fix = (
        f"remettez ce fichier (git, sauvegarde) ; si la commune part, ensuite fab commune.depart {slug} --vers DOSSIER"
    )
    if now_named:
        fix = f"redonnez ce nom à communes/{now_named}.yml, qui est la même commune (SIREN)"
    told = "le fichier a disparu, et la commune n'est pas partie : ses comptes et ses accès seraient fermés"
    return Problem(f"communes/{slug}.yml", None, "", told, fix)


def _entity_problem(commune: str, slug: str, siren: str, now_siren: str, now_named: str) -> Problem:
    leaving = f"fab commune.depart {slug} --vers DOSSIER"
    if now_siren:
        told = (
            f"{slug} avait le SIREN {siren}, et a maintenant {now_siren} : ses actes et ses archives passeraient à une "
            "autre personne publique"
        )
        fix = f"remettez {siren} ; une autre entité prend un autre nom, et celle-ci reste, ou part ({leaving})"
    elif now_named:
        told = (
            f"l'entité {slug} s'appelle maintenant {now_named} (même SIREN) : ce qu'elle a est rangé sous l'ancien nom"
        )
        fix = f"redonnez-lui ce nom, dans communes/{commune}.yml"
    else:
        told = (
            f"l'entité {slug} n'y est plus, et n'est pas partie : ses comptes seraient fermés, ses actes ne "
            "partiraient plus, et ses documents et ses archives n'auraient plus personne"
        )
        fix = f"remettez-la (git, sauvegarde) ; si elle part ou disparaît, ensuite {leaving}"
    return Problem(f"communes/{commune}.yml", None, "entites", told, fix)


def _certified_holders(home: Path) -> list[tuple[str, str, str]]:
    """Commune's slug, SIREN and name of each certificate in force of a commune's, or of an entity that one hosts."""
    address = f"{(home / 'pki' / 'registre.sqlite').absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=60)) as book:
            return book.execute(_IN_FORCE, (datetime.now(UTC).isoformat(),)).fetchall()
    except sqlite3.Error:
        return []  # a registry that cannot be read is told by who needs it


def _last_rollout(home: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """The last run of `fab commune.deployer` that left a state, and what it knows of each commune, by slug."""
    for path in sorted(home.glob("evidence/2*/etat.json"), reverse=True):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            found = json.loads(path.read_text(encoding="utf-8"))
            for one in found.values():  # one that is not whole tells of nothing
                _ = one["commune"]["siren"], rollout.remembered(one)
            return path.parent.name, found
    return "", {}


def _is_handed_over(home: Path, slug: str, certified: bool, rollout: str) -> bool:
    """Whether it signed for its hand-over, and did not come back once it was closed.

    Args:
        certified: it has certificates in force.
        rollout: the last run that met it.
    """
    from creatic.evidence import store  # only when one is absent
    from creatic.life.record import FOLDER

    for run in reversed(store.runs(home / FOLDER)):
        facts = store.facts_of(run)
        if (facts.get("commune") or {}).get("slug") == slug and facts.get("genre") in ("recu", "cloture"):
            return facts["genre"] == "recu" or not (certified or rollout > run.name)
    return False
