# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What of an authority is near its end, and what is done about it."""

from __future__ import annotations

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, utc_now

from creatic.pki.authority import Authority
from creatic.pki.lineage import Lineage
from creatic.pki.registry import UNFINISHED

LIST_DAYS = 10
"""A revocation list of fewer days left was not signed again when it should have been: servers refuse a stale one."""


def deadlines(authority: Authority, days: int) -> list[str]:
    """Tell, in French, what expires and the fix: certificates, the revocation list, then what needs the root.

    Args:
        authority: the groupement's; nothing of it is changed.
        days: certificates that expire within that many days.

    Raises:
        PkiError: there is no authority, or its registry is lost.
    """
    found = [
        f"{row['titulaire']} ({row['hote']}) : le certificat « {row['nom']} » "
        f"{'a expiré' if row['jours'] < 0 else 'expire'} le {_format_day(row['fin'])}. "
        "À faire : fab pki.rotation, ou fab pki.revoquer s'il ne sert plus"
        for row in authority.listing(within=days)
    ]
    with authority.registry.open() as book:
        settings, now = book.settings(), utc_now()
        issuing = Lineage(book, now).issuing
        if settings is None or not issuing:
            raise PkiError(UNFINISHED)
        left = min(book.crl_days(one.certificate, now) for one in issuing)
    if left < LIST_DAYS:
        found.append(f"liste de révocation : il lui reste {left} jours. À faire : fab pki.revocations")
    return found + authority.ensure(settings, check=True).warnings


def _format_day(moment: str) -> str:
    return "/".join(reversed(moment[:10].split("-")))
