# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the archive room did in a year, from the sealed events of its journal that the control node holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Account:
    """A service versant's year.

    Attributes:
        accepted, refused: versements.
        octets: of what was accepted.
        read: archives communicated.
        eliminated: archives.
        transferred: archives that a public archives service took over.
        held: archives in the room at the end of the year, whenever they came.
    """

    accepted: int = 0
    refused: int = 0
    octets: int = 0
    read: int = 0
    eliminated: int = 0
    transferred: int = 0
    held: int = 0


@dataclass
class Year:
    """The room's year.

    Attributes:
        accounts: by name.
        anomalies: differences that fixity found.
        repaired: copies made again.
        refused_eliminations: eliminations that the system refused.
        converted, unconverted: archives that have a copy of what was in a format at risk, and refusals of one. Copies
            are versements too, and are counted as such.
        events: read in all.
    """

    accounts: dict[str, Account]
    anomalies: int = 0
    repaired: int = 0
    refused_eliminations: int = 0
    converted: int = 0
    unconverted: int = 0
    events: int = 0

    @property
    def whole(self) -> Account:
        """All accounts together."""
        return Account(**{name: sum(getattr(one, name) for one in self.accounts.values()) for name in _ACCOUNT_FIELDS})


_ACCOUNT_FIELDS = tuple(Account.__dataclass_fields__)
_COUNTED = {
    "versement.accepte": "accepted",
    "versement.refuse": "refused",
    "archive.communication": "read",
    "acces.remise": "read",
    "elimination.faite": "eliminated",
    "transfert.accepte": "transferred",
}
_HELD_CHANGES = {"versement.accepte": 1, "elimination.faite": -1}
_ANOMALIES = ("fixite.ecart", "fixite.perte", "fixite.quarantaine", "fixite.inconnu", "fixite.structure")


def year(home: Path, wanted: int) -> Year:
    """Count the events of a year (docs/design/journal.md says what a line holds); a line cut short is left out."""
    found = Year({})
    for file in sorted((home / "archive" / "sceaux").glob("*/evenements-*.jsonl")):
        with file.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict) and (moment := str(event.get("heure", "")))[:4] <= str(wanted):
                    _update_held(found, event)
                    if moment.startswith(f"{wanted}-"):
                        _count_event(found, event)
    found.accounts = {name: one for name, one in found.accounts.items() if one != Account()}
    return found


def _event_account(found: Year, event: Mapping[str, object]) -> Account:
    return found.accounts.setdefault(str(event.get("compte")), Account())


def _update_held(found: Year, event: Mapping[str, object]) -> None:
    if more := _HELD_CHANGES.get(str(event.get("evenement"))):
        _event_account(found, event).held += more


def _count_event(found: Year, event: Mapping[str, object]) -> None:
    found.events += 1
    name = str(event.get("evenement"))
    if what := _COUNTED.get(name):
        account = _event_account(found, event)
        setattr(account, what, getattr(account, what) + 1)
        detail = event.get("detail")
        if what == "accepted" and isinstance(detail, dict):
            octets = detail.get("octets")
            account.octets += octets if isinstance(octets, int) else 0
    found.anomalies += name in _ANOMALIES
    found.repaired += name == "fixite.reparation" and event.get("resultat") == "succes"
    found.refused_eliminations += name == "elimination.refus"
    found.converted += name == "conversion.faite"
    found.unconverted += name == "conversion.refusee"
