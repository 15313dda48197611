"""Another department's environment bears the names that its own files say, and none of those who wrote the product."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from creatic.evidence.page import ENVIRONMENT

TOP = Path(__file__).parents[3]
OURS = re.compile(r"Cre@tic|CDG ?59\b|\bdu Nord\b|Préfecture du Nord")
# Authors of what is written, which licences keep; the simulator is of the lab alone; a type that Plone's database has;
# the title of entry pages of before, and the organization that versions before 1.0.0 wrote in certificates whatever the
# authority's, by which what they sealed is still verified.
SPARED = re.compile(
    r"Copyright:|\(@cdg59\)|meta_type = |^Cre@tic Guard$|^O=Groupement Cre@tic,C=FR$|^<title>Cre@tic&nbsp;: \(\\w\)$"
)
LAB = ("roles/tdt_simulator", "apps/simulateur", "/tests/", "/meta/main.yml", "/galaxy.yml")
KINDS = (".j2", ".html", ".md", ".css", ".js", ".service", ".timer", ".conf", ".ini", "")


def _values(node: Any) -> Iterator[str]:
    """Texts of a YAML file, without its comments."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from (*_values(key), *_values(value))
    elif isinstance(node, list):
        for value in node:
            yield from _values(value)
    elif isinstance(node, str):
        yield node


def _texts(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".py":
        tree = ast.parse(text)
        told = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
                yield node.value
    elif path.suffix in (".yml", ".yaml"):
        yield from _values([*yaml.load_all(re.sub(r"!(vault|unsafe)\b", "", text), Loader=yaml.CSafeLoader)])
    elif path.suffix in KINDS:
        yield re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("folder", ["roles", "playbooks", "creatic", "collections", "apps", "inventories/example"])
def test_no_text_of_the_product_names_who_wrote_it(folder: str) -> None:
    found = [
        f"{path.relative_to(TOP)} : {line.strip()}"
        for path in sorted((TOP / folder).rglob("*"))
        if path.is_file() and not any(part in path.as_posix() for part in LAB) and "README" not in path.name
        for text in _texts(path)
        for line in text.splitlines()
        if OURS.search(line) and not SPARED.search(line)
    ]
    assert found == []


def test_pages_of_the_evidence_bear_no_brand() -> None:
    assert not OURS.search(ENVIRONMENT.get_template("base.html.j2").render())


def test_certificates_of_seals_are_the_authoritys_own_organization() -> None:
    [task] = yaml.safe_load((TOP / "playbooks/journeys/tasks/seal.yml").read_text(encoding="utf-8"))
    assert all("organization" not in one for one in task["cdg59.creatic.pki_ca"]["certificates"])
