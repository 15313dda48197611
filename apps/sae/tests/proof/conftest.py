"""An archive in a folder: journal, storage with WORM's rules, timestamping unit."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[4]))

from sae.journal import Journal, timestamp
from sae.journal.export import export
from sae.journal.seal import Sealed, Sealer
from sae.store import FileStore

from testbed.authority import Authority
from tests.unit.in_memory import in_memory  # noqa: F401 - the fixture tmp_path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that everybody trusts."""
    return Authority(tmp_path_factory.mktemp("pki") / "groupement", "du groupement")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("pki") / "inconnue", "inconnue")


@pytest.fixture(scope="session")
def unit(authority: Authority) -> Path:
    """Certificate of the timestamping unit."""
    return authority.issue(timestamp.OWN)


@dataclass
class Archive:
    """An archive and its outside copy."""

    folder: Path
    journal: Journal
    store: FileStore
    unit: Path
    root: Path
    storage_clocks: Callable[[], Mapping[str, datetime]] = dict
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def sealer(self, largest: int = 10) -> Sealer:
        stamper = timestamp.local_unit(self.unit)
        return Sealer(self.journal, self.store, stamper, self.root, self.storage_clocks, self.clock, largest)

    def seal(self, largest: int = 10) -> Sealed:
        return self.sealer(largest).run()

    def add(self, count: int = 1) -> None:
        for number in range(count):
            self.journal.append(
                "versement.accepte",
                account="gondecourt",
                aip=f"aip-{number}",
                outcome="succes",
                detail={"titre": f"Délibération n° {number}"},
            )

    def export(self, name: str = "export") -> Path:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        export(self.journal, self.store, self.folder / name)
        return self.folder / name


@pytest.fixture
def archive(tmp_path: Path, unit: Path, authority: Authority) -> Iterator[Archive]:
    """An archive with its opening event."""
    with Journal(tmp_path / "journal.sqlite") as journal:
        yield Archive(tmp_path, journal, FileStore(tmp_path / "stockage"), unit, authority.root)
