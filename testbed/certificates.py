"""Certificates that the lab's authority issues."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import kind_of

TOP = Path(__file__).parents[1]


def issued(
    home: Path, name: str, profile: str, common_name: str, siren: str, organization: str = "Groupement Cre@tic"
) -> Path:
    """Folder of a certificate issued by the lab's authority: key.pem, cert.pem, chain.pem, fullchain.pem."""
    wanted = {
        "dir": str(home / "pki"),
        "certificates_dir": str(home / "certificats-essai"),
        "certificates": [
            {"name": name, "profile": profile, "common_name": common_name, "organization": organization,
             "siren": siren, "holder": kind_of(common_name)},
        ],
    }  # fmt: skip # one record
    subprocess.run(
        ["ansible", "-i", "localhost,", "-c", "local", "localhost", "-m", "cdg59.creatic.pki_ca",
         "-a", json.dumps(wanted), "-e", "ansible_become=false"],
        cwd=TOP, capture_output=True, check=True,
    )  # fmt: skip # one call by its parts
    return home / "certificats-essai" / name / "current"
