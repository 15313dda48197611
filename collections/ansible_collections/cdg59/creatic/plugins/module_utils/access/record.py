# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The sealed record of the accesses: what was added to their registry since the record before.

Layout, on the control node::

    acces/2026-11-25T010504Z/            one sealed folder per record, see evidence/store
        acces.json rapport.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.access.authority import SshAuthority
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import page as evidence_page
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import store as evidence_store
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.rollout import now


def keep(home: Path, operator: str) -> tuple[Path, str] | None:
    """Seal the certificates and revocations that no record has yet.

    Args:
        home: state of the control node.

    Returns:
        The sealed folder, and why it is not signed (French; empty when it is). None when nothing is new, or when
        nothing can be signed yet: the next record takes it.

    Raises:
        AccessError: the registry cannot be read.
        EvidenceError: the record cannot be written.
    """
    keys = evidence_store.seal_keys(home)
    if not keys.signature.certificate.is_file():
        return None
    base, started = home / "acces", now()
    name, staging = evidence_store.open_run(base, operator)
    try:
        with evidence_store.closing(base) as finished:
            told = [event for run in finished for event in evidence_store.facts_of(run).get("evenements", [])]
            events = [event for event in SshAuthority(base).events() if event not in told]
            if not events:
                return None
            record = {
                "version": 1,
                "passage": name,
                "debut": started.isoformat(timespec="seconds"),
                "fin": now().isoformat(timespec="microseconds"),
                "operateur": operator,
                "evenements": events,
            }
            pages = {"rapport.html": page}
            return evidence_store.publish(staging, finished, evidence_store.ACCESS, record, pages, keys)
    finally:
        evidence_store.discard_run(staging)


def page(record: Mapping[str, Any]) -> str:
    """The record, for a reader."""
    return evidence_page.ENVIRONMENT.get_template("acces.html.j2").render(record=record)
