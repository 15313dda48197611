# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Waves of communes that the control node reaches: cut as a publication's are, and as strict with the next one."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ansible_collections.cdg59.creatic.plugins.module_utils.fleet import waves
from ansible_collections.cdg59.creatic.plugins.module_utils.fleet.signing import FleetError
from ansible_collections.cdg59.creatic.plugins.module_utils.fleet.waves import Machine
from ansible_collections.cdg59.creatic.plugins.module_utils.registry.groupement import Commune


def split(
    communes: Sequence[Commune], by: str, canary: Sequence[str], excused: Collection[str]
) -> list[tuple[str, list[str]]]:
    """The waves of a rollout: name, and communes by short name.

    A commune goes whole: its PCs and its connector prove one another.

    Args:
        communes: those to deploy from here.
        by: one of `waves.SPLITS`.
        canary: communes that go first; none: the first one of the smallest wave of their files.
        excused: communes that the next wave does not wait for.

    Raises:
        FleetError: no commune, or a name that is none of theirs.
    """
    if not communes:
        raise FleetError("aucune de ces communes ne se déploie d'ici : il n'y a pas de vague à faire")
    known = {
        one.slug: Machine(
            one.slug,
            one.slug,
            str(one.data["siren"]),
            "commune",
            one.data["territoire"],
            one.variables["taille"],
            int(one.data["vague"]),
        )
        for one in communes
    }
    for option, names in (("--canari", canary), ("--excuser", excused)):
        if unknown := sorted({*names} - known.keys()):
            raise FleetError(f"{option} : {', '.join(unknown)} n'est pas une des communes à déployer d'ici (communes/)")
    return [(str(one["nom"]), list(one["machines"])) for one in waves.split(known, by, canary)]


def holding(done: bool, problems: Sequence[str], excused: Collection[str]) -> list[str]:
    """What keeps the next wave from going, in French; empty when nothing does.

    Args:
        done: the rollout of this one went to its end.
        problems: why communes are not ready, each after its short name (`follow.readiness`).
        excused: communes that a person excused.
    """
    held = [one for one in problems if one.partition(" : ")[0] not in excused]
    if not done and not problems:
        return ["le déploiement n'est pas allé au bout"]
    return held
