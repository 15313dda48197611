"""Why a SIP is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MAX_REASONS = 50


@dataclass(frozen=True)
class Reason:
    """One reason: a code for programs, a French sentence for people."""

    code: str
    text: str


class SipRefusedError(Exception):
    """The SIP is refused. `temporary` tells that the same SIP may pass later (scanner down, storage away)."""

    def __init__(self, reasons: Iterable[Reason], temporary: bool = False) -> None:
        found = list(reasons)
        self.reasons = found[:MAX_REASONS]
        if len(found) > MAX_REASONS:
            self.reasons.append(Reason("SUITE", f"et {len(found) - MAX_REASONS} autres défauts."))
        self.temporary = temporary
        super().__init__(" ".join(reason.text for reason in self.reasons))


def refuse(code: str, text: str, temporary: bool = False) -> SipRefusedError:
    """A refusal for one reason."""
    return SipRefusedError([Reason(code, text)], temporary)
