"""The collector of journals: a line of another machine arrives under its certificate's name, waits or not."""

from __future__ import annotations

import base64
import json
import secrets
import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from testbed.patience import wait_for
from tests.profiles.services import as_root, properties
from tests.profiles.supervision.test_supervision import asked

RECEIVED, SEALED = "/var/lib/journaux/recu", "/var/log/journaux"
PKI = "/etc/creatic/pki"


@pytest.fixture(scope="module")
def sender(
    host: Host, whole_inventory: Mapping[str, Any], creatic_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Host]]:
    """Another machine that was deployed: the name of its certificate, and a connection to it."""
    wait_for(lambda: bool(asked(host, 'up{profil!="supervision"} == 1')), "une autre machine", 180, every=5)
    there = {one["metric"]["machine"] for one in asked(host, 'up{job="machines", profil!="supervision"} == 1')}
    hostvars = whole_inventory["_meta"]["hostvars"]
    # A connector or the passerelle: a small machine of the chain, whose rsyslog is there at any level.
    wanted = sorted(there, key=lambda name: (hostvars[name]["creatic_profil"] != "tdt_connector", name))[0]
    one = hostvars[wanted]
    yield (
        wanted.lower().replace("_", "-"),
        testinfra.get_host(
            f"ssh://{one.get('ansible_user', 'creatic')}@{one['ansible_host']}",
            ssh_identity_file=str(creatic_home / "ssh" / "id_ed25519"),
            ssh_extra_args=f"-o UserKnownHostsFile={creatic_home}/ssh/known_hosts -o StrictHostKeyChecking=yes",
            controlpath=f"{tmp_path_factory.mktemp('c')}/%%C",
        ),
    )


def holders(host: Host, word: str) -> list[str]:
    """Machines under whose name a line with this word was received."""
    # In two parts, so that the command itself, which sudo logs, is no such line.
    found = as_root(host, f"grep -rlF -- '{word[:4]}''{word[4:]}' {RECEIVED} || true").split()
    return sorted({path.rsplit("/", 1)[1].removesuffix(".log") for path in found})


def word() -> str:
    return f"essai-{secrets.token_hex(8)}"


def sent(machine: Host, line: str, address: str, certificate: str) -> str:
    """Send a line by hand, with this certificate or none; what openssl says; encoded, for sudo logs it."""
    shown = f"-cert {certificate}/fullchain.pem -key {certificate}/key.pem" if certificate else ""
    client = f"openssl s_client -connect {address}:6514 -CAfile {PKI}/ca.pem {shown} -ign_eof"
    encoded = base64.b64encode(f"{line}\n".encode()).decode()
    return as_root(machine, f"(echo {encoded} | base64 -d; sleep 3) | timeout 8 {client} 2>&1 || true")


@pytest.mark.leaves_traces
def test_a_line_arrives_under_its_machines_name(host: Host, sender: tuple[str, Host]) -> None:
    name, machine = sender
    token = word()
    machine.check_output(f"logger -t creatic-essai {token}")
    wait_for(
        lambda: holders(host, token) == [name], lambda: f"la ligne de {name} : {holders(host, token)}", 400, every=2
    )
    [file] = as_root(host, f"grep -rlF {token} {RECEIVED}/*/{name}.log").split()
    with host.sudo():
        assert (host.file(file).user, host.file(file).group, host.file(file).mode) == ("journaux", "adm", 0o640)
    with host.sudo("nobody"):
        assert host.run(f"cat {file}").failed and host.run(f"ls {SEALED}").failed


@pytest.mark.leaves_traces
def test_nobody_writes_under_anothers_name(host: Host, hostvars: Mapping[str, Any], sender: tuple[str, Host]) -> None:
    name, machine = sender
    address = hostvars["ansible_host"]
    claimed, nobodys, servers = word(), word(), word()
    line = "<13>1 2026-11-29T08:00:00Z veille sshd - - - "
    sent(machine, line + claimed, address, f"{PKI}/journaux/current")
    sent(machine, line + nobodys, address, "")
    sent(machine, line + servers, address, f"{PKI}/metriques/current")  # a server's certificate is no client's
    wait_for(lambda: name in holders(host, claimed), "la ligne", 60, every=1)
    assert holders(host, claimed) == [name]
    received = as_root(host, f"cat {RECEIVED}/*/*.log | grep -F ' veille sshd - - - ' || true")
    assert claimed in received and nobodys not in received and servers not in received


@pytest.mark.leaves_traces
def test_what_waits_while_it_is_down_arrives(host: Host, sender: tuple[str, Host]) -> None:
    name, machine = sender
    token = word()
    as_root(host, "systemctl stop journaux.service")
    try:
        machine.check_output(f"logger -t creatic-essai {token}")
        time.sleep(3)
        assert holders(host, token) == []
    finally:
        as_root(host, "systemctl start journaux.service")
    wait_for(lambda: name in holders(host, token), "ce qui attendait", 420, every=5)


@pytest.mark.leaves_traces
def test_a_day_that_is_over_is_sealed_out_of_its_reach(host: Host) -> None:
    day, token = "2026-01-01", word()
    script = (
        f"mkdir -p {RECEIVED}/{day} && echo {token} > {RECEIVED}/{day}/essai.log && chown -R journaux: {RECEIVED}/{day}"
    )
    as_root(host, f"sh -c {shlex.quote(script)}")
    as_root(host, "systemctl start journaux-sceller.service")
    assert properties(host, "journaux-sceller.service", "Result") == {"Result": "success"}
    with host.sudo():
        assert not host.file(f"{RECEIVED}/{day}").exists
    [file] = as_root(host, f"find {SEALED} -path '*{day}*' -name essai.log.gz | sort | tail -n 1").split()
    assert token in as_root(host, f"zcat {SEALED}/{day}*/essai.log.gz")
    with host.sudo():
        assert (host.file(file).user, host.file(file).group, host.file(file).mode) == ("root", "adm", 0o640)
    with host.sudo("journaux"):
        assert host.run(f"rm {file}").failed
    assert json.loads(as_root(host, "creatic-journaux verifier"))["fautes"] == []
    figures = host.file("/var/lib/creatic/metrics/journaux-sceaux.prom").content_string
    assert "journaux_scelle_timestamp_seconds" in figures


def test_it_says_how_it_is(host: Host) -> None:
    wait_for(
        lambda: bool(asked(host, "time() - journaux_tour_timestamp_seconds < 1500")),
        "les mesures du collecteur",
        180,
        every=5,
    )
