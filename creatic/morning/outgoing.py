# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The machines that fetch what they become, in the morning: the door is asked for them, as nobody reaches them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import clean

from creatic.fleet import waves
from creatic.fleet.waves import Machine, MachineState
from creatic.morning.screen import Finding, Morning

_FLEET_STATUS_COMMAND = "fab flotte.etat"


def add(
    found: Morning,
    machines: Mapping[str, Machine],
    record: Mapping[str, Any] | None,
    standings: Sequence[MachineState],
    problems: Iterable[str],
    proven: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Have a morning tell what the door knows of them, and what their last reports prove.

    Args:
        machines: those of the inventory, by name.
        record, standings, problems: as `fleet.publication.Fleet.status` gives them.
        proven: state of their communes, by short name, as `fleet.readiness.judge` gives it.
    """
    found.findings = sorted([*found.findings, *_outgoing_findings(machines, record, standings, problems)])
    for slug, state in (proven or {}).items():
        # Identity stays as the inventory, or the last rollout, says it.
        known = found.communes.get(slug, {}).get("commune") or state["commune"]
        found.communes = {**found.communes, slug: {**state, "commune": known}}
        refused = [gap for gap in state["manques"] if gap["objet"].endswith("réponse refusée")]
        told = [
            Finding(False, slug, gap["hote"], f"accès sortant : {gap['raison']}", _FLEET_STATUS_COMMAND)
            for gap in refused
        ]
        found.findings = sorted([*found.findings, *told])
    found.fleet = _publication_lines(record, standings)
    found.versions = _commune_versions(machines, standings)
    found.standings = {one.machine: f"{one.state}, v{one.version}" for one in standings}


def _outgoing_findings(
    machines: Mapping[str, Machine],
    record: Mapping[str, Any] | None,
    standings: Iterable[MachineState],
    problems: Iterable[str],
) -> list[Finding]:
    found = [Finding(False, "", "guichet", clean(one)[:300], _FLEET_STATUS_COMMAND) for one in problems]
    if record and (stop := record["arret"]):
        text = f"publication v{record['version']} arrêtée par {stop['par']} : {clean(str(stop['motif']))[:200]}"
        found.append(Finding(False, "", "guichet", text, "corrigez, puis fab flotte.publier ou fab flotte.revenir"))
    for one in standings:
        if one.state not in (waves.NEVER, waves.LATE, waves.BLOCKED):
            continue
        machine = machines[one.machine]
        # People switch PCs off.
        watched = one.state == waves.NEVER or (one.state == waves.LATE and machine.profile == "commune_pc")
        shown = clean(str(one).partition(" : ")[2])[:300]
        fix = "voyez la commune : sa ligne, sa box, la machine" if one.state == waves.LATE else _FLEET_STATUS_COMMAND
        found.append(Finding(watched, machine.commune, one.machine, f"accès sortant : {shown}", fix))
    return found


def _publication_lines(record: Mapping[str, Any] | None, standings: Sequence[MachineState]) -> list[str]:
    """The publication and its waves, for the page (French)."""
    if record is None:
        return ["Accès sortant : rien n'a encore été publié."]
    states = {one.machine: one.state for one in standings}
    told = [f"Accès sortant, v{record['version']}, par {record['decoupage']} :"]
    for wave in record["vagues"]:
        good = sum(states.get(name) == waves.UP_TO_DATE for name in wave["machines"])
        opened = "ouverte" if wave["ouverte"] else "à venir"
        told.append(f"{wave['nom']}, {opened} : {good} à jour sur {len(wave['machines'])}")
    return told


def _commune_versions(machines: Mapping[str, Machine], standings: Iterable[MachineState]) -> dict[str, str]:
    """The version of each commune, which is the oldest of its machines': « v12 », empty for none."""
    found: dict[str, int] = {}
    for one in standings:
        slug = machines[one.machine].commune
        found[slug] = min(found.get(slug, one.version), one.version)
    return {slug: f"v{version}" if version else "" for slug, version in found.items()}
