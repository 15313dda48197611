"""Which account is whose, and what each commune sent."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models


class Known(models.Model):
    """An account that the rollout made: its own number tells who it is, whatever name it bears since.

    `commune` is the short name of the person's; empty for a service's, and for those that were there before.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="known")
    login = models.CharField(max_length=150, unique=True)
    commune = models.CharField(max_length=80, blank=True)

    def __str__(self) -> str:
        return self.login


class Sent(models.Model):
    """Bytes that the people of a commune sent in a day (`shares`); of an account, where no commune is known of it."""

    commune = models.CharField(max_length=150)
    day = models.DateField()
    octets = models.BigIntegerField(default=0)

    class Meta:
        """One for each day."""

        unique_together = (("commune", "day"),)

    def __str__(self) -> str:
        return f"{self.commune}, {self.day}"


def login_of(user: Any) -> str:
    """Login of somebody in the communes' files; empty for an account that the rollout did not make."""
    known = getattr(user, "known", None)  # none is an AttributeError of Django's
    return known.login if known else ""
