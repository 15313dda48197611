"""What seals the evidence of a control node of the tests."""

from __future__ import annotations

import shutil
from pathlib import Path

from creatic.evidence import store
from creatic.evidence.seal import SealKeys


def place_seals(home: Path, keys: SealKeys) -> None:
    """Put what seals where the control node of this state keeps it."""
    placed = store.seal_keys(home)
    for made, kept in (
        (keys.signature.certificate, placed.signature.certificate),
        (keys.signature.key, placed.signature.key),
        (keys.tsa.certificate, placed.tsa.certificate),
        (keys.tsa.key, placed.tsa.key),
        (keys.chain, placed.chain),
        (keys.root, placed.root),
    ):
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, kept)
