"""What the archive must hold, as its journal says: the reference for fixity, export and elimination."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sae.journal import Event, Journal
from sae.journal.log import parse_time
from sae.store import CorruptedObjectError, Store, first_good

_ARCHIVE_BLOCK_BYTES = 1 << 20

CONTAINER = "aip"
ACCEPTED = "versement.accepte"
ELIMINATING = "elimination.debut"
ELIMINATED = "elimination.faite"
TRANSFERRED = "transfert.accepte"
CONVERTED = "conversion.faite"
CONVERSION = "CONVERSION-"  # begins the identifier of a copy in another format; its original's follows
_COPY = re.compile(CONVERSION + r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:-\d+)?")


@dataclass(frozen=True)
class AcceptedArchive:
    """An AIP that was accepted, at `taken`. Times count seconds since the epoch; `action` is Keep or Destroy."""

    account: str
    aip: str
    sha512: str
    bytes: int
    retain_until: int
    action: str
    title: str
    taken: float = 0.0

    @property
    def name(self) -> str:
        """Name of its object in the container `aip` of its account."""
        return object_name(self.aip)


def object_name(aip: str) -> str:
    """Name of an AIP's object."""
    return f"{aip}.tar"


def original(message: str) -> str:
    """The archive of which the one of this identifier is a copy in another format; empty when it is no copy."""
    found = _COPY.fullmatch(message)
    return found[1] if found else ""


def changes(events: Iterable[Event]) -> Iterator[tuple[Event, AcceptedArchive | None]]:
    """Events that add an AIP (with it) or take one away (None), in order."""
    for event in events:
        if event.aip is None:
            continue
        if event.event == ACCEPTED and event.outcome == "succes":
            detail = event.detail
            yield (
                event,
                AcceptedArchive(
                    event.account,
                    event.aip,
                    str(detail["aip_sha512"]),
                    int(detail["octets"]),
                    int(detail["conserve_jusqua"]),
                    str(detail["sort_final"]),
                    str(detail.get("identifiant", "")),
                    parse_time(event.time).timestamp(),
                ),
            )
        elif event.event == ELIMINATED and event.outcome == "succes":
            yield event, None


def find(journal: Journal, aip: str) -> AcceptedArchive | None:
    """An AIP that was accepted and not eliminated."""
    states = [known for _, known in changes(journal.events(aip=aip))]
    return states[-1] if states else None


def eliminated(journal: Journal, aip: str) -> bool:
    """True once its elimination is done."""
    return any(known is None for _, known in changes(journal.events(aip=aip)))


def leaving(journal: Journal, aip: str) -> bool:
    """True when its elimination has begun, or is done: it may be missing."""
    told = [event.event for event in journal.events(aip=aip) if event.event in (ACCEPTED, ELIMINATING, ELIMINATED)]
    return bool(told) and told[-1] != ACCEPTED


def copies(journal: Journal, aip: str) -> list[str]:
    """The archives that are its copies in another format, and are still here."""
    told = (str(event.detail["copie"]) for event in journal.events(aip=aip) if event.event == CONVERTED)
    return [one for one in dict.fromkeys(told) if find(journal, one) is not None]


def transferred(journal: Journal, known: AcceptedArchive) -> str:
    """The transfer by which a public archives service took these very bytes over; empty if none did."""
    found = [
        str(event.detail["transfert"])
        for event in journal.events(aip=known.aip)
        if event.event == TRANSFERRED and event.outcome == "succes" and event.detail["aip_sha512"] == known.sha512
    ]
    return found[-1] if found else ""


def all_kept(journal: Journal) -> dict[str, AcceptedArchive]:
    """Every AIP that was accepted and whose elimination has not begun, in the order in which they came."""
    kept: dict[str, AcceptedArchive] = {}
    for event in journal.events():
        if event.aip is not None and event.event in (ELIMINATING, ELIMINATED):
            kept.pop(event.aip, None)
        for _, known in changes([event]):
            if known is not None:
                kept[known.aip] = known
    return kept


def of_account(journal: Journal, account: str) -> dict[str, AcceptedArchive]:
    """Every AIP of an account, by identifier."""
    kept: dict[str, AcceptedArchive] = {}
    for event, known in changes(journal.events()):
        if event.account != account or event.aip is None:
            continue
        if known is None:
            kept.pop(event.aip, None)
        else:
            kept[event.aip] = known
    return kept


def bring(stores: Sequence[tuple[str, Store]], known: AcceptedArchive, target: Path) -> None:
    """Write an archive as one file, from the first place that gives the bytes that the journal knows.

    Raises StoreError: no place gives them; OSError: this machine's disk.
    """

    def take(store: Store) -> None:
        digest = hashlib.sha512()
        with target.open("wb") as output, store.get(known.account, CONTAINER, known.name) as source:
            while block := source.read(_ARCHIVE_BLOCK_BYTES):
                digest.update(block)
                output.write(block)
        if digest.hexdigest() != known.sha512:
            raise CorruptedObjectError(f"{known.aip} : les octets du stockage ne sont pas ceux du journal")

    first_good(stores, take)
