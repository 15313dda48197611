"""The callback that keeps assembled modules, under the real Ansible."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.callback.built_modules import COLLECTION, sources

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
PING, STAT, SETUP = (f"{name}-ZIP_DEFLATED-none" for name in ("ping", "stat", "setup"))


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


def kept(home: Path) -> dict[str, Path]:
    """What this code and this Ansible assembled, by module."""
    prefix = f"{sources(COLLECTION)}-ansible.modules."
    folder = home / ".cache" / "creatic" / "modules"
    return {path.name.removeprefix(prefix): path for path in folder.glob(f"{prefix}*")}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of an account that ran a playbook once."""
    home = tmp_path_factory.mktemp("home")
    done = run(home)
    assert done.returncode == 0, done.stdout + done.stderr
    return home


def test_the_next_run_takes_what_was_assembled(home: Path) -> None:
    assert {*kept(home)} == {PING, STAT, SETUP}
    ping, stat = (kept(home)[name] for name in (PING, STAT))
    before = ping.read_bytes()
    try:
        ping.write_bytes(stat.read_bytes())  # whole, but another module
        done = run(home)
    finally:
        ping.write_bytes(before)
    assert done.returncode == 2
    assert "ok=0 " in done.stdout and "failed=1 " in done.stdout


def test_what_is_not_whole_is_not_brought_and_is_kept_anew(home: Path) -> None:
    ping, stat, setup = (kept(home)[name] for name in (PING, STAT, SETUP))
    wrong = stat.read_bytes()[32:]
    ping.write_bytes(ping.read_bytes()[:32] + wrong)
    stat.write_bytes(stat.read_bytes()[:9999])
    setup.write_bytes(b"")
    done = run(home)
    assert done.returncode == 0, done.stdout + done.stderr
    for again in (ping.read_bytes(), stat.read_bytes(), setup.read_bytes()):
        assert hashlib.sha256(again[32:]).digest() == again[:32]
        assert again[32:] != wrong


def test_a_changed_source_or_place_is_another_folder(tmp_path: Path) -> None:
    found = set()
    for name, text in (("one", "a = 1"), ("one", "a = 2"), ("two", "a = 2")):
        module = tmp_path / name / "module_utils" / "deep" / "a.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(text, encoding="utf-8")
        found.add(sources(tmp_path / name))
    assert len(found) == 3
