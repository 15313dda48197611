"""Answers in the forms of S²LOW, and what every address shares."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from flask import Response, current_app, g, request
from lxml import etree

from . import messages
from .auth import AuthError, Visitor, visitor
from .config import Config
from .store import Store

METHODS = ["GET", "POST"]
"""S²LOW looks at the address alone, and some clients send a form where they only ask."""
ACTES_INDEX = "/modules/actes/index.php"
HELIOS_INDEX = "/modules/helios/index.php"


def store() -> Store:
    """Return the state of the running application."""
    return cast(Store, current_app.extensions["tdt_store"])


def config() -> Config:
    """Return the configuration of the running application."""
    return store().config


def me() -> Visitor:
    """Return who sends the current request (see authenticated)."""
    return cast(Visitor, g.visitor)


def text(body: str, mimetype: str = "text/plain") -> Response:
    """Return a text in ISO-8859-1."""
    return Response(body.encode("latin-1", "replace"), content_type=f"{mimetype}; charset=ISO-8859-1")


def escaped(message: str) -> str:
    """Escape a message as PHP's htmlspecialchars(ENT_QUOTES) does: S²LOW does it on its KO answers."""
    pairs = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#039;")]
    for character, entity in pairs:
        message = message.replace(character, entity)
    return message


def done(identifier: object) -> Response:
    """Return the success of an api=1 call."""
    return text(f"OK\n{identifier}\n\n")


def refused(message: str) -> Response:
    """Return the refusal of an api=1 call."""
    return text(f"KO\n{escaped(message)}\n")


def refused_plainly(message: str) -> Response:
    """Return the refusal of the addresses that S²LOW does not escape."""
    return text(f"KO\n{message}")


def moved(location: str) -> Response:
    """Send the client elsewhere: S²LOW's refusal on addresses meant for people."""
    return Response(status=302, headers={"Location": location})


def as_json(value: object, status: int = 200) -> Response:
    """Return a JSON value (always in UTF-8)."""
    return Response(json.dumps(value), status=status, content_type="application/json")


def as_xml(root: etree._Element, encoding: str = "UTF-8") -> Response:
    """Return an XML document."""
    return Response(messages.serialize(root, encoding), content_type="text/xml")


def attachment(content: bytes, filename: str, mimetype: str) -> Response:
    """Return a file."""
    answer = Response(content, mimetype=mimetype)
    answer.headers.set("Content-Disposition", "attachment", filename=filename)
    return answer


def integer(value: str | None) -> int:
    """Read a number as PHP's intval does: 0 when it is none."""
    return int(value) if value and value.isascii() and value.isdigit() else 0


def authenticated(view: Callable[..., Response]) -> Callable[..., Response]:
    """Find the account before the view runs; answer as S²LOW does when there is none."""

    @wraps(view)
    def wrapped(*args: Any, **kwargs: Any) -> Response:
        try:
            g.visitor = visitor(request, config())
        except AuthError as error:
            if request.method == "POST" or request.args.get("api") == "1" or request.path.startswith("/api/"):
                return refused(str(error))
            return moved("/login.php" if error.several else "/connexion-status")
        return view(*args, **kwargs)

    return wrapped
