"""Logs, clock, audit and integrity (ANSSI-BP-028 R71 to R73, R76, R77, R79)."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from testinfra.host import Host

from testbed.patience import wait_for

# A rule of each kind that the guide asks, as auditctl gives it back.
KEYS = (
    *("actions", "logins", "session", "audit_time_rules", "time-change", "audit_rules_networkconfig_modification"),
    *("perm_mod", "access", "audit_rules_usergroup_modification", "export", "delete", "modules", "privileged"),
)
ENABLED = ("auditd.service", "audit-rules.service")


def running(facts: dict[str, Any], name: str) -> tuple[str, str]:
    """Whether a unit starts with the machine, and runs."""
    unit = facts["units"][name]
    return unit["UnitFileState"], unit["ActiveState"]


@pytest.mark.niveau("enhanced")
def test_r71_what_happens_is_written_at_once(host: Host, facts: dict[str, Any]) -> None:
    """The passage of this very connection is in the journal and in the file that rsyslog keeps or sends."""
    assert running(facts, "rsyslog.service") == ("enabled", "active")
    assert running(facts, "logrotate.timer") == ("enabled", "active")
    port = host.check_output("echo $SSH_CONNECTION").split()[1]
    with host.sudo():
        for command in (f"journalctl -q -u ssh -g 'port {port}' -n 1", f"grep -m 1 'port {port} ' /var/log/auth.log"):
            assert host.run(command).stdout, command


@pytest.mark.niveau("enhanced")
def test_r71_journals_leave_for_the_collector(host: Host, hostvars: dict[str, Any]) -> None:
    """What this very connection wrote is on its way; whether it arrives is asked of the collector (supervision)."""
    with host.sudo():
        assert 'type="omfwd"' in host.check_output("cat /etc/rsyslog.d/creatic.conf")
        host.run_expect([0], "rsyslogd -N1")
        if hostvars.get("creatic_certificats", True) and not host.file("/etc/creatic-exercice").exists:
            wait_for(
                lambda: host.check_output("ss -Htn state established '( dport = :6514 )'"),
                "le collecteur de journaux",
                400,
                every=5,
            )


@pytest.mark.niveau("enhanced")
@pytest.mark.usefixtures("own_kernel")
def test_r71_the_clock_is_kept(host: Host, facts: dict[str, Any]) -> None:
    assert running(facts, "chrony.service") == ("enabled", "active")
    assert host.check_output("chronyc -n sources || true")


@pytest.mark.niveau("enhanced")
def test_r71_the_clock_serves_nobody(facts: dict[str, Any]) -> None:
    assert not [one for one in facts["listening"] if one["protocol"] == "udp" and one["port"] in (123, 323)]


@pytest.mark.niveau("enhanced")
def test_r72_logs_are_not_open_to_all(facts: dict[str, Any]) -> None:
    assert facts["logs"]
    assert not [log["path"] for log in facts["logs"] if log["mode"] & 0o002]
    journal = facts["files"]["/var/log/journal"]
    assert (journal["uid"], journal["gid"]) == (0, facts["groups"]["systemd-journal"]["gid"])


@pytest.mark.niveau("enhanced")
@pytest.mark.usefixtures("own_kernel")
def test_r73_the_kernel_has_the_rules(facts: dict[str, Any]) -> None:
    rules = facts["audit_rules"]
    assert not [key for key in KEYS if not any(re.search(rf"(-k |key=){key}$", rule) for rule in rules)]
    privileged = {found[1] for rule in rules if (found := re.search(r"path=(\S+) .*key=privileged", rule))}
    special = [file for file in facts["odd_files"] if file["kind"] == "f" and file["mode"] & 0o6000]
    assert not {file["path"] for file in special if file["path"].startswith("/usr")} - privileged


@pytest.mark.niveau("enhanced")
@pytest.mark.usefixtures("own_kernel")
def test_r73_the_audit_runs_and_cannot_be_changed(facts: dict[str, Any]) -> None:
    assert running(facts, "auditd.service") == ("enabled", "active")
    status = dict(line.split(None, 1) for line in facts["audit_status"].splitlines())
    if status["enabled"] == "1":
        pytest.skip("règles verrouillées au prochain démarrage")
    assert status["enabled"] == "2"
    assert status["lost"] == "0"


@pytest.mark.niveau("enhanced")
def test_r73_the_audit_starts_with_the_machine(facts: dict[str, Any]) -> None:
    assert facts["units"]["auditd.service"]["UnitFileState"] == "enabled"


@pytest.mark.niveau("intermediary")
def test_r76_files_are_compared_every_night(facts: dict[str, Any]) -> None:
    assert running(facts, "aidecheck.timer") == ("enabled", "active")
    assert facts["files"]["/var/lib/aide/aide.db"]["size"] > 100_000
    stamp = re.search(r"last_run_timestamp_seconds (\d+)$", facts["aide_metrics"], re.M)
    assert stamp
    assert time.time() - int(stamp[1]) < 2 * 86400


@pytest.mark.niveau("high")
def test_r77_reference_is_root_s_alone(facts: dict[str, Any]) -> None:
    for path in ("/var/lib/aide", "/var/lib/aide/aide.db", "/etc/aide/aide.conf"):
        file = facts["files"][path]
        assert file["uid"] == 0
        assert not file["mode"] & 0o077, path


@pytest.mark.leaves_traces
@pytest.mark.niveau("intermediary")
def test_r76_a_changed_program_is_seen(host: Host) -> None:
    """A file laid in a folder that is watched is told, by name and in the metrics; then everything is as it was."""
    laid = "/root/creatic-essai-aide"
    look = "aide --check --config=/etc/aide/aide.conf --limit '^/root'"
    with host.sudo():
        try:
            host.run_expect([0], f"touch {laid}")
            told = host.run(look)
        finally:
            host.run_expect([0], f"rm -f {laid}")
        assert told.rc & 1, told.stdout + told.stderr  # 1: something was added
        assert laid in told.stdout
