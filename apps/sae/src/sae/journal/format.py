"""The format of seals: a batch of events, its Merkle root, the seal before it, an RFC 3161 timestamp over all three.

A seal is a JSON file in three parts::

    {"entete": "<canonical JSON, as text: these very bytes are timestamped>",
     "feuilles": ["<hash of each event, to say which one was changed>", …],
     "jeton": "<base64 of the TimeStampResp>"}

and its header::

    {"dernier":42,"format":1,"heure":"…","journal":"<identifier>","numero":3,"precedent":"<hash of seal 2>",
     "premier":17,"racine":"<Merkle root>"}
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sae.journal import canonical, merkle
from sae.journal.log import parse_time

# A machine further from the storage's clock, or from the timestamp, than that has a wrong clock.
SKEW = timedelta(seconds=60)
_INTEGER_FIELDS = ("format", "numero", "premier", "dernier")
_TEXT_FIELDS = ("heure", "journal", "precedent", "racine")


class SealError(Exception):
    """A seal could not be made, kept or read; the message is French."""


@dataclass(frozen=True)
class Seal:
    """One seal; see this module's docstring for its parts."""

    header: str
    leaves: tuple[bytes, ...]
    token: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The header's fields."""
        found: dict[str, Any] = json.loads(self.header)
        return found

    @property
    def hash(self) -> bytes:
        """What the next seal names: the header and its timestamp (a header has no line end of its own)."""
        return merkle.digest(self.header.encode() + b"\n" + self.token)

    def write(self) -> str:
        """The seal's file."""
        parts = {
            "entete": self.header,
            "feuilles": [leaf.hex() for leaf in self.leaves],
            "jeton": base64.b64encode(self.token).decode(),
        }
        return canonical.encode(parts) + "\n"

    @classmethod
    def read(cls, text: str) -> Seal:
        """The seal of a file.

        Raises:
            SealError: this is no seal.
        """
        try:
            parts = json.loads(text)
            seal = cls(
                str(parts["entete"]),
                tuple(bytes.fromhex(leaf) for leaf in parts["feuilles"]),
                base64.b64decode(parts["jeton"], validate=True),
            )
            fields = seal.fields
            if sorted(fields) != sorted(_INTEGER_FIELDS + _TEXT_FIELDS):
                raise ValueError
            if not all(type(fields[key]) is int for key in _INTEGER_FIELDS):
                raise ValueError
            if not all(type(fields[key]) is str for key in _TEXT_FIELDS):
                raise ValueError
            if not canonical.is_canonical(seal.header) or fields["format"] != 1:
                raise ValueError
            parse_time(fields["heure"])
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError, binascii.Error):
            raise SealError("ce n'est pas un sceau, ou il est abîmé") from None
        return seal


def seal_name(number: int) -> str:
    """Name of a seal's file, here and in the storage."""
    return f"sceau-{number:08d}.json"


def events_name(number: int) -> str:
    """Name of the file which holds the events of that seal, one line each."""
    return f"evenements-{number:08d}.jsonl"
