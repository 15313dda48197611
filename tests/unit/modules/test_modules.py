"""Modules as ansible-doc shows them, and how they answer."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge, run
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import Change, StateError

from testbed.programs import said

TOP = Path(__file__).parents[3]
MODULES = TOP / "collections" / "ansible_collections" / "cdg59" / "creatic" / "plugins" / "modules"
NAMES = sorted(path.stem for path in MODULES.glob("*.py"))
# Of the few that need more, what their roles install before.
LIBRARIES = {
    "revocation_lists": {"cryptography"},
    "trusted_lists": {"asn1crypto", "cryptography", "lxml", "pyhanko", "signxml"},
}


def imported(path: Path) -> Iterator[str]:
    """What a source imports when it is loaded."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


@pytest.mark.parametrize("name", NAMES)
def test_a_module_needs_what_its_host_has(name: str) -> None:
    """A host is sent module_utils alone, and has neither PyYAML nor Ansible's plugins."""
    waiting, met, needed = [MODULES / f"{name}.py"], set[Path](), set[str]()
    while waiting:
        for one in imported(waiting.pop()):
            _, ours, rest = one.partition("ansible_collections.cdg59.creatic.plugins.")
            path = MODULES.parent / f"{rest.replace('.', '/')}.py"
            if ours and path.is_file():
                assert rest.startswith("module_utils."), one
                waiting += {path} - met
                met.add(path)
            elif not ours:
                needed.add(one.partition(".")[0])
    assert needed - sys.stdlib_module_names - {"ansible"} <= LIBRARIES.get(name, set())


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """What ansible-doc says of each module."""
    names = (f"cdg59.creatic.{name}" for name in NAMES)
    found: dict[str, Any] = json.loads(said("ansible-doc", "--type", "module", "--json", *names, seconds=60))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_module_is_documented(shown: dict[str, Any], name: str) -> None:
    found = shown[f"cdg59.creatic.{name}"]
    documented = found["doc"]
    assert documented["module"] == name
    assert (documented["author"], documented["version_added"]) == (["Cre@tic (@cdg59)"], "0.1.0")
    assert documented["short_description"] and documented["description"] and found["examples"]
    supports = {key: one["support"] for key, one in documented["attributes"].items()}
    assert supports["check_mode"] == ("none" if name == "csr_issue" else "full")
    assert all(one["description"] for one in documented["attributes"].values())


def test_what_changes_a_state_shows_its_names_and_a_diff(shown: dict[str, Any]) -> None:
    found = [name for name in NAMES if "import converge" in (MODULES / f"{name}.py").read_text("utf-8")]
    assert len(found) > 10
    for name in found:
        said = shown[f"cdg59.creatic.{name}"]
        assert list(said["return"]) == ["changed_names"]
        assert said["doc"]["attributes"]["diff_mode"]["support"] == "full"


def answer(capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
    """What the module says, that brings a file to a content which must not be empty."""

    def apply(given: dict[str, Any], check: bool) -> list[Change]:
        if not given["content"]:
            raise StateError("contenu vide : donnez-en un")
        return [Change("f", "", f"{given['content']} {check}")]

    with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit) as ended:
        converge({"content": {"type": "str", "required": True}}, apply)
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert bool(said.get("failed")) == bool(ended.value.code)
    return said


def test_changes_are_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    said = answer(capsys, {"content": "x"}, check=True)
    assert (said["changed"], said["changed_names"]) == (True, ["f"])
    assert said["diff"] == [{"before": "", "after": "x True\n", "before_header": "f", "after_header": "f"}]


def test_a_refusal_is_the_message_and_a_fault_is_not_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, {"content": ""})["msg"] == "contenu vide : donnez-en un"
    assert "content" in answer(capsys, {})["msg"]

    def faulty(_module: basic.AnsibleModule) -> dict[str, Any]:
        raise KeyError("oubli")

    with patch_module_args({}), pytest.raises(KeyError, match="oubli"):
        run({}, faulty)
