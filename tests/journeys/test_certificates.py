"""Renewal and revocation on the lab: the TdT refuses what is revoked, the next rollout mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[2]
HOME = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser() / "lab"
CONNECTOR = "avesnes-les-aubert-connecteur"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        cwd=REPO,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=1800,
    )


def on_connector(script: str) -> str:
    known = f"UserKnownHostsFile={HOME / 'ssh' / 'known_hosts'}"
    done = command(
        "ssh", "-i", str(HOME / "ssh" / "id_ed25519"), "-o", known, "creatic@10.59.3.20", f"sudo sh -c '{script}'"
    )
    return done.stdout


def doctor() -> dict[str, dict[str, Any]]:
    return {found["cle"]: found for found in json.loads(on_connector("tdt-connector doctor --json"))}


def serial() -> str:
    return on_connector("openssl x509 -noout -serial -in /etc/creatic/pki/tdt/current/cert.pem").strip()


def test_rotation_renews_and_the_tdt_accepts_the_new_certificate_at_once() -> None:
    before = serial()
    done = command("fab", "pki.rotate", "--jours", "400")
    assert done.returncode == 0, done.stdout
    assert serial() != before
    assert doctor()["connexion"]["verdict"] == "ok"


def test_revocation_is_effective_in_one_run_and_the_rollout_mends_it() -> None:
    done = command("fab", "pki.revoke", "--motif", "compromission", "--hote", CONNECTOR)
    assert done.returncode == 0, done.stdout
    found = doctor()
    assert any("révoqué" in one["detail"] for one in found.values() if one["verdict"] == "echec"), found
    again = command("fab", "rollout", "avesnes-les-aubert")
    assert again.returncode == 0, again.stdout
    assert doctor()["connexion"]["verdict"] == "ok"
    assert command("fab", "pki.verify").returncode == 0
