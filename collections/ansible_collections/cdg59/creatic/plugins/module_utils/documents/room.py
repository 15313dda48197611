# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the archive room did in a year, from the sealed events of its journal that the control node holds."""

from __future__ import annotations

import json
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
    """

    accepted: int = 0
    refused: int = 0
    octets: int = 0
    read: int = 0
    eliminated: int = 0


@dataclass
class Year:
    """The room's year.

    Attributes:
        accounts: by name.
        anomalies: differences that fixity found.
        repaired: copies made again.
        events: read in all.
    """

    accounts: dict[str, Account]
    anomalies: int = 0
    repaired: int = 0
    events: int = 0


_COUNTED = {
    "versement.accepte": "accepted",
    "versement.refuse": "refused",
    "archive.communication": "read",
    "elimination.faite": "eliminated",
}
_ANOMALIES = ("fixite.ecart", "fixite.perte", "fixite.quarantaine", "fixite.inconnu")


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
                if isinstance(event, dict) and str(event.get("heure", "")).startswith(f"{wanted}-"):
                    _count(found, event)
    return found


def _count(found: Year, event: dict[str, object]) -> None:
    found.events += 1
    name = str(event.get("evenement"))
    if what := _COUNTED.get(name):
        account = found.accounts.setdefault(str(event.get("compte")), Account())
        setattr(account, what, getattr(account, what) + 1)
        detail = event.get("detail")
        if what == "accepted" and isinstance(detail, dict):
            octets = detail.get("octets")
            account.octets += octets if isinstance(octets, int) else 0
    found.anomalies += name in _ANOMALIES
    found.repaired += name == "fixite.reparation" and event.get("resultat") == "succes"
