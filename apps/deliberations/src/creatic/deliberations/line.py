"""Whose request is answered next, without Plone: each address has its turn, and waits behind its own requests alone.

Waitress answers in the order in which it was asked, and a page takes a third of a second: the two hundred that one
address may wait for kept everybody else from the site for minutes, and those that nobody waited for any more were
answered too.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from typing import Any

CONNECTIONS = 1000
"""Of nginx with waitress: of one address, nginx has some 270 (creatic_lecture, creatic_ecriture, creatic_envoi)."""
_IPV6_SITE_BITS = 56
"""Bits of an IPv6 address that are one site's, as nginx counts them."""


def whose(address: str) -> str:
    """Who asks, by what nginx says of them: an address, or a site of IPv6; "" for this machine."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, _IPV6_SITE_BITS), strict=False)) if found.version == 6 else str(found)


def _channel_site(channel: Any) -> str:
    return whose(str(channel.requests[0].headers.get("X_FORWARDED_FOR", "")) if channel.requests else "")


class Line:
    """What waits for a thread, in place of waitress' queue, which is held by its lock at each call."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Any]] = {}  # the next address first
        self._whose: dict[Any, str] = {}

    def __len__(self) -> int:
        return len(self._whose)

    def append(self, channel: Any) -> None:
        """Have a request wait behind those of its address."""
        self._whose[channel] = _channel_site(channel)
        self._waiting.setdefault(self._whose[channel], deque()).append(channel)

    def popleft(self) -> Any:
        """Give the next request; its address is the last one then. Raises IndexError where nothing waits."""
        address = next(iter(self._waiting), None)
        if address is None:
            raise IndexError
        those = self._waiting.pop(address)
        channel = those.popleft()
        if those:
            self._waiting[address] = those
        del self._whose[channel]
        return channel

    def leave(self, channel: Any) -> bool:
        """Have a request wait no more; tells whether it did."""
        address = self._whose.pop(channel, None)
        if address is None:
            return False
        those = self._waiting[address]
        those.remove(channel)
        if not those:
            del self._waiting[address]
        return True


def hold(server: Any) -> None:
    """Have a server of waitress answer by turns, and leave unanswered who has gone meanwhile."""
    line, dispatcher = Line(), server.task_dispatcher
    usual: Any = server.channel_class

    class Channel(usual):
        """A connection of nginx's: what is read on while it waits says its end (`channel_request_lookahead`)."""

        requests: list[Any]

        def handle_close(self) -> None:
            """Close it; what nobody waits for waits no more."""
            super().handle_close()
            with dispatcher.lock:
                waited = line.leave(self)
            if waited:
                for request in self.requests:
                    request.close()
                self.requests = []

    with dispatcher.lock:
        dispatcher.queue = line
    server.channel_class = Channel
