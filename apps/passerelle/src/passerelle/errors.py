"""What can go wrong between the passerelle and the servers it calls. Every text is French."""

from __future__ import annotations

from creatic_agent.errors import CreaticError


class HandoverError(CreaticError, cause="remise"):
    """Base. The act stays where it is."""


class Away(HandoverError, cause="absent"):
    """The server does not answer, or asks to wait: tried again until it does."""


class Trouble(HandoverError, cause="trouble"):
    """The server answers what nobody expects (500, a refused account, unreadable text): tried again a few times."""


class Refused(HandoverError, cause="refus"):
    """The server understood and says no, or what it gives is not what was announced: a person must look."""
