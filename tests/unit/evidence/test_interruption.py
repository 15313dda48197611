"""Ctrl-C ends a playbook whenever it comes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from ansible_collections.cdg59.creatic.plugins.plugin_utils import interruption

# A process that gets its signal while something is written to the terminal, and keeps errors to itself as Ansible does
# those of a callback.
PROGRAM = """
import io, os, signal, sys
from ansible_collections.cdg59.creatic.plugins.plugin_utils import interruption

class Terminal(io.RawIOBase):
    stopped = False

    def writable(self):
        return True

    def write(self, data):
        if not Terminal.stopped:
            Terminal.stopped = True
            os.kill(os.getpid(), signal.SIGINT)
        return len(data)

sys.stderr = io.TextIOWrapper(io.BufferedWriter(Terminal()), write_through=True)
interruption.announce_interruption(lambda: "Interrompu.")
try:
    sys.stderr.write("un")
    sys.stderr.flush()
except Exception:
    pass
print("continue")
"""


def test_it_ends_in_the_middle_of_a_line_that_is_written() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.decode()) == (interruption.STATUS, b"", "\nInterrompu.\n")


# A worker that is told to stop in the moment after its birth, when it still has its parent's handler.
NEWBORN = """
import os, signal, sys
from ansible_collections.cdg59.creatic.plugins.plugin_utils import interruption

def own(number, frame):
    raise RuntimeError("a handler that looks after its own workers")

for number in interruption.SIGNALS:
    signal.signal(number, own)
interruption.spared()
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), int(sys.argv[1])))
ended = os.waitstatus_to_exitcode(os.waitpid(os.fork() or os._exit(0), 0)[1])
kept = all(signal.getsignal(number) is own for number in interruption.SIGNALS)
print(ended, kept, sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
"""


@pytest.mark.parametrize("number", interruption.SIGNALS)
def test_a_worker_just_born_ends_without_a_word(number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NEWBORN, str(number)],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{-number} True []\n", "")
