"""The door over HTTP: WSGI application behind nginx, which demands a client certificate and hands it over.

GET  /manifeste          what is signed for this machine (JSON); 204 when there is nothing yet
GET  /lots/<sha256>      a file of its own version
GET  /porte              what orders it to open a tunnel (JSON); 204 when nothing does
POST /comptes-rendus     how its pass went (JSON)
POST /releves            what it signed of itself for audits: bytes, that nobody reads here
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request, send_file

from creatic_agent import web
from creatic_agent.identity import HEADER, Denied, certificate_of, identity_of

from .store import LARGEST_RELEVE, LARGEST_REPORT, BadRequest, Store, TooMany

FOLDER = "CREATIC_GUICHET"
"""Variable that names the folder of the door."""
log = logging.getLogger("guichet")
_error = partial(web.refusal, "message")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def application() -> Flask:
    """What the WSGI server loads."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return create_app(Store(Path(os.environ[FOLDER])))


def create_app(store: Store) -> Flask:
    """The application of a store."""
    views = _Views(store)
    rules: tuple[tuple[str, str, Callable[..., Any]], ...] = (
        ("GET", "/manifeste", views.manifest),
        ("GET", "/lots/<sha256>", views.part),
        ("GET", "/porte", views.door_order),
        ("POST", "/comptes-rendus", views.report),
        ("POST", "/releves", views.releve),
    )
    app = web.application("guichet", rules, _error)
    app.config["MAX_CONTENT_LENGTH"] = max(LARGEST_REPORT, LARGEST_RELEVE)
    app.register_error_handler(BadRequest, lambda error: _error(HTTPStatus.BAD_REQUEST, str(error)))
    app.register_error_handler(TooMany, lambda error: _error(HTTPStatus.TOO_MANY_REQUESTS, str(error), 3600))
    app.register_error_handler(sqlite3.Error, _away)
    app.register_error_handler(OSError, _away)
    return app


def _away(error: Exception) -> Response:
    log.error("%s", error)
    return _error(HTTPStatus.SERVICE_UNAVAILABLE, "Le guichet ne peut pas travailler : réessayez plus tard.", 300)


class _Views:
    """The views. Each begins with the machine, which comes from the certificate and from nothing else."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _machine(self) -> str:
        machine = self._store.named(identity_of(certificate_of(request.headers.get(HEADER, ""))))
        if not machine:
            raise Denied("Ce certificat n'est celui d'aucune machine que le guichet attend.")
        return machine

    def manifest(self) -> Response:
        """What is signed for this machine."""
        found = self._store.manifest(self._machine(), datetime.now(UTC))
        if found is None:
            return Response(status=HTTPStatus.NO_CONTENT)
        return jsonify({"manifeste": found[0], "signature": found[1]})

    def part(self, sha256: str) -> Response:
        """A file of its version."""
        path = self._store.part(self._machine(), sha256) if _DIGEST.fullmatch(sha256) else None
        if path is None:
            return _error(HTTPStatus.NOT_FOUND, "Ce lot n'est pas, ou plus, à cette machine.")
        return send_file(path, mimetype="application/octet-stream")

    def door_order(self) -> Response:
        """What orders this machine to open a tunnel."""
        found = self._store.door_order(self._machine(), datetime.now(UTC))
        if found is None:
            return Response(status=HTTPStatus.NO_CONTENT)
        return jsonify({"ordre": found[0], "signature": found[1]})

    def report(self) -> Response:
        """Keep a report."""
        machine = self._machine()
        return jsonify({"recu": self._store.keep(machine, request.get_data(), datetime.now(UTC))})

    def releve(self) -> Response:
        """Keep a relevé, in the place of the one before."""
        machine = self._machine()
        return jsonify({"recu": self._store.carry(machine, request.get_data(), datetime.now(UTC))})
