"""The tar of an archive: its digests, whatever the sizes, and what any tool reads of it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sae.versement import aip
from sae.versement.container import Member


@pytest.mark.parametrize("size", [0, 1, 511, 512, 10_240, (1 << 20) - 512, 1 << 20, (3 << 20) + 7])
def test_an_archive_is_what_its_digests_say_and_any_tar_reads_it(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "0").write_bytes(content[:size])
    member = Member("é/" + "n" * 120 + ".pdf", tmp_path / "0", size, hashlib.sha512(content[:size]).hexdigest())
    packed = aip.build(
        tmp_path / "aip.tar", aip="a", account="gondecourt", title="T", when=datetime(2026, 1, 1, tzinfo=UTC),
        members={member.name: member}, formats={}, events=[],
    )  # fmt: skip # one call by its parts
    written = (tmp_path / "aip.tar").read_bytes()
    assert (packed.size, packed.sha512) == (len(written), hashlib.sha512(written).hexdigest())
    assert packed.md5 == hashlib.md5(written, usedforsecurity=False).hexdigest()
    assert len(written) % tarfile.RECORDSIZE == 0
    found = {name: stream.read() for name, _, stream in aip.members_of(io.BytesIO(written))}
    assert found == {member.name: content[:size]}
