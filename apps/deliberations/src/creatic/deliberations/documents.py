"""The documents of a council as PDF, drawn by WeasyPrint from one template; nothing is fetched to draw them.

What people write has no end, and what draws it takes the more time: it is drawn in a process of its own (`apart`), and
refused where it is written beyond what a text of a council is. Messages are French, for people.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from creatic.deliberations import apart, delays, hidden, rules
from creatic.deliberations.places import meeting_of

from creatic_agent.writing import of_commune

_DOCUMENT_TEMPLATE_PATH = Path(__file__).with_name("templates") / "document.pt"
_KEPT_MAX = 500_000
"""Signs of a document that is kept drawn: one with pictures in it is many megabytes, which all communes share."""
_CELLS = 1000
SIGNS_MAX = 300_000
"""Of a text that a person writes: a hundred pages."""
ELEMENTS_MAX = 12_000
"""Of such a text (paragraphs, lines, cells): a table of a thousand lines and ten columns."""
RAW_MAX = 10_000_000
"""Signs of it as it is kept, with its pictures."""
WHOLE_MAX = 30_000_000
"""Signs, as they are kept with their pictures, of all the texts of a meeting, which its note and its procès-verbal
unite, or of a registre: the site holds a document some eight times while it is drawn, beside those of others."""
_MAX_MEMORY_BYTES = 700_000_000
"""Bytes of address space of who draws one, beside copies of it."""
_DRAWING_CPU_SECONDS = 60
"""Of processor: a registre of a thousand pages."""
_DRAWING_TIMEOUT_SECONDS = 120
_LINE_SIZE = 80
_MARKUP_TAG_PATTERN = re.compile("<[^<>]*>")
_DOCUMENT_NAMES = {
    "convocation": "la convocation", "note": "la note explicative de synthèse", "proces_verbal": "le procès-verbal",
    "deliberation": "la délibération", "registre": "le registre", "liste": "la liste des délibérations",
}  # fmt: skip # a table
KINDS = tuple(_DOCUMENT_NAMES)
_OF_TEXTS = ("note", "proces_verbal", "deliberation", "registre")
_HEAVY = f"les textes qui s'y trouvent dépassent ensemble {WHOLE_MAX // 1_000_000} Mo avec leurs images"
_REDUCE = "réduisez leurs images, ou joignez-les en annexe (PDF)"
_LIGHTEN = {"registre": "imprimez les délibérations une à une"}  # nothing of them changes any more
_SHORTEN = "joignez-le en annexe (PDF) et n'en gardez que l'essentiel"


class RenderingError(ValueError):
    """A document that was not drawn; the text is French, names it and says what to do."""


@functools.cache
def _load_template() -> Any:
    from chameleon import PageTemplateFile

    return PageTemplateFile(str(_DOCUMENT_TEMPLATE_PATH))


def page(kind: str, **given: Any) -> str:
    """Give a document as HTML.

    Args:
        kind: one of `KINDS`.
        given: `commune` (its name; with `places.names` for one that is no commune), `seance` or `projet` or
            `projets`, `draft` (not final), as the kind needs; of the convocation, `maire`, and `suppleant`, who
            sends it in their place; of the procès-verbal, `debats` (what was said, by UID),
            `arret` (how it was settled), `arretes` (what was settled at it, in words), `public`, and of each item its
            `objet` and why its vote alone is shown (`voile`, "" when all of it is).

    Raises:
        Undrawn: the texts that it unites weigh too much.
    """
    if kind in _OF_TEXTS and is_heavy(texts_of(_gather_texts(given))):
        raise RenderingError(
            f"impossible de mettre en page {_DOCUMENT_NAMES[kind]} : {_HEAVY}. À faire : {_LIGHTEN.get(kind, _REDUCE)}"
        )
    context = {
        "organisme": f"Commune {of_commune(str(given.get('commune')))}",
        "conseil": "conseil municipal", "qualite": "maire",
        "seance": None, "projet": None, "projets": [], "seances": [], "draft": False, "annee": None, "debats": {},
        "arret": {}, "arretes": (), "public": False, "suppleant": "", "objet": _item_title, "voile": lambda _projet: "",
        **given,
    }  # fmt: skip # a table
    return str(
        _load_template()(kind=kind, rules=rules, full=delays.full, rich=_clean_html, meeting_of=meeting_of, **context)
    )


def draw(kind: str, **given: Any) -> bytes:
    """Give a document as PDF. Arguments: see `page`.

    Raises:
        Undrawn: it takes too much, or others' are being drawn.
    """
    text = page(kind, **given)
    try:
        made = _render_cached_pdf(text) if len(text) <= _KEPT_MAX else _render_cached_pdf.__wrapped__(text)
    except apart.ReadingTimeoutError:
        again = "recommencez dans quelques minutes ; si c'est encore le cas, raccourcissez ce qui y est écrit"
        raise RenderingError(
            f"impossible de mettre en page {_DOCUMENT_NAMES[kind]} à temps. À faire : {again}"
        ) from None
    except hidden.UnfitDocumentError as error:  # others' turn
        raise RenderingError(f"impossible de mettre en page {_DOCUMENT_NAMES[kind]} maintenant : {error}") from None
    if not made:
        raise RenderingError(_too_much(kind, text, given))
    return made


@functools.lru_cache(maxsize=16)
def _render_cached_pdf(text: str) -> bytes:
    """A document as PDF, empty for one that takes too much; the same one, asked again (the drafts that go with each
    convocation), is not drawn again. Raises hidden.Unfit: now, it cannot be."""
    try:
        return apart.read(
            drawn,
            text.encode(),
            memory=_MAX_MEMORY_BYTES,
            seconds=_DRAWING_CPU_SECONDS,
            elapsed=_DRAWING_TIMEOUT_SECONDS,
        )
    except apart.ReadingTimeoutError:
        raise
    except apart.TooMuch:
        return b""


def drawn(text: bytes) -> bytes:
    """Draw a document, for `apart`."""
    import logging

    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    page = HTML(string=text.decode(), base_url=None, url_fetcher=URLFetcher(allowed_protocols={"data"}))
    _limit_spans(page.etree_element)
    made: bytes = page.write_pdf()
    return made


def _gather_texts(given: dict[str, Any]) -> list[Any]:
    return [one for one in (given.get("projet"), *(given.get("projets") or ())) if one is not None]


def texts_of(projets: Iterable[Any]) -> Iterator[Any]:
    """What people wrote of projets."""
    for one in projets:
        yield from (one.expose, one.dispositif)


def is_heavy(texts: Iterable[Any]) -> bool:
    """Whether texts weigh more together than what is drawn in one document; no more of them is read than it takes."""
    weight = 0
    for one in texts:
        weight += len(one.raw) if one else 0
        if weight > WHOLE_MAX:
            return True
    return False


def whole_problem(texts: Iterable[Any]) -> str:
    """Say that the texts of a meeting weigh more than what is drawn, and what to do, in French; "" when they do not."""
    if not is_heavy(texts):
        return ""
    return (
        f"les textes de cette séance dépassent ensemble {WHOLE_MAX // 1_000_000} Mo avec leurs images, ce que sa note "
        f"et son procès-verbal réunissent. À faire : {_REDUCE}"
    )


def _measure_html(text: str) -> tuple[int, int]:
    """Signs that people read of a text in HTML, and its elements."""
    return len(_MARKUP_TAG_PATTERN.sub("", text)), text.count("<") - text.count("</")


def problem(text: str) -> str:
    """Say that a text is longer than what is drawn, and what to do, in French; "" when it is not.

    Args:
        text: HTML, as its writer gives it.
    """
    if len(text) > RAW_MAX:
        return (
            f"ce texte pèse {len(text) / 1e6:.0f} Mo avec ses images, et {RAW_MAX // 1_000_000} Mo au plus sont mis en "
            "page. À faire : réduisez ses images, ou joignez-les en annexe (PDF)"
        )
    signs, elements = _measure_html(text)
    if signs <= SIGNS_MAX and elements <= ELEMENTS_MAX:
        return ""
    return (
        f"ce texte est trop long à mettre en page ({_format_counts(signs, elements)} ; au plus "
        f"{_format_counts(SIGNS_MAX, ELEMENTS_MAX)}). À faire : {_SHORTEN}"
    )


def _format_counts(signs: int, elements: int) -> str:
    return f"{signs:_} signes, {elements:_} éléments : paragraphes, lignes, cellules de tableaux".replace("_", " ")


def _too_much(kind: str, text: str, given: dict[str, Any]) -> str:
    """Say that a document is not drawn, and which of the texts that it unites is the longest."""
    projets = _gather_texts(given)
    sizes = [_measure_html("".join(text.raw for text in (one.expose, one.dispositif) if text)) for one in projets]
    if not any(map(any, sizes)):
        return (
            f"impossible de mettre en page {_DOCUMENT_NAMES[kind]} : c'est trop long "
            f"({_format_counts(*_measure_html(text))}). À faire : "
            "raccourcissez ce qui y est écrit"
        )
    # An element takes as much as a line of text.
    longest = max(range(len(sizes)), key=lambda rank: sizes[rank][0] + _LINE_SIZE * sizes[rank][1])
    return (
        f"impossible de mettre en page {_DOCUMENT_NAMES[kind]} : le texte de « {projets[longest].title} » "
        "est trop long ou trop "
        f"compliqué ({_format_counts(*sizes[longest])}). À faire : {_SHORTEN}"
    )


def _limit_spans(page: Any) -> None:
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
    _load_template().cook_check()
    with suppress(hidden.UnfitDocumentError):  # whoever asks for one later is told
        _render_cached_pdf("<p style='font-family: Liberation Serif'>é</p>")


def _item_title(projet: Any) -> str:
    return str(projet.title)


def _clean_html(value: Any) -> str:
    """Rich text as Plone shows it: cleaned by its safe_html."""
    return str(value.output) if value else ""
