"""Where archives are kept: OpenStack Swift under WORM, or a plain folder with the same rules for tests.

Accounts are those of Swift without their AUTH_ prefix (`gondecourt`, `sae`). An object is put whole, once, with the
date until which it may not be deleted; it is never overwritten.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, NotRequired, Protocol, TypedDict, Unpack, cast
from urllib.parse import quote, unquote, urlsplit

import requests

from creatic_agent import durable, https
from creatic_agent.errors import CreaticError

_OBJECT_BLOCK_BYTES = 1 << 20
_CONNECT_TIMEOUT = 5.0
_READ_TIMEOUT = 300.0
_PROXY_COOLDOWN_SECONDS = 30.0  # seconds during which a proxy that failed is tried last
_LISTING_PAGE_SIZE = 1000
_META = "x-object-meta-"
_MAX_HEADER_LENGTH = 256  # characters of a header about an object (Swift's max_meta_value_length)
_RESERVED_METADATA = ("retain-until", "sha512")
# The room's filter (sae_worm.policy): an archive to be kept leaves once its transfer is noted here, as
# AUTH_account/container/object with that object's digest, until the last of its dates.
ARCHIVES, TRANSFERS, FOR_EVER = "aip", ("sae", "transferts"), 253402300799
_STORE_NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class StoreError(CreaticError, cause="stockage"):
    """The store did not do what it was asked for. Its text is French."""


class StoreUnavailableError(StoreError, cause="indisponible"):
    """No proxy answers usefully: nothing is known to have been done; ask again later."""


class ObjectExistsError(StoreError, cause="deja_conserve"):
    """An object of this name is there; it was left as it is."""


class ObjectNotFoundError(StoreError, cause="non_conserve"):
    """There is no object of this name."""


class ObjectRetainedError(StoreError, cause="retenu"):
    """The object may not be deleted; the message gives the storage's own reason (its date, its fate)."""


class CorruptedObjectError(StoreError, cause="altere"):
    """What was sent or received is not what was announced."""


@dataclass(frozen=True)
class Entry:
    """An object of a container. `retain_until` counts seconds since the epoch; `metadata` has lower-case names."""

    name: str
    bytes: int
    retain_until: int | None
    metadata: dict[str, str] = field(default_factory=dict)


class ObjectMetadata(TypedDict):
    """What a caller says of what it stores.

    Attributes:
        size: bytes.
        sha512: in hexadecimal, kept beside the object; checked by the caller beforehand.
        retain_until: seconds since the epoch.
        md5: in hexadecimal; when the caller has it, it saves a reading.
    """

    size: int
    sha512: str
    retain_until: NotRequired[int | None]
    metadata: NotRequired[Mapping[str, str]]
    md5: NotRequired[str]


class Store(Protocol):
    """What versement, fixity, export and elimination ask of the storage."""

    def put(self, account: str, container: str, name: str, data: BinaryIO, **said: Unpack[ObjectMetadata]) -> None:
        """Store a seekable stream, from its beginning, at once or not at all.

        Raises AlreadyStored, Corrupted, Unavailable or StoreError.
        """

    def get(self, account: str, container: str, name: str) -> BinaryIO:
        """Open an object for reading; the caller closes it. Raises NotStored, Unavailable or StoreError.

        Reading raises Unavailable when the object cannot be read to its end.
        """

    def head(self, account: str, container: str, name: str) -> dict[str, str] | None:
        """Metadata of an object, names in lower case, with `sha512`, `retain-until` and `bytes`; None if absent."""

    def listing(self, account: str, container: str) -> Iterator[Entry]:
        """Every object of a container, by name; nothing when the container is not there."""
        for name in self.names(account, container):
            head = self.head(account, container, name)
            if head is not None:
                yield _build_entry(name, head)

    def names(self, account: str, container: str) -> Iterator[str]:
        """Names of the objects of a container, in order: `listing` without a request for each of them."""

    def delete(self, account: str, container: str, name: str) -> None:
        """Delete an object whose retention has ended; one to be kept, once its transfer is noted.

        Raises Retained, NotStored, Unavailable or StoreError.
        """


def first_good[T](replicas: Sequence[tuple[str, Store]], take: Callable[[Store], T]) -> T:
    """What `take` makes of the first replica that is good; it raises StoreError for one that is not.

    Args:
        replicas: names of the ways to the storage, and these.

    Raises:
        Unavailable: none answers.
        Corrupted: none is good, with what is wrong with each.
    """
    errors = dict[str, StoreError]()
    for label, store in replicas:
        try:
            return take(store)
        except StoreError as error:
            errors[label] = error
    told = " ; ".join(f"{label} : {error}" for label, error in errors.items())
    raise (
        StoreUnavailableError
        if all(isinstance(one, StoreUnavailableError) for one in errors.values())
        else CorruptedObjectError
    )(told)


def _check_names(*names: str) -> None:
    for name in names:
        if not _STORE_NAME_PATTERN.fullmatch(name):
            raise StoreError(f"« {name} » n'est pas un nom de compte ou de conteneur")


# -- a folder -----------------------------------------------------------------------------------------------


class FileStore(Store):
    """A folder with the rules of the archive room: no overwriting, no deletion before its date. For tests."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _object_path(self, account: str, container: str, name: str) -> Path:
        _check_names(account, container)
        return self.root / account / container / quote(name, safe="")

    def put(self, account: str, container: str, name: str, data: BinaryIO, **said: Unpack[ObjectMetadata]) -> None:
        path = self._object_path(account, container, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = durable.unused(path.parent)
        own = {"sha512": said["sha512"]}
        if (until := said.get("retain_until")) is not None:
            own["retain-until"] = str(until)
        data.seek(0)
        with durable.fresh(temporary) as stream:
            head = json.dumps({**said.get("metadata", {}), **own}).encode()
            stream.write(len(head).to_bytes(4, "big") + head)
            shutil.copyfileobj(data, stream, _OBJECT_BLOCK_BYTES)
            written = stream.tell() - len(head) - 4
        try:
            if written != said["size"]:
                raise CorruptedObjectError(f"« {name} » : {written} octets lus au lieu de {said['size']}")
            os.link(temporary, path)  # fails if it is there, unlike a rename
        except FileExistsError:
            raise ObjectExistsError(f"« {name} » est déjà conservé") from None
        finally:
            temporary.unlink()

    @contextmanager
    def _open_object(self, account: str, container: str, name: str) -> Iterator[tuple[BinaryIO, dict[str, str]]]:
        try:
            stream = self._object_path(account, container, name).open("rb")
        except FileNotFoundError:
            raise ObjectNotFoundError(f"« {name} » n'est pas conservé") from None
        try:
            head: dict[str, str] = json.loads(stream.read(int.from_bytes(stream.read(4), "big")))
            yield stream, head
        except BaseException:
            stream.close()
            raise

    def get(self, account: str, container: str, name: str) -> BinaryIO:
        with self._open_object(account, container, name) as (stream, _):
            return stream

    def head(self, account: str, container: str, name: str) -> dict[str, str] | None:
        try:
            with self._open_object(account, container, name) as (stream, head):
                size = os.fstat(stream.fileno()).st_size - stream.tell()
                stream.close()
                return head | {"bytes": str(size)}
        except ObjectNotFoundError:
            return None

    def names(self, account: str, container: str) -> Iterator[str]:
        _check_names(account, container)
        folder = self.root / account / container
        yield from sorted(unquote(path.name) for path in folder.glob("*") if path.suffix != ".part")

    def delete(self, account: str, container: str, name: str) -> None:
        head = self.head(account, container, name)
        if head is None:
            raise ObjectNotFoundError(f"« {name} » n'est pas conservé")
        if head.get("sort-final", "" if container == ARCHIVES else "Destroy") != "Destroy":
            note = self.head(*TRANSFERS, f"AUTH_{account}/{container}/{name}") or {}
            if note.get("archive-sha512") != head["sha512"] or note.get("retain-until") != str(FOR_EVER):
                raise ObjectRetainedError(f"« {name} » est à conserver sans limite : aucun transfert n'en est noté")
        if int(head.get("retain-until", 0)) > time.time():
            raise ObjectRetainedError(f"« {name} » ne peut pas être supprimé avant sa date")
        self._object_path(account, container, name).unlink()


def _build_entry(name: str, head: Mapping[str, str]) -> Entry:
    until = head.get("retain-until")
    others = {key: value for key, value in head.items() if key not in ("retain-until", "bytes")}
    return Entry(name, int(head["bytes"]), int(until) if until else None, others)


# -- Swift --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SwiftSettings:
    """How to reach Swift. `urls` are its proxies, the nearest first; `keys` gives the key of each account."""

    urls: Sequence[str]
    keys: Mapping[str, str]
    user: str = "sae"
    ca_file: Path | None = None
    certificate: Path | None = None  # folder of fullchain.pem and key.pem, for a proxy that asks for one
    worm: bool = True  # containers are made under WORM


class SwiftStore(Store):
    """Swift with TempAuth, over several proxies: one that fails is left aside for a while, the next one takes over."""

    def __init__(self, settings: SwiftSettings) -> None:
        if not settings.urls:
            raise StoreError("aucune adresse du stockage n'est configurée")
        self._settings = settings
        self._urls = [url.rstrip("/") for url in settings.urls]
        self._failed: dict[str, float] = {}
        self._tokens: dict[tuple[str, str], str] = {}
        self._containers: set[tuple[str, str]] = set()
        self._local = threading.local()

    # -- plumbing ------------------------------------------------------------------------------------------

    def _thread_session(self) -> requests.Session:
        """One session a thread: requests' sessions are not meant to be shared."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = https.session("sae", self._settings.ca_file, self._settings.certificate)
            self._local.session = session
        return session

    def _ordered_urls(self) -> list[str]:
        now = time.monotonic()
        return sorted(self._urls, key=lambda url: self._failed.get(url, 0.0) > now)

    def _account_token(self, url: str, account: str) -> str:
        known = self._tokens.get((url, account))
        if known:
            return known
        key = self._settings.keys.get(account)
        if key is None:
            raise StoreError(f"le compte « {account} » n'a pas d'accès au stockage")
        headers = {"X-Auth-User": f"{account}:{self._settings.user}", "X-Auth-Key": key}
        answer = self._thread_session().get(
            f"{url}/auth/v1.0", headers=headers, timeout=(_CONNECT_TIMEOUT, 30), allow_redirects=False
        )
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise StoreError(f"le stockage refuse l'accès du compte « {account} » (HTTP {answer.status_code})")
        token = answer.headers.get("X-Auth-Token", "")
        if not answer.ok or not token:
            raise _ProxyError(f"HTTP {answer.status_code} à l'ouverture de session")
        self._tokens[url, account] = token
        return token

    def _call_proxies(
        self,
        method: str,
        account: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: BinaryIO | None = None,
        stream: bool = False,
        params: Mapping[str, Any] | None = None,
    ) -> tuple[requests.Response, bool]:
        """The first useful answer of a proxy, and whether an earlier try may have reached Swift."""
        _check_names(account)
        reasons: list[str] = []
        uncertain = False
        for url in self._ordered_urls():
            for fresh in (False, True):
                try:
                    if fresh:
                        self._tokens.pop((url, account), None)
                    token = self._account_token(url, account)
                    if body is not None:
                        body.seek(0)
                    answer = self._thread_session().request(
                        method,
                        f"{url}/v1/AUTH_{account}{path}",
                        headers={**(headers or {}), "X-Auth-Token": token},
                        data=body,
                        params=params,
                        stream=stream,
                        timeout=(_CONNECT_TIMEOUT, _READ_TIMEOUT),
                        allow_redirects=False,
                    )
                except (OSError, _ProxyError) as error:  # every error of requests is an OSError
                    uncertain = uncertain or method in ("PUT", "DELETE")
                    self._left_aside(url, reasons, str(error))
                    break
                if answer.status_code == HTTPStatus.UNAUTHORIZED and not fresh:
                    answer.close()  # the token has expired, or this proxy was restarted
                    continue
                if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    uncertain = uncertain or method in ("PUT", "DELETE")
                    self._left_aside(url, reasons, f"HTTP {answer.status_code}")
                    answer.close()
                    break
                self._failed.pop(url, None)
                return answer, uncertain
        raise StoreUnavailableError("le stockage ne répond pas utilement : " + " ; ".join(reasons))

    def _left_aside(self, url: str, reasons: list[str], why: str) -> None:
        self._failed[url] = time.monotonic() + _PROXY_COOLDOWN_SECONDS
        reasons.append(f"{url} : {why[:200]}")

    @staticmethod
    def _object_path(container: str, name: str) -> str:
        _check_names(container)
        return f"/{container}/{quote(name, safe='')}"

    @staticmethod
    def _refusal_reason(answer: requests.Response) -> str:
        """What the room's filter says; a page of Swift's own says nothing."""
        text = " ".join(answer.text.split())[:300]
        told = bool(text) and "<" not in text
        return text if told else f"le stockage refuse sans dire pourquoi (HTTP {answer.status_code})"

    @staticmethod
    def _refusal_error(answer: requests.Response, what: str) -> StoreError:
        text = re.sub(r"<[^>]+>|\s+", " ", answer.text)[:200].strip()
        return StoreError(f"{what} : refusé par le stockage (HTTP {answer.status_code}{', ' + text if text else ''})")

    def ensure_container(self, account: str, container: str) -> None:
        """Make a container, under WORM; nothing changes if it is there."""
        _check_names(container)
        headers = {"X-Container-Meta-Worm": "true"} if self._settings.worm else {}
        answer, _ = self._call_proxies("HEAD", account, f"/{container}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            answer, _ = self._call_proxies("PUT", account, f"/{container}", headers=headers)
            if answer.status_code == HTTPStatus.NOT_FOUND:
                # The proxy remembers an account that a room made anew no longer has: a POST makes it, and is told so.
                self._call_proxies("POST", account, "")
                answer, _ = self._call_proxies("PUT", account, f"/{container}", headers=headers)
        if not answer.ok:
            raise self._refusal_error(answer, f"conteneur « {container} »")
        self._containers.add((account, container))

    def clock(self, account: str) -> datetime | None:
        """The storage's time, as its answer is dated; None if it is not. Raises Unavailable."""
        answer, _ = self._call_proxies("HEAD", account, "")
        try:
            return parsedate_to_datetime(answer.headers.get("Date", ""))
        except ValueError:
            return None

    def quarantined(self) -> list[dict[str, Any]]:
        """Replicas that the node's own auditor found damaged: objet (/account/container/name or None), le, repare.

        Asked of the nearest proxy alone. Raises Unavailable.
        """
        url = self._urls[0]
        try:
            answer = self._thread_session().get(
                f"{url}/.quarantaine", timeout=(_CONNECT_TIMEOUT, 30), allow_redirects=False
            )
            found = answer.json()["objets"] if answer.ok else []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreUnavailableError(f"{url} : {str(error)[:200]}") from error
        return [one for one in found if isinstance(one, dict)]

    def each(self) -> dict[str, SwiftStore]:
        """One store a proxy, by the proxy's host name: each reads the replica that is nearest to it."""
        alone = {url: replace(self._settings, urls=[url]) for url in self._urls}
        return {str(urlsplit(url).hostname): SwiftStore(settings) for url, settings in alone.items()}

    # -- the protocol --------------------------------------------------------------------------------------

    def put(self, account: str, container: str, name: str, data: BinaryIO, **said: Unpack[ObjectMetadata]) -> None:
        size, sha512 = said["size"], said["sha512"]
        known = (account, container) in self._containers
        if not known:
            self.ensure_container(account, container)
        headers = {f"X-Object-Meta-{key}": _encode_header(value) for key, value in said.get("metadata", {}).items()}
        headers |= {"X-Object-Meta-Sha512": sha512, "If-None-Match": "*", "Content-Type": "application/octet-stream"}
        if (until := said.get("retain_until")) is not None:
            headers["X-Object-Meta-Retain-Until"] = str(until)
        # Swift refuses a body that is not the announced one, and MD5 is the digest it knows.
        said["md5"], found = (said["md5"], data.seek(0, os.SEEK_END)) if said.get("md5") else _md5_and_size(data)
        if found != size:
            raise CorruptedObjectError(f"« {name} » : {found} octets lus au lieu de {size}")
        headers |= {"ETag": said["md5"], "Content-Length": str(size)}
        path = self._object_path(container, name)
        answer, uncertain = self._call_proxies("PUT", account, path, headers=headers, body=data if size else None)
        if answer.status_code in (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT):
            kept = self.head(account, container, name)
            if uncertain and kept and kept.get("sha512") == sha512 and kept["bytes"] == str(size):
                return  # an earlier try of this very call was recorded, its answer was lost
            if kept is None:
                raise self._refusal_error(answer, f"« {name} »")
            raise ObjectExistsError(f"« {name} » est déjà conservé")
        if answer.status_code == HTTPStatus.NOT_FOUND and known:
            # The room was made anew since.
            self._containers.discard((account, container))
            self.put(account, container, name, data, **said)
            return
        if answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise CorruptedObjectError(f"« {name} » : le contenu a changé pendant l'envoi")
        if not answer.ok:
            raise self._refusal_error(answer, f"« {name} »")

    def get(self, account: str, container: str, name: str) -> BinaryIO:
        answer = self._read_from(account, container, name, 0)
        size = int(answer.headers.get("Content-Length", 0))
        raw = _Download(lambda position: self._read_from(account, container, name, position), answer, size, name)
        return cast(BinaryIO, io.BufferedReader(raw, _OBJECT_BLOCK_BYTES))

    def _read_from(self, account: str, container: str, name: str, position: int) -> requests.Response:
        headers = {"Range": f"bytes={position}-"} if position else {}
        path = self._object_path(container, name)
        answer, _ = self._call_proxies("GET", account, path, headers=headers, stream=True)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise ObjectNotFoundError(f"« {name} » n'est pas conservé")
        if answer.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise self._refusal_error(answer, f"« {name} »")
        return answer

    def head(self, account: str, container: str, name: str) -> dict[str, str] | None:
        answer, _ = self._call_proxies("HEAD", account, self._object_path(container, name))
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if not answer.ok:
            raise self._refusal_error(answer, f"« {name} »")
        given = {key.lower(): value for key, value in answer.headers.items()}
        found = {key.removeprefix(_META): value for key, value in given.items() if key.startswith(_META)}
        return {key: unquote(value) for key, value in found.items()} | {"bytes": given["content-length"]}

    def names(self, account: str, container: str) -> Iterator[str]:
        _check_names(container)
        marker = ""
        while True:
            params = {"format": "json", "limit": _LISTING_PAGE_SIZE, "marker": marker}
            answer, _ = self._call_proxies("GET", account, f"/{container}", params=params)
            if answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.NO_CONTENT):
                return
            if not answer.ok:
                raise self._refusal_error(answer, f"liste de « {container} »")
            names = [str(item["name"]) for item in answer.json()]
            if not names:
                return
            yield from names
            marker = names[-1]

    def delete(self, account: str, container: str, name: str) -> None:
        answer, uncertain = self._call_proxies("DELETE", account, self._object_path(container, name))
        if answer.status_code == HTTPStatus.NOT_FOUND and not uncertain:
            raise ObjectNotFoundError(f"« {name} » n'est pas conservé")
        if answer.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.CONFLICT):
            raise ObjectRetainedError(f"« {name} » : {self._refusal_reason(answer)}")
        if not answer.ok and answer.status_code != HTTPStatus.NOT_FOUND:
            raise self._refusal_error(answer, f"« {name} »")


def _encode_header(value: str) -> str:
    """A word about an object, as its header has it: cut where Swift would refuse it, and the object with it."""
    while len(told := quote(value, safe=" :/")) > _MAX_HEADER_LENGTH:
        value = value[:-1]
    return told


def _md5_and_size(data: BinaryIO) -> tuple[str, int]:
    """Digest and bytes of a stream, from its beginning."""
    data.seek(0)
    digest = hashlib.md5(usedforsecurity=False)
    while block := data.read(_OBJECT_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest(), data.tell()


class _ProxyError(Exception):
    """A proxy that cannot be used now; the next one is tried."""


class _Download(io.RawIOBase):
    """A body read to its end, even when the proxy that gave its beginning is lost: the next one gives the rest."""

    _TRIES = 3

    def __init__(self, reopen: Any, answer: requests.Response, size: int, name: str) -> None:
        self._reopen, self._answer, self._size, self._name = reopen, answer, size, name
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._position)
        if not wanted:
            return 0
        for _ in range(self._TRIES):
            try:
                block = self._answer.raw.read(wanted)
            except Exception:  # noqa: BLE001 # any read error means that the connection was cut
                block = b""
            if block:
                buffer[: len(block)] = block
                self._position += len(block)
                return len(block)
            self._answer.close()
            self._answer = self._reopen(self._position)
        raise StoreUnavailableError(
            f"« {self._name} » : lecture interrompue à l'octet {self._position} sur {self._size}"
        )

    def close(self) -> None:
        self._answer.close()
        super().close()


# -- both ---------------------------------------------------------------------------------------------------


def replicas(store: Store) -> list[tuple[str, Store]]:
    """Each way to read an archive, with its name."""
    return list(store.each().items()) if isinstance(store, SwiftStore) else [("stockage", store)]


def clocks(store: Store) -> Callable[[], Mapping[str, datetime]]:
    """Gives the time of each node that answers."""

    def read_clocks() -> dict[str, datetime]:
        found: dict[str, datetime] = {}
        for name, one in replicas(store):
            if isinstance(one, SwiftStore):
                try:
                    at = one.clock("sae")
                except StoreError:
                    continue
                if at:
                    found[name] = at
        return found

    return read_clocks


def reference(store: Store) -> Callable[[], Mapping[str, datetime]]:
    """Gives the same, of most of the nodes at least: until then there is nothing to seal by. Raises Unavailable."""

    def read_reference() -> Mapping[str, datetime]:
        found, nodes = clocks(store)(), len(replicas(store))
        if isinstance(store, SwiftStore) and 2 * len(found) <= nodes:
            raise StoreUnavailableError(
                f"l'heure n'est pas confirmée : {len(found)} sur {nodes} nœuds du stockage la donnent, il en faut plus "
                "de la moitié. Rien n'est scellé, la prochaine passe réessaiera"
            )
        return found

    return read_reference


def earliest(store: Store, unjudged: str) -> Callable[[], float | None]:
    """Gives the earliest of those times (seconds since 1970), by which a delay is over; None where no node tells one.

    Args:
        unjudged: what is not done without them, that Unavailable says (French).
    """
    known = reference(store)

    def read_earliest() -> float | None:
        try:
            return min((at.timestamp() for at in known().values()), default=None)
        except StoreUnavailableError as error:
            raise StoreUnavailableError(f"{str(error).partition('. ')[0]}. {unjudged}") from error

    return read_earliest
