"""Documents on disk, under their SHA-256: what several acts share is nobody's to remove while it comes again."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from passerelle.files import Files

OLD = 1_000_000_000


@pytest.fixture
def files(tmp_path: Path) -> Files:
    (tmp_path / "fichiers").mkdir()
    return Files(tmp_path)


def old(files: Files, content: bytes) -> str:
    digest = files.keep_bytes(content)
    os.utime(files.path(digest), (OLD, OLD))
    return digest


def test_what_is_old_goes_and_what_is_young_waits(files: Files) -> None:
    gone, young = old(files, b"ancien"), files.keep_bytes(b"nouveau")
    assert (files.forget(gone, 3600), files.forget(young, 3600)) == (True, False)
    assert (files.path(gone).exists(), files.path(young).exists()) == (False, True)
    with pytest.raises(FileNotFoundError):
        files.forget(gone, 3600)


def test_what_comes_again_while_it_goes_stays(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another act brings the same document, after it was found old and before it is removed."""
    digest = old(files, b"plan")
    comes = threading.Thread(target=files.keep_bytes, args=(b"plan",))
    remove = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path == files.path(digest):
            comes.start()
            comes.join(0.5)
        remove(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    assert files.forget(digest, 3600)
    comes.join(30)
    assert files.path(digest).read_bytes() == b"plan"
