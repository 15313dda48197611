# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Waves of communes that the control node reaches: cut as a publication's are, and as strict with the next one.

``flotte/deploiement.json``, in the control node's state, is to them what ``publication.json`` is to machines that
fetch: the version, its waves, who is excused, why it stopped. Which communes are done is told by the sealed evidence
alone, of the runs that had that version's code and inventory.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.words import day_and_hour

from creatic.evidence import follow, store
from creatic.fleet import waves
from creatic.fleet.signing import FleetError
from creatic.fleet.waves import Machine, MachineState
from creatic.registry.groupement import Commune

LOCK = "deploiement-par-vagues"
_RECORD = {"version", "empreinte", "apres", "le", "par", "decoupage", "vagues", "excuses", "arret"}
RESTART_HINT = "Pour recommencer au canari : la même commande avec --recommencer"


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


class Pushed:
    """The rollout by waves of a control node.

    Args:
        home: state of the control node.
        content: gives the digest of the code and of the inventory as they are now (`bundle.digest`).
        operator: who asks.
        now: the clock.
    """

    def __init__(self, home: Path, content: Callable[[], str], operator: str, now: Callable[[], dt.datetime]) -> None:
        self._path, self._evidence, self._locks = home / "flotte/deploiement.json", home / "evidence", home / "verrous"
        self._content, self._operator, self._now = content, operator, now

    @contextlib.contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Be the only one who rolls out by waves. Raises LockRefused: somebody does."""
        store.lock_commune(self._locks, LOCK, os.getpid(), self._operator, "un déploiement par vagues")
        try:
            yield
        finally:
            store.unlock_communes(self._locks, os.getpid(), LOCK)

    def record(self) -> dict[str, Any] | None:
        """What is kept; None when nothing is. Raises FleetError: it cannot be read."""
        try:
            found: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            if {*found} != _RECORD:
                raise ValueError
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            raise FleetError(
                f"{self._path} est abîmé : les vagues faites et les excuses ne sont plus connues, rien n'est déployé. "
                "À faire : restaurez-le de la sauvegarde du poste de commande, ou supprimez-le, et fab "
                "commune.deployer recommence au canari"
            ) from None
        return found

    def canary(self, slugs: Collection[str]) -> list[str]:
        """The canary of the rollout that goes on, of these communes; none when another version begins."""
        record = self.record()
        if not record or record["empreinte"] != self._content():
            return []
        first: list[str] = next((one["machines"] for one in record["vagues"] if one["nom"] == waves.CANARY), [])
        return [slug for slug in first if slug in slugs]

    def begin(
        self, by: str, cut: Sequence[tuple[str, Sequence[str]]], excused: Collection[str], again: bool
    ) -> tuple[dict[str, Any], str]:
        """Go on with the rollout of this version, or begin one; gives its record, and what is said of it (French).

        Args:
            by: how waves are cut.
            cut: the waves (from `split`).
            excused: communes that the next wave does not wait for, beside those that were excused before.
            again: begin at the canary whatever was done.

        Raises:
            FleetError: what is kept cannot be read.
        """
        last, content = self.record(), self._content()
        record: dict[str, Any] = last or {"version": 0, "empreinte": ""}
        changed = record["empreinte"] != content
        if begins := changed or again:
            record = {"version": record["version"] + 1, "empreinte": content, "le": self._format_now()}
            # What was proven before does not count when one begins again, whatever the clock said.
            before = [run.name for run in store.runs(self._evidence)][-1:]
            record |= {"par": self._operator, "excuses": {}, "apres": "".join(before)}
        opened = {(one["nom"], *one["machines"]): one for one in record.get("vagues", [])}
        known = [opened.get((name, *slugs), {"nom": name, "machines": [*slugs], "ouverte": ""}) for name, slugs in cut]
        record |= {"decoupage": by, "vagues": known, "arret": None}
        for slug in excused:
            record["excuses"].setdefault(
                slug, {"motif": "nommée par --excuser", "par": self._operator, "le": self._format_now()}
            )
        self._write_record(record)
        name = f"v{record['version']}"
        if begins:
            why = f"le code ou l'inventaire a changé depuis v{last['version']}, " if changed and last else ""
            return record, f"{name} : {why}on commence au canari, en {waves.counted(known, 'vague')}."
        todo = next((one["nom"] for one in known if self.remaining_communes(record, one)), "")
        if not todo:
            return record, f"{name} : toutes ces vagues sont déjà faites, rien n'est déployé. {RESTART_HINT}."
        if todo == known[0]["nom"]:
            return record, f"{name} : on reprend au canari, qui n'était pas fini."
        return record, f"{name} : on reprend à la vague « {todo} », celles d'avant sont faites. {RESTART_HINT}."

    def remaining_communes(self, record: dict[str, Any], wave: dict[str, Any]) -> list[str]:
        """Communes of a wave that are to be rolled out: not proven in this version, nor excused after a trial."""
        if again := wave.get("refaire"):
            return list(again)
        return [
            one.machine
            for one in self.standings(record, wave["machines"])
            if one.state != waves.UP_TO_DATE and not (one.state == waves.BLOCKED and one.machine in record["excuses"])
        ]

    def open(self, record: dict[str, Any], wave: dict[str, Any]) -> None:
        """Note that a wave begins. Raises FleetError: the code or the inventory is no longer the rollout's."""
        if self._content() != record["empreinte"]:
            raise FleetError(
                f"v{record['version']} : le code ou l'inventaire a changé pendant le déploiement, la vague "
                f"« {wave['nom']} » n'est pas commencée. À faire : relancez, une nouvelle version part du canari"
            )
        wave.pop("refaire", None)
        wave["ouverte"] = wave["ouverte"] or self._format_now()
        self._write_record(record)

    def stop(self, record: dict[str, Any], wave: dict[str, Any], slugs: Sequence[str], problems: Sequence[str]) -> None:
        """Note that a wave stopped the rollout.

        Args:
            slugs: communes of the wave that were rolled out.
            problems: why communes are not ready; none: the run itself did not end well, and is to be done again.
        """
        if not problems:
            wave["refaire"] = [*slugs]
        why = f"vague « {wave['nom']} », {problems[0] if problems else 'déploiement interrompu ou en échec'}"
        record["arret"] = {"motif": why, "par": self._operator, "le": self._format_now()}
        self._write_record(record)

    def standings(self, record: dict[str, Any], slugs: Sequence[str]) -> list[MachineState]:
        """Where communes are in this version."""
        runs = store.runs(self._evidence)
        known = store.last_json(runs, "etat.json") or {}
        last, whole = dict[str, Path](), dict[str, Path]()
        names = [run.name for run in runs]
        for run in runs[names.index(record["apres"]) + 1 if record["apres"] in names else 0 :]:
            facts = store.facts_of(run)
            if facts.get("empreinte") == record["empreinte"]:
                for slug in {*facts["communes"]} & {*slugs}:
                    report = store.read_json(run / slug / "preuve.json") or {}
                    (whole if report.get("complet") else last)[slug] = run
        opened = {slug: one["ouverte"] for one in record["vagues"] for slug in one["machines"]}
        going = store.lock_holder(self._locks, LOCK)
        found = []
        for slug in slugs:
            version, run_of = int(record["version"]), whole.get(slug) or last.get(slug)
            if run_of:
                problems = follow.readiness(self._evidence, run_of.name, [slug])
                found.append(
                    MachineState(slug, waves.BLOCKED, version, problems[0].removeprefix(f"{slug} : "), failed=True)
                    if problems
                    else MachineState(slug, waves.UP_TO_DATE, version)
                )
            elif not known.get(slug, {}).get("passage"):
                found.append(MachineState(slug, waves.NEVER, 0))
            elif not opened.get(slug):
                found.append(MachineState(slug, waves.EXPECTED, 0, "sa vague n'est pas ouverte"))
            elif going:
                found.append(MachineState(slug, waves.EXPECTED, 0, f"sa vague est en cours, {going}"))
            else:
                why = f"sa vague a commencé {day_and_hour(opened[slug])} et n'en a rien prouvé : interrompue"
                found.append(MachineState(slug, waves.LATE, 0, why))
        return found

    def status(self, slugs: Sequence[str]) -> tuple[dict[str, Any] | None, list[MachineState], list[str]]:
        """The rollout by waves, where each expected commune is, and what is to be known before the next (French).

        Raises:
            FleetError: what is kept cannot be read.
        """
        record = self.record()
        if record is None:
            return None, [], []
        old = record["empreinte"] != self._content()
        notes = [f"le code ou l'inventaire a changé depuis v{record['version']} : la suivante partira du canari"]
        return record, self.standings(record, slugs), notes if old else []

    def _format_now(self) -> str:
        return self._now().astimezone(dt.UTC).isoformat(timespec="seconds")

    def _write_record(self, record: dict[str, Any]) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(self._path, json.dumps(record, ensure_ascii=False, indent=1).encode(), 0o600)
