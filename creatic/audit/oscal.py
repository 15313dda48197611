# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Results of an audit as an OSCAL assessment-results document (NIST OSCAL 1.2), built and checked by trestle."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from creatic.audit.sources import (
    A_ATTESTER,
    CONFORME,
    DEROGATION,
    NON_CONFORME,
    SANS_OBJET,
    VERDICT_WORDS,
)

_SPACE = uuid.UUID("5f0a1a5e-59bb-4c39-9a53-6b7b4d7f5959")
_OSCAL_NAMESPACE = "https://www.cdg59.fr/ns/creatic"
_REASONS = {CONFORME: "pass", NON_CONFORME: "fail"}


def _stable_uuid(*parts: str) -> str:
    """The same UUID for the same thing of the same audit."""
    return str(uuid.uuid5(_SPACE, "/".join(parts)))


def _utc_moment(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat()


def _build_observation(
    audit: str, control: Mapping[str, Any], host: str, result: Mapping[str, Any], at: str
) -> dict[str, Any]:
    details = [f"{proof['nom']} : {proof['resultat']} {proof['detail']}".strip() for proof in result["preuves"]]
    return {
        "uuid": _stable_uuid(audit, "observation", control["id"], host),
        "title": f"{control['id']} sur {host}",
        "description": f"{VERDICT_WORDS[result['verdict']]} ; {result['reussis']} vérifications réussies.",
        "props": [{"name": "verdict", "value": result["verdict"], "ns": _OSCAL_NAMESPACE}],
        "methods": ["TEST"] if control["statut"] == "automatise" else ["INTERVIEW"],
        "subjects": [{"subject-uuid": _stable_uuid(audit, "machine", host), "type": "inventory-item"}],
        "collected": at,
        **({"remarks": "\n".join(details)} if details else {}),
    }


def _build_risk(audit: str, control: Mapping[str, Any], waivers: list[Mapping[str, str]]) -> dict[str, Any]:
    first = waivers[0]
    end = min(item["fin"] for item in waivers)
    return {
        "uuid": _stable_uuid(audit, "risk", control["id"]),
        "title": f"Dérogation à {control['id']}",
        "description": " ".join(dict.fromkeys(f"{item['objet']} : {item['motif']}" for item in waivers)),
        "statement": f"Accordée par {first['responsable']} jusqu'au {end}.",
        "status": "deviation-approved",
        "deadline": f"{end}T23:59:59+00:00",
    }


def _build_finding(
    audit: str, control: Mapping[str, Any], observations: list[dict[str, Any]], risk: Mapping[str, Any] | None
) -> dict[str, Any]:
    verdict = control["verdict"]
    words = VERDICT_WORDS[verdict]
    status = {
        "state": "satisfied" if verdict == CONFORME else "not-satisfied",
        "reason": _REASONS.get(verdict, "other"),
    }
    if verdict in (A_ATTESTER, DEROGATION):
        status["remarks"] = control["attestation"] or control["motif"] or words
    return {
        "uuid": _stable_uuid(audit, "finding", control["id"]),
        "title": f"{control['id']} {control['titre']}",
        "description": control["demande"] or control["titre"],
        "target": {"type": "objective-id", "target-id": control["id"].lower(), "title": words, "status": status},
        "related-observations": [{"observation-uuid": one["uuid"]} for one in observations],
        **({"related-risks": [{"risk-uuid": risk["uuid"]}]} if risk else {}),
    }


def _build_component(audit: str, machine: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "uuid": _stable_uuid(audit, "machine", machine["nom"]),
        "description": f"{machine['nom']}, profil {machine['profil']}",
        "props": [
            {"name": name, "value": machine[name], "ns": _OSCAL_NAMESPACE} for name in ("profil", "niveau", "etat")
        ],
    }


def _build_result(results: Mapping[str, Any]) -> dict[str, Any]:
    """What was judged, and how."""
    audit, end = results["audit"], _utc_moment(results["fin"])
    observations, findings, risks, reviewed = [], [], [], []
    for control in results["controles"]:
        if not control["machines"]:
            continue
        reviewed.append({"control-id": control["id"].lower()})
        if control["verdict"] == SANS_OBJET:
            continue
        mine = [_build_observation(audit, control, host, one, end) for host, one in control["machines"].items()]
        observations += mine
        waivers = [item for one in control["machines"].values() for item in one["derogations"]]
        risk = _build_risk(audit, control, waivers) if waivers else None
        risks += [risk] if risk else []
        findings.append(_build_finding(audit, control, mine, risk))
    selection: dict[str, Any] = {"include-controls": reviewed} if reviewed else {"include-all": {}}
    found = {"observations": observations, "risks": risks, "findings": findings}
    return {
        "uuid": _stable_uuid(audit, "result"),
        "title": f"Audit {audit}",
        "description": f"Périmètre : {results['perimetre']}.",
        "start": _utc_moment(results["debut"]),
        "end": end,
        "local-definitions": {"inventory-items": [_build_component(audit, machine) for machine in results["machines"]]},
        "reviewed-controls": {"control-selections": [selection]},
        **{name: content for name, content in found.items() if content},
    }


def assessment_results(results: Mapping[str, Any]) -> str:
    """Write the document, as JSON.

    Args:
        results: content of ``resultats.json``.

    Raises:
        ValueError: the document is not what OSCAL's schema asks for (a defect of this program).
    """
    from trestle.oscal import OSCAL_VERSION
    from trestle.oscal.assessment_results import AssessmentResults

    audit = results["audit"]
    plan = _stable_uuid(audit, "plan")
    catalogue = [f"catalogue/{name}" for name in results["catalogue"]] or ["resultats.json"]
    document: dict[str, Any] = {
        "uuid": _stable_uuid(audit, "document"),
        "metadata": {
            "title": f"Audit {audit} : ANSSI-BP-028 v2",
            "last-modified": _utc_moment(results["fin"]),
            "version": audit,
            "oscal-version": OSCAL_VERSION,
            "props": [{"name": "operateur", "value": results["operateur"], "ns": _OSCAL_NAMESPACE}],
        },
        "import-ap": {"href": f"#{plan}"},
        "results": [_build_result(results)],
        "back-matter": {
            "resources": [
                {
                    "uuid": plan,
                    "title": "Catalogue des contrôles de cet audit",
                    "rlinks": [{"href": path} for path in catalogue],
                }
            ]
        },
    }
    return str(AssessmentResults(**document).oscal_serialize_json(pretty=True))
