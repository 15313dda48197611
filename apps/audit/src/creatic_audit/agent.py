"""The agent: what this machine finds of itself, on its own time, signed with its own key; nobody is called.

    creatic-releve faire         a relevé, kept in <etat>/releve.json until somebody fetches it
    creatic-releve reference     what the machine is at the end of a deployment, for the comparison

A relevé is one JSON object, ``signe`` (text) and ``signature`` (SSHSIG, by the host key, namespace `NAMESPACE`). The
text names the machine, its number, its date and the digests of the relevés before it. OpenSCAP's own result stays in
<etat>/openscap-arf.xml.gz, for who asks; its digest is signed.

Exit status: 0 all was looked at, 1 something could not be (the relevé says what), 2 nothing is signed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import gzip
import hashlib
import json
import pwd
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from creatic_agent import configuration
from creatic_agent.configuration import Key
from creatic_agent.durable import write

from . import reference
from .facts import facts
from .patches import patches
from .reduced import Unreadable, reduced
from .scan import ScanError, private_scratch, scan

CONFIG = Path("/etc/creatic/audit/config.json")
KIND = "creatic releve"
NAMESPACE = "creatic-releve"
RELEVE = "releve.json"
ARF = "openscap-arf.xml.gz"
_CHAIN = 60  # relevés before it that one names
_MOST = 500  # items of a list
_LARGEST = 224 << 10  # bytes of what is signed; who judges takes 256 KiB, signature included


class Unsigned(Exception):
    """No relevé could be made; the message is French."""


@dataclass(frozen=True)
class Settings:
    """Content of /etc/creatic/audit/config.json.

    Attributes:
        machine: its name in the inventory.
        level: ANSSI-BP-028 level whose OpenSCAP profile is run.
        key: private host key, Ed25519.
        state: folder of the relevé.
        reader: account that fetches the relevé; root's alone when it is not there.
    """

    machine: str
    level: Annotated[str, Key("niveau")]
    key: Annotated[Path, Key("cle")]
    state: Annotated[Path, Key("etat")]
    reader: Annotated[str, Key("lecteur")] = "root"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def chain(path: Path) -> list[list[Any]]:
    """Number and digest of the relevés so far, the last one last; empty when there is none that can be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        text = json.loads(path.read_text(encoding="utf-8"))["signe"]
        before = json.loads(text)
        return [*before["chaine"], [int(before["numero"]), _digest(text.encode())]][-_CHAIN:]
    return []


def _openscap(settings: Settings) -> dict[str, Any]:
    found = scan(f"anssi_bp28_{settings.level}", private_scratch())
    packed = base64.b64decode(found.pop("arf_gz_b64"))
    write(settings.state / ARF, packed, 0o600)
    return {**found, **reduced(gzip.decompress(packed)), "arf_sha256": _digest(packed)}


def _bounded(part: Any) -> Any:
    """The same, with no list that is too long."""
    if isinstance(part, dict):
        return {key: _bounded(one) for key, one in part.items()}
    return [_bounded(one) for one in part[:_MOST]] if isinstance(part, list) else part


def statement(settings: Settings) -> dict[str, Any]:
    """Look at this machine, each part for itself: one that fails is told in ``echecs`` and hides no other."""
    start, clock = datetime.now(UTC), time.monotonic()
    failures: dict[str, str] = {}

    def part(name: str, look: Callable[[], Any]) -> Any:
        try:
            return _bounded(look())
        except (ScanError, Unreadable) as error:
            failures[name] = str(error)[:1000]
        except (OSError, ValueError, LookupError, SystemError, subprocess.SubprocessError) as error:
            failures[name] = f"{type(error).__name__} : {error}"[:1000]
        return None

    told = {
        "systeme": part("systeme", facts),
        "correctifs": part("correctifs", patches),
        "derive": part("derive", lambda: reference.drift(settings.state)),
        "openscap": part("openscap", lambda: _openscap(settings)),  # last: its scratch space hides /tmp
    }
    before = chain(settings.state / RELEVE)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "quoi": KIND,
        "version": 1,
        "machine": settings.machine,
        "niveau": settings.level,
        # Of a machine that comes back from a backup too, a number is never one of before.
        "numero": max(int(time.time()), before[-1][0] + 1 if before else 0),
        "debut": start.isoformat(timespec="seconds"),
        "fin": datetime.now(UTC).isoformat(timespec="seconds"),
        "duree_s": round(time.monotonic() - clock, 1),
        "cpu_s": round(sum(one.ru_utime + one.ru_stime for one in used), 1),
        **told,
        "echecs": failures,
        "chaine": before,
    }


def signed(settings: Settings, told: dict[str, Any]) -> bytes:
    """A relevé as it is fetched.

    Raises:
        Unsigned: it is too long, or the key does not sign.
    """
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > _LARGEST:
        raise Unsigned(f"le relevé fait {len(text.encode())} octets, {_LARGEST} au plus")
    try:
        done = subprocess.run(
            ["ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-f", str(settings.key)],
            input=text.encode(),
            capture_output=True,
            check=False,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unsigned(f"la clé {settings.key} ne signe pas : {error}") from error
    if done.returncode:
        raise Unsigned(f"la clé {settings.key} ne signe pas : {done.stderr.decode(errors='replace').strip()[-300:]}")
    return json.dumps({"signe": text, "signature": done.stdout.decode("ascii")}, ensure_ascii=False).encode()


def make(settings: Settings) -> dict[str, str]:
    """Make a relevé and keep it, for its reader; gives what could not be looked at.

    Raises:
        Unsigned: the one before stays.
    """
    with (settings.state / ".verrou").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        told = statement(settings)
        owner = -1
        with contextlib.suppress(KeyError):
            owner = pwd.getpwnam(settings.reader).pw_uid
        write(settings.state / RELEVE, signed(settings, told), 0o400, owner)
    failures: dict[str, str] = told["echecs"]
    return failures


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="creatic-releve", description="Relevé signé de l'état de cette machine.")
    parser.add_argument("commande", choices=("faire", "reference"))
    command = parser.parse_args(arguments).commande
    try:
        settings = configuration.load(CONFIG, Settings)
        if command == "reference":
            reference.keep(settings.state)
            return 0
        failures = make(settings)
    except (configuration.ConfigError, Unsigned, OSError) as error:
        print(f"creatic-releve : {error}", file=sys.stderr)
        return 2
    for name, reason in failures.items():
        print(f"creatic-releve : {name} : {reason}", file=sys.stderr)
    return 1 if failures else 0
