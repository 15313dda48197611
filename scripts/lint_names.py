#!/usr/bin/env python3
"""Check how production code names things (CONTRIBUTING.md, "Names").

  scripts/lint_names.py [FILE...]     the production files of the repository when none is given

Prints one line per finding, as compilers do, and exits with 1 when there is any:

- a function, class or constant whose whole name is a coined word (`told`, `of`, `gone`): use verb + object, or a noun;
- a numeric constant whose name has no unit and no MAX_, MIN_ or DEFAULT_ prefix;
- an exception whose name does not end in `Error` (PEP 8);
- a private constant that more than two modules define: import it from one place.

A name that somebody else chose is excused by `# names: REASON` on its line. Applications of `PENDING_APPS` still have
names from before these rules and are not checked yet.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
COINED_WORDS = frozenset(
    {
        "told",
        "tell",
        "said",
        "say",
        "shown",
        "asked",
        "ask",
        "heard",
        "kept",
        "keep",
        "held",
        "of",
        "one",
        "alone",
        "gone",
        "away",
        "elsewhere",
        "given",
        "taken",
        "seen",
        "known",
        "named",
        "drawn",
        "noted",
        "listed",
        "described",
        "answered",
        "carried",
        "left",
        "late",
        "lacking",
        "standing",
        "wanting",
        "waiting",
        "once",
        "again",
        "made",
    }
)
UNIT_PATTERN = re.compile(
    r"(^|_)(MAX|MIN|DEFAULT|MAXIMUM|MINIMUM)(_|$)"
    r"|(^|_)(TIMEOUT|SECONDS|MINUTES|HOURS|DAYS|MONTHS|YEARS|BYTES|KB|MB|SIZE|PORT|BITS|VERSION|COUNT|MODE|LIMIT|PIXELS|STATUS"
    r"|S|MS|H)$"
)
NOT_PRODUCTION = re.compile(r"(^|/)(tests?|testbed|molecule|migrations)/|^conftest")
MAX_MODULES_PER_PRIVATE_CONSTANT = 2
PENDING_APPS = frozenset(
    {
        "archive",
        "audit",
        "certificats",
        "common",
        "connecteur",
        "deliberations",
        "depots",
        "enrolement",
        "flotte",
        "guichet",
        "journaux",
        "mayan",
        "parapheur",
        "passerelle",
        "preuve_navigateur",
        "raid",
        "session",
        "simulateur",
    }
)
EXCUSE = "  # names: "


def list_production_files() -> list[Path]:
    """List the Python files under version control that are not tests."""
    listing = subprocess.run(["git", "ls-files", "*.py"], cwd=TOP, capture_output=True, text=True, check=True)
    return [
        TOP / name
        for name in listing.stdout.split()
        if not NOT_PRODUCTION.search(name) and not (name.startswith("apps/") and name.split("/")[1] in PENDING_APPS)
    ]


def find_constants(tree: ast.Module) -> Iterator[tuple[int, str, ast.expr]]:
    """Yield line, name and value of each constant that a module defines."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if target.id.isupper():
            yield node.lineno, target.id, value


def check_module(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and message of each finding in one module."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.strip("_").lower() in COINED_WORDS:
            yield node.lineno, f"{node.name}: a coined word; use verb + object for a function, a noun for a class"
        if isinstance(node, ast.ClassDef) and not node.name.endswith("Error"):
            bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
            if any(base.endswith(("Error", "Exception")) for base in bases):
                yield node.lineno, f"{node.name}: an exception's name ends in Error"
    for line, name, value in find_constants(tree):
        if name.strip("_").lower() in COINED_WORDS:
            yield line, f"{name}: a coined word; name the constant's subject"
        is_number = isinstance(value, ast.Constant) and type(value.value) in (int, float)
        if is_number and not UNIT_PATTERN.search(name):
            yield (
                line,
                f"{name}: a number without a unit (…_SECONDS, …_BYTES, …_COUNT) or a MAX_, MIN_, DEFAULT_ prefix",
            )


def check_files(paths: Sequence[Path]) -> list[str]:
    """List the findings of several files, each as ``path:line: message``."""
    findings = []
    modules_by_constant: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        label = path.relative_to(TOP) if path.is_relative_to(TOP) else path
        text = path.read_text(encoding="utf-8")
        lines, tree = text.split("\n"), ast.parse(text)
        findings += [
            f"{label}:{line}: {message}" for line, message in check_module(tree) if EXCUSE not in lines[line - 1]
        ]
        for name in {name for _line, name, _value in find_constants(tree) if name.startswith("_")}:
            modules_by_constant[name].append(str(label))
    for name, modules in sorted(modules_by_constant.items()):
        if len(modules) > MAX_MODULES_PER_PRIVATE_CONSTANT:
            findings.append(f"{name}: defined in {len(modules)} modules ({', '.join(modules)}); define it once")
    return findings


def main(arguments: Sequence[str]) -> int:
    """Print the findings; exit status 1 when there is any."""
    findings = check_files([Path(name) for name in arguments] or list_production_files())
    print("\n".join(findings), end="\n" if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
