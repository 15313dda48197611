"""Where PostgreSQL works: reached by its socket alone, and what is written reaches the repository of restorations."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

REST = "runuser -u postgres -- pgbackrest --stanza=main"


@pytest.fixture(autouse=True)
def _has_one(host: Host) -> None:
    with host.sudo():
        if not host.file("/etc/pgbackrest/pgbackrest.conf").exists:
            pytest.skip("cette machine n'a pas de base PostgreSQL")


def test_it_listens_on_no_network(host: Host) -> None:
    with host.sudo():
        assert host.check_output("runuser -u postgres -- psql -XAtqc 'SHOW listen_addresses' postgres") == ""
        assert "postgres" not in host.check_output("ss -Hltnp")


def test_the_repository_is_encrypted_and_its_key_closed(host: Host) -> None:
    with host.sudo():
        [stanza] = json.loads(host.check_output(f"{REST} info --output=json"))
        key = host.file("/etc/pgbackrest/conf.d/cle.conf")
        assert (key.user, key.group, key.mode) == ("root", "postgres", 0o640)
    assert stanza["cipher"] == "aes-256-cbc"
    with host.sudo("nobody"):
        assert host.run("cat /etc/pgbackrest/conf.d/cle.conf").failed
        assert host.run("ls /var/lib/pgbackrest/archive").failed


@pytest.mark.leaves_traces
def test_what_is_written_reaches_the_repository(host: Host) -> None:
    with host.sudo():
        host.run_expect([0], f"{REST} check")
