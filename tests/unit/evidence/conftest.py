"""A small authority made with cryptography (not with our own PKI code), and made-up rollouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.words import now
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from creatic.evidence import store
from creatic.evidence.follow import RUN_FOLDER, Outcome, close_run
from creatic.evidence.rollout import Commune, HostInfo, HostRun, Run
from creatic.evidence.seal import SIGNER, UNIT, Credential, SealKeys
from creatic.evidence.store import open_run
from creatic.registry.wiring import REQUIRED
from testbed.authority import Pair, certificate


def write_pem(path: Path, pair: Pair) -> Credential:
    """Write certificate and key, and return their places."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "cert.pem").write_bytes(pair[0].public_bytes(serialization.Encoding.PEM))
    (path / "key.pem").write_bytes(
        pair[1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return Credential(path / "cert.pem", path / "key.pem")


def make_authority(folder: Path, name: str = "") -> SealKeys:
    """A root, an issuing CA, a signature certificate and a timestamping one; `name` ends those of the authorities."""
    root = certificate(f"Racine{name}", None, ca=True)
    issuing = certificate(f"Emettrice{name}", root, ca=True)
    return SealKeys(
        signature=write_pem(
            folder / "signature", certificate(SIGNER, issuing, usage=ExtendedKeyUsageOID.EMAIL_PROTECTION)
        ),
        tsa=write_pem(folder / "tsa", certificate(UNIT, issuing, usage=ExtendedKeyUsageOID.TIME_STAMPING)),
        chain=write_pem(folder / "emettrice", issuing).certificate,
        root=write_pem(folder / "racine", root).certificate,
    )


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SealKeys:
    """The authority that the tests trust."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> SealKeys:
    """Somebody else's authority, with the same names."""
    return make_authority(tmp_path_factory.mktemp("other"))


def commune(slug: str, nom: str, agents: int, **extra: object) -> Commune:
    """A commune with one PC and one connector."""
    identity = {
        "nom": nom,
        "siren": "215902669",
        "insee": "59266",
        "territoire": "lille",
        "agents": agents,
        "taille": "petite" if agents < 50 else "moyenne" if agents <= 100 else "grande",
        "niveau": "intermediary",
        "vague": 2,
        "services": ["teletransmission"],
    }
    return Commune(
        slug,
        identity | extra,
        (
            HostInfo(f"{slug}-pc", "commune_pc", "10.59.2.10"),
            HostInfo(f"{slug}-connecteur", "tdt_connector", "10.59.2.20"),
        ),
        {"nom": f"{slug}.yml", "sha256": "0" * 64},
    )


GONDECOURT = commune("gondecourt", "Gondecourt", 80)
PC, CONNECTOR = GONDECOURT.hosts
# A machine that Debian's updates have nothing for.
NOTHING: dict[str, Any] = {
    "paquets": [],
    "inacheves": [],
    "retenus": [],
    "services": [],
    "redemarrer": [],
    "sessions": [],
    "demarre": 1_764_000_000,
    "listes": 1_764_000_000,
}


def proofs(host: HostInfo, **changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Every proof asked of a host, ok; `changes` alters some by key."""
    made = []
    for key, label in REQUIRED[host.profile].items():
        proof: dict[str, Any] = {
            "cle": key,
            "libelle": label,
            "verdict": "ok",
            "detail": "conforme",
            "mesures": {},
        }
        if key == "acte":
            proof["mesures"] = {
                "idacte": "059-215902669-20261125-TEST_1-AI",
                "aracte_le": "2026-11-25T02:05:00+01:00",
            }
        made.append(proof | changes.get(key, {}))
    return made


def proven(host: HostInfo) -> HostRun:
    """A host rolled out and proven."""
    return HostRun(
        rolled_out=True,
        executed=31,
        changed=12,
        seconds={"controles": 1.2, "deploiement": 48.0, "preuves": 6.0},
        checks=[
            {
                "cle": "disque",
                "libelle": "Espace disque",
                "verdict": "ok",
                "detail": "12 Gio libres",
                "mesures": {},
            }
        ],
        proofs=proofs(host),
    )


def new_run(run_id: str = "2026-11-25T010504Z", **fields: Any) -> Run:
    """A run that starts now."""
    return Run(run_id=run_id, started=now(), operator="alice@poste", source="commit 0123abc", **fields)


def play(evidence: Path, run: Run, communes: list[Commune], keys: SealKeys | None) -> Outcome:
    """Open and close a run without fetched files."""
    _, staging = open_run(evidence, run.operator, run.run_id)
    return close_run(evidence, staging, run, communes, keys or store.seal_keys(evidence / "sans-autorite"))


@pytest.fixture
def a_run(monkeypatch: pytest.MonkeyPatch, keys: SealKeys) -> None:
    """The authority of the tests, and an environment that is put back."""
    monkeypatch.setattr(store, "seal_keys", lambda _home: keys)
    monkeypatch.setenv(RUN_FOLDER, "")
    monkeypatch.delenv("CREATIC_ROLLOUT_ID", raising=False)
