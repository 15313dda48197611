"""What roles' READMEs say, written from their specs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.role_docs import markdown

ROLES = Path(__file__).parents[3] / "roles"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("C(fab audit) or V(a\\)b\\\\), as O(x.y=1) and RV(z)", "`fab audit` or `a)b\\`, as `x.y=1` and `z`"),
        ("E(HOME), M(a.b.c), P(a.b.c#callback)", "`HOME`, `a.b.c`, `a.b.c`"),
        (
            "I(read), B(now): U(https://x.test), L(a, b, https://y.test)",
            "*read*, **now**: <https://x.test>, [a, b](https://y.test)",
        ),
        ("SNMP(1), the CI (one) and ANSSI(R1)", "SNMP(1), the CI (one) and ANSSI(R1)"),
    ],
)
def test_ansible_markup_becomes_markdown(given: str, shown: str) -> None:
    assert markdown(given) == shown


def test_no_markup_of_ansible_is_left_in_a_readme() -> None:
    left = {
        page.parent.name: found
        for page in ROLES.glob("*/README.md")
        if (found := re.findall(r"\b(?:RV|[BCEILMOPUV])\([^)]*\)", page.read_text("utf-8")))
    }
    assert left == {}
