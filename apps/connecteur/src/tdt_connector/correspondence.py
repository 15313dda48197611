"""The préfecture's letters, between a commune's connector and its passerelle.

A letter is announced with what it says of itself, then its files are given, each under its rank. What persons decided
comes back: that a letter was taken, which is then marked as read at the TdT, and answers, which are kept beside it and
sent by the agent. Killed anywhere, the next run goes on: nothing is given, taken or told twice with another meaning.
The passerelle says which letters it has, and may come back from a backup: what it forgot is given again, and a letter
that was answered from here is not answered a second time.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests

from creatic_agent import https
from creatic_agent.durable import sync_directory

from . import letters, prefecture
from .answers import ANSWERS, ENDS, REFUSED, TO_RECONCILE, TO_SEND
from .answers import RECEIPT as ANSWER_RECEIPT
from .config import Config
from .contact import waits
from .driver import ANSWERS as KNOWN_ANSWERS
from .errors import Full, HandoverError
from .journal import Journal
from .storage import digest, move

_PLACE = "/connecteur/lettres"
_TOLD = "reponse-dite:"
_UNTIL, _PAUSE = "apports:pas-avant", 3600.0  # seconds
_NO_ROOM = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INSUFFICIENT_STORAGE)
_FILES_MAX = 40  # of a letter that are given; its archive, as it came, holds them all
_RECEIPT_MAX = 200_000  # bytes
_KEY = re.compile(r"[0-9a-f]{32}")
_ANSWERED = (
    "Une réponse à ce courrier est déjà partie de ce connecteur : celle-ci n'est pas envoyée. Classez le courrier."
)


def explained(answer: requests.Response) -> str:
    """What the passerelle says of its refusal."""
    said = https.field(answer, "message")
    return "sans explication" if said is None else said[:300]


def refusal(answer: requests.Response, kind: type[HandoverError] = HandoverError) -> HandoverError:
    """An answer that is none of the good ones."""
    return kind(f"la passerelle a répondu HTTP {answer.status_code} : {explained(answer)}")


def demand(answer: requests.Response) -> requests.Response:
    """A good answer. Raises HandoverError; Full when it takes no more from here for now."""
    if not answer.ok:
        raise refusal(answer, Full if answer.status_code in _NO_ROOM else HandoverError)
    return answer


def kept_back(journal: Journal) -> bool:
    """Whether the passerelle said lately that it takes no more: what is to be given stays here meanwhile."""
    return waits(float(journal.value(_UNTIL, "0")), _PAUSE)


def keep_back(journal: Journal) -> None:
    """Give nothing for a while."""
    journal.set_value(_UNTIL, time.time() + _PAUSE)


class Correspondence:
    """Letters and answers. Raises HandoverError.

    Args:
        call: makes a request to the passerelle.
        fetch: downloads a file that it announced, of which the answer says name and digest, to a path.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        call: Callable[..., requests.Response],
        fetch: Callable[[str, str, Path], None],
    ) -> None:
        self._config, self._journal, self._call, self._fetch = config, journal, call, fetch

    def work(self) -> Iterator[tuple[str, Callable[[], list[str]]]]:
        """What there is to do, each with the name of what it is about; gives what was done, in French.

        An older passerelle takes no letters: then there is nothing.
        """
        answer = self._call("GET", _PLACE)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return
        try:
            said = demand(answer).json()
            decided = [(int(one["lettre"]), one) for one in said["results"]]
            there = {int(number) for number in said["connus"]}
        except (ValueError, KeyError, TypeError) as error:
            raise HandoverError("la passerelle a répondu autre chose que la liste des courriers.") from error
        known = dict(letters.received(self._config))
        for number, folder in known.items():
            if number not in there and not kept_back(self._journal):
                yield folder.name, partial(self._give, number, folder)
        for number, one in decided:
            yield f"courrier {number}", partial(self._hear, number, one, known.get(number))
        for key, text in self._journal.values(ANSWERS).items():
            own = key.removeprefix(ANSWERS)
            state = json.loads(text)
            if state["etat"] in ENDS and self._journal.value(_TOLD + own) != state["etat"]:
                yield f"réponse au courrier {state['lettre']}", partial(self._tell, own, state)

    # -- to the passerelle ---------------------------------------------------------------------------------

    def _give(self, number: int, folder: Path) -> list[str]:
        files = letter_files(number, folder)
        message = prefecture.read(files)
        facts = json.loads(self._journal.value(f"{letters.FACTS}{number}") or "{}")
        idacte = facts.get("id_acte") or message.idacte
        fault = message.fault
        if len(files) > _FILES_MAX:
            fault = f"{fault} {len(files) - _FILES_MAX} autres fichiers sont dans l'archive, en dernier.".strip()
            files = [*files[: _FILES_MAX - 1], files[-1]]
        told = {
            "lettre": number,
            "type": facts.get("type") or message.kind,
            "numero": facts.get("numero") or prefecture.owner(idacte)[1],
            "id_acte": idacte,
            "siren": prefecture.owner(idacte)[0],
            "acte": self._act(idacte, facts.get("acte") or 0),
            "date": message.day,
            "recu_le": f"{folder.name[:4]}-{folder.name[4:6]}-{folder.name[6:8]}",
            "texte": message.text,
            "defaut": fault,
            "fichiers": [{"nom": path.name, "sha256": digest(path), "octets": path.stat().st_size} for path in files],
        }
        wanted = demand(self._call("POST", _PLACE, json=told)).json().get("attendus", [])
        for rank in wanted:
            path = files[rank]
            with path.open("rb") as stream:
                data = stream if path.stat().st_size else b""
                demand(self._call("PUT", f"{_PLACE}/{number}/{rank}", data=data))
        return [f"{folder.name} : courrier de la préfecture, donné à la passerelle."]

    def _act(self, idacte: str, transaction: int) -> dict[str, str]:
        """What this connector knows of the act that a letter is about."""
        for name in (idacte, str(transaction) if transaction else ""):
            for row in self._journal.find(name) if name else ():
                if row.kind == "acte" and row.act:
                    return {
                        "objet": str(row.act.get("subject", "")),
                        "date": str(row.act.get("date", "")),
                        "recu_le": row.acknowledged_on or "",
                        "id_acte": row.idacte or "",
                    }
        return {}

    def _tell(self, own: str, one: dict[str, Any]) -> list[str]:
        told = {key: one.get(key) for key in ("lettre", "etat", "motif", "transaction", "date_reception")}
        receipt = Path(one["fichiers"][0]).parent / ANSWER_RECEIPT
        if receipt.is_file() and receipt.stat().st_size <= _RECEIPT_MAX:
            told["ar"] = receipt.read_text(encoding="utf-8", errors="replace")
        demand(self._call("POST", f"{_PLACE}/suivi", json=told | {"reponse": own}))
        self._journal.set_value(_TOLD + own, one["etat"])
        return [f"courrier {one['lettre']} : réponse {one['etat']}, dit à la passerelle."]

    # -- from the passerelle -------------------------------------------------------------------------------

    def _hear(self, number: int, one: dict[str, Any], folder: Path | None) -> list[str]:
        """What persons decided of a letter."""
        done = []
        if one.get("prise"):
            if self._journal.value(f"{letters.TAKEN}{number}") == letters.READ:
                demand(self._call("POST", f"{_PLACE}/suivi", json={"lettre": number, "lu": True}))
                done.append(f"courrier {number} : marqué lu au TdT, dit à la passerelle.")
            elif letters.take(self._journal, number):
                done.append(f"courrier {number} : pris en charge, à marquer lu au TdT.")
        answer = one.get("reponse")
        if answer:
            if folder is None:
                raise HandoverError(f"le courrier {number} n'est pas sur ce connecteur : sa réponse ne part pas d'ici.")
            done += self._take(number, folder, answer)
        return done

    def _take(self, number: int, folder: Path, answer: dict[str, Any]) -> list[str]:
        own, kind, sense = (str(answer.get(name) or "") for name in ("cle", "type", "sens"))
        if not _KEY.fullmatch(own) or sense not in KNOWN_ANSWERS.get(kind, ()) or not answer.get("fichiers"):
            raise HandoverError(f"la passerelle donne au courrier {number} une réponse qui n'en est pas une.")
        if known := self._journal.value(ANSWERS + own):
            if json.loads(known)["etat"] in ENDS:  # it asks for what it was told: it was restored from a backup
                self._journal.forget(_TOLD + own)
            return []
        target, partial_ = folder / f"reponse-{own}", folder / f".reponse-{own}"
        given = [str(file.get("nom") or "") for file in answer["fichiers"]]
        names = [f"{rank}{suffix_of(name)}" for rank, name in enumerate(given, start=1)]
        again = self._answered(number)
        if not again and not target.exists():
            if partial_.exists():
                shutil.rmtree(partial_)
            partial_.mkdir(mode=0o750)
            for name, file in zip(names, answer["fichiers"], strict=True):
                self._fetch(f"{_PLACE}/{number}/reponse/{file['sha256']}", str(file["sha256"]), partial_ / name)
            sync_directory(partial_)
            move(partial_, target)
        facts = json.loads(self._journal.value(f"{letters.FACTS}{number}") or "{}")
        state = {
            "lettre": number, "type": kind, "sens": sense, "acte": facts.get("acte") or 0, "etat": TO_SEND,
            "fichiers": [str(target / name) for name in names],
        }  # fmt: skip # a table
        if again:
            state |= {"etat": REFUSED, "motif": _ANSWERED}
        self._journal.set_value(ANSWERS + own, json.dumps(state))
        told = "réponse non envoyée, une autre est déjà partie" if again else "réponse prise à la passerelle, à envoyer"
        return [f"courrier {number} : {told}."]

    def _answered(self, number: int) -> bool:
        """Whether an answer to a letter left, or is about to."""
        given = [json.loads(text) for text in self._journal.values(ANSWERS).values()]
        return any(one["lettre"] == number and one["etat"] not in (REFUSED, TO_RECONCILE) for one in given)


def letter_files(number: int, folder: Path) -> list[Path]:
    """A letter's files: what people read first, and what came, as it came, last."""
    came = f"lettre-{number}."
    found = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    found = [path for path in found if not path.name.startswith(".")]
    return sorted(found, key=lambda path: (path.name.startswith(came), path.suffix.lower() != ".pdf", path.name))


def suffix_of(name: str) -> str:
    """Of a document that the passerelle gives: what the TdT takes, whatever its name was. Of another one, it might be
    read here as a description, or as a file that is still being written."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix in (".pdf", ".png", ".jpg", ".jpeg") else ".pdf"
