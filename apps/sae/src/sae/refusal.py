"""What commands of the archive room refuse: nothing was done, and why."""

from __future__ import annotations

from collections.abc import Sequence


class OperationRefusedError(Exception):
    """Nothing was done; the message, in French, gives every reason."""


def refuse(what: str, reasons: Sequence[str]) -> None:
    """Raise Refused with these reasons (French), if there is one."""
    if reasons:
        raise OperationRefusedError(f"{what} :\n" + "\n".join(f"  - {reason}" for reason in reasons[:50]))
