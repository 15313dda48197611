# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What is proven of the communes whose machines nobody reaches: judged here, from what their last reports carry.

A machine's word is not taken: the door says which version it was given, and when it was seen; the ARActe that its
report brings is read here, and must be of that act, of that commune and of the day that the door received it. What
servers hold of a commune (parapheur, GED…) is what their own runs proved last (evidence/held). Old proofs are told as
such.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import words
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import clean

from creatic.evidence import follow, held, rollout
from creatic.evidence.act import receipt_fault
from creatic.evidence.rollout import PLACES, Entity, HostInfo, HostRun, Run
from creatic.fleet import attested, waves
from creatic.fleet.waves import MachineState
from creatic.registry import formalities, wiring
from creatic.registry.groupement import Commune
from creatic.registry.wiring import DOORS

TERM = dt.timedelta(days=35)
"""Age at which a proof proves nothing any more: a version is to be published each month (docs/exploitation.md)."""
_MAX_ARACTE_LENGTH = 65_536  # characters of an ARActe in a report
_READINESS_CLOCK_SKEW = dt.timedelta(hours=1)  # the door's and the control node's, at most


def judge(
    communes: Sequence[Commune],
    standings: Sequence[MachineState],
    proofs: Mapping[str, Mapping[str, Any]],
    servers: Mapping[str, str],
    held: held.Held,
    inventory: Path,
    *,
    bench: bool,
    now: dt.datetime,
    refused: Mapping[str, str] | None = None,
    pcs: Mapping[str, HostRun] | None = None,
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """What is proven of communes in outgoing access.

    Args:
        communes: those asked for; others than outgoing ones are left out.
        standings: where their machines are, as `publication.Fleet.status` gives them.
        proofs: the last report with proofs that each machine signed (`proofs.Proofs.bring`).
        servers: profile of each server of the inventory.
        held: what is known of the communes' places on servers (`held.known`).
        inventory: its folder.
        bench: it is the test bench's: test acts go to the préfecture's simulator, and come back with an ARActe.
        now: with its zone.
        refused: why what the door gave as a machine's proofs is not its word, by name.
        pcs: what servers saw of the PCs where an installer is carried, by name (`postes.seen`).

    Returns:
        By short name: evidence as `rollout.assess` makes it, whose name also says versions and ages; and the last known
        state, as `rollout.merge_state`.
    """
    groups: dict[str, list[str]] = {}
    for name, profile in servers.items():
        groups.setdefault(profile, []).append(name)
    where = {one.machine: one for one in standings}
    reports: dict[str, dict[str, Any]] = {}
    states: dict[str, Any] = {}
    for commune in communes:
        if not commune.outgoing:
            continue
        described = _describe_commune(commune, groups, inventory, bench)
        oldest = min(
            (_report_moment(proofs[host.name]) for host in described.hosts if host.name in proofs), default=now
        )
        run = Run("", oldest, "guichet", finished=oldest)
        for host in described.hosts:
            if host.is_carried and pcs and host.name in pcs:
                run.hosts[host.name] = pcs[host.name]
            elif host.system == "debian" and not host.is_carried:
                siren = str(commune.data["siren"])
                one = _build_host_run(host, where.get(host.name), proofs.get(host.name), siren, bench, now)
                one.refused += [(refused or {})[host.name]] if host.name in (refused or {}) else []
                run.hosts[host.name] = one
        places = _judge_places(described, held.get(commune.slug, {}), now)
        report = rollout.assess(described, run, {}, held=places)
        states |= rollout.merge_state([described], {commune.slug: report}, {})
        told = _describe_proofs(described, where, proofs, now)
        shown = {**report["commune"], "nom": f"{described.name}\n{told}"}
        reports[commune.slug] = report | {"commune": shown}
    return reports, states


def _describe_commune(
    commune: Commune, groups: Mapping[str, Sequence[str]], inventory: Path, bench: bool
) -> rollout.Commune:
    file = f"communes/{commune.slug}.yml"
    hosted = commune.variables.get("entites", ())
    found = [formalities.judge(commune.data, inventory / formalities.FOLDER, file=file, bench=bench)]
    for one in hosted:
        judged = formalities.judge(one, inventory / formalities.FOLDER, file=file, bench=bench)
        found.append([{**each, "libelle": f"{each['libelle']} ({one['nom']})"} for each in judged])
    hosts = [
        HostInfo(
            host.name,
            host.groups[0],
            str(host.variables["ansible_host"]),
            host.variables.get("creatic_poste", {}).get("systeme", "debian"),
            more=follow.proofs_of_entities(host.groups[0], hosted),
        )
        for host in commune.hosts()
    ]
    hosts += [
        HostInfo(one.name, one.groups[0], system=one.variables["creatic_poste"]["systeme"], is_carried=True)
        for one in commune.pcs()
        if one.is_carried
    ]
    wanted = wiring.commune_servers(groups, commune.data["services"])
    return rollout.Commune(
        commune.slug,
        {key: value for key, value in commune.variables.items() if key not in ("slug", "formalites")},
        tuple(hosts),
        places=follow.places(groups, commune.data["services"]),
        # Doors are proven by the connector.
        servers={place: () if place in DOORS else _host_infos(names, groups) for place, names in wanted.items()},
        lacking=follow.lacking_places(commune.data["services"], groups, file),
        formalities=[one for judged in found for one in judged],
        entities=tuple(Entity(one["slug"], one["nom"], follow.places(groups, one["services"])) for one in hosted),
    )


def _judge_places(commune: rollout.Commune, known: Mapping[str, Any], now: dt.datetime) -> dict[str, dict[str, Any]]:
    """What servers proved of a commune, place by place: what a server that is not there lacks, `assess` says."""
    found = {}
    for place in commune.places:
        if place not in DOORS and place not in commune.lacking:
            found[place] = _judge_place(place, commune, known.get(place), now)
    return found


def _judge_place(
    place: str, commune: rollout.Commune, entry: Mapping[str, Any] | None, now: dt.datetime
) -> dict[str, Any]:
    servers = [info.name for info in commune.servers[place]]
    label, again = PLACES[place], f"Lancer : fab commune.deployer {commune.slug}."
    if entry is not None and entry.get("serveurs", servers) != servers:
        entry = None  # it had its place elsewhere
    state, reasons = "prouve", list[str]()
    if entry is None:
        state, reasons = "non_verifie", [f"jamais vérifié sur {', '.join(servers)}"]
    elif entry["prouve"]:
        made, shown = held.moment(entry), entry.get("pour", [commune.slug])
        reasons = [_stale_reason(made, now)] if _stale_reason(made, now) else []
        reasons += [
            f"pas encore vérifié pour {one.name}"
            for one in commune.entities
            if place in one.places and one.slug not in shown
        ]
        state = "echec" if reasons else state
    gaps = [{"hote": "", "objet": label, "raison": one, "remede": again} for one in reasons]
    if entry is not None and not entry["prouve"]:
        state, gaps = "echec", [dict(one) for one in entry["manques"]]
    detail = f"{entry.get('detail', '')} ({words.day(entry['date'])})" if entry is not None and not gaps else ""
    return {
        "cle": place,
        "libelle": label,
        "serveurs": servers,
        "pour": [commune.slug],
        "etat": state,
        "detail": detail or gaps[0]["raison"],
        "mesures": {},
        "manques": gaps,
    }


def _stale_reason(made: dt.datetime, now: dt.datetime) -> str:
    """Why a proof of that moment proves nothing now (French); empty when it does."""
    if made - now > _READINESS_CLOCK_SKEW:
        return f"preuve datée du {made:%d/%m/%Y}, qui n'est pas encore : une horloge était fausse"
    return f"preuve périmée : elle est du {made:%d/%m/%Y}, {TERM.days} jours au plus" if now - made > TERM else ""


def _host_infos(names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> tuple[HostInfo, ...]:
    return tuple(HostInfo(name, next(profile for profile, all_ in groups.items() if name in all_)) for name in names)


def _build_host_run(
    host: HostInfo,
    standing: MachineState | None,
    row: Mapping[str, Any] | None,
    siren: str,
    bench: bool,
    now: dt.datetime,
) -> HostRun:
    """A machine, as the run of a rollout would have found it."""
    run = HostRun(rolled_out=True)
    state = standing.state if standing else waves.NEVER
    # People switch PCs off: one that is late is as its last report says.
    lost = state == waves.NEVER or (state == waves.LATE and host.profile != "commune_pc")
    if lost or state == waves.BLOCKED or row is None:
        said = clean(str(standing).partition(" : ")[2])[:300] if standing else waves.NEVER
        nature = "injoignable" if lost else "echec"
        reason = said if lost or state == waves.BLOCKED else "elle n'a encore rien prouvé"
        run.rolled_out = False
        run.incident = {
            "phase": "preuves",
            "nature": nature,
            "tache": "",
            "raison": reason,
            "remede": "fab flotte.etat",
        }
    if row is None:
        return run
    received = _report_moment(row)
    if stale := _stale_reason(received, now):
        run.refused.append(stale)
    if standing and int(row["version"]) > standing.version:
        run.refused.append(f"preuve de v{row['version']}, et la machine dit en être à v{standing.version}")
    for one in row["preuves"] if isinstance(row["preuves"], list) else ():
        run.receive("preuves", one.get("preuves") if isinstance(one, dict) else one)
        act = next((each for each in run.proofs if each["cle"] == "acte" and each["verdict"] != "echec"), None)
        if act and bench and "acte" in host.required:
            fault = receipt_fault(act["mesures"], _decode_receipt(one), siren, received.date())
            run.refused += [fault] if fault else []
    return run


def _decode_receipt(proof: Any) -> bytes | None:
    """The ARActe that a report carries."""
    text = str(proof.get("ar_acte") or "") if isinstance(proof, dict) else ""
    try:
        return base64.b64decode(text, validate=True) if 0 < len(text) <= _MAX_ARACTE_LENGTH else None
    except (binascii.Error, ValueError):
        return None


def _report_moment(row: Mapping[str, Any]) -> dt.datetime:
    """When a report was made: as its machine signed it, and no later than the door received it."""
    return attested.report_time(row)


def _describe_proofs(
    commune: rollout.Commune,
    where: Mapping[str, MachineState],
    proofs: Mapping[str, Mapping[str, Any]],
    now: dt.datetime,
) -> str:
    """Version and age of what its machines proved (French): the oldest of each."""
    names = [host.name for host in commune.hosts if host.name in proofs]
    if not names:
        return "rien reçu"
    version = min(where[name].version if name in where else 0 for name in names)
    age = max((now - _report_moment(proofs[name])) // dt.timedelta(hours=1) for name in names)
    shown = f"{age // 24} j" if age >= 48 else f"{age} h" if age else "moins d'une heure"
    return f"v{version}, prouvée il y a {shown}"
