"""What the people of a commune may send: documents share their disk with everybody's, and nothing else bounds them.

One account filled thirty-five gigabytes in ten minutes, and Mayan took nobody's documents then. A commune brings some
hundreds of megabytes a year: what it may send is a hundred times as much.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import F, Sum
from django.utils import timezone

from .guard import ChangeDeniedError
from .models import Sent

DAY_MAX = 1_000_000_000
"""Bytes in a day: six of the largest files."""
MONTH_MAX = 3_000_000_000
"""Bytes in thirty days: as many communes fill a disk together slowly, and the supervision says so."""
_SHARE_PERIOD_DAYS = 30
_MIN_REQUEST_BYTES = 20_000
"""Bytes that any request counts for: what it changes is noted too."""


def check(user: Any, size: int) -> None:
    """Count what somebody sends in the share of their commune, before it is looked at.

    Args:
        user: a person of a commune.
        size: bytes of what they send.

    Raises:
        Kept: the share is used.
    """
    whose, today = user.known.commune or user.known.login, timezone.localdate()
    mine, is_new = Sent.objects.get_or_create(commune=whose, day=today)
    month = Sent.objects.filter(commune=whose, day__gt=today - dt.timedelta(_SHARE_PERIOD_DAYS))
    if is_new:
        Sent.objects.filter(commune=whose, day__lte=today - dt.timedelta(_SHARE_PERIOD_DAYS)).delete()
    more = max(_MIN_REQUEST_BYTES, size)
    used = month.aggregate(all=Sum("octets"))["all"] or 0
    if used + more > MONTH_MAX:
        raise ChangeDeniedError(
            f"les agents de votre commune ont envoyé {used / 1e6:.0f} Mo en trente jours, sur {MONTH_MAX / 1e6:.0f} : "
            "rien n'est gardé de cet envoi. À faire : prévenez le groupement, qui reprend les gros fonds"
        )
    if not Sent.objects.filter(pk=mine.pk, octets__lte=DAY_MAX - more).update(octets=F("octets") + more):
        raise ChangeDeniedError(
            f"les agents de votre commune ont envoyé {DAY_MAX / 1e6:.0f} Mo aujourd'hui, ce qu'elle a de place en un "
            "jour : rien n'est gardé de cet envoi. À faire : allégez ces fichiers, ou envoyez-les demain"
        )
