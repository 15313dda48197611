# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""From what was found to verdicts: pure functions, no file, no network. The rules are in docs/design/audit.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from creatic.audit.controls import LEVELS, Control, Waiver
from creatic.audit.sources import (
    A_ATTESTER,
    CONFORME,
    DEROGATION,
    NON_CONFORME,
    NON_VERIFIE,
    SANS_OBJET,
    VERDICTS,
    Check,
    OpenScap,
    Rule,
    Target,
    worst,
)

# What a machine can be after an audit.
STATES = {
    "auditee": "auditée",
    "injoignable": "injoignable",
    "perdue": "perdue pendant l'audit",
    "en_erreur": "constats incomplets",
    "silencieuse": "silencieuse",
    "hors_portee": "poste, jugé par ses constats",
}


UNSEEN = ("injoignable", "perdue", "en_erreur", "silencieuse")
"""States of machines of which an audit does not know what it should."""

UNHEARD = ("silencieux", "refuse", "injoignable")
"""States of PCs (creatic/audit/postes.py) of which an audit does not know what it should. One that never said anything
is not equipped yet."""

SILENCE = "silence"
"""Nature of the incident of a machine whose last relevé is too old to be judged by (creatic/audit/releves.py)."""

INTERRUPTED = "interrompu"
"""Nature of the incident of a machine whose audit a person, or the computer's stop, cut short."""


class CatalogueLike(Protocol):
    """The catalogue: creatic/audit/controls.py."""

    @property
    def controls(self) -> Sequence[Control]: ...

    def waiver(self, rule_or_control: str, level: str, profile: str, container: bool) -> Waiver | None:
        """The waiver in force for a rule (short name) or a control on such a machine."""


@dataclass
class Found:
    """All that an audit found of one machine.

    Attributes:
        collected: answer of the collector, ARF left out; None when it was not had.
        openscap: None when there is none.
        checks: tests run on it.
        drift: differences with the inventory; None when they were not looked at.
        incident: what stopped the audit of this machine.
        releve: of one that was judged by what its own agent signed: ``fin``, ``age_s``, ``numero``, ``sha256``,
            ``remarque``.
        poste: of a clerk's PC, what its program's facts say (creatic/audit/postes.py).
    """

    target: Target
    collected: Mapping[str, Any] | None = None
    openscap: OpenScap | None = None
    checks: list[Check] = field(default_factory=list)
    drift: list[dict[str, Any]] | None = None
    incident: Mapping[str, str] | None = None
    releve: Mapping[str, Any] | None = None
    poste: Mapping[str, Any] | None = None

    @property
    def state(self) -> str:
        """One of `STATES`."""
        if self.target.system != "debian":
            return "hors_portee"
        if self.incident and self.incident["nature"] == SILENCE:
            return "silencieuse"
        if self.incident and self.incident["nature"] == "injoignable":
            return "injoignable" if self.collected is None else "perdue"
        if any(check.result == "perdu" for check in self.checks):
            return "perdue"
        return "en_erreur" if self.incident or self.collected is None else "auditee"


def waiver_facts(waiver: Waiver) -> dict[str, str]:
    """What the report says of a waiver."""
    return {"motif": waiver.motif, "responsable": waiver.responsable, "fin": str(waiver.fin)}


def number(control: str) -> tuple[int, str]:
    """Order of a control: R9 before R10."""
    found = re.search(r"\d+", control)
    return (int(found[0]) if found else 0, control)


def _build_evidence(kind: str, name: str, result: str, detail: str = "") -> dict[str, Any]:
    return {"type": kind, "nom": name, "resultat": result, "detail": detail}


def judge_control(control: Control, found: Found, rules: Sequence[Rule], catalogue: CatalogueLike) -> dict[str, Any]:
    """Judge one control on one machine.

    Args:
        rules: OpenSCAP's rules that belong to the control.

    Returns:
        ``verdict``; ``preuves``: what does not plainly pass; ``reussis``: how many plainly do; ``derogations``.
    """
    if control.statut == "sans_objet":
        return {"verdict": SANS_OBJET, "preuves": [], "reussis": 0, "derogations": []}

    def waiver(name: str) -> Waiver | None:
        return catalogue.waiver(name, found.target.level, found.target.profile, found.target.container)

    whole = waiver(control.id)
    scale = _Scale()
    for check in found.checks:
        if check.name in control.tests:
            scale.weigh_check(check, waiver(check.name.rpartition("::")[2]) or whole)
    for rule in rules:
        scale.weigh_rule(rule, waiver(rule.name) or whole)
    scale.lost |= found.state in ("injoignable", "hors_portee", "silencieuse")
    if found.incident and found.incident["nature"] == INTERRUPTED:  # what was to be run still: nothing is conform yet
        scale.lost |= found.openscap is None or not {check.name for check in found.checks} >= {*control.tests}
    verdict, waived = scale.verdict(control, whole)
    if verdict == NON_VERIFIE and not scale.lost and not scale.skipped and control.tests:
        scale.proofs.append(_build_evidence("essai", control.tests[0], "absent", "l'essai n'a pas été exécuté"))
    return {"verdict": verdict, "preuves": scale.proofs, "reussis": scale.good, "derogations": waived}


def _describe_grant(name: str, waiver: Waiver) -> dict[str, str]:
    return {"objet": name, **waiver_facts(waiver)}


@dataclass
class _Scale:
    """What weighs on one control: evidence that does not plainly pass, waivers, how much plainly passes.

    Attributes:
        unseen: waived, without having been run.
        lost: something neither passed nor failed, or the machine was out of reach.
    """

    proofs: list[dict[str, Any]] = field(default_factory=list)
    waived: list[dict[str, str]] = field(default_factory=list)
    unseen: list[dict[str, str]] = field(default_factory=list)
    good: int = 0
    bad: bool = False
    lost: bool = False
    skipped: bool = False

    def weigh_check(self, check: Check, granted: Waiver | None) -> None:
        """Add a test of the project's own."""
        if check.result == "reussi":
            self.good += 1
            return
        self.proofs.append(_build_evidence("essai", check.case, check.result, check.detail))
        if check.result == "ignore":
            self.skipped = True
            self.unseen += [_describe_grant(check.case, granted)] if granted else []
        elif check.result == "perdu":
            self.lost = True
        else:
            self._record_failure(check.case, granted)

    def weigh_rule(self, rule: Rule, granted: Waiver | None) -> None:
        """Add a rule of OpenSCAP."""
        if rule.result in ("pass", "fixed"):
            self.good += 1
        elif rule.result == "fail":
            self.proofs.append(_build_evidence("openscap", rule.name, "echec", rule.title))
            self._record_failure(rule.name, granted)
        elif rule.result in ("error", "unknown"):
            self.proofs.append(_build_evidence("openscap", rule.name, "erreur", rule.title))
            self.lost = True

    def verdict(self, control: Control, whole: Waiver | None) -> tuple[str, list[dict[str, str]]]:
        """Return the verdict, and the waivers that it rests on.

        Args:
            whole: the waiver of the whole control.
        """
        if self.bad:
            return NON_CONFORME, self.waived
        if self.lost:
            return NON_VERIFIE, self.waived
        if control.statut == "manuel":
            return A_ATTESTER, self.waived
        if self.waived:
            return DEROGATION, self.waived
        if self.good:
            return CONFORME, []
        if self.unseen:
            return DEROGATION, self.unseen
        return (DEROGATION, [_describe_grant(control.id, whole)]) if whole else (NON_VERIFIE, [])

    def _record_failure(self, name: str, granted: Waiver | None) -> None:
        if granted:
            self.waived.append(_describe_grant(name, granted))
        else:
            self.bad = True


def owners_of(controls: Sequence[Control], openscap: OpenScap | None) -> dict[str, list[str]]:
    """Controls of each rule: those that name it, else those it refers to; perhaps none."""
    named: dict[str, list[str]] = {}
    for control in controls:
        for name in control.oscap:
            named.setdefault(name, []).append(control.id)
    known = {control.id for control in controls}
    return {
        rule.name: named.get(rule.name) or [name for name in rule.controls if name in known]
        for rule in (openscap.rules if openscap else ())
    }


def _openscap_facts(
    found: Found, owners: Mapping[str, Sequence[str]], catalogue: CatalogueLike
) -> dict[str, Any] | None:
    if found.openscap is None:
        return None
    target = found.target
    gaps = []
    for rule in found.openscap.rules:
        if rule.result not in ("fail", "error", "unknown"):
            continue
        waivers = (
            catalogue.waiver(name, target.level, target.profile, target.container)
            for name in (rule.name, *owners[rule.name])
        )
        granted = next(filter(None, waivers), None)
        gaps.append(
            {
                "regle": rule.name,
                "resultat": rule.result,
                "severite": rule.severity,
                "titre": rule.title,
                "controles": list(owners[rule.name]),
                "valeurs": dict(rule.values),
                "derogation": waiver_facts(granted) if granted and rule.result == "fail" else None,
            }
        )
    return {
        "profil": found.openscap.profile,
        "score": found.openscap.score,
        "comptes": found.openscap.counts(),
        "non_deroges": sum(gap["resultat"] == "fail" and gap["derogation"] is None for gap in gaps),
        "ecarts": gaps,
    }


def judge_machine(found: Found, catalogue: CatalogueLike) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Judge one machine.

    Returns:
        What the report says of it, and the verdict of each control that its level asks for.
    """
    level = LEVELS.index(found.target.level)
    asked = [control for control in catalogue.controls if LEVELS.index(control.niveau) <= level]
    owners = owners_of(catalogue.controls, found.openscap)
    rules = found.openscap.rules if found.openscap else ()
    judged = {
        control.id: judge_control(
            control, found, [rule for rule in rules if control.id in owners[rule.name]], catalogue
        )
        for control in asked
    }
    claimed = {name for control in catalogue.controls for name in control.tests}
    free = [check for check in found.checks if check.name not in claimed]
    results = [check.result for check in found.checks]
    target = found.target
    machine: dict[str, Any] = {
        "nom": target.name,
        "profil": target.profile,
        "niveau": target.level,
        "adresse": target.address,
        "commune": dict(target.commune) or None,
        "etat": found.state,
        "incident": dict(found.incident) if found.incident else None,
        "conteneur": target.container,
        "systeme": dict(found.collected["systeme"]) if found.collected else None,
        "correctifs": dict(found.collected["correctifs"]) if found.collected else None,
        "openscap": _openscap_facts(found, owners, catalogue),
        "derive": found.drift,
        "releve": dict(found.releve) if found.releve else None,
        "poste": dict(found.poste) if found.poste else None,
        "essais": {
            "reussis": results.count("reussi"),
            "echecs": results.count("echec"),
            "ignores": results.count("ignore"),
            "perdus": results.count("perdu"),
            "echecs_du_profil": [
                {"nom": check.case, "detail": check.detail} for check in free if check.result == "echec"
            ],
        },
        "duree_s": found.collected.get("duree_s") if found.collected else None,
        "cpu_s": found.collected.get("cpu_s") if found.collected else None,
        "verdicts": dict.fromkeys(VERDICTS, 0),
    }
    for result in judged.values():
        machine["verdicts"][result["verdict"]] += 1
    return machine, judged


def findings(machine: Mapping[str, Any], judged: Mapping[str, Mapping[str, Any]]) -> int:
    """Unwaived non-conformities of a machine: controls, OpenSCAP rules of no control, tests, drift, a PC's measures."""
    controls = [name for name, result in judged.items() if result["verdict"] == NON_CONFORME]
    openscap = (machine["openscap"] or {}).get("ecarts", [])
    rules = [
        gap["regle"]
        for gap in openscap
        if gap["resultat"] == "fail" and not gap["derogation"] and not set(gap["controles"]) & set(controls)
    ]
    covered = {proof["nom"] for result in judged.values() for proof in result["preuves"]}
    rules = [name for name in rules if name not in covered]
    measures = [
        one for one in (machine["poste"] or {"mesures": {}})["mesures"].values() if one["verdict"] == NON_CONFORME
    ]
    tests = machine["essais"]["echecs_du_profil"]
    return len(controls) + len(rules) + len(tests) + bool(machine["derive"]) + len(measures)


def assess(found: Sequence[Found], catalogue: CatalogueLike) -> dict[str, Any]:
    """Judge every machine, and sum up by control, commune and profile (the heart of ``resultats.json``)."""
    machines: list[dict[str, Any]] = []
    by_control: dict[str, dict[str, dict[str, Any]]] = {control.id: {} for control in catalogue.controls}
    for one in found:
        machine, judged = judge_machine(one, catalogue)
        machine["ecarts"] = findings(machine, judged)
        machines.append(machine)
        for name, result in judged.items():
            by_control[name][one.target.name] = result
    owned: dict[str, set[str]] = {}
    for one in found:
        for rule, names in owners_of(catalogue.controls, one.openscap).items():
            for name in names:
                owned.setdefault(name, set()).add(rule)
    controls = []
    for control in sorted(catalogue.controls, key=lambda item: number(item.id)):
        results = by_control[control.id]
        controls.append(
            {
                "id": control.id,
                "niveau": control.niveau,
                "titre": control.titre,
                "demande": control.demande,
                "statut": control.statut,
                "motif": control.motif or "",
                "variable": control.variable or "",
                "attestation": control.attestation or "",
                "essais": list(control.tests),
                "oscap": sorted(owned.get(control.id, ())),
                "verdict": worst(result["verdict"] for result in results.values()),
                "machines": results,
            }
        )
    return {
        "machines": machines,
        "controles": controls,
        "communes": _group_results(
            machines, lambda machine: (machine["commune"] or {}).get("nom") or "Serveurs centraux"
        ),
        "profils": _group_results(machines, lambda machine: machine["profil"]),
        "verdict": _overall_results(machines, controls),
    }


def _group_results(machines: Sequence[Mapping[str, Any]], name_of: Any) -> list[dict[str, Any]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for machine in machines:
        groups.setdefault(name_of(machine), []).append(machine)
    return [
        {
            "nom": name,
            "machines": len(members),
            "auditees": sum(member["etat"] == "auditee" for member in members),
            "niveaux": sorted({member["niveau"] for member in members}, key=LEVELS.index),
            "verdicts": {verdict: sum(member["verdicts"][verdict] for member in members) for verdict in VERDICTS},
            "openscap": {
                result: sum((member["openscap"] or {"comptes": {}})["comptes"].get(result, 0) for member in members)
                for result in ("pass", "fail", "notapplicable")
            },
            "openscap_non_deroges": sum(
                (member["openscap"] or {"non_deroges": 0})["non_deroges"] for member in members
            ),
            "securite": sum(len((member["correctifs"] or {"securite": []})["securite"]) for member in members),
            "en_derive": sum(bool(member["derive"]) for member in members),
            "ecarts": sum(member["ecarts"] for member in members),
        }
        for name, members in sorted(groups.items())
    ]


def _overall_results(machines: Sequence[Mapping[str, Any]], controls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = {
        verdict: sum(control["verdict"] == verdict and bool(control["machines"]) for control in controls)
        for verdict in VERDICTS
    }
    absent = [
        machine["nom"]
        for machine in machines
        if machine["etat"] in UNSEEN or (machine["poste"] or {}).get("etat") in UNHEARD
    ]
    gaps = sum(machine["ecarts"] for machine in machines)
    return {
        "conforme": not absent and not gaps,
        "ecarts": gaps,
        "machines_non_auditees": absent,
        "controles": counts,
    }


_RANK = {verdict: rank for rank, verdict in enumerate(VERDICTS)}


def trend(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, Any] | None:
    """Compare with an earlier audit, on the machines and controls that both looked at.

    Returns:
        None without an earlier audit.
    """
    if before is None:
        return None

    def verdicts(results: Mapping[str, Any]) -> dict[tuple[str, str], str]:
        return {
            (control["id"], host): result["verdict"]
            for control in results["controles"]
            for host, result in control["machines"].items()
        }

    old, new = verdicts(before), verdicts(after)
    changes: dict[str, list[dict[str, str]]] = {"ameliores": [], "regresses": []}
    unlike = 0
    for key in sorted(old.keys() & new.keys(), key=lambda key: (number(key[0]), key[1])):
        if old[key] == new[key]:
            continue
        if {old[key], new[key]} & {
            NON_VERIFIE,
            SANS_OBJET,
        }:  # what was not looked at has neither improved nor regressed
            unlike += 1
            continue
        side = "ameliores" if _RANK[new[key]] > _RANK[old[key]] else "regresses"
        changes[side].append({"controle": key[0], "machine": key[1], "avant": old[key], "apres": new[key]})
    seen = [{machine["nom"] for machine in results["machines"]} for results in (before, after)]
    return {
        "precedent": before["audit"],
        "date": before["fin"],
        **changes,
        "non_compares": unlike,
        "machines_nouvelles": sorted(seen[1] - seen[0]),
        "machines_absentes": sorted(seen[0] - seen[1]),
        "ecarts": [before["verdict"]["ecarts"], after["verdict"]["ecarts"]],
    }


def waivers_used(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The waivers that this audit relied on, each with what it covers and where."""
    used: dict[tuple[str, str, str], dict[str, Any]] = {}

    def note(item: Mapping[str, str], object_: str, machine: str) -> None:
        key = (item["motif"], item["responsable"], item["fin"])
        entry = used.setdefault(
            key, {"motif": key[0], "responsable": key[1], "fin": key[2], "objets": set(), "machines": set()}
        )
        entry["objets"].add(object_)
        entry["machines"].add(machine)

    for control in results["controles"]:
        for host, result in control["machines"].items():
            for item in result["derogations"]:
                note(item, item["objet"], host)
    for machine in results["machines"]:
        for gap in (machine["openscap"] or {"ecarts": []})["ecarts"]:
            if gap["derogation"]:
                note(gap["derogation"], gap["regle"], machine["nom"])
        for name, one in (machine["poste"] or {"mesures": {}})["mesures"].items():
            if one["derogation"]:
                note(one["derogation"], f"poste_{name}", machine["nom"])
    return [
        entry | {"objets": sorted(entry["objets"]), "machines": sorted(entry["machines"])}
        for entry in sorted(used.values(), key=lambda entry: entry["fin"])
    ]
