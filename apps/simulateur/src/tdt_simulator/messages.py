"""Messages of the protocol ACTES (actesv1_1.xsd), in ISO-8859-1 as they travel."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import cast

from lxml import etree

from .config import Authority
from .workflow import Kind

NS = "http://www.interieur.gouv.fr/ACTES#v1.1-20040216"
INSEE = "http://xml.insee.fr/schema"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
REFUSAL, CONSENT = 3, 4
"""Values of ``type_envoie`` in an answer to the préfecture."""


@dataclass(frozen=True)
class Acte:
    """What the messages need to know of an act."""

    number: str
    nature: int
    abbreviation: str
    subject: str
    decision_date: date
    classification: str
    classification_date: date
    document_papier: bool
    document: str
    annexes: list[str] = field(default_factory=list)
    signatures: dict[str, str] = field(default_factory=dict)


def element(name: str, **attributes: object) -> etree._Element:
    """Create the root of a message; attributes are those of the ACTES namespace."""
    root = etree.Element(f"{{{NS}}}{name}", nsmap={"actes": NS, "insee": INSEE, "xsi": _XSI})
    root.set(f"{{{_XSI}}}schemaLocation", f"{NS} actesv1_1.xsd")
    for key, value in attributes.items():
        root.set(f"{{{NS}}}{key}", str(value))
    return root


def sub(parent: etree._Element, name: str, text: str | None = None, **attributes: object) -> etree._Element:
    """Add a child of the ACTES namespace."""
    node = etree.SubElement(parent, f"{{{NS}}}{name}")
    node.text = text
    for key, value in attributes.items():
        node.set(f"{{{NS}}}{key}", str(value))
    return node


def serialize(root: etree._Element, encoding: str = "ISO-8859-1") -> bytes:
    """Return the document as it is sent."""
    body = etree.tostring(root, encoding=encoding, xml_declaration=False, pretty_print=True)
    return f'<?xml version="1.0" encoding="{encoding}"?>\n'.encode() + cast(bytes, body)


def acte_id(authority: Authority, number: str, abbreviation: str, decision_date: date) -> str:
    """Return the unique identifier which the préfecture gives to an act (IDActe)."""
    return f"{authority.departement}-{authority.siren}-{decision_date:%Y%m%d}-{number}-{abbreviation}"


def _signed_file(parent: etree._Element, tag: str, acte: Acte, name: str) -> None:
    node = sub(parent, tag)
    sub(node, "NomFichier", name)
    if name in acte.signatures:
        sub(node, "Signature", acte.signatures[name])


def _fill_acte(node: etree._Element, acte: Acte) -> etree._Element:
    node.set(f"{{{NS}}}Date", acte.decision_date.isoformat())
    node.set(f"{{{NS}}}NumeroInterne", acte.number)
    node.set(f"{{{NS}}}CodeNatureActe", str(acte.nature))
    for rank, code in enumerate(acte.classification.split("."), 1):
        sub(node, f"CodeMatiere{rank}", CodeMatiere=code)
    sub(node, "Objet", acte.subject)
    sub(node, "ClassificationDateVersion", acte.classification_date.isoformat())
    _signed_file(node, "Document", acte, acte.document)
    annexes = sub(node, "Annexes", Nombre=len(acte.annexes))
    for name in acte.annexes:
        _signed_file(annexes, "Annexe", acte, name)
    sub(node, "DocumentPapier", "O" if acte.document_papier else "N")
    return node


def transmission(acte: Acte) -> bytes:
    """Message 1-1: an act."""
    return serialize(_fill_acte(element("Acte"), acte))


def receipt(acte: Acte, identifier: str, received: date, in_force: date) -> bytes:
    """Message 1-2: the préfecture's receipt (ARActe)."""
    root = element("ARActe", IDActe=identifier, DateReception=received.isoformat())
    _fill_acte(sub(root, "ActeRecu"), acte)
    sub(root, "ClassificationDateVersionEnCours", in_force.isoformat())
    return serialize(root)


def anomaly(acte: Acte, day: date, detail: str, in_force: date) -> bytes:
    """Message 1-3: the préfecture refuses an act (AnomalieActe)."""
    root = element("AnomalieActe")
    sub(root, "Date", day.isoformat())
    sub(root, "Nature", "100")
    sub(root, "Detail", detail)
    _fill_acte(sub(root, "ActeRecu"), acte)
    sub(root, "ClassificationDateVersionEnCours", in_force.isoformat())
    return serialize(root)


def cancellation(identifier: str) -> bytes:
    """Message 6-1: the commune cancels an act."""
    return serialize(element("Annulation", IDActe=identifier))


def cancellation_receipt(identifier: str, received: date) -> bytes:
    """Message 6-2: the préfecture's receipt of a cancellation."""
    return serialize(element("ARAnnulation", IDActe=identifier, DateReception=received.isoformat()))


def classification_request(known: date) -> bytes:
    """Message 7-1: the commune asks for the nomenclature."""
    root = element("DemandeClassification")
    sub(root, "DateClassification", known.isoformat())
    return serialize(root)


_LETTERS = {
    Kind.COURRIER_SIMPLE: ("CourrierSimple", None),
    Kind.DEMANDE_PIECES: ("DemandePieceComplementaire", "DescriptionPieces"),
    Kind.LETTRE_OBSERVATIONS: ("LettreObservations", "Motif"),
}


def letter(kind: Kind, identifier: str, day: date, reason: str, document: str) -> bytes:
    """Messages 2-1, 3-1, 4-1 and 5-1: the préfecture writes about an act."""
    if kind == Kind.DEFERE:
        root = element("DefereTA", IDActe=identifier)
        sub(root, "DateDepot", day.isoformat())
        sub(root, "NatureIllegalite", reason)
        sub(sub(sub(root, "PiecesJointes"), "PieceJointe"), "NomFichier", document)
        return serialize(root)
    name, reason_tag = _LETTERS[kind]
    root = element(name, IDActe=identifier, DateCourrierPref=day.isoformat())
    if reason_tag:
        sub(root, reason_tag, reason)
    sub(sub(root, "Document"), "NomFichier", document)
    return serialize(root)


_RESPONSES = {
    (Kind.DEMANDE_PIECES, REFUSAL): "RefusPieceComplementaire",
    (Kind.DEMANDE_PIECES, CONSENT): "PieceComplementaire",
    (Kind.LETTRE_OBSERVATIONS, REFUSAL): "RejetLettreObservations",
    (Kind.LETTRE_OBSERVATIONS, CONSENT): "ReponseLettreObservations",
}


def response(kind: Kind, answer: int, identifier: str, day: date, documents: list[str]) -> bytes:
    """Messages 2-2, 3-3, 3-4, 4-3 and 4-4: the commune answers a letter.

    Raises:
        KeyError: this letter takes no such answer.
    """
    name = "ReponseCourrierSimple" if kind == Kind.COURRIER_SIMPLE else _RESPONSES[kind, answer]
    root = element(name, IDActe=identifier, DateCourrierPref=day.isoformat())
    parent = sub(root, "Documents") if name == "PieceComplementaire" else root
    for document in documents if name == "PieceComplementaire" else documents[:1]:
        sub(sub(parent, "Document"), "NomFichier", document)
    return serialize(root)


def response_receipt(kind: Kind, identifier: str, day: date, received: date) -> bytes:
    """Messages 3-5 and 4-5: the préfecture's receipt of an answer."""
    name = "ARPieceComplementaire" if kind == Kind.DEMANDE_PIECES else "ARReponseRejetLettreObservations"
    root = element(name, DateReception=received.isoformat())
    sub(root, "InfosCourrierPref", IDActe=identifier, DateCourrierPref=day.isoformat())
    return serialize(root)


def _formulaires(root: etree._Element, message_file: str) -> None:
    sub(sub(sub(root, "FormulairesEnvoyes"), "Formulaire"), "NomFichier", message_file)


def envelope_out(authority: Authority, message_file: str) -> bytes:
    """Envelope of a message of the commune."""
    root = element("EnveloppeCLMISILL")
    emitter = sub(root, "Emetteur")
    commune = sub(
        emitter,
        "IDCL",
        Departement=authority.departement,
        Arrondissement=authority.arrondissement,
        Nature=authority.nature,
    )
    commune.set(f"{{{INSEE}}}SIREN", authority.siren)
    sub(sub(emitter, "Referent"), "Nom", authority.nom)
    sub(sub(root, "AdressesRetour"), "Email", "tdt@creatic.test")
    _formulaires(root, message_file)
    return serialize(root)


def envelope_in(authority: Authority, message_file: str) -> bytes:
    """Envelope of a message of the préfecture."""
    root = element("EnveloppeMISILLCL")
    sub(sub(root, "Emetteur"), "IDPref", Departement=authority.departement)
    _formulaires(root, message_file)
    sub(root, "Destinataire").set(f"{{{INSEE}}}SIREN", authority.siren)
    return serialize(root)
