# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The sealed records of departures, an agent's or a commune's: ``departs/``, on the control node (evidence/store)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from creatic.evidence import store

FOLDER = "departs"


def seal_record(
    home: Path,
    operator: str,
    started: str,
    told: Mapping[str, Any],
    template: str,
    pieces: Mapping[str, Path] | None = None,
) -> tuple[Path, str]:
    """Seal a record.

    Args:
        home: state of the control node.
        operator: who ran it.
        started: when, ISO 8601.
        told: its facts.
        template: of its page.
        pieces: files that go with it, by the name they get.

    Returns:
        The folder, and why it is not signed (French; empty when it is).

    Raises:
        EvidenceError: it cannot be written.
    """
    with store.opened(home, FOLDER, operator, started) as run:
        for piece, source in (pieces or {}).items():
            shutil.copyfile(source, run.staging / piece)
        with store.closing(home / FOLDER) as finished:
            return run.publish(finished, told, template)
