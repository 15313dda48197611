# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Sealed folders of one kind, each naming the seal of the one before: the patches' evidence, and the drills'.

A folder's results are a JSON object whose ``precedent`` is what ``precedent`` gave when it was made.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import store as evidence_store
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.seal import SealError, Verification, seal, verify

_ID = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z")


def finished(base: Path) -> list[Path]:
    """Finished folders, oldest first."""
    return sorted(path for path in base.glob("*/") if _ID.fullmatch(path.name))


def precedent(folders: list[Path]) -> dict[str, str] | None:
    """What the next folder notes of the last of these: its name and its seal's digests; None for the first one."""
    return {"passage": folders[-1].name, **evidence_store.seal_pins(folders[-1])} if folders else None


def close(staging: Path, target: Path, home: Path) -> str:
    """Seal a folder and give it its final name.

    Returns:
        Why it is not signed (French; empty when it is).
    """
    unsealed = ""
    try:
        seal(staging, evidence_store.seal_keys(home))
    except SealError as error:
        unsealed = str(error)
    staging.rename(target)
    return unsealed


def verify_all(base: Path, results: str, root: Path) -> dict[str, Verification]:
    """Check every folder, and that each one follows the one before.

    Args:
        base: folder of them all.
        results: name of the file that holds ``precedent``.
        root: certificate of the root authority.
    """
    folders = finished(base)
    found: dict[str, Verification] = {}
    for position, folder in enumerate(folders):
        result = found[f"{base.name}/{folder.name}"] = verify(folder, root)
        record: dict[str, Any] = evidence_store.read_json(folder / results) or {}
        if result.intact and record.get("precedent") != precedent(folders[:position]):
            result.faults.append(
                (results, f"chaîne rompue : ce qui précède dans {base.name} a changé, a disparu ou a été ajouté")
            )
    return found
