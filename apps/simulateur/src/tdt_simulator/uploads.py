"""Reading of multipart forms as S²LOW does: text is ISO-8859-1 when the form says api=1, files go to disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from flask import Request
from werkzeug.exceptions import BadRequest
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from .store import Store, StoredFile

_BUFFER = 256 * 1024
_FIELD_BYTES = 512 * 1024


@dataclass(frozen=True)
class Upload:
    """A file of a form, kept by the store."""

    filename: str
    content: StoredFile


@dataclass
class Form:
    """Fields by name (« type_pj[] » is under « type_pj »)."""

    api: bool = False
    values: dict[str, list[str]] = field(default_factory=dict)
    uploads: dict[str, list[Upload]] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """Return the last value of a field, empty when it is absent."""
        return (self.values.get(name) or [""])[-1]

    def upload(self, name: str) -> Upload | None:
        """Return the last file of a field."""
        found = self.uploads.get(name)
        return found[-1] if found else None


class _Reader:
    """Turns the decoder's events into fields and files."""

    def __init__(self, request: Request, store: Store) -> None:
        boundary = request.mimetype_params.get("boundary", "").encode("ascii", "replace")
        if not boundary:
            raise BadRequest("formulaire sans délimiteur")
        self._decoder = MultipartDecoder(boundary)
        self._stream = request.stream
        self._store = store

    def _next(self) -> object:
        event = self._decoder.next_event()
        while isinstance(event, NeedData):
            self._decoder.receive_data(self._stream.read(_BUFFER) or None)
            event = self._decoder.next_event()
        return event

    def _body(self) -> Iterator[bytes]:
        while True:
            event = self._next()
            if not isinstance(event, Data):
                raise BadRequest("formulaire tronqué")
            yield event.data
            if not event.more_data:
                return

    def read(self) -> tuple[dict[str, list[bytes]], dict[str, list[Upload]]]:
        values: dict[str, list[bytes]] = {}
        uploads: dict[str, list[Upload]] = {}
        while not isinstance(event := self._next(), Epilogue):
            if isinstance(event, File):
                content = self._store.receive(self._body())
                if event.filename:
                    uploads.setdefault(event.name.removesuffix("[]"), []).append(Upload(event.filename, content))
            elif isinstance(event, Field):
                value = bytearray()
                for chunk in self._body():
                    value += chunk
                    if len(value) > _FIELD_BYTES:
                        raise BadRequest("champ de formulaire trop long")
                values.setdefault(event.name.removesuffix("[]"), []).append(bytes(value))
        return values, uploads


def read_form(request: Request, store: Store) -> Form:
    """Read the form of a POST request.

    Raises:
        BadRequest: the body is cut short, or is not a form.
    """
    if request.mimetype == "multipart/form-data":
        try:
            raw, uploads = _Reader(request, store).read()
        except ValueError as error:
            raise BadRequest("formulaire illisible") from error
    else:
        raw, uploads = {}, {}
        for name, listed in request.form.lists():
            raw.setdefault(name.removesuffix("[]"), []).extend(value.encode() for value in listed)
    api = raw.get("api", [b""])[-1].strip() == b"1" or request.args.get("api") == "1"
    encoding = "latin-1" if api else "utf-8"
    values = {name: [value.decode(encoding, "replace") for value in listed] for name, listed in raw.items()}
    return Form(api, values, uploads)
