# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Certificates whose key is on the control node itself."""

from __future__ import annotations

from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.host import HostStore, Wanted

from creatic.pki.authority import Authority
from creatic.pki.registry import Owner

CONTROL_NODE = "localhost"
FOLDER = "certificats"
"""Of the control node's state: where they are, each in a folder of its name (``current``: key, cert, chain.pem)."""
RENEW_DAYS = 30


def ensure(
    authority: Authority, store: HostStore, request: Request, renew_days: int = RENEW_DAYS, commune: str = ""
) -> dict[str, Any]:
    """Have a certificate and its key in a folder; gives its state, as `HostStore.inspect` does.

    Raises:
        PkiError: the authority cannot sign, or does not sign this.
    """
    chain = authority.published()["chain"]
    known = authority.known_to(CONTROL_NODE).get(request.name, {})
    wanted = Wanted.from_dict({"request": request.to_dict(), "group": ""} | known)
    state = store.inspect(wanted, chain, renew_days)
    if state["csr"]:
        issued = authority.issue(state["csr"], request, Owner(CONTROL_NODE, commune))
        state = store.install(wanted, issued.pem, chain)
    return state
