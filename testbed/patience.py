"""How tests wait: for a condition, saying for what and since when, with a limit that counts the machine's load.

Load is counted in seconds spent, one of which on a machine with three processes for each processor counts as a third.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

Told = str | Callable[[], object]

SLOWEST = 6.0  # a machine that does even less is no place for tests
TELL_S = 30.0


def slowness() -> float:
    """How much slower than alone a process goes now; 1 at least."""
    return min(SLOWEST, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def allowed(seconds: float) -> float:
    """What is to be allowed now to what takes these seconds at most on a machine that does nothing else."""
    return seconds * slowness()


def wait_for[Found](
    condition: Callable[[], Found],
    what: Told,
    seconds: float = 60,
    every: float = 0.2,
    despite: tuple[type[Exception], ...] = (),
) -> Found:
    """Wait until a condition gives something true.

    Args:
        condition: asked at least once, and after each pause.
        what: what is waited for, in French; a function gives it with the last state seen.
        seconds: limit, for a machine that does nothing else.
        every: pause, seconds.
        despite: errors of the condition that mean « not yet ».

    Returns:
        What the condition gave.

    Raises:
        AssertionError: it did not come.
    """
    started = last = time.monotonic()
    spent, told, error = 0.0, TELL_S, ""
    while True:
        try:
            if found := condition():
                return found
            error = ""
        except despite as raised:
            error = f" ; {type(raised).__name__} : {raised}"
        now = time.monotonic()
        spent += (now - last) / slowness()
        last = now
        if spent >= seconds:
            load = f"{os.getloadavg()[0]:.1f}".replace(".", ",")
            raise AssertionError(
                f"toujours pas : {_told(what)}, après {now - started:.0f} s"
                f" (charge {load} pour {os.cpu_count()} processeurs){error}"
            )
        if now - started >= told:
            print(f"… attend {_told(what)} depuis {now - started:.0f} s{error}", flush=True)
            told = now - started + TELL_S
        time.sleep(every)


def _told(what: Told) -> str:
    try:
        return what if isinstance(what, str) else str(what())
    except Exception as error:  # what is looked at may be away: no reason to stop waiting for it
        return f"un état qui ne se lit pas ({error})"
