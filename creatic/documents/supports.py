# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a statement rests on: a control or tests of the last audit, a sealed run, a setting. None is believed unseen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.words import duration

from creatic.audit import sources as verdict
from creatic.documents.settings import Settings, computed
from creatic.evidence import store
from creatic.evidence.seal import DIGESTS, sha256
from creatic.registry import agrement, papers
from creatic.registry import profiles as profiles_file

# Days after which what was seen is too old to be relied upon.
AUDIT_DAYS, DRILL_DAYS, SEAL_DAYS = 100, 100, 10
HELD, PLEDGED, WAIVED, UNSEEN, NOT_HELD = "tenu", "engagement", "SOUS DÉROGATION", "NON VÉRIFIÉ", "NON TENU"
STATES = (HELD, PLEDGED, WAIVED, UNSEEN, NOT_HELD)
"""What a statement is, the worst last. Pledged: persons answer for it, no machine shows it."""
# A control that the catalogue puts aside shows nothing of the statement that names it.
_VERDICT_STATES = {
    verdict.CONFORME: (HELD, "conforme"),
    verdict.DEROGATION: (WAIVED, "dérogation en cours"),
    verdict.A_ATTESTER: (UNSEEN, "à attester par écrit"),
    verdict.NON_CONFORME: (NOT_HELD, "non conforme"),
    verdict.NON_VERIFIE: (UNSEEN, "non vérifié"),
    verdict.SANS_OBJET: (UNSEEN, "sans objet au catalogue"),
}
# Records of the control node: what each folder holds, and what makes one.
_RECORD_KINDS = {
    "evidence": ("déploiement de communes", "fab commune.deployer"),
    "serveurs": ("déploiement de serveurs", "fab serveurs"),
    "audits": ("audit", "fab audit"),
    "correctifs": ("correctifs", "fab correctifs"),
    "exercices": ("exercice de restauration", "fab sauvegarde.exercice"),
    "acces": ("accès délivrés", "fab acces.delivrer"),
    "departs": ("départs", "fab agent.depart"),
    "journaux": ("journaux scellés", "fab matin"),
}


@dataclass(frozen=True)
class Support:
    """One thing that a statement rests on.

    Attributes:
        state: one of STATES.
        told: what was seen, when, and where (French).
    """

    state: str
    told: str


class _Audit:
    """An audit of this control node, or none.

    Args:
        run: its folder.
    """

    def __init__(self, run: Path | None) -> None:
        self.run = run
        self.facts: dict[str, Any] | None = store.facts_of(run) if run else None
        self.controls = {one["id"]: one for one in (self.facts or {}).get("controles", [])}
        self.seen = {one["nom"]: one for one in (self.facts or {}).get("machines", [])}


class Supports:
    """What can be shown today, from the evidence and the settings of an environment.

    Args:
        home: state of the control node.
        settings: of the environment.
        now: with its timezone.
    """

    def __init__(self, home: Path, settings: Settings, now: datetime) -> None:
        self.home, self.settings, self.now = home, settings, now
        self._faults: dict[Path, str] = {}
        read = ((run, store.read_json(run / store.AUDIT)) for run in reversed(store.runs(home / "audits")))
        audits = [(run, bool(facts.get("releves"))) for run, facts in read if isinstance(facts, dict)]
        self._last = _Audit(next((run for run, _signed in audits), None))
        # Machines sign what they are, and run no test of ours: those are of the last audit that ran them.
        self._accepted = _Audit(next((run for run, signed in audits if not signed), None))
        self.audit = self._last.facts

    def control(self, name: str) -> Support:
        """A control of ANSSI-BP-028 (« R28 »), on all machines that audits look at."""
        audit = self._last
        if not (found := audit.controls.get(name)):
            return Support(UNSEEN, f"contrôle {name} : aucun audit ne l'a regardé (fab audit)")
        if found["verdict"] == verdict.NON_VERIFIE and name in self._accepted.controls:
            audit, found = self._accepted, self._accepted.controls[name]
        state, word = _VERDICT_STATES[found["verdict"]]
        told = f"contrôle {name} ({found['titre']}) : {word}, {_format_machine_count(len(found['machines']))}"
        if state == WAIVED:
            told += f" ({_describe_waivers(found)})"
        looked = [name for name, profile in profiles_file.load().items() if profile.audit]
        return self._audit_support(
            audit, state, told, [host for name in looked for host in self.settings.machines.get(name, ())]
        )

    def tests(self, profile: str) -> Support:
        """The tests of a profile's machines, in the last audit that ran them."""
        seen = [one for one in self._accepted.seen.values() if one["profil"] == profile]
        if not seen:
            return Support(UNSEEN, f"essais du profil {profile} : aucun audit ne les a faits (fab audit --profils)")
        passed = sum(one["essais"]["reussis"] for one in seen)
        failed = sum(one["essais"]["echecs"] for one in seen)
        told = f"essais du profil {profile}, {_format_machine_count(len(seen))} : {passed} réussis, {failed} en échec"
        state = NOT_HELD if failed else HELD if passed else UNSEEN
        return self._audit_support(self._accepted, state, told, self.settings.machines.get(profile, ()))

    def _audit_support(self, read: _Audit, state: str, told: str, wanted: Iterable[str]) -> Support:
        """What an audit shows: of all machines only if it looked at all of them.

        Args:
            wanted: machines of the inventory of which something is said.
        """
        audit = read.facts or {}
        if (limit := str(audit.get("perimetre", verdict.WHOLE))) != verdict.WHOLE:
            told += f" ; audit limité à {limit} (fab audit, sans --limite)"
            state = _at_best(state, UNSEEN)
        elif unseen := sorted({one for one in wanted if read.seen.get(one, {}).get("etat") != "auditee"}):
            told += f" ; non auditées : {_first_names(unseen)} (fab audit)"
            state = _at_best(state, UNSEEN)
        return self._run_support(state, told, str(audit.get("fin", "")), AUDIT_DAYS, read.run)

    def drills(self) -> dict[str, dict[str, Any]]:
        """The last restoration drill of each profile; ``dossier`` is its folder."""
        found: dict[str, dict[str, Any]] = {}
        for run in store.runs(self.home / "exercices"):
            if (facts := store.facts_of(run)) and "profil" in facts:
                found[str(facts["profil"])] = {**facts, "dossier": run}
        return found

    def drill(self, profile: str) -> Support:
        """The last restoration drill of a profile."""
        if not (last := self.drills().get(profile)):
            return Support(UNSEEN, f"exercice de restauration de {profile} : aucun (fab sauvegarde.exercice {profile})")
        told = f"exercice de restauration de {profile} : {'réussi' if last.get('reussi') else 'en échec'}"
        if isinstance(last.get("rto_s"), int):
            told += f", retour en {spell(last['rto_s'])}"
        if isinstance(last.get("rpo_s"), int):
            told += f", perte au plus {spell(last['rpo_s'])}"
        state = HELD if last.get("reussi") else NOT_HELD
        return self._run_support(state, told, str(last.get("debut", "")), DRILL_DAYS, last["dossier"])

    def seals(self) -> Support:
        """The seals of the archive room's journal, as they were last copied out of the room, verified."""
        held = sorted((self.home / "archive" / "sceaux").glob("*/sceau-*.json"))
        if not held:
            return Support(UNSEEN, "sceaux du journal d'archives : aucune copie hors de la salle (fab archive.sceaux)")
        taken = datetime.fromtimestamp(max(path.stat().st_mtime for path in held), self.now.tzinfo)
        told = f"sceaux du journal d'archives copiés hors de la salle, vérifiés à la copie : {len(held)}"
        return self._dated_support(HELD, told, taken.isoformat(), SEAL_DAYS, "archive/sceaux")

    def setting(self, name: str, profile: str = "") -> Support:
        """A variable that somebody gave in the inventory; of a profile's role, its own value serves as well."""
        found = [value for value in self.settings.values(name, profile) if value not in ("", [], {})]
        if not found:
            return Support(UNSEEN, f"réglage {name} : il n'est pas donné (docs/variables.md dit où)")
        if len(found) > 1:
            told = " ou ".join(_shorten_value(value, 60) for value in found[:3])
            return Support(UNSEEN, f"réglage {name} : il n'est pas le même sur toutes les machines ({told})")
        where = f", celui du rôle {profile}" if profile and self.settings.is_default(name, profile) else ""
        return Support(HELD, f"réglage {name} = {_shorten_value(found[0])}{where}")

    def each(self, name: str, profile: str) -> Support:
        """A variable that each machine of a profile has of its own (its disks)."""
        hosts = self.settings.machines.get(profile, ())
        lacking = [host for host in hosts if not self.settings.hosts[host].get(name)]
        if lacking or not hosts:
            return Support(
                UNSEEN, f"réglage {name} : il n'est pas donné ({_first_names(lacking) or f'aucune machine {profile}'})"
            )
        return Support(HELD, f"réglage {name} : donné sur {_format_machine_count(len(hosts))}")

    def levels(self) -> dict[str, str]:
        """Levels of ANSSI-BP-028 at which the last audit judged the machines, by profile."""
        found = dict[str, set[str]]()
        for one in self._last.seen.values():
            found.setdefault(one["profil"], set()).add(str(one.get("niveau")))
        return {profile: ", ".join(sorted(names)) for profile, names in found.items()}

    def waivers(self) -> list[dict[str, str]]:
        """What the last audit found waived, each once: ``controle``, ``motif``, ``responsable``, ``fin``."""
        found = {
            (control["id"], *(str(one.get(name)) for name in ("motif", "responsable", "fin")))
            for control in self._last.controls.values()
            for result in control["machines"].values()
            for one in result.get("derogations", [])
        }
        return [dict(zip(("controle", "motif", "responsable", "fin"), one, strict=True)) for one in sorted(found)]

    def copies(self) -> Support:
        """Whether there are as many storage nodes as copies are asked for."""
        wanted = self.settings.only("archive_node_replicas", "archive_node")
        nodes = len(self.settings.machines.get("archive_node", ()))
        if not isinstance(wanted, int) or not nodes:
            return Support(UNSEEN, "copies : l'inventaire n'a aucun nœud d'archives (archive_node, servers.yml)")
        told = f"archive_node_replicas = {wanted}, nœuds à l'inventaire : {nodes}"
        return Support(HELD if nodes >= wanted else NOT_HELD, told)

    def sites(self) -> Support:
        """Whether the copies of the archives are in two buildings at least (creatic_site)."""
        machines = [host for profile in agrement.COPIES for host in self.settings.machines.get(profile, ())]
        told = {host: str(self.settings.hosts[host].get(agrement.SITE) or "").strip() for host in machines}
        if lacking := sorted(host for host, site in told.items() if not site):
            where = f"{agrement.SITE} n'est pas donné : {_first_names(lacking)} (servers.yml)"
            return Support(UNSEEN, where)
        names = sorted({site.casefold(): site for site in told.values()}.values())
        return Support(
            HELD if len(names) > 1 else NOT_HELD, f"{agrement.SITE} : {', '.join(names) or 'aucune machine'}"
        )

    def pledge(self, who: str) -> Support:
        """What persons answer for, and no machine shows.

        Args:
            who: French.
        """
        return Support(PLEDGED, f"engagement que nul contrôle ne montre ; en répond : {who}")

    def absence(self, why: str) -> Support:
        """What is asked and is not done here: nobody may read it as done.

        Args:
            why: French.
        """
        return Support(NOT_HELD, f"non fait : {why}")

    def paper(self, name: str) -> Support:
        """What persons answer for in a field of creatic_documents; « aucun », or nothing, and it is not held."""
        text = papers.usable_fields(self.settings.only(papers.NAME)).get(name, "")
        if not text or text.casefold().rstrip(".") in ("aucun", "aucune", "non"):
            return self.absence(f"{papers.FIELDS[name]} ({papers.NAME}.{name}, {papers.FILE})")
        return self.pledge(f"le groupement ({papers.NAME}.{name})")

    def _run_support(self, state: str, told: str, moment: str, days: int, run: Path | None) -> Support:
        """What a sealed run shows, if nobody changed it since."""
        if run and run not in self._faults:
            self._faults[run] = fault(run, self.home)
        if run and (why := self._faults[run]):
            return Support(UNSEEN, f"{told} ; mais la preuve {run.parent.name}/{run.name} ne vaut pas : {why}")
        return self._dated_support(state, told, moment, days, f"{run.parent.name}/{run.name}" if run else "")

    def _dated_support(self, state: str, told: str, moment: str, days: int, where: str) -> Support:
        try:
            seen = datetime.fromisoformat(moment)
            age = self.now.date() - (seen.astimezone(self.now.tzinfo) if seen.tzinfo else seen).date()
        except ValueError:
            return Support(_at_best(state, UNSEEN), f"{told}, à une date illisible ({where})")
        told += f", vu le {seen:%d/%m/%Y} ({where})"
        if age.days > days:
            return Support(_at_best(state, UNSEEN), f"{told} : plus de {days} jours, à refaire")
        return Support(state, told)


class Register:
    """The statements of one document, numbered as they come."""

    def __init__(self) -> None:
        self.entries: list[list[Support]] = []

    def __call__(self, *supports: Support) -> tuple[str, str]:
        """Number what a statement rests on; gives its number and its state."""
        self.entries.append(list(supports))
        return f"A{len(self.entries)}", worst(supports)

    def summary(self) -> dict[str, int]:
        """How many statements are in each state."""
        states = [worst(entry) for entry in self.entries]
        return {state: states.count(state) for state in STATES}


def worst(supports: Sequence[Support]) -> str:
    """State of a statement: what it rests on must all be held."""
    return max((one.state for one in supports), key=STATES.index, default=UNSEEN)


def _at_best(state: str, most: str) -> str:
    return max(state, most, key=STATES.index)


def fault(run: Path, home: Path) -> str:
    """Why a record proves nothing (French): it was changed, or never sealed; empty when it is intact."""
    try:
        found = store.verify_one(run, store.seal_keys(home).root)
    except store.EvidenceError as error:
        return str(error)
    return "" if found.intact else f"{found.faults[0][0]} {found.faults[0][1]} (fab preuves.verifier)"


def records(home: Path, now: datetime) -> list[dict[str, str]]:
    """The last record of each kind: ``sorte``, ``passage``, ``age``, ``empreinte`` (of its list of digests)."""
    found = []
    for kind, (label, command) in _RECORD_KINDS.items():
        done = store.runs(home / kind)
        if not done:
            found.append({"sorte": label, "passage": f"aucun ({command})", "age": "", "empreinte": ""})
            continue
        day = datetime.strptime(done[-1].name[:10], "%Y-%m-%d").replace(tzinfo=now.tzinfo)
        sealed = (done[-1] / DIGESTS).is_file()
        found.append(
            {
                "sorte": label,
                "passage": f"{kind}/{done[-1].name}",
                "age": _format_days(max(0, (now.date() - day.date()).days)),
                "empreinte": sha256(done[-1] / DIGESTS) if sealed else "",
            }
        )
    return found


def _describe_waivers(control: dict[str, Any]) -> str:
    """Who answers for what a control does not hold, and until when."""
    told = {
        f"{one.get('responsable')}, jusqu'au {one.get('fin')}"
        for result in control["machines"].values()
        for one in result.get("derogations", [])
    }
    return " ; ".join(sorted(told)) or "voir le rapport d'audit"


def _format_days(count: int) -> str:
    return "du jour" if count == 0 else f"il y a {count} jour{'s' if count > 1 else ''}"


def spell(seconds: Any) -> str:
    """A length of time as it is said: « 11 h 06 min », « 3 min 05 s »."""
    if not isinstance(seconds, int) or seconds < 3600:
        return duration(seconds) if isinstance(seconds, int) else "—"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def _first_names(names: Sequence[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" et {len(names) - limit} autres" if len(names) > limit else "")


def _format_machine_count(count: int) -> str:
    return f"{count} machine{'s' if count > 1 else ''}"


def _shorten_value(value: Any, width: int = 160) -> str:
    if isinstance(value, list) and (names := [one.get("name") for one in value if isinstance(one, dict)]):
        value = names
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if computed(text):
        return "donné"
    return text if len(text) <= width else f"{text[: width - 1]}…"
