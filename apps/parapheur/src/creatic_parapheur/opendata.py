"""Essential data of a dossier's contract: a rédacteur fills them in once it is signed, and takes the file that is
published; or says that the buyer's platform publishes them. What was said is in the dossier's history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from . import circuit, contracts, essential
from .configuration import current
from .models import CONTRACT, Dossier
from .procurement import KINDS
from .refusal import RefusedError

Typed = Mapping[str, Sequence[str]]
_MAX_CONTRACT_CHANGES = 50  # changes of a contract
_LENGTH = 2000  # of what is typed in a field


def element(dossier: Dossier) -> str:
    """Element of the national format of its kind of contract; "" for none, or while nobody said its kind."""
    return KINDS[dossier.contrat].data if dossier.contrat in KINDS else ""


def open_to(user: Any, dossier: Dossier) -> bool:
    """Whether somebody fills them in now."""
    signed = dossier.circuit == CONTRACT and dossier.etat not in contracts.UNSIGNED
    return signed and essential.has(element(dossier), dossier.montant) and circuit.may_deposit(user, dossier.commune)


def shown(user: Any, dossier: Dossier, typed: Typed | None = None) -> dict[str, Any]:
    """What the page shows of them: nothing of another circuit.

    Args:
        typed: what was just refused, of the form that C(geste) names.
    """
    if dossier.circuit != CONTRACT:
        return {}
    made, kind, kept = element(dossier), KINDS.get(dossier.contrat), dossier.essentielles
    said = "Dites d'abord la sorte du contrat."
    if kind:
        said = essential.asked(made, dossier.montant) if made else f"{kind.label} : {kind.instead}."
    told = {"dit": said, "plateforme": kept.get("plateforme", ""), "faites": "champs" in kept}
    if not open_to(user, dossier):
        return told
    fields, wish = kept.get("champs") or _propose_values(dossier), (typed or {}).get("geste", ())
    return told | {
        "avant": essential.due(made, fields),
        "champs": _build_form(essential.FIELDS[made], typed if typed and "donnees" in wish else fields),
        "modifications": len(kept.get("modifications", [])),
        "changements": _build_form(essential.CHANGES[made], typed if typed and "modification" in wish else {}),
    }


def _build_form(fields: Sequence[essential.Field], typed: Typed) -> list[dict[str, Any]]:
    return [
        {"champ": one, "valeurs": typed.get(one.name, []), "valeur": "".join(typed.get(one.name, [])[:1])}
        for one in fields
    ]


def _propose_values(dossier: Dossier) -> dict[str, list[str]]:
    """What is known before anything is typed."""
    commune = current().communes.get(dossier.commune)
    known = {
        "id": dossier.numero,
        "acheteur": commune.siret if commune else "",
        "autoriteConcedante": commune.siret if commune else "",
        "lieu": commune.insee if commune else "",
        "typeLieu": "Code commune" if commune and commune.insee else "",
        "technique": "Accord-cadre" if dossier.contrat == "accord_cadre" else "",
    }
    return {name: [value] for name, value in known.items() if value}


def keep(user: Any, dossier: Dossier, typed: Typed) -> Dossier:
    """Keep what was typed, whole and right; what was there before stays when it is not.

    Raises:
        Refused: with all that is to be corrected.
    """

    def change(held: Dossier) -> str:
        held.essentielles = {
            "champs": _typed_values(essential.FIELDS[element(held)], typed),
            "modifications": held.essentielles.get("modifications", []),
        }
        return "Données essentielles remplies"

    return _change_dossier(user, dossier, change)


def add_change(user: Any, dossier: Dossier, typed: Typed) -> Dossier:
    """Add what an avenant changed to the data of the contract.

    Raises:
        Refused: with all that is to be corrected.
    """

    def change(held: Dossier) -> str:
        there = held.essentielles.get("modifications", [])
        if "champs" not in held.essentielles:
            raise RefusedError("remplissez d'abord les données du contrat lui-même", 409)
        if len(there) >= _MAX_CONTRACT_CHANGES:
            raise RefusedError(f"ce contrat a déjà {_MAX_CONTRACT_CHANGES} modifications", 409)
        added = _typed_values(essential.CHANGES[element(held)], typed)
        held.essentielles = held.essentielles | {"modifications": [*there, added]}
        return f"Données essentielles : modification {len(there) + 1}"

    return _change_dossier(user, dossier, change)


def leave(user: Any, dossier: Dossier) -> Dossier:
    """Say that the buyer's platform publishes them. Raises Refused."""

    def change(held: Dossier) -> str:
        held.essentielles = {"plateforme": f"{circuit.name_of(user)}, {timezone.localdate():%d/%m/%Y}"}
        return "Données essentielles : publiées par la plateforme de l'acheteur"

    return _change_dossier(user, dossier, change)


def _typed_values(fields: Sequence[essential.Field], typed: Typed) -> dict[str, list[str]]:
    return {one.name: [text[:_LENGTH] for text in typed.get(one.name, ())] for one in fields if typed.get(one.name)}


def _change_dossier(user: Any, dossier: Dossier, change: Callable[[Dossier], str]) -> Dossier:
    with transaction.atomic():
        held = Dossier.objects.select_for_update(of=("self",)).get(pk=dossier.pk)
        if not open_to(user, held):
            raise RefusedError(
                "les données essentielles sont remplies par un rédacteur de la commune, pour un contrat signé qui en a",
                403,
            )
        said = change(held)
        if "champs" in held.essentielles:
            _build_record(held)
        held.save(update_fields=["essentielles"])
        circuit.note_beside(held, "Données", user, said)
        return held


def _build_record(dossier: Dossier) -> dict[str, Any]:
    """Raises Refused."""
    commune, kept = current().communes.get(dossier.commune), dossier.essentielles
    try:
        return essential.record(
            element(dossier),
            kept["champs"],
            about=dossier.objet,
            value=dossier.montant,
            siren=commune.siren if commune else "",
            changes=kept.get("modifications", []),
        )
    except ValueError as error:
        raise RefusedError(str(error)) from None


def file(dossier: Dossier) -> tuple[str, str]:
    """Name and text of the file that is published.

    Raises:
        Refused: there is none, or what was kept no longer makes one.
    """
    if "champs" not in dossier.essentielles or not element(dossier):
        raise RefusedError("les données essentielles de ce contrat ne sont pas remplies", 404)
    made = _build_record(dossier)
    buyer = made.get("acheteur") or made["autoriteConcedante"]
    name = f"decp-{buyer['id']}-{made['id']}.json".replace("/", "_")
    return name, essential.document(element(dossier), made)
