# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The test act of a rollout: its ARActe, as the control node reads it, must be of this act, this commune and this day.

Names and formats: actesv1_1.xsd (ACTES, ministère de l'Intérieur).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

_ACTES_NAMESPACE = "{http://www.interieur.gouv.fr/ACTES#v1.1-20040216}"
_IDACTE = re.compile(r"[0-9][0-9][0-9AB]-(\d{9})-(\d{4})(\d{2})(\d{2})-([a-zA-Z0-9_]{1,15})-([A-Z]{2})")
_XS_DATE_PATTERN = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:Z|[+-][0-9]{2}:[0-9]{2})?")
RECEIPT = "ARActe.xml"
_DOCTYPE = b"<!DOCTYPE"
TEST = "TEST_"  # how the connector's test acts are numbered
_MAX_CLOCK_DRIFT_DAYS = 1  # the machine's clock may be on the other side of midnight


def receipt_fault(measures: Mapping[str, Any], receipt: bytes | None, siren: str, today: date) -> str:
    """Why an ARActe does not prove the test act; French, empty when it does.

    Args:
        measures: what the machine says of its act: ``numero`` and ``idacte``.
        receipt: the file that it sent; None when there is none.
        siren: the commune's, from the inventory.
    """
    from lxml import etree

    if receipt is None:
        return f"{RECEIPT} n'est pas joint : l'acte de test n'est pas prouvé"
    try:
        root = etree.fromstring(receipt, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except (etree.XMLSyntaxError, ValueError):
        return f"{RECEIPT} n'est pas du XML lisible"
    identifier = root.get(f"{_ACTES_NAMESPACE}IDActe") or ""
    parts = _IDACTE.fullmatch(identifier)
    if root.tag != f"{_ACTES_NAMESPACE}ARActe" or parts is None or _DOCTYPE in receipt:
        return f"{RECEIPT} n'est pas un ARActe"
    if parts[1] != siren:
        return f"{RECEIPT} est d'une autre commune (SIREN {parts[1]}, attendu {siren})"
    if not parts[5].startswith(TEST):
        return f"{RECEIPT} est d'un acte de la commune ({identifier}), pas d'un acte de test"
    acts = root.findall(f"{_ACTES_NAMESPACE}ActeRecu")
    act = acts[0] if len(acts) == 1 else None
    if (measures.get("idacte"), measures.get("numero")) != (identifier, parts[5]) or (
        act is None or act.get(f"{_ACTES_NAMESPACE}NumeroInterne") != parts[5]
    ):
        return f"{RECEIPT} est d'un autre acte ({identifier})"
    try:
        decided = date(*map(int, parts.group(2, 3, 4)))
        told = (act.get(f"{_ACTES_NAMESPACE}Date"), root.get(f"{_ACTES_NAMESPACE}DateReception"))
        dates = [decided, *(_parse_xs_date(text or "") for text in told)]
    except ValueError:
        return f"{RECEIPT} n'a pas de date valide"
    if dates[0] != dates[1] or any(abs((one - today).days) > _MAX_CLOCK_DRIFT_DAYS for one in dates):
        return f"{RECEIPT} n'est pas de ce passage (acte du {decided:%d/%m/%Y}, reçu le {dates[2]:%d/%m/%Y})"
    return ""


def _parse_xs_date(text: str) -> date:
    """A day as xs:date writes it, with a time zone or without. Raises ValueError for the other forms of ISO 8601."""
    found = _XS_DATE_PATTERN.fullmatch(text)
    if not found:
        raise ValueError(text)
    return date.fromisoformat(found[1])
