"""Whose request is answered next, of those that wait for a thread of the site."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from creatic.deliberations.line import Line, hold, whose


class Channel:
    """A connection of waitress', with one request."""

    def __init__(self, address: str, name: str = "") -> None:
        self.name, self.closed = name, 0
        self.requests = [SimpleNamespace(headers={"X_FORWARDED_FOR": address} if address else {}, close=self._count)]

    def _count(self) -> None:
        self.closed += 1

    def handle_close(self) -> None:
        """As waitress' own, which leaves requests alone."""


def served(line: Line) -> list[str]:
    return [line.popleft().name for _one in range(len(line))]


def test_one_address_waits_behind_itself_alone() -> None:
    """Two hundred requests of one address kept everybody else from the site for minutes."""
    line = Line()
    for rank in range(200):
        line.append(Channel("203.0.113.7", f"many {rank}"))
    line.append(Channel("198.51.100.1", "one"))
    line.append(Channel("198.51.100.2", "other"))
    assert served(line)[:4] == ["many 0", "one", "other", "many 1"]
    assert not line
    with pytest.raises(IndexError):
        line.popleft()


def test_who_comes_back_at_once_waits_for_those_who_wait() -> None:
    line = Line()
    for address in ("203.0.113.7", "198.51.100.1"):
        line.append(Channel(address, address))
    assert line.popleft().name == "203.0.113.7"
    line.append(Channel("203.0.113.7", "again"))
    assert served(line) == ["198.51.100.1", "again"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:100::1", "2001:db8:0:1ff::2", True),  # a home's 256 networks
        ("2001:db8:0:100::1", "2001:db8:0:200::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
    ],
)
def test_an_address_is_counted_as_nginx_does(one: str, other: str, same: bool) -> None:
    assert (whose(one) == whose(other)) is same


def test_what_nobody_waits_for_any_more_is_not_answered() -> None:
    """A second of requests that were given up had the site's threads for minutes."""
    dispatcher = SimpleNamespace(lock=threading.Lock(), queue=None)
    server: Any = SimpleNamespace(task_dispatcher=dispatcher, channel_class=Channel)
    hold(server)
    gone, left = server.channel_class("203.0.113.7"), server.channel_class("203.0.113.7", "left")
    for channel in (gone, left):
        dispatcher.queue.append(channel)
    gone.handle_close()
    gone.handle_close()  # which waitress does at times
    assert (gone.requests, gone.closed) == ([], 1)
    assert served(dispatcher.queue) == ["left"]
    left.handle_close()  # while it is answered: its thread closes what it reads
    assert left.closed == 0
