"""What is refused, and how the API says it."""

from __future__ import annotations


class RefusedError(Exception):
    """The message is French and says what to do.

    Args:
        status: of HTTP; 400 a wrong request, 403 not this person, 404 not theirs to see, 409 too late or different,
            429 too much at once, 503 later.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
