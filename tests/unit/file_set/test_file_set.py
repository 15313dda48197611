"""file_set: the state is reached, told, and never half-written."""

from __future__ import annotations

import base64
import grp
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.action.file_set import build_zipapp, tree_entries
from ansible_collections.cdg59.creatic.plugins.module_utils.file_set import FileSetError, apply

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


def entry(path: Path, content: str | None = None, **over: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"path": str(path), "state": "file", "mode": "0644", "secret": False, **ME, **over}
    if content is not None:
        spec["content_b64"] = base64.b64encode(content.encode()).decode()
    return spec


def test_everything_is_made_then_nothing_changes(tmp_path: Path) -> None:
    files = [
        entry(tmp_path / "d", state="directory", mode="0750"),
        entry(tmp_path / "d" / "f", "délibération\n", mode="0640"),
        entry(tmp_path / "d" / "l", link="f"),
        entry(tmp_path / "old", state="absent"),
    ]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "x").touch()
    assert len(apply(files)) == 4
    assert (tmp_path / "d" / "l").read_text() == "délibération\n"
    assert (tmp_path / "d" / "f").stat().st_mode & 0o7777 == 0o640
    assert not (tmp_path / "old").exists()
    assert apply(files) == []


def test_check_mode_tells_and_touches_nothing(tmp_path: Path) -> None:
    files = [entry(tmp_path / "d", state="directory"), entry(tmp_path / "d" / "f", "x", owner="compte-futur")]
    assert [change.path for change in apply(files, check=True)] == [str(tmp_path / "d"), str(tmp_path / "d" / "f")]
    assert list(tmp_path.iterdir()) == []


def test_mode_alone_is_repaired(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_text("x")
    target.chmod(0o777)
    (change,) = apply([entry(target, "x")])
    assert change.reasons == ["mode 0777 → 0644"]
    assert target.stat().st_mode & 0o7777 == 0o644


def test_a_refused_file_never_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_text("bon")
    with pytest.raises(FileSetError, match="refusé par « grep », rien n'est changé"):
        apply([entry(target, "mauvais", validate="grep -q bon %s")])
    assert target.read_text() == "bon"
    assert list(tmp_path.iterdir()) == [target]


def test_a_secret_shows_in_no_diff_and_no_error(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_text("canari-ancien")
    with pytest.raises(FileSetError) as refused:
        apply([entry(target, "canari-neuf", secret=True, validate="sh -c 'cat %s >&2; exit 1'")])
    (change,) = apply([entry(target, "canari-neuf", secret=True)])
    assert "canari" not in f"{refused.value}{change}"


def test_unknown_account_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileSetError, match="le compte « personne-ici » n'existe pas"):
        apply([entry(tmp_path / "f", "x", owner="personne-ici")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_something_else_in_the_way_is_refused(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "f"
    target.write_text("précieux")
    over: dict[str, Any] = {"state": "directory"} if kind == "directory" else {"link": "x"}
    with pytest.raises(FileSetError, match="déplacez-le puis relancez"):
        apply([entry(target, **over)])
    assert target.read_text() == "précieux"


def test_zipapp_runs_and_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    package = tmp_path / "outil"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cli.py").write_text("def main():\n    print('prêt')\n    return 3\n")
    first = build_zipapp(package, "outil.cli:main")
    os.utime(package / "cli.py", (1, 1))
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "cli.pyc").write_bytes(b"x")
    assert build_zipapp(package, "outil.cli:main") == first
    assert first.startswith(b"#!/usr/bin/python3 -I\n")
    assert build_zipapp(package, "outil.cli:main", "/opt/outil/bin/python").startswith(b"#!/opt/outil/bin/python -I\n")
    program = tmp_path / "outil.pyz"
    program.write_bytes(first)
    done = subprocess.run(["/usr/bin/python3", str(program)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "prêt\n")


def test_a_tree_is_an_entry_for_each_folder_and_file(tmp_path: Path) -> None:
    folder = tmp_path / "outil"
    (folder / "pages" / "__pycache__").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "pages" / "a.pt").touch()
    (folder / "pages" / "__pycache__" / "a.pyc").touch()
    found = list(tree_entries(folder, {"tree": "outil", "path": "/usr/lib/outil", "group": "outil"}))
    assert [(one["path"], one.get("state", "file")) for one in found] == [
        ("/usr/lib/outil", "directory"),
        ("/usr/lib/outil/__init__.py", "file"),
        ("/usr/lib/outil/pages", "directory"),
        ("/usr/lib/outil/pages/a.pt", "file"),
    ]
    assert {one["group"] for one in found} == {"outil"}
    assert found[3]["src"] == str(folder / "pages" / "a.pt")
