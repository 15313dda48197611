"""What a signed archive may hold on a machine: files and folders inside its own folder, in little memory."""

from __future__ import annotations

import gzip
import io
import resource
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from creatic_flotte import unpack
from creatic_flotte.settings import Refused


def entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, **more: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size = kind, size
    made.linkname = more.get("to", "")
    return made


def archive(*entries: tarfile.TarInfo, after: int = 0) -> bytes:
    """Headers, one after the other, with the zeros that follow them."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as packed:
        for one in entries:
            packed.write(one.tobuf(tarfile.GNU_FORMAT))
        for _ in range(max(after, 1 << 20) >> 20):
            packed.write(bytes(1 << 20))
    return out.getvalue()


def pax_sparse() -> bytes:
    """A file of a terabyte, of which 512 bytes are said."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        one = entry("gros", size=1024)
        sparse = {"major": "1", "minor": "0", "realsize": str(1 << 40), "name": "gros"}
        one.pax_headers = {f"GNU.sparse.{key}": text for key, text in sparse.items()}
        tar.addfile(one, io.BytesIO(b"1\n0\n512\n".ljust(1024, b"\0")))
    return out.getvalue()


BAD = {
    "link": archive(entry("a", tarfile.SYMTYPE, to="/etc/shadow")),
    "link to itself": archive(entry("a", tarfile.LNKTYPE, to="a")),
    "device": archive(entry("a", tarfile.CHRTYPE)),
    "pipe": archive(entry("a", tarfile.FIFOTYPE)),
    "absolute": archive(entry("/etc/sorti")),
    "above": archive(entry("a/../../sorti")),
    "sparse": archive(entry("a", tarfile.GNUTYPE_SPARSE, 512)),
    "sparse of a terabyte": pax_sparse(),
    "file of 600 MiB": archive(entry("a", size=600 << 20), after=600 << 20),
    "name of 600 MiB": archive(entry("a", tarfile.GNUTYPE_LONGNAME, 600 << 20), after=600 << 20),
    "header of 600 MiB": archive(entry("a", tarfile.XHDTYPE, 600 << 20), after=600 << 20),
    "too many files": archive(*(entry(str(number)) for number in range(51))),
    "not compressed": gzip.decompress(archive(entry("a"))),
}


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Half a gigabyte more than now: what reads a bomb whole fails."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (512 << 20), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.usefixtures("little_memory")
def test_what_is_no_plain_archive_is_refused_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(unpack, "_MOST_FILES", 50)
    (tmp_path / "archive").write_bytes(BAD[name])
    with pytest.raises(Refused, match=r"archive"):
        unpack.unpack(tmp_path / "archive", tmp_path / "ici")
    assert not [*tmp_path.rglob("sorti"), *tmp_path.rglob("a")] and not Path("/etc/sorti").exists()


def test_long_names_and_large_files_come_out(tmp_path: Path) -> None:
    long, large = f"{'d' * 90}/{'f' * 120}", bytes(range(256)) * 20_000
    with tarfile.open(tmp_path / "archive", "w:gz", format=tarfile.GNU_FORMAT) as tar:
        for name, content in ((long, b"un"), ("gros", large)):
            tar.addfile(entry(name, size=len(content)), io.BytesIO(content))
    unpack.unpack(tmp_path / "archive", tmp_path / "ici")
    assert (tmp_path / "ici" / long).read_bytes() == b"un" and (tmp_path / "ici" / "gros").read_bytes() == large


def test_as_many_files_as_may_be_come_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "_MOST_FILES", 50)
    (tmp_path / "archive").write_bytes(archive(*(entry(str(number)) for number in range(50))))
    unpack.unpack(tmp_path / "archive", tmp_path / "ici")
    assert len([*(tmp_path / "ici").iterdir()]) == 50
