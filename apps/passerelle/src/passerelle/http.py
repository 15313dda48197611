"""Calls to the other servers: TLS with the groupement's authorities, and one way to read what they answer."""

from __future__ import annotations

import base64
import io
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import requests
from urllib3.fields import RequestField

from creatic_agent import https

from .errors import Away, Refused, Trouble

_TIMEOUT = (10, 120)
_BLOCK = 3 << 20  # a multiple of three, so that base64 of blocks is that of the whole
_SESSION = 4 * 3600  # seconds; Mayan's tokens last five hours at least (role mayan's creatic_passwords)
_LATER = (429, 502, 503, 504)


class Body:
    """What a request holds, of which files are read as it leaves.

    All communes' acts go by one process of bounded memory: those of one, held whole, would end it at each try.

    Args:
        parts: bytes, and files that stay open.
        in_base64: how files are written.
    """

    def __init__(self, parts: Iterable[bytes | BinaryIO], in_base64: bool = False) -> None:
        self._parts, self._in_base64 = list(parts), in_base64
        self._size = sum(len(one) if isinstance(one, bytes) else self._written(one) for one in self._parts)

    def _written(self, stream: BinaryIO) -> int:
        size = stream.seek(0, io.SEEK_END)
        return (size + 2) // 3 * 4 if self._in_base64 else size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        for one in self._parts:
            if isinstance(one, bytes):
                yield one
                continue
            one.seek(0)
            while block := one.read(_BLOCK):
                yield base64.b64encode(block) if self._in_base64 else block


_Sent = tuple[str, BinaryIO, str]
"""A file of a form: its name, itself, its media type."""


def _form(fields: Mapping[str, str], files: Mapping[str, _Sent] | Iterable[tuple[str, _Sent]]) -> dict[str, Any]:
    """A form with files, as requests sends it; its own way holds them all in memory, twice."""
    boundary, parts = secrets.token_hex(16), list[bytes | BinaryIO]()

    def add(field: RequestField, content: bytes | BinaryIO, kind: str | None = None) -> None:
        field.make_multipart(content_type=kind)
        parts.extend((f"--{boundary}\r\n{field.render_headers()}".encode(), content, b"\r\n"))

    for name, value in fields.items():
        add(RequestField(name, ""), value.encode())
    for name, (filename, stream, kind) in files.items() if isinstance(files, Mapping) else files:
        add(RequestField(name, "", filename), stream, kind)
    parts.append(f"--{boundary}--\r\n".encode())
    return {"data": Body(parts), "headers": {"Content-Type": f"multipart/form-data; boundary={boundary}"}}


class Server:
    """One server, one account.

    Args:
        name: as people call it ("le parapheur").
        url: its address, https.
        trust: PEM file of the authorities.
        tokens: sessions open, by address, and when they were, shared by all jobs.
        limit: size over which a file is not taken, in bytes.
    """

    def __init__(
        self,
        name: str,
        url: str,
        trust: str,
        tokens: dict[str, tuple[str, float]] | None = None,
        limit: int = 150_000_000,
    ) -> None:
        self.name, self.url, self._limit = name, url.rstrip("/"), limit
        self._tokens = {} if tokens is None else tokens
        self.session = https.session("passerelle", trust)
        self.session.headers["Accept"] = "application/json"

    def log_in(self, login: str, password: str) -> None:
        """Open a session by a token, as Mayan's API does, if there is none yet that will last."""
        if self._tokens.get(self.url, ("", -_SESSION))[1] < time.monotonic() - _SESSION:
            try:
                found = self.json("POST", "/api/v4/auth/token/obtain/", json={"username": login, "password": password})
                self._tokens[self.url] = str(found["token"]), time.monotonic()
            except (Refused, KeyError, TypeError) as error:  # no act's fault
                raise Trouble(f"{self.name} refuse le compte « {login} » ({error}).") from error
        self.session.headers["Authorization"] = f"Token {self._tokens[self.url][0]}"

    def ask(self, method: str, path: str, **given: Any) -> requests.Response:
        """One request; redirections are not followed. Raises Away, Trouble, Refused."""
        if "files" in given:
            given |= _form(given.get("data", {}), given.pop("files"))
        url = path if path.startswith("https://") else self.url + path
        if urlsplit(url)[:2] != urlsplit(self.url)[:2]:
            raise Refused(f"{self.name} renvoie vers une autre machine ({urlsplit(url).hostname}).")
        given.setdefault("timeout", _TIMEOUT)
        try:
            answer = self.session.request(method, url, allow_redirects=False, **given)
        except requests.exceptions.SSLError as error:
            raise Trouble(f"{self.name} : certificat refusé ({_short(error)}).") from error
        except OSError as error:  # every error of requests is one
            raise Away(f"{self.name} ne répond pas ({type(error).__name__}).") from error
        if answer.ok and not answer.is_redirect:
            return answer
        said = f"{self.name} répond HTTP {answer.status_code}{_said(answer)}"
        answer.close()
        if answer.status_code == 401:
            self._tokens.pop(self.url, None)
        if answer.status_code in _LATER:
            raise Away(said)
        if answer.status_code in (400, 404, 409, 413, 422):
            raise Refused(said)
        raise Trouble(said)

    def json(self, method: str, path: str, **given: Any) -> Any:
        """One request whose answer is JSON."""
        answer = self.ask(method, path, **given)
        try:
            return answer.json() if answer.content else {}
        except ValueError as error:
            raise Trouble(f"{self.name} : réponse illisible à {path}.") from error

    def results(self, path: str) -> list[dict[str, Any]]:
        """The objects of a list."""
        return self.page(path)[0]

    def page(self, path: str) -> tuple[list[dict[str, Any]], bool]:
        """The objects of a part of a list, and whether there are more (`suite`)."""
        answer = self.json("GET", path)
        found = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise Trouble(f"{self.name} : réponse inattendue à {path}.")
        return found, answer.get("suite") is True

    def fetch(self, path: str, target: BinaryIO, limit: int | None = None) -> str:
        """Write a file to `target`; gives its SHA-256. One of more than `limit` bytes, or the server's, is refused."""
        answer = self.ask("GET", path, stream=True, headers={"Accept": "*/*"})
        try:
            return https.save(answer, target, self._limit if limit is None else limit, _BLOCK)[0]
        except https.TooLong as error:
            raise Refused(f"{self.name} : le fichier dépasse {error.most // 1_000_000} Mo.") from error
        except OSError as error:
            raise Away(f"{self.name} : lecture interrompue ({type(error).__name__}).") from error


def eliminated(answer: Any) -> int:
    """How many documents a server of Mayan says that it deleted. Raises Trouble."""
    count = answer.get("nombre") if isinstance(answer, dict) else None
    if not isinstance(count, int):
        raise Trouble("élimination : réponse inattendue.")
    return count


def _short(error: Exception) -> str:
    return str(error).rpartition("]")[2].strip(" ()'\"")[:120] or type(error).__name__


def _said(answer: requests.Response) -> str:
    """What the server says of it, in a few words."""
    if "json" not in answer.headers.get("Content-Type", ""):
        return "."
    try:
        told = answer.json()
    except ValueError:
        return "."
    text = told.get("message") or told.get("detail") if isinstance(told, dict) else None
    return f" : {' '.join(str(text or json.dumps(told, ensure_ascii=False)).split())[:400]}"
