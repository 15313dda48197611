"""The whole site, converged before, has nothing left to change; no secret is ever shown."""

from __future__ import annotations

import os
import re

import pytest

from testbed.control_node import HOME

from .conftest import site

pytestmark = pytest.mark.site
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
HOSTS = 19  # the control node is one: its backup is made ready
# Executed tasks of a profile on a host when nothing changes (docs/design/batch-tasks.md), the site's own include apart.
BUDGET = 60


def changed(output: str) -> dict[str, int]:
    """Hosts that a run says it changed, and how many of its tasks did."""
    return {host: int(count) for host, _ok, count, *_rest in RECAP.findall(output) if int(count)}


@pytest.fixture(scope="module")
def again() -> str:
    """The site's second run, as verbose as an operator can ask for; gives the output."""
    return site("-vvv", "--diff")


def test_the_second_run_changes_nothing_within_the_budget(again: str) -> None:
    recap = RECAP.findall(again)
    assert len(recap) == HOSTS
    assert changed(again) == {}
    assert [(host, ok) for host, ok, *_rest in recap if int(ok) - 1 >= BUDGET] == []


def test_no_secret_is_shown_by_the_most_verbose_run(again: str) -> None:
    secrets = {
        path.name: path.read_text().strip()
        for path in (HOME / "secrets").iterdir()
        if path.suffix != ".p12" and path.is_file()
    }
    assert len(secrets) >= 4  # passphrases of two authorities, a .p12's password, a PIN
    assert [name for name, secret in secrets.items() if secret in again] == []
    assert "PRIVATE KEY" not in again


def test_check_mode_announces_nothing() -> None:
    """On every machine; in a whole run, on one of those that are alike (scripts/run_tests.py)."""
    left_out = os.environ.get("CREATIC_LEFT_OUT", "").split()
    output = site("--check", "--diff", besides=left_out)
    assert len(RECAP.findall(output)) == HOSTS - len(left_out)
    assert changed(output) == {}
    assert [line for line in output.splitlines() if line.startswith("--- before")] == []
