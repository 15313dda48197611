"""Fixtures: a PKI, and a running platform with its clients."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

sys.path.insert(0, str(Path(__file__).parent))

from simulator_harness import DELAY, OTHER_SIREN, RGS_POLICY, SIREN, Client, Clock, Pki, serving
from tdt_simulator.testing import TdtServer


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The groupement's certification authority."""
    made = Pki(tmp_path_factory.mktemp("pki"))
    made.issue("serveur")
    return made


@pytest.fixture
def platform(pki: Pki, tmp_path: Path) -> Iterator[TdtServer]:
    """A running platform."""
    accounts = [
        {"login": "gondecourt", "password": "secret-g", "siren": SIREN, "certificate_siren": "200093201"},
        {"login": "avesnes", "password": "secret-a", "siren": OTHER_SIREN, "certificate_siren": "200093201"},
    ]
    with serving(pki, tmp_path / "tdt", accounts=accounts, delay=DELAY) as server:
        yield server


@pytest.fixture
def clock(platform: TdtServer) -> Clock:
    """Stop the platform's time."""
    return Clock(platform)


@pytest.fixture
def connect(platform: TdtServer, pki: Pki) -> Callable[..., Client]:
    """Return a function that opens a client for a SIREN."""

    def opened(siren: str = SIREN, policy: str | None = RGS_POLICY) -> Client:
        name = f"client-{siren}-{policy}"
        if not (pki.folder / f"{name}.pem").exists():
            pki.issue(name, siren=siren, policy=policy)
        session = requests.Session()
        session.trust_env = False  # an environment variable would replace the CA
        session.verify = str(pki.certificate)
        session.cert = (str(pki.folder / f"{name}.pem"), str(pki.folder / f"{name}.key"))
        return Client(platform, session)

    return opened


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    """A client of Gondecourt with an RGS certificate."""
    return connect()
