# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Clerks' PCs in the morning: misuses of tokens, requests that wait, and renewals of which S²LOW must be told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import clean
from ansible_collections.cdg59.creatic.plugins.module_utils.words import count

from creatic.fleet.signing import FleetError
from creatic.morning.screen import Finding, Morning
from creatic.pki.registry import EXPIRED, REPLACED, VALID, instant

RENEWAL_NOTICE_PERIOD = dt.timedelta(days=30)
"""How long a renewal is told."""
_CERTIFY = "fab poste.certifier"
_RENEWED = "le déposer dans S²LOW, au compte de l'agent (docs/technicien.md, « Un certificat renouvelé »)"


def add(
    found: Morning,
    owners: Mapping[str, str],
    statement: Any,
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Have a morning tell them.

    Args:
        owners: PCs of the inventory, each with the short name of its commune.
        statement: the door's, as `postes.door.Door.statement` gives it, after the last misuse that a technician was
            told; None when it was not asked.
        rows: of the registry.

    Raises:
        FleetError: the statement is none.
    """
    try:
        told = [*_misuse_findings(statement, owners), *_waiting_findings(statement)] if statement is not None else []
    except (KeyError, TypeError, ValueError):
        raise FleetError("la porte d'enrôlement répond autre chose que son relevé (fab serveurs guichet)") from None
    found.findings = sorted([*found.findings, *told, *_renewal_findings(rows, owners, found.moment)])


def _misuse_findings(statement: Mapping[str, Any], owners: Mapping[str, str]) -> Iterable[Finding]:
    strangers = 0
    for one in statement["mesusages"]:
        place = str(one["poste"])
        if place not in owners:
            strangers += 1
            continue
        text = f"mésusage du jeton, depuis {clean(str(one['adresse']))[:60]} : {clean(str(one['message']))[:200]}"
        yield Finding(False, owners[place], place, text, _CERTIFY)
    if strangers:
        text = f"porte d'enrôlement : {count(strangers, 'essai')} refusé{'s' if strangers > 1 else ''}, d'aucun poste"
        yield Finding(True, "", "guichet", text, _CERTIFY)


def _waiting_findings(statement: Mapping[str, Any]) -> Iterable[Finding]:
    if number := len(statement["demandes"]):
        text = f"{count(number, 'demande')} de certificat de poste en attente"
        yield Finding(True, "", "guichet", text, _CERTIFY)


def _renewal_findings(
    rows: Iterable[Mapping[str, Any]], owners: Mapping[str, str], now: dt.datetime
) -> Iterable[Finding]:
    rows = [row for row in rows if row["hote"] in owners and row["profil"] == "client"]
    before = {(row["hote"], row["nom"]) for row in rows if row["statut"] in (REPLACED, EXPIRED)}
    for row in rows:
        recent = row["statut"] == VALID and now - instant(row["debut"]) < RENEWAL_NOTICE_PERIOD
        if recent and (row["hote"], row["nom"]) in before:
            text = f"certificat « {clean(str(row['titulaire']))[:80]} » renouvelé : S²LOW doit connaître le nouveau"
            yield Finding(True, owners[row["hote"]], row["hote"], text, _RENEWED)
