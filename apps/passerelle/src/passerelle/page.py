"""The page: where each act is in the chain."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .acts import ARRETES
from .config import Commune, Config
from .executory import PARIS, Publicity, publicity, unpublished
from .steps import FINISHED, PES, STAGES, STEPS, Step, place
from .store import Store, Tracked

TO_DO_MAX = 200  # acts to make known, of a page


def _stage(config: Config, act: Tracked, steps: tuple[Step, ...], known: Publicity) -> str:
    """fait, ici, bloque, avenir or sans (the commune lacks the service, or the act has no such step).

    An act is published once somebody published it, wherever it is in the chain (CGCT, L2131-1).
    """
    if steps[0].name == "publication" and act.circuit != PES:
        last = known.lacks and place(act.step) >= place("publication")
        return "fait" if known.day else "ici" if last else "avenir"
    if not steps[0].concerns(config, act.commune, act.circuit, act.goes):
        return "sans"
    if place(act.step) > place(steps[-1].name):
        return "fait"
    if place(act.step) < place(steps[0].name):
        return "avenir"
    return "bloque" if act.blocked or act.track.get("refus") else "ici"


def _when(moment: datetime) -> str:
    return moment.astimezone(PARIS).strftime("%d/%m/%Y à %H:%M")


def _row(config: Config, act: Tracked) -> dict[str, Any]:
    commune = config.communes.get(act.commune)
    refusal, known = act.track.get("refus") or {}, publicity(act, config)
    done = f"{known.word} le {known.day:%d/%m/%Y}".capitalize() if known.day else ""
    if act.blocked:
        state, text = "bloque", act.blocked
    elif refusal and act.step == "signature":
        who = f" par {refusal['par']}" if refusal.get("par") else ""
        state, text = "refus", f"Refusé au parapheur{who} : {refusal.get('motif') or 'sans motif'}"
    elif act.step == FINISHED:
        state, text = ("ici", known.lacks) if known.lacks else ("fait", "au bout de la chaîne")
    else:
        step = STEPS[place(act.step)]
        state, text = "ici", (act.circuit == PES and step.flow) or step.text
    return {
        "reference": act.reference, "commune": commune.name if commune else act.commune,
        "numero": act.number, "objet": act.subject, "etat": state, "texte": text,
        "retard": act.late, "depuis": _when(act.changed), "id_acte": act.tdt.get("id_acte", ""),
        "nature": ARRETES.get(act.nature, ("", "", ""))[2], "reste": not act.goes,
        "a_faire": known.lacks, "en_retard": known.late(datetime.now(PARIS).date()),
        "recu": act.tdt.get("date_reception", ""),
        "etapes": [_stage(config, act, steps, known) for _title, steps in STAGES],
        "libelles": [(steps[0].name == "publication" and done) or title for title, steps in STAGES],
    }  # fmt: skip # a table


def content(config: Config, store: Store, commune: Commune | None) -> dict[str, Any]:
    """What the page shows: a commune's acts, or everybody's."""
    rows = [_row(config, act) for act in store.shown([commune.slug] if commune else None)]
    waiting = [one for one in rows if one["etat"] in ("bloque", "refus")]
    slugs = [commune.slug] if commune else None
    to_do = unpublished(store, config, slugs)
    return {
        "commune": commune.name if commune else "",
        "a_revoir": waiting,
        "a_faire_connaitre": [_row(config, act) for act in to_do[:TO_DO_MAX]],
        "actes": rows,
        "maintenant": _when(datetime.now(PARIS)),
        "finis": sum(one["etat"] == "fait" for one in rows),
        "a_publier": len(to_do),
        "en_chemin": sum(one["etat"] == "ici" for one in rows),
    }
