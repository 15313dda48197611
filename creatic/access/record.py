# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The sealed record of the accesses: what was added to their registry since the record before.

Layout, on the control node::

    acces/2026-11-25T010504Z/            one sealed folder per record, see evidence/store
        acces.json rapport.html
"""

from __future__ import annotations

from pathlib import Path

from creatic.access.authority import SshAuthority
from creatic.evidence import store


def seal_record(home: Path, operator: str) -> tuple[Path, str] | None:
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
    if not store.can_sign(home):
        return None
    with store.opened(home, "acces", operator) as run, store.closing(home / "acces") as finished:
        told = [event for one in finished for event in store.facts_of(one).get("evenements", [])]
        events = [event for event in SshAuthority(home / "acces").events() if event not in told]
        return run.publish(finished, {"evenements": events}, "acces.html.j2") if events else None
