# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""French HTML pages of the evidence: self-contained, printable, everything escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible_collections.cdg59.creatic.plugins.module_utils import words
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from creatic.evidence import rollout as evidence
from creatic.evidence import seal as evidence_seal
from creatic.registry import wiring

_IMAGES = (".png", ".jpg", ".jpeg")
_ACT = ("idacte", "aracte_le", "numero", "transaction", "secondes")
_MEASURE_LABELS = {
    "idacte": "Identifiant de l'acte (IDActe)",
    "aracte_le": "ARActe reçu",
    "numero": "Numéro de l'acte",
    "transaction": "Transaction au TdT",
    "secondes": "Délai jusqu'à l'ARActe",
    "duree_s": "Durée",
    "duree_ms": "Durée",
    "http": "Réponse HTTP",
    "ecart_s": "Écart",
    "titre": "Titre de la page",
    "url": "Adresse",
}
# Words of the commune files → words of a French page.
_VALUE_WORDS = {
    "petite": "Petite",
    "moyenne": "Moyenne",
    "grande": "Grande",
    "intermediary": "intermédiaire",
    "enhanced": "renforcé",
    "high": "élevé",
    "teletransmission": "télétransmission",
    "deliberations": "délibérations",
    "ged": "GED",
}
_COMMUNE_SIZE_ROWS = ("petite", "moyenne", "grande")


def label(key: str) -> str:
    """A measure's name, readable: ``date_fin`` → « Date fin »."""
    text = _MEASURE_LABELS.get(key) or key.removesuffix("_s").replace("_", " ")
    return text[:1].upper() + text[1:]


def value(item: Any, key: str = "") -> str:
    """A measure's value as a French reader writes it."""
    if isinstance(item, bool):
        return "oui" if item else "non"
    if item is None or item == "":
        return "—"
    if isinstance(item, int | float):
        if key.endswith("_ms"):
            return f"{item:.0f} ms"
        if key.endswith("_s") or key == "secondes":
            return words.duration(item) if item >= 10 else f"{item:.1f}".replace(".", ",") + " s"
        return (f"{item:.2f}" if isinstance(item, float) else str(item)).replace(".", ",")
    if isinstance(item, Mapping):
        return ", ".join(f"{label(str(name))} : {value(part, str(name))}" for name, part in item.items())
    if isinstance(item, Iterable) and not isinstance(item, str):
        return ", ".join(value(part) for part in item)
    text = str(item)
    if len(text) >= 10 and text[4:5] == "-" and text[7:8] == "-":
        try:
            return (words.day if len(text) == 10 else words.day_and_hour)(text).removeprefix("le ")
        except (ValueError, OverflowError):
            return text
    return text


def _days_left(end: str, at: str) -> int:
    def moment(text: str) -> datetime:
        parsed = datetime.fromisoformat(text)
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)

    return (moment(end) - moment(at)).days


def _percent_of(part: int, whole: int) -> int:
    return round(100 * part / whole) if whole else 0


def typographic(item: Any) -> Any:
    """French typography of a shown text: curved apostrophes, and the space that keeps a colon with its word.

    What is already markup, or not a text, is left alone.
    """
    if not isinstance(item, str) or isinstance(item, Markup):
        return item
    curved = re.sub(r"(?<=\w)'(?=\w)", "’", item)
    return re.sub(r" (?=[:;!?»])|(?<=«) ", "\u00a0", curved)


def sentence(text: str) -> str:
    """The text with a capital, unless it begins with an address."""
    return text if "://" in text.partition(" ")[0] else text[:1].upper() + text[1:]


def _ordered_measures(measures: Mapping[str, Any]) -> dict[str, Any]:
    """Measures of the act, the ones that name it first."""
    return {key: measures[key] for key in (*_ACT, *measures) if key in measures}


ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    finalize=typographic,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters.update(
    label=label,
    value=value,
    day=words.day,
    date=lambda text: datetime.fromisoformat(text).strftime("%d/%m/%Y"),
    day_and_hour=words.day_and_hour,
    duration=words.duration,
    size=words.size,
    percent=_percent_of,
    path=lambda text: quote(str(text)),
    sentence=sentence,
    ordered=_ordered_measures,
    word=lambda text: _VALUE_WORDS.get(str(text), str(text)),
)
ENVIRONMENT.globals.update(
    DIGESTS=evidence_seal.DIGESTS,
    SIGNATURE=evidence_seal.SIGNATURE,
    TIMESTAMP=evidence_seal.TIMESTAMP,
    SIGNER=evidence_seal.SIGNER,
    UNIT=evidence_seal.UNIT,
    WHO=evidence_seal.WHO,
    PROFILES=evidence.PROFILES,
    REQUIRED=wiring.REQUIRED,
    PHASES=evidence.PHASES,
)


def verdict(report: Mapping[str, Any]) -> tuple[str, str, str]:
    """Tone, title and sentence of a commune's evidence."""
    if report["prete"]:
        return (
            "ok",
            "Prête à télétransmettre",
            "Équipée, et chaque preuve demandée a été faite dans ce passage, sur ses machines et sur les serveurs.",
        )
    if report["equipee"]:
        return (
            "attention",
            "Équipée, pas encore prête",
            "Le déploiement est complet ; une preuve ou une formalité manque au moins.",
        )
    if not report["complet"] and all(host["etat"] in ("non_vise", "deploye") for host in report["hotes"]):
        return (
            "partiel",
            "Vérification partielle",
            "Ce passage n'a visé qu'une partie de la commune, et n'affirme rien du reste.",
        )
    return "echec", "Pas encore équipée", "Le déploiement n'a pas abouti sur tous les hôtes de la commune."


def commune_page(report: Mapping[str, Any]) -> str:
    """Page of one commune, from the content of its ``preuve.json``."""
    hosts, services = report["hotes"], report.get("services", [])
    tone, title, sentence = verdict(report)
    proofs = [(host, proof) for host in hosts for proof in host["preuves"]]
    asked = [(host, key) for host in hosts for key in wiring.REQUIRED.get(host["profil"], {})]
    done = {(host["nom"], proof["cle"]) for host, proof in proofs if proof["verdict"] == "ok"}
    files = [(host, item) for host in hosts for item in host["fichiers"]]
    certificates = [
        {**item, "hote": host["nom"], "jours": _days_left(item["fin"], report["fin"])}
        for host in hosts
        for item in host["certificats"]
    ]
    return ENVIRONMENT.get_template("commune.html.j2").render(
        report=report,
        commune=report["commune"],
        hosts=hosts,
        tone=tone,
        title=title,
        sentence=sentence,
        services=services,
        deployed=sum(host["etat"] == "deploye" for host in hosts),
        asked=len(asked) + len(services),
        made=sum((host["nom"], key) in done for host, key in asked)
        + sum(service["etat"] == "prouve" for service in services),
        seconds=_run_seconds(report),
        acts=[(host, proof) for host, proof in proofs if proof["cle"] == "acte"],
        pictures=[(host, item) for host, item in files if item["chemin"].lower().endswith(_IMAGES)],
        papers=[(host, item) for host, item in files if not item["chemin"].lower().endswith(_IMAGES)],
        certificates=sorted(certificates, key=lambda item: item["jours"]),
    )


def _run_seconds(report: Mapping[str, Any]) -> float:
    span = datetime.fromisoformat(report["fin"]) - datetime.fromisoformat(report["debut"])
    return span.total_seconds()


def _group_communes(state: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for item in state.values():
        raw = item["commune"].get(key)
        group = groups.setdefault(
            str(raw), {"nom": raw if raw is not None else "—", "total": 0, "equipees": 0, "pretes": 0}
        )
        group["total"] += 1
        group["equipees"] += item["equipee"]
        group["pretes"] += item["prete"]
    order = list(_COMMUNE_SIZE_ROWS) if key == "taille" else sorted(groups, key=lambda name: (len(name), name))
    if key == "territoire":
        order = sorted(groups)
    return [groups[name] for name in order if name in groups]


def index_page(passage: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Page of all communes of the inventory, from the contents of ``passage.json`` and ``etat.json``."""
    rows = sorted(state.values(), key=lambda item: [str(item["commune"].get(key)) for key in ("territoire", "nom")])
    return ENVIRONMENT.get_template("index.html.j2").render(
        passage=passage,
        rows=rows,
        places={key: label for key, label in evidence.PLACES.items() if any(key in row["services"] for row in rows)},
        total=len(rows),
        equipped=sum(item["equipee"] for item in rows),
        ready=sum(item["prete"] for item in rows),
        never=sum(not item["hotes"] for item in rows),
        breakdowns=[
            ("Par territoire", "Territoire", _group_communes(state, "territoire")),
            ("Par taille", "Taille", _group_communes(state, "taille")),
            ("Par vague", "Vague", _group_communes(state, "vague")),
        ],
    )


def entry_page(run_id: str, pins: Mapping[str, str], title: str, page: str) -> str:
    """Entry of a folder of evidence: leads to a run's page, and notes the digests of its seal."""
    return ENVIRONMENT.get_template("entry.html.j2").render(run_id=run_id, pins=pins, title=title, page=page)
