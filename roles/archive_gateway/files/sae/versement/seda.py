"""SEDA 2.3: read an ArchiveTransfer that may be hostile, write an ArchiveTransferReply."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lxml import etree

from sae.versement.description import Declared, Description, Rule, algorithm
from sae.versement.refusal import Reason, Refusal, refuse

NAMESPACE = "fr:gouv:culture:archivesdefrance:seda:v2.3"
MANIFEST = "manifest.xml"
_N = f"{{{NAMESPACE}}}"
_MAX_ERRORS = 10
UNKNOWN = "inconnu"


def parse_xml(path: Path, limit: int) -> Any:
    """The root of an XML file. No entity, no DTD, no network, nothing huge. Raises Refusal (code MANIFESTE)."""
    name = MANIFEST
    if path.stat().st_size > limit:
        raise refuse("MANIFESTE", f"{name} dépasse {limit // 1_000_000} Mo.")
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, dtd_validation=False, no_network=True, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        tree = etree.parse(str(path), parser)
    except etree.XMLSyntaxError as error:
        where = f" (ligne {error.lineno})" if error.lineno else ""
        raise refuse("MANIFESTE", f"{name} n'est pas du XML bien formé{where} : {error.msg}") from error
    # An entity that is only declared is already an attack in the making; SEDA has no use for a DTD.
    if tree.docinfo.internalDTD is not None or tree.docinfo.externalDTD is not None or tree.docinfo.doctype:
        raise refuse("MANIFESTE", f"{name} contient une déclaration DOCTYPE (entités XML) : refusé sans être lu.")
    return tree.getroot()


@cache
def _schema() -> etree.XMLSchema:
    text = importlib.resources.files("sae.versement").joinpath("seda-transfert.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(text))


def _text(node: Any, path: str) -> str:
    return " ".join(str(node.findtext("/".join(_N + step for step in path.split("/")), "")).split())


def message_identifier(path: Path, limit: int) -> str:
    """The transfer's identifier if it can be read at all, for the answer to a SIP that is refused."""
    try:
        return _text(parse_xml(path, limit), "MessageIdentifier")[:500] or UNKNOWN
    except Refusal:
        return UNKNOWN


def read(path: Path, fingerprint: str, limit: int, agency: str) -> Description:
    """Read and check a manifest. `agency` is this archive's identifier. Raises Refusal."""
    root = parse_xml(path, limit)
    _check_root(root)
    if not _schema().validate(root):
        raise Refusal(_schema_faults(_schema().error_log))
    addressed = _text(root, "ArchivalAgency/Identifier")
    if addressed != agency:
        raise refuse("MANIFESTE", f"Le transfert est adressé à « {addressed} » ; ce service est « {agency} ».")
    sent = date.fromisoformat(_text(root, "Date")[:10])
    package = root.find(f"{_N}DataObjectPackage")
    files = list(_files(package))
    if not files:
        raise refuse("MANIFESTE", "Le transfert n'annonce aucun objet-données binaire.")
    if twice := _twice(files):
        raise refuse("MANIFESTE", f"« {sorted(twice)[0]} » est annoncé deux fois.")
    titles = [" ".join(str(node.text or "").split()) for node in package.iter(f"{_N}Title")]
    return Description(
        kind="SEDA",
        message=_text(root, "MessageIdentifier"),
        agency=_text(root, "TransferringAgency/Identifier"),
        title=(next(filter(None, titles), ""))[:300],
        rules=list(_rules(package, sent)),
        files=files,
        manifests=[MANIFEST],
        fingerprint=fingerprint,
    )


def _twice(files: Sequence[Declared]) -> set[str]:
    seen: set[str] = set()
    return {one.name for one in files if one.name in seen or seen.add(one.name)}  # type: ignore[func-returns-value] # set.add gives None


def _check_root(root: Any) -> None:
    name = etree.QName(root)
    if name.namespace != NAMESPACE:
        raise refuse("MANIFESTE", f"L'espace de noms « {name.namespace} » n'est pas celui du SEDA 2.3 ({NAMESPACE}).")
    if name.localname != "ArchiveTransfer":
        raise refuse("MANIFESTE", f"Le message est un « {name.localname} », un ArchiveTransfer est attendu.")


def _schema_faults(log: Any) -> Iterator[Reason]:
    for rank, error in enumerate(log):
        if rank == _MAX_ERRORS:
            return
        text = str(error.message).replace(_N, "").replace(f"{{{NAMESPACE}}}", "")
        yield Reason("MANIFESTE", f"Ligne {error.line} : non conforme au SEDA 2.3. {text}"[:400])


def _files(package: Any) -> Iterator[Declared]:
    for node in package.iter(f"{_N}BinaryDataObject"):
        digest = node.find(f"{_N}MessageDigest")
        size = _text(node, "Size")
        yield Declared(
            name=unquote(_text(node, "Uri")).removeprefix("./"),
            algorithm=algorithm(digest.get("algorithm")),
            digest=" ".join(str(digest.text).split()).lower(),
            size=int(size) if size else None,
        )


def _rules(package: Any, sent: date) -> Iterator[Rule]:
    for node in package.iter(f"{_N}AppraisalRule"):
        action = _text(node, "FinalAction")
        for rule in node.iterfind(f"{_N}Rule"):
            following = rule.getnext()
            start = sent
            if following is not None and etree.QName(following).localname == "StartDate":
                start = date.fromisoformat(str(following.text).strip()[:10])
            yield Rule(" ".join(str(rule.text).split()), start, action)


# -- the answer ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Happened:
    """A step of the versement, for the answer and for PREMIS. `outcome` is OK or KO."""

    kind: str
    when: str
    outcome: str
    detail: str


def reply(
    *,
    identifier: str,
    request: str,
    when: datetime,
    agency: str,
    sender: str,
    accepted: bool,
    comments: Iterable[str],
    events: Iterable[Happened],
    aip: str | None = None,
) -> bytes:
    """An ArchiveTransferReply (SEDA 2.3): OK with the archive's identifier, or KO with the reasons as events."""
    root = etree.Element(f"{_N}ArchiveTransferReply", nsmap={None: NAMESPACE})  # type: ignore[dict-item] # the default namespace

    def add(parent: Any, name: str, text: str | None = None) -> Any:
        node = etree.SubElement(parent, _N + name)
        if text is not None:
            node.text = _clean(text)
        return node

    for comment in comments:
        add(root, "Comment", comment)
    add(root, "Date", when.isoformat(timespec="seconds"))
    add(root, "MessageIdentifier", identifier)
    add(add(root, "CodeListVersions"), "ReplyCodeListVersion", "OK, KO")
    if aip:
        package = add(root, "DataObjectPackage")
        unit = add(add(package, "DescriptiveMetadata"), "ArchiveUnit")
        unit.set("id", f"AIP-{aip}")
        add(add(unit, "Content"), "SystemId", aip)
        add(package, "ManagementMetadata")
    add(root, "ReplyCode", "OK" if accepted else "KO")
    operation = add(root, "Operation")
    for happened in events:
        event = add(operation, "Event")
        add(event, "EventType", happened.kind)
        add(event, "EventDateTime", happened.when)
        add(event, "Outcome", happened.outcome)
        add(event, "OutcomeDetailMessage", happened.detail)
    add(root, "MessageRequestIdentifier", request or UNKNOWN)
    if accepted:
        add(root, "GrantDate", when.isoformat(timespec="seconds"))
    add(add(root, "ArchivalAgency"), "Identifier", agency)
    add(add(root, "TransferringAgency"), "Identifier", sender)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def acknowledgement(*, identifier: str, received: str, when: datetime, agency: str, sender: str, comment: str) -> bytes:
    """An Acknowledgement (SEDA 2.3): the SIP is in our hands, its answer comes later."""
    root = etree.Element(f"{_N}Acknowledgement", nsmap={None: NAMESPACE})  # type: ignore[dict-item] # the default namespace
    values = (
        ("Comment", comment),
        ("Date", when.isoformat(timespec="seconds")),
        ("MessageIdentifier", identifier),
        ("MessageReceivedIdentifier", received or UNKNOWN),
    )
    for name, text in values:
        etree.SubElement(root, _N + name).text = _clean(text)
    for name, text in (("Sender", agency), ("Receiver", sender)):
        etree.SubElement(etree.SubElement(root, _N + name), f"{_N}Identifier").text = _clean(text)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _clean(text: str) -> str:
    """XML 1.0 has no control characters."""
    return "".join(char if char >= " " or char in "\n\t" else "?" for char in text).encode("utf-8", "replace").decode()
