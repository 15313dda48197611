"""OpenSCAP's content: fetched once, refused unless it is what is pinned."""

from __future__ import annotations

import functools
import hashlib
import http.server
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.cdg59.creatic.plugins.action import scap_content as action

from creatic.audit import scap

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


# -- is it there already? -------------------------------------------------------------------------------------------

IN_PLACE = {"isreg": True, "checksum": scap.DATA_STREAM_SHA256, "mode": "0644", "uid": 0, "gid": 0}


@pytest.mark.parametrize(
    ("change", "there"),
    [({}, True), ({"exists": True}, True), ({"checksum": "0" * 64}, False), ({"mode": "0666"}, False),
     ({"uid": 1}, False), ({"gid": 1}, False), ({"isreg": False}, False)],
)  # fmt: skip # a case a line
def test_only_the_pinned_content_is_in_place(change: dict[str, object], there: bool) -> None:
    assert scap.is_in_place(IN_PLACE | change) == there
    assert not scap.is_in_place({"exists": False})


class Play:
    """Runs the action; the host's file is given, what would be copied is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.stat: dict[str, object] = {"stat": {"exists": False}}
        self.copied: list[dict[str, object]] = []
        self.asked: list[dict[str, object]] = []
        self.args: dict[str, object] = {"cache": str(tmp_path)}
        self.error: scap.ScapError | None = None
        monkeypatch.setattr(action.ActionModule, "_execute_module", lambda _self, **sent: self._stat(**sent))
        monkeypatch.setattr(scap, "data_stream", self._fetch)
        self.copy = MagicMock()
        self.copy.run = self._copy
        monkeypatch.setattr("ansible.plugins.loader.action_loader.get", lambda _name, **_options: self.copy)

    def _stat(self, module_name: str, module_args: dict[str, object], task_vars: object) -> dict[str, object]:
        assert module_name == "ansible.builtin.stat"
        self.asked.append(module_args)
        return self.stat

    def _copy(self, task_vars: object) -> dict[str, object]:
        self.copied.append(self.given.args)
        return {"changed": True}

    def _fetch(self, cache: Path, _say: object) -> Path:
        if self.error:
            raise self.error
        return cache / "contenu.xml"

    def run(self, check: bool = False) -> dict[str, object]:
        task = MagicMock(args=dict(self.args), check_mode=check, async_val=0, diff=True)
        task.copy.return_value = self.given = MagicMock()
        made = action.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
        result: dict[str, object] = made.run(None, {})
        assert self.given.diff is False or not self.copied
        return result


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Play:
    return Play(monkeypatch, tmp_path)


def test_a_host_that_has_the_content_is_left_alone(play: Play) -> None:
    play.stat = {"stat": IN_PLACE}
    assert play.run() == {"changed": False, "dest": scap.HOST_PATH}
    assert play.copied == []
    asked = {"path": scap.HOST_PATH, "checksum_algorithm": "sha256", "get_attributes": False, "get_mime": False}
    assert play.asked == [asked]
    play.stat = {"stat": IN_PLACE | {"checksum": "0" * 64}}
    play.args["dest"] = "/autre"
    assert play.run(check=True) == {"changed": True, "dest": "/autre"}
    assert play.copied == []
    assert play.run() == {"changed": True}
    source = str(Path(str(play.args["cache"])) / "contenu.xml")
    assert play.copied == [{"src": source, "dest": "/autre", "owner": "root", "group": "root", "mode": "0644"}]


@pytest.mark.parametrize("answer", [{"failed": True, "msg": "x"}, {"unreachable": True}])
def test_a_host_that_does_not_answer_gets_nothing(play: Play, answer: dict[str, object]) -> None:
    play.stat = answer
    assert play.run() == answer
    assert play.copied == []


def test_content_that_cannot_be_had_is_told(play: Play) -> None:
    play.error = scap.ScapError("pas de miroir")
    with pytest.raises(AnsibleActionFail, match=r"^pas de miroir$"):
        play.run()
    play.args = {}
    with pytest.raises(AnsibleActionFail, match=r"^scap_content : le paramètre cache est obligatoire$"):
        play.run()


def test_mirrors_are_apt_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = (
        "Debian|http://a.test/debian",
        "Debian|http://b.test/",
        "Autre|http://c.test",
        "Debian|http://a.test/debian",
    )
    program = tmp_path / "apt-get"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in told))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert scap.mirrors() == ["http://a.test/debian/", "http://b.test/"]
    program.write_text("#!/bin/sh\necho 'Autre|http://c.test'\n")
    with pytest.raises(scap.ScapError, match=r"^aucun dépôt Debian dans la configuration d'apt de ce poste : lancez"):
        scap.mirrors()


def test_http_goes_by_apt_s_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = SimpleNamespace(stdout="P='http://proxy.test:3142'\n")
    monkeypatch.setattr(scap, "subprocess", SimpleNamespace(run=lambda *_command, **_options: answer))
    for told, expected in (("", False), ("P=''\n", False), (answer.stdout, True)):
        answer.stdout = told
        opener: Any = scap.opener()
        proxies = [one.proxies for one in opener.handlers if hasattr(one, "proxies")]
        assert ({"http": "http://proxy.test:3142"} in proxies) == expected


def test_a_cache_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("un fichier")
    with pytest.raises(scap.ScapError, match=r"cache n'est pas utilisable : ce nom est déjà pris$"):
        scap.data_stream(tmp_path / "cache")


def test_a_package_without_the_content_is_refused(
    tmp_path: Path, mirror: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scap, "DATA_STREAM_SHA256", "0" * 64)
    with pytest.raises(scap.ScapError, match=rf"^{scap.PACKAGE} ne contient pas {scap.DATA_STREAM} attendu : absent$"):
        scap.data_stream(tmp_path / "cache", print, [mirror[0]])
    monkeypatch.setattr(scap, "INSIDE", "usr/autre")
    with pytest.raises(scap.ScapError, match="ne contient pas"):
        scap.data_stream(tmp_path / "cache", print, [mirror[0]])
    mirror[1].write_bytes(b"!<arch>\n")
    monkeypatch.setattr(scap, "PACKAGE_SHA256", hashlib.sha256(b"!<arch>\n").hexdigest())
    with pytest.raises(scap.ScapError, match=r"ne contient pas .* attendu : dpkg-deb"):
        scap.data_stream(tmp_path / "cache", print, [mirror[0]])
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".scap.lock"]


def test_the_content_is_readable_by_all_and_new(tmp_path: Path, mirror: tuple[str, Path]) -> None:
    made = scap.data_stream(tmp_path / "cache", print, [mirror[0]])
    assert made.stat().st_mode & 0o777 == 0o644
    assert time.time() - made.stat().st_mtime < 60
