"""Serves Plone on the socket that systemd opened (plone.service).

The visitor is known by what nginx says (X-Forwarded-For); who speaks to the socket itself is this machine's root. From
outside, a password in a header (Basic) is taken from the groupement's service accounts alone: people log in by the
form, where guessing locks out.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from creatic.deliberations import doors, line

# Accounts of services, which may send their password with each request.
SERVICES = ("passerelle",)
SITE = "deliberations"
# What pages and the REST API are asked by. WebDAV's would write fields that no form shows, and empty those that are
# asked for: nothing here is written by it.
METHODS = frozenset(("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"))
_FIRST_SOCKET = 3  # sd_listen_fds(3)
SAID, SAID_S, SAID_CHARACTERS = 30, 60, 3000
"""What the libraries may say to the journal: records in a time, in seconds, and characters of one. Each error of a
visitor's request is one, with its address and a traceback: the machine's journal, and its share of the collector, are
everybody's."""

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Bounded(logging.Handler):
    """Passes on to another what is said, within `SAID`; what this application says itself has no bound.

    Args:
        handler: the other.
        now: seconds.
    """

    def __init__(self, handler: logging.Handler, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._handler, self._now = handler, now
        self._since, self._said, self._silent = now(), 0, 0

    def emit(self, record: logging.LogRecord) -> None:
        """Under the lock of `handle`."""
        try:
            text = self._bounded(record.name, self.format(record))
        except Exception:  # noqa: BLE001 # logging handlers never raise to the caller
            self.handleError(record)
            return
        if text:
            told = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname, "msg": text}
            self._handler.handle(logging.makeLogRecord(told))

    def _bounded(self, name: str, text: str) -> str:
        """What is passed on; nothing when there was enough."""
        if name.startswith("creatic."):
            return text
        silent = ""
        if self._now() - self._since >= SAID_S:
            silent = f" (et {self._silent} autres, tus)" if self._silent else ""
            self._since, self._said, self._silent = self._now(), 0, 0
        self._said += 1
        if self._said > SAID:
            self._silent += 1
            return ""
        if len(text) > SAID_CHARACTERS:
            text = f"{text[: SAID_CHARACTERS // 3]} […] {text[-SAID_CHARACTERS * 2 // 3 :]}"
        return text + silent


def basic_login(header: str) -> str | None:
    """Give the login of an Authorization header that holds a password; None when it holds none, "" when it is wrong."""
    kind, _blank, value = header.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def is_text(path: str) -> bool:
    """Whether a path, as WSGI has it, is one that Zope reads: of another it makes an error, and a page of traceback."""
    try:
        return bool(path.encode("latin-1").decode())
    except UnicodeError:
        return False


def too_much(environ: dict[str, Any]) -> bool:
    """Whether a request brings more than Zope is given to read."""
    return doors.is_too_much(
        environ.get("REQUEST_METHOD", "GET"),
        environ.get("CONTENT_TYPE", ""),
        int(environ.get("CONTENT_LENGTH") or 0),
        environ["wsgi.input"],
        "HTTP_COOKIE" in environ or "HTTP_AUTHORIZATION" in environ,
    )


def front(application: Application, name: str) -> Application:
    """Put the site at the root of its name, and keep outside what is root's.

    Args:
        application: Zope.
        name: DNS name of the site.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "") or "/"
        if "HTTP_X_FORWARDED_FOR" in environ:
            login = basic_login(environ.get("HTTP_AUTHORIZATION", ""))
            if login is not None and login not in SERVICES:
                del environ["HTTP_AUTHORIZATION"]
            if environ.get("REQUEST_METHOD", "GET") not in METHODS:
                start_response("405 Method Not Allowed", [("Content-Type", "text/plain; charset=utf-8")])
                return [b"Ce site ne se modifie que par ses pages.\n"]
            if not is_text(path) or doors.is_closed(path) or doors.directs_inside(environ.get("QUERY_STRING", "")):
                start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
                return [b"Cette page n'existe pas.\n"]
            if too_much(environ):
                start_response("413 Content Too Large", [("Content-Type", "text/plain; charset=utf-8")])
                return ["Cet envoi est trop gros pour cette page : rien n’est enregistré.\n".encode()]
        environ["PATH_INFO"] = f"/VirtualHostBase/https/{name}:443/{SITE}/VirtualHostRoot{path}"
        return application(environ, start_response)

    return answer


def main() -> int:
    import waitress
    from creatic.deliberations import documents
    from Zope2.Startup.run import make_wsgi_app
    from ZPublisher.httpexceptions import HTTPExceptionHandler

    bounded = Bounded(logging.StreamHandler())
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", handlers=[bounded])
    application = HTTPExceptionHandler(make_wsgi_app({}, os.environ["ZOPE_CONF"]))
    documents.warm()
    listening = socket.socket(fileno=_FIRST_SOCKET)
    server = waitress.create_server(
        front(application, os.environ["PLONE_NAME"]),
        sockets=[listening],
        threads=int(os.environ["PLONE_THREADS"]),
        max_request_body_size=int(os.environ["PLONE_MAX_BODY"]),
        connection_limit=line.CONNECTIONS,
        asyncore_use_poll=True,  # select(2) takes no more than 1024 files
        channel_request_lookahead=1,  # reads on, and so knows who has gone
        ident=None,
        clear_untrusted_proxy_headers=False,
    )
    line.hold(server)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:  # sd_notify(3)
        manager.connect(os.environ["NOTIFY_SOCKET"])
        manager.send(b"READY=1")
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
