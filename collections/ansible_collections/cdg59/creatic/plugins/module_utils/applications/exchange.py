# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How a module asks an application on its own host: by its unix socket or its site, in JSON, with Python alone."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any


class UnixConnection(http.client.HTTPConnection):
    """Speaks HTTP on a unix socket."""

    def __init__(self, path: str, timeout: float = 120) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def basic(login: str, password: str) -> dict[str, str]:
    """The header by which an account makes itself known."""
    return {"Authorization": f"Basic {base64.b64encode(f'{login}:{password}'.encode()).decode()}"}


def opened(
    connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str], body: Any = None
) -> http.client.HTTPResponse:
    """The answer to a request, which is to be read to its end before the next one.

    Args:
        body: sent as JSON, unless it is None.

    Raises:
        OSError: the server does not answer, or answers something else than HTTP.
    """
    data = None if body is None else json.dumps(body).encode()
    sent = {**headers} if data is None else {**headers, "Content-Type": "application/json"}
    try:
        connection.request(method, path, data, sent)
        return connection.getresponse()
    except http.client.HTTPException as error:
        raise error if isinstance(error, OSError) else OSError(str(error)) from error


def send_request(
    connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str], body: Any = None
) -> tuple[int, bytes]:
    """Status and content of the answer to a request; see `opened`."""
    answer = opened(connection, method, path, headers, body)
    try:
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
