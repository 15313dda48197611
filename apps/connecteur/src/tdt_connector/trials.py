"""Test acts of one version of a machine that proves itself: one is enough, and what fails does not fill the TdT.

A machine that nobody reaches tries again each hour (role flotte) what it could not prove. What its test act became is
kept here, over reboots: an act on its way is waited for, one that proved is not made again, and after one that proved
nothing the next waits, then none leaves any more before another version.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from creatic_agent.durable import write

FILE = "essais.json"
WAITS = (timedelta(hours=6), timedelta(hours=24))
"""Before the second act of a version, and the third, which is the last."""
FRESH = timedelta(hours=20)
"""Age at which an ARActe may be refused for another day's (evidence/act.py): the act is made again, and counted."""


class Trials:
    """The test acts of a version.

    Args:
        folder: state of the connector.
        version: of the fleet, as a word; another one begins anew.
    """

    def __init__(self, folder: Path, version: str) -> None:
        self._file = folder / FILE
        none: dict[str, Any] = {"version": version, "essais": 0, "dernier": "", "numero": "", "preuve": None}
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            if int(found["essais"]):
                datetime.fromisoformat(found["dernier"])
            self._known, self._damaged = none | found if found["version"] == version else none, False
        except FileNotFoundError:
            self._known, self._damaged = none, False
        except (ValueError, KeyError, TypeError):
            self._known, self._damaged = none, True

    def followed(self, now: datetime) -> str:
        """Number of the last act while it may still prove; empty when there is none."""
        return str(self._known["numero"]) if self._known["numero"] and self._since(now) < FRESH else ""

    def proved(self, now: datetime, *, lasts: bool) -> tuple[dict[str, Any], list[str]] | None:
        """The proof that this version was given, with its files.

        Args:
            now: by this machine.
            lasts: it does so as long as the version; else as long as its ARActe is of the day.
        """
        kept = self._known["preuve"]
        if not kept or not (lasts or self._since(now) < FRESH):
            return None
        return kept["preuve"], kept["fichiers"]

    def refusal(self, now: datetime) -> str:
        """Why no act leaves now (French); empty when one may."""
        if self._damaged:
            return f"{self._file} est abîmé : aucun acte de test ne part. À faire : effacez ce fichier"
        count = int(self._known["essais"])
        if not count:
            return ""
        told = f"{count} acte{'s' * (count > 1)} de test de cette version n'{'ont' if count > 1 else 'a'} rien prouvé"
        if count > len(WAITS):
            return f"{told} : aucun autre ne part. À faire : corrigez la cause, puis fab flotte.publier"
        if (left := WAITS[count - 1] - self._since(now)) > timedelta():
            return f"{told} : le prochain part au plus tôt dans {-(-left // timedelta(hours=1))} h"
        return ""

    def leaves(self, number: str, now: datetime) -> None:
        """Note an act before it leaves: were the machine to stop then, it counts."""
        count = int(self._known["essais"]) + 1
        self._note(essais=count, dernier=now.astimezone(UTC).isoformat(timespec="seconds"), numero=number, preuve=None)

    def keep(self, proof: dict[str, Any], files: list[str]) -> None:
        """Keep what proved."""
        self._note(preuve={"preuve": proof, "fichiers": files})

    def _since(self, now: datetime) -> timedelta:
        return abs(now - datetime.fromisoformat(self._known["dernier"]))  # a clock that was wrong holds nothing back

    def _note(self, **what: Any) -> None:
        self._known |= what
        write(self._file, json.dumps(self._known, ensure_ascii=False).encode(), 0o600)
