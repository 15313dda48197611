"""Bounds of one run: a hostile file may cost this process its memory or its time, never the machine's."""

from __future__ import annotations

import resource
import signal
from types import FrameType

from .refusal import DocumentRefusedError

MEMORY = 1 << 30  # bytes of address space
SECONDS = 120  # of processor
TOO_MUCH = (
    "le fichier demande trop de mémoire ou de temps pour être lu, ce qui ne dit rien de sa signature : il est trop "
    "lourd, abîmé ou piégé. À faire : refaites le PDF depuis le document d'origine, ou partagez le flux comptable"
)


def _stop_process(_signal: int, _frame: FrameType | None) -> None:
    raise DocumentRefusedError(TOO_MUCH)


def bound(memory: int = MEMORY, seconds: int = SECONDS) -> None:
    """Limit this process; past the limits it gets MemoryError, or `Refusal` (then death a few seconds later).

    Args:
        memory: bytes of address space.
        seconds: of processor, from the start of the process.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    signal.signal(signal.SIGXCPU, _stop_process)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
