"""openssl, as the archive asks it: in words that are the same on every machine.

What verifies a journal needs the folder sae alone: hence this, beside `creatic_agent.cms.run`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What openssl says; its status is the caller's to judge."""
    return subprocess.run(
        ["openssl", *map(str, arguments)],
        capture_output=True,
        errors="replace",
        check=False,
        env=os.environ | {"LC_ALL": "C"},
    )


def signing_refusal_reason(folder: Path) -> str:
    """Why nothing can be signed with the certificate of a folder, as role pki_client lays it out (French), or ""."""
    absent = [name for name in ("cert.pem", "key.pem", "chain.pem") if not os.access(folder / name, os.R_OK)]
    return f"{folder / absent[0]} est introuvable ou illisible pour ce compte" if absent else ""
