"""What this machine took, what it has to tell, and the folders of versions. Crash-safe: a name appears whole.

etat.json                 highest version ever taken, and how the last pass ended
versions/12/              a version that was taken: code/, donnees/
arrivee/                  what is on its way; emptied at each pass
courrier/*.json           reports that the door has not acknowledged
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from creatic_agent.durable import sync_directory, write
from creatic_flotte.settings import Away, FleetError, Refused

_KEPT = 2  # versions
_WAITING = 20  # reports


class State:
    """The folder of this program; one pass at a time has it (`alone`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions = folder / "versions"
        self.arrival = folder / "arrivee"
        self.outbox = folder / "courrier"
        self._file = folder / "etat.json"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other passes out, and begin with nothing half-arrived.

        Raises:
            Away: another pass is at it. FleetError: no room, or no right, to work there.
        """
        try:
            for one in (self.versions, self.outbox):
                one.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self.folder / "verrou").open("w") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise Away("un autre passage est en cours sur cette machine") from None
                shutil.rmtree(self.arrival, ignore_errors=True)
                self.arrival.mkdir(mode=0o700)
                yield
        except OSError as error:
            raise FleetError(room(error)) from None

    def read(self) -> dict[str, Any]:
        """What is known; a version that is in place counts, were the file lost.

        Raises:
            Refused: the file is there and cannot be read: it is never taken for « nothing was ever taken ».
        """
        known: dict[str, Any] = {"version": 0, "identite": ""}
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            if not isinstance(found, dict) or type(found.get("version")) is not int:
                raise ValueError
            known |= found
        except FileNotFoundError:
            pass
        except ValueError:
            raise Refused(f"{self._file} est abîmé : rien n'est pris avant que le groupement l'ait vu") from None
        highest = max((int(one.name) for one in self.versions.iterdir() if one.name.isdecimal()), default=0)
        if highest > known["version"]:  # died between the two
            identity = self.versions / str(highest) / "identite"
            known |= {"version": highest, "identite": identity.read_text() if identity.is_file() else ""}
            known |= {"posee": False, "echec": ""}  # of the version before
        return known

    def note(self, **what: Any) -> None:
        """Keep more, at once and for good."""
        write(self._file, encoded(self.read() | what, 1), 0o600)

    def place(self, version: int, identity: str) -> Path:
        """Put what arrived in its place: from here on this machine takes nothing older."""
        target = self.versions / str(version)
        write(self.arrival / "identite", identity.encode(), 0o600)
        shutil.rmtree(target, ignore_errors=True)  # of this very version, its content checked again since
        self.arrival.rename(target)
        sync_directory(self.versions)
        self.note(version=version, identite=identity, posee=False, echec="")
        return target

    def purge(self, keep: int) -> None:
        """Leave the version in use, and the one before."""
        there = sorted((int(one.name) for one in self.versions.iterdir() if one.name.isdecimal()), reverse=True)
        for number in [one for one in there if one != keep][_KEPT - 1 :]:
            shutil.rmtree(self.versions / str(number), ignore_errors=True)

    def tell(self, report: dict[str, Any]) -> None:
        """Keep a report until the door has it; the oldest go when too many wait, the last that proves apart."""
        # A clock that was set back changes no order.
        moment = max([time.time_ns(), *(int(one.name[:20]) + 1 for one in self.waiting()[-1:])])
        write(self.outbox / f"{moment:020d}-{secrets.token_hex(4)}.json", encoded(report), 0o600)
        waiting = self.waiting()
        proving = [one for one in waiting if _proves(one)][-1:] if len(waiting) > _WAITING else []
        for old in [one for one in waiting if one not in proving][: max(0, len(waiting) - _WAITING)]:
            old.unlink(missing_ok=True)

    def waiting(self) -> list[Path]:
        """Reports to hand over, oldest first."""
        return sorted(self.outbox.glob("*.json"))


def encoded(content: Any, indent: int | None = None) -> bytes:
    """JSON of what programs said; half a character, that no file holds, is shown as « ? »."""
    return json.dumps(content, ensure_ascii=False, indent=indent).encode(errors="replace")


def _proves(report: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return bool(json.loads(report.read_bytes())["preuves"])
    return False


def room(error: OSError) -> str:
    """What a fault of the disk is called."""
    told = {errno.ENOSPC: "le disque de cette machine est plein", errno.EDQUOT: "le quota du disque est atteint"}
    told |= {errno.EFBIG: "fichier trop gros", errno.EACCES: "un dossier de cette machine est fermé"}
    told |= {errno.EROFS: "le disque de cette machine est en lecture seule"}
    why = told.get(error.errno or 0, f"le disque de cette machine ne répond pas comme il faut ({type(error).__name__})")
    return f"{why} : ce qui était en place est gardé, le prochain passage réessaiera"
