"""The document store (Mayan EDMS), where acts and their ARActe are filed, once.

Mayan has no key to make a deposit idempotent: each document bears its mark (reference and rank) in its description, and
is looked for by it before one is made. A file that was sent is there a moment later, so what was sent is noted first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import Commune
from .errors import Away, Refused
from .http import Server, eliminated

_API = "/api/v4"
_SEARCH = f"{_API}/search/advanced/documents.documentsearchresult/"
_PATIENCE = 20.0  # seconds a file that was sent is waited for, each time
_LOST = 180.0  # seconds after which a file sent without an answer is sent again


@dataclass(frozen=True)
class Piece:
    """A file to file."""

    mark: str  # kept in its description
    word: str  # of the mark, by which it is looked for
    label: str
    path: Path
    filename: str
    media_type: str


class Ged:
    """Filing. Raises Away, Trouble, Refused.

    Args:
        server: the document store.
        on_step: hears the name of each step.
    """

    def __init__(self, server: Server, login: str, password: str, on_step: Callable[[str], None] = lambda _: None):
        self._server, self._login, self._password, self._step = server, login, password, on_step

    def _call(self, method: str, path: str, **given: Any) -> Any:
        self._server.log_in(self._login, self._password)
        return self._server.json(method, f"{_API}{path}", **given)

    def _listed(self, path: str) -> list[dict[str, Any]]:
        self._server.log_in(self._login, self._password)
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            url = path if path.startswith(_API) else f"{_API}{path}"
            answer = self._server.json("GET", f"{url}{'&' if '?' in url else '?'}page_size=1000&page={page}")
            found += answer["results"]
            if not answer.get("next"):
                return found
            page += 1

    def file(
        self,
        commune: Commune,
        kind: str,
        cabinet: tuple[str, ...],
        piece: Piece,
        metadata: dict[str, str],
        sent: dict[str, Any],
        note: Callable[[], object],
    ) -> int:
        """File a piece, or find it filed; gives the document's number.

        Args:
            commune: whose it is.
            kind: label of the type, without the commune.
            cabinet: path of the folder below the commune's.
            piece: what is filed.
            metadata: values by name.
            sent: what was sent of this piece, changed here.
            note: keeps `sent` before what follows.
        """
        key = f" [{commune.siren}]"  # with which the labels of what is its own end
        document = self._document(commune.name, f"{commune.name} - {kind}{key}", piece)
        self._upload(document, piece, sent, note)
        self._describe(document, metadata)
        self._step("ged: décrit")
        folder = self._cabinet((commune.name + key, *cabinet))
        self._call("POST", f"/cabinets/{folder}/documents/add/", json={"document": document})
        self._step("ged: classé")
        return document

    def eliminate(self, asked: dict[str, Any]) -> int:
        """Delete the documents of an act that the archive eliminated, and no other; gives how many."""
        return eliminated(self._call("POST", "/creatic/eliminations/", json=asked))

    def _document(self, commune: str, kind: str, piece: Piece) -> int:
        listed = self._listed(f"{_SEARCH}?description={piece.word}")
        found = sorted(int(one["id"]) for one in listed if one["description"] == piece.mark)
        if len(found) > 1:
            raise Refused(f"la GED a {len(found)} documents « {piece.label} » : supprimez-en (nos {found[1:]}).")
        if found:
            return found[0]
        types = [one["id"] for one in self._listed("/document_types/") if one["label"] == kind]
        if not types:
            raise Refused(f"la GED n'a pas de type « {kind} » pour {commune}, ou la passerelle n'y a pas droit.")
        self._step("ged: à créer")
        body = {"document_type_id": types[0], "label": piece.label, "description": piece.mark, "language": "fra"}
        made = self._call("POST", "/documents/", json=body)
        self._step("ged: créé")
        return int(made["id"])

    def _upload(self, document: int, piece: Piece, sent: dict[str, Any], note: Callable[[], object]) -> None:
        if self._there(document, piece):
            return
        if not sent.get("recu"):
            # Sent without an answer, it may still come: for a while, nothing is sent again.
            left = sent.get("le", 0) + _LOST - time.time()
            # Longer than that, a clock was ahead.
            if 0 < left <= _LOST and self._comes(document, piece, left):
                return
            sent["le"] = time.time()
            note()
            self._step("ged: à envoyer")
            with piece.path.open("rb") as stream:
                files = {"file_new": (piece.filename, stream, piece.media_type)}
                path = f"{_API}/documents/{document}/files/"
                self._server.ask("POST", path, data={"action_name": "replace"}, files=files)
            self._step("ged: envoyé")
            sent["recu"] = True
            note()
        if not self._comes(document, piece, _PATIENCE):
            raise Away(f"la GED n'a pas encore pris « {piece.filename} » en charge.")

    def _there(self, document: int, piece: Piece) -> bool:
        files = self._listed(f"/documents/{document}/files/")
        return any(one.get("checksum") == piece.path.name for one in files)

    def _comes(self, document: int, piece: Piece, seconds: float) -> bool:
        """Wait for a file that was sent; a job does not wait for long, it is tried again."""
        deadline, pause = time.monotonic() + min(seconds, _PATIENCE), 0.2
        while not self._there(document, piece):
            if time.monotonic() > deadline:
                if seconds > _PATIENCE:
                    raise Away(f"la GED n'a pas encore pris « {piece.filename} » en charge.")
                return False
            time.sleep(pause)
            pause = min(2.0, pause * 1.5)
        return True

    def _describe(self, document: int, metadata: dict[str, str]) -> None:
        path = f"/documents/{document}/metadata/"
        there = {one["metadata_type"]["name"]: one for one in self._listed(path)}
        missing = [name for name in metadata if name not in there]
        kinds = {one["name"]: one["id"] for one in self._listed("/metadata_types/")} if missing else {}
        for name, value in metadata.items():
            if name in there:
                if there[name]["value"] != value:
                    self._call("PATCH", f"{path}{there[name]['id']}/", json={"value": value})
            elif name in kinds:
                self._call("POST", path, json={"metadata_type_id": kinds[name], "value": value})

    def _cabinet(self, path: tuple[str, ...]) -> int:
        wanted = " / ".join(path)
        found = [one["id"] for one in self._listed("/cabinets/") if one["full_path"] == wanted]
        if not found:
            raise Refused(f"la GED n'a pas de dossier « {wanted} », ou la passerelle n'y a pas droit.")
        return int(found[0])
