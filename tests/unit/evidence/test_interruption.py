"""Ctrl-C ends a playbook whenever it comes."""

from __future__ import annotations

import subprocess
import sys

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
interruption.told(lambda: "Interrompu.")
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
