"""What a letter of the préfecture says of itself: the protocol's message among the files that came.

Source: actesv1_1.xsd, messages 2-1, 3-1, 4-1 and 5-1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from .classification import parse_xml, read_day

_NS = "{http://www.interieur.gouv.fr/ACTES#v1.1-20040216}"
# Kind (driver.LETTERS), where its date and its text are.
_MESSAGES = {
    "CourrierSimple": ("courrier", "DateCourrierPref", ""),
    "DemandePieceComplementaire": ("pieces", "DateCourrierPref", "DescriptionPieces"),
    "LettreObservations": ("observations", "DateCourrierPref", "Motif"),
    "DefereTA": ("defere", "", "NatureIllegalite"),
}
_XML_MAX = 1_000_000  # bytes of a message: a letter's text and names of files
_TEXT_MAX = 4000  # characters
_SIREN = re.compile(r"[0-9AB]{3}-(\d{9})-\d{8}-(\w{1,15})-[A-Z]{2}")


@dataclass(frozen=True)
class Message:
    """What was read; `fault` says in French why it is not all there."""

    kind: str = ""
    idacte: str = ""
    day: str = ""  # AAAA-MM-JJ
    text: str = ""
    fault: str = ""


def read(files: Iterable[Path]) -> Message:
    """The message among a letter's files."""
    for path in files:
        if path.suffix.lower() != ".xml" or path.stat().st_size > _XML_MAX:
            continue
        try:
            root = parse_xml(path.read_bytes().strip())
        except (etree.XMLSyntaxError, ValueError):
            continue
        name = str(root.tag).removeprefix(_NS)
        if name in _MESSAGES:
            return _message(root, *_MESSAGES[name])
    return Message(fault="Le message du protocole manque, ou ne se lit pas : lisez le document lui-même.")


def _message(root: etree._Element, kind: str, dated: str, text: str) -> Message:
    idacte = root.get(f"{_NS}IDActe", "")[:100]
    day = root.get(f"{_NS}{dated}", "") if dated else root.findtext(f"{_NS}DateDepot") or ""
    fault = ""
    try:
        day = read_day(day).isoformat()
    except ValueError:
        day, fault = "", "Ce courrier ne porte pas de date valable : ses délais partent de sa réception."
    told = (root.findtext(f"{_NS}{text}") or "" if text else "").strip()[:_TEXT_MAX]
    return Message(kind, idacte, day, told, fault)


def owner(idacte: str) -> tuple[str, str]:
    """SIREN and number in an act's identifier; two empty texts when it is none."""
    found = _SIREN.fullmatch(idacte)
    return (found[1], found[2]) if found else ("", "")
