"""What leaves the site: open data, a feed and a block of the commune's own pages, of what is published alone.

Only what any visitor reads here goes there: an act that was put on line and not taken off. Nothing goes of a council
whose deliberations say who is helped (`publicity`), not even what a person chose to publish one by one.
"""

from __future__ import annotations

import datetime
import html
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

from creatic.deliberations import catalogue, frozen, opendata, publicity, publishing, watch
from creatic.deliberations.places import commune_of, goes_on_line, meeting_of
from plone import api
from plone.app.layout.viewlets.common import ViewletBase
from plone.app.uuid.utils import uuidToObject
from Products.Five.browser import BrowserView
from zExceptions import NotFound

DATA, FEED, BLOCK = "deliberations.csv", "publications.atom", "bloc"
"""Addresses, below that of the institution."""
NO_SIRET = (
    "Le SIRET manque, sans lequel ce fichier ne serait pas au schéma national. À faire : au groupement, siret, dans le "
    "fichier de la commune"
)
_OUTLETS_TIMEZONE = ZoneInfo("Europe/Paris")
_TYPES = "plonemeeting.portal.core.document_types"
# What was last written of each institution, by name of the page: the catalogue counts its changes, apart.
_kept: dict[tuple[str, str], tuple[Any, bytes]] = {}
# Ten thousand acts take seconds: one thread of the site writes at a time, and others wait so long for it, in seconds.
_WRITES, _WAIT, _LATER = threading.Lock(), 3, 30
_PAGE_BUSY_MESSAGE = "Cette page se refait. À faire : demandez-la de nouveau dans une minute."


def body(commune: Any) -> opendata.Body:
    """Whose publications these are."""
    own = commune.aq_base
    return opendata.Body(
        commune.title,
        getattr(own, "creatic_siret", None) or "",
        str(commune.absolute_url()),
        str(commune.UID()),
        getattr(own, "creatic_site", None) or "",
        _paris_moment(commune.modified()),
    )


def _paris_moment(moment: Any) -> datetime.datetime:
    found: datetime.datetime = moment.asdatetime()
    return found.astimezone(datetime.UTC)


def _latest_publications(commune: Any) -> Iterator[Any]:
    """Its publications as the catalogue has them, latest first: what each is now is asked of itself (`_on_line`)."""
    asked = {"path": "/".join(commune.getPhysicalPath()), "portal_type": "Publication", "review_state": "published"}
    found = api.portal.get_tool("portal_catalog").unrestrictedSearchResults
    return (brain._unrestrictedGetObject() for brain in found(**asked, sort_on="effective", sort_order="descending"))


def _on_line(commune: Any, among: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Publications that any visitor reads, each with the projet that it was made of; None for another act.

    Neither a page that says that an act was taken off, nor one of an act that is off line.
    """
    if not goes_on_line(commune):
        return
    now = datetime.datetime.now(datetime.UTC)
    for one in among:
        if getattr(one, "portal_type", "") != "Publication" or api.content.get_state(one) != "published":
            continue
        if not _paris_moment(one.effective()) <= now < _paris_moment(one.expires()):
            continue
        if not watch.is_deliberation(one):
            if one.document_type != frozen.DELIBERATION:
                yield one, None
            continue
        projet = uuidToObject(watch.origin(one), unrestricted=True)
        told = None if projet is None else publishing.published(projet)
        if told and told["en_ligne"] and not publishing.withdrawn(projet) and commune_of(projet) == commune:
            yield one, projet


def acts(commune: Any) -> list[opendata.Act]:
    """Its délibérations that are on line."""
    return [
        opendata.Act(
            projet.numero,
            meeting_of(projet).date,
            projet.matiere,
            public.title.removeprefix(f"{projet.numero} – "),
            None if projet.non_transmis else projet.date_reception,
            len(meeting_of(projet).convoques or []),
            projet.vote(),
            str(public.absolute_url()),
        )
        for public, projet in _on_line(commune, commune.publications.objectValues())
        if projet is not None
    ]


def items(commune: Any, count: int) -> list[opendata.Item]:
    """What was put on line of it last: so many at least where there are, with all of their last day."""
    kinds = api.portal.get_registry_record(_TYPES)
    found: list[opendata.Item] = []
    for public, _projet in _on_line(commune, _latest_publications(commune)):
        day = _paris_moment(public.effective()).astimezone(_OUTLETS_TIMEZONE).date()
        if len(found) >= count and day < found[-1].day:
            break
        uid, url, updated = str(public.UID()), str(public.absolute_url()), _paris_moment(public.modified())
        found.append(opendata.Item(uid, public.title, url, day, updated, kinds.get(public.document_type, "Acte")))
    return found


class _Open(BrowserView):
    """Something of an institution for anybody; where nothing of it goes on line, there is no such page."""

    page: str
    kind: str

    def __call__(self) -> bytes:
        if not goes_on_line(self.context):
            raise NotFound(self.page)
        whose, response = body(self.context), self.request.response
        data = self.written(whose)
        if data is None:
            response.setStatus(503)
            response.setHeader("Retry-After", str(_LATER))
            response.setHeader("Content-Type", "text/plain; charset=utf-8")
            return _PAGE_BUSY_MESSAGE.encode()
        response.setHeader("Content-Type", f"{self.kind}; charset=utf-8")
        response.setHeader("Cache-Control", "no-cache")  # what is taken off is taken off at once
        response.setHeader("X-Theme-Disabled", "True")
        self.say(whose, response.setHeader)
        return data

    def written(self, whose: opendata.Body) -> bytes | None:
        """What it holds, written again once something of its institution changed; None where others are written."""
        tool, path = api.portal.get_tool("portal_catalog"), "/".join(self.context.getPhysicalPath())
        now = (catalogue.changes(tool, path), datetime.date.today(), whose)
        key = (whose.uid, self.page)
        if (kept := _kept.get(key)) and kept[0] == now:
            return kept[1]
        if not _WRITES.acquire(timeout=_WAIT):
            return None
        try:
            kept = _kept.get(key)  # what was waited for may be this one
            if kept is None or kept[0] != now:
                kept = _kept[key] = (now, self.write(whose))
        finally:
            _WRITES.release()
        return kept[1]

    def address(self, whose: opendata.Body) -> str:
        """Of this page."""
        return f"{whose.url}/{self.page}"

    @abstractmethod
    def write(self, whose: opendata.Body) -> bytes:
        """What it holds."""

    def say(self, whose: opendata.Body, header: Callable[[str, str], None]) -> None:
        """More headers."""


class Data(_Open):
    """Délibérations as the national schema has them (SCDL)."""

    page, kind = DATA, "text/csv; header=present"

    def write(self, whose: opendata.Body) -> bytes:
        """See `_Open`. Raises NotFound without a SIRET, which the schema asks for."""
        if not whose.siret:
            raise NotFound(NO_SIRET)
        return opendata.table(whose, acts(self.context))

    def say(self, whose: opendata.Body, header: Callable[[str, str], None]) -> None:
        """See `_Open`."""
        header("Content-Disposition", f'attachment; filename="deliberations-{self.context.getId()}.csv"')


class Feed(_Open):
    """What was published last, as Atom."""

    page, kind = FEED, "application/atom+xml"

    def write(self, whose: opendata.Body) -> bytes:
        """See `_Open`."""
        return opendata.feed(whose, items(self.context, opendata.IN_FEED), self.address(whose))


class Block(_Open):
    """What was published last, for a frame of the commune's own site."""

    page, kind = BLOCK, "text/html"

    def write(self, whose: opendata.Body) -> bytes:
        """See `_Open`."""
        return opendata.block(whose, items(self.context, opendata.IN_BLOCK)).encode()

    def say(self, whose: opendata.Body, header: Callable[[str, str], None]) -> None:
        """See `_Open`."""
        header("Content-Security-Policy", opendata.block_policy(whose.site))


def links(context: Any) -> list[tuple[str, str]]:
    """Address and name of what anybody may take of the institution that a page is of."""
    commune = commune_of(context)
    if commune is None or not goes_on_line(commune):
        return []
    whose = body(commune)
    data = [(f"{whose.url}/{DATA}", "Données ouvertes (CSV)")] if whose.siret else []
    return [*data, (f"{whose.url}/{FEED}", "Flux Atom")]


class Found(ViewletBase):
    """Where programs that read feeds find this one."""

    def render(self) -> str:
        """An element of the head of each page of an institution."""
        return "".join(
            f'<link rel="alternate" type="application/atom+xml" title="{name}" href="{html.escape(url)}" />'
            for url, name in links(self.context)
            if url.endswith(FEED)
        )


class Named(ViewletBase):
    """Below the list of a commune's publications: what programs take of it."""

    def render(self) -> str:
        """A line of links; nothing on other pages."""
        if self.context.getId() != "publications":
            return ""
        shown = " · ".join(f'<a href="{html.escape(url)}">{name}</a>' for url, name in links(self.context))
        return f'<p class="small">Réutiliser : {shown}</p>' if shown else ""


class Elsewhere(BrowserView):
    """For who prepares: where this is found, and what to paste into the commune's own site."""

    def closed(self) -> str:
        """Why nothing of this council leaves; "" where it does."""
        if goes_on_line(self.context):
            return ""
        return f"{publicity.NOTHING_ALONE} ; ni données ouvertes, ni flux, ni bloc."

    def told(self) -> dict[str, Any]:
        """Addresses, what to paste, and what is missing."""
        whose = body(commune_of(self.context))
        return {
            "donnees": f"{whose.url}/{DATA}",
            "flux": f"{whose.url}/{FEED}",
            "bloc": f"{whose.url}/{BLOCK}",
            "coller": opendata.snippet(whose, f"{whose.url}/{BLOCK}"),
            "site": whose.site,
            "sans_siret": "" if whose.siret else f"{NO_SIRET}.",
        }
