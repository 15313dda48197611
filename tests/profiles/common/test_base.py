"""What every machine of the groupement has (role base)."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

from testinfra.host import Host

NOBODY = "le relais 10.59.0.1:2525 ne répond pas (connexion refusée)"  # of the lab's inventory


def test_clock_is_paris_time(host: Host) -> None:
    offset = host.check_output("date +%z")
    assert offset == datetime.datetime.now(ZoneInfo("Europe/Paris")).strftime("%z")


def test_journal_is_kept_on_disk(host: Host) -> None:
    with host.sudo():
        header = host.check_output("journalctl --header --file /var/log/journal/*/system.journal")
    assert "State: ONLINE" in header


def test_only_agents_may_leave_metrics(host: Host) -> None:
    folder = host.file("/var/lib/creatic/metrics")
    assert (folder.user, folder.group, folder.mode) == ("root", "creatic-metrics", 0o2775)


def test_no_unit_has_failed(host: Host) -> None:
    """But those whose hour came while nobody took mails: the lab's relay stands as long as a test reads it."""
    with host.sudo():
        failed = [
            line.split()[0] for line in host.check_output("systemctl list-units --failed --plain -q").splitlines()
        ]
        said = {unit: host.check_output("journalctl -b -q -o cat -n 20 -u %s", unit) for unit in failed}
    assert {unit: told for unit, told in said.items() if NOBODY not in told} == {}


def test_systemd_understands_its_units(host: Host) -> None:
    """A line that it does not know restricts nothing."""
    with host.sudo():
        said = host.run("journalctl -b _PID=1 -q --no-pager -o cat --grep ', ignoring'").stdout
    assert [line for line in said.splitlines() if line.startswith("/etc/systemd/")] == []
