"""The passerelle over HTTP: WSGI application behind nginx, which demands a client certificate and hands it over.

GET  /connecteur/a-transmettre        what the commune's connector has to send (JSON)
GET  /connecteur/fichiers/<sha256>    one of its files
POST /connecteur/suivi                where an act is at the TdT (JSON)
GET  /connecteur/eliminations         archives whose elimination is known here (JSON)
POST /connecteur/eliminations         an archive of the commune was eliminated, by its attestation: its copies go (JSON)
POST /eliminations                    an agent of the commune takes back what was to go, or lets it go
GET  /connecteur/preuves              dossiers de preuve of archived acts, to be archived too (JSON)
POST /connecteur/preuves              one was taken (JSON)
PUT  /connecteur/retours/<name>       what the DGFiP sent back (PES Retour), as it came
GET  /retours/<sha256>                the same, for the commune's agents
…    /connecteur/lettres…, /lettres…  the préfecture's letters: see desk.py
…    /acte…, /registre…, /decisions…  the commune's registers and certificates: see records.py
GET  /delais                          delays of appeal against the commune's acts: see delays.py
GET  /suivi, /suivi.ods               figures and delays of all communes, for the groupement: see overview.py
GET  /pour/<slug>                     look at an entity that the commune hosts (CCAS…), or at the commune again
GET  /                                where each act is (HTML): the commune's own, or all for the groupement
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO, cast

import psycopg
from flask import Flask, Response, jsonify, redirect, render_template, request, send_file
from jinja2 import FileSystemLoader, StrictUndefined
from psycopg_pool import PoolTimeout

from creatic_agent import web
from creatic_agent.identity import HEADER, Denied

from . import config as settings
from . import overview, page
from .acts import BadRequest
from .chain import Chain
from .config import Config
from .delays import DelaysPage
from .desk import Desk, json_object
from .eliminations import Eliminations
from .files import Files
from .identity import Visitor, visitor
from .letters import Letters
from .proofs import Proofs
from .queue import parts
from .records import Records
from .returns import Returns
from .room import LARGEST
from .store import Store

log = logging.getLogger("passerelle")
_error = partial(web.refusal, "message")
_RECEIPT_MAX = 1_000_000
_CHOSEN = "__Host-entite"  # a cookie: which entity an agent looks at
_DIGEST = re.compile(r"[0-9a-f]{64}")


def application() -> Flask:
    """What the WSGI server loads."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = settings.load()
    store, _queue, chain = parts(config)
    return create_app(config, store, chain)


def create_app(config: Config, store: Store, chain: Chain) -> Flask:
    """The application of a configuration."""
    views = _Views(config, store, chain)
    rules: tuple[tuple[str, str, Callable[..., Any]], ...] = (
        ("GET", "/connecteur/a-transmettre", views.to_send),
        ("GET", "/connecteur/fichiers/<sha256>", views.document),
        ("GET", "/connecteur/preuves", views.proofs),
        ("POST", "/connecteur/preuves", views.proof_taken),
        ("PUT", "/connecteur/retours/<name>", views.take_return),
        ("GET", "/retours/<sha256>", views.give_return),
        ("POST", "/connecteur/suivi", views.follow),
        ("GET", "/connecteur/eliminations", views.eliminated),
        ("POST", "/connecteur/eliminations", views.eliminate),
        ("POST", "/eliminations", views.keep_or_let_go),
        ("GET", "/pour/<slug>", views.choose),
        ("GET", "/", views.page),
        *views.desk.rules(),
        *views.records.rules(),
        *views.watch.rules(),
        *views.delays.rules(),
    )
    app = web.application("passerelle", rules, _error)
    app.config["MAX_CONTENT_LENGTH"] = 2 * _RECEIPT_MAX
    app.jinja_loader = FileSystemLoader(config.templates)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.autoescape = True  # flask's default looks at names, and does not know these
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.register_error_handler(BadRequest, lambda error: _error(error.status, str(error)))
    app.register_error_handler(psycopg.Error, _away)
    app.register_error_handler(psycopg.DataError, _unkept)
    app.register_error_handler(UnicodeEncodeError, _unkept)  # half a character
    app.register_error_handler(PoolTimeout, _away)
    app.register_error_handler(OSError, _away)
    return app


def _away(error: Exception) -> Response:
    log.error("%s", error)
    text = "La passerelle ne peut pas travailler. Rien n'est perdu : réessayez plus tard."
    return _error(HTTPStatus.SERVICE_UNAVAILABLE, text, 30)


def _unkept(error: Exception) -> Response:
    """What PostgreSQL takes for no text is the fault of who sent it: nothing would come of asking again."""
    log.error("%s", error)
    text = (
        "Un texte de cette demande ne peut pas être gardé (caractère nul ou incomplet). À faire : corrigez-le ; rien "
        "n'a été changé."
    )
    return _error(HTTPStatus.BAD_REQUEST, text)


class _Views:
    """The views. Each begins with the visitor, who comes from the certificate and from nothing else."""

    def __init__(self, config: Config, store: Store, chain: Chain) -> None:
        self._config, self._store, self._chain = config, store, chain
        self._eliminations = Eliminations(config, store, Files(config.folder))
        self._proofs = Proofs(store)
        self._returns = Returns(store, Files(config.folder))
        letters = Letters(store, Files(config.folder))
        self.desk = Desk(config, letters, self._visitor)
        self.records = Records(config, store, letters, self._visitor)
        self.delays = DelaysPage(config, store, letters, self._visitor)
        self.watch = overview.Watch(config, store, letters, self._visitor)

    def _visitor(self) -> Visitor:
        return visitor(request.headers.get(HEADER, ""), self._config, request.cookies.get(_CHOSEN, ""))

    def _opened(self) -> list[settings.Commune]:
        """What the visitor may look at: their commune and its entities; nothing for connectors and the groupement."""
        who = visitor(request.headers.get(HEADER, ""), self._config)
        return self._config.opened_by(who.commune) if who.commune and who.agent else []

    def choose(self, slug: str) -> Response:
        """Look at an entity of the commune's; what is noted or answered from then on is the entity's."""
        opened = self._opened()
        if request.headers.get("Sec-Fetch-Site") != "same-origin":
            raise Denied("Ce choix se fait depuis la page de la commune, dans un navigateur à jour.")
        if slug not in [one.slug for one in opened]:
            return _error(HTTPStatus.NOT_FOUND, "Cette entité n'est pas de votre commune.")
        answer = cast(Response, redirect("/", HTTPStatus.SEE_OTHER))
        if slug == opened[0].slug:
            answer.delete_cookie(_CHOSEN, secure=True, httponly=True, samesite="Strict")
        else:
            answer.set_cookie(_CHOSEN, slug, secure=True, httponly=True, samesite="Strict")
        return answer

    def _connector(self) -> settings.Commune:
        return self._visitor().served()

    def to_send(self) -> Response:
        """What a connector has to send."""
        commune = self._connector()
        self._store.seen(commune.slug)
        found = self._chain.connectors.to_send(commune, keeps="conserver" in request.args)
        for one in (part for act in found for part in (act, *act["annexes"])):
            one["fichier"] = f"/connecteur/fichiers/{one['sha256']}"
        return jsonify({"results": found})

    def document(self, sha256: str) -> Response:
        """A file that a connector has to send."""
        commune = self._connector()
        path = self._chain.connectors.document(commune, sha256) if _DIGEST.fullmatch(sha256) else None
        if path is None and _DIGEST.fullmatch(sha256) and self._proofs.holds(commune, sha256):
            path = Files(self._config.folder).path(sha256)
        if path is None:
            return _error(HTTPStatus.NOT_FOUND, "Ce fichier n'est pas à transmettre par ce connecteur.")
        return send_file(path, mimetype="application/octet-stream", as_attachment=True)

    def follow(self) -> Response:
        """Hear a connector."""
        commune = self._connector()
        said = json_object()
        receipt = None
        if said.get("ar_acte"):
            try:
                receipt = base64.b64decode(str(said["ar_acte"]), validate=True)
            except binascii.Error as error:
                raise BadRequest("Champ « ar_acte » : ce n'est pas du base64.") from error
        self._chain.connectors.follow(commune, said, receipt)
        return jsonify({"reference": said["reference"], "etat": said["etat"]})

    def eliminated(self) -> Response:
        """Archives whose elimination is known here."""
        return jsonify({"archives": self._eliminations.done(self._connector())})

    def eliminate(self) -> Response:
        """Hear that an archive was eliminated."""
        commune = self._connector()
        said = json_object()
        return jsonify(self._eliminations.ask(commune, said))

    def keep_or_let_go(self) -> Response:
        """Take back what was to go, or let go what was taken back."""
        who = self._visitor()
        if who.commune is None or not who.agent:
            raise Denied("Seuls les agents de la commune gardent ses actes, ou les laissent partir.")
        if request.headers.get("Sec-Fetch-Site") != "same-origin":
            raise Denied("Ce geste se fait depuis la page, dans un navigateur à jour.")
        gestures = {"garder": self._eliminations.keep, "laisser": self._eliminations.release}
        gesture = gestures.get(request.form.get("geste", ""))
        if gesture is None:
            raise BadRequest("Ce geste est inconnu.")
        gesture(who.commune, request.form.get("archive", "")[:100], who.name)
        return cast(Response, redirect("/#eliminations", HTTPStatus.SEE_OTHER))

    def proofs(self) -> Response:
        """Dossiers de preuve to take."""
        return jsonify({"results": self._proofs.waiting(self._connector())})

    def proof_taken(self) -> Response:
        """Hear that one was taken."""
        commune = self._connector()
        said = json_object()
        self._proofs.said(commune, said)
        return jsonify({"reference": said["reference"]})

    def take_return(self, name: str) -> Response:
        """Keep what the DGFiP sent back."""
        commune = self._connector()
        request.max_content_length = LARGEST
        given = request.args.get
        self._returns.take(
            commune, name, given("fichier", ""), given("sha256", ""), cast(BinaryIO, request.stream),
            request.content_length,
        )  # fmt: skip # one call by its parts
        return jsonify({"nom": name})

    def give_return(self, sha256: str) -> Response:
        """What the DGFiP sent back, for an agent."""
        who = self._visitor()
        found = None if who.connector or not _DIGEST.fullmatch(sha256) else self._returns.document(who.commune, sha256)
        if found is None:
            return _error(HTTPStatus.NOT_FOUND, "Ce retour de la DGFiP n'est pas de votre commune, ou n'est pas ici.")
        path, file = found
        return send_file(path, mimetype="application/octet-stream", as_attachment=True, download_name=file)

    def page(self) -> str:
        """Where each act is."""
        who = self._visitor()
        if who.connector:
            raise Denied("Cette page est pour les agents : ouvrez-la avec le certificat d'un poste.")
        shown = page.content(self._config, self._store, who.commune)
        shown |= {"retours": self._returns.shown(self._config, who.commune), "lettres": self.desk.shown(who.commune)}
        shown |= self._eliminations.shown(self._config, who.commune)
        shown["autres"] = [one for one in self._opened() if who.commune and one.slug != who.commune.slug]
        return render_template("page.html.j2", **shown)
