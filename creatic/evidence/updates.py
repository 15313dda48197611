# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The sealed record of Debian's updates (``fab correctifs``): what was brought to each machine, and what is left.

Layout, on the control node, beside the patches of the archive room (archive/patch)::

    correctifs/2026-11-25T010504Z/       one sealed folder per run, see evidence/store
        correctifs.json rapport.html
    correctifs/.commencees/gondecourt-pc a machine that a run began, until its record says how it ended
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.words import count, day

from creatic.evidence import page as evidence_page
from creatic.evidence import store
from creatic.evidence.rollout import HostRun, Run
from creatic.evidence.seal import SealKeys
from creatic.evidence.servers import ending, publish_run
from creatic.registry.rounds import has_work

FOLDER = "correctifs"
NOUN = "machine"
_BEGUN = ".commencees"
# A machine of which these change is likely to be restarted.
_RESTARTS = ("linux-image-", "libc6", "systemd", "dbus")
WORDS = {
    "fait": "fait",
    "a_jour": "déjà à jour",
    "attente": "redémarrage en attente",
    "reste": "il en reste",
    "echec": "échec",
    "refus": "refusé",
    "injoignable": "injoignable",
    "non_atteint": "pas commencé",
    "windows": "par Windows Update",
}
DONE = ("fait", "a_jour", "attente", "windows")
_UPDATE_RETRY_HINT = "Corriger la cause, puis relancer : les machines à jour ne sont pas refaites."


def assess(name: str, profile: str, run: HostRun) -> dict[str, Any]:
    """Say what became of a machine. Arguments: see `servers.assess`."""
    first, last = (run.updates[0], run.updates[-1]) if run.updates else ({}, {})
    incident = run.incident or {}
    reason, remedy = incident.get("raison", ""), incident.get("remede", "")
    left = {one["nom"] for one in last.get("paquets", ())}
    began = len(run.updates) > 1
    if run.refused:
        state, reason = "echec", f"réponse refusée : {run.refused[0]}"
        remedy = "Cette machine répond mal, ou ment : la vérifier."
    elif incident:
        state = incident["nature"]
        if state == "echec" and incident["phase"] == "controles":
            state = "refus"
    elif not first:
        windows = any(item["cle"] == "systeme" and item["verdict"] == "attention" for item in run.checks)
        state = "windows" if windows else "non_atteint"
        reason = "" if windows else "arrêté avant cette machine"
    elif not has_work(first):
        state = "a_jour"
    elif not began:
        state, reason = "non_atteint", "arrêté avant cette machine"
    elif last["sessions"] and not has_work(last | {"redemarrer": [], "services": []}) and has_work(last):
        state = "attente"
        reason = f"session ouverte de {', '.join(last['sessions'])} ({_remaining_reason(last)})"
        remedy = "Fermer cette session, puis relancer."
    elif has_work(last):
        state, reason = "reste", _remaining_reason(last)
        remedy = "Voir sur la machine : apt-get -s dist-upgrade ; needrestart -r l"
    else:
        state = "fait"
    return {
        "nom": name,
        "profil": profile,
        "pret": state in DONE,
        "etat": state,
        "paquets": [one for one in first.get("paquets", ()) if began and one["nom"] not in left],
        "restent": sorted(left),
        "retenus": last.get("retenus", []),
        "redemarre": began and last["demarre"] != first["demarre"],
        "pourquoi": sorted({reason for one in run.updates for reason in one["redemarrer"]}),
        **ending(run, reason, remedy or (_UPDATE_RETRY_HINT if reason else "")),
    }


def _remaining_reason(state: Mapping[str, Any]) -> str:
    parts = []
    if state["paquets"]:
        parts.append(f"restent {', '.join(one['nom'] for one in state['paquets'])}")
    if state["inacheves"]:
        parts.append(f"installation inachevée de {', '.join(state['inacheves'])}")
    if state["redemarrer"]:
        parts.append(f"redémarrage : {' ; '.join(state['redemarrer'])}")
    if state["services"]:
        parts.append(f"tournent encore sur ce qui a été remplacé : {', '.join(state['services'])}")
    return " ; ".join(parts)


def close(
    home: Path, staging: Path, run: Run, profiles: Mapping[str, str], keys: SealKeys
) -> tuple[dict[str, Any], Path | None, str]:
    """Write, seal and publish the record of a run. Arguments and answer: see `servers.close`."""
    machines = [assess(name, profiles.get(name, ""), host) for name, host in sorted(run.hosts.items())]
    record, folder, unsealed = publish_run(home / FOLDER, staging, run, machines, store.PATCH, page, keys)
    for name, host in run.hosts.items() if folder else ():
        if "correctifs" in host.seconds:
            (home / FOLDER / _BEGUN / name).unlink(missing_ok=True)
    return record, folder, unsealed


def begin(home: Path, name: str) -> None:
    """Note that a machine is begun: a run that is cut off leaves no record.

    Args:
        home: state of the control node.
        name: in the inventory.
    """
    noted = home / FOLDER / _BEGUN
    noted.mkdir(mode=0o700, parents=True, exist_ok=True)
    (noted / name).touch()


def unproved(home: Path) -> list[str]:
    """Machines that the last run which took them began, and left without the proof that they serve.

    Args:
        home: state of the control node.
    """
    last: dict[str, str] = {}
    for run in store.runs(home / FOLDER):
        for machine in store.facts_of(run).get("machines", ()):
            if machine["etat"] not in ("refus", "non_atteint"):
                last[machine["nom"]] = machine["etat"]
    begun = {path.name for path in (home / FOLDER / _BEGUN).glob("*")}
    return sorted(begun | {name for name, state in last.items() if state not in DONE})


def page(record: Mapping[str, Any]) -> str:
    """The record, for a reader."""
    return evidence_page.ENVIRONMENT.get_template("correctifs_machines.html.j2").render(record=record, words=WORDS)


def lines(record: Mapping[str, Any]) -> list[str]:
    """What is said of a run at its end: what is missing first."""
    told = []
    for machine in record["machines"]:
        who = f"{machine['nom']} ({machine['profil']})"
        if not machine["pret"]:
            told += [f"   ✗ {who} : {WORDS[machine['etat']]}, {machine['raison']}", f"     → {machine['remede']}"]
        elif machine["etat"] == "attente":
            told += [f"   ! {who} : {WORDS['attente']}, {machine['raison']}", f"     → {machine['remede']}"]
        if machine["retenus"]:
            told.append(f"   ! {who} : paquets retenus (apt-mark hold) : {', '.join(machine['retenus'])}")
    done = [machine for machine in record["machines"] if machine["pret"]]
    brought = sum(len(machine["paquets"]) for machine in record["machines"])
    started = sum(machine["redemarre"] for machine in record["machines"])
    return [
        *told,
        f"À jour : {len(done)} sur {count(len(record['machines']), 'machine')} ; {count(brought, 'correctif')}, "
        f"{count(started, 'redémarrage')} dans ce passage.",
    ]


def preview(run: Run, profiles: Mapping[str, str]) -> list[str]:
    """What there is to bring to each machine, for ``fab correctifs --voir``."""
    told, oldest = [], 0
    for name, host in sorted(run.hosts.items()):
        who = f"{name} ({profiles.get(name, '')})"
        if host.updates:
            oldest = min(oldest or host.updates[0]["listes"], host.updates[0]["listes"])
        if host.incident:
            told += [f"   ✗ {who} : {host.incident['raison']}", f"     → {host.incident['remede']}"]
        if not host.updates:
            told += [] if host.incident else [f"   – {who} : pas interrogée"]
            continue
        told += [f"   {who} : {line}" for line in _pending_packages(host.updates[0])]
    if oldest:
        told.append(
            "Listes de paquets telles que les machines les ont, la plus ancienne mise à jour "
            f"{day(datetime.fromtimestamp(oldest, UTC))} ; fab correctifs les remet à jour d'abord."
        )
    return told


def _pending_packages(state: Mapping[str, Any]) -> Sequence[str]:
    packages = state["paquets"]
    if not has_work(state):
        return ["à jour"]
    safe = sum(one["securite"] for one in packages)
    lead = count(len(packages), "correctif") if packages else "aucun correctif"
    lead += f", dont {safe} de sécurité" if safe else ""
    likely = sorted(one["nom"] for one in packages if one["nom"].startswith(_RESTARTS))
    if state["redemarrer"]:
        lead += f" ; redémarrage : {', '.join(state['redemarrer'])}"
    elif likely:
        lead += f" ; redémarrage probable ({', '.join(likely)})"
    if state["inacheves"]:
        lead += f" ; installation à finir : {', '.join(state['inacheves'])}"
    if state["services"]:
        lead += f" ; services à relancer : {', '.join(state['services'])}"
    return [
        lead,
        *(
            f"  {one['nom']} {one['installee'] or 'nouveau'} → {one['disponible']}" + ", sécurité" * one["securite"]
            for one in packages
        ),
    ]
