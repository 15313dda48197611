"""Each stop of docs/design/walks.md exists: a module's function, class, method or constant, or a file."""

from __future__ import annotations

import ast
import re

import pytest

from testbed.apps import TOP, sources

PAGE = TOP / "docs" / "design" / "walks.md"
ROOTS = [*map(TOP.__class__, sources()), TOP, TOP / "collections"]
STOPS = [
    stop
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if re.match(r"\d+\. ", line)
    for stop in re.findall(r"`([^`]+)`", line)
]


def names(body: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """What is defined in a body, and the body of each."""
    found: dict[str, list[ast.stmt]] = {}
    for one in body:
        if isinstance(one, ast.FunctionDef | ast.ClassDef):
            found[one.name] = one.body
        elif isinstance(one, ast.Assign):
            found |= {target.id: [] for target in one.targets if isinstance(target, ast.Name)}
    return found


def exists(stop: str) -> bool:
    """Whether a stop is there."""
    if "/" in stop:
        return (TOP / stop).exists()
    parts = stop.split(".")
    for count in range(len(parts) - 1, 0, -1):
        for root in ROOTS:
            module = root.joinpath(*parts[:count]).with_suffix(".py")
            if module.is_file():
                body = ast.parse(module.read_text(encoding="utf-8")).body
                for part in parts[count:]:
                    known = names(body)
                    if part not in known:
                        return False
                    body = known[part]
                return True
    return False


def test_the_page_has_its_walks() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(re.findall("^## ", text, re.M)) >= 3 and len(STOPS) > 25


@pytest.mark.parametrize("stop", STOPS)
def test_each_stop_exists(stop: str) -> None:
    assert exists(stop), f"{stop}: name where it went in {PAGE.relative_to(TOP)}"


@pytest.mark.parametrize(
    "gone", ["creatic.audit.page.nothing", "creatic.nowhere.load", "sae.versement.engine.Engine.nothing", "roles/none/"]
)
def test_one_that_is_gone_is_seen(gone: str) -> None:
    assert not exists(gone)
