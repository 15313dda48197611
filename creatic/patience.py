# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Says on the control node what a command waits for and since when, as callback ``patience`` does of a playbook."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from ansible_collections.cdg59.creatic.plugins.module_utils.words import duration

INTERVAL_S = 30.0


def _print_text(text: str) -> None:
    print(text, flush=True)


@contextlib.contextmanager
def report_progress(what: str, say: Callable[[str], None] = _print_text, every: float = INTERVAL_S) -> Iterator[None]:
    """Say each interval, from a thread, that what is inside still lasts; nothing when it is shorter.

    Args:
        what: what is waited for, in French.
        say: shows a line.
        every: seconds.
    """
    over, started = threading.Event(), time.monotonic()

    def report_interval() -> None:
        while not over.wait(every):
            say(f"   … depuis {duration(time.monotonic() - started)} : {what}")

    thread = threading.Thread(target=report_interval, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
