# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""In which order machines take a version, and where each of them is. Expected machines are the inventory's alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.words import day_and_hour

from creatic.fleet.attested import CLOCKS
from creatic.fleet.signing import FleetError
from creatic.registry.groupement import Commune

INTERVAL = dt.timedelta(minutes=15)
"""Time between two passes of a machine (role flotte)."""
SPLITS = ("territoire", "taille", "vague")
CANARY = "canari"
_COMMUNE_SIZES_ORDER = ("petite", "moyenne", "grande")

NEVER, LATE, BLOCKED, UP_TO_DATE, EXPECTED = "jamais vue", "en retard", "bloquée", "à jour", "attendue"


@dataclass(frozen=True)
class Machine:
    """A machine of the inventory that fetches what it becomes."""

    name: str
    commune: str
    siren: str
    profile: str
    territoire: str
    taille: str
    vague: int


@dataclass(frozen=True)
class MachineState:
    """Where a machine is: one of the states above, the version it is at, and why (French)."""

    machine: str
    state: str
    version: int
    reason: str = ""
    failed: bool = False

    def __str__(self) -> str:
        shown = f"{self.state} sur v{self.version}" if self.state == BLOCKED else self.state
        return f"{self.machine} : {shown}" + (f" ({self.reason})" if self.reason else "")


def machines(communes: Sequence[Commune]) -> dict[str, Machine]:
    """Machines of the communes whose file says ``acces: sortant``, by name."""
    found = {}
    for one in communes:
        if not one.outgoing:
            continue
        for host in one.hosts():
            if "systeme_debian" in host.groups:
                size = one.variables["taille"]
                place = (one.data["territoire"], size, int(one.data["vague"]))
                found[host.name] = Machine(host.name, one.slug, str(one.data["siren"]), host.groups[0], *place)
    return found


def split(known: Mapping[str, Machine], by: str, canary: Sequence[str]) -> list[dict[str, Any]]:
    """The waves of a publication: the canary, then by territory, size or wave of the communes' files.

    Args:
        known: machines that are expected.
        by: one of SPLITS.
        canary: machines or communes that go first; none: the first machine of each profile, of the smallest wave.

    Raises:
        FleetError: a name that is none of theirs.
    """
    if by not in SPLITS:
        raise FleetError(f"--par : « {by} » n'existe pas ; attendu : {', '.join(SPLITS)}")
    if unknown := [name for name in canary if not any(name in (one.name, one.commune) for one in known.values())]:
        raise FleetError(
            f"--canari : {', '.join(unknown)} n'est ni une machine ni une commune en accès sortant (communes/)"
        )
    first = {one.name for one in known.values() if {one.name, one.commune} & {*canary}}
    if not canary:
        soonest = sorted(known.values(), key=lambda one: (one.vague, one.name))
        first = {
            next(one.name for one in soonest if one.profile == profile) for profile in {o.profile for o in soonest}
        }
    waves: dict[Any, list[str]] = {}
    for one in known.values():
        if one.name not in first:
            key = _COMMUNE_SIZES_ORDER.index(one.taille) if by == "taille" else getattr(one, by)
            waves.setdefault(key, []).append(one.name)
    named = [(CANARY, sorted(first))] + [
        (f"{by} {_COMMUNE_SIZES_ORDER[key] if by == 'taille' else key}", sorted(waves[key])) for key in sorted(waves)
    ]
    return [{"nom": name, "machines": names, "ouverte": ""} for name, names in named if names]


def machine_state(
    machine: str, record: Mapping[str, Any] | None, row: Mapping[str, Any] | None, now: dt.datetime
) -> MachineState:
    """Where a machine is: what it signed of itself counts, where the door bears it out.

    Args:
        record: what was published for it (version, le, identite), None when nothing was.
        row: of the door's listing, None when it does not know it; ``dernier`` is what the machine signed, with the
            moment when the door received it, ``refus`` why what the door gives as its word is not.
        now: the door's clock.
    """
    last = (row or {}).get("dernier") or {}
    version = int(last.get("version", 0))
    if not row or not row["vue"]:
        return MachineState(machine, NEVER, 0)
    seen = dt.datetime.fromisoformat(row["vue"])
    if now - seen > 2 * INTERVAL:
        return MachineState(machine, LATE, version, f"vue pour la dernière fois {day_and_hour(seen)}")
    if row.get("refus"):
        return MachineState(machine, BLOCKED, 0, str(row["refus"]))
    wanted = int((record or {}).get("version", 0))
    if last.get("genre") in ("echec", "refus"):
        # What it says of a version before is no failure of this one: it has not met it yet.
        opened = dt.datetime.fromisoformat(record["le"]) if record else None
        about = version >= wanted if last["genre"] == "echec" else not opened or last["recu"] > _format_moment(opened)
        return MachineState(machine, BLOCKED, version, str(last["texte"]), failed=about)
    if wanted and version >= wanted and last.get("posee"):
        if row["donnee"] < version:
            why = f"elle dit avoir la version {version}, que le guichet ne lui a jamais donnée"
            return MachineState(machine, BLOCKED, version, why, failed=True)
        if why := _mismatch_reason(record or {}, last):
            return MachineState(machine, BLOCKED, version, why)
        return MachineState(machine, UP_TO_DATE, version)
    if not wanted:
        return MachineState(machine, EXPECTED, version, "sa vague n'est pas ouverte")
    if record and now - dt.datetime.fromisoformat(record["le"]) <= 2 * INTERVAL:
        return MachineState(machine, EXPECTED, version, f"n'a pas encore appliqué v{wanted}")
    return MachineState(machine, BLOCKED, version, f"passe, et n'a pas appliqué v{wanted}")


def _mismatch_reason(record: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    """Why what a machine signed is not of what was published for it (French): a report of before, given again."""
    if last["version"] > record["version"]:
        return f"elle a v{last['version']}, que ce poste de commande n'a pas publiée : fab flotte.publier"
    if last["identite"] != record["identite"]:
        return f"son v{last['version']} n'est pas fait de ce qui a été publié ici"
    if dt.datetime.fromisoformat(last["fin"]) < dt.datetime.fromisoformat(record["le"]) - CLOCKS:
        return f"son compte rendu est d'avant que v{record['version']} lui soit donnée"
    return ""


def counted(things: Sized, noun: str) -> str:
    """How many there are, in words: « 1 machine », « 2 machines »."""
    return f"{len(things)} {noun}{'s' * (len(things) > 1)}"


def _agree_state(number: int, state: str) -> str:
    """« 1 jamais vue », « 2 jamais vues », « 2 à jour »."""
    return f"{number} {state}{'s' * (number > 1 and state in (NEVER, BLOCKED, EXPECTED))}"


def _format_moment(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds")


def sentences(
    record: Mapping[str, Any] | None,
    standings: Sequence[MachineState],
    problems: Sequence[str],
    noun: str = "machine",
    began: str = "publiée",
) -> list[str]:
    """What ``fab flotte.etat`` prints: the publication, its waves, how many machines are where, those to look at.

    Args:
        noun: what waves are made of.
        began: what was done to the publication, on its date.
    """
    lines = [f"- {one}" for one in problems]
    if record:
        when = f"{began} {day_and_hour(record['le'])}"
        lines.append(f"v{record['version']}, {when} par {record['par']}, par {record['decoupage']}.")
        lines += [
            f"  {'ouverte' if one['ouverte'] else 'à venir':8} {one['nom']} ({counted(one['machines'], noun)})"
            for one in record["vagues"]
        ]
        if stop := record["arret"]:
            lines.append(f"  ARRÊTÉE {day_and_hour(stop['le'])} par {stop['par']} : {stop['motif']}")
        lines += [
            f"  {name} est excusée par {one['par']} : {one['motif']}" for name, one in sorted(record["excuses"].items())
        ]
    else:
        lines.append("Rien n'a encore été publié.")
    standing_so = {
        state: sum(one.state == state for one in standings) for state in (UP_TO_DATE, EXPECTED, BLOCKED, LATE, NEVER)
    }
    lines.append(
        f"{noun.capitalize()}s : "
        + ", ".join(_agree_state(count, state) for state, count in standing_so.items() if count)
    )
    return lines + [f"  {one}" for one in standings if one.state != UP_TO_DATE]
