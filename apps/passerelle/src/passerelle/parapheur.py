"""The parapheur, as its account `passerelle` sees it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from creatic_agent.act import SERVERS, Act, File

from .errors import Refused
from .http import Server, eliminated

_DOSSIERS = "/api/v4/creatic/dossiers/"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Parapheur:
    """Deposits, states and signed files. Every call may be made again."""

    def __init__(self, server: Server, login: str, password: str) -> None:
        self._server, self._login, self._password = server, login, password

    def _ready(self) -> Server:
        self._server.log_in(self._login, self._password)
        return self._server

    def deposit(self, act: Act, file: Path, annexes: Sequence[tuple[str, Path]] = ()) -> int:
        """Put an act in its circuit with its annexes (name, file), or find it there; gives its number there."""
        fields = act.named(SERVERS, "commune", "circuit", "reference", "subject", "number", "date")
        with ExitStack() as opened:
            document = opened.enter_context(file.open("rb"))
            files = [("fichier", (f"{act.number}.pdf", document, "application/pdf"))]
            for name, path in annexes:
                files.append(("annexe", (name, opened.enter_context(path.open("rb")), "application/octet-stream")))
            made = self._ready().json("POST", _DOSSIERS, data=fields, files=files)
        return int(made["id"])

    def listed(self, state: str) -> list[dict[str, Any]]:
        """The dossiers of a state, all of them: page after page."""
        found: dict[int, dict[str, Any]] = {}
        after = 0
        while True:
            path = f"{_DOSSIERS}?etat={quote(state)}&apres={after}"
            page, more = self._ready().page(path)
            found |= {int(one["id"]): one for one in page if str(one.get("id", "")).isdecimal()}
            last = max(found, default=0)
            if not more or last <= after:
                return list(found.values())
            after = last

    def state(self, reference: str) -> dict[str, Any] | None:
        """One dossier."""
        found = self._ready().results(f"{_DOSSIERS}?reference={quote(reference, safe='')}")
        return next((one for one in found if one.get("reference") == reference), None)

    def fetch(self, number: int, target: BinaryIO) -> str:
        """Write the last file, as it is; gives its SHA-256."""
        return self._ready().fetch(f"{_DOSSIERS}{number}/fichier/", target)

    def pieces(self, number: int) -> list[File]:
        """What goes to the préfecture with a contract. Raises Refused."""
        found = self._ready().results(f"{_DOSSIERS}{number}/pieces/")
        told = [
            File(Path(str(one.get("nom"))).name, str(one.get("sha256")), piece=one.get("id"))
            for one in found
            if one.get("transmis") is True
        ]
        if not all(isinstance(one.piece, int) and _SHA256.fullmatch(one.sha256) for one in told):
            raise Refused(f"le parapheur annonce mal les pièces du dossier {number}.")
        return told

    def fetch_piece(self, number: int, piece: int, target: BinaryIO) -> str:
        """Write one of them; gives its SHA-256."""
        return self._ready().fetch(f"{_DOSSIERS}{number}/pieces/{piece}/", target)

    def history(self, number: int) -> dict[str, Any]:
        """What was done in a dossier, by whom; nothing from an older parapheur, which does not give it."""
        try:
            found = self._ready().json("GET", f"{_DOSSIERS}{number}/historique/")
        except Refused:
            return {}
        return found if isinstance(found, dict) else {}

    def tell(self, number: int, state: str, reason: str = "") -> None:
        """Say how the télétransmission went."""
        body = {"etat": state} | ({"motif": reason} if reason else {})
        self._ready().json("POST", f"{_DOSSIERS}{number}/etat/", json=body)

    def eliminate(self, asked: dict[str, Any]) -> int:
        """Delete the dossier of an act that the archive eliminated, with its history; gives how many there were."""
        return eliminated(self._ready().json("POST", "/api/v4/creatic/eliminations/", json=asked))
