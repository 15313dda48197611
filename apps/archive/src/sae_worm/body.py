"""The body of an archive on its way in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Body:
    """A WSGI input that calls `look` before it gives its end: with its last bytes, or when it says that there are none.

    Swift writes an archive to its name once it has the whole body; what `look` raises goes to the proxy, which then
    gives the nodes no end, and nothing is written.

    Args:
        source: the input.
        length: its bytes, when the request tells.
    """

    def __init__(self, source: Any, length: int | None, look: Callable[[], None]) -> None:
        self._source, self._left, self._look = source, length, look
        self._looked = False

    def read(self, *arguments: Any) -> bytes:
        """As the input's."""
        size = arguments[0] if arguments else None
        return self._given(self._source.read(*arguments), whole=size is None or size < 0)

    def readline(self, *arguments: Any) -> bytes:
        """As the input's."""
        return self._given(self._source.readline(*arguments), whole=False)

    def _given(self, block: bytes, whole: bool) -> bytes:
        if self._left is not None:
            self._left -= len(block)
        ended = whole or not block or (self._left is not None and self._left <= 0)
        if ended and not self._looked:
            self._look()
            self._looked = True
        return block

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)
