# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What callback ``patience`` says of a task that lasts: its own name, or what the output that is shown knows of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Waited:
    """What is waited for on a host.

    Attributes:
        key: those who wait for the same are told together.
        since: monotonic clock.
        text: what is said of it.
        last: seconds that it took the last time; 0 when nobody knows.
    """

    key: str
    since: float
    text: str
    last: float = 0.0


def _by_name(_host: str, task: Any) -> Waited:
    return Waited(task._uuid, time.monotonic(), task.get_name().strip())


class _WaitDescription:
    """What the output that is shown says: one process shows one playbook, in one output."""

    said: Callable[[str, Any], Waited] = staticmethod(_by_name)


def set_wait_description(said: Callable[[str, Any], Waited]) -> None:
    """Have this process tell what lasts in other words.

    Args:
        said: given a host and the task that starts there, says what is waited for.
    """
    _WaitDescription.said = staticmethod(said)


def describe_wait(host: str, task: Any) -> Waited:
    """What is waited for on a host whose task starts."""
    return _WaitDescription.said(host, task)
