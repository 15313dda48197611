# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What is wrong first: for a terminal, and for the pages (`pages`).

Each morning leaves a snapshot (``matin/AAAA-MM-JJ.json``): what has risen since the last one is told.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.harmless import line
from ansible_collections.cdg59.creatic.plugins.module_utils.host.condition import PREFIX

from creatic.evidence import store
from creatic.registry import groupement
from creatic.supervision import figures

FOLDER = "matin"
_KEPT_DAYS = 400
_MOST, _MOST_TOLD = 30_000, 3000  # figures of a machine, findings
# Of the machine, older than what it was asked now; of this control node, as it left them on the supervision.
_FIGURE_PREFIXES_EXCLUDED = (PREFIX, "creatic_drill_", "creatic_registre_")
_MAILS = f"{PREFIX}mails_waiting"  # which it is not asked
# Those of an entity (CCAS…) bear the label « entite » too, and are acts of its commune's connector.
_ACKNOWLEDGED = ("tdt_connector_deposits", ("etat", "acquitte"))
_RECORDS = {
    "audits": ("Dernier audit", 120, "fab audit"),
    "exercices": ("Dernier exercice de restauration", 100, "fab sauvegarde.exercice tous"),
    "correctifs": ("Derniers correctifs", 35, "fab correctifs"),
    "evidence": ("Dernier déploiement de communes", 0, ""),
}
"""Folders of records: what each is, days after which it is too old (0: never), what to run."""
AGES = {
    "creatic_certificate_days_left": ("Certificats", "titulaire", (30, 60, 90)),
    "creatic_depot_last_transaction_timestamp_seconds": ("Sauvegardes", "client", (1, 2, 7)),
    "creatic_drill_timestamp_seconds": ("Exercices de restauration", "client", (30, 60, 100)),
}
"""Figures of which each morning tells how many are where: what, whose (a label), days that part them."""


@dataclass(frozen=True, order=True)
class Finding:
    """What is wrong, with what to do.

    Attributes:
        watched: it is to be watched, and nothing suffers today.
        commune: short name; empty for the groupement's own.
        machine: empty when it is of no machine.
    """

    watched: bool
    commune: str
    machine: str
    text: str
    fix: str


@dataclass
class Morning:
    """How the groupement is.

    Attributes:
        communes: their last known state (``etat.json``), by short name.
        acts: acts acknowledged since the last morning, by short name; None when nothing tells.
        since: day of the last morning; empty for the first.
        records: what each folder of records is, the day of the last one and whether it is too old.
        fleet: what is said of the publication to machines that fetch what they become; French, a line each.
        versions: what their communes are at, by short name.
        standings: where each of them is, French, by name.
        ages: of certificates, backups and drills (`AGES`): days, and of what.
        answered: machines that answered, and those that were asked.
    """

    moment: dt.datetime
    findings: list[Finding] = field(default_factory=list)
    communes: Mapping[str, Any] = field(default_factory=dict)
    acts: dict[str, int] = field(default_factory=dict)
    since: str = ""
    records: list[tuple[str, str, bool]] = field(default_factory=list)
    fleet: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    standings: Mapping[str, str] = field(default_factory=dict)
    ages: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    answered: tuple[int, int] = (0, 0)

    @property
    def grave(self) -> int:
        """How many acts, archives or accesses suffer today."""
        return sum(not one.watched for one in self.findings)


def states(communes: Iterable[groupement.Commune], known: Mapping[str, Any]) -> dict[str, Any]:
    """Give the state of each commune of the inventory, even of one that no rollout took yet.

    Args:
        known: what the last rollout left (``etat.json``).
    """
    never: dict[str, Any] = {"passage": None, "hotes": {}, "equipee": False, "prete": False}
    never |= {"dernier": None, "manques": []}
    return {one.slug: known.get(one.slug) or {"commune": one.variables, **never} for one in communes}


def look(
    home: Path,
    machines: Mapping[str, str],
    answers: Mapping[str, Any],
    communes: Mapping[str, Any],
    moment: dt.datetime,
    desks: Container[str] = (),
    profiles: Mapping[str, str] | None = None,
) -> Morning:
    """Judge what the machines told, and the control node's own records; keep the morning's snapshot.

    Args:
        home: state of the control node.
        machines: those that were asked, each with the short name of its commune, or none.
        answers: what each told, as the callback `morning` keeps it.
        communes: last known state of each commune (``etat.json``).
        moment: now, with its zone.
        desks: machines that people switch off.
        profiles: that of each machine: it tells what its profile makes. Of one without, what every machine makes.
    """
    today = moment.astimezone().date()
    before, since = _last_snapshot(home, today)
    found = Morning(moment, communes=communes, since=since)
    kept: dict[str, dict[str, float]] = {}
    for name, commune in machines.items():
        answer = answers.get(name)
        if not isinstance(answer, dict) or "rapport" not in answer:
            told = answer if isinstance(answer, dict) else {}
            reason = f"sans réponse : {line(str(told.get('raison') or "elle n'a pas été interrogée"))[:200]}"
            fix = str(told.get("remede") or "relancez ; sinon, son profil n'est pas déployé")
            new = bool(commune) and name not in communes.get(commune, {}).get("hotes", {})
            if new:
                reason, fix = f"jamais déployée, {reason}", f"fab commune.deployer {commune}"
            watched = new or (name in desks and bool(told.get("eteinte")))
            found.findings.append(Finding(watched, commune, name, reason, fix))
            continue
        profile = (profiles or {}).get(name, "")
        known, wrong = _judge_machine(answer["rapport"], before.get(name, {}), moment, profile)
        found.findings += [Finding(not grave, commune, name, text, fix) for grave, text, fix in wrong]
        kept[name] = figures.rising(known)
        _note_ages(found, known, moment)
        for one in known:
            acknowledged = one.name == _ACKNOWLEDGED[0] and _ACKNOWLEDGED[1] in one.labels
            if acknowledged and one.key in before.get(name, {}) and commune:
                found.acts[commune] = found.acts.get(commune, 0) + max(0, int(one.value - before[name][one.key]))
    found.answered = (len(kept), len(machines))
    parsed = (one for path in _own_files(home) for one in figures.parse(_read_text(path)))
    own = list(figures.allowed_figures("control_node", parsed))
    _note_ages(found, own, moment)
    for grave, text, fix in figures.judge(own, {}, moment.timestamp()):
        found.findings.append(Finding(not grave, "", "poste de commande", text, fix))
    _judge_records(home, found)
    found.findings.sort()
    _save_snapshot(home, today, {**before, **kept})
    return found


def _judge_machine(
    report: Any, before: Mapping[str, float], moment: dt.datetime, profile: str
) -> tuple[list[figures.Figure], list[tuple[bool, str, str]]]:
    """Figures of a machine, and what is wrong with it. It may be broken, or hostile."""
    wrong: list[tuple[bool, str, str]] = []
    try:
        now = float(report["maintenant"])
        told = [one for text in report["mesures"] for one in figures.parse(str(text))]
        kept = (one for one in told if not one.name.startswith(_FIGURE_PREFIXES_EXCLUDED) or one.name == _MAILS)
        known = [*itertools.islice(figures.allowed_figures(profile, kept), _MOST), *_asked_figures(report)]
        drift = abs(now - moment.timestamp())
        if drift > 600:
            wrong.append((True, f"horloge à {figures.span(drift)} de celle d'ici", "chronyc tracking sur la machine"))
            known = [one for one in known if one.name != f"{PREFIX}clock_synchronized"]  # told with how much
        wrong += itertools.islice(figures.judge(known, before, now), _MOST_TOLD)
        for name in report["illisibles"][:20]:
            text = f"mesures illisibles : {figures.quoted(str(name))}"
            wrong.append((False, text, "ls -l /var/lib/creatic/metrics sur la machine"))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return [], [(True, "réponse incompréhensible", "cette machine répond mal, ou ment : regardez-la")]
    return known, wrong


def _asked_figures(report: Any) -> Iterator[figures.Figure]:
    """What the machine was asked now, as the figures that it leaves every five minutes where a supervision looks."""
    for unit in report["unites"][:20]:
        yield figures.Figure(f"{PREFIX}unit_failed", (("unite", str(unit)[:80]),), 1)
    for disk in report["disques"]:
        yield figures.Figure(f"{PREFIX}disk_percent", (("point", str(disk["point"])[:80]),), float(disk["plein"]))
    if report["a_l_heure"] is not None:
        yield figures.Figure(f"{PREFIX}clock_synchronized", (), float(report["a_l_heure"]))
    yield figures.Figure(f"{PREFIX}restart_wanted", (), float(report["redemarrage"]))


def _own_files(home: Path) -> list[Path]:
    """The control node's own figures (drills)."""
    return sorted((home / "metriques").glob("*.prom"))


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _note_ages(found: Morning, known: Iterable[figures.Figure], moment: dt.datetime) -> None:
    """Note the ages that figures tell; of what never was, none."""
    for one in known:
        if one.name in AGES and one.value:
            _what, whose, _bounds = AGES[one.name]
            left = one.name.endswith("_days_left")
            days = one.value if left else (moment.timestamp() - one.value) / 86400
            found.ages.setdefault(one.name, []).append((days, line(dict(one.labels).get(whose, "—"))[:120]))


def own_figures(home: Path, moment: dt.datetime) -> str:
    """What a supervision is told of the control node each morning, in Prometheus' text format: drills, old records.

    Args:
        home: state of the control node.
        moment: now.
    """
    told = [_read_text(path) for path in _own_files(home)]
    for name in ("timestamp", "age_max"):
        told.append(f"# TYPE creatic_registre_{name}_seconds gauge\n")
        for folder, (label, days, command) in _RECORDS.items():
            begun = _last_record_day(home / folder)
            last = dt.datetime.combine(dt.date.fromisoformat(begun), dt.time(), dt.UTC).timestamp() if begun else 0
            labels = f'{{registre="{label.lower()}",commande="{command}"}}'
            if days:
                value = 86400 * days if name == "age_max" else last
                told.append(f"creatic_registre_{name}_seconds{labels} {value:.0f}\n")
    told.append(
        f"# TYPE creatic_matin_timestamp_seconds gauge\ncreatic_matin_timestamp_seconds {moment.timestamp():.0f}\n"
    )
    return "".join(told)


def _last_record_day(folder: Path) -> str:
    """Day of the last record of a folder; empty when there is none."""
    return max((path.name[:10] for path in store.runs(folder)), default="")


def _judge_records(home: Path, found: Morning) -> None:
    for folder, (label, days, command) in _RECORDS.items():
        begun = _last_record_day(home / folder)
        age = (found.moment.date() - dt.date.fromisoformat(begun)).days if begun else None
        old = bool(days) and (age is None or age > days)
        shown = "jamais" if age is None else "aujourd'hui" if age < 1 else "hier" if age == 1 else f"il y a {age} jours"
        found.records.append((label, shown, old))
        if old:
            found.findings.append(Finding(True, "", "", f"{label.lower()} : {shown}", command))


# -- snapshots ------------------------------------------------------------------------------------------


def _iter_snapshots(home: Path) -> Iterator[tuple[dt.date, Path]]:
    for path in (home / FOLDER).glob("????-??-??.json"):
        try:
            yield dt.date.fromisoformat(path.stem), path
        except ValueError:
            continue


def _last_snapshot(home: Path, today: dt.date) -> tuple[dict[str, dict[str, float]], str]:
    """Figures of the last morning before today, by machine; its day."""
    for day, path in sorted(_iter_snapshots(home), reverse=True):
        if day < today and isinstance(known := store.read_json(path), dict):
            return known, day.isoformat()
    return {}, ""


def _save_snapshot(home: Path, today: dt.date, known: Mapping[str, Any]) -> None:
    (home / FOLDER).mkdir(parents=True, exist_ok=True, mode=0o700)
    store.write_json(home / FOLDER / f"{today.isoformat()}.json", known)
    for day, path in _iter_snapshots(home):
        if (today - day).days > _KEPT_DAYS:
            path.unlink(missing_ok=True)


# -- what people read -----------------------------------------------------------------------------------


def name_of(found: Morning, slug: str) -> str:
    """Name of a commune to show."""
    known = found.communes.get(slug, {}).get("commune", {})
    return str(known.get("nom") or slug)


def headline(found: Morning) -> str:
    """One sentence."""
    watched = len(found.findings) - found.grave
    if not found.findings:
        told = "Rien à signaler."
    else:
        parts = [f"{found.grave} à traiter" if found.grave else "", f"{watched} à surveiller" if watched else ""]
        told = f"{', '.join(filter(None, parts))}."
    silent = found.answered[1] - found.answered[0]
    plural = "s" * (silent > 1)
    return told + (f" {silent} machine{plural} sur {found.answered[1]} sans réponse." if silent else "")


def by_age(found: Morning) -> list[tuple[str, str, list[tuple[str, int]], str]]:
    """How many certificates, backups and drills are of which age: what, « reste » or « âge », counts, the worst."""
    told = []
    for name, (what, _whose, bounds) in AGES.items():
        if known := sorted(found.ages.get(name, ())):
            left = name.endswith("_days_left")
            edges = [-math.inf, *bounds, math.inf]
            counts = [
                (
                    f"moins de {high} j" if high < math.inf else f"{low} j et plus",
                    sum(low <= one < high for one, _ in known),
                )
                for low, high in itertools.pairwise(edges)
            ]
            days, whose = known[0 if left else -1]
            told.append((what, "reste" if left else "âge", counts, f"{whose} : {figures.span(max(days, 0) * 86400)}"))
    return told


def lines(found: Morning, shown: int = 40) -> Iterable[tuple[str, str, str, str]]:
    """What is wrong, for a terminal: how much, where, what, what to do; the gravest first."""
    for one in found.findings[:shown]:
        where = " ".join(filter(None, (name_of(found, one.commune) if one.commune else "", one.machine)))
        yield ("à surveiller" if one.watched else "À TRAITER"), where or "groupement", one.text, one.fix
