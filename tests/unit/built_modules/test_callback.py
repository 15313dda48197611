"""The callback that keeps assembled modules, under the real Ansible; what it must never bring."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.callback.built_modules import COLLECTION, private, sources

REPO = Path(__file__).parents[3]
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.ping": {}},
            {"ansible.builtin.stat": {"path": "/etc/hosts"}},
            {"ansible.builtin.setup": {"gather_subset": "!all,!min"}},
        ],
    }
]
PING, STAT, SETUP = (f"ansible.modules.{name}-ZIP_DEFLATED-none" for name in ("ping", "stat", "setup"))


def run(home: Path) -> subprocess.CompletedProcess[str]:
    """Ansible on this computer alone, with a home of its own."""
    playbook = home / "playbook.json"
    playbook.write_text(json.dumps(PLAY), encoding="utf-8")
    given = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "CREATIC_"))}
    return subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}",
         "-e", "ansible_become=false", str(playbook)],
        cwd=REPO,
        env=given | {"HOME": str(home), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip # the command on two lines


def kept(home: Path) -> Path:
    """The folder of what this code and this Ansible are made of."""
    return home / ".cache" / "creatic" / "modules" / sources(COLLECTION)


def put(path: Path, data: bytes) -> None:
    path.write_bytes(hashlib.sha256(data).digest() + data)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of an account that ran a playbook once; a week ago another code ran."""
    home = tmp_path_factory.mktemp("home")
    for days, name in ((8, "old"), (6, "recent")):
        other = home / ".cache" / "creatic" / "modules" / name
        other.mkdir(parents=True)
        os.utime(other, (other.stat().st_mtime - days * 86400,) * 2)
    done = run(home)
    assert done.returncode == 0, done.stdout + done.stderr
    return home


def test_a_run_keeps_what_it_assembled_closed_and_deletes_what_no_run_used_for_a_week(home: Path) -> None:
    assert {path.name for path in kept(home).iterdir()} == {PING, STAT, SETUP}
    assert {path.name for path in kept(home).parent.iterdir()} == {kept(home).name, "recent"}
    assert kept(home).stat().st_mode & 0o077 == 0


def test_the_next_run_takes_it(home: Path) -> None:
    ping, stat = (kept(home) / name for name in (PING, STAT))
    before = ping.read_bytes()
    try:
        put(ping, stat.read_bytes()[32:])  # whole, but another module
        done = run(home)
    finally:
        ping.write_bytes(before)
    assert "ok=0 " in done.stdout and "failed=1 " in done.stdout


def test_what_is_not_whole_is_not_brought_and_is_kept_anew(home: Path) -> None:
    ping, stat, setup = (kept(home) / name for name in (PING, STAT, SETUP))
    wrong = stat.read_bytes()[32:]
    ping.write_bytes(ping.read_bytes()[:32] + wrong)
    stat.write_bytes(stat.read_bytes()[:9999])
    setup.write_bytes(b"")
    done = run(home)
    assert done.returncode == 0, done.stdout + done.stderr
    for again in (ping.read_bytes(), stat.read_bytes(), setup.read_bytes()):
        assert hashlib.sha256(again[32:]).digest() == again[:32]
        assert again[32:] != wrong


def test_a_folder_of_others_or_open_to_them_is_not_private(tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    folder.mkdir(mode=0o700)
    assert private(folder)
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "file").touch(mode=0o600)
    assert not any(private(tmp_path / name) for name in ("link", "file", "none"))
    folder.chmod(0o750)
    assert not private(folder)
    folder.chmod(0o700)
    os.chown(folder, 1, 1)
    assert not private(folder)


def test_a_changed_source_or_place_is_another_folder(tmp_path: Path) -> None:
    found = set()
    for name, text in (("one", "a = 1"), ("one", "a = 2"), ("two", "a = 2")):
        module = tmp_path / name / "module_utils" / "deep" / "a.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(text, encoding="utf-8")
        found.add(sources(tmp_path / name))
    assert len(found) == 3
