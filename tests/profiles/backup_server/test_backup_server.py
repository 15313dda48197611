"""The backup server: who may enter, what he may do there, and what watches him. Nothing is changed."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.profiles.services import as_root, exposure

JOBS = ("surveiller", "verifier", "tourner")


@pytest.fixture(scope="module")
def config(host: Host) -> dict[str, Any]:
    """What the role wrote."""
    found: dict[str, Any] = json.loads(as_root(host, "cat /etc/creatic/depots.json"))
    assert found["clients"]
    return found


def test_each_key_opens_one_repository_and_nothing_else(host: Host, config: dict[str, Any]) -> None:
    keys = [line for line in as_root(host, "cat ~sauvegarde/.ssh/authorized_keys").splitlines() if "ssh-" in line]
    assert len(keys) == len(config["clients"])
    for line in keys:
        name = line.split()[-1]
        assert line.startswith(f'command="/usr/bin/creatic-depots servir {name}",restrict ssh-ed25519 ')
    assert len({line.split()[-2] for line in keys}) == len(keys)


def test_accounts_do_not_own_what_they_are_bound_by(host: Host) -> None:
    for account in ("sauvegarde", "sauvegarde-lecture"):
        with host.sudo(account):
            for path in (
                f"/var/lib/{account}",
                f"/var/lib/{account}/.ssh",
                "/srv/sauvegardes",
                "/etc/creatic/depots.json",
            ):
                assert host.run(f"test -w {path}").rc == 1, path
        with host.sudo():
            assert host.run(f"passwd -S {account}").stdout.split()[1] == "L"


def test_who_restores_may_not_write(host: Host, config: dict[str, Any]) -> None:
    for client in config["clients"]:
        with host.sudo("sauvegarde-lecture"):
            assert host.run(f"ls /srv/sauvegardes/{client}/depot").rc == 0
            assert host.run(f"find /srv/sauvegardes/{client}/depot -writable").stdout == ""
        with host.sudo("nobody"):
            assert host.run(f"ls /srv/sauvegardes/{client}/depot").rc != 0


def test_what_watches_runs(host: Host) -> None:
    for job in JOBS:
        shown = host.check_output(f"systemctl show creatic-depots-{job}.timer -p ActiveState -p UnitFileState")
        assert shown.splitlines() == ["ActiveState=active", "UnitFileState=enabled"], job
    assert exposure(host, "creatic-depots@surveiller.service") <= 2.5


@pytest.mark.leaves_traces
def test_each_client_has_a_backup_and_its_figures(host: Host, config: dict[str, Any]) -> None:
    with host.sudo():
        host.run_expect([0], "systemctl start creatic-depots@surveiller.service creatic-depots@verifier.service")
    reports = {one["client"]: one for one in json.loads(as_root(host, "creatic-depots etat"))}
    text = host.file("/var/lib/creatic/metrics/depots.prom").content_string
    for client in config["clients"]:
        assert (reports[client]["suspect"], reports[client]["gele"]) == ("", False)
        found = re.search(rf'last_transaction_timestamp_seconds{{client="{client}"}} (\d+)', text)
        assert found and float(found[1]) > time.time() - 2 * 86400, client
        assert f'creatic_depot_verified{{client="{client}"}} 1\n' in text


def test_passphrases_are_here_under_seal_only(host: Host, config: dict[str, Any], creatic_home: Path) -> None:
    for client in config["clients"]:
        sealed = as_root(host, f"cat /srv/sauvegardes/{client}/sequestre.p7m")
        assert sealed.startswith("-----BEGIN CMS-----")
        assert sealed.strip() == (creatic_home / "sauvegardes" / client / "sequestre.p7m").read_text().strip()
    assert as_root(host, "find /etc/creatic /srv/sauvegardes -maxdepth 3 -name phrase") == ""
