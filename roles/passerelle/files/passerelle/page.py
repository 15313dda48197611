"""The page: where each act is in the chain."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from .acts import ARRETES, goes
from .config import Commune, Config
from .steps import FINISHED, PES, STAGES, STEPS, Step, place
from .store import Act, Store

_PARIS = ZoneInfo("Europe/Paris")


def _stage(config: Config, act: Act, steps: tuple[Step, ...]) -> str:
    """fait, ici, bloque, avenir or sans (the commune lacks the service, or the act has no such step)."""
    if not steps[0].concerns(config, act.commune, act.data.get("circuit", ""), goes(act.data)):
        return "sans"
    if place(act.step) > place(steps[-1].name):
        return "fait"
    if place(act.step) < place(steps[0].name):
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
        step = STEPS[place(act.step)]
        state, text = "ici", (act.data.get("circuit") == PES and step.flow) or step.text
    return {
        "reference": act.reference, "commune": commune.name if commune else act.commune,
        "numero": act.data.get("numero", ""), "objet": act.data.get("objet", ""), "etat": state, "texte": text,
        "retard": act.late, "depuis": _when(act.changed), "id_acte": act.tdt.get("id_acte", ""),
        "nature": ARRETES.get(str(act.data.get("nature")), ("", "", ""))[2], "reste": not goes(act.data),
        "publier": act.step == "publication" and not act.blocked,
        "recu": act.tdt.get("date_reception", ""),
        "etapes": [_stage(config, act, steps) for _title, steps in STAGES],
    }  # fmt: skip # a table


def content(config: Config, store: Store, commune: Commune | None) -> dict[str, Any]:
    """What the page shows: a commune's acts, or everybody's."""
    rows = [_row(config, act) for act in store.shown([commune.slug] if commune else None)]
    waiting = [one for one in rows if one["etat"] in ("bloque", "refus")]
    return {
        "commune": commune.name if commune else "",
        "titres": [title for title, _steps in STAGES],
        "a_revoir": waiting,
        "actes": rows,
        "maintenant": _when(datetime.now(_PARIS)),
        "finis": sum(one["etat"] == "fait" for one in rows),
        "a_publier": sum(one["publier"] for one in rows),
        "en_chemin": sum(one["etat"] == "ici" for one in rows),
    }
