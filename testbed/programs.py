"""Programs of this Python's environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from testbed.patience import allowed

TOP = Path(__file__).parents[1]
SIGNING = os.pathsep.join(str(TOP / part) for part in ("apps/signature/src", "apps/common/src"))
"""PYTHONPATH of what signs and verifies, and of what agents share, as their archives carry it."""

_FABS = """
import json, os, sys, tempfile
sys.path.insert(0, "collections")
from creatic.commands import main
import fabfile
told = []
for arguments, variables in json.loads(sys.argv[1]):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if not (child := os.fork()):
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.environ |= variables
            del sys.modules["fabfile"]  # each one reads it
            sys.argv = ["fab", *arguments]
            sys.exit(main())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        told.append((status, out.read().decode(), err.read().decode()))
print(json.dumps(told))
"""


def fabs(
    calls: Iterable[tuple[Sequence[str], Mapping[str, str]]], top: Path, environment: Mapping[str, str]
) -> list[subprocess.CompletedProcess[str]]:
    """Several commands of fab one after the other, each a process of its own, with the variables that it has more.

    What they import is read once: a start of fab takes most of a second of the processor.
    """
    asked = [(list(arguments), dict(variables)) for arguments, variables in calls]
    command = [sys.executable, "-c", _FABS, json.dumps(asked)]
    done = subprocess.run(command, cwd=top, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [
        subprocess.CompletedProcess(arguments, *told)
        for (arguments, _), told in zip(asked, json.loads(done.stdout), strict=True)
    ]


def said(program: str, *arguments: str, seconds: float, **environment: str) -> str:
    """What one prints, run from the top of the project; it must end well, in this time on an idle machine."""
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(
        command, cwd=TOP, env=os.environ | environment, capture_output=True, text=True, timeout=allowed(seconds),
        check=False,
    )  # fmt: skip # one call by its parts
    assert done.returncode == 0, done.stderr
    return done.stdout
