# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The circuits of signature as the communes ask for them: what mayan_config makes, and what the application follows.

A circuit is the list of its steps. Communes whose circuits have the same steps share a workflow of Mayan: it tells what
may come after what. Who may act is told by the commune's file alone, and checked by the application.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.applications import labels

from creatic.registry import entities
from creatic.registry.checked_yaml import Problem, ProblemsError

SERVICE = "passerelle"
"""Account of the gateway that brings documents and takes them away."""
CIRCUITS = {
    "deliberation": "Délibération",
    "arrete": "Arrêté",
    "pes": "Flux comptable (PES)",
    "marche": "Marché public",
}
STATES = {
    "a_controler": "À contrôler",
    "a_viser": "À viser",
    "a_signer": "À signer",
    "a_teletransmettre": "À télétransmettre",
    "teletransmis": "Télétransmis",
    "acquitte": "Acquitté",
    "refuse": "Refusé",
    "en_erreur": "En erreur",
    "clos": "Signé et clos",
}
# How a step is passed; `STATES` gives their order.
_STEPS = {"a_controler": ("Contrôler", "contrôle"), "a_viser": ("Viser", "visa"), "a_signer": ("Signer", "signature")}
_COMPLETION = {"a_controler": 10, "a_viser": 20, "a_signer": 40, "a_teletransmettre": 60, "teletransmis": 80,
               "acquitte": 100, "refuse": 0, "en_erreur": 60, "clos": 100}  # fmt: skip # a table
_REASON = {"name": "motif", "label": "Motif", "field_type": 1, "required": True, "widget": 1}
# What everybody in the circuits of a commune may do with its documents. Acting goes by the application's own pages.
ON_TYPE = (
    "document_downloads.document_file_download",
    "documents.document_file_view",
    "documents.document_version_view",
    "documents.document_view",
    "documents_types.document_type_view",
)


class ParapheurError(ProblemsError, cause="parapheur"):
    """What is asked for is refused; `problems` is all there is to correct."""

    heading = "Parapheur : rien n'est changé. {count} :"


def _check_communes(communes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    problems = [
        Problem(
            f"communes/{one['slug']}.yml",
            None,
            "parapheur",
            "champ obligatoire absent : la commune a le service parapheur",
            "écrivez redacteurs et maire, en retrait sous parapheur:, ou retirez parapheur des services",
        )
        for one in communes
        if "parapheur" not in one
    ]
    if problems:
        raise ParapheurError(problems)
    return sorted(communes, key=lambda one: str(one["slug"]))


def _circuit_steps(commune: Mapping[str, Any], circuit: str) -> dict[str, dict[str, Any]]:
    """Steps of a circuit and who passes each, in order."""
    asked = commune["parapheur"]
    wanted = {
        "a_controler": asked.get("controles", {}).get(circuit),
        "a_viser": asked.get("dgs"),
        "a_signer": asked["maire"],
    }
    return {
        state: {"titulaire": role["titulaire"], "suppleants": list(role.get("suppleants", []))}
        for state, role in wanted.items()
        if role
    }


def _parapheur_logins(commune: Mapping[str, Any]) -> list[str]:
    asked = commune["parapheur"]
    found = {*asked["redacteurs"], *asked.get("delegataires", [])}
    for circuit in CIRCUITS:
        for role in _circuit_steps(commune, circuit).values():
            found |= {role["titulaire"], *role["suppleants"]}
    return sorted(found)


def _workflow_name(steps: Sequence[str]) -> str:
    return "circuit_" + "_".join(step.removeprefix("a_") for step in steps)


def _type_label(commune: Mapping[str, Any], circuit: str) -> str:
    return labels.own(commune, CIRCUITS[circuit])


def configuration(communes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is wanted of Mayan, as `mayan_config` takes it.

    Args:
        communes: the variables `creatic_commune` of the communes served.

    Raises:
        ParapheurError: a commune does not tell its circuits.
    """
    wanted: dict[str, Any] = {
        "users": [
            {"username": SERVICE, "first_name": "Passerelle", "last_name": "du groupement", "email": "", "commune": ""}
        ],
        "groups": {},
        "roles": {},
        "metadata_types": [],
        "document_types": [],
        "cabinets": [],
        "indexes": [],
        "workflows": [],
        "acls": [],
        "former": {},
    }
    workflows: dict[str, dict[str, Any]] = {}
    for commune in _check_communes(communes):
        name, people = labels.own(commune), _parapheur_logins(commune)
        there = {
            (one["username"], one["commune"]) for one in wanted["users"]
        }  # of the commune, for one who signs for its CCAS too
        wanted["users"] += [
            {
                "username": one["identifiant"],
                "first_name": one["prenom"],
                "last_name": one["nom"],
                "email": one["courriel"],
                "commune": entities.home(commune),
            }
            for one in commune["comptes"]
            if one["identifiant"] in people and (one["identifiant"], entities.home(commune)) not in there
        ]
        wanted["groups"][name] = people
        wanted["roles"][name] = [name]
        for circuit in CIRCUITS:
            label, steps = _type_label(commune, circuit), list(_circuit_steps(commune, circuit))
            wanted["document_types"].append(
                {
                    "label": label,
                    "trash_time_period": None,
                    "trash_time_unit": None,
                    "delete_time_period": None,
                    "delete_time_unit": None,
                    "metadata": {},
                }
            )
            wanted["acls"].append({"kind": "document_type", "key": label, "roles": {name: sorted(ON_TYPE)}})
            workflow = workflows.setdefault(_workflow_name(steps), _workflow_definition(steps))
            workflow["document_types"].append(label)
        labels.note(wanted, "group", commune, [""])
        labels.note(wanted, "role", commune, [""])
        labels.note(wanted, "document_type", commune, CIRCUITS.values())
    wanted["workflows"] = [workflows[name] for name in sorted(workflows)]
    # Nobody moves a document by Mayan's own pages.
    wanted["acls"] += [{"kind": "workflow", "key": name, "roles": {}} for name in sorted(workflows)]
    return wanted


def _workflow_definition(steps: Sequence[str]) -> dict[str, Any]:
    """A workflow of Mayan: what may come after what."""
    transitions: list[dict[str, Any]] = []

    def may(label: str, origin: str, destination: str, *, reason: bool = False) -> None:
        fields = [_REASON] if reason else []
        transitions.append(
            {"label": label, "origin": STATES[origin], "destination": STATES[destination], "fields": fields}
        )

    for step, after in zip(steps, [*steps[1:], "a_teletransmettre"], strict=True):
        may(_STEPS[step][0], step, after)
        may("Refuser", step, "refuse", reason=True)
    may("Reprendre", "refuse", steps[0])
    may("Télétransmettre", "a_teletransmettre", "teletransmis")
    may("Acquitter", "teletransmis", "acquitte")
    for state in ("a_teletransmettre", "teletransmis"):
        may("Mettre en erreur", state, "en_erreur", reason=True)
    may("Télétransmettre", "en_erreur", "teletransmis")
    may("Clore", "a_teletransmettre", "clos")
    passed = [state for state in STATES if state not in _STEPS or state in steps]
    return {
        "internal_name": _workflow_name(steps),
        "label": f"Circuit : {', '.join(_STEPS[step][1] for step in steps)}",
        "document_types": [],
        "states": [
            {
                "label": STATES[state],
                "initial": state == steps[0],
                "final": state == "acquitte",
                "completion": _COMPLETION[state],
            }
            for state in passed
        ],
        "transitions": transitions,
    }


def application(communes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the application follows (creatic_parapheur, in Mayan): who passes each step, under which name. Arguments:
    `configuration`.
    """
    return {
        "service": SERVICE,
        "etats": STATES,
        "circuits": CIRCUITS,
        "communes": {
            commune["slug"]: {
                "nom": commune["nom"],
                "siren": commune["siren"],
                **{
                    key: commune[key]
                    for key in ("qualite", "siren_commune", "code_postal", "siret", "insee")
                    if key in commune
                },
                "personnes": {
                    one["identifiant"]: f"{one['prenom']} {one['nom']}"
                    for one in commune["comptes"]
                    if one["identifiant"] in _parapheur_logins(commune)
                },
                "redacteurs": list(commune["parapheur"]["redacteurs"]),
                "delegataires": list(commune["parapheur"].get("delegataires", [])),
                "circuits": {
                    circuit: {
                        "type": _type_label(commune, circuit),
                        "modele": _workflow_name(list(_circuit_steps(commune, circuit))),
                        "etapes": _circuit_steps(commune, circuit),
                    }
                    for circuit in CIRCUITS
                },
            }
            for commune in _check_communes(communes)
        },
    }
