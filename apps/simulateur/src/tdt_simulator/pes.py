"""Flows of Helios as the platform checks them, and what the DGFiP answers (schemas of PES V2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from lxml import etree

from . import messages

ACQUIT = "http://www.minefi.gouv.fr/cp/helios/pes_v2/Rev0/retour/v2"
RETOUR = "http://www.minefi.gouv.fr/cp/helios/pes_v2/Rev0/retour"
_HEAD = 50  # where S²LOW looks for the encoding, in bytes
_SLIPS = {"PES_DepenseAller": "5", "PES_RecetteAller": "6"}  # domains of an acquit (CommunAck.xsd)
_OTHERS = {"PES_Marche": "11", "PES_Facture": "12"}
_ATTACHMENT = "4"
_HEADERS = ("Parametres", "Emetteur", "EnTetePES")
_EMPTY = "ce fichier ne contient ni bordereau, ni PJ, ni marché"


@dataclass
class Answered:
    """What the DGFiP answers about: a slip, an attachment, a contract."""

    domain: str
    slip: str = ""
    year: str = ""
    attachment: str = ""


@dataclass
class Flow:
    """What the platform reads of a flow; absent values are empty.

    Attributes:
        headers: values by element of the envelope and of the header.
        parts: in the order of the flow.
    """

    headers: dict[str, str] = field(default_factory=dict)
    parts: list[Answered] = field(default_factory=list)


def read(path: Path) -> Flow:
    """Read a flow of any size.

    Raises:
        lxml.etree.XMLSyntaxError: it is no XML.
    """
    flow, values = Flow(), dict[str, str]()
    with path.open("rb") as source:
        for _, node in etree.iterparse(source, resolve_entities=False, no_network=True, huge_tree=True):
            if not isinstance(node.tag, str):
                continue
            name, above = etree.QName(node).localname, node.getparent()
            inside = etree.QName(above).localname if above is not None else ""
            if inside in _HEADERS:
                flow.headers.setdefault(name, (node.get("V") or "").strip())
            elif inside in ("BlocBordereau", "PJ"):
                values[name] = (node.get("V") or "").strip()
            elif name == "Bordereau" and inside in _SLIPS:
                flow.parts.append(Answered(_SLIPS[inside], values.get("IdBord", ""), values.get("Exer", "")))
                values.clear()
            elif name == "PJ":
                flow.parts.append(Answered(_ATTACHMENT, attachment=values.get("IdUnique", "")))
                values.clear()
            elif name in _OTHERS and inside == "PES_Aller":
                flow.parts.append(Answered(_OTHERS[name]))
            node.clear()
    return flow


def fault(path: Path) -> tuple[Flow, str | None]:
    """Read a flow, and tell why S²LOW puts it in error: its checks, in its order, with its words."""
    with path.open("rb") as source:
        if b"ISO-8859-1" not in source.read(_HEAD).upper():
            return Flow(), "ce fichier n'est pas encodé en ISO-8859-1"
    try:
        flow = read(path)
    except etree.XMLSyntaxError:
        return Flow(), "ce fichier n'est pas en XML"
    headers = flow.headers
    if not flow.parts:
        return flow, _EMPTY
    if not headers.get("NomFic"):
        return flow, "La balise Enveloppe/Parametre/NomFic n'est pas présente ou est vide"
    if len(headers.get("CodCol", "")) > 3:
        return flow, "Le CodCol est trop long"
    if len(headers.get("IdColl", "")) > 14:
        return flow, "La balise IdCol est trop longue"
    for name in ("CodCol", "IdPost", "CodBud"):
        if not headers.get(name):
            return flow, f"La balise EnTetePES/{name} n'est pas présente ou est vide"
    return flow, None


def _fit(value: str, pattern: str, default: str = "") -> str:
    return value if re.fullmatch(pattern, value, re.ASCII) else default


def _text(value: str, most: int, default: str) -> str:
    """A text of the schema: it holds something else than zeros."""
    line = " ".join(value.split())[:most].strip()
    return line if line.strip("0") else default


def _day(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        return ""


def _put(parent: etree._Element, *children: tuple[str, str]) -> etree._Element:
    for tag, value in children:
        etree.SubElement(parent, tag, V=value)
    return parent


def acquit(flow: Flow, moment: datetime, refusal: str | None = None) -> bytes:
    """Return the receipt of a flow (PES_ACQUIT, PES_V2_Acquit_Autonome_V2.xsd).

    Args:
        refusal: why its first part is refused; the others, or all of them without it, are accepted.
    """
    headers: Callable[..., str] = flow.headers.get
    root = etree.Element(f"{{{ACQUIT}}}PES_ACQUIT", nsmap={"n": ACQUIT})
    envelope = etree.SubElement(root, "Enveloppe")
    _put(
        etree.SubElement(envelope, "Parametres"),
        ("Version", "2"),
        ("TypFic", _text(headers("TypFic", ""), 32, "PESALR2")),
        ("NomFic", _text(headers("NomFic", ""), 100, "INCONNU")),
    )
    _put(
        etree.SubElement(envelope, "Emetteur"),
        ("Sigle", _text(headers("Sigle", ""), 32, "INCONNU")),
        ("Adresse", _text(headers("Adresse", ""), 38, "INCONNUE")),
    )
    _put(etree.SubElement(envelope, "Recepteur"), ("Sigle", "HELIOS"))
    _put(
        etree.SubElement(root, "EnTetePES"),
        ("DteStr", _day(headers("DteStr", "")) or f"{moment:%Y-%m-%d}"),
        ("IdPost", _fit(headers("IdPost", ""), r"02[AB]\d{3,4}|(?!0+$)\d{6,7}", "059000")),
        ("IdColl", _fit(headers("IdColl", ""), r"\d{0,14}")),
        ("CodCol", _fit(headers("CodCol", ""), r"(?!000)\d{3}", "001")),
        ("CodBud", _fit(headers("CodBud", ""), r"[0-9A-Z][0-9]", "00")),
    )
    body = etree.SubElement(root, "ACQUIT")
    _put(etree.SubElement(body, "EnTeteAcquit"), ("IdVer", "2"))
    for rank, part in enumerate(flow.parts):
        refused = refusal is not None and rank == 0
        element = _put(
            etree.SubElement(body, "ElementACQUIT"), ("DomaineAck", part.domain), ("EtatAck", str(int(not refused)))
        )
        if part.slip:
            _put(element, ("NumBord", _fit(part.slip, r"\d{0,7}")), ("ExerciceBord", _fit(part.year, r"\d{0,4}")))
        elif part.attachment:
            _put(element, ("IdUnique", re.sub(r"[^0-9A-Za-z]", "", part.attachment)[:50]))
        if refused:
            _put(
                etree.SubElement(element, "Erreur"),
                ("NumAnoAck", "ERREUR_AUTRE"),
                ("LibelleAnoAck", (refusal or "")[:500]),
            )
    return messages.serialize(root)


def retour(siren: str, moment: datetime) -> tuple[str, bytes]:
    """Return the name and the content of a PES Retour of the Trésor: a mandate that was paid (PES_Retour.xsd)."""
    filename, day = f"PES_RETOUR_{siren}_{moment:%Y%m%d%H%M%S}.xml", f"{moment:%Y-%m-%d}"
    root = etree.Element(f"{{{RETOUR}}}PES_Retour", nsmap={"n": RETOUR})
    _put(
        etree.SubElement(etree.SubElement(root, "Enveloppe"), "Parametres"),
        ("Version", "2"),
        ("TypFic", "PES2R_DEP"),
        ("NomFic", filename),
    )
    _put(
        etree.SubElement(root, "EnTetePES"),
        ("DteStr", day),
        ("IdPost", "059000"),
        ("IdColl", f"{siren}00018"),
        ("CodColl", "001"),
        ("CodBud", "00"),
    )
    expenses = etree.SubElement(root, "PES_DepenseRetour")
    _put(etree.SubElement(expenses, "EnTeteDepense"), ("TypRestit", "02"), ("IdVer", "2"), ("NatInf", "2"))
    slip = etree.SubElement(expenses, "Bordereau")
    _put(etree.SubElement(slip, "BlocBordereau"), ("Exer", f"{moment:%Y}"), ("IdBord", "1"), ("TypBord", "01"))
    mandate = etree.SubElement(slip, "Piece")
    _put(
        etree.SubElement(mandate, "InfoPiece"),
        ("IdPce", "1"),
        ("TypPce", "01"),
        ("NatPce", "01"),
        ("DtePcePec", day),
        ("EtatPce", "05"),
    )
    line = etree.SubElement(etree.SubElement(mandate, "LigneDePiece"), "BlocLignePiece")
    _put(etree.SubElement(line, "InfoLignePiece"), ("IdLigne", "1"), ("EtatLigPce", "03"), ("MtHT", "120.00"))
    return filename, messages.serialize(root)
