"""The door, over HTTP: WSGI application behind nginx, which demands a client certificate and hands it over.

POST /v1/versements               a SIP (.tar or .zip) → ArchiveTransferReply (200 OK, 422 KO, 503 KO, try again),
                                  or Acknowledgement (202: kept and checked, the answer comes later)
GET  /v1/versements/<identifier>  the answer given to a SIP, by its own identifier
GET  /v1/archives[?apres=<id>]    the account's archives (JSON, 1000 at most, fewer if they have many files)
GET  /v1/archives/<id>            one archive (JSON); <id>.tar: the AIP; <id>/<file>: a file of the SIP
GET  /v1/acces/<id>               whether one of the account's archives is communicable to anybody, and from when (JSON)
GET  /v1/eliminations[?apres=<rank>]    what was eliminated of the account, whose copies are to follow (JSON, 1000 at
                                  most); ?prevues=1: what is asked for and not done
POST /v1/eliminations/<id>/copies what became of an archive's copies, by who deposits (JSON)
GET  /                            the account at a glance (HTML)

With ?compte=<name>, a GET reads the account of an entity (CCAS…) that the certificate's commune hosts.
"""

from __future__ import annotations

import logging
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import BinaryIO, cast

from flask import Flask, Response, jsonify, render_template_string, request

from creatic_agent import web
from creatic_agent.identity import HEADER
from sae import config as settings
from sae.access import NAME, Desk, Register
from sae.agents import Trust
from sae.config import Account, Config
from sae.copies import MAX_ELIMINATIONS_PER_REPLY, Copies, InvalidReportError
from sae.elimination.ledger import SCHEMA
from sae.identity import caller, depositor_of, opened_by, reader_of
from sae.inventory import original
from sae.journal import JournalError
from sae.refusal import OperationRefusedError
from sae.store import CorruptedObjectError, ObjectNotFoundError, StoreError
from sae.versement import seda
from sae.versement.engine import Engine
from sae.versement.registry import Answer, Archive
from sae.versement.spool import AnswerPendingError, SipBusyError, SipTooLargeError

log = logging.getLogger("sae")
MAX_PARALLEL_DEPOSITS = 2
"""SIPs of one account that one process takes in at a time: each is on the disk of all and has a thread until it is
answered, whoever still waits for it."""
_DEPOSIT_RETRY_SECONDS = 60  # seconds
_MAX_RANK_DIGITS = 19  # of a number that the books hold
_DEPOSIT_RETRY_HEADERS = {"Retry-After": str(_DEPOSIT_RETRY_SECONDS)}
_error = partial(web.refusal, "erreur")
_NOBODY = Trust(settings.TRUST, None, ())  # the door judges access, and takes no decision
_ACCOUNT_HTML = """<!doctype html><html lang="fr"><head><meta charset="utf-8">
<title>Archivage – {{ account.label }}</title>
<style>body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b35}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #ddd;
vertical-align:top}td.n{text-align:right;white-space:nowrap}code{font-size:.85em;color:#555}
progress{width:16rem}</style></head><body>
<h1>Archivage électronique</h1><p><strong>{{ account.label }}</strong> (SIREN {{ account.siren }})</p>
<p><progress max="{{ account.quota_mo }}" value="{{ used }}"></progress> {{ used }} Mo sur {{ account.quota_mo }},
{{ count }} archive{{ "s" if count > 1 }}.</p>
{% for one in others %}<p><a href="/?compte={{ one.name }}">voir {{ one.label }}</a></p>{% endfor %}
<h2>Derniers versements</h2>
<table><tr><th>Archive</th><th>Versée le</th><th>Conservée jusqu'au</th><th>Ensuite</th><th>Taille</th></tr>
{% for one in archives %}<tr><td>{{ one.titre or one.identifiant }}<br><code>{{ one.archive }}</code>
{% if one.copie_de %}<br>copie en PDF/A de <code>{{ one.copie_de }}</code>{% endif %}
{% for copy in one.copies %}<br>copie en PDF/A : <code>{{ copy }}</code>{% endfor %}</td>
<td>{{ one.verse_le[:10] }}</td><td>{{ one.conserve_jusqua }}</td><td>{{ one.sort_final }}</td>
<td class="n">{{ (one.octets / 1000) | round(0) | int }} ko</td></tr>
{% else %}<tr><td colspan="5">Aucune archive pour l'instant.</td></tr>{% endfor %}</table></body></html>"""


def application() -> Flask:
    """What the WSGI server loads, in each of its processes."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return create_app(settings.load())


def create_app(config: Config, engine: Engine | None = None) -> Flask:
    """The application of a configuration."""
    door = _Door(config, engine or Engine.from_config(config))
    rules = (
        ("POST", "/v1/versements", door.deposit),
        ("GET", "/v1/versements/<path:message>", door.answer),
        ("GET", "/v1/archives", door.archives),
        ("GET", "/v1/archives/<uuid:aip>", door.archive),
        ("GET", "/v1/archives/<uuid:aip>.tar", door.package),
        ("GET", "/v1/archives/<uuid:aip>/<path:name>", door.file),
        ("GET", "/v1/acces/<uuid:aip>", door.access),
        ("GET", "/v1/eliminations", door.eliminations),
        ("POST", "/v1/eliminations/<uuid:aip>/copies", door.copies),
        ("GET", "/", door.page),
    )
    app = web.application("sae", rules, _error)
    app.register_error_handler(
        ObjectNotFoundError, lambda error: _error(HTTPStatus.NOT_FOUND, "Cette archive n'est pas au stockage.")
    )
    app.register_error_handler(StoreError, _storage_away)
    app.register_error_handler(JournalError, _handle_failure)
    app.register_error_handler(OSError, _handle_failure)
    return app


def _storage_away(error: Exception) -> Response:
    log.error("%s", error)
    return _error(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Le stockage des archives ne répond pas. Réessayez plus tard.",
        _DEPOSIT_RETRY_SECONDS,
    )


def _handle_failure(error: Exception) -> Response:
    """A full disk, a journal that cannot be written: nothing is said done; the client asks again."""
    log.exception("%s", error)
    text = "Le service d'archivage ne peut pas travailler (disque ou journal). Rien n'est perdu : réessayez plus tard."
    return _error(HTTPStatus.SERVICE_UNAVAILABLE, text, _DEPOSIT_RETRY_SECONDS)


class _Door:
    """The views. Each begins with the account: the certificate says which it opens, the request which of them it reads.

    What is deposited or said goes to the certificate's own.
    """

    def __init__(self, config: Config, engine: Engine) -> None:
        self._config, self._engine = config, engine
        self._copies = Copies(config.folder, SCHEMA)
        self._places = {name: threading.BoundedSemaphore(MAX_PARALLEL_DEPOSITS) for name in config.accounts}

    def _reader_account(self) -> Account:
        return reader_of(request.headers.get(HEADER, ""), self._config, request.args.get("compte", ""))

    def _caller_name(self) -> str:
        return caller(request.headers.get(HEADER, ""), self._config)[0].name

    # -- in ------------------------------------------------------------------------------------------------

    def deposit(self) -> Response:
        """Take a SIP in."""
        account = depositor_of(request.headers.get(HEADER, ""), self._config)
        if self._engine.registry.wearies(account.name):  # before a byte is read, or written anywhere
            text = (
                "Ce compte a eu aujourd'hui trop de versements refusés : la porte n'en prend plus avant demain. "
                "À faire : corrigez ce qui les fait refuser, que les réponses disent, ou prévenez le groupement."
            )
            return self._refusal_response(account, HTTPStatus.SERVICE_UNAVAILABLE, text)
        if left := self._engine.registry.waits(account.name):
            text = (
                "Ce compte a eu dans l'heure trop de versements remis à plus tard : la porte n'en prend plus avant "
                f"{left // 60 + 1} min. À faire : renvoyez-les alors, un par un si un seul les fait remettre ; si cela "
                "dure, prévenez le groupement."
            )
            return self._refusal_response(account, HTTPStatus.SERVICE_UNAVAILABLE, text, left)
        if self._engine.registry.crowds(account.name):
            text = (
                "Trop de versements de ce compte attendent le stockage : la porte n'en prend plus avant de les avoir "
                "rangés. À faire : renvoyez-le plus tard ; si cela dure, prévenez le groupement."
            )
            return self._refusal_response(account, HTTPStatus.SERVICE_UNAVAILABLE, text)
        place = self._places[account.name]
        if not place.acquire(blocking=False):
            text = (
                f"Ce compte a déjà {MAX_PARALLEL_DEPOSITS} versements en cours : la porte n'en prend pas "
                "plus à la fois. "
                "À faire : renvoyez celui-ci dans une minute."
            )
            return self._refusal_response(account, HTTPStatus.SERVICE_UNAVAILABLE, text)
        try:
            return self._take_sip(account)
        finally:
            place.release()

    def _take_sip(self, account: Account) -> Response:
        request.max_content_length = sys.maxsize  # read as it comes by what bounds it, and says so
        try:
            answer = self._engine.deposit(account, cast(BinaryIO, request.stream))
        except SipTooLargeError:
            limit = self._config.limits.package // 1_000_000
            return self._refusal_response(account, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Le SIP dépasse {limit} Mo.")
        except SipBusyError:
            text = "Ce même SIP est en cours de versement. Réessayez dans une minute."
            return self._refusal_response(account, HTTPStatus.SERVICE_UNAVAILABLE, text)
        except AnswerPendingError as pending:
            content = seda.acknowledgement(
                identifier=f"urn:uuid:{uuid.uuid4()}",
                received=pending.message,
                when=datetime.now(UTC),
                agency=self._config.agency,
                sender=account.siren,
                comment="SIP reçu et contrôlé, rangé dès que le stockage répondra ; renvoyez-le pour la réponse.",
                version=pending.seda,
            )
            return Response(content, HTTPStatus.ACCEPTED, _DEPOSIT_RETRY_HEADERS, mimetype="application/xml")
        return _answer_response(answer)

    def _refusal_response(
        self, account: Account, code: HTTPStatus, text: str, later: int = _DEPOSIT_RETRY_SECONDS
    ) -> Response:
        content = seda.reply(
            identifier=f"urn:uuid:{uuid.uuid4()}",
            request="",
            when=datetime.now(UTC),
            agency=self._config.agency,
            sender=account.siren,
            accepted=False,
            comments=[f"Versement refusé : rien n'est conservé. {text}"],
            events=[],
        )
        headers = {"Retry-After": str(later)} if code == HTTPStatus.SERVICE_UNAVAILABLE else {}
        return Response(content, code, headers, mimetype="application/xml")

    def answer(self, message: str) -> Response:
        """Give again what was answered to a SIP."""
        found = self._engine.registry.last_answer(self._reader_account().name, message)
        if found is None:
            return _error(HTTPStatus.NOT_FOUND, f"Aucune réponse n'a été donnée au SIP « {message[:100]} ».")
        return Response(found.content, HTTPStatus.OK, mimetype="application/xml")

    # -- out -----------------------------------------------------------------------------------------------

    def archives(self) -> Response:
        """The account's archives."""
        account = self._reader_account()
        found = self._engine.registry.archives(account.name, after=request.args.get("apres", ""))
        count, size = self._engine.registry.usage().get(account.name, (0, 0))
        return jsonify(
            {
                "compte": account.name,
                "archives_en_tout": count,
                "octets": size,
                "quota_mo": account.quota_mo,
                "archives": [one.to_dict() for one in found],
            }
        )

    def _find_archive(self, account: Account, aip: uuid.UUID) -> Archive:
        archive = self._engine.registry.archive(account.name, str(aip))
        if archive is None:
            raise ObjectNotFoundError(str(aip))
        return archive

    def archive(self, aip: uuid.UUID) -> Response:
        """One archive's description, with the archives that are its copies in another format, or its original."""
        account = self._reader_account()
        found = self._find_archive(account, aip)
        copies = self._engine.registry.copies(account.name, found.aip)
        return jsonify({**found.to_dict(), "copie_de": original(found.message), "copies": copies})

    def package(self, aip: uuid.UUID) -> Response:
        """The whole AIP."""
        account = self._reader_account()
        archive = self._find_archive(account, aip)
        stream = self._engine.open(account, archive, self._caller_name())
        headers = {"Content-Length": str(archive.size), "X-Content-SHA512": archive.sha512 or ""}
        content = _close_after(stream, self._engine.blocks(stream, archive))
        return Response(content, HTTPStatus.OK, headers, mimetype="application/x-tar")

    def file(self, aip: uuid.UUID, name: str) -> Response:
        """A file of the SIP."""
        account = self._reader_account()
        archive = self._find_archive(account, aip)
        listed = next((one for one in archive.files if one["nom"] == name), None)
        if listed is None:
            return _error(HTTPStatus.NOT_FOUND, f"« {name[:200]} » n'est pas dans cette archive.")
        stream = self._engine.open(account, archive, self._caller_name(), name)
        headers = {"Content-Length": str(listed["octets"]), "X-Content-SHA512": str(listed["sha512"])}
        headers["Content-Disposition"] = "attachment"  # a document of others never becomes a page of ours
        content = _close_after(stream, self._engine.file_blocks(stream, archive, name))
        return Response(content, HTTPStatus.OK, headers, mimetype="application/octet-stream")

    def access(self, aip: uuid.UUID) -> Response:
        """Whether an archive of the account may be communicated to anybody, and from when."""
        account, config = self._reader_account(), self._config
        archive = self._find_archive(account, aip)
        with closing(Register(config.folder / NAME)) as book:
            desk = Desk(
                self._engine.journal, self._engine.store, book, _NOBODY, config.accounts, config.agency, config.access
            )
            try:
                verdict = desk.verdict(account.name, archive.aip)
            except OperationRefusedError:  # eliminated meanwhile
                raise ObjectNotFoundError(archive.aip) from None
        return jsonify(
            {
                "archive": archive.aip,
                "communicable": verdict.communicable,
                "depuis": verdict.since.isoformat() if verdict.since else None,
                "regle": verdict.code,
                "raison": verdict.why,
            }
        )

    # -- copies of what was eliminated ---------------------------------------------------------------------

    def eliminations(self) -> Response:
        """What was eliminated of the account."""
        account = self._reader_account()
        if "prevues" in request.args:
            found = self._copies.planned(account.name, request.args.get("apres", ""))
            return jsonify(
                {"eliminations": [one.to_dict() for one in found], "suite": len(found) == MAX_ELIMINATIONS_PER_REPLY}
            )
        after = request.args.get("apres", "0")
        if not (after.isascii() and after.isdecimal() and len(after) < _MAX_RANK_DIGITS):
            return _error(HTTPStatus.BAD_REQUEST, f"Champ « apres » : « {after[:40]} » n'est pas un rang.")
        found = self._copies.eliminated(account.name, int(after))
        return jsonify(
            {"eliminations": [one.to_dict() for one in found], "suite": len(found) == MAX_ELIMINATIONS_PER_REPLY}
        )

    def copies(self, aip: uuid.UUID) -> Response:
        """Hear what became of an archive's copies."""
        account = depositor_of(request.headers.get(HEADER, ""), self._config)
        said = request.get_json(silent=True)
        if not isinstance(said, dict):
            return _error(HTTPStatus.BAD_REQUEST, "Un objet JSON est attendu.")
        try:
            state = self._copies.report(self._engine.journal, account.name, str(aip), said)
        except InvalidReportError as error:
            return _error(HTTPStatus.BAD_REQUEST, str(error))
        return jsonify({"archive": str(aip), "etat": state})

    def page(self) -> str:
        """The account at a glance."""
        account = self._reader_account()
        registry = self._engine.registry
        count, size = registry.usage().get(account.name, (0, 0))
        archives = [
            {**one.to_dict(), "copie_de": original(one.message), "copies": registry.copies(account.name, one.aip)}
            for one in registry.latest(account.name, 20)
        ]
        others = [one for one in opened_by(request.headers.get(HEADER, ""), self._config) if one != account]
        used = size // 1_000_000
        return render_template_string(
            _ACCOUNT_HTML, account=account, others=others, used=used, count=count, archives=archives
        )


def _answer_response(answer: Answer) -> Response:
    code, headers = HTTPStatus.OK, {}
    if not answer.accepted:
        code = HTTPStatus.SERVICE_UNAVAILABLE if answer.temporary else HTTPStatus.UNPROCESSABLE_ENTITY
        headers = _DEPOSIT_RETRY_HEADERS if answer.temporary else {}
    return Response(answer.content, code, headers, mimetype="application/xml")


def _close_after(stream: BinaryIO, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks, and the storage's connection closed whatever happens; a damaged archive cuts the answer short."""
    try:
        yield from blocks
    except CorruptedObjectError as error:
        log.error("%s", error)
        raise
    finally:
        stream.close()
