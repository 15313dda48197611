"""The door, over HTTPS with this machine's certificate: one connection for a pass, everything bounded."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import http.client
import json
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from creatic_agent.durable import fresh
from creatic_flotte.manifest import LARGEST, VersionFile
from creatic_flotte.settings import Away, FleetError, Refused, Rejected, Settings

_TIMEOUT = 60  # seconds without a byte
_BLOCK = 1 << 16
_ANSWER = 4 * LARGEST
# OpenSSL's X509_V_ERR_*: not yet valid, expired.
_TIMES = (9, 10)


class Door:
    """The server that has this machine's part."""

    def __init__(self, settings: Settings) -> None:
        address = urlsplit(settings.door)
        if address.scheme != "https" or not address.hostname:
            raise FleetError(f"guichet : « {settings.door} » n'est pas une adresse https")
        try:
            context = ssl.create_default_context(cafile=str(settings.authorities))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(settings.current / "fullchain.pem", settings.current / "key.pem")
        except (OSError, ssl.SSLError):
            raise FleetError(
                f"le certificat de cette machine ({settings.current}) ou les autorités ({settings.authorities}) "
                "manquent ou sont abîmés : redéployez-la"
            ) from None
        self._connection = http.client.HTTPSConnection(
            address.hostname, address.port or 443, timeout=_TIMEOUT, context=context
        )
        self.clock: dt.datetime | None = None
        """The door's own, as its last answer said."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def manifest(self) -> tuple[str, str] | None:
        """What is signed for this machine, and its signature; None when there is nothing yet.

        Raises:
            Away: no answer. Refused: an answer that is none of a door's.
        """
        status, body = self._ask("GET", "/manifeste")
        if status == http.HTTPStatus.NO_CONTENT:
            return None
        return _signed(body, "manifeste")

    def order(self) -> tuple[str, str] | None:
        """What orders this machine to open a tunnel (see emergency), and its signature; None when nothing does.

        Raises:
            Away: no answer. Refused: an answer that is none of a door's.
        """
        status, body = self._ask("GET", "/porte", missing=True)
        if status != http.HTTPStatus.OK:  # nothing; or a door of before, which has none
            return None
        return _signed(body, "ordre")

    def fetch(self, part: VersionFile, target: Path) -> None:
        """Write a part to a new file, of which nothing stays unless it is what was signed.

        Raises:
            Away: the line was cut. Refused: shorter, longer or other than what was signed.
        """
        answer = self._request("GET", f"/lots/{part.sha256}")
        if answer.status != http.HTTPStatus.OK:
            said = self._read(answer, _ANSWER)
            self._connection.close()
            if answer.status == http.HTTPStatus.NOT_FOUND:
                raise Away("ce lot n'est plus au guichet, une autre version vient d'y arriver : au prochain passage")
            raise _unexpected(answer.status, said)
        declared = answer.getheader("Content-Length", "")
        if declared and declared != str(part.size):
            raise Refused(
                f"lot de {declared[:20]} octets, et le manifeste en annonce {part.size} : tronqué, ou allongé"
            )
        digest, size = hashlib.sha256(), 0
        try:
            with fresh(target, 0o600) as stream:
                while block := self._read(answer, _BLOCK):
                    size += len(block)
                    if size > part.size:
                        raise Refused(f"lot plus long que les {part.size} octets signés")
                    digest.update(block)
                    stream.write(block)
            if size < part.size and declared:
                raise Away(f"la liaison avec le guichet a été coupée à {size} octets sur {part.size}")
            if size < part.size:
                raise Refused(f"lot tronqué : {size} octets, et le manifeste en annonce {part.size}")
            if digest.hexdigest() != part.sha256:
                raise Refused("le contenu du lot n'est pas celui qui a été signé")
        except BaseException:
            with contextlib.suppress(OSError):
                target.unlink(missing_ok=True)
            raise

    def report(self, body: bytes) -> None:
        """Hand a report over.

        Raises:
            Away: it has to be sent again. Rejected: the door will never take it. Refused: it knows nothing of this
                machine, or is not the door, today.
        """
        status, said = self._ask("POST", "/comptes-rendus", body, {"Content-Type": "application/json"})
        if status != http.HTTPStatus.OK:
            raise _unexpected(status, said)

    def carry(self, releve: bytes) -> bool:
        """Hand a relevé over; whether the door takes them, which one of before does not.

        Raises:
            As `report`.
        """
        headers = {"Content-Type": "application/octet-stream"}
        return self._ask("POST", "/releves", releve, headers, missing=True)[0] == http.HTTPStatus.OK

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        missing: bool = False,
    ) -> tuple[int, bytes]:
        answer = self._request(method, path, body, headers)
        said = bytearray()
        while block := self._read(answer, _BLOCK):
            said += block
            if len(said) > _ANSWER:
                raise Refused("le guichet répond sans fin")
        taken = {http.HTTPStatus.OK, http.HTTPStatus.NO_CONTENT} | ({http.HTTPStatus.NOT_FOUND} if missing else set())
        if answer.status not in taken:
            raise _unexpected(answer.status, bytes(said))
        return answer.status, bytes(said)

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        try:
            self._connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = self._connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in _TIMES:
                now = dt.datetime.now(dt.UTC).strftime("%d/%m/%Y")
                raise Refused(
                    f"le certificat du guichet n'est pas valable à la date de cette machine ({now}) : son horloge est "
                    "fausse, ou le certificat du guichet est à renouveler"
                ) from None
            raise Refused("ce n'est pas le guichet : son certificat n'est pas du groupement, ou pas à ce nom") from None
        except ssl.SSLError:
            raise Away(
                "le guichet ne parle pas TLS, ou refuse le certificat de cette machine (révoqué, expiré ?)"
            ) from None
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise Away("le guichet ne répond pas : le prochain passage réessaiera") from None
        with contextlib.suppress(ValueError, TypeError):
            said = parsedate_to_datetime(answer.getheader("Date", ""))
            self.clock = said if said.tzinfo else said.replace(tzinfo=dt.UTC)
        return answer

    def _read(self, answer: http.client.HTTPResponse, most: int) -> bytes:
        try:
            return answer.read(most)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise Away("la liaison avec le guichet a été coupée : le prochain passage réessaiera") from None


def _signed(body: bytes, what: str) -> tuple[str, str]:
    """A text and its signature, within bounds. Raises Refused."""
    try:
        found = json.loads(body)
        text, signature = found[what], found["signature"]
        if not isinstance(text, str) or not isinstance(signature, str) or max(len(text), len(signature)) > LARGEST:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise Refused(f"le guichet répond autre chose qu'un {what}") from None
    return text, signature


def _unexpected(status: int, said: bytes) -> FleetError:
    text = ""
    with contextlib.suppress(ValueError, AttributeError):
        found: Any = json.loads(said)
        text = " ".join(str(found.get("message", "")).split())[:300]
    if status >= 500 or status in (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS):
        return Away(f"le guichet ne peut pas répondre (HTTP {status}) : le prochain passage réessaiera")
    kind = Rejected if status in (http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE) else Refused
    return kind(f"le guichet refuse (HTTP {status})" + (f" : {text}" if text else ""))
