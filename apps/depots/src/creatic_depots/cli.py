"""``creatic-depots``: the backup repositories of this server, in French."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from creatic_agent.configuration import ConfigError
from creatic_agent.durable import write
from creatic_agent.reasons import because
from creatic_depots import segments
from creatic_depots.depots import CONFIG, Depot, DepotError, Settings, alone, metrics, moment

_KEY = re.compile(r"(ssh-ed25519 [A-Za-z0-9+/=]+)( .*)?")
_BORG = "/usr/bin/borg"
_SELF = "/usr/bin/creatic-depots"
_WORD = 1_000_000  # bytes of what a client may tell; a longer one is cut, and refused

PLACES = 4
"""Sessions of one key at a time: a backup has one, and those that its line cut go on for ten minutes. Each takes 80 MB
of all clients' server, before borg knows what it is asked."""
_FIRST_TO_GO = "500"  # of 1,000 (proc_pid_oom_score_adj(5)): no client's memory ends the watch of all
_LOOK_S = 2.0  # between two looks at what a session writes


@contextmanager
def _place(settings: Settings, key: str) -> Iterator[None]:
    """Have one of a key's places, until this process ends, whatever it becomes.

    A file of a folder that the two accounts of this server alone enter, locked: the kernel takes it back by itself.
    What anybody may hold, a name of a socket or a file that can be read, somebody else here would.

    Raises:
        DepotError: they are taken.
    """
    name = hashlib.sha256(key.encode()).hexdigest()
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    for rank in range(PLACES):
        place = os.open(settings.state / "places" / f"{name}-{rank}", flags, 0o600)
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            os.close(place)
    else:
        raise DepotError(f"cette machine a déjà {PLACES} sessions ouvertes ici. À faire : attendez leur fin")
    try:
        os.set_inheritable(place, True)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")
        yield
    finally:
        os.close(place)


def _bounded(depot: Depot) -> None:
    """End this process, once it is borg, when its repository takes more of the disk than it may: borg counts what is
    referred to, and nothing of what is replaced, nor of what is never committed."""
    session = os.pidfd_open(os.getpid())
    if os.fork():
        os.close(session)
        return
    try:
        for number in (signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        kept = os.dup2(session, 255)
        os.closerange(0, kept)  # neither its connection, nor its place
        ended, wait = select.poll(), _LOOK_S
        ended.register(kept, select.POLLIN)
        while not ended.poll(wait * 1000):
            began = time.monotonic()
            if depot.overflow():
                signal.pidfd_send_signal(kept, signal.SIGKILL)
            wait = max(_LOOK_S, 5 * (time.monotonic() - began))
    finally:
        os._exit(0)


def _serve(settings: Settings, client: str) -> int:
    """The forced command of a client's key: its own repository, append-only, within its quota."""
    depot = Depot(settings, client)
    if depot.freeze_file.exists():
        print("Ce dépôt est gelé par le serveur de sauvegarde : appelez le groupement.", file=sys.stderr)
        return 1
    if os.environ.get("SSH_ORIGINAL_COMMAND") == "besoins":
        depot.note(sys.stdin.buffer.read(_WORD))
        return 0
    if reason := depot.overflow():
        print(f"Ce dépôt est plein ({reason}), et sera gelé : appelez le groupement.", file=sys.stderr)
        return 1
    _bounded(depot)
    arguments = ["--append-only", "--restrict-to-repository", str(depot.path)]
    quota = ["--storage-quota", f"{settings.clients[client].quota_mo}M"]
    os.execv(_BORG, [_BORG, "serve", "--umask=0027", *arguments, *quota])  # noqa: S606 - no shell is the point


def _read(settings: Settings, client: str) -> int:
    """The forced command of a key that restores: its account cannot write, whatever borg is asked."""
    depot = Depot(settings, client)
    allowed = [str(path) for path in (depot.path, *depot.closed())]
    arguments = [part for path in allowed for part in ("--restrict-to-repository", path)]
    os.execv(_BORG, [_BORG, "serve", "--append-only", *arguments])  # noqa: S606 - no shell is the point


def _open(settings: Settings, client: str, key: str, minutes: int) -> int:
    """Let a key read one repository, for a time."""
    Depot(settings, client)
    found = _KEY.fullmatch(key.strip())
    if not found:
        raise DepotError("clé : une clé publique ssh-ed25519 est attendue")
    keys = Path(f"/var/lib/{settings.readers}/.ssh/authorized_keys")
    kept = [line for line in _lines(keys) if not _over(line)]
    for line in kept:
        if _of(line) == _of(found[1]) and f'lire {client}"' not in line:
            other = line.partition("lire ")[2].partition('"')[0]
            raise DepotError(f"clé : elle lit déjà le dépôt de {other} ; chaque machine a la sienne")
    kept = [line for line in kept if _of(line) != _of(found[1])]
    end = (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y%m%d%H%MZ")
    kept.append(f'command="{_SELF} lire {client}",restrict,expiry-time="{end}" {found[1]}')
    write(keys, ("\n".join(kept) + "\n").encode(), 0o644)
    print(f"{client} : lecture ouverte jusqu'à {end}")
    return 0


def _close(settings: Settings, key: str) -> int:
    """Take a reading key out."""
    keys = Path(f"/var/lib/{settings.readers}/.ssh/authorized_keys")
    blob = _of(key) or key.strip()
    kept = "".join(f"{line}\n" for line in _lines(keys) if _of(line) != blob and not _over(line))
    write(keys, kept.encode(), 0o644)
    return 0


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _of(line: str) -> str:
    """The key itself, of a public key or a line of authorized_keys."""
    return line.partition("ssh-ed25519 ")[2].partition(" ")[0]


def _over(line: str) -> bool:
    found = re.search(r'expiry-time="(\d{12})Z"', line)
    return bool(found and found[1] < datetime.now(UTC).strftime("%Y%m%d%H%M"))


def _each(settings: Settings, what: str, clients: list[str]) -> int:
    """Watch, verify or turn over every repository; one's trouble does not keep the others from it."""
    status = 0
    for name in clients or sorted(settings.clients):
        depot = Depot(settings, name)
        try:
            if what == "verifier":  # takes long: the watch of all goes on meanwhile
                depot.verify()
                continue
            with alone(settings):  # one moves what another one reads
                reason = depot.watch()
                told = depot.turn(moment()) if what == "tourner" else []
            print("".join(f"{line}\n" for line in told), end="")
            if reason and what == "surveiller":
                print(f"<2>{name} : dépôt gelé, {reason}. À faire : fab sauvegarde.revenir {name}", file=sys.stderr)
                status = 1
        except (DepotError, segments.SegmentError, OSError, subprocess.SubprocessError) as error:
            print(f"<3>{error}", file=sys.stderr)
            status = 1
    with alone(settings):
        metrics(settings)
    return status


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="creatic-depots", description="Dépôts de sauvegarde de ce serveur.")
    parser.add_argument("--config", type=Path, default=CONFIG, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="commande", required=True, metavar="COMMANDE")
    for name, text in (
        ("surveiller", "cherche ce qu'un client aurait supprimé, et gèle son dépôt"),
        ("verifier", "relit tous les blocs"),
        ("tourner", "clôt les trimestres passés, supprime ceux dont la conservation est finie"),
    ):
        commands.add_parser(name, help=text).add_argument("clients", nargs="*")
    commands.add_parser("etat", help="ce que le serveur sait de chaque dépôt, en JSON")
    for name, text in (
        ("revenir", "remet le dépôt d'un client à sa dernière transaction saine"),
        ("rouvrir", "laisse de nouveau entrer un client"),
        ("servir", "commande imposée à la clé d'un client"),
        ("lire", "commande imposée à une clé de restauration"),
    ):
        commands.add_parser(name, help=text).add_argument("client")
    one = commands.add_parser("ouvrir", help="laisse une clé lire un dépôt, pour un temps")
    one.add_argument("client")
    one.add_argument("--cle", required=True)
    one.add_argument("--minutes", type=int, default=120)
    commands.add_parser("fermer", help="retire une clé de restauration").add_argument("--cle", required=True)
    asked = parser.parse_args(arguments)
    try:
        settings = Settings.load(asked.config)
        if asked.commande in ("surveiller", "verifier", "tourner"):
            return _each(settings, asked.commande, asked.clients)
        if asked.commande == "etat":
            print(json.dumps([Depot(settings, name).report() for name in sorted(settings.clients)], indent=1))
        elif asked.commande == "servir":
            with _place(settings, f"servir {asked.client}"):
                return _serve(settings, asked.client)
        elif asked.commande == "lire":
            with _place(settings, f"lire {asked.client}"):
                return _read(settings, asked.client)
        elif asked.commande == "ouvrir":
            return _open(settings, asked.client, asked.cle, asked.minutes)
        elif asked.commande == "fermer":
            return _close(settings, asked.cle)
        elif asked.commande == "revenir":
            print(Depot(settings, asked.client).roll_back())
            metrics(settings)
        elif asked.commande == "rouvrir":
            Depot(settings, asked.client).reopen()
    except (DepotError, ConfigError, segments.SegmentError, OSError) as error:
        print(f"creatic-depots : {because(error)}", file=sys.stderr)
        return 1
    return 0
