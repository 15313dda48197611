# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Flask applications behind nginx, which answer in JSON and refuse in French."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify
from flask.json.provider import DefaultJSONProvider

from .identity import Denied

_TEXTS = {
    HTTPStatus.NOT_FOUND: "Cette adresse n'existe pas.",
    HTTPStatus.METHOD_NOT_ALLOWED: "Méthode non admise ici.",
    HTTPStatus.CONTENT_TOO_LARGE: "La demande est trop grosse.",
}


class _Json(DefaultJSONProvider):
    """JSON that ends no request: nested too deeply it is none, and half a character that was heard is told as « ? »."""

    ensure_ascii = False

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return super().dumps(obj, **kwargs).encode("utf-8", "replace").decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
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


def application(
    name: str, rules: Iterable[tuple[str, str, Callable[..., Any]]], refuse: Callable[[int, str], Response]
) -> Flask:
    """An application of rules (method, address, view) which says by `refuse` what HTTP itself refuses, and Denied."""
    app = Flask(name, static_folder=None)
    app.json = _Json(app)
    for method, address, view in rules:
        app.add_url_rule(address, view.__name__, view, methods=[method])
    app.register_error_handler(Denied, lambda error: refuse(HTTPStatus.FORBIDDEN, str(error)))
    for status, text in _TEXTS.items():
        app.register_error_handler(status, lambda error, status=status, text=text: refuse(status, text))
    return app
