"""The whole site on the lab: converges, then has nothing left to change; no secret is ever shown.

Check mode on converged hosts is asked by profile (scripts/verify).
"""

from __future__ import annotations

import re

import pytest

from .conftest import HOME, command

Recap = dict[str, tuple[int, int]]  # executed and changed tasks by host
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
HOSTS = 13  # the control node is one: its backup is made ready
# A profile stays under 60 executed tasks per host when nothing changes (docs/design/batch-tasks.md).
BUDGET = 60


def site(*arguments: str) -> tuple[str, Recap]:
    """Run playbooks/site.yml; gives its output and its recap."""
    done = command("ansible-playbook", "-i", "inventories/lab", "playbooks/site.yml", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout, {host: (int(ok), int(changed)) for host, ok, changed, *_rest in RECAP.findall(done.stdout)}


@pytest.fixture(scope="module")
def first_run() -> tuple[str, Recap]:
    """A converging run, as verbose as an operator can ask for."""
    return site("-vvv", "--diff")


def test_second_run_changes_nothing_within_the_budget(first_run: tuple[str, Recap]) -> None:
    recap = first_run[1]
    assert len(recap) == HOSTS
    # For a machine that nothing changed on, it was the second run; the others get theirs.
    changed = [host for host, (_ok, count) in recap.items() if count]
    if changed:
        recap = recap | site("--limit", ":".join(changed))[1]
    assert {host: count for host, (_ok, count) in recap.items() if count} == {}
    assert max(ok for ok, _count in recap.values()) < BUDGET


def test_no_secret_is_shown_by_the_most_verbose_run(first_run: tuple[str, Recap]) -> None:
    secrets = {
        path.name: path.read_text().strip()
        for path in (HOME / "secrets").iterdir()
        if path.suffix != ".p12" and path.is_file()
    }
    assert len(secrets) >= 4  # passphrases of two authorities, a .p12's password, a PIN
    assert [name for name, secret in secrets.items() if secret in first_run[0]] == []
    assert "PRIVATE KEY" not in first_run[0]
