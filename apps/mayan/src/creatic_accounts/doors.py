"""Which addresses of Mayan are open to whom (`addresses`): every other one is closed, a new one of an upgrade too.

Mayan renders what people write as templates in many places, with everything in reach, and gives pages and calls that
nobody here needs. One middleware stands before them all: it looks at the route that Django resolved, whatever the text
of the address, and knows who asks, by a session or by the API's authentications.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import creatic_passwords
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.urls import URLResolver, get_resolver
from rest_framework.authentication import BaseAuthentication

from . import addresses
from .models import login_of

_API_ADDRESS_PREFIX = "api/"
_VARIABLE = re.compile(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)|<(?:\w+:)?(\w+)>")


class Role(enum.Enum):
    """Who somebody is, for the doors. What is not recognised is a stranger."""

    VISITOR = "visiteur"
    STRANGER = "compte inconnu"
    FIRST = "premier mot de passe"
    PERSON = "personne d'une commune"
    GATEWAY = "passerelle"
    ADMINISTRATOR = "administrateur"
    ROLLOUT = "déploiement"


def role_of(user: Any, here: bool) -> Role:
    """Who somebody is.

    Args:
        user: Django's, or nobody.
        here: whether they ask from this host itself.
    """
    if not user.is_authenticated or not user.is_active:
        return Role.VISITOR
    if user.is_superuser:
        return Role.ROLLOUT if here else Role.ADMINISTRATOR
    if not login_of(user):
        return Role.STRANGER
    if creatic_passwords.is_service(user):
        return Role.GATEWAY
    return Role.FIRST if creatic_passwords.waits(user) else Role.PERSON


def address(route: str) -> str:
    """An address, as the list writes it, of a route of Django's."""
    return (
        _VARIABLE.sub(lambda found: f"<{found[1] or found[2]}>", route).replace("^", "").replace("\\", "").rstrip("$")
    )


def _parse_addresses(*texts: str) -> frozenset[tuple[str, str]]:
    found = set()
    for line in "\n".join(texts).splitlines():
        *methods, last = line.split() or [""]
        if last.isupper():  # the root, whose address is empty
            methods, last = [*methods, last], ""
        found |= {(method, last) for method in methods}
    return frozenset(found)


@functools.cache
def opened() -> Mapping[Role, frozenset[tuple[str, str]]]:
    """Methods and addresses open to each."""
    circuits = apps.is_installed("creatic_parapheur")
    # In the parapheur, people read and act by its own pages: nothing of Mayan's is theirs.
    person = (addresses.CIRCUITS,) if circuits else (addresses.READING, addresses.FILING)
    gateway = addresses.GATEWAY_CIRCUITS if circuits else addresses.GATEWAY_FILING
    visitor = (addresses.VISITOR, addresses.SIGNING) if circuits else (addresses.VISITOR,)
    inside = (*visitor, addresses.FRAME)
    administrator = (*inside, addresses.READING, *person, addresses.ADMINISTRATION, addresses.CONFIGURATION)
    return {
        Role.VISITOR: _parse_addresses(*visitor),
        Role.STRANGER: _parse_addresses(*inside),
        Role.FIRST: _parse_addresses(*inside),
        Role.PERSON: _parse_addresses(*inside, *person),
        Role.GATEWAY: _parse_addresses(*visitor, addresses.GATEWAY, gateway),
        Role.ADMINISTRATOR: _parse_addresses(*administrator),
        Role.ROLLOUT: _parse_addresses(*administrator, addresses.TEMPLATES),
    }


def may(role: Role, method: str, where: str) -> bool:
    """Whether an address is open."""
    return ("GET" if method == "HEAD" else method, where) in opened()[role]


def routes(patterns: Any = None, before: str = "", spaces: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every address that Mayan has, with the name of its view and the view."""
    for one in get_resolver().url_patterns if patterns is None else patterns:
        there = before + str(one.pattern)
        if isinstance(one, URLResolver):
            space = f"{spaces}{one.namespace}:" if one.namespace else spaces
            yield from routes(one.url_patterns, there, space)
        else:
            yield address(there), spaces + (one.name or ""), one.callback


@functools.cache
def _addresses_by_view() -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for where, name, _view in routes():
        found.setdefault(name, set()).add(where)
    return {name: frozenset(those) for name, those in found.items()}


def leads(role: Role, name: str, method: str = "GET") -> bool:
    """Whether a link to a view leads anywhere."""
    return any(may(role, method, where) for where in _addresses_by_view().get(name, ()))


def here(request: Any) -> bool:
    """Whether who asks is on this host."""
    return "HTTP_X_FORWARDED_FOR" not in request.META  # nginx always writes it


def asking(request: Any) -> Role:
    """Who asks for a page; found once, for all its links."""
    if not hasattr(request, "creatic_role"):
        request.creatic_role = role_of(getattr(request, "user", AnonymousUser()), here(request))
    found: Role = request.creatic_role
    return found


class Found(BaseAuthentication):
    """Who the middleware found, for the views of the API: nobody is asked twice."""

    def authenticate(self, request: Any) -> Any:
        return getattr(request._request, "creatic_found", None)


def keep_links() -> None:
    """Show no link of Mayan's menus that leads to a closed door."""
    from mayan.apps.navigation.links import Link
    from mayan.apps.navigation.menus import Menu

    resolve = Menu.resolve_matched_links

    def is_open(link: Any, context: Any) -> bool:
        if not isinstance(link, Link) or not link.view:
            return not str(getattr(link, "url", "") or "").startswith("http")  # elsewhere, nobody here answers
        method = link.method.upper() if isinstance(link.method, str) else "GET"
        return leads(asking(link.get_request(context=context)), link.view, method)

    def resolved(menu: Any, context: Any, matched_links: Any, *given: Any, **named: Any) -> Any:
        return resolve(menu, context, [one for one in matched_links if is_open(one, context)], *given, **named)

    Menu.resolve_matched_links = resolved
