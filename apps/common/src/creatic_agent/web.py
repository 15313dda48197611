# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Flask applications behind nginx, which answer in JSON and refuse in French."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, jsonify, request
from flask.json.provider import DefaultJSONProvider

from .identity import HEADER, Denied, certificate_of, identity_of

PLACES = 6
"""Requests of one SIREN that a process works on, of its eight threads. nginx takes five (nginx_tls_client_requests) of
those who wait for an answer: what was begun for who hung up goes on, and nginx counts it no more."""
LARGEST = 1_000_000
"""Bytes of what is sent to a view that says nothing else: read whole, as JSON of a few bytes an object."""
PIECES = 100_000
"""Values of a JSON text: a letter with fifty files has some hundreds, and each takes sixty bytes of memory or more,
where two of the text say it."""
_LATER = 60  # seconds
_BUSY = (
    "Trop de demandes de votre commune ou de votre organisme sont en cours. À faire : attendez leurs réponses, puis "
    "recommencez dans une minute."
)
_UNFIT = (
    "Ce qui est demandé contient un caractère nul, qu'aucun texte n'a ici. À faire : recommencez sans ce caractère."
)

_TEXTS = {
    HTTPStatus.NOT_FOUND: "Cette adresse n'existe pas.",
    HTTPStatus.METHOD_NOT_ALLOWED: "Méthode non admise ici.",
    HTTPStatus.CONTENT_TOO_LARGE: "La demande est trop grosse.",
}


class _Json(DefaultJSONProvider):
    """JSON that ends no request: nested too deeply, or of too many pieces, it is none.

    Half a character that was heard is told as « ? ».
    """

    ensure_ascii = False

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return super().dumps(obj, **kwargs).encode("utf-8", "replace").decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        text = s.encode("utf-8", "replace") if isinstance(s, str) else s
        if sum(map(text.count, (b",", b"[", b"{"))) > PIECES:
            raise ValueError("too many pieces")
        try:
            return super().loads(s, **kwargs)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def refusal(field: str, status: int, text: str, retry: int = 0) -> Response:
    """A refusal: its text in a field of a JSON object, and after how many seconds to ask again (0: unsaid)."""
    answer = jsonify({field: text})
    answer.status_code = status
    if retry:
        answer.headers["Retry-After"] = str(retry)
    return answer


def _holds_nul() -> bool:
    """Whether an address or what is asked of it holds a NUL, which no text of PostgreSQL does, nor a name of a file."""
    asked = (request.path, *request.args, *(one for found in request.args.listvalues() for one in found))
    return any("\0" in one for one in asked)


class _Places:
    """So many requests of one SIREN at work at a time, whoever still waits for their answers."""

    def __init__(self, app: Flask, refuse: Callable[[int, str], Response]) -> None:
        self._refuse, self._lock, self._busy = refuse, threading.Lock(), Counter[str]()
        app.before_request(self._enter)
        app.after_request(self._follow)
        app.teardown_request(lambda _error: None if g.get("streams") else self._leave(g))

    def _enter(self) -> Response | None:
        try:
            siren = identity_of(certificate_of(request.headers.get(HEADER, ""))).siren
        except Denied:
            siren = ""
        if not siren:  # the view says why
            return None
        with self._lock:
            if self._busy[siren] < PLACES:
                self._busy[siren] += 1
                g.place = siren
                return None
        answer = self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, _BUSY)
        answer.headers["Retry-After"] = str(_LATER)
        return answer

    def _follow(self, response: Response) -> Response:
        """What is read as it is told has its place until its end, or until nobody reads it."""
        if response.is_streamed and "place" in g:
            held = g._get_current_object()
            g.streams, response.direct_passthrough = True, False  # else nothing says when it ends
            response.call_on_close(lambda: self._leave(held))
        return response

    def _leave(self, held: Any) -> None:
        with self._lock:
            siren = held.pop("place", "")
            if siren:
                self._busy[siren] -= 1
            if not self._busy[siren]:
                del self._busy[siren]


def application(
    name: str, rules: Iterable[tuple[str, str, Callable[..., Any]]], refuse: Callable[[int, str], Response]
) -> Flask:
    """An application of rules (method, address, view) which says by `refuse` what HTTP itself refuses, and Denied.

    Who has a SIREN has `PLACES` in it, and sends `LARGEST` to a view that says nothing else. No view is asked for a NUL
    by its address.
    """
    app = Flask(name, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST
    app.json = _Json(app)
    app.before_request(lambda: refuse(HTTPStatus.BAD_REQUEST, _UNFIT) if _holds_nul() else None)
    _Places(app, refuse)
    for method, address, view in rules:
        app.add_url_rule(address, view.__name__, view, methods=[method])
    app.register_error_handler(Denied, lambda error: refuse(HTTPStatus.FORBIDDEN, str(error)))
    for status, text in _TEXTS.items():
        app.register_error_handler(status, lambda error, status=status, text=text: refuse(status, text))
    return app
