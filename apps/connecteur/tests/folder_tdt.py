"""A second TdT, whose platform is a folder: what one more driver takes, and somebody to play its préfecture."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, date, datetime
from hashlib import sha1
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tdt_connector.checks import Submission
from tdt_connector.config import Config
from tdt_connector.driver import Answer, Driver, Incoming, RemoteAct, RemoteState, RemoteStatus
from tdt_connector.errors import Duplicate, Refused, Unreachable
from tdt_connector.proof import test_pdf as make_pdf
from tdt_simulator import classification, messages, pes
from tdt_simulator.workflow import Kind

from testbed.connector import AUTHORITIES

# Its codes are no other platform's.
_STATES = {
    10: RemoteState.HELD,
    20: RemoteState.TRANSMITTED,
    30: RemoteState.ACKNOWLEDGED,
    40: RemoteState.REFUSED,
    50: RemoteState.CANCELLED,
}
HELD, SENT, DONE, REFUSED, CANCELLED = _STATES


class FolderTdt(Driver):
    """A folder for each transaction: what was posted, and `etat.json`, which the préfecture changes."""

    platform = "Dossier"
    transmitted = SENT

    def __init__(self, folder: Path, siren: str) -> None:
        self._folder, self._siren, self._asked = folder, siren, False

    @classmethod
    def connect(cls, config: Config, progress: Callable[[], None]) -> Self:
        return cls(Path(urlsplit(config.url).path), config.siren)

    def close(self) -> None:
        self._asked = False

    @property
    def server_date(self) -> datetime | None:
        return datetime.now(UTC) if self._asked else None

    def check_connection(self) -> None:
        if not self._folder.is_dir():
            raise Unreachable(f"le dossier {self._folder} n'est pas là.", "tcp")
        self._asked = True

    def logins(self) -> list[str]:
        return [self._siren]

    def is_rgs(self) -> bool:
        return True

    def classification(self) -> bytes:
        self.check_connection()
        return (self._folder / "nomenclature.xml").read_bytes()

    def request_classification(self) -> int:
        return 1

    def classification_answered(self, transaction: int) -> bool:
        return True

    def _post(self, state: int, fields: dict[str, Any], files: dict[str, Path]) -> int:
        self.check_connection()
        number = 1 + len(list(self._folder.glob("[0-9]*")))
        own = self._folder / str(number)
        own.mkdir()
        for name, path in files.items():
            (own / name).write_bytes(path.read_bytes())
        (own / "depot.json").write_text(json.dumps(fields))
        (own / "etat.json").write_text(json.dumps([state, ""]))
        return number

    def _read(self, transaction: int, name: str) -> bytes:
        self.check_connection()
        try:
            return (self._folder / str(transaction) / name).read_bytes()
        except FileNotFoundError as error:
            raise Refused(f"la transaction {transaction} n'a pas de {name}.", "attente") from error

    def _status(self, transaction: int) -> RemoteStatus:
        code, text = json.loads(self._read(transaction, "etat.json"))
        return RemoteStatus(code, _STATES[code], text)

    def submit_act(self, act: Submission, folder: Path) -> int:
        if self.find_acts(act.number):
            raise Duplicate(f"le numéro {act.number} est pris.", "doublon")
        annexes = {f"annexe-{one.name}": folder / one.name for one in act.annexes}
        return self._post(HELD if act.on_hold else SENT, act.to_dict(), {"acte.pdf": folder / act.file, **annexes})

    def act_status(self, transaction: int) -> RemoteStatus:
        status = self._status(transaction)
        if status.state is RemoteState.ACKNOWLEDGED:
            return replace(status, receipt=self._read(transaction, "ARActe.xml"))
        return status

    def act_documents(self, transaction: int) -> dict[str, bytes]:
        act = self._read(transaction, "acte.pdf")
        return {"acte-tamponne.pdf": act, "bordereau.pdf": make_pdf("Bordereau", str(transaction))}

    def act_original(self, transaction: int) -> bytes | None:
        return self._read(transaction, "acte.pdf")

    def find_acts(self, number: str) -> list[RemoteAct]:
        found = []
        for path in self._folder.glob("[0-9]*/depot.json"):
            act, transaction = json.loads(path.read_text()), int(path.parent.name)
            if act.get("number") == number:
                code = self._status(transaction).code
                found.append(RemoteAct(transaction, number, act["subject"], act["date"], code))
        return found

    def cancel_act(self, transaction: int) -> None:
        if self._status(transaction).code != HELD:
            raise Refused("l'acte est transmis.", "ko")
        (self._folder / str(transaction) / "etat.json").write_text(json.dumps([CANCELLED, ""]))

    def submit_pes(self, path: Path) -> int:
        fingerprint = sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
        if self.find_pes(fingerprint):
            raise Duplicate("ce flux est déjà là.", "doublon")
        return self._post(SENT, {"sha1": fingerprint}, {"flux.xml": path})

    def find_pes(self, sha1: str) -> list[int]:
        posted = {path: json.loads(path.read_text()) for path in self._folder.glob("[0-9]*/depot.json")}
        return [int(path.parent.name) for path, fields in posted.items() if fields.get("sha1") == sha1]

    def pes_status(self, transaction: int) -> RemoteStatus:
        return self._status(transaction)

    def pes_receipt(self, transaction: int) -> bytes:
        return self._read(transaction, "acquit.xml")

    def incoming(self) -> list[Incoming]:
        self.check_connection()
        return [
            Incoming(
                int(path.stem), "lettre", path.with_suffix(".txt").read_text(), "observations", about=int(path.stem)
            )
            for path in sorted((self._folder / "lettres").glob("*.pdf"))
        ]

    def fetch(self, item: Incoming) -> bytes:
        return (self._folder / "lettres" / f"{item.id}.pdf").read_bytes()

    def mark_read(self, item: Incoming) -> None:
        (self._folder / "lettres" / f"{item.id}.pdf").rename(self._folder / "lettres" / f"{item.id}.lu")

    def answer(self, answer: Answer) -> int:
        fields = {"answer_to": answer.letter, "sense": answer.sense}
        return self._post(SENT, fields, {f"{rank}.pdf": path for rank, path in enumerate(answer.files)})

    def find_answer(self, answer: Answer, about: int, others: Collection[int]) -> int | None:
        posted = {path: json.loads(path.read_text()) for path in self._folder.glob("[0-9]*/depot.json")}
        found = [int(path.parent.name) for path, fields in posted.items() if fields.get("answer_to") == answer.letter]
        return found[0] if found else None

    def answer_status(self, transaction: int) -> RemoteStatus:
        status = self._status(transaction)
        if status.state is RemoteState.ACKNOWLEDGED:
            return replace(status, receipt=self._read(transaction, "AR.xml"))
        return status


class FolderDesk:
    """The préfecture and the DGFiP, which answer what is in the folder each time that they are let work."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.silent = folder, False
        (folder / "lettres").mkdir(parents=True)
        self._today = date.today()
        (folder / "nomenclature.xml").write_bytes(classification.xml(classification.in_force(self._today)))

    def work(self, _step: str = "") -> None:
        """Answer what waits."""
        for path in self.folder.glob("[0-9]*/etat.json"):
            if not self.silent and json.loads(path.read_text())[0] == SENT:
                self._answer(path.parent)

    def _answer(self, own: Path) -> None:
        given = json.loads((own / "depot.json").read_text())
        if "answer_to" in given:
            day = self._today
            receipt = messages.response_receipt(Kind.LETTRE_OBSERVATIONS, "059-1-DE", day, day)
            (own / "AR.xml").write_bytes(receipt)
        elif "sha1" in given:
            (own / "acquit.xml").write_bytes(pes.acquit(pes.read(own / "flux.xml"), datetime.now()))
        else:
            (own / "ARActe.xml").write_bytes(self._receipt(given))
        (own / "etat.json").write_text(json.dumps([DONE, ""]))

    def _receipt(self, act: dict[str, Any]) -> bytes:
        day, in_force = date.fromisoformat(act["date"]), classification.in_force(self._today)
        sent = messages.Acte(
            act["number"], int(act["nature"]), act["nature_short"], act["subject"], day, ".".join(act["matter"]),
            in_force, act["paper"], act["file"],
        )  # fmt: skip # one call by its parts
        own = AUTHORITIES[0]
        identifier = f"{own['departement']}-{own['siren']}-{day:%Y%m%d}-{sent.number}-{sent.abbreviation}"
        return messages.receipt(sent, identifier, self._today, in_force)

    def refuse(self, transaction: int, reason: str) -> None:
        """Refuse an act."""
        (self.folder / str(transaction) / "etat.json").write_text(json.dumps([REFUSED, reason]))

    def write(self, transaction: int, reason: str) -> None:
        """Write about an act."""
        (self.folder / "lettres" / f"{transaction}.txt").write_text("Lettre d'observations")
        (self.folder / "lettres" / f"{transaction}.pdf").write_bytes(make_pdf(reason, str(transaction)))
