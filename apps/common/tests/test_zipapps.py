"""Each agent's archive, built as it is for its host, holds what it imports of what the agents share."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.action.file_set import build_zipapp
from ansible_collections.cdg59.creatic.plugins.plugin_utils.applications import package

ROLES = Path(__file__).parents[3] / "roles"
# The agent's own code and what is shared come from the archive, or the test would see the sources.
_CHILD = """
import importlib, sys
archive, *names = sys.argv[1:]
sys.path.insert(0, archive)
for name in names:
    found = importlib.import_module(name).__file__
    assert found.startswith(archive), f"{name} : {found}"
"""


def _entries(given: Any) -> Iterator[dict[str, Any]]:
    if isinstance(given, dict):
        if "zipapp" in given and "main" in given:
            yield given
        given = list(given.values())
    if isinstance(given, list):
        for one in given:
            yield from _entries(one)


def _agents() -> dict[str, Path]:
    """Entry point and package of every archive that a role sends."""
    found = {}
    for folder in ("tasks", "vars"):
        for path in sorted(ROLES.glob(f"*/{folder}/*.yml")):
            for spec in _entries(yaml.safe_load(path.read_text(encoding="utf-8"))):
                found[spec["main"]] = package(spec["zipapp"], [path]) or path.parents[1] / "files" / spec["zipapp"]
    return found


AGENTS = _agents()


def _shared(text: str) -> Iterator[str]:
    """Modules of creatic_agent that a source imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == "creatic_agent":
            yield from (f"creatic_agent.{one.name}" for one in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("creatic_agent."):
            yield str(node.module)


def test_every_archive_is_known() -> None:
    assert len(AGENTS) >= 15
    assert [main for main, package in AGENTS.items() if not (package / "__init__.py").is_file()] == []


@pytest.mark.parametrize("main", AGENTS)
def test_an_agent_carries_what_it_shares(main: str, tmp_path: Path) -> None:
    built = build_zipapp(AGENTS[main], main)
    with zipfile.ZipFile(io.BytesIO(built)) as archive:
        sources = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")}
    shared = {found for text in sources.values() for found in _shared(text)}
    assert any(name.startswith("creatic_agent/") for name in sources) is bool(shared)
    if not shared:
        return
    (tmp_path / "agent.pyz").write_bytes(built)
    names = [main.split(":", maxsplit=1)[0], *shared]
    command = [sys.executable, "-I", "-c", _CHILD, str(tmp_path / "agent.pyz"), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_journal_is_verified_by_whoever_has_the_folder_sae_alone() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROLES.parent / 'apps/sae/src')!r}); import sae.journal.commands"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


AGENT, MAIN = AGENTS["tdt_connector.cli:main"], "tdt_connector.cli:main"


def _changed(built: bytes, suffix: str, content: bytes) -> bytes:
    """An archive whose entries of that suffix begin with something else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(built)) as archive, zipfile.ZipFile(buffer, "w") as other:
        for name in archive.namelist():
            data = archive.read(name)
            other.writestr(name, content + data[len(content) :] if name.endswith(suffix) else data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("suffix", "content"),
    [(".py", b"raise SystemExit('compiled anew')\n"), (".pyc", b"\0\0\r\n")],
    ids=["from what was compiled", "from the sources, for another Python"],
)
def test_an_agent_starts(suffix: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "agent.pyz").write_bytes(_changed(build_zipapp(AGENT, MAIN), suffix, content))
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "agent.pyz"), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "tdt-connector" in done.stdout, done.stderr


def test_an_archive_is_the_same_whatever_process_builds_it(tmp_path: Path) -> None:
    program = (
        "import hashlib, sys\nfrom pathlib import Path\n"
        "from ansible_collections.cdg59.creatic.plugins.action.file_set import build_zipapp\n"
        "print(hashlib.sha256(build_zipapp(Path(sys.argv[1]), sys.argv[2])).hexdigest())"
    )
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(sys.path)}
    found = set()
    for seed in ("1", "2"):
        (home := tmp_path / seed).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", program, str(AGENT), MAIN],
            env=given | {"PYTHONHASHSEED": seed, "HOME": str(home)},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert found == {hashlib.sha256(build_zipapp(AGENT, MAIN)).hexdigest() + "\n"}
