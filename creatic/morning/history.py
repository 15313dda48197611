# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What was done to each commune, out of the sealed records of the control node (evidence/store).

A record that ended never changes: what it says of communes and machines is noted once, in ``matin/passages.json``, so
that a morning reads new records alone. The file may be deleted: the next morning makes it again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import clean

from creatic.evidence import page as evidence_page
from creatic.evidence import store, updates

FILE = "passages.json"
_VERSION = 1
_MAX_RUNS_PER_KIND = 400
"""Records of each kind that are told, the last ones."""
_MAX_EVENT_LENGTH = 300  # characters of what is told
_EVENT_RECORD_KINDS = ("evidence", "correctifs", "audits", "exercices", "departs")


@dataclass(frozen=True)
class Event:
    """Something that was done to a commune, or to one of its machines.

    Attributes:
        moment: when it ended, ISO 8601.
        what: French.
        tone: ok, attention, echec or partiel.
        result: French.
        by: who.
        version: of the code, as `short` says it; empty when the record does not say.
        record: its page, from the control node's state.
    """

    moment: str
    what: str
    tone: str
    result: str
    by: str
    version: str
    record: str


def short(code: Any) -> str:
    """A version of the code for a table: the commit's first characters, and whether it was changed since.

    Args:
        code: as records say it (`evidence.follow.code_version`).
    """
    words = clean(str(code or "")).split()
    if len(words) < 2:
        return ""
    return words[1][:8] + (" (modifié)" if len(words) > 2 else "")


def read(home: Path, owners: Mapping[str, str]) -> dict[str, list[Event]]:
    """The events of each commune, the last one first.

    Args:
        home: state of the control node.
        owners: short name of the commune of each machine; and of each commune, itself.
    """
    found: dict[str, list[Event]] = {}
    for run, told in _cached_facts(home).items():
        for who, (what, tone, result, page) in told["faits"]:
            if slug := owners.get(who):
                lead = "" if who == slug else f"{who} : "
                event = Event(told["fin"], what, tone, f"{lead}{result}", told["par"], told["version"], f"{run}/{page}")
                found.setdefault(slug, []).append(event)
    for events in found.values():
        events.sort(key=lambda one: one.moment, reverse=True)
    return found


def _cached_facts(home: Path) -> dict[str, Any]:
    """What each record says, those of this morning read anew."""
    path = home / "matin" / FILE
    known = store.read_json(path)
    kept: dict[str, Any] = known["passages"] if isinstance(known, dict) and known.get("version") == _VERSION else {}
    noted: dict[str, Any] = {}
    for kind in _EVENT_RECORD_KINDS:
        for run in sorted((home / kind).glob("????-??-??T*Z*/"))[-_MAX_RUNS_PER_KIND:]:
            name = f"{kind}/{run.name}"
            told = kept[name] if name in kept else _record_facts(kind, run)
            if told is not None:
                noted[name] = told
    if noted.keys() != kept.keys():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        store.write_json(path, {"version": _VERSION, "passages": noted})
    return noted


def _record_facts(kind: str, run: Path) -> dict[str, Any] | None:
    """What a record says; None when it cannot be read, so that it is looked at again."""
    facts = store.facts_of(run)
    try:
        said = [
            [who, [what, tone, clean(text)[:_MAX_EVENT_LENGTH], page]]
            for who, what, tone, text, page in _FACTS[kind](run, facts)
        ]
        return {
            "fin": dt.datetime.fromisoformat(facts["fin"]).isoformat(),
            "par": clean(str(facts.get("operateur", "")))[:80],
            "version": short(facts.get("code")),
            "faits": said,
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


Told = Iterator[tuple[str, str, str, str, str]]


def _rollout_event(run: Path, facts: Mapping[str, Any]) -> Told:
    for slug in facts["communes"]:
        report = store.read_json(run / slug / "preuve.json")
        if report is None:
            continue
        tone, title, _sentence = evidence_page.verdict(report)
        yield slug, "Déploiement", tone, title + _summarize_gaps(report["manques"]), f"{slug}/preuve.html"


def _summarize_gaps(gaps: list[Mapping[str, Any]]) -> str:
    if not gaps:
        return ""
    more = f", et {len(gaps) - 1} de plus" if len(gaps) > 1 else ""
    return f" : {gaps[0]['objet']}, {gaps[0]['raison']}{more}"


def _update_event(run: Path, facts: Mapping[str, Any]) -> Told:
    for one in facts.get("machines", ()):  # those of the archive room's nodes have none
        tone = "ok" if one["etat"] in ("fait", "a_jour", "windows") else "attention" if one["pret"] else "echec"
        result = f"{updates.WORDS[one['etat']]}, {len(one['paquets'])} paquets" if one["paquets"] else ""
        yield one["nom"], "Correctifs", tone, result or updates.WORDS[one["etat"]], "rapport.html"


def _audit_event(run: Path, facts: Mapping[str, Any]) -> Told:
    for one in facts["machines"]:
        gaps = len(one["ecarts"])
        if one["etat"] == "hors_portee":
            continue
        if one["etat"] != "auditee":
            tone, result = "echec", str((one["incident"] or {}).get("raison") or "pas auditée")
        else:
            tone, result = ("attention", f"{gaps} écarts") if gaps else ("ok", "conforme")
        yield one["nom"], "Audit", tone, result, "rapport.html"


def _drill_event(run: Path, facts: Mapping[str, Any]) -> Told:
    good = bool(facts["reussi"])
    result = "restaurée" if good else f"échec, {facts.get('raison') or 'voir la preuve'}"
    yield str(facts["machine"]), "Exercice de restauration", "ok" if good else "echec", result, "rapport.html"


def _departure_event(run: Path, facts: Mapping[str, Any]) -> Told:
    commune, agent = facts.get("commune") or {}, facts.get("agent") or {}
    slug = str(agent.get("commune") or commune.get("slug") or "")
    what, result = ("Départ d'un agent", "ses accès sont fermés") if agent else ("Départ", str(facts.get("genre")))
    yield slug, what, "ok", result, "rapport.html"


_FACTS = {
    "evidence": _rollout_event,
    "correctifs": _update_event,
    "audits": _audit_event,
    "exercices": _drill_event,
    "departs": _departure_event,
}


def commands(entries: Iterable[Any], slugs: Iterable[str]) -> dict[str, list[Any]]:
    """The commands that name each commune, the last one first.

    Args:
        entries: of ``fab historique`` (evidence/history), the last one last.
        slugs: short names of the communes.
    """
    known, found = {*slugs}, dict[str, list[Any]]()
    for one in entries:
        words = {word.strip('"') for part in one.command.split() for word in part.replace("=", ",").split(",")}
        for slug in words & known:
            found.setdefault(slug, []).insert(0, one)
    return found
