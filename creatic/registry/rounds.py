# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""In which order machines are stopped one after the other, so that what they do goes on (``fab correctifs``).

Servers go one at a time, those that others wait for first: a server that comes back finds what it works with. Then the
communes' machines, wave by wave; the first machine of each profile goes alone, its wave once it is back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import AnswerError, checked

from creatic.registry import groupement, profiles

BEFORE, AFTER = "correctifs_avant", "correctifs_apres"
"""Variables that hold what a machine answered before and after (module updates)."""


class RoundError(CreaticError, cause="rondes", misuse=True):
    """What is asked for is nothing that these rounds take; the message is French."""


def update_rounds(
    groups: Mapping[str, Sequence[str]], answers: Mapping[str, Mapping[str, Any]], again: Collection[str] = ()
) -> list[list[str]]:
    """Machines to update, in rounds: one begins when that before has ended.

    Args:
        groups: hosts of each group of the inventory.
        answers: variables of each host. One that was not asked, or was refused, is left out; so is one which has
            nothing to do.
        again: machines that are taken even so, for their proof.
    """
    known = profiles.load()
    rounds: list[list[str]] = []
    waves: dict[int, tuple[list[str], list[str]]] = {}  # the first of each profile, the others
    for name in sorted(filter(lambda one: known[one].corrige, known), key=profiles.place):
        wanted = [host for host in sorted(groups.get(name, ())) if _to_do(answers[host], again=host in again)]
        if not known[name].commune:
            rounds += [[host] for host in wanted]
            continue
        met = set()
        for host in wanted:
            wave = int(answers[host]["creatic_commune"]["vague"])
            alone, others = waves.setdefault(wave, ([], []))
            (others if wave in met else alone).append(host)
            met.add(wave)
    return rounds + [hosts for wave in sorted(waves) for hosts in waves[wave] if hosts]


def update_stopped(rounds: Sequence[Sequence[str]], answers: Mapping[str, Mapping[str, Any]], host: str) -> bool:
    """Whether a machine of the round before this host's did not come back as it was, or was not begun for that."""
    place = next((number for number, machines in enumerate(rounds) if host in machines), 0)
    return place > 0 and not all(_has_answered(answers[name], AFTER) for name in rounds[place - 1])


def chosen(wanted: Sequence[str], servers: Mapping[str, str], communes: Sequence[groupement.Commune]) -> list[str]:
    """The hosts and groups that a person names.

    Args:
        wanted: names of machines, profiles, communes and waves; none for all of them.
        servers: profile of each server.
        communes: those of the inventory.

    Raises:
        RoundError: nothing has such a name, it has no machine, another command does it, or nothing backs it up; the
            message is French.
    """
    known = profiles.load()
    hosts = {commune.slug: list(commune.hosts()) for commune in communes}
    there = {*servers.values(), *(group for found in hosts.values() for host in found for group in host.groups)}
    groups = {name: name for name, one in known.items() if one.corrige and name in there}
    groups |= {name: name for name, profile in servers.items() if known[profile].corrige}
    groups |= {host.name: host.name for found in hosts.values() for host in found}
    groups |= {commune.slug: commune.group for commune in communes if hosts[commune.slug]}
    groups |= {
        name: name
        for commune in communes
        if hosts[commune.slug]
        for name in commune.parents
        if name.startswith("vague_")
    }
    for name in wanted:
        profile = known.get(servers.get(name, name))
        if profile and profile.correctifs:
            raise RoundError(f"{name} : les machines {profile.name} ont leur commande : {profile.correctifs}")
    bare = {*hosts, *(name for name, one in known.items() if one.corrige)}
    if empty := [name for name in wanted if name not in groups and name in bare]:
        raise RoundError(f"L'inventaire n'a aucune machine : {', '.join(empty)} (servers.yml, communes/)")
    if unknown := [name for name in wanted if name not in groups]:
        told = sorted(name for name in groups if name in known or name in servers or name.startswith("vague_"))
        raise RoundError(
            f"Machine, profil, commune ou vague inconnus : {', '.join(unknown)}. "
            f"Connus : {', '.join(told)}, les communes et leurs machines"
        )
    if lost := _unsaved_machines(wanted, servers, communes):
        shown = ", ".join(lost[:3]) + (f" et {len(lost) - 3} autres" if len(lost) > 3 else "")
        raise RoundError(
            f"{shown} : l'inventaire n'a aucun serveur de sauvegarde, et une machine qui tient des données n'est pas "
            "mise à jour sans sauvegarde. À faire : ajoutez une machine au groupe backup_server de servers.yml, puis "
            "fab serveurs backup_server"
        )
    return [groups[name] for name in wanted]


def _unsaved_machines(
    wanted: Collection[str], servers: Mapping[str, str], communes: Sequence[groupement.Commune]
) -> list[str]:
    """Machines asked for that are to be backed up, when nothing can."""
    if "backup_server" in servers.values():
        return []
    called = {name: {name, profile} for name, profile in servers.items()}
    for commune in communes:
        called |= {host.name: {host.name, commune.slug, *commune.parents, *host.groups} for host in commune.hosts()}
    saved = {*profiles.marked("sauvegarde")}
    return sorted(name for name, names in called.items() if names & saved and (not wanted or names & {*wanted}))


def left_out_messages(servers: Mapping[str, str]) -> list[str]:
    """Say which machines these rounds leave to another command, and to which.

    Args:
        servers: profile of each server.
    """
    left = {name: one.correctifs for name, one in profiles.load().items() if one.correctifs}
    return [
        f"À part : {', '.join(sorted(host for host, profile in servers.items() if profile == name))} ({name}), {how}"
        for name, how in left.items()
        if name in servers.values()
    ]


def has_work(state: Mapping[str, Any]) -> bool:
    """Whether a machine's answer (module updates) asks for anything."""
    return any(state[key] for key in ("paquets", "inacheves", "services", "redemarrer"))


def _has_answered(variables: Mapping[str, Any], which: str) -> bool:
    """Whether the machine answered what was asked; a bad answer is the evidence's to tell, and keeps nobody else."""
    answer = variables.get(which) or {}
    try:
        checked("correctifs", [answer.get("correctifs")])
    except AnswerError:
        return False
    return not answer.get("failed")


def _to_do(variables: Mapping[str, Any], *, again: bool) -> bool:
    return _has_answered(variables, BEFORE) and (again or has_work(variables[BEFORE]["correctifs"]))
