"""What the people of a commune may bring: files are in the database of everybody's, and nothing else bounds them.

One account brought eight megabytes a second, or had ninety made by copying what it had: four times as much is written
with the database's journal and its copies, and no commune's site works on a full disk. A commune brings some hundreds
of megabytes a year.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping
from typing import Any

from AccessControl import getSecurityManager
from Acquisition import aq_base
from BTrees.Length import Length
from BTrees.OOBTree import OOBTree
from creatic.deliberations import apart, watch
from creatic.deliberations.configuration import GROUPS
from plone import api
from ZODB.blob import Blob

DAY_MAX = 1_000_000_000
"""Bytes in a day: the annexes of some meetings."""
MONTH_MAX = 3_000_000_000
"""Bytes in thirty days."""
_SHARE_PERIOD_DAYS = 30
_MIN_REQUEST_BYTES = 20_000
"""Bytes that any change counts for: the database notes it, and copies what it noted."""
_USAGE_ATTRIBUTE = "creatic_apports"
# Whose work is everybody's: the passerelle, the administrator.
_OF_ALL = ("creatic.deliberations: Passerelle", "Manage portal")


def problem(days: Mapping[str, int], today: datetime.date, more: int) -> str:
    """Say in French that a commune used its share, and what to do; "" where it has room.

    Args:
        days: bytes that it brought, by day (ISO 8601).
        more: bytes that it brings now.
    """
    oldest = (today - datetime.timedelta(_SHARE_PERIOD_DAYS - 1)).isoformat()
    month = sum(size for day, size in days.items() if day >= oldest)
    if month + more > MONTH_MAX:
        return (
            f"les agents de la commune ont apporté {month / 1e6:.0f} Mo en trente jours, sur {MONTH_MAX / 1e6:.0f} : "
            "rien n'est gardé. À faire : prévenez le groupement"
        )
    if (brought := days.get(today.isoformat(), 0)) + more > DAY_MAX:
        return (
            f"les agents de la commune ont apporté {brought / 1e6:.0f} Mo aujourd'hui, sur {DAY_MAX / 1e6:.0f} en un "
            "jour : rien n'est gardé. À faire : allégez ces fichiers, ou recommencez demain"
        )
    return ""


def check(event: Any) -> None:
    """Before a request is written: count what it brings, sent or copied, and refuse what is more than its share."""
    request = event.request
    connection = getattr(request["PARENTS"][-1], "_p_jar", None)
    if connection is None or connection.isReadOnly() or api.user.is_anonymous():
        return
    written = watch.written(connection)
    if not written:
        return
    try:
        portal = api.portal.get()
    except api.exc.CannotGetPortalError:
        return
    manager = getSecurityManager()
    if any(manager.checkPermission(one, portal) for one in _OF_ALL):
        return
    more = max(
        _MIN_REQUEST_BYTES, int(request.environ.get("CONTENT_LENGTH") or 0), _new_file_bytes(connection, written)
    )
    today, days = datetime.datetime.now(datetime.UTC).date(), _daily_usage(portal, _share_owner(manager.getUser()))
    if said := problem({day: size() for day, size in days.items()}, today, more):
        watch.refuse(portal, said, "Cet envoi")
    if today.isoformat() not in days:
        for old in [day for day in days if day < (today - datetime.timedelta(_SHARE_PERIOD_DAYS)).isoformat()]:
            del days[old]
        days[today.isoformat()] = Length(0)
    days[today.isoformat()].change(more)


def _share_owner(user: Any) -> str:
    """Whose share it is: a commune that somebody works for, this one first; never another's, wherever they write."""
    mine = {name.rpartition("-")[0] for name in user.getGroups() if name.rpartition("-")[2] in GROUPS}
    here = apart.WHOSE.get()
    return here if here in mine else min(mine, default=f"compte {user.getId()}")


def _daily_usage(portal: Any, whose: str) -> Any:
    """What a commune brought, by day: two requests at once both count."""
    base = aq_base(portal)
    if not hasattr(base, _USAGE_ATTRIBUTE):
        setattr(base, _USAGE_ATTRIBUTE, OOBTree())
    shares = getattr(base, _USAGE_ATTRIBUTE)
    if whose not in shares:
        shares[whose] = OOBTree()
    return shares[whose]


def _new_file_bytes(connection: Any, written: Iterable[Any]) -> int:
    """Bytes of files that are about to be in the database, and were not."""
    aside = connection._savepoint_storage
    there = aside.index if aside is not None else ()
    found: dict[int, Any] = {}
    for one in written:
        if hasattr(one, "_p_activate"):
            one._p_activate()
        for value in (one, *getattr(one, "__dict__", {}).values()):
            blob = value if isinstance(value, Blob) else getattr(aq_base(value), "_blob", None)
            if isinstance(blob, Blob) and (blob._p_oid is None or blob._p_changed or blob._p_oid in there):
                found[id(blob)] = blob
    return sum(map(_blob_size, found.values()))


def _blob_size(blob: Any) -> int:
    with blob.open("r") as stream:
        return os.fstat(stream.fileno()).st_size
