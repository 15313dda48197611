"""The deliberations' server, as its account `passerelle` sees it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, BinaryIO

from creatic_agent.act import Act

from .http import Body, Server

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Deliberations:
    """What was adopted, and what became of it. Every call may be made again."""

    def __init__(self, server: Server, login: str, password: str) -> None:
        self._server = server
        server.session.auth = (login, password)

    def adopted(self) -> list[dict[str, Any]]:
        """Adopted and not yet handed on."""
        return self._server.results("/@adoptees")

    def fetch(self, url: str, target: BinaryIO, limit: int | None = None) -> str:
        """Write a document, of so many bytes at most; gives its SHA-256."""
        return self._server.fetch(url, target, limit)

    def convocations(self) -> list[dict[str, Any]]:
        """Convocations that are to leave by mail."""
        return self._server.results("/@convocations")

    def tell_convocation(self, uid: str, version: int, receipts: list[dict[str, Any]]) -> None:
        """Say what became of the mails of a convocation."""
        self._server.json("POST", "/@convocations", json={"uid": uid, "version": version, "recus": receipts})

    def council(self) -> dict[str, Any]:
        """Have the lists whose day has come put on line; gives what is late in the councils."""
        found = self._server.json("POST", "/@conseil", json={})
        return found if isinstance(found, dict) else {}

    def publications(self, uids: list[str]) -> dict[str, dict[str, Any]]:
        """Of these acts, those that were published: `le`, `mode`, `en_ligne`, and `retire_le` of what was taken off."""
        found = self._server.json("POST", "/@publications", json={"uids": uids})["results"]
        return {one["uid"]: one for one in found}

    def meetings(self, uids: list[str]) -> dict[str, dict[str, Any]]:
        """Of these acts, those whose meeting has its procès-verbal settled: its papers, each with its address."""
        found = self._server.json("POST", "/@seances", json={"uids": uids})["results"]
        return {one["uid"]: one for one in found}

    def tell(self, uid: str, told: dict[str, Any], document: Path | None = None) -> None:
        """Say where an act is; `document` is what is published."""
        body = {"uid": uid, **told}
        if document is None:
            self._server.json("POST", "/@suivi", json=body)
            return
        start = json.dumps(body | {"sha256": document.name})[:-1].encode()
        with document.open("rb") as stream:
            whole = Body([start, b', "document": "', stream, b'"}'], in_base64=True)
            self._server.json("POST", "/@suivi", data=whole, headers={"Content-Type": "application/json"})


def problem(item: dict[str, Any]) -> str:
    """What is wrong with an adopted act as it is announced, or ""."""
    told = {name: value for name, value in item.items() if name not in ("document", "annexes", "budget")}
    if wrong := Act.from_wire(told).problem("uid", "reference", "commune"):
        return wrong
    for document in [item.get("document"), *(item.get("annexes") or []), *filter(None, [item.get("budget")])]:
        if not isinstance(document, dict) or not _DIGEST.fullmatch(str(document.get("sha256"))):
            return "un document est annoncé sans son empreinte (sha256)."
        if not isinstance(document.get("url"), str):
            return "un document est annoncé sans son adresse (url)."
    return ""
