"""What the agent asks of a TdT. A driver turns it into one platform's calls; drivers.py lists them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Self

from .checks import Submission
from .config import Config


class RemoteState(StrEnum):
    """Where a transaction stands at the TdT, whatever the platform's own codes."""

    WAITING = "en attente d'envoi au TdT"
    HELD = "en attente d'une action sur le site du TdT"
    TRANSMITTED = "transmis, accusé de réception attendu"
    ACKNOWLEDGED = "acquitté"
    UNRECEIPTED = "transmis sans acquittement"
    REFUSED = "refusé"
    ERROR = "en erreur"
    CANCELLED = "annulé"


@dataclass(frozen=True)
class RemoteStatus:
    """A transaction's status: the platform's code, its meaning, the text that comes with it."""

    code: int
    state: RemoteState
    text: str = ""
    receipt: bytes = b""  # the ARActe, when the platform gives it with the status


@dataclass(frozen=True)
class RemoteAct:
    """An act in the TdT's list, to be compared with ours."""

    transaction: int
    number: str
    subject: str
    date: str
    status: int


@dataclass(frozen=True)
class Incoming:
    """A document that waits for the commune at the TdT: a letter of the préfecture or a PES Retour."""

    id: int
    kind: str  # lettre or pes_retour
    title: str
    letter: str = ""  # a key of LETTERS; "" when the platform does not say, or for a PES Retour
    number: str = ""  # of the act that a letter is about
    idacte: str = ""  # its identifier
    about: int = 0  # its transaction at the TdT, 0 when the platform does not say


# What the préfecture writes (ACTES protocol, transactions 2 to 5), as people say it.
LETTERS = {
    "courrier": "courrier simple",
    "pieces": "demande de pièces complémentaires",
    "observations": "lettre d'observations",
    "defere": "déféré au tribunal administratif",
}
# The protocol knows two answers to a request for pieces or to observations, one to a simple letter, none to a déféré.
ANSWERS = {"courrier": ("reponse",), "pieces": ("reponse", "refus"), "observations": ("reponse", "refus")}


@dataclass(frozen=True)
class Answer:
    """A commune's answer to a letter."""

    letter: int  # its transaction
    kind: str  # a key of ANSWERS
    sense: str  # one of ANSWERS[kind]
    files: tuple[Path, ...]  # the document, then the pieces that come with it


class Driver(ABC):
    """Every call may raise Unreachable, Denied, Uncertain or Refused (errors.py).

    Attributes:
        platform: the platform's name, as people say it.
        transmitted: its code of an act that the préfecture has and has not acknowledged yet.
    """

    platform: ClassVar[str]
    transmitted: ClassVar[int]

    @classmethod
    @abstractmethod
    def connect(cls, config: Config, progress: Callable[[], None]) -> Self:
        """The driver of a configuration; it calls `progress` at each piece of a long exchange. Nothing is sent."""

    @abstractmethod
    def close(self) -> None:
        """Give connections back; the next call opens them again."""

    @property
    @abstractmethod
    def server_date(self) -> datetime | None:
        """The TdT's clock at its last answer, None when it has not answered or does not tell."""

    @abstractmethod
    def check_connection(self) -> None:
        """Raise unless the TdT recognises the certificate."""

    @abstractmethod
    def logins(self) -> list[str]:
        """The accounts tied to the certificate."""

    @abstractmethod
    def is_rgs(self) -> bool:
        """Whether the TdT takes the certificate for an RGS one, without which it refuses acts."""

    @abstractmethod
    def classification(self) -> bytes:
        """The nomenclature, as XML."""

    @abstractmethod
    def request_classification(self) -> int:
        """Ask the préfecture for the nomenclature in force; returns the request's transaction."""

    @abstractmethod
    def classification_answered(self, transaction: int) -> bool:
        """Whether the préfecture has answered this request: the TdT then serves what it answered."""

    @abstractmethod
    def submit_act(self, act: Submission, folder: Path) -> int:
        """Post an act; returns its transaction. Raises Duplicate if the number is taken."""

    @abstractmethod
    def act_status(self, transaction: int) -> RemoteStatus:
        """Where the act stands, with the ARActe once acknowledged."""

    @abstractmethod
    def act_documents(self, transaction: int) -> dict[str, bytes]:
        """The stamped act (acte-tamponne.pdf) and the slip (bordereau.pdf), by file name."""

    @abstractmethod
    def act_original(self, transaction: int) -> bytes | None:
        """The act as the TdT holds it, or None while the TdT does not give it out."""

    @abstractmethod
    def find_acts(self, number: str) -> list[RemoteAct]:
        """Acts of this number in the TdT's list."""

    @abstractmethod
    def cancel_act(self, transaction: int) -> None:
        """Cancel an act that has not been transmitted."""

    @abstractmethod
    def submit_pes(self, path: Path) -> int:
        """Post a PES; returns its transaction. Raises Duplicate if the TdT already has this content."""

    @abstractmethod
    def find_pes(self, sha1: str) -> list[int]:
        """Transactions of the PES with this content. Raises Refused if the TdT does not let us look."""

    @abstractmethod
    def pes_status(self, transaction: int) -> RemoteStatus:
        """Where the PES stands."""

    @abstractmethod
    def pes_receipt(self, transaction: int) -> bytes:
        """The PES Acquit."""

    @abstractmethod
    def incoming(self) -> list[Incoming]:
        """Documents not yet marked as read."""

    @abstractmethod
    def fetch(self, item: Incoming) -> bytes:
        """The document itself: often a tar.gz."""

    @abstractmethod
    def mark_read(self, item: Incoming) -> None:
        """Tell the TdT that the document is safe here, and a letter in somebody's hands."""

    @abstractmethod
    def answer(self, answer: Answer) -> int:
        """Post an answer to a letter; returns its transaction."""

    @abstractmethod
    def find_answer(self, answer: Answer, about: int, others: Collection[int]) -> int | None:
        """The transaction under which the TdT holds an answer, None while it holds none. Raises Refused if it hides it.

        Args:
            answer: what was posted.
            about: transaction of the act that the letter is about.
            others: transactions of answers to other letters.
        """

    @abstractmethod
    def answer_status(self, transaction: int) -> RemoteStatus:
        """Where an answer stands, with the préfecture's receipt once there is one."""
