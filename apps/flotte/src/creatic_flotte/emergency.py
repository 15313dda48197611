"""The emergency door: on an order signed for this machine and timed, a tunnel by which people reach its sshd.

The tunnel goes out to the door's server, on which one port of the loopback then leads here. Whoever comes through meets
this machine's sshd, its accounts and its records, as anybody who would reach it. An order that the door gives no more
is withdrawn: its tunnel ends with the next pass.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from creatic_flotte.manifest import CLOCKS, FORMAT, check_signature, moment
from creatic_flotte.settings import Failed, FleetError, Refused, Settings
from creatic_flotte.unpack import decrypt

KIND = "porte"
ACCOUNT, UNIT = "creatic-porte", "creatic-porte.service"
FOLDER = Path("/run/creatic-porte")
"""What the unit reads: gone with a reboot, laid again by the next pass."""
SERVER_ACCOUNT, SERVER_PORT = "porte", 2222
LONGEST = dt.timedelta(hours=25)
"""What an order may last; the control node gives 24 hours at most."""
_AGAIN = 15  # seconds between two tries
_FIELDS = {"format", "genre", "machine", "numero", "debut", "fin", "port", "hote", "cle"}
_NAME = "guichet"

Systemctl = Callable[[str, str], bool]


@dataclass(frozen=True)
class Order:
    """An order whose signature is good."""

    number: int
    start: dt.datetime
    end: dt.datetime
    port: int
    host_key: str
    sealed: bytes


def systemctl(verb: str, unit: str) -> bool:
    """Whether systemd did it."""
    return subprocess.run(["systemctl", verb, unit], capture_output=True, timeout=60, check=False).returncode == 0


def verify(settings: Settings, text: str, signature: str, now: dt.datetime) -> Order:
    """Read an order once its signature is known to be good.

    Raises:
        Refused: nobody who may signed it, it is not for this machine, or not for now.
    """
    try:
        check_signature(settings, text, signature)
        found = json.loads(text)
        if (
            not isinstance(found, dict)
            or found.keys() != _FIELDS
            or (found["format"], found["genre"]) != (FORMAT, KIND)
        ):
            raise ValueError
        order = Order(
            number=int(found["numero"]),
            start=moment(found["debut"]),
            end=moment(found["fin"]),
            port=int(found["port"]),
            host_key=str(found["hote"]),
            sealed=base64.b64decode(found["cle"], validate=True),
        )
        if not 1024 <= order.port <= 65535 or len(order.host_key.split()) != 2 or not order.host_key.isprintable():
            raise ValueError
    except Refused as error:
        raise Refused(f"porte de secours : {str(error).replace('manifeste', 'ordre')}") from None
    except (ValueError, KeyError, TypeError):
        raise Refused("porte de secours : ce qui est signé n'est pas un ordre d'ouverture") from None
    if found["machine"] != settings.machine:
        raise Refused(f"porte de secours : ordre de {str(found['machine'])[:80]!r}, et non de {settings.machine}")
    if order.start > now + CLOCKS:
        raise Refused("porte de secours : ordre à venir. À faire : remettez l'horloge de cette machine à l'heure")
    if not dt.timedelta() < order.end - order.start <= LONGEST:
        raise Refused("porte de secours : un ordre ne vaut pas plus de 24 heures")
    if order.end <= now:
        raise Refused("porte de secours : ordre expiré")
    return order


def follow(
    settings: Settings,
    given: tuple[str, str] | None,
    last: int,
    now: dt.datetime,
    folder: Path = FOLDER,
    account: str = ACCOUNT,
    does: Systemctl = systemctl,
) -> tuple[int, str]:
    """Open, keep or close the tunnel, as the door says; gives the number of the last order and what to say (French).

    Args:
        given: what the door gives: an order and its signature, or None.
        last: number of the last order that was followed here: an older one is not followed again.
        folder, account, does: what its unit reads, whom it runs as, and systemd.

    Raises:
        Refused: the order is none for this machine now; no tunnel stays open.
        Failed: the tunnel cannot be opened.
    """
    current = _number(folder)
    try:
        order = verify(settings, *given, now) if given else None
        if order and order.number < last:
            raise Refused(f"porte de secours : l'ordre n° {order.number} précède le n° {last}, déjà suivi")
    except Refused:
        _close(folder, does)
        raise
    if order is None:
        _close(folder, does)
        return last, f"porte de secours n° {current} fermée" if current else ""
    if order.number != current or not does("is-active", UNIT):
        _open(settings, order, folder, account)
        if not does("restart", UNIT):
            raise Failed(f"porte de secours : {UNIT} ne démarre pas, redéployez cette machine")
    return order.number, f"porte de secours n° {order.number} ouverte jusqu'au {order.end:%d/%m/%Y à %H:%M} (UTC)"


def tunnel(folder: Path = FOLDER, ssh: Sequence[str] = ("ssh",)) -> int:
    """Hold the tunnel open until its order ends: what unit creatic-porte.service does. Gives its exit status."""
    try:
        known = json.loads((folder / "ordre.json").read_text(encoding="utf-8"))
        end, port, server = moment(known["fin"]), int(known["port"]), str(known["serveur"])
    except (OSError, ValueError, KeyError, TypeError):
        raise FleetError("aucun ordre d'ouvrir la porte de secours de cette machine") from None
    options = ["BatchMode=yes", "ExitOnForwardFailure=yes", "ServerAliveInterval=15", "ServerAliveCountMax=3",
               "ConnectTimeout=20", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes", f"HostKeyAlias={_NAME}",
               f"UserKnownHostsFile={folder / 'connu'}", "GlobalKnownHostsFile=/dev/null"]  # fmt: skip # by line
    command = [*ssh, "-N", "-F", "none", "-i", str(folder / "cle"), "-p", str(known.get("porte", SERVER_PORT))]
    command += [word for option in options for word in ("-o", option)]
    command += ["-R", f"127.0.0.1:{port}:127.0.0.1:22", f"{SERVER_ACCOUNT}@{server}"]
    until = time.monotonic() + (end - dt.datetime.now(dt.UTC)).total_seconds()
    while (left := until - time.monotonic()) > 0:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(left)
        if process.poll() is None:
            process.terminate()
            process.wait()
        time.sleep(min(_AGAIN, max(0, until - time.monotonic())))
    return 0


def _number(folder: Path) -> int:
    """Number of the order whose tunnel is open, or was; 0 for none."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads((folder / "ordre.json").read_text(encoding="utf-8"))["numero"])
    return 0


def _open(settings: Settings, order: Order, folder: Path, account: str) -> None:
    """Lay down what the unit reads, whole or not at all, for its account alone."""
    with tempfile.TemporaryDirectory(prefix="porte-") as place:
        sealed, opened = Path(place, "cle.p7m"), Path(place, "cle")
        sealed.write_bytes(order.sealed)
        try:
            decrypt(settings, sealed, opened)
        except Refused:
            raise Refused("porte de secours : l'ordre ne s'ouvre avec aucune clé de cette machine") from None
        private = opened.read_bytes()
    said = {
        "numero": order.number,
        "fin": order.end.isoformat(),
        "port": order.port,
        "serveur": urlsplit(settings.door).hostname,
    }
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    files = {"cle": private, "connu": f"{_NAME} {order.host_key}\n".encode(), "ordre.json": json.dumps(said).encode()}
    for name, content in files.items():
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as stream:
            stream.write(content)
    for path in (*folder.iterdir(), folder):
        shutil.chown(path, account, account)


def _close(folder: Path, does: Systemctl) -> None:
    if folder.exists():
        does("stop", UNIT)
        shutil.rmtree(folder, ignore_errors=True)
