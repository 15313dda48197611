"""The whole site on the lab: converges, then has nothing left to change; no secret is ever shown.

Check mode on converged hosts is asked by profile (scripts/verify).
"""

from __future__ import annotations

import re

from .conftest import HOME, site

Recap = dict[str, tuple[int, int]]  # executed and changed tasks by host
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
HOSTS = 13  # the control node is one: its backup is made ready
# A profile stays under 60 executed tasks per host when nothing changes (docs/design/batch-tasks.md).
BUDGET = 60


def recap_of(output: str) -> Recap:
    """What a run says of each host."""
    return {host: (int(ok), int(changed)) for host, ok, changed, *_rest in RECAP.findall(output)}


def test_second_run_changes_nothing_within_the_budget(whole_site: str) -> None:
    recap = recap_of(whole_site)
    assert len(recap) == HOSTS
    # For a machine that nothing changed on, it was the second run; the others get theirs.
    changed = [host for host, (_ok, count) in recap.items() if count]
    if changed:
        recap |= recap_of(site("--limit", ":".join(changed)))
    assert {host: count for host, (_ok, count) in recap.items() if count} == {}
    assert max(ok for ok, _count in recap.values()) < BUDGET


def test_no_secret_is_shown_by_the_most_verbose_run(whole_site: str) -> None:
    secrets = {
        path.name: path.read_text().strip()
        for path in (HOME / "secrets").iterdir()
        if path.suffix != ".p12" and path.is_file()
    }
    assert len(secrets) >= 4  # passphrases of two authorities, a .p12's password, a PIN
    assert [name for name, secret in secrets.items() if secret in whole_site] == []
    assert "PRIVATE KEY" not in whole_site
