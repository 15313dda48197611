# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The site of the délibérations as the communes' files ask for it, and the call that compares and applies it."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.applications.exchange import (
    UnixConnection,
    basic,
    send_request,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

SERVICE = "passerelle"
_OF_AN_ENTITY = ("heberge_par", "organisme", "conseil", "qualite")  # a CCAS, a syndicat: see registry/entities.py
_PUBLICATION_FIELDS = ("siret", "site_internet")  # of open data, and of who shows what is published


class DeliberationsError(CreaticError, cause="deliberations"):
    """The site cannot be asked, or refuses; the message is French."""


def silent(error: Exception) -> DeliberationsError:
    """That the site does not answer."""
    return DeliberationsError(f"le site ne répond pas ({error}). À faire : journalctl -u plone sur sa machine")


def configuration(communes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is wanted of the site.

    Args:
        communes: the variables `creatic_commune` of the communes served.
    """
    return {"communes": [_commune_configuration(one) for one in sorted(communes, key=lambda one: str(one["slug"]))]}


def _commune_configuration(commune: Mapping[str, Any]) -> dict[str, Any]:
    given = commune.get("deliberations", {})
    roles = {kind: list(given.get(kind, [])) for kind in ("redacteurs", "dgs")}
    roles["maire"] = [given["maire"], *_deputy_logins(commune)] if given else []
    readers = set(given.get("acces_elus", []))
    used = readers.union(login for logins in roles.values() for login in logins)
    accounts = [one for one in commune.get("comptes", []) if one["identifiant"] in used]
    names = {one["identifiant"]: f"{one['prenom']} {one['nom']}" for one in accounts}
    return {
        "slug": commune["slug"],
        "nom": commune["nom"],
        "siren": commune["siren"],
        "habitants": int(given.get("habitants", 0)),
        "habitants_publicite": int(given.get("habitants_publicite", 0)),
        "elus": list(given.get("elus", [])),
        "acces_elus": {login: name for login, name in sorted(names.items()) if login in readers},
        "nom_maire": names.get(given.get("maire"), ""),
        "publication": given.get("publication", {}).get("mode", "electronique"),
        # What goes on line follows them: one that is not told is taken for the strictest.
        "type": commune.get("type", "" if "heberge_par" in commune else "commune"),
        "aides_individuelles": given.get("aides_individuelles", True),
        "comptes": accounts,
        **{key: commune[key] for key in (*_OF_AN_ENTITY, *_PUBLICATION_FIELDS) if key in commune},
        **{key: given[key] for key in ("convocation_jours",) if key in given},
        **roles,
    }


def _deputy_logins(commune: Mapping[str, Any]) -> list[str]:
    """Who stands in for a maire that is kept from acting, « dans la plénitude de ses fonctions » (CGCT, L2122-17).

    Those of the parapheur who sit in the council. The maire stays who the file says: the accounts that are voted are
    theirs.
    """
    given = commune["deliberations"]
    named = commune.get("parapheur", {}).get("maire", {}).get("suppleants", [])
    sitting = [
        one["identifiant"]
        for one in commune.get("comptes", [])
        if f"{one['prenom']} {one['nom']}" in given.get("elus", [])
    ]
    return [login for login in named if login in sitting and login != given["maire"]]


def apply(
    connection: http.client.HTTPConnection,
    server_name: str,
    password: str,
    wanted: Mapping[str, Any],
    passwords: Mapping[str, str],
    check: bool = False,
) -> dict[str, Any]:
    """Bring the site to what is wanted, all or nothing.

    Args:
        connection: to the application, from its own host.
        server_name: name by which it is known to browsers.
        password: of its administrator.
        wanted: from `configuration`.
        passwords: of the accounts to make, and the passerelle's.
        check: only say what would change.

    Returns:
        `changements` and `avertissements` in French; `sans_mot_de_passe`, accounts whose password was not given: then
        nothing was changed; `retires`, accounts whose first password is nobody's any more.

    Raises:
        DeliberationsError: the site does not answer, or refuses.
    """
    body = {"configuration": wanted, "mots_de_passe": dict(passwords), "verification": check}
    return _send_request(connection, server_name, password, "sa configuration", "/@configuration", body)


def account(connection: http.client.HTTPConnection, server_name: str, password: str, login: str) -> dict[str, Any]:
    """Give what the site knows of a login: see `applications.account.find`.

    Raises:
        DeliberationsError: the site does not answer, or refuses.
    """
    path = f"/@agent?{urllib.parse.urlencode({'identifiant': login})}"
    return _send_request(connection, server_name, password, "de montrer un compte", path)


def _send_request(
    connection: http.client.HTTPConnection,
    server_name: str,
    password: str,
    what: str,
    path: str,
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    headers = {"Host": server_name, "Accept": "application/json", **basic("admin", password)}
    try:
        status, content = send_request(connection, "GET" if body is None else "POST", path, headers, body)
    except OSError as error:
        raise silent(error) from None
    if status != http.client.OK:
        said = content.decode(errors="replace")[:300]
        raise DeliberationsError(f"le site refuse {what} ({status}) : {said}")
    found: dict[str, Any] = json.loads(content)
    return found


def connect(path: str) -> http.client.HTTPConnection:
    """Give a connection to the application's unix socket; the first answer after a start takes a while."""
    return UnixConnection(path, timeout=300)
