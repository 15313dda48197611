# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The profiles of machines, as profiles.yml describes them: who waits for whom, who is backed up, audited..."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("profiles.yml")
BENCH = "banc"
"""Group of all test benches."""
TRAITS = ("a_part", "commune", "serveur", "place", "comptes", "sauvegarde", "archive", "audit", "tdt", "disques", "nue",
          "banc", "corrige")  # fmt: skip # a list of words


@dataclass(frozen=True)
class Profile:
    """A profile; the fields are those of profiles.yml, which explains them."""

    name: str
    attend: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    environnements: tuple[str, ...] = ()
    place: str = ""
    communes: str = ""
    a_part: bool = False
    commune: bool = False
    comptes: bool = False
    sauvegarde: bool = False
    archive: bool = False
    audit: bool = False
    tdt: bool = False
    disques: bool = False
    correctifs: str = ""
    nue: bool = False
    seule: bool = False
    dit: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    banc: bool = False

    @property
    def serveur(self) -> bool:
        """Whether its machines are the groupement's: neither a commune's nor a test bench's."""
        return not self.commune and not self.banc

    @property
    def corrige(self) -> bool:
        """Whether ``fab correctifs`` brings its machines Debian's updates."""
        return not self.banc and not self.correctifs

    def serves(self, services: Iterable[str]) -> bool:
        """Whether its machines serve a commune that takes these services."""
        return self.communes == "toutes" or (self.communes == "services" and bool({*services} & {*self.services}))


@functools.cache
def load(file: Path = FILE) -> Mapping[str, Profile]:
    """Read the profiles, by name, in the file's order.

    Raises:
        TypeError: a field that no profile has.
        ValueError: a profile waits for one that is not there, or for itself.
    """
    described = yaml.safe_load(file.read_text(encoding="utf-8"))["profils"]
    found = {name: _read_profile(name, fields) for name, fields in described.items()}
    for profile in found.values():
        if profile.communes not in ("", "services", "toutes"):
            raise ValueError(f"{profile.name}: communes: {profile.communes}")
        if unknown := {*profile.attend} - found.keys():
            raise ValueError(f"{profile.name} waits for {', '.join(sorted(unknown))}, which is no profile")
    _compute_steps(found)
    return found


def marked(trait: str) -> list[str]:
    """Names of the profiles of which a trait is true.

    Args:
        trait: one of TRAITS.

    Raises:
        ValueError: no such trait.
    """
    if trait not in TRAITS:
        raise ValueError(f"profils : le trait « {trait} » n'existe pas ; attendu : {', '.join(TRAITS)}")
    return [name for name, profile in load().items() if getattr(profile, trait)]


def step(number: int) -> list[str]:
    """Names of the profiles that a step of the whole site takes side by side.

    Those of the first wait for no other, but for those which site.yml plays apart before it; each of the next waits
    for one of the step before. Test benches, and profiles which site.yml plays apart, are in none.
    """
    before = {name for name, one in load().items() if one.a_part and not one.attend}
    return [
        name
        for name, place in _compute_steps(load(), before).items()
        if place == number and not load()[name].banc and not load()[name].a_part
    ]


def place_step(number: int) -> list[str]:
    """Names of the profiles that a step of a rollout takes among those where communes have their place.

    Those of the first wait for no other.
    """
    return [name for name, step_of in _compute_steps(load()).items() if step_of == number and load()[name].place]


def waiting_messages(machines: Mapping[str, str]) -> list[str]:
    """Say, of the machines that a deployment takes, which of them others wait for (French, a line each).

    Args:
        machines: profile of each.
    """
    told = []
    for name, profile in sorted(machines.items()):
        awaited = [one for one, its in machines.items() if profile and its in load()[profile].attend]
        if awaited:
            told.append(f"{name} attend {', '.join(sorted(awaited))}")
    return told


def environments(groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Roles whose environments the machines of an inventory ask the control node for, each once, the longest first.

    Args:
        groups: hosts of each group of the inventory.
    """
    return [*dict.fromkeys(role for name, one in load().items() if groups.get(name) for role in one.environnements)]


def place(name: str) -> tuple[int, int]:
    """Place of a profile in the deployment of the whole site: its step, then its line in the file."""
    return _compute_steps(load())[name], list(load()).index(name)


def missing_profiles(services: Iterable[str], groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Profiles without a machine that a commune's services need, each with those services.

    Args:
        services: of the commune.
        groups: hosts of each group of the inventory.
    """
    wanted = sorted(services)
    needed = {name: [one for one in wanted if one in profile.services] for name, profile in load().items()}
    return {name: found for name, found in needed.items() if found and not groups.get(name)}


def lacking_text(lacks: Mapping[str, Sequence[str]], file: str) -> tuple[str, str]:
    """Say in French what `lacking` found, and the fix.

    Args:
        file: where the services are asked for, as communes/gondecourt.yml.
    """
    told = " ; ".join(
        f"{', '.join(services)} : l'inventaire n'a aucune machine {name}" for name, services in lacks.items()
    )
    where = f"{'aux groupes' if len(lacks) > 1 else 'au groupe'} {', '.join(lacks)}"
    return (
        f"Services sans machine : {told}",
        f"Ajouter une machine {where} de servers.yml, ou retirer le service de {file}.",
    )


def _read_profile(name: str, fields: dict[str, Any]) -> Profile:
    lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    given: dict[str, Any] = {**fields, **lists}
    return Profile(name, **given)


def _compute_steps(profiles: Mapping[str, Profile], before: Collection[str] = ()) -> dict[str, int]:
    """Step of each profile; those that are there before any step make nobody wait for one."""
    found: dict[str, int] = {}
    while len(found) < len(profiles):
        ready = {
            name: 1 + max((found[one] for one in profile.attend if one not in before), default=0)
            for name, profile in profiles.items()
            if name not in found and found.keys() >= {*profile.attend}
        }
        if not ready:
            raise ValueError(f"these profiles wait for each other: {', '.join(sorted(profiles.keys() - found.keys()))}")
        found |= ready
    return {name: found[name] for name in profiles}
