"""The connector's side of the passerelle: what a commune signed comes here to be sent, and where it is goes back.

The passerelle is asked, never waited for: the connector may be behind NAT. Each act bears a reference. Its files have
names made of it, so that the hot folder and the journal tell whether it was taken already; what was said of it is in
the journal too. Killed anywhere, the next run goes on: an act is deposited once, each state is said at least once.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import requests
import yaml

from creatic_agent import https
from creatic_agent.act import DESCRIPTION, GOES, SUMMARY, Act, File
from creatic_agent.budget import NATURE
from creatic_agent.durable import fresh, sync_directory, write

from .archive import ACCEPTED, archived_as, folder_of, session
from .client import ask
from .config import Config
from .correspondence import Correspondence, demand, explained, keep_back, kept_back, refusal, suffix_of
from .errors import Away, Full, HandoverError
from .filing import FOLDERS, last_name
from .journal import Journal, Row, State
from .sip import KEPT, PROOF, write_proof
from .storage import digest as file_digest
from .storage import move

_KEY = "passerelle:"
ELIMINATED = "elimine:"  # what the journal keeps for ever of an act that went, by the name of its folder
_STAGING = "passerelle-"
_RETURN, _RETURNS = "retour:", 20  # returns of the DGFiP that were handed over; handed over at a time
_TIMEOUT = (10, 120)
_FINAL_REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
_RECEIPT_MAX = 1_000_000  # bytes that the passerelle takes; it needs no receipt of Helios
_PAPER = re.compile(r"[a-z0-9-]{1,60}\.pdf")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BEFORE = (State.DEPOSITED, State.CHECKED, State.INTENT, State.TO_RECONCILE)


@contextmanager
def _alone(config: Config) -> Iterator[None]:
    with (config.folder_state / "passerelle.verrou").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, kw_only=True)
class Offer(Act):
    """What the passerelle has for this connector: an act, or a flow of accounts."""

    kind: str  # acte, pes, or conserver for what does not go out
    main: File

    @classmethod
    def read(cls, raw: dict[str, Any]) -> Offer:
        """As the passerelle tells it. Raises ActError."""
        told = Act.from_wire({name: value for name, value in raw.items() if name != "document"})
        kind, digest = str(raw.get("genre") or ""), str(raw.get("sha256") or "")
        return cls(**vars(told) | {"date": told.day, "main": File("", digest)}, kind=kind)

    @property
    def stem(self) -> str:
        """The name of its files: its number for people, its reference for us."""
        return _stem(self.number, self.reference)


class Passerelle:
    """The passerelle, seen from a commune. Raises HandoverError."""

    def __init__(self, config: Config, journal: Journal) -> None:
        if not config.passerelle_url:
            raise HandoverError("la passerelle n'est pas configurée sur ce connecteur.")
        self._config, self._journal = config, journal
        self._session = session(config, config.passerelle_certificate)

    def relay(self) -> list[str]:
        """Take what is to be sent, say where the rest is; gives what was done, in French."""
        with _alone(self._config):
            for left in self._config.folder_state.glob(f"{_STAGING}*"):  # of a run that was killed
                shutil.rmtree(left)
            done: list[str] = []
            failures: list[HandoverError] = []

            def attempt(reference: str, work: Callable[[], list[str]]) -> bool:
                """One act does not hold the others back, unless the passerelle is away."""
                try:
                    found = work()
                except (Away, sqlite3.Error):
                    raise
                except HandoverError as error:
                    if isinstance(error, Full):
                        keep_back(self._journal)
                    failures.append(error)
                    return False
                except Exception as error:  # noqa: BLE001 # one failed act does not stop the others
                    failures.append(HandoverError(f"{reference} : {error or type(error).__name__}"))
                    return False
                done.extend(found)
                return bool(found)

            for act in self._waiting():
                attempt(act["reference"], partial(self._take, act))
            for key in self._journal.values(_KEY):
                # An act that was archived since the last run is told acknowledged first, with its ARActe.
                reference = key.removeprefix(_KEY)
                while (text := self._journal.value(key)) and attempt(
                    reference, partial(lambda reference, text: self._tell(reference, json.loads(text)), reference, text)
                ):
                    pass
            given = 0
            for folder in self._returns():
                if kept_back(self._journal):
                    break
                given += attempt(folder.name, partial(self._give_back, folder))
                if given == _RETURNS:
                    break
            letters = Correspondence(self._config, self._journal, self._call, self._download)
            for name, work in letters.work():
                attempt(name, work)
            for proof in self._proofs():
                attempt(str(proof["reference"]), partial(self._take_proof, proof))
            if failures:
                raise failures[0]
            return done

    def _proofs(self) -> list[dict[str, Any]]:
        """Dossiers de preuve that the passerelle has for acts that are archived; an older one has none."""
        answer = self._call("GET", "/connecteur/preuves") if self._config.archive_url else None
        if answer is None or answer.status_code == HTTPStatus.NOT_FOUND:
            return []
        if not answer.ok:
            raise refusal(answer)
        try:
            found = answer.json()["results"]
            return [one for one in found if isinstance(one["reference"], str) and isinstance(one["preuve"], dict)]
        except (ValueError, KeyError, TypeError) as error:
            raise HandoverError("la passerelle a répondu autre chose que les dossiers de preuve.") from error

    def _take_proof(self, one: dict[str, Any]) -> list[str]:
        """Put a dossier de preuve beside its act, once, for the archive to take it."""
        name = str(one.get("id_acte") or "") or f"{KEPT}{_stem(str(one.get('numero') or ''), one['reference'])}"
        folder = folder_of(self._config, name)
        here = "/" not in name and not name.startswith(".") and (folder / ACCEPTED).is_file()
        if here and not (folder / PROOF / "preuve.xml").is_file():
            if (folder / PROOF).exists():  # of a run that was cut
                shutil.rmtree(folder / PROOF)
            (folder / PROOF).mkdir(mode=0o750)
            for file in one.get("fichiers", ()):  # an older passerelle has none
                paper, expected = str(file["nom"]), str(file["sha256"])
                if not _PAPER.fullmatch(paper):
                    raise HandoverError("la passerelle annonce une pièce de la séance sans son nom.")
                self._download(f"/connecteur/fichiers/{expected}", expected, folder / PROOF / paper)
            write(folder / PROOF / "preuve.xml", write_proof(one["preuve"]))
            sync_directory(folder)
        body = {"reference": one["reference"], "etat": "deposee" if here else "sans_dossier"}
        answer = self._call("POST", "/connecteur/preuves", json=body)
        if not answer.ok:
            raise refusal(answer)
        return [f"{one['reference']} : dossier de preuve, à verser."] if here else []

    def _returns(self) -> list[Path]:
        """What the DGFiP sent back and the passerelle does not have, oldest first."""
        there = (self._config.dossier / "pes_retour").glob("*")
        found = [path for path in there if path.is_dir() and not path.name.startswith(".")]
        return [path for path in sorted(found) if not self._journal.value(_RETURN + path.name)]

    def _give_back(self, folder: Path) -> list[str]:
        """Hand a PES Retour over, as it came, for who keeps the accounts."""
        came = next((path for path in sorted(folder.glob("pes_retour-*")) if path.is_file()), None)
        if came is None:
            raise HandoverError(f"« {folder} » n'a pas de fichier pes_retour-… : la passerelle ne le reçoit pas.")
        given = {"sha256": file_digest(came), "fichier": came.name}
        with came.open("rb") as stream:
            path = f"/connecteur/retours/{quote(folder.name, safe='')}"
            answer = self._call("PUT", path, params=given, data=stream if came.stat().st_size else b"")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return []  # an older passerelle, which takes none
        try:
            demand(answer)
        except HandoverError as error:
            raise type(error)(f"« {folder.name} » : {error}") from error
        self._journal.set_value(_RETURN + folder.name, given["sha256"])
        return [f"{folder.name} : retour de la DGFiP, donné à la passerelle."]

    # -- from the passerelle -------------------------------------------------------------------------------

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request. Raises Away."""
        return self._call(method, path, **options)

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        url = urljoin(f"{self._config.passerelle_url}/", path)
        return ask(self._session, method, url, _TIMEOUT, "la passerelle", Away, **options)

    def count(self) -> int:
        """How many acts it has for this connector; nothing is taken."""
        return len(self._waiting())

    def _waiting(self) -> list[dict[str, Any]]:
        answer = self._call("GET", "/connecteur/a-transmettre?conserver=1")
        if not answer.ok:
            raise refusal(answer)
        try:
            found = answer.json()["results"]
            return [one for one in found if isinstance(one["reference"], str) and one["reference"]]
        except (ValueError, KeyError, TypeError) as error:
            raise HandoverError("la passerelle a répondu autre chose que la liste des actes à transmettre.") from error

    def _take(self, offered: dict[str, Any]) -> list[str]:
        """Put an act in depot/, unless it is there, or was."""
        act = Offer.read(offered)
        reference = act.reference
        if act.kind == "conserver":
            return self._keep(act)
        known = json.loads(self._journal.value(_KEY + reference) or "{}")
        stem = known.get("nom") or act.stem
        # The agent writes its journal before it takes a file away: seen nowhere in this order, it was never here.
        here = _here(self._config.folder_depot / f"{stem}.yml")
        rows = self._journal.with_file(f"{stem}.yml")
        # It is asked for again after its rejection was told: a person corrected what was wrong.
        again = bool(rows) and rows[0].state is State.REJECTED and known.get("dit") == "en_erreur"
        # The passerelle offers what it was told nothing of.
        self._journal.set_value(_KEY + reference, json.dumps({"nom": stem, "dit": ""}))
        if here or (rows and not again):
            return []
        self._deposit(act, stem)
        return [f"{act.number} : pris à la passerelle ({reference})."]

    def _keep(self, act: Offer) -> list[str]:
        """File an act that does not go out (CGCT, L2131-2), whole or not at all; the archive takes it from there."""
        name, parent = f"{KEPT}{act.stem}", self._config.folder_kept
        self._journal.set_value(_KEY + act.reference, json.dumps({"nom": name, "dit": ""}))
        if (parent / name).is_dir():
            return []
        partial = parent / f".{name}"
        if partial.exists():  # of a run that was killed
            shutil.rmtree(partial)
        partial.mkdir(mode=0o750)
        for file, item in self._names(act, act.stem):
            self._fetch(item, partial / file)
        told = {"genre": "acte", "etat": "conserve", **act.named(SUMMARY)}
        write(partial / "resume.json", json.dumps(told, ensure_ascii=False, indent=2).encode("utf-8", "replace"))
        sync_directory(partial)
        move(partial, parent / name)
        return [f"{act.number} : non transmissible, gardé pour l'archive ({act.reference})."]

    @staticmethod
    def _names(act: Offer, stem: str) -> list[tuple[str, File]]:
        """The files of an act, by the names that they have here."""
        xml = act.kind == "pes" or act.nature == NATURE
        found = [(f"{stem}.{'xml' if xml else 'pdf'}", act.main)]
        for rank, annex in enumerate(act.annexes, start=1):
            found.append((f"{stem}-annexe-{rank}{suffix_of(annex.name)}", annex))
        return found

    def _deposit(self, act: Offer, stem: str) -> None:
        depot, files = self._config.folder_depot, self._names(act, stem)
        kind = act.type or "99_DE"
        # Of those that do not go out, nothing comes here (`_keep`).
        sent = replace(act, type=kind, transmission=GOES).named(DESCRIPTION)
        description: dict[str, Any] = (
            {"genre": "pes", "fichier": files[0][0]}
            if act.kind == "pes"
            else sent
            | {"fichier": files[0][0], "annexes": [{"fichier": name, "type": kind} for name, _item in files[1:]]}
        )
        # Made ready where nobody else writes: a link planted in depot/ would have us write elsewhere.
        with tempfile.TemporaryDirectory(dir=self._config.folder_state, prefix=_STAGING) as folder:
            ready = Path(folder)
            for name, item in files:
                self._fetch(item, ready / name)
            text = yaml.safe_dump(description, allow_unicode=True, sort_keys=False)
            write(ready / f"{stem}.yml", text.encode())
            # The set is whole when the last appears.
            for name in [*(name for name, _item in files[::-1]), f"{stem}.yml"]:
                (depot / name).unlink(missing_ok=True)  # of a run that was cut short
                move(ready / name, depot / name)

    def _fetch(self, item: File, target: Path) -> None:
        self._download(f"/connecteur/fichiers/{item.sha256}", item.sha256, target)

    def _download(self, path: str, expected: str, target: Path) -> None:
        if not _DIGEST.fullmatch(expected):
            raise HandoverError("la passerelle annonce un fichier sans son empreinte.")
        answer = self._call("GET", path, stream=True)
        if not answer.ok:
            raise refusal(answer)
        try:
            with fresh(target) as stream:
                found, _size = https.save(answer, stream)
        except requests.RequestException as error:
            raise HandoverError(f"lecture interrompue ({type(error).__name__}).") from error
        if found != expected:
            raise HandoverError("un fichier de la passerelle n'a pas l'empreinte annoncée.")

    # -- to the passerelle ---------------------------------------------------------------------------------

    def _tell(self, reference: str, known: dict[str, str]) -> list[str]:
        """Say where an act is, if that is news."""
        kept = known["nom"].startswith(KEPT)
        rows = [] if kept else self._journal.with_file(f"{known['nom']}.yml")
        if kept:
            said = self._kept(known["nom"])
        elif rows:
            said = self._state(rows[0], known["dit"])
        else:
            said = {"etat": "recue"} if _here(self._config.folder_depot / f"{known['nom']}.yml") else {}
        if not said or said["etat"] == known["dit"]:
            return []
        answer = self._call("POST", "/connecteur/suivi", json={"reference": reference, **said})
        refused = "" if answer.ok else f" REFUSÉ : {explained(answer)}"
        if not answer.ok and answer.status_code not in _FINAL_REFUSALS:
            raise refusal(answer)
        last = "versee" if kept or (self._config.archive_url and rows and rows[0].kind == "acte") else "acquittee"
        if said["etat"] in (last, "refusee"):
            self._journal.forget(_KEY + reference)
        else:
            self._journal.set_value(_KEY + reference, json.dumps(known | {"dit": said["etat"]}))
        return [f"{reference} : {said['etat']}, dit à la passerelle.{refused}"]

    def _kept(self, name: str) -> dict[str, Any]:
        """What there is to say of an act that does not go out."""
        folder = self._config.folder_kept / name
        if (folder / ACCEPTED).is_file():
            return {"etat": "versee", "archive": archived_as(folder)}
        return {"etat": "recue"} if folder.is_dir() else {}

    def _state(self, row: Row, before: str) -> dict[str, Any]:
        """What there is to say of a deposit, as the passerelle wants it, after what was said before."""
        if row.state in _BEFORE:
            return {"etat": "recue"}
        if row.state is State.SENT:
            return {"etat": "transmise"}
        if row.state is State.REFUSED:
            return {"etat": "refusee", "motif": row.detail}
        if row.state is not State.ACKNOWLEDGED:
            return {"etat": "en_erreur", "motif": row.detail or row.state.label}
        if not row.filed:
            return {"etat": "transmise"}
        folder = self._config.dossier / FOLDERS[row.state] / last_name(row)
        if self._journal.value(ELIMINATED + folder.name) and not folder.is_dir():
            return {}  # the archive eliminated it: a passerelle restored from an old backup asks for it in vain
        if row.kind == "pes":
            receipt = folder / "acquittement.xml"  # which some platforms of Helios do not give
            small = receipt.exists() and receipt.stat().st_size <= _RECEIPT_MAX
            given = {"ar_acte": base64.b64encode(receipt.read_bytes()).decode()} if small else {}
            return {"etat": "acquittee", "id_acte": folder.name, **given}
        if before == "acquittee" and (folder / ACCEPTED).is_file():
            return {"etat": "versee", "archive": archived_as(folder)}
        content = base64.b64encode((folder / "ARActe.xml").read_bytes()).decode()
        return {
            "etat": "acquittee",
            "id_acte": row.idacte,
            "date_reception": row.acknowledged_on,
            "ar_acte": content,
        }


def _here(path: Path) -> bool:
    """Whether a file of depot/ is there: a link or a folder of that name is none of ours."""
    return path.is_file() and not path.is_symlink()


def _stem(number: str, reference: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", number or "acte").strip("_")[:30]
    return f"{plain}-{hashlib.sha256(reference.encode()).hexdigest()[:12]}"
