# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a commune settles with others before it may transmit: dates and documents, in its file (``formalites``).

No machine can prove them; without them the préfecture or the treasurer may refuse what a commune sends. The documents
are in the folder formalites/ of the inventory; the evidence keeps their digests.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from creatic.registry.checked_yaml import Problem, quote

FOLDER = "formalites"
"""Folder of the documents, beside communes/."""


@dataclass(frozen=True)
class Formality:
    """A formality of télétransmission.

    Attributes:
        label: name to show (French).
        source: text that asks for it.
    """

    label: str
    source: str


TRANSMISSION = {
    "deliberation": Formality("Délibération qui autorise la télétransmission", "CGCT, R2131-3"),
    "convention_prefet": Formality("Convention avec le préfet", "CGCT, R2131-3"),
    "compte_tdt": Formality("Compte chez le tiers de télétransmission, certificat enregistré", "CGCT, R2131-1"),
    "accord_dgfip": Formality("Accord de la DGFiP pour les flux comptables", "arrêté du 3 août 2011"),
}
RGS = Formality("Certificat RGS** du connecteur", "arrêté du 26 octobre 2005")


def judge(data: Mapping[str, Any], folder: Path, *, file: str, bench: bool) -> list[dict[str, Any]]:
    """Give each formality of a commune that transmits, with what is known of it.

    Args:
        data: the commune's file: services, formalites, connecteur.
        folder: the documents'.
        file: name of the commune's file, for messages.
        bench: a test bench settles nothing with anybody: only what its file says is shown.

    Returns:
        Lists of {cle, libelle, reference, etat (faite, sans_objet, manque), date, document, sha256, raison, remede}.
    """
    if "teletransmission" not in data["services"]:
        return []
    written = data.get("formalites", {})
    found = []
    for key, formality in TRANSMISSION.items():
        if key in written or not bench:
            found.append(_formality_state(key, formality, written.get(key), folder, file))
    if not bench:
        owned = "certificat" in data.get("connecteur", {})
        found.append(
            _formality_entry("certificat_rgs", RGS, "faite")
            if owned
            else _formality_entry(
                "certificat_rgs",
                RGS,
                "manque",
                raison="celui que le groupement émet ne vaut pas RGS** : la préfecture peut refuser ce qu'il envoie",
                remede=f"Écrire connecteur.certificat (fichier, secret) dans {file}, avec celui d'un prestataire.",
            )
        )
    return found


def _formality_state(key: str, formality: Formality, given: Any, folder: Path, file: str) -> dict[str, Any]:
    if not given:
        return _formality_entry(
            key,
            formality,
            "manque",
            raison=f"rien dans {file}",
            remede=f"Écrire formalites.{key} (date, document) dans {file}, le document dans {FOLDER}/.",
        )
    if is_to_come(given):
        told = f"la date {quote(given['date'])} est à venir"
        return _formality_entry(
            key, formality, "manque", raison=told, remede=f"La corriger dans {file} quand elle est faite."
        )
    if "sans_objet" in given:
        return _formality_entry(key, formality, "sans_objet", raison=given["sans_objet"])
    digest = _document_digest(folder / given["document"])
    return _formality_entry(
        key,
        formality,
        "faite" if digest else "manque",
        date=given["date"],
        document=given["document"],
        sha256=digest,
        raison="" if digest else f"{quote(given['document'])} n'est pas dans {FOLDER}/",
        remede="" if digest else f"Déposer ce document dans {FOLDER}/, ou corriger son nom dans {file}.",
    )


def is_to_come(given: Mapping[str, Any], today: dt.date | None = None) -> bool:
    """Whether a formality is not done yet, by the day that its commune's file gives."""
    today = today or dt.datetime.now(tz=dt.UTC).date()
    return "date" in given and dt.date.fromisoformat(given["date"]) > today


def _formality_entry(key: str, formality: Formality, state: str, **known: str) -> dict[str, Any]:
    empty = dict.fromkeys(("date", "document", "sha256", "raison", "remede"), "")
    return {"cle": key, "libelle": formality.label, "reference": formality.source, "etat": state, **empty, **known}


def problems(data: Mapping[str, Any], folder: Path, *, file: str, today: dt.date) -> Iterator[Problem]:
    """Give what is wrong of what a commune's file says of its formalities (what it does not say is told by `judge`)."""
    yield from _find_problems(data, "formalites", folder, file, today)
    for index, entity in enumerate(data.get("entites", [])):
        yield from _find_problems(entity, f"entites[{index}].formalites", folder, file, today)


def _find_problems(data: Mapping[str, Any], where: str, folder: Path, file: str, today: dt.date) -> Iterator[Problem]:
    for key, given in data.get("formalites", {}).items():
        place = f"{where}.{key}"
        if is_to_come(given, today):
            message = f"la date {quote(given['date'])} est à venir"
            yield Problem(file, None, f"{place}.date", message, "écrivez-la quand la formalité est faite")
        if "document" in given and not _document_digest(folder / given["document"]):
            message = f"le document {quote(given['document'])} n'est pas dans {FOLDER}/, ou il est vide"
            yield Problem(file, None, f"{place}.document", message, "déposez-le, ou corrigez son nom")


def _document_digest(document: Path) -> str:
    """SHA-256 of a document, hexadecimal; empty when it is absent, empty or cannot be read."""
    try:
        with document.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
            return found if stream.tell() else ""
    except OSError:
        return ""
