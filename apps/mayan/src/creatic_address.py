"""The visitor's address, as nginx tells it: on a unix socket nobody has one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class RealAddress:
    """Gives each request the address that nginx alone writes; a request of this host itself has none."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response

    def __call__(self, request: Any) -> Any:
        request.META["REMOTE_ADDR"] = request.META.get("HTTP_X_FORWARDED_FOR", "127.0.0.1")
        return self._get_response(request)
