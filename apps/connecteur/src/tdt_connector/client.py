"""HTTPS with a client certificate: multipart in the TdT's encoding, and faults told apart and in French."""

from __future__ import annotations

import io
import os
import re
import secrets
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from creatic_agent import https
from creatic_agent.reasons import reason

from .config import Config
from .errors import Denied, Refused, TdtError, Uncertain, Unreachable

_CONNECT_TIMEOUT = 10.0
_CHUNK = 65536
_ANSWER_BLOCK = 1 << 20
_ANSWER_MAX = 170_000_000  # bytes of an answer: a stamped act is a little more than the act
# OpenSSL's verification codes (x509_vfy.h) → what is wrong with the server's certificate.
_SERVER_FAULTS = {
    9: (
        "serveur_pas_encore_valide",
        "n'est pas encore valable (l'horloge de cette machine est-elle juste ?)",
    ),
    10: ("serveur_expire", "a expiré (l'horloge de cette machine est-elle juste ?)"),
    18: ("serveur_autosigne", "est autosigné : aucune autorité de confiance ne s'en porte garante"),
    19: ("serveur_autorite", "vient d'une autorité inconnue de cette machine"),
    20: ("serveur_autorite", "vient d'une autorité inconnue de cette machine"),
    21: ("serveur_autorite", "vient d'une autorité inconnue de cette machine"),
    23: ("serveur_revoque", "a été révoqué"),
    62: ("serveur_nom", "porte un autre nom que celui du TdT"),
    64: ("serveur_nom", "porte une autre adresse que celle du TdT"),
}
# TLS alerts sent by the server about our certificate → (kind, what it means).
_ALERTS = {
    "CERTIFICATE_REVOKED": ("client_revoque", "il a été révoqué"),
    "CERTIFICATE_EXPIRED": ("client_expire", "il a expiré"),
    "UNKNOWN_CA": ("client_autorite", "il vient d'une autorité que le TdT ne reconnaît pas"),
    "CERTIFICATE_UNKNOWN": ("client_inconnu", "le TdT ne le reconnaît pas"),
    "BAD_CERTIFICATE": ("client_inconnu", "le TdT ne l'admet pas"),
    "UNSUPPORTED_CERTIFICATE": ("client_inconnu", "il n'est pas prévu pour s'authentifier"),
    "CERTIFICATE_REQUIRED": ("client_absent", "aucun certificat n'a été présenté"),
    "ACCESS_DENIED": ("client_inconnu", "le TdT lui refuse l'accès"),
    "HANDSHAKE_FAILURE": ("client_inconnu", "le TdT a refusé la négociation TLS"),
}
# nginx's own statuses for a certificate (495, 496), shown as 400 with one of these pages.
_NGINX_CERTIFICATE = (495, 496)
_CERTIFICATE_PAGE = re.compile("SSL certificate|certificat (client )?refusé", re.IGNORECASE)
# What nginx says of a refused certificate ($ssl_client_verify, or its page when there was none).
_REASONS = {
    "certificate revoked": _ALERTS["CERTIFICATE_REVOKED"],
    "certificate has expired": _ALERTS["CERTIFICATE_EXPIRED"],
    "self-signed certificate": _ALERTS["UNKNOWN_CA"],
    "self signed certificate": _ALERTS["UNKNOWN_CA"],
    "unable to get local issuer": _ALERTS["UNKNOWN_CA"],
    "unable to get issuer": _ALERTS["UNKNOWN_CA"],
    "unable to verify the first": _ALERTS["UNKNOWN_CA"],
    "unable to get certificate CRL": _ALERTS["UNKNOWN_CA"],
    "No required SSL certificate": _ALERTS["CERTIFICATE_REQUIRED"],
    "NONE": _ALERTS["CERTIFICATE_REQUIRED"],
}


@dataclass(frozen=True)
class FilePart:
    """A file to post: its form field and its path; the name sent is made of plain characters."""

    field: str
    path: Path
    mime: str

    @property
    def sent_name(self) -> str:
        return re.sub(r"[^a-zA-Z0-9._\- ]", "_", self.path.name)


class Multipart:
    """A multipart/form-data body read piece by piece: a file is never whole in memory.

    requests finds its length with len() and reads it with read(); `progress` is called at each read.
    """

    def __init__(
        self,
        fields: Iterable[tuple[str, str]],
        files: Sequence[FilePart],
        encoding: str,
        progress: Callable[[], None],
    ) -> None:
        self.boundary = secrets.token_hex(16)
        self._progress = progress
        pieces: list[bytes | Path] = []
        for name, value in fields:
            head = f'--{self.boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
            pieces.append(head.encode() + value.encode(encoding) + b"\r\n")
        for part in files:
            head = (
                f'--{self.boundary}\r\nContent-Disposition: form-data; name="{part.field}"; '
                f'filename="{part.sent_name}"\r\nContent-Type: {part.mime}\r\n\r\n'
            )
            pieces += [head.encode(), part.path, b"\r\n"]
        pieces.append(f"--{self.boundary}--\r\n".encode())
        self._length = sum(len(item) if isinstance(item, bytes) else item.stat().st_size for item in pieces)
        self._source = self._chunks(pieces)
        self._rest = b""

    def __len__(self) -> int:
        return self._length

    @staticmethod
    def _chunks(pieces: Iterable[bytes | Path]) -> Iterator[bytes]:
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            with piece.open("rb") as stream:
                while block := stream.read(_CHUNK):
                    yield block

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes (all that is left when negative)."""
        self._progress()
        while size < 0 or len(self._rest) < size:
            block = next(self._source, None)
            if block is None:
                break
            self._rest += block
        cut = len(self._rest) if size < 0 else size
        result, self._rest = self._rest[:cut], self._rest[cut:]
        return result


class Client:
    """One TdT, one certificate. The certificate is read again when its folder changes."""

    def __init__(self, config: Config, progress: Callable[[], None] = lambda: None) -> None:
        self._config = config
        self._progress = progress
        self._session: requests.Session | None = None
        self._stamp: tuple[str, int] | None = None
        self.server_date: datetime | None = None  # the TdT's clock at its last answer

    def get(self, path: str, params: Mapping[str, Any] | None = None, follow: bool = False) -> bytes:
        """Body of the answer. With `follow`, one redirection to another page of the same TdT is accepted."""
        answer = self._call("GET", path, params=params)
        if follow and answer.is_redirect:
            target = urlsplit(urljoin(answer.url, answer.headers["Location"]))
            if target.netloc == urlsplit(answer.url).netloc:
                answer = self._call("GET", target.path, params=target.query)
        return _body(answer)

    def post(
        self,
        path: str,
        fields: Iterable[tuple[str, str]] = (),
        files: Sequence[FilePart] = (),
        encoding: str = "latin-1",
    ) -> bytes:
        """Post a form; body of the answer."""
        body = Multipart(fields, files, encoding, self._progress)
        kind = f"multipart/form-data; boundary={body.boundary}"
        try:
            return _body(self._call("POST", path, data=body, headers={"Content-Type": kind}))
        except Refused as error:
            if error.kind == "redirige":  # a login page: the account is at fault, not what was posted
                raise Denied(str(error), error.kind) from error
            raise

    def close(self) -> None:
        if self._session:
            self._session.close()
        self._session, self._stamp = None, None

    def _current_session(self) -> requests.Session:
        folder = self._config.certificat
        try:
            stamp = (os.path.realpath(folder), (folder / "cert.pem").stat().st_mtime_ns)
            for name in ("key.pem", "fullchain.pem"):
                with (folder / name).open("rb"):
                    pass
        except OSError as error:
            raise Denied(
                f"le certificat client est illisible ({error.filename} : {reason(error)}). Relancez le déploiement "
                "du connecteur, qui le demande au groupement.",
                "client_absent",
            ) from error
        if self._session is None or stamp != self._stamp:
            self.close()
            session = https.session("tdt-connector", self._config.autorites, folder)
            if self._config.identifiant is not None:
                account = (self._config.identifiant, self._config.mot_de_passe or "")
                session.auth = requests.auth.HTTPBasicAuth(*(part.encode("latin-1") for part in account))
            self._session, self._stamp = session, stamp
        return self._session

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        session = self._current_session()
        self._progress()
        answer: requests.Response | None = None
        try:
            answer = session.request(
                method,
                f"{self._config.url}{path}",
                timeout=(_CONNECT_TIMEOUT, self._config.delais.http),
                allow_redirects=False,
                stream=True,
                **options,
            )
            answer._content = self._read(answer)
        except OSError as error:  # every error of requests is one; so is an unusable certificate file
            self.close()
            raise explain(error, self._config.url, self._config.delais.http) from error
        finally:
            if answer is not None:
                answer.close()
        self.server_date = _moment(answer.headers.get("Date", ""))
        return answer

    def _read(self, answer: requests.Response) -> bytes:
        """The body of an answer, once in memory, where requests would have it twice."""
        body = io.BytesIO()
        for block in answer.iter_content(_ANSWER_BLOCK):
            body.write(block)
            if body.tell() > _ANSWER_MAX:
                raise Uncertain(f"le TdT a envoyé plus de {_ANSWER_MAX / 1e6:.0f} Mo.", "reponse")
            if body.tell() > _ANSWER_BLOCK:
                self._progress()
        return body.getvalue()


def _moment(text: str) -> datetime | None:
    """The clock that an answer tells; one that makes no sense takes nothing away from the answer."""
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _body(answer: requests.Response) -> bytes:
    code = answer.status_code
    if code < HTTPStatus.MULTIPLE_CHOICES:
        return answer.content
    if code < HTTPStatus.BAD_REQUEST:
        raise Refused("le TdT renvoie vers une page web au lieu de répondre : il refuse cette demande.", "redirige")
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Uncertain(f"le TdT est en panne (HTTP {code}).", "panne")
    if code in _NGINX_CERTIFICATE or (code == HTTPStatus.BAD_REQUEST and _CERTIFICATE_PAGE.search(answer.text)):
        raise _certificate_refused(answer.text)
    if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise Refused("le TdT juge l'envoi trop volumineux (HTTP 413).", "volume")
    if code in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS):
        raise Unreachable(f"le TdT est saturé (HTTP {code}).", "panne")
    if code == HTTPStatus.FORBIDDEN:
        raise Denied("le TdT refuse l'accès à ce certificat (HTTP 403).", "client_refuse")
    raise Denied(f"le TdT a répondu HTTP {code} : l'adresse du TdT est-elle la bonne ?", "http")


def _certificate_refused(page: str) -> Denied:
    """nginx lets the TLS session begin and refuses the certificate with a page, which may say why."""
    for words, (kind, text) in _REASONS.items():
        if words in page:
            return Denied(f"le TdT refuse le certificat client : {text}.", kind)
    return Denied("le TdT refuse le certificat client (révoqué, expiré ou d'une autre autorité).", "client_refuse")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it wraps."""
    pending: list[BaseException] = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        pending += [item for item in inner if isinstance(item, BaseException)]


def ask(
    session: requests.Session,
    method: str,
    url: str,
    timeout: tuple[float, float],
    called: str,
    away: type[Exception],
    **options: Any,
) -> requests.Response:
    """One request to another server than the TdT; redirections are not followed. Raises `away`."""
    try:
        return session.request(method, url, timeout=timeout, allow_redirects=False, **options)
    except OSError as error:  # every error of requests is one
        why = str(explain(error, url, timeout[1])).replace("le TdT", called)
        raise away(f"{urlsplit(url).hostname} : {why}") from error


def explain(error: BaseException, url: str, seconds: float) -> TdtError:
    """Say what a failed exchange with a server means, and whether the request may have been received.

    Args:
        url: of the server.
        seconds: how long its answer was waited for.
    """
    causes = list(_causes(error))
    host = urlsplit(url).hostname
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            kind, text = _SERVER_FAULTS.get(
                cause.verify_code, ("serveur_refuse", f"est refusé ({cause.verify_message})")
            )
            return Unreachable(
                f"le certificat du serveur {host} {text}. Rien n'est envoyé à un serveur qui n'est pas prouvé.",
                kind,
            )
        if isinstance(cause, ssl.SSLError):
            reason = cause.reason or ""
            if "KEY_VALUES_MISMATCH" in reason:
                return Denied("la clé privée ne correspond pas au certificat client.", "client_cle")
            alert = next((value for name, value in _ALERTS.items() if name in reason and "ALERT" in reason), None)
            if alert:
                return Denied(f"le TdT refuse le certificat client : {alert[1]}.", alert[0])
    for cause in causes:
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            return Unreachable(f"le nom {host} est introuvable (DNS).", "dns")
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            return Unreachable(f"le TdT ({host}) refuse la connexion, ou le réseau est coupé.", "tcp")
        if isinstance(cause, urllib3.exceptions.ConnectTimeoutError):
            return Unreachable(f"le TdT ({host}) ne répond pas (délai dépassé à la connexion).", "tcp")
    for cause in causes:
        if isinstance(cause, urllib3.exceptions.ReadTimeoutError):
            return Uncertain(f"le TdT ({host}) n'a pas répondu en {seconds:.0f} s.", "delai")
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return Denied(f"certificats inutilisables : {error}.", "client_absent")
    return Uncertain(f"la liaison avec {host} a été coupée avant la réponse ({type(causes[-1]).__name__}).", "coupure")
