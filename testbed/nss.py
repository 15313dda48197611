"""Which authorities a Chromium believes."""

from __future__ import annotations

import subprocess
from pathlib import Path


def trust(home: Path, bundle: str) -> None:
    """Have a Chromium whose HOME is a folder believe the authorities of a file."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    database = f"sql:{store}"
    subprocess.run(["certutil", "-N", "-d", database, "--empty-password"], check=True)
    # One authority a call: certutil reads the first certificate of a file.
    ends = "-----END CERTIFICATE-----\n"
    for rank, part in enumerate(one for one in Path(bundle).read_text(encoding="utf-8").split(ends) if one.strip()):
        given = home / "ca.pem"
        given.write_text(part + ends, encoding="utf-8")
        subprocess.run(["certutil", "-A", "-d", database, "-n", f"ca{rank}", "-t", "C,,", "-i", str(given)], check=True)
