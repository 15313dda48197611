"""Drive a real Chromium over its debugging pipe: no port is opened, no driver is needed."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAM = "/usr/bin/chromium"
SIZE = (1280, 800)  # pixels of the picture
FLAGS = (
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--lang=fr",
    f"--window-size={SIZE[0]},{SIZE[1]}",
)
_FIRST_FREE = 10  # Chromium takes descriptors 3 and 4: ours must not be those


class ChromiumError(Exception):
    """Chromium could not be started or driven; the message is French."""


class Timeout(ChromiumError):
    """Nothing came in the time allowed."""


@dataclass
class Visit:
    """What a visit gave.

    Attributes:
        error: Chromium's own code (``net::ERR_…``), empty when a page came.
        status: HTTP status of the page, 0 when there was none.
        text: what the page shows.
        picture: PNG, empty when none could be taken.
        waited: the browser was still waiting for somebody when time was up.
        seconds: from the request to the page.
    """

    error: str = ""
    status: int = 0
    text: str = ""
    picture: bytes = b""
    waited: bool = False
    seconds: float = 0.0


class Chromium:
    """One run of Chromium, on a profile folder of its own; ends with its context."""

    def __init__(self, visible: bool = False, program: str = PROGRAM):
        self.visible = visible
        self.program = program
        self._number = 0
        self._buffer = b""
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Chromium:
        self._folder = tempfile.TemporaryDirectory(prefix="preuve-navigateur-", ignore_cleanup_errors=True)
        ours_in, theirs_out = self._pipe()
        theirs_in, ours_out = self._pipe()
        profile = Path(self._folder.name, "profil")
        arguments = [self.program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        if not self.visible:
            arguments.insert(1, "--headless=new")
        self._log = Path(self._folder.name, "journal")
        try:
            self._process = os.posix_spawn(
                self.program,
                arguments,
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, str(self._log), os.O_WRONLY | os.O_CREAT, 0o600),
                    (os.POSIX_SPAWN_DUP2, theirs_in, 3),
                    (os.POSIX_SPAWN_DUP2, theirs_out, 4),
                ],
                setsid=True,
            )
        except OSError as error:
            self._folder.cleanup()
            raise ChromiumError(f"{self.program} ne démarre pas : {error.strerror}") from None
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._in, self._out = ours_in, ours_out
        return self

    @staticmethod
    def _pipe() -> tuple[int, int]:
        ends = os.pipe()
        high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for end in ends)
        for end in ends:
            os.close(end)
        return high[0], high[1]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._in)
        os.close(self._out)
        self._folder.cleanup()

    def _send(self, method: str, session: str = "", **parameters: Any) -> int:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        try:
            os.write(self._out, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise ChromiumError(self._why_it_died()) from None
        return self._number

    def _why_it_died(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        fatal = [line for line in lines if "FATAL" in line or "sandbox" in line.lower()]
        return f"Chromium s'est arrêté : {(fatal or lines or ['sans explication'])[-1].strip()}"

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._in], [], [], left)[0]:
                raise Timeout("Chromium n'a pas répondu à temps")
            data = os.read(self._in, 1 << 16)
            if not data:
                raise ChromiumError(self._why_it_died())
            self._buffer += data
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        return message

    def _call(self, deadline: float, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        number = self._send(method, session, **parameters)
        while True:
            message = self._receive(deadline)
            if message.get("id") == number:
                if "error" in message:
                    raise ChromiumError(f"Chromium refuse {method} : {message['error'].get('message')}")
                result: dict[str, Any] = message["result"]
                return result
            self._events.append(message)

    def _event(self, deadline: float, method: str) -> dict[str, Any]:
        while True:
            for event in self._events:
                if event.get("method") == method:
                    self._events.remove(event)
                    found: dict[str, Any] = event["params"]
                    return found
            self._events.append(self._receive(deadline))

    def _picture(self, session: str) -> bytes:
        try:
            shot = self._call(time.monotonic() + 15, "Page.captureScreenshot", session, format="png")
        except ChromiumError:
            return b""  # a page which waits for somebody has nothing to show
        return base64.b64decode(shot["data"])

    def visit(self, url: str, seconds: float) -> Visit:
        """Open a page and tell what came.

        Args:
            seconds: allowed from the start of Chromium to the page's end.

        Raises:
            ChromiumError: Chromium does not start or stops.
        """
        deadline = time.monotonic() + seconds
        targets = self._call(deadline, "Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        session = self._call(deadline, "Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self._call(deadline, "Page.enable", session)
        self._call(deadline, "Network.enable", session)
        width, height = SIZE
        self._call(
            deadline,
            "Emulation.setDeviceMetricsOverride",
            session,
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self._call(deadline, "Emulation.setScrollbarsHidden", session, hidden=True)
        visit = Visit()
        started = time.monotonic()
        try:
            visit.error = self._call(deadline, "Page.navigate", session, url=url).get("errorText", "")
            if not visit.error:
                self._event(deadline, "Page.loadEventFired")
                visit.status = self._status(url)
        except Timeout:
            visit.waited = True
            return visit
        visit.seconds = time.monotonic() - started
        script = "document.body ? document.body.innerText : ''"
        value = self._call(deadline, "Runtime.evaluate", session, expression=script, returnByValue=True)
        visit.text = str(value["result"].get("value") or "")
        visit.picture = self._picture(session)
        return visit

    def _status(self, url: str) -> int:
        """Return the HTTP status of the last document which came."""
        statuses = [
            int(event["params"]["response"]["status"])
            for event in self._events
            if event.get("method") == "Network.responseReceived" and event["params"].get("type") == "Document"
        ]
        return statuses[-1] if statuses else 0
