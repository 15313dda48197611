"""One pass: ask the door, verify, take, apply, tell. Whatever fails, what was in place stays as it was."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from creatic_agent.durable import write
from creatic_agent.figures import Figures
from creatic_flotte import emergency
from creatic_flotte import manifest as manifests
from creatic_flotte.door import Door
from creatic_flotte.manifest import Manifest, VersionFile
from creatic_flotte.run import Result, apply, asked, attested
from creatic_flotte.settings import Away, Failed, FleetError, Refused, Rejected, Settings
from creatic_flotte.state import State, encoded, room
from creatic_flotte.unpack import decrypt, unpack

FIGURES = "flotte.prom"
_AGAIN = dt.timedelta(hours=1)  # between two runs of a version that fails
_REPORT = 255 << 10  # bytes of a report; the door takes one more KiB
_METRICS = 128 << 10  # of which other programs' figures
_RELEVE = 256 << 10  # bytes of a relevé; one more says that it is too long, as to who fetches it by SSH

UP_TO_DATE, GOOD, FAILED, REFUSED, AWAY = "a_jour", "bon", "echec", "refus", "injoignable"
Apply = Callable[[Settings, Path, bool], Result]
Follow = Callable[[Settings, tuple[str, str] | None, int, dt.datetime], tuple[int, str]]


def clock() -> dt.datetime:
    """Now, by this machine."""
    return dt.datetime.now(dt.UTC)


class Passage:
    """One pass of one machine."""

    def __init__(
        self,
        settings: Settings,
        run: Apply = apply,
        now: Callable[[], dt.datetime] = clock,
        follow: Follow = emergency.follow,
    ) -> None:
        self.settings, self._run, self._now, self._follow = settings, run, now, follow
        self._said = ""  # of the emergency door
        self.state = State(settings.state)

    def perform(self) -> tuple[str, str]:
        """Pass once; gives how it ended and what to say of it (French)."""
        began = self._now()
        result = Result(True)
        try:
            with self.state.alone():
                try:
                    kind, text, result = self._pass()
                except OSError as error:
                    raise Failed(room(error)) from None
                finally:
                    shutil.rmtree(self.state.arrival, ignore_errors=True)
        except Away as error:
            kind, text = AWAY, str(error)
        except Refused as error:
            kind, text = REFUSED, str(error)
        except FleetError as error:
            kind, text = FAILED, str(error)
        text = ". ".join(filter(None, (text, self._said)))
        with contextlib.suppress(OSError, FleetError):  # a full disk must not hide why
            self._tell(kind, text, began, result)
        return kind, text

    def _pass(self) -> tuple[str, str, Result]:
        known = self.state.read()
        with Door(self.settings) as door:
            self._emergency(door)
            given = door.manifest()
            if given is None:
                return UP_TO_DATE, "le guichet n'a encore rien pour cette machine", Result(True)
            wanted = manifests.verify(self.settings, *given)
            manifests.check_order(wanted, known["version"], known["identite"])
            manifests.check_times(wanted, self._now(), door.clock)
            version = self.settings.state / "versions" / str(wanted.version)
            if wanted.version > known["version"] or not version.is_dir():
                version = self._take(door, wanted, known["version"])
                known = self.state.read()
        if not self._due(known):
            if known.get("echec"):
                return FAILED, f"version {wanted.version} : {known['echec']}", Result(False)
            return UP_TO_DATE, f"version {wanted.version} en place", Result(True)
        again = bool(known.get("posee"))
        self.state.note(essai=self._now().isoformat(timespec="seconds"))
        result = self._run(self.settings, version, again)
        if not result.good:
            self.state.note(echec=result.reason)
            return FAILED, f"version {wanted.version} : {result.reason}", result
        self.state.note(posee=True, echec="")
        self.state.purge(wanted.version)
        drift = f", {len(result.changed)} écarts corrigés" if again and result.changed else ""
        return GOOD, f"version {wanted.version} appliquée{drift}", result

    def _emergency(self, door: Door) -> None:
        """Open or close the emergency door as ordered; what is wrong with it keeps no version from its machine."""
        given = door.order()
        try:
            last = int(self.state.read().get("porte", 0))
            number, self._said = self._follow(self.settings, given, last, self._now())
            if number != last:
                self.state.note(porte=number)
        except FleetError as error:
            self._said = str(error)
        except OSError as error:
            self._said = f"porte de secours : {room(error)}"

    def _due(self, known: dict[str, Any]) -> bool:
        """Whether the version is to be applied: never yet, failed a while ago, or drift is to be looked for."""
        last = dt.datetime.fromisoformat(known["essai"]) if known.get("essai") else None
        if not last or not (known.get("posee") or known.get("echec")):
            return True
        since = abs(self._now() - last)  # a clock that was wrong holds nothing back
        return since >= (_AGAIN if known.get("echec") else dt.timedelta(seconds=self.settings.drift_seconds))

    def _take(self, door: Door, wanted: Manifest, before: int) -> Path:
        arrival = self.state.arrival
        archive, sealed, opened = arrival / "code.tar.gz", arrival / "donnees.p7m", arrival / "donnees.tar.gz"
        if not self._reuse(wanted.code, before, archive):
            door.fetch(wanted.code, archive)
        door.fetch(wanted.data, sealed)
        decrypt(self.settings, sealed, opened)
        unpack(archive, arrival / "code")
        unpack(opened, arrival / "donnees")
        sealed.unlink()
        opened.unlink()
        return self.state.place(wanted.version, wanted.identity)

    def _reuse(self, part: VersionFile, before: int, target: Path) -> bool:
        """Whether the code is that of the version before, whose archive is still what was signed."""
        old = self.state.versions / str(before) / "code.tar.gz"
        if not old.is_file() or old.stat().st_size != part.size:
            return False
        shutil.copyfile(old, target)
        if digest(target) == part.sha256:
            return True
        target.unlink()
        return False

    def _tell(self, kind: str, text: str, began: dt.datetime, result: Result) -> None:
        try:
            known = self.state.read()
        except Refused:  # a damaged state is what this says
            known = {}
        report = {
            "machine": self.settings.machine,
            "version": known.get("version", 0),
            "posee": bool(known.get("posee")),
            "genre": kind,
            "texte": text[:1000],
            "debut": began.isoformat(timespec="seconds"),
            "fin": self._now().isoformat(timespec="seconds"),
            "modifies": result.changed,
            "preuves": result.proofs,
            "demandes": asked(self.settings, self.settings.state / "versions" / str(known.get("version", 0))),
        }
        report = json.loads(encoded(report))  # as the door will read it
        report |= attested(self.settings, report, str(known.get("identite", "")))
        figures = Figures("creatic_flotte_")
        figures.add("version", "Highest version taken.", int(known.get("version", 0)))
        figures.add("last_pass_timestamp_seconds", "End of the last pass.", int(self._now().timestamp()))
        figures.add("last_pass_good", "1 when it went well.", int(kind in (GOOD, UP_TO_DATE)))
        with contextlib.suppress(OSError):
            write(self.settings.metrics / FIGURES, str(figures).encode(), 0o644)
        if known:
            self.state.note(dernier={key: report[key] for key in ("genre", "texte", "fin")})
        # What tells nothing new is not kept: it is said by the pass itself, with the figures.
        if kind != AWAY:
            if len(encoded(report)) > _REPORT:
                report["demandes"] = {}  # they are asked for again by the next one
            left = min(_METRICS, _REPORT - len(encoded(report)))
            self.state.tell(report | {"mesures": _metrics(self.settings.metrics, left)})
        self._deliver()

    def _deliver(self) -> None:
        """Hand over what waits, and a relevé that it has not yet; what the door will never take goes."""
        waiting, (releve, made) = self.state.waiting(), self._releve()
        if not waiting and not made:
            return
        with Door(self.settings) as door:
            for file in waiting:
                # A door that does not know this machine today, or a clock that is wrong, loses nothing of it.
                with contextlib.suppress(Rejected):
                    door.report(file.read_bytes())
                file.unlink()
            carried = bool(made)
            with contextlib.suppress(Rejected):
                carried = carried and door.carry(releve)
            if carried:
                self.state.note(releve=made)

    def _releve(self) -> tuple[bytes, str]:
        """A relevé that the door has not yet, and its digest; empty for none."""
        with contextlib.suppress(OSError, Refused), self.settings.releve.open("rb") as stream:
            releve = stream.read(_RELEVE + 1)
            made = hashlib.sha256(releve).hexdigest()
            if made != self.state.read().get("releve"):
                return releve, made
        return b"", ""


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _metrics(folder: Path, left: int) -> dict[str, str]:
    """The figures that programs of this machine leave for Prometheus, within a number of bytes of the report."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.prom")):
        with contextlib.suppress(OSError, ValueError):
            if path.is_symlink() or not path.is_file() or path.stat().st_size > left:
                continue
            one = {path.name[:80]: path.read_text(encoding="utf-8")}
            if (size := len(encoded(one))) <= left:
                found |= one
                left -= size
    return found


def journal(folder: Path) -> str:
    """What the last pass said, for a person."""
    known = json.loads((folder / "etat.json").read_text(encoding="utf-8"))
    last = known.get("dernier", {})
    return f"Version {known['version']} ({'en place' if known.get('posee') else 'pas encore appliquée'}). " + (
        f"Dernier passage : {last['texte']} ({last['fin']})" if last else "Aucun passage."
    )
