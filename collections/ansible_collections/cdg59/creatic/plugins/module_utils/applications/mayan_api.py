# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The REST API of Mayan EDMS, by its unix socket on its own host."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.applications.exchange import send_request
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

_ROOT = "/api/v4"
_MAYAN_PAGE_SIZE = 1000


class MayanError(CreaticError, cause="mayan"):
    """The application cannot be asked, or refuses; the message is French."""


class Mayan:
    """A session of one account.

    Args:
        connection: to the application.
        server_name: name by which it is known to browsers.
    """

    def __init__(self, connection: http.client.HTTPConnection, server_name: str) -> None:
        self._connection = connection
        self._headers = {"Host": server_name, "X-Forwarded-Proto": "https", "Accept": "application/json"}
        self.calls = 0

    def log_in(self, username: str, password: str) -> None:
        """Open the session.

        Raises:
            MayanError: the account is refused, or the application does not answer.
        """
        found = self.post("/auth/token/obtain/", {"username": username, "password": password})
        self._headers["Authorization"] = f"Token {found['token']}"

    def get(self, path: str) -> list[dict[str, Any]]:
        """Give all the objects of a list."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            answer = self._send_request("GET", f"{path}?page_size={_MAYAN_PAGE_SIZE}&page={page}")
            found += answer["results"]
            if not answer.get("next"):
                return found
            page += 1

    def get_one(self, path: str) -> dict[str, Any]:
        """Give one object."""
        found: dict[str, Any] = self._send_request("GET", path)
        return found

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object; gives it."""
        made: dict[str, Any] = self._send_request("POST", path, body)
        return made

    def patch(self, path: str, body: Mapping[str, Any]) -> None:
        """Change fields of an object."""
        self._send_request("PATCH", path, body)

    def delete(self, path: str) -> None:
        """Remove an object."""
        self._send_request("DELETE", path)

    def _send_request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        for attempt in range(5):
            try:
                status, content = send_request(self._connection, method, _ROOT + path, self._headers, body)
            except OSError as error:
                self._connection.close()  # the server may have ended an idle connection: it is opened again
                if attempt == 4 or (method == "POST" and not isinstance(error, ConnectionRefusedError)):
                    raise MayanError(
                        f"l'application ne répond pas ({error}). À faire : journalctl -u mayan sur sa machine"
                    ) from None
                time.sleep(attempt)
                continue
            self.calls += 1
            if status == http.client.TOO_MANY_REQUESTS:
                time.sleep(1)
                continue
            if status >= 300:
                said = content.decode(errors="replace")[:300]
                raise MayanError(f"l'application refuse {method} {path} ({status}) : {said}")
            return json.loads(content) if content else {}
        raise MayanError(f"l'application demande sans cesse d'attendre ({method} {path})")
