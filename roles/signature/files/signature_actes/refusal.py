"""What stops a signature or refuses a signed file."""

from __future__ import annotations


class Refusal(Exception):
    """The file, the token or the signature is refused; the message is French and says what to do."""
