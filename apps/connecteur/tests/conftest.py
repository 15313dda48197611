"""Fixtures: the real simulator over TLS, and a commune's connector in front of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from tdt_connector import s2low
from tdt_simulator.testing import TdtServer

from apps.sae.tests.gateway.conftest import clamd  # noqa: F401 - a fixture
from testbed.connector import Authority, Commune, platform
from tests.unit.in_memory import in_memory  # noqa: F401 - the fixture tmp_path


def _authority(folder: Path, name: str) -> Authority:
    made = Authority(folder / name, f"{name} de test")
    made.issue("tdt", "server")
    made.issue("commune")
    return made


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The groupement's authority."""
    return _authority(tmp_path_factory.mktemp("pki"), "groupement")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return _authority(tmp_path_factory.mktemp("pki"), "inconnue")


@pytest.fixture(autouse=True)
def short_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for an act in the lists where the simulator's acts can be: every list is a TLS handshake here."""
    monkeypatch.setattr(s2low, "_LIST_ORDER", (17, 1, 2, 3, 4, -1, 0))


@pytest.fixture
def tdt(tmp_path: Path, authority: Authority) -> Iterator[TdtServer]:
    """A TdT that works."""
    with platform(tmp_path / "tdt", authority) as server:
        yield server


@pytest.fixture
def commune(tmp_path: Path, tdt: TdtServer, authority: Authority) -> Commune:
    """Gondecourt."""
    return Commune(tmp_path / "commune", tdt.url, authority)
