"""The ARActe: the préfecture's acknowledgement, checked before it is filed as the act's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from lxml import etree

from creatic_agent.errors import CreaticError

from .checks import Submission
from .classification import parse_xml, read_day

_NS = "{http://www.interieur.gouv.fr/ACTES#v1.1-20040216}"
# Source: actesv1_1.xsd, attribute IDActe.
_IDACTE = re.compile(r"[0-9][0-9][0-9AB]-(\d{9})-(\d{8})-([a-zA-Z0-9_]{1,15})-([A-Z]{2})")
_CLOCKS = timedelta(days=1)  # that of the préfecture, or this one, is on the other side of midnight


class ReceiptError(CreaticError, cause="accuse"):
    """The document is not this act's ARActe; the text is French."""


@dataclass(frozen=True)
class Receipt:
    """What an ARActe says: the act's identifier for life, and when the préfecture received it."""

    idacte: str
    received_on: str  # YYYY-MM-DD
    classification: date | None  # version the préfecture has in force


def parse(content: bytes, act: Submission, siren: str) -> Receipt:
    """Read an ARActe and make sure it is about this act. Raises ReceiptError."""
    try:
        root = parse_xml(content.strip())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ReceiptError(f"l'ARActe reçu n'est pas du XML lisible ({error})") from error
    if root.tag != f"{_NS}ARActe":
        raise ReceiptError("le document reçu à la place de l'ARActe n'en est pas un")
    idacte = root.get(f"{_NS}IDActe", "")
    parts = _IDACTE.fullmatch(idacte)
    if not parts:
        raise ReceiptError(f"l'ARActe reçu porte un identifiant mal formé : « {idacte} »")
    expected = (siren, act.date.replace("-", ""), act.number, act.nature_short)
    if parts.groups() != expected:
        raise ReceiptError(f"l'ARActe reçu concerne un autre acte : « {idacte} »")
    for one in root.iter(f"{_NS}ActeRecu"):
        if one.get(f"{_NS}NumeroInterne") != act.number:
            raise ReceiptError(f"l'ARActe reçu contient un autre acte que « {idacte} »")
    try:
        received = read_day(root.get(f"{_NS}DateReception", ""))
    except ValueError as error:
        raise ReceiptError("l'ARActe reçu n'a pas de date de réception valide") from error
    if not date.fromisoformat(act.date) - _CLOCKS <= received <= date.today() + _CLOCKS:
        raise ReceiptError(
            f"l'ARActe reçu se dit reçu le {received:%d/%m/%Y}, avant l'acte (du {act.date}) ou dans l'avenir"
        )
    try:
        in_force = read_day(root.findtext(f"{_NS}ClassificationDateVersionEnCours") or "")
    except ValueError:
        in_force = None
    return Receipt(idacte, received.isoformat(), in_force)
