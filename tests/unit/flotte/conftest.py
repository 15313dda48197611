"""A door over real TLS, a machine with a real certificate, a key that really signs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.connector import Authority
from testbed.fleet import Door, Machine, Publisher
from tests.unit.in_memory import in_memory  # noqa: F401 - the fixture tmp_path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The groupement's authority."""
    return Authority(tmp_path_factory.mktemp("pki") / "groupement", "groupement de test")


@pytest.fixture
def door(tmp_path: Path, authority: Authority) -> Door:
    """A door."""
    return Door(tmp_path / "guichet", authority)


@pytest.fixture
def publisher(tmp_path: Path, door: Door, authority: Authority) -> Publisher:
    """What signs."""
    (tmp_path / "poste").mkdir()
    return Publisher(tmp_path / "poste", door, authority)


@pytest.fixture
def machine(tmp_path: Path, authority: Authority, publisher: Publisher) -> Machine:
    """A machine."""
    return Machine(tmp_path / "machine", authority, publisher.signer.signers)


@pytest.fixture
def url(door: Door) -> Iterator[str]:
    """Address of the door, which serves."""
    with door.served() as address:
        yield address


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 KiB."""
    if os.geteuid():
        pytest.skip("only root mounts a file system")
    place = tmp_path / "petit"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)
