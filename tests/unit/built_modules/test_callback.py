"""The callback that keeps assembled modules, under the real Ansible."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible.executor.module_common import _CachedModule
from ansible_collections.cdg59.creatic.plugins.callback.built_modules import COLLECTION, sources, with_bytecode

REPO = Path(__file__).parents[3]
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.ping": {}},
            {"ansible.builtin.stat": {"path": "/etc/hosts"}},
            {"ansible.builtin.setup": {"gather_subset": "!all,!min"}},
            {
                "ansible.builtin.command": "printenv PYTHONUNBUFFERED",
                "register": "found",
                "failed_when": "found.rc != 1",
                "changed_when": False,
            },
        ],
    }
]
PING, STAT, SETUP, COMMAND = (f"{name}-ZIP_DEFLATED-none" for name in ("ping", "stat", "setup", "command"))


def run(home: Path) -> subprocess.CompletedProcess[str]:
    """Ansible on this computer alone, with a home of its own."""
    playbook = home / "playbook.json"
    playbook.write_text(json.dumps(PLAY), encoding="utf-8")
    given = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "CREATIC_"))}
    return subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}",
         "-e", "ansible_become=false", str(playbook)],
        cwd=REPO,
        env=given | {"HOME": str(home), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
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


def zipped(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def entries(payload: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_what_is_kept_is_compiled_beside_its_sources(home: Path, tmp_path: Path) -> None:
    (tmp_path / "ping").write_bytes(kept(home)[PING].read_bytes()[32:])
    found = entries(base64.b64decode(_CachedModule.load(str(tmp_path / "ping")).zip_data))
    sources = {name for name in found if name.endswith(".py")}
    assert {"ansible/modules/ping.py", "ansible/module_utils/basic.py"} < sources
    assert {*found} == sources | {f"{name}c" for name in sources}


@pytest.mark.parametrize("python", ["this one", "another one"])
def test_a_machine_takes_what_its_python_compiled_else_the_sources(tmp_path: Path, python: str) -> None:
    found = entries(with_bytecode(zipped({"essai.py": b"print('compiled')"}), {}))
    found["essai.py"] = b"print('source')"
    if python == "another one":
        found["essai.pyc"] = b"\0\0\r\n" + found["essai.pyc"][len(importlib.util.MAGIC_NUMBER) :]
    (tmp_path / "essai.zip").write_bytes(zipped(found))
    said = subprocess.run(
        [sys.executable, "-c", "import essai"],
        env={"PYTHONPATH": str(tmp_path / "essai.zip")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == ("compiled\n" if python == "this one" else "source\n")


def test_the_next_run_takes_what_was_assembled(home: Path) -> None:
    assert {*kept(home)} == {PING, STAT, SETUP, COMMAND}
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


@pytest.mark.parametrize("folder", ["modules", "module_utils", "plugin_utils", "callback"])
def test_a_changed_source_builder_or_place_is_another_folder(tmp_path: Path, folder: str) -> None:
    found = set()
    for name, text in (("one", "a = 1"), ("one", "a = 2"), ("two", "a = 2")):
        module = tmp_path / name / folder / "deep" / "a.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(text, encoding="utf-8")
        found.add(sources(tmp_path / name))
    assert len(found) == 3
