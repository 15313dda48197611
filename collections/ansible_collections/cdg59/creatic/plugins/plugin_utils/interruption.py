# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What Ctrl-C says of a playbook: in French and once, where Ansible says « User interrupted execution »."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from types import FrameType

from ansible_collections.cdg59.creatic.plugins.module_utils import harmless

STATUS = 99  # Ansible's own, of a run that somebody stops
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@functools.cache
def spared() -> None:
    """Have a worker that was just forked end by Ctrl-C without a word, until it has its own handler.

    For a moment it has the parent's, which looks after workers that are none of its own: by a traceback.
    """

    def free() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def quiet() -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        free()

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS), after_in_parent=free, after_in_child=quiet
    )


def announce_interruption(said: Callable[[], str]) -> None:
    """Have Ctrl-C end this process by a sentence, after what Ansible does of it: its workers stop.

    Args:
        said: gives the sentence: what is left as it is, and how to go on.
    """
    before, own = signal.getsignal(signal.SIGINT), os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        try:
            if callable(before):
                before(number, frame)
        except KeyboardInterrupt:
            if os.getpid() != own:  # a worker that has not yet its own handler
                raise
            try:
                # Past sys.stderr: the signal may come while something is written there, which then refuses another
                # write by an error that Ansible takes for the callback's, and the run goes on.
                os.write(2, f"\n{harmless.text(said())}\n".encode())
            finally:
                raise SystemExit(STATUS) from None

    signal.signal(signal.SIGINT, stop)
