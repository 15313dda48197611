"""The documents of a council as PDF, drawn by WeasyPrint from one template; nothing is fetched to draw them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from creatic.deliberations import rules

_TEMPLATE = Path(__file__).with_name("templates") / "document.pt"
_KEPT_MAX = 500_000
"""Signs of a document that is kept drawn: one with pictures in it is many megabytes, which all communes share."""
_CELLS = 1000
KINDS = ("convocation", "note", "proces_verbal", "deliberation", "registre", "liste")


@functools.cache
def _template() -> Any:
    from chameleon import PageTemplateFile

    return PageTemplateFile(str(_TEMPLATE))


def page(kind: str, **given: Any) -> str:
    """Give a document as HTML.

    Args:
        kind: one of `KINDS`.
        given: `commune` (its name; with `content.names` for one that is no commune), `seance` or `projet` or
            `projets`, `draft` (not final), as the kind needs; of the convocation, `maire`, and `suppleant`, who
            sends it in their place; of the procès-verbal, `debats` (what was said, by UID),
            `arret` (how it was settled), `public`, and of each item its `objet` and why its vote alone is shown
            (`voile`, "" when all of it is).
    """
    context = {
        "organisme": f"Commune {rules.of_commune(str(given.get('commune')))}",
        "conseil": "conseil municipal", "qualite": "maire",
        "seance": None, "projet": None, "projets": [], "seances": [], "draft": False, "annee": None, "debats": {},
        "arret": {}, "public": False, "suppleant": "", "objet": _title, "voile": lambda _projet: "", **given,
    }  # fmt: skip # a table
    return str(_template()(kind=kind, rules=rules, rich=_rich, meeting_of=_meeting_of, **context))


def draw(kind: str, **given: Any) -> bytes:
    """Give a document as PDF. Arguments: see `page`."""
    text = page(kind, **given)
    return _drawn(text) if len(text) <= _KEPT_MAX else _drawn.__wrapped__(text)


@functools.lru_cache(maxsize=16)
def _drawn(text: str) -> bytes:
    """A document as PDF; the same one, asked again (the drafts that go with each convocation), is not drawn again."""
    import logging

    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    drawn = HTML(string=text, base_url=None, url_fetcher=URLFetcher(allowed_protocols={"data"}))
    _bound(drawn.etree_element)
    made: bytes = drawn.write_pdf()
    return made


def _bound(page: Any) -> None:
    """Leave cells no more columns and rows than a table has: of a thousand, as browsers do, and of each row as a whole.

    What draws counts them all, beside each other: fifty characters that somebody wrote held the site for an hour.
    """
    for parent in page.iter():
        left = dict.fromkeys(("colspan", "span"), _CELLS)
        for one in parent:
            for name in ("colspan", "span", "rowspan"):
                value = one.get(name) if isinstance(one.tag, str) else None
                if value is None:
                    continue
                try:
                    wanted = int(value)
                except ValueError:
                    wanted = 1
                kept = max(1, min(wanted, left.get(name, _CELLS)))
                if name in left:
                    left[name] -= kept
                one.set(name, str(kept))


def warm() -> None:
    """Read what drawing needs (the template, the library, the fonts) before anybody waits for it: seconds, once."""
    _template().cook_check()
    _drawn("<p style='font-family: Liberation Serif'>é</p>")


def _title(projet: Any) -> str:
    return str(projet.title)


def _rich(value: Any) -> str:
    """Rich text as Plone shows it: cleaned by its safe_html."""
    return str(value.output) if value else ""


def _meeting_of(projet: Any) -> Any:
    from creatic.deliberations.content import meeting_of

    return meeting_of(projet)
