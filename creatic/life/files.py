# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What ``fab pki.personne`` left on the control node for somebody: a key, a .p12 and its password.

Named for the person and the organization: who was renamed, or whose commune was, has several.
"""

from __future__ import annotations

import shutil
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, load_certificate

FOLDER = "personnes"
"""Of the control node's state (playbooks/journeys/person_certificate.yml)."""


def certificate_files(home: Path, certificates: Iterable[Mapping[str, Any]]) -> list[Path]:
    """Give the files that are still there of some certificates, keys' folders among them.

    Args:
        home: state of the control node.
        certificates: rows of the registry; `nom` is that of a person's files, or names something else.
    """
    serials: dict[str, set[int]] = {}
    for one in certificates:
        serials.setdefault(str(one["nom"]), set()).add(int(str(one["serie"]), 16))
    found = [
        home / FOLDER / f"{name}{end}"
        for name, known in sorted(serials.items())
        if name not in ("", ".", "..") and Path(name).name == name and _is_among(home / FOLDER / name, known)
        for end in ("", ".p12", ".mdp")
    ]
    return [path for path in found if path.exists() or path.is_symlink()]


def _is_among(folder: Path, serials: Container[int]) -> bool:
    """Whether a person's files are of one of these certificates: long ago, a name was that of two organizations'.

    Without a certificate to read, what is left of the files is theirs.
    """
    try:
        shown = load_certificate((folder / "current" / "cert.pem").read_text(encoding="ascii"))
    except (OSError, PkiError, ValueError):
        return True
    return shown.serial_number in serials


def remove(path: Path) -> None:
    """Delete a file, or a key's folder; again, once it is gone, nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
