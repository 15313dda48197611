# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The sealed record of a deployment of the servers: what was done to each, what it proves, what is missing.

Layout, on the control node::

    serveurs/2026-11-25T010504Z/         one sealed folder per run, see evidence/store
        serveurs.json rapport.html
        places.json                      what servers hold of the communes that nobody reaches, see evidence/held
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.words import now

from creatic.evidence import held, store
from creatic.evidence import page as evidence_page
from creatic.evidence.rollout import Commune, HostRun, Run
from creatic.evidence.seal import SealKeys

FOLDER = "serveurs"
NOUN = "serveur"
_SERVER_RETRY_HINT = "Corriger la cause, puis relancer : il reprend."


def assess(name: str, profile: str, run: HostRun) -> dict[str, Any]:
    """Say what became of a server.

    Args:
        name: in the inventory.
        profile: its profile.
        run: what happened to it.
    """
    incident = run.incident or {}
    refused = [proof for proof in run.proofs if proof["verdict"] == "echec"]
    reason, remedy = incident.get("raison", ""), incident.get("remede", "")
    if not reason and run.refused:
        reason, remedy = f"réponse refusée : {run.refused[0]}", "Cette machine répond mal, ou ment : la vérifier."
    elif not reason and refused:
        reason, remedy = f"{refused[0]['libelle']} : {refused[0]['detail']}", refused[0].get("remede", "")
    elif not reason and not run.rolled_out:
        reason, remedy = "le déploiement s'est arrêté avant cette machine", _SERVER_RETRY_HINT
    elif not reason and not run.proofs:
        reason, remedy = (
            "déployée, mais rien ne prouve qu'elle sert : le passage s'est arrêté avant",
            _SERVER_RETRY_HINT,
        )
    return {
        "nom": name,
        "profil": profile,
        "pret": run.rolled_out and not reason,
        "deploye": run.rolled_out,
        "etat": incident.get("nature", "deploye" if run.rolled_out else "non_atteint"),
        "taches": run.executed,
        "changements": run.changed,
        **ending(run, reason, remedy or (_SERVER_RETRY_HINT if reason else "")),
    }


def ending(run: HostRun, reason: str, remedy: str) -> dict[str, Any]:
    """What the record of any run says of a machine; `reason` and `remedy` are French, empty when all went well."""
    return {
        "secondes": {phase: round(spent, 1) for phase, spent in run.seconds.items()},
        "etapes": {step: round(spent, 1) for step, spent in run.steps.items() if spent >= 1},
        "controles": run.checks,
        "preuves": run.proofs,
        "tache": (run.incident or {}).get("tache", ""),
        "raison": reason,
        "remede": remedy,
    }


def close(
    home: Path,
    staging: Path,
    run: Run,
    profiles: Mapping[str, str],
    keys: SealKeys,
    communes: Sequence[Commune] = (),
) -> tuple[dict[str, Any], Path | None, str]:
    """Write, seal and publish the record of a run.

    Args:
        home: state of the control node.
        staging: the run's folder, from `store.open_run`.
        run: what happened.
        profiles: profile of each targeted server.
        keys: None when there is no authority yet.
        communes: those of the inventory; what servers hold of those that nobody reaches is noted.

    Returns:
        The record, its folder (None when another run kept this one from beginning), and why it is not signed.
    """
    run.finished = now()
    machines = [assess(name, profiles.get(name, ""), host) for name, host in sorted(run.hosts.items())]

    def note(finished: Sequence[Path]) -> None:
        if any(commune.outgoing for commune in communes):
            before = store.last_json(finished, held.FILE) or {}
            store.write_json(staging / held.FILE, held.note_places(run, communes, before))

    return publish_run(home / FOLDER, staging, run, machines, store.SERVERS, page, keys, note)


def publish_run(
    base: Path,
    staging: Path,
    run: Run,
    machines: list[dict[str, Any]],
    facts: str,
    made: Callable[[Mapping[str, Any]], str],
    keys: SealKeys,
    note: Callable[[Sequence[Path]], None] = lambda finished: None,
) -> tuple[dict[str, Any], Path | None, str]:
    """Write, seal and publish the record of a run that is told machine by machine, see `close`.

    Args:
        base: folder of the records of its kind.
        machines: what became of each.
        facts: one of `store.FACTS`.
        made: makes the page of the record.
        note: given the runs that ended before, writes what the record has beside its facts.
    """
    record = {
        "version": 1,
        "passage": run.run_id,
        "debut": run.started.isoformat(timespec="seconds"),
        "fin": now().isoformat(timespec="microseconds"),
        "operateur": run.operator,
        "environnement": run.environment,
        "code": run.source,
        "restriction": run.restriction,
        "machines": machines,
    }
    if all(machine["etat"] in ("refus", "non_atteint") for machine in machines):
        store.discard_run(staging)
        return record, None, ""
    with store.closing(base) as finished:
        note(finished)
        folder, unsealed = store.publish(staging, finished, facts, record, {"rapport.html": made}, keys)
    return record, folder, unsealed


@dataclass(frozen=True)
class Before:
    """How long runs of a kind took.

    Attributes:
        steps: seconds of each step, by machine: those of the last run that left it without anything to say.
        whole: seconds of the last run of the very machines that are asked for; 0 for none.
    """

    steps: Mapping[str, Mapping[str, float]]
    whole: float = 0.0


def before(base: Path, names: Collection[str]) -> Before:
    """Read how long each machine took the last time.

    Args:
        base: folder of the records of the kind.
        names: machines that are asked for.
    """
    found: dict[str, Mapping[str, float]] = {}
    whole = 0.0
    for run in reversed(store.runs(base)):
        record = store.facts_of(run)
        good = {one["nom"]: one for one in record.get("machines", ()) if not one["raison"]}
        for name in good.keys() & {*names} - found.keys():
            found[name] = good[name].get("etapes", {})
        if not whole and good.keys() == {*names} and len(good) == len(record["machines"]):
            took = dt.datetime.fromisoformat(record["fin"]) - dt.datetime.fromisoformat(record["debut"])
            whole = took.total_seconds()
        if whole and len(found) == len({*names}):
            break
    return Before(found, whole)


def page(record: Mapping[str, Any]) -> str:
    """The record, for a reader."""
    return evidence_page.ENVIRONMENT.get_template("serveurs.html.j2").render(record=record)


def lines(record: Mapping[str, Any]) -> list[str]:
    """What is said of a run at its end: what is missing first."""
    missing = [machine for machine in record["machines"] if not machine["pret"]]
    told = []
    for machine in missing:
        told += [f"   ✗ {machine['nom']} ({machine['profil']}) : {machine['raison']}", f"     → {machine['remede']}"]
    ready = len(record["machines"]) - len(missing)
    return [*told, f"Serveurs prêts : {ready} sur {len(record['machines'])}."]
