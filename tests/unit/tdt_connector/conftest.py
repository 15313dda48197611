"""Fixtures: the real simulator over TLS, and a commune's connector in front of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from connector_harness import Authority, Commune, platform  # noqa: E402 - found through the line above
from tdt_simulator.testing import TdtServer  # noqa: E402 - same


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The groupement's authority."""
    made = Authority(tmp_path_factory.mktemp("pki") / "groupement", "groupement de test")
    made.issue("tdt", "server")
    made.issue("commune")
    return made


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    made = Authority(tmp_path_factory.mktemp("pki") / "inconnue", "inconnue de test")
    made.issue("tdt", "server")
    made.issue("commune")
    return made


@pytest.fixture
def tdt(tmp_path: Path, authority: Authority) -> Iterator[TdtServer]:
    """A TdT that works."""
    with platform(tmp_path / "tdt", authority) as server:
        yield server


@pytest.fixture
def commune(tmp_path: Path, tdt: TdtServer, authority: Authority) -> Commune:
    """Gondecourt."""
    return Commune(tmp_path / "commune", tdt.url, authority)
