# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The door over HTTP: WSGI application behind nginx, which hands over the client certificate when one is shown.

POST /demandes               a PC asks for a certificate, with its token (JSON)
GET  /demandes/<number>      what became of it; the token is the bearer's
POST /renouvellements        a person's certificate asks for the next one (JSON)
GET  /renouvellements/<number>
POST /constats               what a PC says of itself, signed by its certificate (JSON)
GET  /identite               whose certificate was seen: a page, which is noted

A refusal is ``{"message": French, "cause": a word}``.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from cryptography import x509
from flask import Flask, Response, jsonify, request
from markupsafe import escape
from werkzeug.exceptions import BadRequest as Unread
from werkzeug.exceptions import UnsupportedMediaType

from creatic_agent import web
from creatic_agent.enrolment import Refused
from creatic_agent.identity import HEADER, Denied, Identity, Kind, certificate_of, identity_of, shown

from .store import Store

FOLDER = "CREATIC_ENROLEMENT"
"""Variable that names the folder of the door."""
LARGEST = 32 << 10
"""Bytes of what is sent."""
STATUSES = {
    "jeton_inconnu": HTTPStatus.FORBIDDEN,
    "jeton_expire": HTTPStatus.GONE,
    "jeton_utilise": HTTPStatus.CONFLICT,
    "autre_poste": HTTPStatus.CONFLICT,
    "deja_demande": HTTPStatus.CONFLICT,
    "trop_tot": HTTPStatus.CONFLICT,
    "demande_inconnue": HTTPStatus.NOT_FOUND,
    "certificat_inconnu": HTTPStatus.NOT_FOUND,
    "trop": HTTPStatus.TOO_MANY_REQUESTS,
}
"""Of each cause; any other is 400."""
_OF_STATUS = {
    HTTPStatus.FORBIDDEN: "identite",
    HTTPStatus.NOT_FOUND: "adresse",
    HTTPStatus.METHOD_NOT_ALLOWED: "methode",
    HTTPStatus.CONTENT_TOO_LARGE: "trop_gros",
    HTTPStatus.SERVICE_UNAVAILABLE: "occupe",
}
_PAGE = """<!doctype html>
<html lang="fr"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ font: 1.1rem/1.6 sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}</style>
</head><body><h1>{title}</h1>{body}</body></html>
"""
log = logging.getLogger("enrolement")


def application() -> Flask:
    """What the WSGI server loads."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return create_app(Store(Path(os.environ[FOLDER])))


def create_app(store: Store) -> Flask:
    """The application of a store."""
    views = _Views(store)
    rules: tuple[tuple[str, str, Callable[..., Any]], ...] = (
        ("POST", "/demandes", views.ask),
        ("GET", "/demandes/<number>", views.asked),
        ("POST", "/renouvellements", views.renew),
        ("GET", "/renouvellements/<number>", views.renewed),
        ("POST", "/constats", views.facts),
        ("GET", "/identite", views.who),
    )
    app = web.application("enrolement", rules, _error)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(sqlite3.Error, _away)
    app.register_error_handler(OSError, _away)
    return app


def _error(status: int, text: str, retry: int = 0, cause: str = "") -> Response:
    answer = web.refusal("message", status, text, retry)
    answer.set_data(jsonify({"message": text, "cause": cause or _OF_STATUS.get(HTTPStatus(status), "demande")}).data)
    return answer


def _refused(error: Refused) -> Response:
    status = STATUSES.get(error.cause, HTTPStatus.BAD_REQUEST)
    return _error(status, error.message, 3600 if error.cause == "trop" else 0, error.cause)


def _away(error: Exception) -> Response:
    log.error("%s", error)
    return _error(HTTPStatus.SERVICE_UNAVAILABLE, "La porte ne peut pas travailler : réessayez plus tard.", 300)


def _sent() -> object:
    """The JSON of a request. Raises Refused: it is none."""
    try:
        return request.get_json(force=True)
    except (Unread, UnsupportedMediaType):
        raise Refused("Demande mal formée : du JSON est attendu.") from None


def _from() -> str:
    return request.headers.get("X-Forwarded-For", "")  # nginx's alone, through its socket


def _person() -> tuple[x509.Certificate, Identity]:
    """Who shows a certificate, when it is a person. Raises Denied."""
    certificate = certificate_of(request.headers.get(HEADER, ""))
    who = identity_of(certificate)
    if who.kind is not Kind.PERSON:
        raise Denied(f"Ce certificat {shown(certificate)} n'est pas celui d'une personne.")
    return certificate, who


class _Views:
    """The views."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ask(self) -> tuple[Response, int]:
        """Keep a request."""
        return jsonify(self._store.ask(_sent(), _from(), datetime.now(UTC))), HTTPStatus.ACCEPTED

    def asked(self, number: str) -> Response:
        """What became of it."""
        kind, _space, token = request.headers.get("Authorization", "").partition(" ")
        bearer = token.strip() if kind.lower() == "bearer" else ""
        return jsonify(self._store.state(number, bearer, _from(), datetime.now(UTC)))

    def renew(self) -> tuple[Response, int]:
        """Keep a renewal."""
        certificate, who = _person()
        return jsonify(self._store.renew(certificate, who, _sent(), _from(), datetime.now(UTC))), HTTPStatus.ACCEPTED

    def renewed(self, number: str) -> Response:
        """What became of it."""
        return jsonify(self._store.renewal(_person()[0], number))

    def facts(self) -> Response:
        """Keep what a PC says of itself."""
        certificate, who = _person()
        self._store.keep(certificate, who, _sent(), _from(), datetime.now(UTC))
        log.info("constats de %s, SIREN %s, certificat %040x", who.name, who.siren, certificate.serial_number)
        return jsonify({"etat": "garde"})

    def who(self) -> Response:
        """Say whose certificate was seen, and note it."""
        try:
            certificate, who = _person()
        except Denied as error:
            return _page("Certificat non reconnu", [str(error)], HTTPStatus.FORBIDDEN)
        self._store.see(certificate, who, datetime.now(UTC))
        lines = [
            f"Titulaire : {who.name}",
            f"SIREN : {who.siren}",
            f"Valable jusqu'au {certificate.not_valid_after_utc:%d/%m/%Y}",
            "Ce navigateur présente bien ce certificat : il n'y a rien à faire.",
        ]
        return _page("Votre certificat est reconnu", lines, HTTPStatus.OK)


def _page(title: str, lines: list[str], status: HTTPStatus) -> Response:
    body = "".join(f"<p>{escape(line)}</p>" for line in lines)
    answer = Response(_PAGE.format(title=title, body=body), status=status, mimetype="text/html")
    answer.headers["Cache-Control"] = "no-store"
    return answer
