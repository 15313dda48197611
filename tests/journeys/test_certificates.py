"""Renewal and revocation on the lab: the TdT refuses what is revoked, the next rollout mends it."""

from __future__ import annotations

import json
from typing import Any

from .conftest import command, on_host, rollout

CONNECTOR, ADDRESS = "la-madeleine-connecteur", "10.59.4.20"


def doctor() -> dict[str, dict[str, Any]]:
    """What the connector says of itself, by finding."""
    return {found["cle"]: found for found in json.loads(on_host(ADDRESS, "tdt-connector doctor --json").stdout)}


def serial() -> str:
    return on_host(ADDRESS, "openssl x509 -noout -serial -in /etc/creatic/pki/tdt/current/cert.pem").stdout.strip()


def test_rotation_renews_and_the_tdt_accepts_the_new_certificate_at_once(ready: str) -> None:
    before = serial()
    done = command("fab", "pki.rotate", "--jours", "400")
    assert done.returncode == 0, done.stdout
    assert serial() != before
    assert doctor()["connexion"]["verdict"] == "ok"


def test_revocation_is_effective_in_one_run_and_the_rollout_mends_it(ready: str) -> None:
    done = command("fab", "pki.revoke", "--motif", "compromission", "--hote", CONNECTOR)
    assert done.returncode == 0, done.stdout
    found = doctor()
    assert any("révoqué" in one["detail"] for one in found.values() if one["verdict"] == "echec"), found
    status, output = rollout("la-madeleine")
    assert status == 0, output
    assert doctor()["connexion"]["verdict"] == "ok"
    assert command("fab", "pki.verify").returncode == 0
