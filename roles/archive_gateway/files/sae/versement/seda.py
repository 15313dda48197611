"""SEDA 2.3: read an ArchiveTransfer that may be hostile, write an ArchiveTransferReply."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from lxml import etree

from sae.versement.description import Declared, Description, Rule, algorithm
from sae.versement.refusal import Reason, Refusal, refuse

NAMESPACE = "fr:gouv:culture:archivesdefrance:seda:v2.3"
MANIFEST = "manifest.xml"
_N = f"{{{NAMESPACE}}}"
_MAX_ERRORS = 10
# What is read of a manifest: fields, and the elements that lead to them. Of anything else no tree is made.
_FRAME = frozenset(
    {
        "ArchiveTransfer", "ArchivalAgency", "TransferringAgency", "DataObjectPackage", "DataObjectGroup",
        "BinaryDataObject", "DescriptiveMetadata", "ArchiveUnit", "Content", "ManagementMetadata", "Management",
        "AppraisalRule",
    }
)  # fmt: skip
_FIELDS = frozenset(
    {
        "Identifier", "Date", "MessageIdentifier", "Uri", "MessageDigest", "Size", "Title", "Rule", "StartDate",
        "FinalAction",
    }
)  # fmt: skip
# 10,000 files take nine of these elements each, and twenty-four of all kinds with their attributes. Validating takes
# some 140 bytes for each of any kind.
_MAX_NODES, _MAX_KEPT, _MAX_TEXT, _MAX_DEPTH = 300_000, 150_000, 16_000_000, 100
_BLOCK, _MAX_TAG = 1 << 16, 1 << 20
UNKNOWN = "inconnu"


# No entity, no DTD, no network, nothing huge.
_PARSER: dict[str, Any] = {
    "resolve_entities": False, "load_dtd": False, "dtd_validation": False, "no_network": True, "huge_tree": False,
}  # fmt: skip


class _Reading:
    """A parser's target: the tree of what is read of a manifest, and nothing of the rest, which may be anything.

    Raises Refusal at what would fill the memory or the processor.
    """

    def __init__(self) -> None:
        self.told = 0
        self._nodes = self._kept = self._text = 0
        self._stack: list[str | None] = []  # names of the open elements, None for those that are left out
        self._tree = etree.TreeBuilder()
        self.identifier: str | None = None

    def start_ns(self, prefix: str, uri: str) -> None:
        self._count(1)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._count(1 + len(attributes))
        if len(self._stack) == _MAX_DEPTH:
            raise refuse("MANIFESTE", f"{MANIFEST} imbrique ses éléments sur plus de {_MAX_DEPTH} niveaux.")
        name = tag.rpartition("}")[2]
        if self._stack and (self._stack[-1] not in _FRAME or name not in _FRAME | _FIELDS):
            self._stack.append(None)
            return
        self._kept += 1
        if self._kept > _MAX_KEPT:
            raise refuse(
                "MANIFESTE", f"{MANIFEST} décrit trop d'objets et d'unités : répartissez-les en plusieurs SIP."
            )
        self._stack.append(name if len(self._stack) else "ArchiveTransfer")
        self._tree.start(tag, {key: value for key, value in attributes.items() if key == "algorithm"})

    def end(self, tag: str) -> None:
        if self._stack.pop() is not None:
            node: Any = self._tree.end(tag)  # type: ignore[func-returns-value] # it gives the element, stubs say not
            if len(self._stack) == 1 and tag.rpartition("}")[2] == "MessageIdentifier":
                self.identifier = str(node.text or "")

    def data(self, text: str) -> None:
        self.told += 1
        if self._stack[-1] in _FIELDS:
            self._text += len(text) + 8  # each piece is an object until the element ends
            if self._text > _MAX_TEXT:
                raise refuse("MANIFESTE", f"{MANIFEST} a des champs démesurés : plus de {_MAX_TEXT // 1_000_000} Mo.")
            self._tree.data(text)

    def comment(self, text: str) -> None:
        self.told += 1

    def pi(self, target: str, text: str | None = None) -> None:
        self.told += 1

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        # An entity that is only declared is already an attack in the making; SEDA has no use for a DTD.
        raise refuse("MANIFESTE", f"{MANIFEST} contient une déclaration DOCTYPE (entités XML) : refusé sans être lu.")

    def close(self) -> None: ...

    def root(self) -> Any:
        """The tree, once the whole file is read."""
        return self._tree.close()

    def _count(self, nodes: int) -> None:
        self.told += 1
        self._nodes += nodes
        if self._nodes > _MAX_NODES:
            text = f"a plus de {_MAX_NODES} éléments et attributs : répartissez le transfert en plusieurs SIP"
            raise refuse("MANIFESTE", f"{MANIFEST} {text}.")


def _parsed(path: Path, limit: int, identifier: bool = False) -> Any:
    """The tree of a manifest, or its identifier alone if it is asked for. Raises Refusal (code MANIFESTE)."""
    if path.stat().st_size > limit:
        raise refuse("MANIFESTE", f"{MANIFEST} dépasse {limit // 1_000_000} Mo.")
    reading = _Reading()
    parser = etree.XMLParser(target=cast(Any, reading), **_PARSER)
    told, silent = 0, 0
    try:
        for block in _blocks(path):
            parser.feed(block)
            if identifier and reading.identifier is not None:
                return reading.identifier
            # The parser holds a tag, with its attributes, until it is whole.
            silent, told = (silent + len(block) if reading.told == told else 0), reading.told
            if silent > _MAX_TAG:
                text = "a une balise, un commentaire ou une section CDATA de plus d'un mégaoctet"
                raise refuse("MANIFESTE", f"{MANIFEST} {text}.")
        parser.close()
    except etree.XMLSyntaxError as error:
        where = f" (ligne {error.lineno})" if error.lineno else ""
        raise refuse("MANIFESTE", f"{MANIFEST} n'est pas du XML bien formé{where} : {error.msg}") from error
    return UNKNOWN if identifier else reading.root()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block


def parse_xml(path: Path, limit: int) -> Any:
    """The root of a manifest of `limit` bytes at most, with the elements that are read here. Raises Refusal."""
    return _parsed(path, limit)


@cache
def _schema() -> etree.XMLSchema:
    text = importlib.resources.files("sae.versement").joinpath("seda-transfert.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(text))


def _text(node: Any, path: str) -> str:
    return " ".join(str(node.findtext("/".join(_N + step for step in path.split("/")), "")).split())


def message_identifier(path: Path, limit: int) -> str:
    """The transfer's identifier if it can be read at all, for the answer to a SIP that is refused."""
    try:
        return " ".join(_parsed(path, limit, identifier=True).split())[:500] or UNKNOWN
    except Refusal:
        return UNKNOWN


def read(path: Path, fingerprint: str, limit: int, agency: str) -> Description:
    """Read and check a manifest. `agency` is this archive's identifier. Raises Refusal."""
    root = parse_xml(path, limit)
    _check_root(root)
    if faults := _schema_faults(path, _schema()):
        raise Refusal(faults)
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


def _schema_faults(path: Path, schema: etree.XMLSchema) -> list[Reason]:
    """The first faults against the schema, with their lines; none when the file conforms.

    Validated as it is read: on a tree, a file made of faults alone would take hours.
    """
    first = next(((rank, one) for rank, one in enumerate(_validated(_blocks(path), schema)) if one[1]), None)
    if first is None:
        return []
    clean, (block, faults) = first
    # The validator tells no line: it is given the first block that has faults again, line by line.
    lines = block.splitlines(keepends=True)
    pieces = _validated(chain(islice(_blocks(path), clean), lines), schema)
    found, line = [], 1
    for piece, faults in islice(pieces, clean + len(lines)):
        found += [(line, fault) for fault in faults]
        line += piece.count(b"\n")
    return [
        Reason("MANIFESTE", f"Ligne {line} : non conforme au SEDA 2.3. {fault}"[:400])
        for line, fault in (found or [(line, fault) for fault in faults])[:_MAX_ERRORS]
    ]


class _Deaf:
    """A parser's target that keeps nothing."""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None: ...

    def end(self, tag: str) -> None: ...

    def close(self) -> None: ...


def _validated(pieces: Iterable[bytes], schema: etree.XMLSchema) -> Iterator[tuple[bytes, list[str]]]:
    """Each piece of a well-formed file, with the faults that came to light with it."""
    parser = etree.XMLParser(schema=schema, target=cast(Any, _Deaf()), **_PARSER)
    told = 0
    for piece in pieces:
        parser.feed(piece)
        log = [one for one in parser.feed_error_log if one.domain_name.startswith("SCHEMAS")]
        yield piece, [str(one.message).replace(_N, "") for one in log[told:]]
        told = len(log)
    try:
        parser.close()
    except etree.XMLSyntaxError as error:
        yield b"", [str(error.msg).replace(_N, "")]


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
