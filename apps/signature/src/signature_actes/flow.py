"""A Helios flow (PES Aller) read as it streams: one of 150 MB takes no more memory than a small one.

Expat reads it twice: `scan` for what it is made of, within bounds, then `Flow.digests` for what is signed of it.
"""

from __future__ import annotations

import hashlib
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat
from xml.parsers.expat.errors import XML_ERROR_NO_MEMORY, codes

from .files import MAX_BYTES, check_size
from .refusal import DocumentRefusedError

DS = "http://www.w3.org/2000/09/xmldsig#"
XML = "http://www.w3.org/XML/1998/namespace"
MAX_ELEMENTS = 10_000_000  # twice what a flow of 150 MB holds in practice
MAX_DEPTH = 100
MAX_IDS = 100_000
MAX_TAG = 10_000_000  # bytes of one tag, comment or instruction, as in libxml2
MAX_SIGNATURE = 64_000  # characters of one signature: four certificates take 12,000
ENCODINGS = ("iso-8859-1", "iso-8859-15", "windows-1252", "us-ascii", "utf-8")
_FLOWS = ("PES_DepenseAller", "PES_RecetteAller")
_FLOW_CHUNK_BYTES = 1 << 18
_FLOW_ID_PATTERN = re.compile(r"[\w.-]{1,200}")
_IN_TEXT = re.compile(r"[&<>\r]")
_IN_VALUE = re.compile(r'[&<"\t\n\r]')
_TEXT_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("\r"): "&#xD;"}
_ATTRIBUTE_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord('"'): "&quot;", 9: "&#x9;", 10: "&#xA;", 13: "&#xD;"}
_REEXPORT_HINT = "À faire : exportez de nouveau le flux"


class _UnreadableFlowError(Exception):
    """No well-formed XML, or outside the bounds; the text says what, in French."""


@dataclass
class Signable:
    """What of a flow may be signed: the flow, or one of its bordereaux.

    Attributes:
        name: its Id; empty without one.
        end: bytes before its end tag.
        signatures: each ds:Signature that is its child, in an element that declares the namespaces in scope.
    """

    name: str
    end: int = 0
    signatures: list[str] = field(default_factory=list)


@dataclass
class Flow:
    """What a flow is made of.

    Attributes:
        encoding: of its bytes.
        root: the whole of it.
        slips: its bordereaux.
        ids: every identifier in it.
        astray: there are signatures elsewhere than in the flow or a bordereau.
    """

    path: Path
    encoding: str
    root: Signable
    slips: list[Signable]
    ids: set[str]
    astray: bool = False

    @property
    def signed(self) -> list[Signable]:
        """What of it is signed: its bordereaux when all have an Id, or else the whole.

        Raises:
            Refusal: neither has.
        """
        if self.slips and all(slip.name for slip in self.slips):
            return self.slips
        if self.root.name:
            return [self.root]
        raise DocumentRefusedError(
            f"{self.path.name} : ni les bordereaux ni le fichier n'ont d'attribut Id : rien ne peut être désigné à la "
            f"signature. {_REEXPORT_HINT}, avec un Id à chaque bordereau (réglage de la comptabilité)"
        )

    def digests(self, wanted: Mapping[str, str]) -> tuple[dict[str, bytes], bytes]:
        """Digest parts in exclusive canonical form, and the whole flow, all without signatures.

        The whole counts comments and processing instructions too, so that nothing is added unseen.

        Args:
            wanted: Id of each part, and its digest's name for hashlib.
        """
        reader = _Canonical(wanted)
        _feed_parser(self.path, reader.parser)
        reader.flush()
        return reader.found, reader.whole.digest()


def scan(path: Path, limit: int = MAX_BYTES) -> Flow:
    """Read what a flow is made of.

    Args:
        limit: bytes.

    Raises:
        Refusal: no PES, damaged, with a DOCTYPE, outside the bounds.
    """
    check_size(path, limit)
    with path.open("rb") as stream:
        if stream.read(2) in (BOM_UTF16_BE, BOM_UTF16_LE):
            raise DocumentRefusedError(_check_encoding(path, "utf-16"))
    reader = _Scan(path)
    _feed_parser(path, reader.parser)
    return reader.flow


def _feed_parser(path: Path, parser: Any) -> None:
    """Feed a parser; raises Refusal, or MemoryError."""
    fed, told = 0, ""
    try:
        with path.open("rb") as stream:
            while block := stream.read(_FLOW_CHUNK_BYTES):
                fed += len(block)
                parser.Parse(block, False)
                if fed - parser.CurrentByteIndex > MAX_TAG:
                    raise _UnreadableFlowError("une balise ou un commentaire y est démesuré")
            parser.Parse(b"", True)
    except expat.ExpatError as error:
        if error.code == codes[XML_ERROR_NO_MEMORY]:
            raise MemoryError from None
        told = f"ligne {error.lineno}"
    except (_UnreadableFlowError, UnicodeError, LookupError, OSError) as error:
        told = str(error) if isinstance(error, _UnreadableFlowError) else type(error).__name__
    if told:
        raise DocumentRefusedError(f"{path.name} : ce n'est pas un fichier XML lisible ({told}). {_REEXPORT_HINT}")


def _attribute_pairs(attributes: list[str]) -> Iterator[tuple[str, str]]:
    """Names and values, which expat gives in turn."""
    return zip(attributes[::2], attributes[1::2], strict=True)


def _declares_namespace(name: str) -> bool:
    return name == "xmlns" or name.startswith("xmlns:")


def _escape_text(text: str) -> str:
    return text.translate(_TEXT_ESCAPES) if _IN_TEXT.search(text) else text


def _escape_attribute(text: str) -> str:
    return text.translate(_ATTRIBUTE_ESCAPES) if _IN_VALUE.search(text) else text


def _check_encoding(path: Path, found: str) -> str:
    return f"{path.name} : l'encodage « {found[:40]} » n'est pas admis. À faire : exportez le flux en ISO-8859-1"


def _make_parser() -> Any:
    parser = expat.ParserCreate(intern={})
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.buffer_size = 1 << 16
    return parser


def _namespace_scope(before: dict[str, str], attributes: list[str]) -> dict[str, str]:
    """Namespaces by prefix, in an element with these attributes (names and values in turn)."""
    declared: dict[str, str] = {}
    for name, uri in _attribute_pairs(attributes):
        if name == "xmlns":
            declared[""] = uri
        elif name.startswith("xmlns:"):
            prefix = name[6:]
            if not uri or ":" in prefix or prefix in ("xmlns", "xml") or uri == XML:
                raise _UnreadableFlowError(f"l'espace de noms « {name[:100]} » n'en est pas un")
            declared[prefix] = uri
    return before | declared if declared else before


def _resolve_name(name: str, scope: Mapping[str, str], *, attribute: bool = False) -> tuple[str, str]:
    """Namespace and local name."""
    prefix, colon, local = name.rpartition(":")
    if not colon:
        return ("" if attribute else scope.get("", "")), name
    if ":" in prefix or prefix not in scope:
        raise _UnreadableFlowError(f"le préfixe de « {name[:100]} » n'est pas déclaré")
    return scope[prefix], local


class _Scan:
    """Finds the parts, their signatures and the identifiers; stops at whatever is out of bounds."""

    def __init__(self, path: Path) -> None:
        self.parser = parser = _make_parser()
        self.flow: Flow = Flow(path, "utf-8", Signable(""), [], set())
        self._open: list[tuple[str, Signable | None]] = []  # local name of each, and the part it is
        self._scopes: list[dict[str, str]] = [{"xml": XML}]
        self._kept: list[str] | None = None  # the signature being read
        self._kept_size = self._kept_depth = 0
        self._elements = 0
        parser.XmlDeclHandler = self._handle_declaration
        parser.StartDoctypeDeclHandler = self._handle_doctype
        parser.StartElementHandler = self._start_element
        parser.EndElementHandler = self._end_element
        parser.CommentHandler = lambda _text: self._append_text("<!---->")
        parser.ProcessingInstructionHandler = lambda _target, _data: self._append_text("<?x?>")

    def _handle_declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        known = (encoding or "utf-8").lower()
        if known not in ENCODINGS:
            raise DocumentRefusedError(_check_encoding(self.flow.path, known))
        self.flow.encoding = known

    def _handle_doctype(self, *_what: Any) -> None:
        raise DocumentRefusedError(
            f"{self.flow.path.name} : une déclaration DOCTYPE n'a pas sa place dans un PES. {_REEXPORT_HINT}"
        )

    def _start_element(self, name: str, attributes: list[str]) -> None:
        self._elements += 1
        depth = len(self._open)
        if depth >= MAX_DEPTH:
            raise _UnreadableFlowError(f"plus de {MAX_DEPTH} éléments imbriqués")
        if self._elements > MAX_ELEMENTS:
            raise _UnreadableFlowError(f"plus de {MAX_ELEMENTS:,} éléments".replace(",", " "))
        scope = self._scopes[-1]
        plain = not attributes or (len(attributes) == 2 and attributes[0] == "V")
        if plain and self._kept is None and depth > 2 and not scope.get("") and ":" not in name:
            self._scopes.append(scope)  # nearly all of a flow: nothing to look for
            self._open.append((name, None))
            return
        scope = _namespace_scope(scope, attributes)
        uri, local = _resolve_name(name, scope)
        for attribute in attributes[::2]:
            if not _declares_namespace(attribute):
                _resolve_name(attribute, scope, attribute=True)
        identifier = self._element_identifier(attributes)
        part = None
        if depth == 0:
            if local != "PES_Aller":
                raise DocumentRefusedError(
                    f"{self.flow.path.name} : ce n'est pas un PES Aller. À faire : signez le fichier que la "
                    "comptabilité exporte"
                )
            part = self.flow.root = Signable(identifier)
        elif depth == 2 and local == "Bordereau" and self._open[1][0] in _FLOWS:
            part = Signable(identifier)
            self.flow.slips.append(part)
        elif self._kept is None and (uri, local) == (DS, "Signature"):
            self._kept, self._kept_size, self._kept_depth = [], 0, depth
            self.parser.CharacterDataHandler = lambda text: self._append_text(_escape_text(text))
            inherited = self._scopes[-1].items()
            declared = "".join(f' xmlns{p and ":"}{p}="{_escape_attribute(u)}"' for p, u in inherited if p != "xml")
            self._append_text(f"<in-scope{declared}>")
        if self._kept is not None:
            pairs = "".join(f' {key}="{_escape_attribute(text)}"' for key, text in _attribute_pairs(attributes))
            self._append_text(f"<{name}{pairs}>")
        self._scopes.append(scope)
        self._open.append((local, part))

    def _element_identifier(self, attributes: list[str]) -> str:
        """The Id among attributes; whatever else is taken for an identifier somewhere is in `Flow.ids` as well."""
        found = ""
        for name, text in _attribute_pairs(attributes):
            # Verifiers that are told of Id know it by its local name, whatever its prefix.
            if name.rpartition(":")[2].lower() == "id":
                flow = self.flow
                if not _FLOW_ID_PATTERN.fullmatch(text):
                    raise DocumentRefusedError(
                        f"{flow.path.name} : l'attribut {name} « {text[:200]} » n'en est pas un. {_REEXPORT_HINT}"
                    )
                if text in flow.ids:
                    what = "bordereaux" if text in [slip.name for slip in flow.slips] else "éléments"
                    raise DocumentRefusedError(
                        f"{flow.path.name} : deux {what} ont le même Id « {text} ». {_REEXPORT_HINT}"
                    )
                if len(flow.ids) >= MAX_IDS:
                    raise _UnreadableFlowError("trop d'attributs Id")
                flow.ids.add(text)
                found = text if name == "Id" else found
        return found

    def _end_element(self, name: str) -> None:
        _local, part = self._open.pop()
        self._scopes.pop()
        if part is not None:
            part.end = self.parser.CurrentByteIndex
        if self._kept is not None:
            self._append_text(f"</{name}>")
            if len(self._open) == self._kept_depth:
                self._close_signature()

    def _append_text(self, text: str) -> None:
        if self._kept is not None:
            self._kept_size += len(text)
            if self._kept_size > MAX_SIGNATURE:
                raise DocumentRefusedError(
                    f"{self.flow.path.name} : une signature y est démesurée. {_REEXPORT_HINT}, puis signez-le"
                )
            self._kept.append(text)

    def _close_signature(self) -> None:
        self._append_text("</in-scope>")
        above = self._open[-1][1]
        if above is None:
            self.flow.astray = True
        else:
            above.signatures.append("".join(self._kept or []))
        self._kept = None
        self.parser.CharacterDataHandler = None


class _Canonical:
    """Writes exclusive canonical XML (W3C REC-xml-exc-c14n-20020718) into digests, without signatures."""

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self.parser = _make_parser()
        self.whole = hashlib.sha256()
        self.found: dict[str, bytes] = {}
        self._install_handlers(wanted)

    def _install_handlers(self, wanted: Mapping[str, str]) -> None:
        # Closures: look-ups of attributes would double the time of what runs for each tag.
        parser, whole, found = self.parser, self.whole, self.found
        out: list[str] = []
        add = out.append
        part: Any = None
        part_name, part_depth = "", -1
        skipped = 0
        plain_names: set[str] = set()
        # Of each open element: namespaces in scope, those written already, neither has a default one.
        state: tuple[dict[str, str], dict[str, str], bool] = ({"xml": XML}, {}, True)
        states = [state]

        def flush() -> None:
            data = "".join(out).encode()
            out.clear()
            whole.update(data)
            if part is not None:
                part.update(data)

        def start(name: str, attributes: list[str]) -> None:
            nonlocal skipped
            if skipped:
                skipped += 1
            elif state[2] and name in plain_names and not attributes:
                states.append(state)
                add(f"<{name}>")
            elif state[2] and name in plain_names and len(attributes) == 2 and attributes[0] == "V":
                states.append(state)
                text = attributes[1]
                add(f'<{name} V="{text.translate(_ATTRIBUTE_ESCAPES) if _IN_VALUE.search(text) else text}">')
            else:
                general(name, attributes)

        def general(name: str, attributes: list[str]) -> None:
            nonlocal state, skipped, part, part_name, part_depth
            scope = _namespace_scope(state[0], attributes)
            if _resolve_name(name, scope) == (DS, "Signature"):
                skipped = 1
                return
            written = state[1]
            pairs = [(key, text) for key, text in _attribute_pairs(attributes) if not _declares_namespace(key)]
            identifier = dict(pairs).get("Id", "")
            if identifier in wanted:
                flush()
                part, part_name, part_depth, written = hashlib.new(wanted[identifier]), identifier, len(states), {}
            ordered = sorted((_resolve_name(key, scope, attribute=True), key, text) for key, text in pairs)
            if len({expanded for expanded, _key, _text in ordered}) < len(ordered):
                raise _UnreadableFlowError(f"« {name[:100]} » a deux fois le même attribut")
            used = {key.rpartition(":")[0] for key in [name, *(key for key, _text in pairs if ":" in key)]} - {"xml"}
            new = {prefix: scope.get(prefix, "") for prefix in used if written.get(prefix, "") != scope.get(prefix, "")}
            add(f"<{name}")
            out.extend(
                f' xmlns{prefix and ":"}{prefix}="{_escape_attribute(uri)}"' for prefix, uri in sorted(new.items())
            )
            out.extend(f' {key}="{_escape_attribute(text)}"' for _expanded, key, text in ordered)
            add(">")
            written = written | new if new else written
            state = (scope, written, not scope.get("") and not written.get(""))
            states.append(state)
            if ":" not in name and len(plain_names) < 1000:
                plain_names.add(name)

        def end(name: str) -> None:
            nonlocal state, skipped, part, part_depth
            if skipped:
                skipped -= 1
                return
            add(f"</{name}>")
            states.pop()
            state = states[-1]
            if len(states) == part_depth:
                flush()
                found[part_name] = part.digest()
                part, part_depth = None, -1
            elif len(out) > 50_000:
                flush()

        def text(data: str) -> None:
            if not skipped:
                add(_escape_text(data))
                if len(data) > 1000:
                    flush()

        def comment(data: str) -> None:
            if not skipped:
                flush()
                whole.update(f"<!--{data}-->".encode())

        def instruction(target: str, data: str) -> None:
            if not skipped:
                add(f"<?{target} {data}?>" if data else f"<?{target}?>")

        parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
        parser.CommentHandler, parser.ProcessingInstructionHandler = comment, instruction
        self.flush = flush
