"""What is published of a council, for others' programs and sites, without Plone: open data, a feed, a block of a page.

SCDL « Délibérations » 2.1.5 (OpenDataFrance, schema.data.gouv.fr/scdl/deliberations); Atom (RFC 4287). Texts are
French.
"""

from __future__ import annotations

import base64
import csv
import datetime
import hashlib
import html
import io
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from creatic.deliberations import ballots, matters, rules

from creatic_agent.spreadsheet import inert

FIELDS = (
    "COLL_NOM", "COLL_SIRET", "DELIB_ID", "DELIB_DATE", "DELIB_MATIERE_CODE", "DELIB_MATIERE_NOM", "DELIB_OBJET",
    "BUDGET_ANNEE", "BUDGET_NOM", "PREF_ID", "PREF_DATE", "VOTE_EFFECTIF", "VOTE_REEL", "VOTE_POUR", "VOTE_CONTRE",
    "VOTE_ABSTENTION", "DELIB_URL",
)  # fmt: skip # a list of words
IN_FEED, IN_BLOCK = 50, 10
"""How many of the latest publications each shows."""
_ATOM = "http://www.w3.org/2005/Atom"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, Char
_STYLE = (
    "body{margin:0;font:1rem/1.5 Marianne,Arial,sans-serif;color:#161616;background:#fff}h1{font-size:1.25rem}"
    "ul{list-style:none;padding:0}li{padding:.5rem 0;border-top:1px solid #ddd;overflow-wrap:anywhere}"
    "a{color:#000091}small{color:#666}"
)

Vote = rules.Vote | ballots.Secret | ballots.Election


@dataclass(frozen=True)
class Body:
    """A council whose publications these are."""

    name: str
    siret: str
    """14 digits; empty where the commune's file does not say it."""
    url: str
    """Of its public pages, without a slash at the end."""
    uid: str
    """As Plone has it: the hexadecimal digits of a UUID."""
    site: str
    """Origin of its own site, which may show the block in a frame; empty for none."""
    since: datetime.datetime
    """When its pages last changed, for a feed without an entry."""


@dataclass(frozen=True)
class Item:
    """Something that is on line."""

    uid: str
    title: str
    url: str
    day: datetime.date
    """On which it was published."""
    updated: datetime.datetime
    kind: str
    """In words: Délibération, Procès-verbal…"""


@dataclass(frozen=True)
class Act:
    """A délibération that is on line, with what open data says of it."""

    number: str
    decided: datetime.date
    matter: str
    """Code of the nomenclature of ACTES."""
    subject: str
    """As the public reads it."""
    received: datetime.date | None
    """By the préfecture; None where it is not transmitted."""
    members: int
    """Members in office."""
    vote: Vote
    url: str


def tally(vote: Vote) -> tuple[int | None, int | None, int | None, int | None]:
    """Give how many voted, for, against, and abstained; None for what a secret vote does not tell.

    Blank and void ballots are no abstentions: they are in the first number alone.
    """
    if isinstance(vote, rules.Vote):
        counts = len(vote.ayes), len(vote.noes), len(vote.abstentions)
        return (sum(counts), *counts)
    if isinstance(vote, ballots.Secret):
        cast = sum(count or 0 for count in (vote.ayes, vote.noes, vote.blank, vote.void))
        return cast, vote.ayes or 0, vote.noes or 0, None
    return vote.rounds()[-1].ballots, None, None, None


def matter_name(code: str) -> str:
    """A matter as the schema writes it: « finances locales/décisions budgétaires », without a comma."""
    label = matters.LABELS[matters.above(code)]
    return f"{rules.MATTERS[code[0]]}/{label}".lower().replace(",", "")


def _scdl_row(body: Body, act: Act) -> list[str | int | None]:
    cast, ayes, noes, abstentions = tally(act.vote)
    received = act.received.isoformat() if act.received else None
    # What people wrote is text in a spreadsheet too (`inert`): the schema takes any text there, an apostrophe before it
    # as well, and every other column is of a form that no formula has.
    return [
        inert(body.name), body.siret, act.number, act.decided.isoformat(), matters.above(act.matter),
        matter_name(act.matter), inert(act.subject), None, None, None, received, act.members, cast, ayes, noes,
        abstentions, act.url,
    ]  # fmt: skip # in the order of FIELDS


def table(body: Body, acts: Iterable[Act]) -> bytes:
    """Délibérations as the national schema has them: CSV (RFC 4180), UTF-8, commas, oldest first."""
    written = io.StringIO(newline="")
    rows = csv.writer(written)
    rows.writerow(FIELDS)
    rows.writerows(
        _scdl_row(body, one) for one in sorted(acts, key=lambda one: (one.decided, rules.rank_of(one.number)))
    )
    return written.getvalue().encode()


def latest(items: Iterable[Item], count: int) -> list[Item]:
    """The last ones that were published, latest first."""
    return sorted(items, key=lambda one: (one.day, one.updated, one.uid), reverse=True)[:count]


def feed(body: Body, items: Sequence[Item], address: str) -> bytes:
    """What was published last, as Atom.

    Args:
        address: of the feed.
    """
    ElementTree.register_namespace("", _ATOM)
    root = ElementTree.Element(f"{{{_ATOM}}}feed", {"{http://www.w3.org/XML/1998/namespace}lang": "fr"})
    shown = latest(items, IN_FEED)
    _add_elements(root, id=_uid_urn(body.uid), title=f"{body.name} – délibérations et publications")
    _add_elements(root, updated=_format_moment(max((one.updated for one in shown), default=body.since)))
    _add_elements(_add_elements(root, author=None), name=body.name)
    _add_elements(root, link=None).attrib |= {"rel": "self", "type": "application/atom+xml", "href": address}
    _add_elements(root, link=None).attrib |= {
        "rel": "alternate",
        "type": "text/html",
        "href": f"{body.url}/publications",
    }
    for one in shown:
        entry = _add_elements(root, entry=None)
        _add_elements(entry, id=_uid_urn(one.uid), title=one.title, updated=_format_moment(one.updated))
        _add_elements(entry, link=None).attrib |= {"rel": "alternate", "type": "text/html", "href": one.url}
        _add_elements(entry, category=None).attrib |= {"term": one.kind}
        _add_elements(entry, summary=f"{one.kind}, mise en ligne le {rules.french_date(one.day)}.")
    return ElementTree.tostring(root, "utf-8", xml_declaration=True)


def _add_elements(parent: ElementTree.Element, **said: str | None) -> ElementTree.Element:
    """Add elements of Atom; gives the last one."""
    made = parent
    for name, text in said.items():
        made = ElementTree.SubElement(parent, f"{{{_ATOM}}}{name}")
        made.text = None if text is None else _NOT_XML.sub("", text)
    return made


def _uid_urn(uid: str) -> str:
    return uuid.UUID(uid).urn


def _format_moment(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).isoformat(timespec="seconds")


def block(body: Body, items: Sequence[Item]) -> str:
    """A page for a frame of the commune's own site: what was published last, without a script."""
    lines = "".join(
        f'<li><a href="{html.escape(one.url)}" target="_blank" rel="noopener">{html.escape(one.title)}</a><br>'
        f"<small>{html.escape(one.kind)}, le {rules.french_date(one.day)}</small></li>"
        for one in latest(items, IN_BLOCK)
    )
    name = html.escape(body.name)
    shown = f"<ul>{lines}</ul>" if lines else "<p>Rien n’est encore publié.</p>"
    return (
        f'<!DOCTYPE html><html lang="fr"><head><meta charset="utf-8"><title>{name} : dernières publications</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><main>'
        f"<h1>Dernières publications</h1>{shown}"
        f'<p><a href="{html.escape(body.url)}/publications" target="_blank" rel="noopener">Toutes les publications</a>'
        "</p></main></body></html>"
    )


def block_policy(site: str) -> str:
    """Content-Security-Policy of the block: no script, and one site alone shows it in a frame.

    Args:
        site: its origin; empty for none.
    """
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    shown_by = site or "'none'"
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors {shown_by}"
    )


def snippet(body: Body, address: str) -> str:
    """What the commune pastes into a page of its own site.

    Args:
        address: of the block.
    """
    title = html.escape(f"Dernières délibérations et publications, {body.name}")
    return (
        f'<iframe src="{html.escape(address)}" title="{title}" width="100%" height="480" loading="lazy"\n'
        '  sandbox="allow-popups allow-popups-to-escape-sandbox" referrerpolicy="no-referrer" style="border:0">\n'
        f'</iframe>\n<p><a href="{html.escape(body.url)}/publications">Toutes les délibérations et publications</a></p>'
    )
