"""openssl, as the archive asks it."""

from __future__ import annotations

import os
from pathlib import Path

from creatic_agent.cms import run

__all__ = ["lacking", "run"]


def lacking(folder: Path) -> str:
    """Why nothing can be signed with the certificate of a folder, as role pki_client lays it out (French), or ""."""
    absent = [name for name in ("cert.pem", "key.pem", "chain.pem") if not os.access(folder / name, os.R_OK)]
    return f"{folder / absent[0]} est introuvable ou illisible pour ce compte" if absent else ""
