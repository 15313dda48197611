"""What a control node of production imports is what its dependencies say, whoever imports it and wherever it does."""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import packages_distributions
from importlib.util import resolve_name
from pathlib import Path

from testbed import apps

TOP = Path(__file__).parents[3]
# What it runs: commands, plugins, the modules that playbooks delegate to it, the program of an application that one of
# them starts (playbooks/journeys/archive_seals.yml), the profile tests of an audit or of a drill.
RUNS = (
    "fabfile.py",
    "creatic",
    "collections/ansible_collections/cdg59/creatic/plugins",
    "apps/sae/src/sae/journal",
    "scripts/install_collections.py",
    "conftest.py",
    "tests/profiles",
)
MACHINES_OWN = {"apt_pkg", "swift"}  # Debian's, on machines


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (TOP / lock).read_text(encoding="utf-8"), re.MULTILINE))


def _declared() -> set[str]:
    told = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    return {_canonical(re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0]) for one in told}


class Ours:
    """Modules of ours, as the control node's own processes find them."""

    def __init__(self, top: Path) -> None:
        self._places = [*map(Path, apps.sources()), top / "tests/profiles/common", top / "collections", top]
        self._heads = {one: {path.stem for path in one.glob("*")} for one in self._places}
        self.file = functools.cache(self._file)

    def _file(self, name: str) -> Path | None:
        """The file, or the folder, of a module."""
        for place in self._places:
            path = place / Path(*name.split("."))
            for found in (path.with_suffix(".py"), path / "__init__.py", path):
                if name.partition(".")[0] in self._heads[place] and found.exists():
                    return found
        return None

    def names(self, file: Path) -> Iterator[str]:
        """What a file imports, in its functions too; of « from a import b », a.b where that is a module of ours."""
        place = next(one for one in self._places if file.is_relative_to(one))
        package = ".".join(file.parent.relative_to(place).parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (one.name for one in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = resolve_name("." * node.level + (node.module or ""), package)
                inside = [f"{base}.{one.name}" for one in node.names] if self.file(base) else []
                yield from [one for one in inside if self.file(one)] or [base]


def imported(top: Path, runs: Sequence[str]) -> dict[str, Path]:
    """Packages of others that some code imports, or what it imports does: by the name of each, a file that does it."""
    ours, found, seen = Ours(top), dict[str, Path](), set[Path]()
    left = [file for one in runs for file in ([top / one] if (top / one).is_file() else (top / one).rglob("*.py"))]
    while left:
        file = left.pop()
        if file in seen or file.is_dir():
            continue
        seen.add(file)
        for name in ours.names(file):
            if mine := ours.file(name):
                left.append(mine)
            elif name.partition(".")[0] not in sys.stdlib_module_names:
                found[name.partition(".")[0]] = file
    return found


def lacking(found: Mapping[str, Path], declared: set[str]) -> list[str]:
    """Those that no declared dependency brings."""
    brought = packages_distributions()
    return sorted(
        f"{name} ({file.relative_to(file.parents[-2])})"
        for name, file in found.items()
        if name not in MACHINES_OWN and not {_canonical(one) for one in brought.get(name, ())} & declared
    )


def test_all_that_production_imports_is_among_its_dependencies() -> None:
    found = imported(TOP, RUNS)
    seen = {"fabric", "trestle", "pyhanko", "testinfra"}  # at the top, in a function, by a module, by a test
    assert seen <= found.keys()
    assert lacking(found, _declared()) == []


def test_the_locks_hold_each_package_once_and_what_judges_is_none_of_production_s() -> None:
    production, tests = _pins("requirements.lock"), _pins("requirements-essais.lock")
    assert _declared() <= production.keys()
    assert not production.keys() & tests.keys()
    assert {"ansible-lint", "hypothesis", "molecule", "mypy", "playwright", "ruff"} <= tests.keys()


def test_formats_are_named_here_as_at_the_door_of_the_archives() -> None:
    assert _pins("requirements.lock")["pygfried"] == _pins("roles/archive_gateway/files/formats.lock")["pygfried"]
