"""The service that checks signatures and seals (roles/signature, signature_actes.receive), by its unix socket."""

from __future__ import annotations

import contextvars
import io
import json
import os
import shutil
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from creatic_accounts.places import threads

from .refusal import RefusedError

SOCKET = "/run/parapheur-sceau.sock"
SECONDS = 200  # beyond the service's own limit
_COPY_CHUNK_BYTES = 1 << 20
_DOWN = (
    "la vérification des signatures ne répond pas, et rien n'a été changé. À faire : recommencez dans quelques "
    "minutes ; si cela dure, prévenez le groupement"
)


PLACES = 4  # MaxConnections of parapheur-sceau.socket
EACH = 2  # of a commune: as many are checked at a time, and as many wait
QUEUE_TIMEOUT_SECONDS = 20  # seconds
_COMMUNE_BUSY_MESSAGE = (
    "d'autres documents de votre commune sont en cours de vérification, et rien n'a été changé. À faire : attendez "
    "leur réponse, puis recommencez"
)
_SERVICE_BUSY_MESSAGE = (
    "des documents d'autres communes sont en cours de vérification, et rien n'a été changé. À faire : recommencez dans "
    "quelques minutes"
)
_TOO_MANY_REQUESTS_MESSAGE = (
    "trop de documents sont en cours de vérification, et rien n'a été changé. À faire : réessayez dans une minute ; si "
    "cela dure, prévenez le groupement"
)


class Places:
    """Who has the service now: what one commune asks never takes the last place, which is another's.

    Who has a place and who waits for one each hold a thread: of the threads that the places leave, those who wait have
    half, all communes together, and pages the others.
    """

    def __init__(self) -> None:
        self._room = max(0, threads() - PLACES) // 2
        self._changed = threading.Condition()
        self._busy: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def place(self, siren: str) -> Iterator[None]:
        """Wait for a place, and have it.

        Raises:
            Refused: its commune has its own, or others have them all; to be asked again.
        """
        with self._changed:
            if not self._is_free(siren):
                self._wait_for_place(siren)
            self._busy[siren] += 1
        try:
            yield
        finally:
            with self._changed:
                self._decrement_count(self._busy, siren)
                self._changed.notify_all()

    def _wait_for_place(self, siren: str) -> None:
        if self._waiting[siren] >= EACH:
            raise RefusedError(_COMMUNE_BUSY_MESSAGE, 503)
        if self._waiting.total() >= self._room:
            raise RefusedError(_TOO_MANY_REQUESTS_MESSAGE, 503)
        self._waiting[siren] += 1
        try:
            come = self._changed.wait_for(lambda: self._is_free(siren), QUEUE_TIMEOUT_SECONDS)
        finally:
            self._decrement_count(self._waiting, siren)
        if not come:
            raise RefusedError(_COMMUNE_BUSY_MESSAGE if self._busy[siren] else _SERVICE_BUSY_MESSAGE, 503)

    def _is_free(self, siren: str) -> bool:
        mine = self._busy[siren]
        return mine < EACH and self._busy.total() + bool(mine) < PLACES

    @staticmethod
    def _decrement_count(counted: Counter[str], siren: str) -> None:
        counted[siren] -= 1
        if not counted[siren]:
            del counted[siren]


_places = Places()
_siren = contextvars.ContextVar("siren", default="")


@contextmanager
def asked_by(siren: str) -> Iterator[None]:
    """What is asked inside takes the places of this commune."""
    token = _siren.set(siren)
    try:
        yield
    finally:
        _siren.reset(token)


@dataclass(frozen=True)
class Received:
    """A signature that counts.

    Attributes:
        holder: CN of the certificate.
        serial: of the certificate, hexadecimal.
        sealed: the sealed PDF, open at its beginning; None for a PES, which bears no seal.
        outdated: what in it is of another time, and counts all the same, in French; empty otherwise.
    """

    holder: str
    serial: str
    sealed: IO[bytes] | None
    outdated: str = ""


def _stream_size(stream: IO[bytes]) -> int:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return size


def _copy_stream(stream: Any, target: IO[bytes], size: int) -> None:
    """Write what follows an answer, whole; it is left at its beginning."""
    shutil.copyfileobj(stream, target, _COPY_CHUNK_BYTES)
    if target.tell() != size:
        raise RefusedError(_DOWN, 503)
    target.seek(0)


@contextmanager
def _ask_service(request: dict[str, Any], *files: IO[bytes]) -> Iterator[tuple[dict[str, Any], Any]]:
    with _places.place(_siren.get()), _open_answer(request, *files) as answer:
        yield answer


@contextmanager
def _open_answer(request: dict[str, Any], *files: IO[bytes]) -> Iterator[tuple[dict[str, Any], Any]]:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(os.environ.get("CREATIC_SCEAU", SOCKET))
            with connection.makefile("rwb", buffering=_COPY_CHUNK_BYTES) as stream:
                stream.write(json.dumps(request).encode() + b"\n")
                for one in files:
                    shutil.copyfileobj(one, stream, _COPY_CHUNK_BYTES)
                stream.flush()
                told = json.loads(stream.readline())
                if "refus" not in told:
                    yield told, stream
                    return
    except (OSError, ValueError) as error:
        raise RefusedError(_DOWN, 503) from error
    raise RefusedError(told["refus"])


def check_document(
    name: str,
    document: IO[bytes],
    mentions: Sequence[str] = (),
    written: IO[bytes] | None = None,
    contract: str = "",
) -> bool:
    """Check that a person will be able to sign a document, and that it bears who they are.

    Args:
        mentions: name, then words of the quality (CRPA, L212-1).
        written: gets the circuit's document when it had to be written again, so that every reader reads it in the same
            way; stays empty otherwise.
        contract: ``signature`` for a contract, whose suppliers may have signed a form; ``piece`` for what is joined.

    Returns:
        Whether they were looked for: the pages of a scanned document have no text.

    Raises:
        Refused: the reason.
    """
    request: dict[str, Any] = {"nom": name, "signataires": [], "origine": _stream_size(document), "signe": 0}
    if mentions:
        request["mentions"] = list(mentions)
    if contract:
        request["contrat"] = contract
    with _ask_service(request, document) as (told, stream):
        document.seek(0)
        if written is not None:
            _copy_stream(stream, written, told["taille"])
    return bool(told.get("texte", True))


@dataclass(frozen=True)
class Supplier:
    """Who signed a contract for a supplier: CN and serial of the certificate, CN of its issuer."""

    holder: str
    serial: str
    issuer: str


@dataclass(frozen=True)
class Suppliers:
    """Suppliers' signatures that count, and by which trusted lists they were judged."""

    people: list[Supplier]
    lists: str

    @property
    def shown(self) -> str:
        """In French; nothing without any."""
        named = [f"{one.holder} (certificat {one.serial} de « {one.issuer} »)" for one in self.people]
        return f"Signature qualifiée de {', '.join(named)} ; {self.lists}" if named else ""


def _parse_suppliers(told: dict[str, Any]) -> Suppliers:
    found = [Supplier(one["nom"], one["serie"], one["emetteur"]) for one in told["fournisseurs"]]
    return Suppliers(found, told["listes"])


def check_contract(name: str, document: IO[bytes]) -> Suppliers:
    """Check the signatures that a contract comes with, if any.

    Raises:
        Refused: one does not count.
    """
    request = {"nom": name, "signataires": [], "origine": _stream_size(document), "signe": 0, "contrat": "document"}
    with _ask_service(request, document) as (told, _stream):
        document.seek(0)
        return _parse_suppliers(told)


def check_suppliers(name: str, original: IO[bytes], signed: IO[bytes]) -> Suppliers:
    """Check a supplier's counter-signature: a signed copy of the original, or a detached signature of it.

    Raises:
        Refused: the reason.
    """
    request = {
        "nom": name,
        "signataires": [],
        "origine": _stream_size(original),
        "signe": _stream_size(signed),
        "contrat": "contresignature",
    }
    with _ask_service(request, original, signed) as (told, _stream):
        signed.seek(0)
        return _parse_suppliers(told)


def _people_as_json(people: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"nom": person, "siren": siren} for person, siren in people]


def prepare(
    name: str,
    document: IO[bytes],
    people: Sequence[tuple[str, str]],
    certificates: Sequence[str],
    place: tuple[str, str],
) -> dict[str, Any]:
    """Prepare a signature whose key is elsewhere; what comes is given to `finish`, and `a_signer` to the key.

    Args:
        people: whose signature is expected: name and SIREN of each.
        certificates: PEM, that of the key first.
        place: where it is signed: commune and postal code.

    Raises:
        Refused: the reason.
    """
    given = {"certificats": list(certificates), "lieu": dict(zip(("commune", "code_postal"), place, strict=True))}
    with _send_with_json("preparer", name, document, given, people) as made:
        found: dict[str, Any] = json.load(made)
        return found


def finish(name: str, document: IO[bytes], waiting: dict[str, Any], signatures: Sequence[str]) -> IO[bytes]:
    """The signed document, open at its beginning; it counts for nothing until `check_and_seal` says so.

    Args:
        waiting: what `prepare` gave.
        signatures: what the key did, in base64, in the order of `a_signer`.

    Raises:
        Refused: the document changed, or a signature is not of it, or not of the certificate's key.
    """
    return _send_with_json("terminer", name, document, {"attente": waiting, "signatures": list(signatures)}, ())


def _send_with_json(
    what: str, name: str, document: IO[bytes], given: dict[str, Any], people: Sequence[tuple[str, str]]
) -> IO[bytes]:
    """What comes of a document and of JSON that goes along."""
    more = json.dumps(given).encode()
    request = {
        "nom": name,
        "apart": what,
        "signataires": _people_as_json(people),
        "origine": _stream_size(document),
        "signe": len(more),
    }
    with _ask_service(request, document, io.BytesIO(more)) as (told, stream):
        made = tempfile.TemporaryFile()  # noqa: SIM115 - given to the caller, gone when closed
        _copy_stream(stream, made, told["taille"])
        return made


def check_and_seal(
    name: str, original: IO[bytes], signed: IO[bytes], people: Sequence[tuple[str, str]], contract: bool = False
) -> Received:
    """Check a signed file, and have it sealed.

    Args:
        name: of the file handed in.
        original: the circuit's document.
        people: whose signature is expected: name and SIREN of each.
        contract: suppliers may have signed the original before.

    Raises:
        Refused: the reason.
    """
    request = {
        "nom": name,
        "signataires": _people_as_json(people),
        "origine": _stream_size(original),
        "signe": _stream_size(signed),
    } | ({"contrat": "signature"} if contract else {})
    with _ask_service(request, original, signed) as (told, stream):
        sealed = None
        if told["taille"]:
            sealed = tempfile.TemporaryFile()  # noqa: SIM115 - given to the caller, gone when closed
            _copy_stream(stream, sealed, told["taille"])
        return Received(told["signataire"], told["serie"], sealed, " ; ".join(told.get("remarques", ())))
