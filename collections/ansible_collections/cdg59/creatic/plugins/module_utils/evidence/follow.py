# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The evidence that a rollout leaves::

evidence/2026-11-25T010504Z/         see store
    index.html etat.json passage.json
    gondecourt/preuve.html preuve.json gondecourt-pc-secretariat/navigateur.png …
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import page as evidence_page
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import store
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.rollout import (
    Commune,
    Run,
    assess,
    merge_state,
    now,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.seal import SEAL_FILES, SealKeys

# Environment variable by which the rollout's callback tells its action plugins where to collect.
RUN_FOLDER = "CREATIC_ROLLOUT_FOLDER"


@dataclass(frozen=True)
class Outcome:
    """What a finished run left.

    Attributes:
        reports: evidence by slug, of the communes it concluded something about.
        state: last known state of every commune.
        folder: the run's folder; None when it concluded nothing.
        unsealed: why there is no signature (French); empty when sealed.
    """

    reports: dict[str, dict[str, Any]]
    state: dict[str, Any]
    folder: Path | None
    unsealed: str = ""


def close_run(evidence: Path, staging: Path, run: Run, communes: Sequence[Commune], keys: SealKeys | None) -> Outcome:
    """Write, seal and publish the evidence of a run.

    Args:
        communes: every commune of the inventory.
        keys: None when there is no authority yet; the evidence is then kept, and said to be unsigned.
    """
    run.finished = now()
    with store.closing(evidence) as finished:
        before = store.last_json(finished, "etat.json") or {}
        reports = {
            commune.slug: assess(commune, run, before.get(commune.slug, {}).get("hotes", {}))
            for commune in communes
            if any(host.name in run.hosts for host in commune.hosts)
        }
        # A rollout refused because another one is running says nothing of the commune.
        told = {
            slug: report
            for slug, report in reports.items()
            if any(host["etat"] not in ("refus", "non_vise", "non_atteint") for host in report["hotes"])
        }
        state = merge_state(communes, told, before)
        if not told:
            store.discard_run(staging)
            return Outcome(reports, state, None)
        for slug, report in told.items():
            (staging / slug).mkdir(exist_ok=True)
            store.write_json(staging / slug / "preuve.json", report)
            store.write_text(staging / slug / "preuve.html", evidence_page.commune_page(report))
        store.write_json(staging / "etat.json", state)
        passage = {
            "version": 1,
            "passage": run.run_id,
            "debut": run.started.isoformat(timespec="seconds"),
            "fin": run.finished.isoformat(timespec="microseconds"),
            "operateur": run.operator,
            "code": run.source,
            "communes": sorted(told),
        }
        pages = {"index.html": lambda record: evidence_page.index_page(record, state)}
        return Outcome(reports, state, *store.publish(staging, finished, store.ROLLOUT, passage, pages, keys))


def readiness(evidence: Path, run_id: str, slugs: Iterable[str]) -> list[str]:
    """Say what keeps a run from having proved that these communes are ready; for ``fab rollout``.

    Returns:
        French reasons; empty when each has sealed evidence of this run and is *prête*.
    """
    folder = evidence / run_id
    problems = []
    if folder.is_dir() and not all((folder / name).is_file() for name in SEAL_FILES):
        problems.append(f"{folder} : les preuves ne sont pas signées et horodatées")
    for slug in slugs:
        report = store.read_json(folder / slug / "preuve.json")
        if report is None:
            problems.append(f"{slug} : aucune preuve n'a été écrite par ce passage")
        elif not report["prete"]:
            problems += [f"{slug} : {gap['objet']} : {gap['raison']}" for gap in report["manques"]]
    return problems
