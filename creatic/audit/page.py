# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The report of an audit: one self-contained French HTML page, and the same as a PDF."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import words
from markupsafe import Markup, escape

from creatic.audit import postes
from creatic.audit.controls import LEVELS
from creatic.audit.releves import lapse
from creatic.audit.sources import (
    A_ATTESTER,
    CONFORME,
    DEROGATION,
    NON_CONFORME,
    NON_VERIFIE,
    PHASES,
    SANS_OBJET,
    VERDICT_WORDS,
    VERDICTS,
)
from creatic.audit.verdict import STATES, UNHEARD
from creatic.evidence import page as evidence_page

_VERDICT_MARKS = {NON_CONFORME: "✗", NON_VERIFIE: "?", A_ATTESTER: "✎", DEROGATION: "!", CONFORME: "✓", SANS_OBJET: "–"}
_LEVEL_WORDS = {"minimal": "minimal", "intermediary": "intermédiaire", "enhanced": "renforcé", "high": "élevé"}
_STATUS_WORDS = {
    "automatise": "vérifié par des essais",
    "manuel": "attesté par une personne",
    "sans_objet": "sans objet",
}
_RESULT_WORDS = {
    "echec": "échec",
    "ignore": "non exécuté",
    "perdu": "machine perdue",
    "erreur": "erreur",
    "absent": "absent",
}
_SEVERITY_WORDS = {"high": "élevée", "medium": "moyenne", "low": "faible", "unknown": "—", "info": "information"}


def _first_names(names: Iterable[Any], limit: int = 4) -> str:
    """« a, b, c et 12 autres »."""
    items = [str(name) for name in names]
    if len(items) <= limit + 1:
        return ", ".join(items)
    return f"{', '.join(items[:limit])} et {len(items) - limit} autres"


def _verdict_share(part: int, verdicts: Mapping[str, int]) -> str:
    return f"{100 * part / (sum(verdicts.values()) or 1):.2f}"


def _listening_ports(sockets: Iterable[Mapping[str, Any]]) -> list[str]:
    """Listening ports, those of the machine's own loop left out."""
    found = {}
    for one in sockets:
        if not one["adresse"].startswith(("127.", "[::1]")):
            found[one["protocole"], one["port"]] = one["programme"]
    return [f"{protocol} {port}" + (f" ({program})" if program else "") for (protocol, port), program in found.items()]


def _format_seconds(value: float) -> str:
    return f"{value:.1f}".replace(".", ",") + " s" if value < 60 else words.duration(value)


def _escape_literal(text: str) -> Markup:
    return Markup(str(escape(text)))  # noqa: S704 - escaped; kept from the typographic pass


evidence_page.ENVIRONMENT.filters.update(
    few=_first_names,
    share=_verdict_share,
    ports=_listening_ports,
    seconds=_format_seconds,
    lapse=lambda seconds: lapse(timedelta(seconds=seconds)),
    literal=_escape_literal,
    day_only=lambda text: words.day(text).removeprefix("le "),
    short_test=lambda name: str(name).rpartition("/")[2],
)


def _control_groups(control: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Machines of a control for which the same was found, together; the worst first."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for host, result in sorted(control["machines"].items()):
        proofs = [
            proof | {"nom": proof["nom"].replace(f"[{host}]", "").replace(f"[{host}-", "[")}
            for proof in result["preuves"]
        ]
        waivers: dict[tuple[str, str, str], list[str]] = {}
        for item in result["derogations"]:
            waivers.setdefault((item["motif"], item["responsable"], item["fin"]), []).append(item["objet"])
        key = (
            result["verdict"],
            tuple((proof["nom"], proof["resultat"], proof["detail"]) for proof in proofs),
            tuple(sorted(waivers)),
        )
        group = groups.setdefault(
            key,
            {
                "verdict": result["verdict"],
                "machines": [],
                "preuves": proofs,
                "reussis": result["reussis"],
                "derogations": [
                    {"motif": motif, "responsable": owner, "fin": end, "objets": list(dict.fromkeys(names))}
                    for (motif, owner, end), names in sorted(waivers.items())
                ],
            },
        )
        group["machines"].append(host)
        group["reussis"] = min(group["reussis"], result["reussis"])
    return sorted(groups.values(), key=lambda group: VERDICTS.index(group["verdict"]))


def _measure_groups(measure: Mapping[str, Any]) -> list[dict[str, Any]]:
    """PCs of which a measure says the same, together; the worst first."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for name, one in sorted(measure["machines"].items()):
        group = groups.setdefault((one["verdict"], one["dit"]), {**one, "machines": []})
        group["machines"].append(name)
    return sorted(groups.values(), key=lambda group: VERDICTS.index(group["verdict"]))


def _remedies_by_cause(results: Mapping[str, Any], controls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What keeps the audit from being good, gathered by cause."""
    items = []
    covered = set()
    for control in controls:
        groups = [group for group in control["groupes"] if group["verdict"] == NON_CONFORME]
        hosts = [host for group in groups for host in group["machines"]]
        if not hosts:
            continue
        bad = [proof for group in groups for proof in group["preuves"] if proof["resultat"] == "echec"]
        covered |= {proof["nom"] for proof in bad}
        lines = [f"{proof['nom'].rpartition('::')[2]} : {proof['detail']}"[:220] for proof in bad]
        items.append(
            {
                "nom": control["id"],
                "titre": control["titre"],
                "ancre": control["id"],
                "machines": sorted(hosts),
                "constats": list(dict.fromkeys(lines)),
            }
        )
    for measure in (results.get("postes") or {"mesures": ()})["mesures"]:
        bad_pcs = {name: one for name, one in measure["machines"].items() if one["verdict"] == NON_CONFORME}
        if bad_pcs:
            items.append(
                {
                    "nom": measure["titre"],
                    "titre": "postes",
                    "ancre": "postes",
                    "machines": sorted(bad_pcs),
                    "constats": list(dict.fromkeys(one["dit"] for one in bad_pcs.values())),
                }
            )
    loose: dict[tuple[str, str, str], set[str]] = {}
    for machine in results["machines"]:
        for gap in (machine["openscap"] or {"ecarts": []})["ecarts"]:
            if gap["resultat"] == "fail" and not gap["derogation"] and gap["regle"] not in covered:
                loose.setdefault((gap["regle"], "règle OpenSCAP hors contrôle", gap["titre"]), set()).add(
                    machine["nom"]
                )
        for failure in machine["essais"]["echecs_du_profil"]:
            name = failure["nom"].partition("[")[0]
            loose.setdefault((name, "essai du profil", failure["detail"][:220]), set()).add(machine["nom"])
        if machine["derive"]:
            loose.setdefault(("Dérive", "un déploiement changerait cette machine", ""), set()).add(machine["nom"])
    for (name, title, detail), where in loose.items():
        anchor = "derive" if name == "Dérive" else ""
        lines = [detail] if detail else []
        items.append({"nom": name, "titre": title, "ancre": anchor, "machines": sorted(where), "constats": lines})
    return items


def _scap_gaps(machines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """OpenSCAP's failures, machines together; what is left to correct first."""
    gaps: dict[tuple[str, bool, str], dict[str, Any]] = {}
    for machine in machines:
        for gap in (machine["openscap"] or {"ecarts": []})["ecarts"]:
            key = (gap["regle"], bool(gap["derogation"]), gap["resultat"])
            gaps.setdefault(key, {**gap, "machines": []})["machines"].append(machine["nom"])
    return sorted(gaps.values(), key=lambda gap: (bool(gap["derogation"]), gap["resultat"] != "fail", gap["regle"]))


def _wanted_values(machines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Values asked for by failed rules, by rule."""
    found = {}
    for machine in machines:
        for gap in (machine["openscap"] or {"ecarts": []})["ecarts"]:
            if gap["valeurs"]:
                found[gap["regle"]] = ", ".join(f"{name} = {item}" for name, item in gap["valeurs"].items())
    return found


def _report_title(results: Mapping[str, Any]) -> tuple[str, str, str]:
    """Tone, title and sentence of the whole audit."""
    overall = results["verdict"]
    absent, counts = overall["machines_non_auditees"], overall["controles"]
    if overall["ecarts"]:
        what = words.count(overall["ecarts"], "écart")
        also = f" {words.count(len(absent), 'machine')} n'a pas pu être auditée." if len(absent) == 1 else ""
        also = f" {len(absent)} machines n'ont pas pu être auditées." if len(absent) > 1 else also
        return "echec", "Non conforme", f"{what} sans dérogation, à corriger ou à faire déroger.{also}"
    if absent:
        return "echec", "Audit incomplet", "Des machines n'ont pas pu être auditées ; aucun écart sur les autres."
    left = [
        f"{words.count(counts[verdict], 'contrôle')} {word}"
        for verdict, word in ((A_ATTESTER, "à attester"), (NON_VERIFIE, "sans vérification"))
        if counts[verdict]
    ]
    if left:
        return "attention", "Conforme, sous réserve", f"Aucun écart sans dérogation ; {' et '.join(left)}."
    return "ok", "Conforme", "Aucun écart sans dérogation."


MAX_PRINTED_MACHINES = 200
"""Machines of which a PDF has the tables: it takes a control node's memory, and nobody reads them on paper."""


def report(results: Mapping[str, Any], brief: bool = False) -> str:
    """The page, from the content of ``resultats.json``.

    Args:
        brief: without the tables that have a row for each machine.
    """
    machines = results["machines"]
    controls = [
        {**control, "groupes": _control_groups(control), "valeurs": _wanted_values(machines)}
        for control in results["controles"]
        if control["machines"]
    ]
    scanned = [machine["openscap"] for machine in machines if machine["openscap"]]
    patches = [machine["correctifs"] for machine in machines if machine["correctifs"]]
    tone, title, phrase = _report_title(results)
    names = {machine["commune"]["nom"] for machine in machines if machine["commune"]}
    central = any(not machine["commune"] for machine in machines)
    heading = f"Audit de {next(iter(names))}" if len(names) == 1 and not central else "Audit du groupement"
    span = datetime.fromisoformat(results["fin"]) - datetime.fromisoformat(results["debut"])
    return evidence_page.ENVIRONMENT.get_template("audit.html.j2").render(
        results=results,
        brief=brief,
        machines=machines,
        controls=controls,
        overall=results["verdict"],
        heading=heading,
        tone=tone,
        title=title,
        phrase=phrase,
        seconds=span.total_seconds(),
        levels=sorted({machine["niveau"] for machine in machines}, key=LEVELS.index),
        asked=sum(results["verdict"]["controles"].values()),
        audited=sum(machine["etat"] == "auditee" for machine in machines),
        lost=[machine for machine in machines if machine["etat"] not in ("auditee", "hors_portee")],
        pcs=[machine for machine in machines if machine.get("poste")],
        measures=[
            {**one, "groupes": _measure_groups(one)} for one in (results.get("postes") or {"mesures": ()})["mesures"]
        ],
        PC_STATES=postes.STATES,
        UNHEARD=UNHEARD,
        todo=_remedies_by_cause(results, controls),
        scap={
            "pass": sum(one["comptes"].get("pass", 0) for one in scanned),
            "fail": sum(one["comptes"].get("fail", 0) for one in scanned),
            "notapplicable": sum(one["comptes"].get("notapplicable", 0) for one in scanned),
            "open": sum(one["non_deroges"] for one in scanned),
        },
        scap_gaps=_scap_gaps(machines),
        security=sum(len(one["securite"]) for one in patches),
        upgrades=sum(len(one["a_mettre_a_jour"]) for one in patches),
        reboots=sum(one["redemarrage_requis"] for one in patches),
        drifted=sum(bool(machine["derive"]) for machine in machines),
        compared=sum(machine["derive"] is not None for machine in machines),
        drifts=[machine for machine in machines if machine["derive"]],
        attestations=[
            {
                **control,
                "concernees": [host for host, one in control["machines"].items() if one["verdict"] == A_ATTESTER],
            }
            for control in controls
            if any(one["verdict"] == A_ATTESTER for one in control["machines"].values())
        ],
        breakdowns=[
            ("Synthèse par commune", "Commune", results["communes"]),
            ("Synthèse par profil", "Profil", results["profils"]),
        ],
        VERDICTS=VERDICTS,
        BAR=(CONFORME, DEROGATION, A_ATTESTER, NON_CONFORME, NON_VERIFIE, SANS_OBJET),
        WORDS=VERDICT_WORDS,
        MARKS=_VERDICT_MARKS,
        STATES=STATES,
        PHASES=PHASES,
        LEVEL_WORDS=_LEVEL_WORDS,
        STATUS_WORDS=_STATUS_WORDS,
        RESULT_WORDS=_RESULT_WORDS,
        SEVERITY_WORDS=_SEVERITY_WORDS,
    )


def write_pdf(page: str, target: Path) -> None:
    """Draw the page as an A4 PDF; it refers to nothing outside of itself, and nothing is fetched."""
    import logging

    from weasyprint import HTML

    logging.getLogger("weasyprint").setLevel(logging.ERROR)  # it names each screen-only property it leaves out
    HTML(string=page, base_url=None).write_pdf(target, pdf_variant="pdf/ua-1", custom_metadata=True)
