"""The whole site on the lab: converges, then has nothing left to change; no secret is ever shown.

Check mode on converged hosts is asked by profile (scripts/verify).
"""

from __future__ import annotations

import re

import pytest

from .conftest import HOME, command

RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
HOSTS = 13  # the control node is one: its backup is made ready
# A profile stays under 60 executed tasks per host when nothing changes (docs/design/batch-tasks.md).
BUDGET = 60


def site(*arguments: str) -> tuple[str, dict[str, tuple[int, int]]]:
    """Run playbooks/site.yml; gives its output, and executed and changed tasks by host."""
    done = command("ansible-playbook", "-i", "inventories/lab", "playbooks/site.yml", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout, {host: (int(ok), int(changed)) for host, ok, changed, *_rest in RECAP.findall(done.stdout)}


@pytest.fixture(scope="module")
def first_run() -> str:
    """Output of a converging run, as verbose as an operator can ask for."""
    return site("-vvv", "--diff")[0]


def test_second_run_changes_nothing_within_the_budget(first_run: str) -> None:
    _output, recap = site()
    assert len(recap) == HOSTS
    assert {host: changed for host, (_ok, changed) in recap.items() if changed} == {}
    assert max(ok for ok, _changed in recap.values()) < BUDGET


def test_no_secret_is_shown_by_the_most_verbose_run(first_run: str) -> None:
    secrets = {
        path.name: path.read_text().strip()
        for path in (HOME / "secrets").iterdir()
        if path.suffix != ".p12" and path.is_file()
    }
    assert len(secrets) >= 4  # passphrases of two authorities, a .p12's password, a PIN
    assert [name for name, secret in secrets.items() if secret in first_run] == []
    assert "PRIVATE KEY" not in first_run
