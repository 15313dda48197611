"""Brings Mayan's data to the installed version and gives its administrator their password (mayan-setup.service).

Every service of Mayan waits for it: none starts on data half made, and nobody sees the password that Mayan gives its
administrator at first. When nothing changed it reads a few files and ends.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

STATE = Path("/var/lib/mayan")
MEDIA = STATE / "media"
DONE = STATE / "version"
# There from the first to the last moment of the first setup: what is beside it is nobody's data yet.
BEGUN = STATE / "premiere-installation"
PROGRAM = Path(sys.executable).with_name("mayan-edms.py")


def mayan(*command: str) -> None:
    print(f"Mayan : {command[0]}", flush=True)
    subprocess.run([sys.executable, "-W", "ignore", str(PROGRAM), *command], stdin=subprocess.DEVNULL, check=True)


def migrations() -> str:
    """Digest of the migrations of the applications that stand beside Mayan's settings."""
    found = hashlib.sha256()
    for path in sorted(Path("/etc/mayan").glob("*/migrations/*.py")):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def forget() -> None:
    """Remove what an interrupted first setup left."""
    import psycopg

    print("Première installation interrompue : elle est reprise depuis le début", flush=True)
    shutil.rmtree(MEDIA, ignore_errors=True)
    with psycopg.connect("dbname=mayan host=/run/postgresql") as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def set_password(password: str) -> None:
    import django

    django.setup()
    from django.contrib.auth import get_user_model

    account = get_user_model().objects.get(username="admin")
    if not account.check_password(password):
        print("Mot de passe de l'administrateur posé", flush=True)
    # Set even when it is the same: Mayan shows it on its login page until it is set anew.
    account.set_password(password)
    account.save()


def main() -> int:
    version = Path(sys.prefix).resolve().name
    password = sys.stdin.readline().strip()  # systemd opens the file, which this account cannot read
    done = DONE.read_text(encoding="utf-8").split() if DONE.exists() else []
    salt = done[1].partition(":")[0] if len(done) > 1 else os.urandom(16).hex()
    known = hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**14, r=8, p=1).hex()
    wanted = [version, f"{salt}:{known}", migrations()]
    if done == wanted:
        return 0
    if not done:
        if BEGUN.exists():
            forget()
        BEGUN.touch()
        mayan("common_initial_setup")
    elif done[0] != version:
        mayan("common_perform_upgrade")
    elif done[2:] != wanted[2:]:
        mayan("migrate", "--noinput")
    set_password(password)
    new = DONE.with_suffix(".nouveau")  # by hand: this file is sent alone, beside a Mayan that has no creatic_agent
    with new.open("w", encoding="utf-8") as stream:
        stream.write("\n".join(wanted) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(DONE)
    BEGUN.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
