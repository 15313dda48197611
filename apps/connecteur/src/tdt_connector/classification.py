"""The nomenclature the préfecture gives out: natures, types of documents, subject matters.

Source: RetourClassification of the ACTES protocol (actesv1_1.xsd).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from lxml import etree

from creatic_agent.errors import CreaticError
from creatic_agent.writing import without_accents

_XML_MAX = 8_000_000  # bytes of an answer; its tree takes thirty times as much at worst
_DAY = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_PARIS = ZoneInfo("Europe/Paris")
_NS = "{http://www.interieur.gouv.fr/ACTES#v1.1-20040216}"


class ClassificationError(CreaticError, cause="nomenclature"):
    """The document is not a usable classification; the text is French."""


def parse_xml(content: bytes) -> etree._Element:
    """Parse XML from outside, without network, DTD or entities. Raises etree.XMLSyntaxError or ValueError."""
    if len(content) > _XML_MAX:
        raise ValueError(f"{len(content) / 1e6:.0f} Mo, {_XML_MAX / 1e6:.0f} au plus")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    root = etree.fromstring(content, parser)
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError("DTD interdite")
    return root


def read_day(text: str) -> date:
    """A day as xs:date writes it, with its time zone or without: the day is its writer's. Raises ValueError.

    A moment (xs:dateTime), which some write in its place, is of the day that it is in Paris when it says its zone.
    """
    found = _DAY.fullmatch(text.strip())
    if not found:
        raise ValueError(text)
    day, hour, zone = found.groups()
    moment = datetime.fromisoformat(f"{day}{hour or 'T00:00:00'}{zone or ''}")
    try:
        return moment.astimezone(_PARIS).date() if hour and zone else moment.date()
    except OverflowError:  # of the year 1, or 9999
        raise ValueError(text) from None


def fold(text: str) -> str:
    """Lower case without accents nor surrounding spaces, to compare what people type."""
    return without_accents(text.replace("œ", "oe").replace("’", "'")).lower()


@dataclass(frozen=True)
class Nature:
    """A nature of act: its code (1 to 6 today), its abbreviation (DE, AR…) and its types of documents."""

    code: str
    short: str
    label: str
    types: dict[str, str]


@dataclass(frozen=True)
class Classification:
    """A version of the nomenclature, known by its date."""

    version: date
    natures: dict[str, Nature]
    matters: dict[str, str]

    def nature(self, wanted: str) -> Nature | None:
        """Find a nature by code, abbreviation or label (accents, case and plural do not matter)."""
        key = fold(wanted)
        for nature in self.natures.values():
            label = fold(nature.label)
            if key in (nature.code, nature.short.lower(), label) or _singular(key) == _singular(label):
                return nature
        return None


def _singular(text: str) -> str:
    return " ".join(word.rstrip("s") for word in text.split())


def parse(content: bytes) -> Classification:
    """Read a RetourClassification. Raises ClassificationError with a French text."""
    try:
        root = parse_xml(content)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ClassificationError(f"la nomenclature reçue n'est pas du XML lisible ({error})") from error
    if root.tag != f"{_NS}RetourClassification":
        raise ClassificationError("le document reçu n'est pas une nomenclature (RetourClassification attendu)")
    try:
        version = read_day(root.findtext(f"{_NS}DateClassification") or "")
    except ValueError as error:
        raise ClassificationError("la nomenclature reçue n'a pas de date de version valide") from error
    natures = {}
    for item in root.iter(f"{_NS}NatureActe"):
        code = item.get(f"{_NS}CodeNatureActe", "")
        types = {
            kind.get(f"{_NS}CodeTypePJ", ""): kind.get(f"{_NS}Libelle", "")
            for kind in item.iter(f"{_NS}TypePJNatureActe")
        }
        natures[code] = Nature(code, item.get(f"{_NS}TypeAbrege", ""), item.get(f"{_NS}Libelle", ""), types)
    matters: dict[str, str] = {}
    top = root.find(f"{_NS}Matieres")
    if top is not None:
        _walk(top, (), matters)
    if not natures or not matters:
        raise ClassificationError("la nomenclature reçue est vide (natures ou matières absentes)")
    return Classification(version, natures, matters)


def _walk(parent: etree._Element, path: tuple[str, ...], matters: dict[str, str]) -> None:
    for item in parent:
        code = item.get(f"{_NS}CodeMatiere")
        if code is not None:
            here = (*path, code)
            matters[".".join(here)] = item.get(f"{_NS}Libelle", "")
            _walk(item, here, matters)
