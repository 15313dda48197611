"""What people gave is read, and drawn, in a process of its own, within bounds of memory and time, without Plone.

Less than a megabyte can unfold into more memory than the site of all communes has. One is read at a time beside the
site, each commune in its turn (`turns`). Messages are French, for people.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path

from creatic.deliberations import hidden, turns

WHOSE: ContextVar[str] = ContextVar("creatic_whose", default="")
"""For which commune a request is (`watch.know_whose`), or for which account."""
_COPIES = 3
"""Of the files, in memory beside what their reader has."""
_UNFIT_EXIT_CODE = 3
"""How such a process ends when it says why a file is unfit."""
_QUEUE_TIMEOUT_SECONDS = 120  # seconds for one's turn
# The site has one thread at least to answer with.
_READING_TURNS = turns.Turns(max(1, int(os.environ.get("PLONE_THREADS", "4")) - 1))


class Busy(hidden.UnfitDocumentError):
    """Others' files are being read, or their documents drawn."""

    def __init__(self) -> None:
        super().__init__(
            "d'autres documents sont en cours de lecture ou de mise en page. À faire : recommencez dans quelques "
            "minutes"
        )


class TooMuch(hidden.UnfitDocumentError):
    """A file that takes more than the bounds."""

    def __init__(self) -> None:
        super().__init__(
            "il demande trop de mémoire ou de temps pour être lu : il est trop lourd, abîmé ou piégé. À faire : "
            "imprimez-le en PDF, puis joignez ce PDF"
        )


class ReadingTimeoutError(TooMuch):
    """A file that was not read in time, or whose reader the machine ended: others' work may be why."""


def read(reader: Callable[..., bytes], *files: bytes, memory: int, seconds: int, elapsed: int) -> bytes:
    """Have files read by a process whose memory and time are bounded.

    Args:
        reader: a function of a module, which that process imports by its name; it is given the files.
        memory: bytes of address space, beside copies of the files.
        seconds: of processor.
        elapsed: seconds, however busy the machine is.

    Raises:
        hidden.Unfit: what the reader refuses; `TooMuch`, `Late` when that may be the machine's; `Busy`.
    """
    room = memory + _COPIES * sum(map(len, files))
    try:
        with _READING_TURNS.turn(WHOSE.get(), _QUEUE_TIMEOUT_SECONDS):
            # The package is where this process found it, what is known of fonts too; nothing else of its environment
            # is a file's.
            done = subprocess.run(
                [sys.executable, "-B", "-P", "-m", __name__, reader.__module__, reader.__name__, str(room),
                 str(seconds), *(str(len(one)) for one in files)],
                input=b"".join(files), capture_output=True, timeout=elapsed, check=False,
                env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "1", "PYTHONWARNINGS": "ignore"}
                | {name: os.environ[name] for name in ("XDG_CACHE_HOME",) if name in os.environ},
            )  # fmt: skip # a call by its parts
    except turns.QueueFullError:
        raise Busy from None
    except subprocess.TimeoutExpired:
        raise ReadingTimeoutError from None
    if done.returncode == _UNFIT_EXIT_CODE:
        raise hidden.UnfitDocumentError(done.stdout.decode())
    if done.returncode == -signal.SIGKILL:
        raise ReadingTimeoutError  # the memory of the machine, not its own bound
    if done.returncode:
        raise TooMuch
    return done.stdout


def main(module: str, name: str, room: str, seconds: str, *sizes: str) -> int:
    """Read files from the standard input, one after the other, and write what their reader says of them."""
    reader = getattr(importlib.import_module(module), name)
    with suppress(OSError), Path("/proc/self/oom_score_adj").open("w") as mine:
        mine.write("1000")  # this process goes, never the site
    resource.setrlimit(resource.RLIMIT_AS, (int(room), int(room)))
    # The soft bound ends it by a signal of its own: SIGKILL is the machine's, short of memory.
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
    try:
        said = reader(*(sys.stdin.buffer.read(int(size)) for size in sizes))
    except hidden.UnfitDocumentError as error:
        sys.stdout.write(str(error))
        return _UNFIT_EXIT_CODE
    sys.stdout.buffer.write(said)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
