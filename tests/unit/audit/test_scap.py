"""OpenSCAP's content: fetched once, refused unless it is what is pinned."""

from __future__ import annotations

import functools
import hashlib
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils import scap

CONTENT = b"<ds:data-stream-collection/>"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A Debian mirror with a real small package, which the pins are set to."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is Debian's")
    tree, root = tmp_path / "tree", tmp_path / "mirror"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: ssg-debian\nVersion: 0.1.82-1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    )
    content = tree / scap.INSIDE
    content.parent.mkdir(parents=True)
    content.write_bytes(CONTENT)
    package = root / scap.POOL / scap.PACKAGE
    package.parent.mkdir(parents=True)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, package], check=True, capture_output=True)
    monkeypatch.setattr(scap, "PACKAGE_SHA256", hashlib.sha256(package.read_bytes()).hexdigest())
    monkeypatch.setattr(scap, "DATA_STREAM_SHA256", hashlib.sha256(CONTENT).hexdigest())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", package
    server.shutdown()
    server.server_close()


def test_it_is_fetched_once_and_says_so(tmp_path: Path, mirror: tuple[str, Path]) -> None:
    uri, package = mirror
    said: list[str] = []
    cache = tmp_path / "cache"
    first = scap.data_stream(cache, said.append, [uri])
    package.unlink()
    assert scap.data_stream(cache, said.append, [uri]) == first
    assert first.read_bytes() == CONTENT
    assert len(said) == 1 and uri in said[0]
    assert sorted(path.name for path in cache.iterdir()) == [".scap.lock", scap.DATA_STREAM]


def test_a_second_mirror_is_tried(tmp_path: Path, mirror: tuple[str, Path]) -> None:
    assert scap.data_stream(tmp_path / "cache", print, [f"{mirror[0]}absent/", mirror[0]]).is_file()


def test_a_wrong_hash_is_refused_and_nothing_is_kept(tmp_path: Path, mirror: tuple[str, Path]) -> None:
    with mirror[1].open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(scap.ScapError, match=r"est refusé : son empreinte SHA-256 est [0-9a-f]{64}, attendue"):
        scap.data_stream(tmp_path / "cache", print, [mirror[0]])
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".scap.lock"]


def test_a_changed_cache_is_refused(tmp_path: Path, mirror: tuple[str, Path]) -> None:
    target = scap.data_stream(tmp_path / "cache", print, [mirror[0]])
    target.write_bytes(CONTENT + b" ")
    with pytest.raises(scap.ScapError, match="n'est pas le contenu attendu"):
        scap.data_stream(tmp_path / "cache", print, [mirror[0]])


def test_without_a_mirror_the_package_may_be_put_there(tmp_path: Path, mirror: tuple[str, Path]) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(scap.ScapError, match=f"Déposez vous-même {scap.PACKAGE} dans {cache}, puis relancez"):
        scap.data_stream(cache, print, [f"{mirror[0]}absent/"])
    shutil.copy(mirror[1], cache)
    assert scap.data_stream(cache, print, []).read_bytes() == CONTENT
