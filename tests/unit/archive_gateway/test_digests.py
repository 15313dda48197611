"""Digests computed beside the work, and a tar that does not depend on how it is written."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sae.versement import aip
from sae.versement.container import Member
from sae.versement.digests import Digests

BLOCKS = [b"", b"a", b"b" * 65535, b"c" * 65536, b"d" * (1 << 20), b"e"]


def test_blocks_small_and_large_are_digested_in_their_order() -> None:
    seen = []
    with Digests("sha512", "md5") as digests:
        for block in BLOCKS:
            with digests.of(block):
                seen.append(block)
    whole = b"".join(BLOCKS)
    assert (seen, digests.size) == (BLOCKS, len(whole))
    assert digests.hex("sha512") == hashlib.sha512(whole).hexdigest()
    assert digests.hex("md5") == hashlib.md5(whole, usedforsecurity=False).hexdigest()


def test_nothing_digested_is_the_digest_of_nothing() -> None:
    with Digests("sha512") as digests:
        pass
    assert (digests.size, digests.hex("sha512")) == (0, hashlib.sha512().hexdigest())


def test_threads_end_with_it_whatever_happens() -> None:
    before = threading.active_count()
    with pytest.raises(OSError, match="plein"), Digests("sha512") as digests, digests.of(BLOCKS[-2]):
        raise OSError("plein")
    assert threading.active_count() == before


@pytest.mark.parametrize("size", [0, 1, 511, 512, 10_240, (1 << 20) - 512, 1 << 20, (3 << 20) + 7])
def test_an_archive_is_what_its_digests_say_and_any_tar_reads_it(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "0").write_bytes(content[:size])
    member = Member("é/" + "n" * 120 + ".pdf", tmp_path / "0", size, hashlib.sha512(content[:size]).hexdigest())
    packed = aip.build(
        tmp_path / "aip.tar", aip="a", account="gondecourt", title="T", when=datetime(2026, 1, 1, tzinfo=UTC),
        members={member.name: member}, formats={}, events=[],
    )  # fmt: skip
    written = (tmp_path / "aip.tar").read_bytes()
    assert (packed.size, packed.sha512) == (len(written), hashlib.sha512(written).hexdigest())
    assert packed.md5 == hashlib.md5(written, usedforsecurity=False).hexdigest()
    assert len(written) % tarfile.RECORDSIZE == 0
    found = {name: stream.read() for name, _, stream in aip.members_of(io.BytesIO(written))}
    assert found == {member.name: content[:size]}
