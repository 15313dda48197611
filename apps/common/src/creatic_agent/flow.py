"""The XML of Helios, read by pieces: a flow is as big as the TdT takes, and is never whole in memory.

libxml2 holds each text whole, and refuses those over 10 MB unless all its bounds are lifted. expat hands texts out as
they come; the bounds on what it keeps (names, one tag, depth) are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO
from xml.parsers import expat

from .errors import CreaticError

_BLOCK = 1 << 16
_TAG_MAX = 1_000_000  # bytes of one tag or comment
_NAMES_MAX, _NAMES_SIZE_MAX = 10_000, 1_000_000  # different names, and their characters: the schema has hundreds
_DEPTH_MAX = 256

Path = tuple[str, ...]
"""Names of an element and of those around it, from the root, without their namespaces."""


class FlowError(CreaticError, cause="flux"):
    """The document is not XML that can be read; the text is French."""


class _Reader:
    """What expat calls."""

    def __init__(self, on_start: Callable[[Path, Mapping[str, str]], None], on_end: Callable[[Path], None]) -> None:
        self._on_start, self._on_end = on_start, on_end
        self._path: list[str] = []
        self._names: set[str] = set()
        self._size = 0
        self.root = ""
        self.parser = expat.ParserCreate(namespace_separator="}")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartNamespaceDeclHandler = self._declare
        self.parser.StartDoctypeDeclHandler = self._refuse

    def _refuse(self, *_: object) -> None:
        raise FlowError("DTD interdite")

    def _know(self, *names: str | None) -> None:
        for name in names:
            if name and name not in self._names:
                self._names.add(name)
                self._size += len(name)
        if len(self._names) > _NAMES_MAX or self._size > _NAMES_SIZE_MAX:
            raise FlowError("trop de noms d'éléments différents")

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        self._know(prefix, uri)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._know(name, *attributes)
        if not self._path:
            self.root = f"{{{name}" if "}" in name else name
        if len(self._path) >= _DEPTH_MAX:
            raise FlowError("trop d'éléments les uns dans les autres")
        self._path.append(name.rpartition("}")[2])
        self._on_start(tuple(self._path[-8:]), attributes)

    def _end(self, _name: str) -> None:
        self._on_end(tuple(self._path[-8:]))
        self._path.pop()


def read(
    stream: BinaryIO,
    on_start: Callable[[Path, Mapping[str, str]], None],
    on_end: Callable[[Path], None] = lambda path: None,
) -> str:
    """Read a document to its end.

    Args:
        stream: the document.
        on_start: hears the path of each element (its last eight names) and its attributes.
        on_end: hears the path of each element that ends.

    Returns:
        The root's name, as {namespace}name.

    Raises:
        FlowError: it is not well-formed, has a DTD, or is out of bounds.
        OSError: it cannot be read.
    """
    reader = _Reader(on_start, on_end)
    parser, fed = reader.parser, 0
    try:
        while block := stream.read(_BLOCK):
            parser.Parse(block, False)
            fed += len(block)
            if fed - parser.CurrentByteIndex > _TAG_MAX:
                raise FlowError("balise ou commentaire démesuré")
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise FlowError(f"mal formé, ligne {error.lineno}, colonne {error.offset + 1}") from error
    except (ValueError, LookupError) as error:  # its encoding is unknown
        raise FlowError(f"encodage inconnu : {error}") from error
    return reader.root
