"""The page: where each act is in the chain."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from .chain import ACTS_ALONE, PES, STEPS
from .config import Commune, Config
from .store import FINISHED, Act, Store

_PARIS = ZoneInfo("Europe/Paris")
# What people see of the steps, in order: title, steps, service that it needs.
STAGES = (
    ("Séance", ("reception",), ""),
    ("Parapheur", ("parapheur", "signature", "reprise"), "parapheur"),
    ("Transmission", ("teletransmission",), "teletransmission"),
    ("ARActe", ("aracte",), "teletransmission"),
    ("Publication", ("publication",), ""),
    ("GED", ("ged",), "ged"),
    ("Versement", ("versement",), "archivage"),
)
_WAITING = {
    "reception": "document à prendre", "parapheur": "à mettre au parapheur", "signature": "au parapheur, à signer",
    "reprise": "signé, à reprendre", "teletransmission": "attend le connecteur de la commune",
    "aracte": "transmis, attend l'ARActe", "publication": "à publier", "ged": "à classer",
    "versement": "attend le versement au SAE",
}  # fmt: skip


def _stage(config: Config, act: Act, steps: tuple[str, ...], service: str) -> str:
    """fait, ici, bloque, avenir or sans (the commune lacks the service, or the act has no such step)."""
    flow = act.data.get("circuit") == PES
    if (service and not config.has(act.commune, service)) or (flow and steps[0] in ACTS_ALONE):
        return "sans"
    here = len(STEPS) if act.step == FINISHED else STEPS.index(act.step)
    if here > STEPS.index(steps[-1]):
        return "fait"
    if here < STEPS.index(steps[0]):
        return "avenir"
    return "bloque" if act.blocked or act.track.get("refus") else "ici"


def _when(moment: datetime) -> str:
    return moment.astimezone(_PARIS).strftime("%d/%m/%Y à %H:%M")


def _row(config: Config, act: Act) -> dict[str, Any]:
    commune = config.communes.get(act.commune)
    refusal = act.track.get("refus") or {}
    if act.blocked:
        state, text = "bloque", act.blocked
    elif refusal and act.step == "signature":
        who = f" par {refusal['par']}" if refusal.get("par") else ""
        state, text = "refus", f"Refusé au parapheur{who} : {refusal.get('motif') or 'sans motif'}"
    elif act.step == FINISHED:
        state, text = "fait", "au bout de la chaîne"
    else:
        text = _WAITING[act.step]
        if act.data.get("circuit") == PES:
            text = text.replace("l'ARActe", "l'acquittement de la DGFiP")
        state = "ici"
    return {
        "reference": act.reference, "commune": commune.name if commune else act.commune,
        "numero": act.data.get("numero", ""), "objet": act.data.get("objet", ""), "etat": state, "texte": text,
        "retard": act.late, "depuis": _when(act.changed), "id_acte": act.tdt.get("id_acte", ""),
        "recu": act.tdt.get("date_reception", ""),
        "etapes": [_stage(config, act, steps, service) for _title, steps, service in STAGES],
    }  # fmt: skip


def content(config: Config, store: Store, commune: Commune | None) -> dict[str, Any]:
    """What the page shows: a commune's acts, or everybody's."""
    rows = [_row(config, act) for act in store.shown([commune.slug] if commune else None)]
    waiting = [one for one in rows if one["etat"] in ("bloque", "refus")]
    return {
        "commune": commune.name if commune else "", "titres": [title for title, _steps, _service in STAGES],
        "a_revoir": waiting, "actes": rows, "maintenant": _when(datetime.now(_PARIS)),
        "finis": sum(one["etat"] == "fait" for one in rows), "en_chemin": sum(one["etat"] == "ici" for one in rows),
    }  # fmt: skip
