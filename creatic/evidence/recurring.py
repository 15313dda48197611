# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a timer's command finds wrong night after night: told once as news, then with its age.

A unit that is red every morning for one machine says nothing of the next one. ``constats.json``, in the control node's
state, holds by command what its timer found last, and since when; what is mended leaves it, and is news if it returns.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write

from creatic.evidence.store import TIMER_VARIABLE

FILE = "constats.json"
# Days left, percents: the same fault has others the next night. Those of a name or of an address are part of it.
_FAULT_NUMBER_PATTERN = re.compile(r"(?<![\w.-])\d+(,\d+)?(?![\w.-])")


@dataclass(frozen=True)
class Found:
    """What is wrong, beside what a timer knew.

    Attributes:
        known: what it had found already, each with the day since which it does.
        news: what it had not.
    """

    known: Mapping[str, dt.date]
    news: tuple[str, ...]

    @property
    def is_red(self) -> bool:
        """Whether the command is to fail: a person's for anything wrong, a timer's for what is news alone."""
        return bool(self.news or (self.known and TIMER_VARIABLE not in os.environ))

    def lines(self, today: dt.date) -> list[str]:
        """Say what lasts, in French."""
        return [
            f"Déjà dit, depuis le {day:%d/%m/%Y} ({(today - day).days} j) : {text}" for text, day in self.known.items()
        ]


def judge(home: Path, command: str, faults: Iterable[str], today: dt.date) -> Found:
    """Set what a command finds wrong beside what its timer found before; a timer keeps it for the next time.

    Args:
        home: state of the control node.
        command: as fab calls it.
        faults: each with its machine, in French; what it counts may change.
        today: the day.

    Raises:
        OSError: a timer cannot keep it.
    """
    whole = _read_faults(home / FILE)
    before, now, known, news = whole.get(command, {}), dict[str, str](), dict[str, dt.date](), list[str]()
    for text in faults:
        key = _FAULT_NUMBER_PATTERN.sub("…", text)
        try:
            known[text] = dt.date.fromisoformat(before[key])
        except (KeyError, TypeError, ValueError):
            news.append(text)
        now[key] = known.get(text, today).isoformat()
    if TIMER_VARIABLE in os.environ and now != before:
        write(home / FILE, json.dumps(whole | {command: now}, ensure_ascii=False).encode(), 0o600)
    return Found(known, tuple(news))


def _read_faults(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # all is news, which is safe
    return {name: one for name, one in found.items() if isinstance(one, dict)} if isinstance(found, dict) else {}
