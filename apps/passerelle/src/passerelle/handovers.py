"""What each step does itself: every hand-over is safe to make again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from creatic_agent.act import FILED, File

from .acts import NATURES, unsigned
from .config import Config
from .errors import Refused
from .executory import publicity
from .files import Files
from .ged import Piece
from .servers import Servers
from .steps import STEPS, place
from .store import Store, Tracked

_LETTERS = str.maketrans("0123456789", "ghijklmnop")

_EMPTY = hashlib.sha256().hexdigest()


def mark(reference: str, rank: int | str) -> str:
    """What the document store's documents of an act bear: its reference, and one word of letters that its search
    finds. `rank` is that of a piece of the act, or a word for what was written about it."""
    word = hashlib.sha256(f"{reference} {rank}".encode()).hexdigest()[:24].translate(_LETTERS)
    return f"{reference} {word}"


class HandOvers:
    """Makes hand-overs: `_do_<name>` is that of the step of that name."""

    def __init__(
        self, config: Config, store: Store, files: Files, servers: Servers, on_step: Callable[[str], None]
    ) -> None:
        self._config, self._store, self._files, self._servers, self._step = config, store, files, servers, on_step

    def make(self, act: Tracked) -> dict[str, Any] | None:
        """Make that of an act's step; None when what it waits for has not come. Raises HandoverError."""
        step = STEPS[place(act.step)]
        if step.sent and (problem := unsigned(act, act.track)):
            raise Refused(problem)
        if own := getattr(self, f"_do_{step.name}", None):
            done: dict[str, Any] | None = own(act)
            return done
        return {} if not step.word or act.reached(step.word) else None

    def _do_reception(self, act: Tracked) -> dict[str, Any]:
        """Documents come here."""
        client = self._servers.deliberations()
        for item in act.files:
            _not_empty(item, "la délibération")
            if not self._files.path(item.sha256).is_file():
                found = self._files.keep(partial(client.fetch, item.url))
                if found != item.sha256:
                    raise Refused(f"« {item.name} » n'est pas le document annoncé (empreinte différente).")
                self._step("reception: document gardé")
        return {}

    def _do_parapheur(self, act: Tracked) -> dict[str, Any]:
        """Into its circuit, with its annexes: who signs reads them."""
        annexes = [(Path(one.name).name, self._files.path(one.sha256)) for one in act.annexes]
        document = self._files.path(act.main.sha256 if act.main else "")
        number = self._servers.parapheur().deposit(act, document, annexes)
        self._step("parapheur: déposé")
        return {"dossier": number}

    def _do_signature(self, act: Tracked) -> dict[str, Any] | None:
        return {} if act.track.get("signable") else None

    def _do_reprise(self, act: Tracked) -> dict[str, Any]:
        """The signed file comes back, with the pieces of a contract."""
        client, told = self._servers.parapheur(), ""

        def write(stream: BinaryIO) -> None:
            nonlocal told
            told = client.fetch(act.track["dossier"], stream)

        kept = self._files.keep(write)
        wanted = act.track.get("sha256_signe") or told
        if kept != wanted:
            raise Refused("le fichier signé n'est pas celui que le parapheur annonce (empreinte différente).")
        for item in act.annexes:
            _not_empty(item, "le dossier du parapheur")
            if item.piece is not None and not self._files.path(item.sha256).is_file():
                found = self._files.keep(partial(client.fetch_piece, act.track["dossier"], item.piece))
                if found != item.sha256:
                    raise Refused(f"« {item.name} » n'est pas la pièce annoncée (empreinte différente).")
        self._step("reprise: signé gardé")
        return {"signe": kept, "visas": client.history(act.track["dossier"])}

    def _do_ged(self, act: Tracked) -> dict[str, Any]:
        """The act, its annexes and its ARActe are filed."""
        client = self._servers.ged()
        commune = self._config.communes[act.commune]
        _nature, _type, kind, cabinet = NATURES[act.circuit]
        metadata = act.named(FILED)
        sent = dict(act.track.get("ged_envois", {}))
        filed = []
        for piece in self._pieces(act):
            progress = sent.setdefault(piece.mark, {})
            number = client.file(
                commune, kind, cabinet, piece, metadata, progress, lambda: self._store.remember(act, ged_envois=sent)
            )
            filed.append(number)
        return {"ged": filed, "ged_envois": {}}

    def _do_publication(self, act: Tracked) -> dict[str, Any] | None:
        """By a person, on the deliberations' server. Elsewhere by the commune's own means, at any time: nothing of the
        chain waits for it, and what says that it was done is `executory.publicity` alone."""
        if not act.uid or not self._config.has(act.commune, "deliberations"):
            return {}
        return {} if publicity(act, self._config).day else None

    def _pieces(self, act: Tracked) -> list[Piece]:
        number, pdf = act.number, "application/pdf"
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", number)
        found = [(f"{number} - {act.subject}", act.document, f"{plain}.pdf", pdf)]
        for rank, annex in enumerate(act.joined, start=1):
            name = Path(annex.name).name
            kind = pdf if name.lower().endswith(".pdf") else "application/octet-stream"
            kind = "text/xml" if annex is act.budget else kind
            found.append((f"{number} - annexe {rank} : {name}", annex.sha256, name, kind))
        tdt = act.tdt
        if tdt.get("ar_acte"):
            found.append((f"{number} - ARActe", tdt["ar_acte"], f"{tdt['id_acte']}-ARActe.xml", "text/xml"))
        pieces = []
        for rank, (label, digest, name, kind) in enumerate(found):
            told = mark(act.reference, rank)
            pieces.append(Piece(told, told.rpartition(" ")[2], label[:250], self._files.path(digest), name, kind))
        return pieces


def _not_empty(item: File, where: str) -> None:
    """Refuse a file without a byte where it comes in: neither the TdT nor the archive takes one, days later."""
    if item.sha256 == _EMPTY:
        raise Refused(f"« {item.name} » est vide (0 octet). À faire : remplacez ce fichier dans {where}.")
