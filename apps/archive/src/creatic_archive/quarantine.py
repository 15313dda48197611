"""What Swift's auditor set aside on this node, for the gateway to journal (nginx serves it at /.quarantaine)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from creatic_agent import durable
from creatic_archive.room import quarantined_objects, settings

FILE = Path("/var/lib/creatic-archive/quarantaine.json")


def _name(folder: Path) -> str | None:
    """/account/container/object of a damaged replica; None when its label is damaged too."""
    from swift.common.exceptions import DiskFileError
    from swift.obj.diskfile import read_metadata

    for path in sorted(folder.glob("*.data")):
        try:
            return str(read_metadata(str(path))["name"])
        except (OSError, KeyError, DiskFileError):
            continue
    return None


def listed(root: Path = Path("/srv/node")) -> dict[str, Any]:
    """Node, and its damaged replicas: object, when it was set aside (seconds since the epoch), repaired or not yet."""
    objects = [
        {"objet": _name(folder), "dossier": folder.name, "le": int(folder.stat().st_mtime), "repare": repaired}
        for folder, repaired in quarantined_objects(root)
    ]
    return {"noeud": settings()["noeud"], "objets": objects}


def write() -> None:
    """Write the file; a reader sees the old or the new one, whole."""
    durable.write(FILE, json.dumps(listed(), ensure_ascii=False).encode(), 0o644)
