"""What a visitor makes the site say leaves the machine's journal, and its share of the collector, to the others."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
import serve


class Journal:
    """The site's loggers, on a clock."""

    def __init__(self) -> None:
        self.text, self.moment = io.StringIO(), 0.0
        self.root = logging.Logger("racine")
        handler = serve.Bounded(logging.StreamHandler(self.text), lambda: self.moment)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
        self.root.addHandler(handler)

    def says(self, name: str, text: str) -> None:
        """An error of a request, as waitress and Zope say it."""
        try:
            raise ValueError("a visitor's")
        except ValueError as error:
            given: dict[str, Any] = {"name": name, "levelno": 40, "levelname": "ERROR", "msg": "%s", "args": (text,)}
            self.root.handle(logging.makeLogRecord({**given, "exc_info": (ValueError, error, error.__traceback__)}))


@pytest.mark.parametrize("name", ["waitress", "Zope.SiteErrorLog", "plone.rest"])
def test_a_visitor_fills_no_journal(name: str) -> None:
    journal = Journal()
    for _rank in range(2000):
        journal.says(name, "Exception while serving /" + "a" * 8000)
        journal.moment += 0.01
    said = journal.text.getvalue()
    assert len(said) < serve.SAID * (serve.SAID_CHARACTERS + 100)
    assert "ERROR" in said and "ValueError: a visitor's" in said
    journal.moment += serve.SAID_S
    journal.says(name, "later")
    assert "1970 autres, tus" in journal.text.getvalue()


def test_what_the_application_says_is_said() -> None:
    journal = Journal()
    for _rank in range(100):
        journal.says("waitress", "x")
        journal.says("creatic.deliberations", "une convocation n'est pas partie")
    assert journal.text.getvalue().count("une convocation n'est pas partie") == 100


@pytest.mark.parametrize(
    ("path", "read"), [("/api/ÿþ", False), ("/s\u00c3\u00a9ances", True), ("/", True), ("/\u20ac", False)]
)
def test_an_address_that_is_no_text_is_no_page(path: str, read: bool) -> None:
    assert serve.is_text(path) is read
    asked: list[str] = []
    environ = {"PATH_INFO": path, "HTTP_X_FORWARDED_FOR": "192.0.2.1", "wsgi.input": io.BytesIO()}

    def zope(given: dict[str, Any], _start: Any) -> list[bytes]:
        asked.append(given["PATH_INFO"])
        return []

    said: list[str] = []
    list(serve.front(zope, "site.test")(environ, lambda status, _headers: said.append(status)))
    assert bool(asked) is read and (read or said == ["404 Not Found"])
