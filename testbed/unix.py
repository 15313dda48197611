"""Services on a unix socket, in a thread of who asks them."""

from __future__ import annotations

import socket
import threading
from abc import ABC, abstractmethod
from pathlib import Path


class UnixService(ABC):
    """Answers one visitor after the other, until its socket is closed."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    @abstractmethod
    def _answer(self, link: socket.socket) -> None:
        """Hear a visitor, and answer."""

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            with link:
                self._answer(link)
