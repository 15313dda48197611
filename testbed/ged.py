"""The document store as agents of the communes see it: over TLS, by its pages and by its API."""

from __future__ import annotations

import http.client
import re
import secrets
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.applications.mayan_api import Mayan

from testbed.https import Server
from testbed.patience import wait_for

CHANGE = "/authentication/password/change/"
JSON = {"Accept": "application/json"}


@dataclass
class Store(Server):
    """The document store, and the passwords of its accounts."""

    _chosen: set[str] = field(default_factory=lambda: {"admin", "passerelle"}, repr=False)

    def password_file(self, login: str) -> Path:
        """Where the first password of an account is; then the one that was chosen, for the next tests."""
        folder = self.home / "secrets" / "ged"
        return folder / "admin" if login == "admin" else folder / "comptes" / login

    def password(self, login: str) -> str:
        """Password of an account."""
        return self.password_file(login).read_text(encoding="utf-8").strip()

    def forget(self, login: str) -> None:
        """Have the next visit of somebody be a first one."""
        self._chosen.discard(login)

    def choose(self, login: str) -> None:
        """Have somebody choose their password, at their first visit."""
        if login in self._chosen:
            return
        self._chosen.add(login)
        headers = self.browser(login)
        if self.ask("GET", "/home/", headers).headers.get("Location") != CHANGE:
            return
        page = self.ask("GET", CHANGE, headers)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.data.decode())
        assert token
        first, own = self.password(login), f"Choisi-{secrets.token_urlsafe(12)}"
        fields = {"csrfmiddlewaretoken": token[1], "old_password": first, "new_password1": own, "new_password2": own}
        more = {"Referer": f"https://{self.name}{CHANGE}"}
        done = self.ask("POST", CHANGE, headers | more, fields=fields, encode_multipart=False)
        assert done.status == 302, (login, re.findall(r"<li>(.*?)</li>", done.data.decode())[:5])
        self.password_file(login).write_text(f"{own}\n", encoding="utf-8")
        self._tokens.pop(login, None)  # it ended with the former one

    def api(self, login: str, method: str, path: str, **given: Any) -> Any:
        """One request of somebody's to the API."""
        self.choose(login)
        if login not in self._tokens:
            answer = self.ask(
                "POST",
                "/api/v4/auth/token/obtain/",
                JSON,
                fields={"username": login, "password": self.password(login)},
            )
            assert answer.status == 200, (login, answer.status)
            self._tokens[login] = answer.json()["token"]
        headers = JSON | {"Authorization": f"Token {self._tokens[login]}"}
        return self.ask(method, f"/api/v4{path}", headers, **given)

    def listed(self, login: str, path: str) -> list[dict[str, Any]]:
        """Objects of a list, for somebody."""
        answer = self.api(login, "GET", f"{path}{'&' if '?' in path else '?'}page_size=1000")
        assert answer.status == 200, (path, answer.status, answer.data[:300])
        found: list[dict[str, Any]] = answer.json()["results"]
        return found

    def deposit(self, login: str, kind: str, label: str, content: bytes) -> int:
        """Make a document of a type and wait until its file is kept; gives its number."""
        [number] = [one["id"] for one in self.listed("admin", "/document_types/") if one["label"] == kind]
        made = self.api(login, "POST", "/documents/", fields={"document_type_id": str(number), "label": label})
        assert made.status == 201, (made.status, made.data[:300])
        document = int(made.json()["id"])
        sent = self.api(
            login,
            "POST",
            f"/documents/{document}/files/",
            fields={"action_name": "replace", "file_new": (label, content, "application/pdf")},
        )
        assert sent.status == 202, (sent.status, sent.data[:300])
        files = f"/documents/{document}/files/"
        wait_for(
            lambda: any(one["size"] for one in self.listed(login, files)),
            f"la prise en charge du dépôt {document}",
            120,
            every=0.5,
        )
        return document

    def browser(self, login: str) -> dict[str, str]:
        """Headers of somebody's browser, once they are logged in by the page."""
        self.choose(login)
        page = self.ask("GET", "/authentication/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.data.decode())
        assert token
        cookie = page.headers["Set-Cookie"].partition(";")[0]
        fields = {"csrfmiddlewaretoken": token[1], "username": login, "password": self.password(login)}
        answer = self.ask(
            "POST",
            "/authentication/login/",
            {"Cookie": cookie, "Referer": f"https://{self.name}/"},
            fields=fields,
            encode_multipart=False,
        )
        assert answer.status == 302, (answer.status, re.findall(r"<li>(.*?)</li>", answer.data.decode())[:5])
        return {"Cookie": "; ".join(one.partition(";")[0] for one in answer.headers.getlist("Set-Cookie"))}

    def mayan(self) -> Mayan:
        """A session of the administrator, as mayan_config has one."""
        context = ssl.create_default_context(cafile=self.trust)

        class Connection(http.client.HTTPSConnection):
            def connect(inner) -> None:
                inner.sock = context.wrap_socket(
                    socket.create_connection((self.address, 443), timeout=120), server_hostname=self.name
                )

        session = Mayan(Connection(self.name), self.name)
        session.log_in("admin", self.password("admin"))
        return session
