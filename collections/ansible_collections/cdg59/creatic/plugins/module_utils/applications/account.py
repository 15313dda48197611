# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What an application knows of a login, and what is left in its person's hands; each by its own door."""

from __future__ import annotations

from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.applications import deliberations, exchange, mayan_api

# Unix socket of each application, on its own host.
SOCKETS = {"parapheur": "/run/mayan.sock", "ged": "/run/mayan.sock", "deliberations": "/run/plone.sock"}


def find(application: str, server_name: str, password: str, login: str) -> dict[str, Any]:
    """Ask an application for an account.

    Args:
        application: profile of its host, one of `SOCKETS`.
        server_name: name by which browsers know it.
        password: of its administrator.
        login: as the communes' files write it.

    Returns:
        ``nom``, ``courriel``, ``commune`` (slug; empty when the application does not know), ``ouvert``, ``en_main``
        (French lines); empty when no rollout made such an account.

    Raises:
        MayanError, DeliberationsError: the application does not answer, or refuses.
    """
    if application == "deliberations":
        return deliberations.account(deliberations.connect(SOCKETS[application]), server_name, password, login)
    mayan = mayan_api.Mayan(exchange.UnixConnection(SOCKETS[application]), server_name)
    mayan.log_in("admin", password)
    known = {one["login"] for one in mayan.get("/creatic/comptes/")}
    return mayan.get_one(f"/creatic/comptes/{login}/") if login in known else {}
