# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What is asked of audits that are sealed: one machine, one commune, one level, one control over the whole fleet."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from creatic.audit.controls import LEVELS
from creatic.audit.releves import lapse
from creatic.audit.sources import CONFORME, DEROGATION, NON_CONFORME, VERDICT_WORDS, AuditError
from creatic.audit.verdict import STATES, number

CENTRAL = "Serveurs centraux"


@dataclass(frozen=True)
class Question:
    """What is asked; what is empty asks for all.

    Attributes:
        machine: its name.
        commune: its short name, or its name.
        level: level of ANSSI-BP-028.
        control: like ``R33``.
    """

    machine: str = ""
    commune: str = ""
    level: str = ""
    control: str = ""


def commune_of(machine: Mapping[str, Any]) -> str:
    """Name of the commune of a machine."""
    return str((machine["commune"] or {}).get("nom") or CENTRAL)


def describe_sighting(machine: Mapping[str, Any]) -> str:
    """How, and how long before its audit, a machine was looked at."""
    releve = machine.get("releve")
    if not releve:
        return "vue d'ici" if machine["etat"] == "auditee" else "—"
    return f"relevé de {lapse(dt.timedelta(seconds=releve['age_s']))}"


def _require_known(wanted: str, known: Sequence[str], what: str) -> None:
    """Refuse a name that the audit has not.

    Raises:
        AuditError: with those that are like it.
    """
    names = sorted(set(known))
    if wanted.casefold() in (name.casefold() for name in names):
        return
    near = difflib.get_close_matches(wanted, names, 3, 0.5) or names[:5]
    raise AuditError(f"{what} « {wanted} » n'est pas dans cet audit ; il a par exemple : {', '.join(near)}")


def _machine_communes(machine: Mapping[str, Any]) -> list[str]:
    return [commune_of(machine), *filter(None, [str((machine["commune"] or {}).get("slug") or "")])]


def machines(results: Mapping[str, Any], question: Question) -> list[Mapping[str, Any]]:
    """Machines of an audit that are asked for.

    Raises:
        AuditError: what is asked names nothing of it.
    """
    every: list[Mapping[str, Any]] = results["machines"]
    if question.machine:
        _require_known(question.machine, [one["nom"] for one in every], "la machine")
    if question.commune:
        _require_known(question.commune, [name for one in every for name in _machine_communes(one)], "la commune")
    if question.level:
        _require_known(question.level, LEVELS, "le niveau")
    commune = question.commune.casefold()
    return [
        one
        for one in every
        if question.machine in ("", one["nom"])
        and (not commune or commune in (name.casefold() for name in _machine_communes(one)))
        and question.level in ("", one["niveau"])
    ]


def _failed_proofs(result: Mapping[str, Any]) -> str:
    """What does not plainly pass, the first three."""
    told = [f"{proof['nom'].rpartition('::')[2]} ({proof['resultat']})" for proof in result["preuves"]]
    return ", ".join(told[:3]) + (f" et {len(told) - 3} autres" if len(told) > 3 else "")


def _machine_labels(machine: Mapping[str, Any]) -> list[str]:
    return [machine["nom"], commune_of(machine), machine["niveau"]]


def _machine_figures(machine: Mapping[str, Any]) -> list[str]:
    verdicts = machine["verdicts"]
    return [*(str(verdicts[name]) for name in (CONFORME, DEROGATION, NON_CONFORME)), str(machine["ecarts"])]


def answer(results: Mapping[str, Any], question: Question) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of what an audit says of what is asked: by machine; of one machine, by control.

    Raises:
        AuditError: what is asked names nothing of it.
    """
    wanted = machines(results, question)
    controls = {one["id"]: one for one in results["controles"]}
    if question.control:
        _require_known(question.control, list(controls), "le contrôle")
        judged = controls[question.control.upper()]["machines"]
        found = ((one, judged[one["nom"]]) for one in wanted if one["nom"] in judged)
        rows = [
            [*_machine_labels(one), VERDICT_WORDS[result["verdict"]], _failed_proofs(result), describe_sighting(one)]
            for one, result in found
        ]
        return ["Machine", "Commune", "Niveau", "Verdict", "Ce qui ne passe pas", "Constaté"], rows
    if question.machine:
        name = question.machine
        rows = [
            [
                one["id"],
                one["titre"],
                VERDICT_WORDS[one["machines"][name]["verdict"]],
                _failed_proofs(one["machines"][name]),
            ]
            for one in sorted(controls.values(), key=lambda one: number(one["id"]))
            if name in one["machines"]
        ]
        for measure in (results.get("postes") or {"mesures": ()})["mesures"]:
            if name in measure["machines"]:
                one = measure["machines"][name]
                rows.append(["poste", measure["titre"], VERDICT_WORDS[one["verdict"]], one["dit"]])
        return ["Contrôle", "Titre", "Verdict", "Ce qui ne passe pas"], rows
    rows = [
        [*_machine_labels(one), STATES[one["etat"]], *_machine_figures(one), describe_sighting(one)] for one in wanted
    ]
    return [
        *("Machine", "Commune", "Niveau", "État", "Conformes", "Dérogations", "Non conformes", "Écarts", "Constaté")
    ], rows
