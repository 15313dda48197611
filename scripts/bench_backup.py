#!/usr/bin/env python3
"""Measure backups on the lab (the backup server is up and deployed; this machine stands for a client).

borg's first backup and its restoration beside plain tar over the same SSH connection, in one run, and what ten daily
backups take beside one. The data: half that does not compress, half text; each day changes a hundredth of it.
Usage: scripts/bench_backup.py [MEGABYTES]
"""

from __future__ import annotations

import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
for folder in ("", "collections"):
    sys.path.insert(0, str(TOP / folder))

from testbed.control_node import HOME

SERVER, DAYS = "10.59.0.50", 10
AWAY = "/srv/sauvegardes/.mesure"
SSH = ["ssh", "-F", "none", "-i", str(HOME / "ssh" / "id_ed25519"), "-o", "LogLevel=ERROR",
       "-o", f"UserKnownHostsFile={HOME / 'ssh' / 'known_hosts'}"]  # fmt: skip # a list by rows
TARGET = f"creatic@{SERVER}"


def there(script: str) -> list[str]:
    """A script as root on the server."""
    return [*SSH, TARGET, f"sudo sh -c {shlex.quote(script)}"]


def fill(folder: Path, megabytes: int) -> None:
    """Files of a megabyte: every other one is text."""
    words = [f"mot{number}" for number in range(5000)]
    for number in range(megabytes):
        text = " ".join(random.choices(words, k=150_000))[:1_000_000].encode()  # noqa: S311 - no secret
        (folder / f"{number:05}").write_bytes(text if number % 2 else os.urandom(1_000_000))


def timed(megabytes: int, what: str, command: list[str], environment: dict[str, str], cwd: Path) -> None:
    """Run, and show the rate."""
    start = time.monotonic()
    subprocess.run(command, env=os.environ | environment, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - start
    print(f"{what:34} {seconds:7.1f} s {megabytes / seconds:8.1f} Mo/s", flush=True)


def stored() -> int:
    """What the repository takes on the server, in bytes."""
    done = subprocess.run(there(f"du -sb {AWAY}/depot/data | cut -f1"), capture_output=True, text=True, check=True)
    return int(done.stdout)


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory(prefix="creatic-mesure-") as name:
        top = Path(name)
        data, back = top / "donnees", top / "retour"
        data.mkdir()
        fill(data, megabytes)
        environment = {
            "BORG_RSH": shlex.join(SSH),
            "BORG_REMOTE_PATH": "sudo borg",
            "BORG_PASSPHRASE": "mesure",
            "BORG_BASE_DIR": str(top / "borg"),
            "BORG_REPO": f"ssh://{TARGET}{AWAY}/depot",
        }
        subprocess.run(there(f"rm -rf {AWAY}; mkdir {AWAY}"), check=True)
        try:
            send = f"tar -cf - donnees | {shlex.join(there(f'cat > {AWAY}/tout.tar'))}"
            timed(megabytes, "tar, envoi", ["sh", "-c", send], {}, top)
            subprocess.run(
                ["borg", "init", "-e", "repokey-blake2"], env=os.environ | environment, check=True, capture_output=True
            )
            create = ["borg", "create", "--compression", "zstd,3"]
            timed(megabytes, "borg, première sauvegarde", [*create, "::jour1", "donnees"], environment, top)
            first = stored()
            timed(megabytes, "borg, rien n'a changé", [*create, "::jour1-bis", "donnees"], environment, top)
            back.mkdir()
            fetch = f"{shlex.join(there(f'cat {AWAY}/tout.tar'))} | tar -xf -"
            timed(megabytes, "tar, retour", ["sh", "-c", fetch], {}, back)
            shutil.rmtree(back)
            back.mkdir()
            timed(megabytes, "borg, restauration", ["borg", "extract", "::jour1"], environment, back)
            subprocess.run(["diff", "-r", data, back / "donnees"], check=True)
            for day in range(2, DAYS + 1):
                for number in random.sample(range(megabytes), max(1, megabytes // 100)):
                    (data / f"{number:05}").write_bytes(os.urandom(1_000_000))
                subprocess.run([*create, f"::jour{day}", "donnees"], env=os.environ | environment, cwd=top, check=True)
            print(f"données {megabytes} Mo ; une sauvegarde {first / 1e6:.1f} Mo ; dix {stored() / 1e6:.1f} Mo")
        finally:
            subprocess.run(there(f"rm -rf {AWAY}"), check=False)


if __name__ == "__main__":
    main()
