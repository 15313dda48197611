# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The sealed records of departures, an agent's or a commune's: ``departs/``, on the control node (evidence/store)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import page as evidence_page
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import store
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.rollout import now

FOLDER = "departs"


def keep(
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
    base, keys = home / FOLDER, store.seal_keys(home)
    name, staging = store.open_run(base, operator)
    try:
        for piece, source in (pieces or {}).items():
            shutil.copyfile(source, staging / piece)
        with store.closing(base) as finished:
            record = {
                "version": 1,
                "passage": name,
                "debut": started,
                "fin": now().isoformat(timespec="microseconds"),
                "operateur": operator,
                **told,
            }
            page = evidence_page.ENVIRONMENT.get_template(template)
            usable = keys if keys.signature.certificate.is_file() else None
            pages = {"rapport.html": lambda given: page.render(record=given)}
            return store.publish(staging, finished, store.DEPARTURE, record, pages, usable)
    finally:
        store.discard_run(staging)
