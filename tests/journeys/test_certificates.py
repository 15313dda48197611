"""Renewal and revocation on the lab: the TdT refuses what is revoked, the next rollout mends it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from testbed.control_node import HOME, command

from .conftest import on_host, rollout

CONNECTOR, ADDRESS = "la-madeleine-connecteur", "10.59.4.20"


def doctor() -> dict[str, dict[str, Any]]:
    """What the connector says of itself, by finding."""
    return {found["cle"]: found for found in json.loads(on_host(ADDRESS, "tdt-connector doctor --json").stdout)}


def serial() -> str:
    return on_host(ADDRESS, "openssl x509 -noout -serial -in /etc/creatic/pki/tdt/current/cert.pem").stdout.strip()


def test_a_person_has_one_certificate_to_be_known_by(ready: str) -> None:
    done = command("fab", "pki.personne", "Camille Essai")
    assert done.returncode == 0, done.stdout
    (file,) = (HOME / "personnes").glob("camille-essai-*.p12")
    password = file.with_suffix(".mdp").read_text().strip()
    assert password not in done.stdout
    assert [path.stat().st_mode & 0o777 for path in (file, file.with_suffix(".mdp"))] == [0o600, 0o600]
    content = file.read_bytes()
    key, certificate, chain = pkcs12.load_key_and_certificates(content, password.encode())
    assert key and certificate and chain
    assert certificate.subject.rfc4514_string() in done.stdout
    assert "Camille Essai" in command("fab", "pki.registre").stdout
    assert command("fab", "pki.personne", "Camille Essai").returncode == 0
    assert file.read_bytes() == content
    refused = command("fab", "pki.personne", "Connecteur - Commune de Gondecourt")
    assert refused.returncode == 2 and "est le nom d'un service" in refused.stdout


def test_lists_reach_every_machine_though_one_cannot_be_signed(ready: str) -> None:
    key = HOME / "pki/emettrice/cle.pem"
    away = key.with_suffix(".ailleurs")
    on_host(ADDRESS, "sudo rm /etc/creatic/pki/crl.pem")
    key.rename(away)
    try:
        done = command("fab", "pki.revocations")
    finally:
        away.rename(key)
    assert done.returncode == 1 and "clé de l'autorité émettrice absente" in done.stdout, done.stdout
    assert "BEGIN X509 CRL" in on_host(ADDRESS, "cat /etc/creatic/pki/crl.pem").stdout


@pytest.mark.life
def test_a_new_authority_is_believed_then_signs_and_the_tdt_accepts_at_once_what_rotation_renews(ready: str) -> None:
    before = serial()
    done = command("fab", "pki.renouveler", "--autorite", "emettrice")
    assert done.returncode == 0 and re.search("phase (rotation|recouvrement)", done.stdout), done.stdout
    assert serial() == before and doctor()["connexion"]["verdict"] == "ok"
    done = command("fab", "pki.rotation", "--jours", "400")
    assert done.returncode == 0, done.stdout
    assert "Camille Essai : certificat à refaire" in done.stdout  # hers is a file in her hands
    assert serial() != before
    assert doctor()["connexion"]["verdict"] == "ok"


@pytest.mark.life
def test_revocation_is_effective_in_one_run_and_the_rollout_mends_it(ready: str) -> None:
    done = command("fab", "pki.revoquer", "--motif", "compromission", "--hote", CONNECTOR)
    assert done.returncode == 0, done.stdout
    found = doctor()
    assert any("révoqué" in one["detail"] for one in found.values() if one["verdict"] == "echec"), found
    status, output = rollout("la-madeleine")
    assert status == 0, output
    assert doctor()["connexion"]["verdict"] == "ok"
    assert command("fab", "pki.verifier").returncode == 0
