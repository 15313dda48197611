"""An act, from the meeting that decides it to the archives: one set of names for its fields, whatever a format calls
them.

What machines exchange and keep has names of its own, in French, which stay: another machine may have yesterday's
programs. They are here, once; `from_wire` and `to_wire` stand at each boundary, and nothing between two boundaries
knows them. Plone's and Mayan's applications keep acts in fields of their databases, that have the names of SERVERS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

# What each format calls the fields of an act. Between servers, and in the passerelle's table:
SERVERS = {
    "reference": "reference",
    "commune": "commune",
    "uid": "uid",
    "circuit": "circuit",
    "number": "numero",
    "date": "date",
    "subject": "objet",
    "matter": "matiere",
    "nature": "nature",
    "type": "type",
    "transmission": "transmission",
}
# The file that is dropped beside an act in the connector's hot folder:
DESCRIPTION = {
    "number": "numero",
    "subject": "objet",
    "date": "date",
    "nature": "nature",
    "matter": "classification",
    "type": "type",
    "transmission": "transmission",
}
# resume.json, in the last folder of an act at the connector, of which its versement is made:
SUMMARY = {
    "number": "numero",
    "date": "date",
    "subject": "objet_transmis",
    "nature": "nature",
    "matter": "classification",
}
# The metadata of the document store:
FILED = {"number": "numero", "date": "date_acte", "subject": "objet"}

# What `transmission` says (CGCT, L2131-2): it goes to the préfecture, or it does not. Absent, an act goes out.
GOES, STAYS = "oui", "non"
_ALWAYS = ("number", "date", "subject", "matter")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class ActError(ValueError):
    """What was told is no act; the text is French."""


@dataclass(frozen=True)
class File:
    """A file of an act: its document, or an annex.

    Attributes:
        type: of document, for the préfecture (99_DE).
        url: where the deliberations' server has it.
        piece: its number at the parapheur.
    """

    name: str
    sha256: str = ""
    type: str = ""
    url: str = ""
    piece: int | None = None

    @classmethod
    def from_wire(cls, raw: object) -> Self:
        """As servers tell it. Raises ActError."""
        if not isinstance(raw, Mapping):
            raise ActError("un fichier de l'acte n'est pas décrit : son nom et son empreinte (sha256) sont attendus.")
        piece = raw.get("piece")
        told = {field: _text(raw, field) for field in ("sha256", "type", "url")}
        return cls(_text(raw, "nom"), piece=piece if isinstance(piece, int) else None, **told)

    def to_wire(self) -> dict[str, Any]:
        """Inverse of from_wire: its name, and what is known besides."""
        told = {field: getattr(self, field) for field in ("sha256", "type", "url") if getattr(self, field)}
        return {"nom": self.name, **told, **({} if self.piece is None else {"piece": self.piece})}


@dataclass(frozen=True, kw_only=True)
class Act:
    """An act, as every application has it. Texts that nobody told are empty.

    Attributes:
        reference: its own in the chain, for life: of who announced it.
        commune: whose it is (`slug`); an entity has its own.
        uid: of its projet, at the deliberations' server.
        circuit: what was decided, by whom (deliberation, arrete, marche), or a flow of accounts (pes).
        number: in the register, and at the préfecture.
        date: when it was decided, YYYY-MM-DD.
        matter: a code of the préfecture's list, « 7.1 ».
        nature: of the @CTES protocol, « 1 » to « 6 », or D for a décision by delegation.
        type: of its document, for the préfecture.
        transmission: GOES, STAYS, or nothing when nobody said it.
        main: its own file; None while nobody said which.
        budget: the XML that a délibération adopts, which goes in its envelope (CGCT, L1612-8); None without any.
    """

    reference: str = ""
    commune: str = ""
    uid: str = ""
    circuit: str = ""
    number: str = ""
    date: str = ""
    subject: str = ""
    matter: str = ""
    nature: str = ""
    type: str = ""
    transmission: str = ""
    main: File | None = None
    annexes: tuple[File, ...] = ()
    budget: File | None = None

    @classmethod
    def from_wire(cls, raw: Mapping[str, Any], names: Mapping[str, str] = SERVERS, **more: Any) -> Self:
        """Read an act of one of the formats above, with its files where servers tell them. Raises ActError.

        Args:
            raw: what was told; what is no text says nothing.
            names: of the format.
            more: fields that are known otherwise.
        """
        told: dict[str, Any] = {field: _text(raw, name) for field, name in names.items()}
        if names is SERVERS:
            annexes = raw.get("annexes") or []
            if not isinstance(annexes, list):
                raise ActError("le champ « annexes » n'est pas une liste.")
            told["annexes"] = tuple(map(File.from_wire, annexes))
            told["main"] = File.from_wire(raw["document"]) if raw.get("document") else None
            told["budget"] = File.from_wire(raw["budget"]) if raw.get("budget") else None
        return cls(**told | more)

    def to_wire(self) -> dict[str, Any]:
        """As servers tell it: who it is and how it goes where it is known, and its files. Whose it is stands beside."""
        told = {
            name: getattr(self, field)
            for field, name in SERVERS.items()
            if field not in ("reference", "commune") and (field in _ALWAYS or getattr(self, field))
        }
        document = {} if self.main is None else {"document": self.main.to_wire()}
        budget = {} if self.budget is None else {"budget": self.budget.to_wire()}
        return {**told, **document, **budget, "annexes": [one.to_wire() for one in self.annexes]}

    def named(self, names: Mapping[str, str], *fields: str) -> dict[str, str]:
        """Its texts by the names of a format: these fields, all of the format without any."""
        return {names[field]: getattr(self, field) for field in fields or names}

    @property
    def joined(self) -> tuple[File, ...]:
        """Its annexes, then its budget."""
        return (*self.annexes, *([self.budget] if self.budget else []))

    @property
    def files(self) -> tuple[File, ...]:
        """Its own file, then what is joined to it."""
        return (*([self.main] if self.main else []), *self.joined)

    @property
    def day(self) -> str:
        """Its date without an hour, which some tell."""
        return self.date[:10]

    @property
    def goes(self) -> bool:
        """Whether it is for the préfecture (CGCT, L2131-2)."""
        return self.transmission != STAYS

    def problem(self, *needed: str) -> str:
        """What is wrong with what every act has, and with what is `needed` besides, in French, or ""."""
        for field in (*needed, "number", "date", "subject"):
            if not getattr(self, field).strip():
                return f"le champ « {SERVERS[field]} » manque."
        try:
            if _DAY.fullmatch(self.day):
                date.fromisoformat(self.day)
                return ""
        except ValueError:
            pass
        return f"le champ « date » n'est pas une date : « {self.date} »."


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else ""
