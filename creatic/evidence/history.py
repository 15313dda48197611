# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Who ran which command on this control node, when, and how it ended.

``historique.jsonl``, in the control node's state: one JSON object a line, only ever appended. A command writes one line
when it begins and one when it ends, with the same ``id``; one that has no end was killed, or goes on.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import append
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now

from creatic.commands import written_today
from creatic.evidence.store import TIMER, is_running, operator, owner

FILE = "historique.jsonl"
DONE, FAILED, STOPPED, GOING = "réussi", "échec", "interrompu", "en cours"
SERVICE = "creatic-fab@{}.service"
"""Unit of a planned command (role control_node)."""


@dataclass(frozen=True)
class Entry:
    """A command that was run.

    Attributes:
        began: when, ISO 8601.
        by: who, and on which machine.
        command: as it was typed.
        seconds: how long it took; None when it has no end.
        result: one of DONE, FAILED, STOPPED, GOING.
    """

    began: str
    by: str
    command: str
    seconds: float | None
    result: str


class Note:
    """A command being noted; `end` says how it ended.

    Args:
        home: state of the control node.
        command: as it was typed.

    Raises:
        OSError: the history cannot be written.
    """

    def __init__(self, home: Path, command: Sequence[str]) -> None:
        self._path, self._clock = home / FILE, time.monotonic()
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        began = now().isoformat(timespec="milliseconds")
        self._id = secrets.token_hex(8)
        who = owner(os.getpid(), operator())
        text = " ".join(_quote_word(word) for word in command)
        self._append_line({"id": self._id, "le": began, "par": who["proprietaire"], "commande": text, "qui": who})

    def end(self, result: str) -> None:
        """Note the end. Raises OSError."""
        self._append_line({"id": self._id, "resultat": result, "secondes": round(time.monotonic() - self._clock, 1)})

    def _append_line(self, entry: dict[str, Any]) -> None:
        append(self._path, (json.dumps(entry, ensure_ascii=False) + "\n").encode())


def read(home: Path, word: str = "") -> list[Entry]:
    """Give the commands that were run, the last one last; a line that cannot be read is left out.

    Args:
        home: state of the control node.
        word: what the command, its author or its end must hold, whatever the case; nothing for all.
    """
    try:
        # Not splitlines: JSON leaves Unicode's other ends of lines as they are.
        lines = (home / FILE).read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    begun: dict[str, dict[str, Any]] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            held = begun.setdefault(str(entry["id"]), {})
        except (ValueError, KeyError, TypeError):
            continue
        held |= entry
    found = [_parse_entry(held) for held in begun.values() if "commande" in held]
    wanted = word.casefold()
    return [one for one in found if wanted in f"{one.command} {one.by} {one.result} {one.began}".casefold()]


def unattended(home: Path) -> dict[str, str]:
    """Tell, in French and by command, which timers' last run did not succeed here; any later success settles one.

    Args:
        home: state of the control node.
    """
    last: dict[str, Entry] = {}
    for one in read(home):
        command = written_today(one.command)
        if one.result == DONE:
            last.pop(command, None)
        elif one.result != GOING and one.by == f"{TIMER}@{socket.gethostname()}":
            last[command] = one
    return {
        command: f"La tâche planifiée « {one.command} » a échoué {_format_moment(one.began)}. À faire : voyez pourquoi "
        f"(journalctl -u '{SERVICE.format(one.command.removeprefix('fab '))}'), corrigez, puis lancez {command}."
        for command, one in last.items()
    }


def _format_moment(text: str) -> str:
    try:
        return dt.datetime.fromisoformat(text).astimezone().strftime("le %d/%m/%Y à %H:%M")
    except ValueError:
        return "à une date illisible"


def _parse_entry(held: dict[str, Any]) -> Entry:
    seconds = held.get("secondes")
    result = held.get("resultat") or (GOING if _goes_on(held.get("qui")) else f"{STOPPED}, sans fin")
    return Entry(
        str(held.get("le", "")),
        str(held.get("par", "")),
        str(held["commande"]),
        float(seconds) if isinstance(seconds, int | float) else None,
        str(result),
    )


def _goes_on(who: Any) -> bool:
    # A state has one control node: what another had begun, and the backup it came from holds without its end, is over.
    try:
        return bool(who["machine"] == socket.gethostname() and is_running(who))
    except (TypeError, KeyError, ValueError):
        return False


def _quote_word(word: str) -> str:
    return word if word and all(char.isalnum() or char in "-_./:=,@&!" for char in word) else f'"{word}"'
