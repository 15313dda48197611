"""Public tools that judge what we make, each in a virtual environment of its own: ours are not in it."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CACHE = Path("~/.cache/creatic/outils").expanduser()
OCFL = ("ocfl-py==2.1.0", "ocfl-root.py")  # 60 MB
BAGIT = ("bagit==1.9.0", "bagit.py")


def install(requirement: str, program: str) -> Path:
    """The program of a package, kept in the machine's cache; skips the test when it cannot be fetched."""
    folder = CACHE / requirement.replace("==", "-")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".verrou").open("w") as lock:  # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bin" / program).exists():
            shutil.rmtree(folder, ignore_errors=True)
            # Without a pip of its own, which would cost more than the tool itself.
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
            pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-q")
            command = (*pip, requirement)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                shutil.rmtree(folder)
                pytest.skip(f"{requirement} n'a pas pu être téléchargé : {done.stderr.strip()[-200:]}")
    return folder / "bin" / program


def run(*command: str | Path) -> tuple[int, str]:
    """Exit status and outputs of a command."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr
