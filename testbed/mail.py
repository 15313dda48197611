"""A mail relay, for the time of a test."""

from __future__ import annotations

import contextlib
import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator, Mapping
from email.message import EmailMessage


class _Relay(socketserver.StreamRequestHandler):
    """As little of SMTP as a client needs."""

    def handle(self) -> None:
        answers = self.server.answers  # type: ignore[attr-defined] # a _Server
        self.wfile.write(b"220 essai\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper().strip().decode()
            if verb == "DATA" and "DATA" not in answers:
                self.wfile.write(b"354 allez\r\n")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
                message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
                verb = "."
                if answers.get(verb, b"2")[:1] in (b"2", b""):
                    self.server.received.append(message)  # type: ignore[attr-defined] # a _Server
            said = answers.get(verb, b"221 fin" if verb == "QUIT" else b"250 bien")
            if not said:
                return
            self.wfile.write(said + b"\r\n")
            if verb == "QUIT":
                return


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    received: list[EmailMessage]
    answers: Mapping[str, bytes]


@contextlib.contextmanager
def relay(
    address: str = "127.0.0.1", port: int = 0, answers: Mapping[str, bytes] | None = None
) -> Iterator[tuple[str, int, list[EmailMessage]]]:
    """A relay that listens, on a port that nobody has when none is asked: address, port, and what it received.

    `answers` are what it says to a verb in place of « 250 bien » (`.` is the end of a message); nothing: it hangs up.
    """
    with _Server((address, port), _Relay) as server:
        server.received, server.answers = [], answers or {}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield address, server.server_address[1], server.received
        server.shutdown()
