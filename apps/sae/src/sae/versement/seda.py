"""SEDA 2.1 to 2.3: read an ArchiveTransfer that may be hostile, write an ArchiveTransferReply in its version.

A manifest is read twice, element by element, and never held whole: once for its form, its size and its version, once
against the version's schema, where what the gateway needs is taken on the way.
"""

from __future__ import annotations

import base64
import importlib.resources
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from lxml import etree

from sae.versement.description import SEDA_VERSION, Declared, Description, Rule, algorithm
from sae.versement.refusal import Reason, SipRefusedError, refuse

VERSIONS = ("2.1", "2.2", "2.3")
MANIFEST = "manifest.xml"
UNKNOWN = "inconnu"
_MAX_ERRORS = 10
# 10,000 files as sedalib describes them take some thirty elements and attributes each; a million take seconds.
_MAX_NODES, _MAX_DEPTH, _MAX_TAG = 1_000_000, 100, 1 << 20
_MAX_NAMES = 10_000  # libxml2 2.9 looks every new name up among all those of the file
_MAX_IDENTIFIER = 500
_XML_BLOCK_BYTES = 1 << 16
_XML_SPACES_PATTERN = re.compile(r"[ \t\r\n]+")
_XML_ID_ATTRIBUTE = "{http://www.w3.org/XML/1998/namespace}id"
_SINCE, _UNTIL = "{urn:creatic:seda-version}since", "{urn:creatic:seda-version}until"
_DIGEST_SIZES = {"SHA-256": 32, "SHA-512": 64}


def namespace(version: str) -> str:
    """The namespace of a version of SEDA."""
    return f"fr:gouv:culture:archivesdefrance:seda:v{version}"


NAMESPACE = namespace(SEDA_VERSION)


# -- the file -----------------------------------------------------------------------------------------------

# No entity, no DTD, no network, nothing huge.
_PARSER: dict[str, Any] = {
    "resolve_entities": False,
    "load_dtd": False,
    "dtd_validation": False,
    "no_network": True,
    "huge_tree": False,
}


class _Form:
    """A parser's target: what is known of a manifest before its schema, as far as it was read; no tree is made.

    Raises Refusal at what would fill the memory or the processor.
    """

    def __init__(self) -> None:
        self.root: etree.QName | None = None
        self.told = 0
        self._nodes = self._depth = 0
        self._names: set[str] = set()
        self._message: list[str] | None = None  # pieces of the identifier, once it began
        self._taking = False

    @property
    def message(self) -> str:
        return _collapse_spaces("".join(self._message or []))

    def start_ns(self, prefix: str, uri: str) -> None:
        self._count_names(uri)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._count_names(tag, *attributes)
        if self._depth == _MAX_DEPTH:
            raise refuse("MANIFESTE", f"{MANIFEST} imbrique ses éléments sur plus de {_MAX_DEPTH} niveaux.")
        self._depth += 1
        if self.root is None:
            self.root = etree.QName(tag)
        elif self._message is None and self._depth == 2 and tag == f"{{{self.root.namespace}}}MessageIdentifier":
            self._message, self._taking = [], True

    def end(self, tag: str) -> None:
        self.told += 1
        self._depth -= 1
        self._taking = False

    def data(self, text: str) -> None:
        self.told += 1
        if self._taking and self._message is not None and len(self._message) < 1000:
            self._message.append(text)

    def comment(self, text: str) -> None:
        self.told += 1

    def pi(self, target: str, text: str | None = None) -> None:
        self.told += 1

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        # An entity that is only declared is already an attack in the making; SEDA has no use for a DTD.
        raise refuse("MANIFESTE", f"{MANIFEST} contient une déclaration DOCTYPE (entités XML) : refusé sans être lu.")

    def close(self) -> None: ...

    def _count_names(self, *names: str) -> None:
        self.told += 1
        self._nodes += len(names)
        if self._nodes > _MAX_NODES:
            text = f"a plus de {_MAX_NODES} éléments et attributs : répartissez le transfert en plusieurs SIP"
            raise refuse("MANIFESTE", f"{MANIFEST} {text}.")
        self._names.update(names)
        if len(self._names) > _MAX_NAMES:
            raise refuse("MANIFESTE", f"{MANIFEST} a plus de {_MAX_NAMES} noms différents d'éléments et d'attributs.")


def _survey_manifest(path: Path, limit: int, form: _Form) -> None:
    """Read a manifest's form into `form`, as far as it goes. Raises Refusal (code MANIFESTE)."""
    if path.stat().st_size > limit:
        raise refuse("MANIFESTE", f"{MANIFEST} dépasse {limit // 1_000_000} Mo.")
    parser = etree.XMLParser(target=cast(Any, form), **_PARSER)
    told = silent = 0
    try:
        with path.open("rb") as stream:
            while block := stream.read(_XML_BLOCK_BYTES):
                parser.feed(block)
                # The parser holds a tag, with its attributes, until it is whole.
                silent, told = (silent + len(block) if form.told == told else 0), form.told
                if silent > _MAX_TAG:
                    text = "a une balise, un commentaire ou une section CDATA de plus d'un mégaoctet"
                    raise refuse("MANIFESTE", f"{MANIFEST} {text}.")
        parser.close()
    except etree.XMLSyntaxError as error:
        where = f" (ligne {error.lineno})" if error.lineno else ""
        raise refuse("MANIFESTE", f"{MANIFEST} n'est pas du XML bien formé{where} : {error.msg}") from error


def _collapse_spaces(text: Any) -> str:
    """A text as xs:token has it."""
    return " ".join(_XML_SPACES_PATTERN.split(str(text or "").strip(" \t\r\n")))


def read_transfer_identity(path: Path, limit: int) -> tuple[str, str]:
    """The transfer's identifier and version of SEDA, as far as they can be read, for the answer to a refused SIP."""
    form = _Form()
    with suppress(SipRefusedError):
        _survey_manifest(path, limit, form)
    found = [one for one in VERSIONS if form.root is not None and form.root.namespace == namespace(one)]
    return form.message[:_MAX_IDENTIFIER] or UNKNOWN, (found or [SEDA_VERSION])[0]


def _seda_version(root: etree.QName | None) -> str:
    """The version of a transfer; raises Refusal when the root is none's."""
    given = root.namespace if root is not None else None
    version = next((one for one in VERSIONS if given == namespace(one)), None)
    if version is None:
        known = f"{namespace(VERSIONS[0])} à {namespace(VERSIONS[-1])}"
        raise refuse(
            "MANIFESTE", f"L'espace de noms « {str(given)[:100]} » n'est pas celui du SEDA 2.1, 2.2 ou 2.3 ({known})."
        )
    if root is not None and root.localname != "ArchiveTransfer":
        raise refuse("MANIFESTE", f"Le message est un « {root.localname[:100]} », un ArchiveTransfer est attendu.")
    return version


# -- the schema ---------------------------------------------------------------------------------------------


class _Beside(etree.Resolver):
    """The schemas that a schema of this package imports."""

    def resolve(self, url: str, public_id: str, context: Any) -> Any:  # type: ignore[override] # the stubs lack context
        return self.resolve_string(_read_resource(url.rpartition("/")[2]), context, base_url=url)


def _read_resource(name: str) -> bytes:
    return importlib.resources.files("sae.versement").joinpath(name).read_bytes()


@cache
def _load_schema(version: str) -> etree.XMLSchema:
    text = _read_resource("seda-transfert.xsd").replace(NAMESPACE.encode(), namespace(version).encode())
    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(_Beside())
    root = etree.fromstring(text, parser)
    for node in list(root.iter("{*}*")):
        if not node.attrib.pop(_SINCE, version) <= version <= node.attrib.pop(_UNTIL, version):
            node.getparent().remove(node)
    return etree.XMLSchema(root)


# What libxml2 says of a fault, and how it is said here.
_SCHEMA_ERROR_TRANSLATIONS = [
    (r"Element '(.*?)', attribute '(.*?)': ", r"élément \1, attribut \2 : "),
    (r"Element '(.*?)': ", r"élément \1 : "),
    (r"This element is not expected\.", "cet élément n'est pas attendu ici."),
    (r"Missing child element\(s\)\.", "il manque un élément."),
    (r" Expected is one of \( (.*) \)\.", r" Sont attendus : \1."),
    (r" Expected is \( (.*) \)\.", r" Est attendu : \1."),
    (r"The attribute '(.*?)' is not allowed\.", r"cet attribut n'est pas admis."),
    (r"The attribute '(.*?)' is required but missing\.", r"l'attribut \1 manque."),
    (r"\[facet 'enumeration'\] The value '(.*)' is not an element of the set \{(.*)\}\.",
     r"« \1 » n'est pas une des valeurs admises : \2."),
    (r"\[facet 'minLength'\] The value (?:'' )?has a length of '0'; this underruns the allowed minimum length of '1'\.",
     "la valeur est vide."),
    (r"'(.*)' is not a valid value of the (?:local )?(?:atomic|union|list) type(?: '(?:xs:)?(.*)')?\.",
     r"« \1 » n'est pas une valeur du type attendu \2."),
    (r"Character content (?:other than whitespace )?is not allowed\b.*", "du texte n'est pas admis ici."),
    (r"Element content is not allowed\b.*", "un élément n'est pas admis dans cette valeur."),
    (r"The QName value '(.*?)' (?:of the xsi:type attribute does not resolve to a type definition"
     r"|has no corresponding namespace declaration in scope)\.",
     r"« \1 » n'est pas un type du standard."),
    (r"The value '(.*?)' of the xsi:type attribute.*|The type definition '(.*?)', specified by xsi:type, is .*",
     r"le type « \1\2 » n'est pas admis ici."),
    (r"The type definition is abstract\.", "le standard n'admet pas cet élément sans type précisé."),
    (r"The element is not 'nillable'\.", "xsi:nil n'est pas admis."),
    (r" type attendu  ?\.", " type attendu."),
]  # fmt: skip # a row a line


def _translate_fault(message: str) -> str:
    """A fault in words of this service; what is not known stays as libxml2 says it."""
    text = re.sub(r"##other\{[^{}]*\}\*", "un élément d'un autre espace de noms", message)
    text = re.sub(r"\{[^{}' ]*\}", "", re.sub(r"'([^']{100})[^']*'", r"'\1…'", text))
    for pattern, wording in _SCHEMA_ERROR_TRANSLATIONS:
        text = re.sub(pattern, wording, text, flags=re.DOTALL)
    return text


# -- what the gateway takes of it ---------------------------------------------------------------------------


def _iter_ended(path: Path, parser: Any) -> Iterator[tuple[Any, int]]:
    """Each element as it ends, and its line; None and the line after each piece read. An element seen is forgotten.

    Raises etree.XMLSyntaxError.
    """
    line = 1
    with path.open("rb") as stream:
        while piece := stream.readline(_XML_BLOCK_BYTES):
            parser.feed(piece)
            for _, node in parser.read_events():
                yield node, line
                node.clear(keep_tail=True)
                # Not the node itself: the parser may be writing the text that follows it.
                while node.getprevious() is not None:
                    del node.getparent()[0]
            yield None, line
            line += piece.endswith(b"\n")
    parser.close()
    for _, node in parser.read_events():
        yield node, line
    yield None, line


_REFERENCES = {
    "ArchiveUnitRefId",
    "DataObjectReferenceId",
    "DataObjectGroupReferenceId",
    "SignedObjectId",
    "SignedDocumentReferenceId",
}
_COLLECTED_ELEMENTS = _REFERENCES | {
    "MessageIdentifier", "Date", "Identifier", "Title", "Uri", "Size", "Attachment", "MessageDigest", "Rule",
    "StartDate", "FinalAction", "BinaryDataObject", "DataObjectGroupId", "Relationship", "ArchivalAgreement",
}  # fmt: skip # a list of words


@dataclass
class _Transfer:
    """What is taken of a manifest on the way, and the faults that the schema cannot tell element by element.

    The validating parser has no table of identifiers: xs:ID and xs:IDREF are checked here.
    """

    version: str
    values: dict[str, str] = field(default_factory=dict)
    objects: list[dict[str, str]] = field(default_factory=list)
    # Code ("" for a unit that only tells its fate), first day or "", final action.
    rules: list[tuple[str, str, str]] = field(default_factory=list)
    title: str = ""
    faults: list[tuple[int, str]] = field(default_factory=list)  # line, text
    _object: dict[str, str] = field(default_factory=dict)
    _codes: list[tuple[str, str]] = field(default_factory=list)
    _identifiers: set[str] = field(default_factory=set)
    _references: dict[str, int] = field(default_factory=dict)

    def see(self, node: Any, line: int) -> None:
        """Take of an element, with all that it holds already seen, what is needed."""
        if _XML_ID_ATTRIBUTE in node.attrib:
            self._record_identifier(node.get(_XML_ID_ATTRIBUTE), line)
        name = node.tag.rpartition("}")[2]
        if ("id" not in node.attrib and name not in _COLLECTED_ELEMENTS) or not self._is_standard(node):
            return
        if "id" in node.attrib:
            self._record_identifier(node.get("id"), line)
        if name == "DataObjectGroupId":
            self._record_identifier(node.text, line)
        elif name in _REFERENCES:
            self._references.setdefault(_collapse_spaces(node.text), line)
        elif name == "Relationship":
            self._references.setdefault(_collapse_spaces(node.get("target")), line)
        elif (parent := node.getparent()) is not None:
            self._take_value(name, parent.tag.rpartition("}")[2], node)

    def _is_standard(self, node: Any) -> bool:
        """Neither the element nor what it stands in comes from another standard, of which the schema says nothing."""
        space = f"{{{namespace(self.version)}}}"
        while node is not None and node.tag.startswith(space):
            node = node.getparent()
        return node is None

    def _record_identifier(self, given: Any, line: int) -> None:
        identifier = _collapse_spaces(given)
        if identifier in self._identifiers and len(self.faults) < _MAX_ERRORS:
            self.faults.append((line, f"l'identifiant « {identifier[:100]} » est employé deux fois."))
        self._identifiers.add(identifier)

    def dangling(self) -> None:
        """Add the references to what is not there to the faults."""
        for wanted, line in self._references.items():
            if wanted not in self._identifiers:
                self.faults.append((line, f"rien ne porte l'identifiant « {wanted[:100]} », auquel on renvoie ici."))
                if len(self.faults) >= _MAX_ERRORS:
                    return

    def _take_value(self, name: str, parent: str, node: Any) -> None:
        text = _collapse_spaces(node.text)
        match parent, name:
            case "ArchiveTransfer", "MessageIdentifier" | "Date" | "ArchivalAgreement":
                self.values[name] = text
            case "ArchivalAgency" | "TransferringAgency", "Identifier":
                self.values[parent] = text
            case "Content", "Title":
                self.title = self.title or " ".join(str(node.text or "").split())[:300]
            case "BinaryDataObject", "Uri" | "Size":
                self._object[name] = text
            case "BinaryDataObject", "Attachment":
                self._object[name] = "oui"
            case "BinaryDataObject", "MessageDigest":
                self._object[name], self._object["algorithm"] = text, str(node.get("algorithm", ""))
            case _, "BinaryDataObject":
                self.objects.append({**self._object, "id": str(node.get("id", ""))})
                self._object = {}
            case "AppraisalRule", "Rule":
                self._codes.append((text, ""))
            case "AppraisalRule", "StartDate" if self._codes:
                self._codes[-1] = (self._codes[-1][0], text)
            case "AppraisalRule", "FinalAction":
                self.rules += [(code, start, text) for code, start in self._codes or [("", "")]]
                self._codes = []


def _read_transfer(path: Path, version: str) -> _Transfer:
    """Read a well-formed manifest against its schema. Raises Refusal with all that does not conform to it."""
    transfer = _Transfer(version)
    # Not with a target: lxml then validates no attribute.
    parser = etree.XMLPullParser(
        events=("end",), schema=_load_schema(version), remove_comments=True, remove_pis=True, **_PARSER
    )
    faults: list[tuple[int, str]] = []
    try:
        for node, line in _iter_ended(path, parser):
            if node is not None:
                transfer.see(node, line)
                continue
            said = [one for one in parser.feed_error_log if one.domain_name == "SCHEMASV"]
            faults += [(line, _translate_fault(str(one.message))) for one in said[len(faults) :]]
            if len(faults) >= _MAX_ERRORS:
                break
    except etree.XMLSyntaxError as error:  # said at the end, when something did not conform
        faults = faults or [(0, _translate_fault(str(error.msg)))]
    if not faults:
        transfer.dangling()
    if faults := sorted([*faults, *transfer.faults])[:_MAX_ERRORS]:
        told = (f"Ligne {line} : " + f"non conforme au SEDA {version} : {text}"[:400] for line, text in faults)
        raise SipRefusedError(Reason("MANIFESTE", text) for text in told)
    return transfer


def read(path: Path, fingerprint: str, limit: int, agency: str) -> Description:
    """Read and check a manifest. `agency` is this archive's identifier. Raises Refusal (code MANIFESTE).

    What does not conform to the standard is told first; then, of a transfer that conforms, what this service refuses.
    """
    form = _Form()
    _survey_manifest(path, limit, form)
    transfer = _read_transfer(path, _seda_version(form.root))
    faults: list[str] = []
    if len(form.message) > _MAX_IDENTIFIER or not form.message:
        faults.append(f"MessageIdentifier est vide ou fait plus de {_MAX_IDENTIFIER} caractères.")
    if (addressed := transfer.values["ArchivalAgency"]) != agency:
        faults.append(f"Le transfert est adressé à « {addressed[:100]} » ; ce service est « {agency} ».")
    files = list(_declared_files(transfer, faults))
    if not transfer.objects:
        faults.append("Le transfert n'annonce aucun objet-données binaire : il n'y a rien à archiver.")
    seen: set[str] = set()
    for one in files:
        if one.name in seen:
            faults.append(f"« {one.name[:200]} » est annoncé deux fois.")
        seen.add(one.name)
    rules = list(_appraisal_rules(transfer, faults))
    if faults:
        raise SipRefusedError(Reason("MANIFESTE", text) for text in faults)
    return Description(
        kind="SEDA",
        message=form.message,
        agency=transfer.values["TransferringAgency"],
        title=transfer.title,
        rules=rules,
        files=files,
        manifests=[MANIFEST],
        fingerprint=fingerprint,
        seda=transfer.version,
        agreement=transfer.values.get("ArchivalAgreement", ""),
    )


def _declared_files(transfer: _Transfer, faults: list[str]) -> Iterator[Declared]:
    for one in transfer.objects:
        called = f"L'objet « {one['id'][:100]} »"
        if "Uri" not in one:
            where = "porte son contenu dans le bordereau (Attachment)" if "Attachment" in one else "n'a pas d'Uri"
            faults.append(f"{called} {where} : mettez son contenu dans un fichier du SIP, désigné par Uri.")
            continue
        try:
            name = algorithm(one["algorithm"])
        except SipRefusedError as refusal:
            faults.append(f"{called} : {refusal}")
            continue
        digest = _hex_digest(one["MessageDigest"], name)
        if digest is None:
            faults.append(f"{called} : son empreinte n'a pas la longueur d'un {name}.")
            continue
        uri = unicodedata.normalize("NFC", unquote(one["Uri"])).removeprefix("./")
        yield Declared(name=uri, algorithm=name, digest=digest, size=int(one["Size"]) if "Size" in one else None)


def _hex_digest(text: str, name: str) -> str | None:
    """A digest in hexadecimal, which the standard also lets be written in base64; None when its length is wrong."""
    plain = text.replace(" ", "")
    if re.fullmatch(r"[0-9A-Fa-f]+", plain) and len(plain) == 2 * _DIGEST_SIZES[name]:
        return plain.lower()
    try:
        raw = base64.b64decode(plain, validate=True)
    except ValueError:
        return None
    return raw.hex() if len(raw) == _DIGEST_SIZES[name] else None


def _appraisal_rules(transfer: _Transfer, faults: list[str]) -> Iterator[Rule]:
    for code, start, action in transfer.rules:
        day = start or transfer.values["Date"]  # a rule without a day counts from the transfer
        try:
            yield Rule(code, date.fromisoformat(day[:10]), action)
        except ValueError:
            faults.append(f"La règle « {code[:100]} » part du {day[:40]} : une année de 1 à 9999 est attendue.")


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
    version: str = SEDA_VERSION,
) -> bytes:
    """An ArchiveTransferReply (SEDA `version`): OK with the archive's identifier, or KO with the reasons as events."""
    space = namespace(version)
    root = etree.Element(f"{{{space}}}ArchiveTransferReply", nsmap={None: space})  # type: ignore[dict-item] # the default namespace

    def add(parent: Any, name: str, text: str | None = None) -> Any:
        node = etree.SubElement(parent, f"{{{space}}}{name}")
        if text is not None:
            node.text = clean(text)
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
    return written(root)


def acknowledgement(
    *,
    identifier: str,
    received: str,
    when: datetime,
    agency: str,
    sender: str,
    comment: str,
    version: str = SEDA_VERSION,
) -> bytes:
    """An Acknowledgement (SEDA `version`): the SIP is in our hands, its answer comes later."""
    space = namespace(version)
    root = etree.Element(f"{{{space}}}Acknowledgement", nsmap={None: space})  # type: ignore[dict-item] # the default namespace
    values = (
        ("Comment", comment),
        ("Date", when.isoformat(timespec="seconds")),
        ("MessageIdentifier", identifier),
        ("MessageReceivedIdentifier", received or UNKNOWN),
    )
    for name, text in values:
        etree.SubElement(root, f"{{{space}}}{name}").text = clean(text)
    for name, text in (("Sender", agency), ("Receiver", sender)):
        node = etree.SubElement(root, f"{{{space}}}{name}")
        etree.SubElement(node, f"{{{space}}}Identifier").text = clean(text)
    return written(root)


def written(message: Any) -> bytes:
    """A message's bytes."""
    return etree.tostring(message, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def clean(text: str) -> str:
    """XML 1.0 has no control characters, nor U+FFFE and U+FFFF."""
    clean = "".join(char if (char >= " " and char not in "\ufffe\uffff") or char in "\n\t" else "?" for char in text)
    return clean.encode("utf-8", "replace").decode()
