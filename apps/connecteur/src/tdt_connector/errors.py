"""What can go wrong between the connector and a TdT. Every text is French and meant for a technician."""

from __future__ import annotations

from creatic_agent.errors import CreaticError


class TdtError(CreaticError, cause="tdt"):
    """Base. Its cause is a word that `doctor` knows."""

    @property
    def kind(self) -> str:
        return self.cause


class Unreachable(TdtError):
    """The TdT could not be reached: nothing was received there, so trying again is safe."""


class Denied(TdtError):
    """The TdT turned the certificate or the account away: nothing was recorded, a person must act."""


class Uncertain(TdtError):
    """No usable answer after the request left: it may or may not have been recorded."""


class Refused(TdtError):
    """The TdT answered that it refuses this request: nothing was recorded."""


class Duplicate(Refused):
    """The TdT already holds an act with this number, or this very PES."""


class HandoverError(CreaticError, cause="passerelle"):
    """The passerelle cannot be used now; the text is French. Nothing is lost: ask again."""


class Away(HandoverError, cause="passerelle_absente"):
    """It does not answer at all."""


class Full(HandoverError, cause="passerelle_pleine"):
    """It takes no more of this commune's returns and letters for now."""


def sentence(text: str) -> str:
    """The text on one line, with its capital and its full stop."""
    clean = " ".join(text.split())
    return clean[:1].upper() + clean[1:] + ("" if clean.endswith((".", "!", "?", "…")) else ".")
