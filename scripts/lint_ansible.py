#!/usr/bin/env python3
"""ansible-lint, in half its time.

    scripts/lint_ansible.py [ARGUMENT ...]

ansible-lint starts ansible-playbook for each playbook and each role, which takes longer to start than to check: these
checks are forks of one process that has read Ansible. And it asks again what a file is, by sixty patterns, each time
that a role is looked at. Arguments, output and status are ansible-lint's.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import threading
from typing import IO, Any, cast
from unittest.mock import patch

from ansiblelint import file_utils, runner
from ansiblelint.__main__ import main

# Answers each command, a line of JSON, with its status, its output and its errors.
CHECKS = """
import json, os, sys, tempfile
from ansible.cli.playbook import PlaybookCLI
from ansible.plugins.loader import become_loader, connection_loader, shell_loader
for loader in (become_loader, connection_loader, shell_loader):  # each command reads them all
    list(loader.all(class_only=True))
for line in sys.stdin:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if not (pid := os.fork()):
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            PlaybookCLI.cli_executor(json.loads(line))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (out, err)]
    print(json.dumps([status, *said]), flush=True)
"""


class Checks:
    """Stands for ansible-lint's ``subprocess``, which its runner uses for syntax checks alone."""

    PIPE = subprocess.PIPE

    def __init__(self) -> None:
        self._lock = threading.Lock()  # ansible-lint has several threads
        self._process: subprocess.Popen[str] | None = None

    def run(self, command: list[str], env: dict[str, str], **_options: Any) -> subprocess.CompletedProcess[str]:
        """Check a playbook; `env` is the same each time."""
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", CHECKS], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            asked, answered = cast("tuple[IO[str], IO[str]]", (self._process.stdin, self._process.stdout))
            print(json.dumps(command), file=asked, flush=True)
            status, out, err = json.loads(answered.readline())
        return subprocess.CompletedProcess(command, status, out, err)

    def end(self) -> None:
        """End the process that checks."""
        if self._process is not None:
            self._process.communicate()


if __name__ == "__main__":
    checks = Checks()
    try:
        kinds = functools.cache(file_utils.kind_from_path)
        with patch.object(runner, "subprocess", checks), patch.object(file_utils, "kind_from_path", kinds):
            status = main(sys.argv)
    finally:
        checks.end()
    sys.exit(status)
