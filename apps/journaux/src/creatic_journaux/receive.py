# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Takes what machines send over TLS (syslog, RFC 5425, a line for each message), and files it by who sent it.

Who sends is what its certificate says, whatever its lines claim: rsyslog's own receiver can let a name in or not, and
cannot tell which of them a line came from (rsyslog issue 1597). A certificate is one of a machine if it bears one DNS
name and no organisational unit (`creatic_agent.identity`); persons' and services' have theirs. Revocation lists are
read again when they change, and nobody stays connected for longer than an hour, so that a revoked machine is out by
then.

Layout: ``recu/AAAA-MM-JJ/MACHINE.log``, days in UTC, each line after the moment when it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from cryptography import x509

from creatic_agent import durable, harmless
from creatic_agent.figures import Figures, labels
from creatic_agent.identity import Kind, identity_of
from creatic_agent.reasons import because, reason

PORT = 6514
LONGEST_LINE = 64 << 10
"""Bytes; a longer line is cut: nobody fills the memory with one that has no end."""
HANDSHAKES = 512
"""At once: who has no certificate holds no more than these, for `HANDSHAKE_S`; one address, a fourth of those that are
left, so that it takes seats from nobody else."""
HANDSHAKE_S = 20
CONNECTIONS_EACH = 4
"""Of one machine; the oldest is asked to go when another comes, as its router forgot it; as many more may be going."""
AGE_S = 3600
DRAIN_S = 3
RETRY_S = 20
TICK_S = 600
SILENT_S = 43_200
"""A machine that sent nothing for that long has a figure, which the rules judge."""
MOST_FIGURES = 200
FORGOTTEN_S = 90 * 86_400
# What would move a reader's terminal, of one byte; the tab stays.
_PLAIN = bytes(byte if (byte >= 32 and byte != 127) or byte == 9 else 63 for byte in range(256))


def plain(line: bytes | bytearray) -> bytes:
    """A line as it is kept: nothing of it moves a terminal, or turns the direction of writing."""
    found = bytes(line.translate(_PLAIN))
    return found if found.isascii() else harmless.text(found.decode("utf-8", "replace")).encode()


def name_of(certificate: bytes) -> str:
    """The machine that a certificate (DER) is of; empty for one that is of no machine."""
    try:
        who = identity_of(x509.load_der_x509_certificate(certificate))
    except (ValueError, x509.InvalidVersion):
        return ""
    return who.name if who.kind is Kind.HOST else ""


def place_of(address: str) -> str:
    """Who is counted together before anybody knows who it is: an address, or the site of one of IPv6 (RFC 6177)."""
    known = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(known, ipaddress.IPv6Address) and not known.ipv4_mapped:
        return str(ipaddress.ip_network((known, 56), strict=False))
    return str(getattr(known, "ipv4_mapped", None) or known)


class Trust:
    """The TLS settings, read again when a file of theirs changed.

    Args:
        certificate: folder of this machine's certificate.
        pki: where authorities and revocation lists are.
    """

    def __init__(self, certificate: Path, pki: Path) -> None:
        self._chain, self._key = certificate / "fullchain.pem", certificate / "key.pem"
        self._trusted = [pki / "ca.pem", pki / "crl.pem"]
        self._seen: list[tuple[int, int]] = []
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """The settings of now; those of before when a file is half-written or lacks.

        Raises:
            OSError, ssl.SSLError: the very first cannot be read.
        """
        try:
            seen = [(one.stat().st_mtime_ns, one.stat().st_ino) for one in (self._chain, self._key, *self._trusted)]
            if self._context is None or seen != self._seen:
                self._context, self._seen = self._made(), seen
        except (OSError, ssl.SSLError) as error:
            if self._context is None:
                raise
            tell(f"certificat, autorités ou listes illisibles, ceux d'avant restent : {because(error)}")
        return self._context

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0  # each connection shows its certificate again
        context.load_cert_chain(self._chain, self._key)
        for one in self._trusted:
            context.load_verify_locations(one)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN  # else the chain is not checked whole against lists
        return context


class Files:
    """Where lines are written: a file a machine and day.

    Args:
        folder: ``recu``.
        most: bytes of one machine in a day; what comes beyond is not kept, and is counted.
        now: seconds since the epoch.
    """

    def __init__(self, folder: Path, most: int, now: Callable[[], float] = time.time) -> None:
        self._folder, self._most, self._now = folder, most, now
        self._open: dict[str, tuple[str, int, int]] = {}  # by machine: day, descriptor, bytes
        self._read: dict[str, tuple[str, int]] = {}  # by machine: day, bytes that came, empty lines included
        self.last: dict[str, float] = {}
        self.lost: dict[str, int] = {}

    def write(self, name: str, lines: bytearray) -> None:
        """Write whole lines, and take away from `lines` what is written.

        Raises:
            OSError: the disk is full, or fails; what is left in `lines` is not written.
        """
        moment, day = self._now(), self._today()
        known, handle, size = self._open.get(name, ("", -1, 0))
        if known != day:
            self.close(name)
            handle, size = self._opened(day, name)
        self.last[name] = moment
        while lines and size < self._most:
            done = os.write(handle, lines)
            size += done
            self._open[name] = (day, handle, size)
            del lines[:done]
        if lines:
            self._lose(name, len(lines))
            lines.clear()

    def refuses(self, name: str, size: int) -> bool:
        """Whether a machine has had its share of the day: what it sends is then counted, and not read.

        Args:
            size: bytes of what it sends.
        """
        today = self._today()
        day, _handle, there = self._open.get(name, ("", -1, 0))
        known, came = self._read.get(name, (today, 0))
        came = came if known == today else 0
        if came < self._most and (there < self._most or day != today):
            self._read[name] = (today, came + size)
            return False
        self.last[name] = self._now()
        self._lose(name, size)
        return True

    def _lose(self, name: str, size: int) -> None:
        if name not in self.lost:
            tell(f"{name} : plus de {self._most >> 20} Mo ce jour ; la suite n'est pas gardée")
        self.lost[name] = self.lost.get(name, 0) + size

    def _today(self) -> str:
        return dt.datetime.fromtimestamp(self._now(), dt.UTC).date().isoformat()

    def _opened(self, day: str, name: str) -> tuple[int, int]:
        (self._folder / day).mkdir(mode=0o750, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self._folder / day / f"{name}.log", flags, 0o640)
        self._open[name] = (day, handle, os.fstat(handle).st_size)
        self.lost.pop(name, None)
        return handle, self._open[name][2]

    def close(self, name: str) -> None:
        """Close the file of a machine, its content on disk."""
        day, handle, _size = self._open.pop(name, ("", -1, 0))
        if handle >= 0:
            with contextlib.suppress(OSError):  # a failing disk: what could be written is
                durable.sync_file(self._folder / day / f"{name}.log")
            os.close(handle)

    def close_old(self) -> None:
        """Close the files of days that are over, so that they can be sealed."""
        today = self._today()
        for name in [name for name, (day, _handle, _size) in self._open.items() if day != today]:
            self.close(name)

    def close_all(self) -> None:
        """Close every file."""
        for name in list(self._open):
            self.close(name)


class Sender(asyncio.Protocol):
    """A connection; see the module."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._received, self._whole = bytearray(), bytearray()
        self._timers: list[asyncio.TimerHandle] = []
        self._leaves = False
        self.name = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.name = name_of(self._transport.get_extra_info("ssl_object").getpeercert(binary_form=True) or b"")
        if not self.name:
            told = self._transport.get_extra_info("peercert") or {}
            subject = ", ".join(value for part in told.get("subject", ()) for _key, value in part)
            tell(f"refusé, « {subject[:80]} » n'est pas une machine : {transport.get_extra_info('peername')[0]}")
            self._transport.abort()
            return
        self._collector.came(self)
        self._later(AGE_S, self.leave)

    def data_received(self, data: bytes) -> None:
        if not self.name:
            return
        if self._collector.files.refuses(self.name, len(data)):  # to read it would be time that others wait for
            self._received.clear()
            return
        self._received += data
        end = self._received.rfind(b"\n") + 1
        if end:
            self._take(self._received[:end])
            del self._received[:end]
        if len(self._received) > LONGEST_LINE:
            self._take(self._received + b"\n")
            self._received.clear()
        self._flush()

    def _take(self, text: bytearray) -> None:
        at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()
        for line in text.split(b"\n"):
            if whole := line.rstrip(b"\r\0"):
                self._whole += at + b" " + plain(whole) + b"\n"

    def _flush(self) -> None:
        try:
            self._collector.files.write(self.name, self._whole)
        except OSError as error:
            # Reading no more is how the sender knows that it must keep its own.
            tell(f"{self.name} : écriture impossible, essayée de nouveau dans {RETRY_S} s : {reason(error)}")
            self._transport.pause_reading()
            self._later(RETRY_S, self._again)

    def _again(self) -> None:
        self._flush()
        if not self._whole and not self._transport.is_closing():
            self._transport.resume_reading()

    def leave(self) -> None:
        """Have the sender connect again: it is told by the end of our side, and what it had sent is still read."""
        if self._leaves or self._transport.is_closing():
            return
        self._leaves = True
        with contextlib.suppress(OSError):  # it left meanwhile
            self._transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        self._later(DRAIN_S, self.end)

    def end(self) -> None:
        """Cut it: what it had not sent yet, its sender keeps, or loses."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        if self.name:
            if self._received:
                self._take(self._received + b"\n")
            with contextlib.suppress(OSError):  # told by the flush that failed before
                self._collector.files.write(self.name, self._whole)
            self._collector.left(self)

    def _later(self, seconds: float, work: Callable[[], object]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, work))


class Collector:
    """What listens.

    Args:
        folder: of its state; ``recu`` is in it.
        trust: TLS settings.
        most: bytes of one machine in a day.
        expected: file of the machines that ought to send (see `expected_of`).
        metrics: file of its figures.
    """

    def __init__(self, folder: Path, trust: Trust, most: int, expected: Path, metrics: Path) -> None:
        self.files = Files(folder / "recu", most)
        self._state, self._trust, self._expected, self._metrics = folder / "vus.json", trust, expected, metrics
        self._senders: dict[str, list[Sender]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._greeted: Counter[str] = Counter()  # handshakes under way, by place
        self._crowded: set[str] = set()  # places that were told since the last tick
        (folder / "recu").mkdir(mode=0o750, exist_ok=True)
        self._seen = seen_of(self._state)

    def came(self, sender: Sender) -> None:
        """A machine is connected."""
        held = self._senders.setdefault(sender.name, [])
        held.append(sender)
        if len(held) > 2 * CONNECTIONS_EACH:
            held.pop(0).end()  # at once, whatever it sends: no machine holds more than its own
        for old in held[:-CONNECTIONS_EACH]:
            old.leave()

    def left(self, sender: Sender) -> None:
        """A machine left."""
        held = self._senders.get(sender.name, [])
        if sender in held:  # else it was cut
            held.remove(sender)
        if not held:
            self._senders.pop(sender.name, None)

    async def serve(self, listening: socket.socket) -> None:
        """Take what comes until SIGTERM; then read what was already sent, and end.

        Args:
            listening: a socket that listens.
        """
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, over.set)
        listening.setblocking(False)
        self._trust.context()
        works = [asyncio.create_task(self._accept(listening)), asyncio.create_task(self._tick())]
        waits = asyncio.create_task(over.wait())
        await asyncio.wait([waits, *works], return_when=asyncio.FIRST_COMPLETED)
        listening.close()
        for work in works:
            work.cancel()
        for sender in [one for held in self._senders.values() for one in held]:
            sender.leave()
        deadline = loop.time() + DRAIN_S + 1
        while self._senders and loop.time() < deadline:
            await asyncio.sleep(0.05)
        self.files.close_all()
        self.note(time.time())
        for work in works:
            if work.done() and not work.cancelled() and (error := work.exception()):
                raise error

    async def _accept(self, listening: socket.socket) -> None:
        loop, turns = asyncio.get_running_loop(), asyncio.Semaphore(HANDSHAKES)
        while True:
            await turns.acquire()
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:  # too many files: those that leave make room
                tell(f"connexion impossible : {reason(error)}")
                turns.release()
                await asyncio.sleep(1)
                continue
            place = place_of(address[0])
            if self._greeted[place] >= max(1, (HANDSHAKES - self._greeted.total()) // 4):
                if place not in self._crowded:
                    tell(f"refusé, {place} : trop de connexions qui ne disent pas qui elles sont")
                self._crowded.add(place)
                connection.close()
                turns.release()
                await asyncio.sleep(0)  # others go on, however fast it comes back
                continue
            self._greeted[place] += 1
            task = asyncio.create_task(self._greet(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(partial(self._met, place))
            task.add_done_callback(lambda _done: turns.release())

    def _met(self, place: str, _done: object) -> None:
        self._greeted[place] -= 1
        if not self._greeted[place]:
            del self._greeted[place]

    async def _greet(self, connection: socket.socket) -> None:
        address = "?"
        try:
            address = connection.getpeername()[0]
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Sender(self), connection, ssl=self._trust.context(), ssl_handshake_timeout=HANDSHAKE_S
            )
        except (OSError, ssl.SSLError) as error:
            why = getattr(error, "verify_message", "") or getattr(error, "reason", "")
            why = why or (reason(error) if error.args else "partie avant TLS")
            tell(f"refusé, {address} : {why}")
            connection.close()

    async def _tick(self) -> None:
        while True:
            self.files.close_old()
            self.note(time.time())
            self._crowded.clear()
            await asyncio.sleep(TICK_S)

    def note(self, now: float) -> None:
        """Leave who sent when, and the figures.

        Args:
            now: seconds since the epoch.
        """
        expected = expected_of(self._expected)
        self._seen = noted(self._seen, self.files.last, expected, now)
        try:
            durable.write(self._state, json.dumps(self._seen).encode())
            durable.write(self._metrics, figures(self._seen, expected, self.files.lost, now).encode(), 0o644)
        except OSError as error:  # the figures grow old, which the rules tell
            tell(f"mesures pas écrites : {reason(error)}")


def seen_of(file: Path) -> dict[str, float]:
    """When each machine sent last, as a file tells; nothing for a file that is not there, or cut short."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): float(moment) for name, moment in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def expected_of(file: Path) -> dict[str, dict[str, str]]:
    """Machines that ought to send, by the name of their certificate, with the labels of their figure."""
    try:
        found: dict[str, dict[str, str]] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def noted(
    seen: Mapping[str, float], last: Mapping[str, float], expected: Mapping[str, Any], now: float
) -> dict[str, float]:
    """When each machine sent last; one that never did is counted from when it was expected first.

    Args:
        seen: what was known before.
        last: since this program runs.
        expected: see `expected_of`.
        now: seconds since the epoch.
    """
    known = dict.fromkeys(expected, now) | dict(seen) | dict(last)
    # No later than now: what a clock that was ahead noted would hide a silence until its hour.
    return {name: min(moment, now) for name, moment in known.items() if name in expected or now - moment < FORGOTTEN_S}


def figures(
    seen: Mapping[str, float], expected: Mapping[str, Mapping[str, str]], lost: Mapping[str, int], now: float
) -> str:
    """Figures in Prometheus' text format; machines that are silent, and those that send too much, alone have theirs."""
    made = Figures("journaux_")
    made.add("tour_timestamp_seconds", "Last time that the collector of journals looked at itself.", round(now))
    silent = sorted((moment, name) for name, moment in seen.items() if name in expected and now - moment > SILENT_S)
    samples = {labels(emetteur=name, **expected[name]): round(moment) for moment, name in silent[:MOST_FIGURES]}
    made.add("silence_timestamp_seconds", "Last line of a machine that sends nothing.", samples)
    too_much = dict(sorted(lost.items())[:MOST_FIGURES])
    made.add(
        "hors_quota_bytes",
        "What a machine sent beyond its share of the day, and was not kept.",
        {labels(emetteur=name, **expected.get(name, {})): size for name, size in too_much.items()},
    )
    return str(made)


def tell(text: str) -> None:
    """Say something to the journal of this machine."""
    print(harmless.line(text), file=sys.stderr, flush=True)


def listen(address: str, port: int) -> socket.socket:
    """A socket that listens, of both IPv4 and IPv6 when the address is none in particular."""
    if address:
        return socket.create_server((address, port), backlog=1024)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True)
    return socket.create_server(("", port), backlog=1024)
