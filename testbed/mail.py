"""A mail relay, for the time of a test."""

from __future__ import annotations

import contextlib
import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from email.message import EmailMessage


class _Relay(socketserver.StreamRequestHandler):
    """As little of SMTP as a client needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 essai\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 allez\r\n")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line)
                message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
                self.server.received.append(message)  # type: ignore[attr-defined] # a _Server
            self.wfile.write(b"221 fin\r\n" if verb == b"QUIT" else b"250 bien\r\n")
            if verb == b"QUIT":
                return


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    received: list[EmailMessage]


@contextlib.contextmanager
def relay(address: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[str, int, list[EmailMessage]]]:
    """A relay that listens, on a port that nobody has when none is asked: address, port, and what it received."""
    with _Server((address, port), _Relay) as server:
        server.received = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield address, server.server_address[1], server.received
        server.shutdown()
