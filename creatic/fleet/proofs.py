# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The last report with proofs of each machine, brought from the door once: each time, what is new since the last.

In the state's folder ``flotte/preuves``::

    gondecourt-connecteur.json    what that machine proved last
    .suite.json                   machines that were expected then, those that have a file, reports that are known

Nothing rests on the door's numbers or clock alone: it may come from a backup, its clock may be behind. A report is
known by its number and its digest; of two reports of a machine, the one that is older by its version and its date is
the old one, and any other is taken. Nothing rests on the door's word either: what a machine did not sign (`attested`)
is not kept, and is told. All that the door has is asked for again when a machine comes into the inventory, or when a
file of before is not there, cannot be read, or is not signed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write

from creatic.fleet import attested
from creatic.fleet.signing import FleetError

_MAX_MARK_COUNT = 20  # reports by which the door finds where it was
_MAX_ANSWERS_PER_COMMAND = 1000  # in a row: 19,000 machines take 25; what is left comes with the next command
_NEXT = ".suite.json"
_PROOF_DIGEST_PATTERN = re.compile(r"[0-9a-f]{64}")


class Proofs:
    """What the control node keeps of them.

    Args:
        folder: made when it is not there.
        ask: given the reports that are known, as the door reads them (``creatic-guichet preuves --apres``), gives its
            answer: ``preuves``, and whether there are more (``reste``).
        keys: those by which machines sign their reports.

    Attributes:
        refused: why what the door told of a machine is not its word (French), by name.
    """

    def __init__(self, folder: Path, ask: Callable[[str], Any], keys: attested.Keys = lambda _name: ()) -> None:
        self._folder, self._ask, self._keys = folder, ask, keys
        self.refused: dict[str, str] = {}

    def bring(self, expected: Collection[str], wanted: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        """Ask the door for what is new, keep it, and give what machines proved last.

        Args:
            expected: machines of the inventory; what is kept of others is deleted.
            wanted: those to give; all of them by default.

        Raises:
            FleetError: the door does not answer, or answers something else; what was kept stays.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / ".verrou").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # who comes meanwhile waits, then finds it done
            for left in self._folder.glob(".*.json.*"):  # of a command that died while it wrote
                left.unlink()
            there = {path.stem for path in self._folder.glob("[!.]*.json")}
            for name in there - {*expected}:
                (self._folder / f"{name}.json").unlink()
            found = {name: one for name in wanted or expected if (one := self._read_file(f"{name}.json"))}
            marks = self._resume_marks({*expected}, {*found} | (there - {*(wanted or expected)}))
            for _answer in range(_MAX_ANSWERS_PER_COMMAND):
                told, more = _check_answer(self._ask(",".join(f"{number}:{sha256}" for number, sha256 in marks) or "0"))
                for name, one in told.items():
                    if name in expected and (kept := self._store_proof(name, one)) and name in (wanted or expected):
                        found[name] = kept
                last = [(one["numero"], one["sha256"]) for one in reversed(told.values())]
                marks = [*last, *(mark for mark in marks if mark not in last)][:_MAX_MARK_COUNT]
                has = {path.stem for path in self._folder.glob("[!.]*.json")}
                state = {"machines": sorted(expected), "preuves": sorted(has), "marques": marks}
                write(self._folder / _NEXT, json.dumps(state).encode(), 0o600)
                if not more:
                    break
        return found

    def _resume_marks(self, expected: set[str], there: set[str]) -> list[tuple[int, str]]:
        """The reports by which the door goes on from where it was; none when it must tell all that it has."""
        state = self._read_file(_NEXT)
        with contextlib.suppress(KeyError, TypeError, ValueError):
            if expected <= {*state["machines"]} and {*state["preuves"]} & expected <= there:
                return [(int(number), str(sha256)) for number, sha256 in state["marques"]]
        return []

    def _store_proof(self, name: str, one: dict[str, Any]) -> dict[str, Any]:
        """Keep what a machine proved, unless it is what it proved before, or is not its word; what is kept."""
        try:
            said = attested.proofs(name, one, self._keys)
        except attested.UnverifiedReportError as error:
            self.refused[name] = str(error)
            return {}
        before = self._read_file(f"{name}.json")
        if before:
            (version, moment), (version_, moment_) = _report_order(said), _report_order(before)
            if version <= version_ and moment <= moment_:
                return {}
        write(self._folder / f"{name}.json", json.dumps(said, ensure_ascii=False).encode(), 0o600)
        return said

    def _read_file(self, name: str) -> Any:
        """Content of a file; empty when it is not there, or cannot be read."""
        with contextlib.suppress(OSError, ValueError, attested.UnverifiedReportError):
            found = json.loads((self._folder / name).read_text(encoding="utf-8"))
            if name == _NEXT:
                return found
            if _is_proof(found):
                return attested.proofs(name.removesuffix(".json"), found, self._keys)
        return {}


def _report_order(one: Mapping[str, Any]) -> tuple[int, dt.datetime]:
    return one["version"], dt.datetime.fromisoformat(one["fin"])


def _is_proof(one: Any) -> bool:
    try:
        return bool(
            type(one["version"]) is int
            and type(one["numero"]) is int
            and _PROOF_DIGEST_PATTERN.fullmatch(one["sha256"])
            and dt.datetime.fromisoformat(one["recu"]).tzinfo
            and isinstance(one["preuves"], list)
        )
    except (KeyError, TypeError, ValueError):
        return False


def _check_answer(answer: Any) -> tuple[dict[str, dict[str, Any]], bool]:
    """What the door tells, and whether there is more. Raises FleetError: it is something else."""
    told = answer.get("preuves") if isinstance(answer, dict) else None
    if not isinstance(told, dict) or not all(map(_is_proof, told.values())):
        raise FleetError("le guichet ne dit pas ce qui est prouvé : redéployez-le (fab serveurs guichet)")
    return told, bool(answer.get("reste")) and bool(told)
