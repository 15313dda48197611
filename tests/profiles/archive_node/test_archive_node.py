"""An archive node as it is meant to be: services, rings, doors, figures."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.profiles.services import on_the_lab_alone

from .conftest import Node

STORAGE = (873, 6200, 6201, 6202)


def test_the_room_is_whole(node: Node) -> None:
    state = json.loads(node.run("creatic-archive etat"))
    assert state["en_service"]
    assert state["arretes"] == []
    assert all(one["repond"] and one["anneaux"] == state["anneaux"] for one in state["salle"])
    assert [disk for disk in state["disques"] if disk["absent"]] == []


def test_the_rings_are_the_control_nodes(node: Node, creatic_home: Path) -> None:
    for ring in ("account", "container", "object"):
        ours = hashlib.sha256((creatic_home / "archive" / f"{ring}.ring.gz").read_bytes()).hexdigest()
        assert node.run(f"sha256sum /etc/swift/{ring}.ring.gz").split()[0] == ours


def test_what_deletes_on_its_own_never_runs(host: Host) -> None:
    for unit in ("account-reaper", "container-reconciler", "container-sharder", "container-sync", "object-expirer"):
        shown = host.check_output(f"systemctl show -p ActiveState -p UnitFileState swift-{unit}.service")
        assert "ActiveState=inactive" in shown
        assert "UnitFileState=enabled" not in shown


def test_its_log_is_written_and_is_not_its_own(host: Host, node: Node) -> None:
    if not host.package("rsyslog").is_installed:
        pytest.skip("sans rsyslog à ce niveau : journald seul")
    found = node.run("find /var/log/swift -name *.log -size +0 -printf %f:%u:%m,")
    assert set(found.strip(",").split(",")) == {"swift.log:root:640"}


def test_each_server_listens_where_it_should_only(node: Node) -> None:
    listening = re.findall(r"(\S+):(873|6200|6201|6202|8080|11211)\s", node.run("ss -Hltn"))
    assert {(address, port) for address, port in listening} == {
        *((node.address, port) for port in ("873", "6200", "6201", "6202")),
        ("127.0.0.1", "8080"),
        ("127.0.0.1", "11211"),
        *({("[::1]", "11211")} & set(listening)),
    }


def test_storage_ports_are_closed_to_who_is_not_a_node(node: Node) -> None:
    """From the control node: Swift's storage servers obey whoever reaches them."""
    for port in STORAGE:
        with pytest.raises(OSError), socket.create_connection((node.address, port), timeout=3):
            pass


def test_an_account_of_the_node_cannot_empty_the_room(node: Node, host: Host) -> None:
    """Who is let in to read a node asks each storage server, rsync and memcached of the room, as Swift would."""
    everywhere = [one["adresse"] for one in json.loads(node.run("creatic-archive etat"))["salle"]]
    doors = [*((one, port) for one in everywhere for port in STORAGE), ("127.0.0.1", 11211), ("127.0.0.1", 8080)]
    script = "import socket,sys;s=socket.socket();s.settimeout(5);print(s.connect_ex((sys.argv[1],int(sys.argv[2]))))"
    for account, told in (("nobody", {111, 113}), ("sshd", {111, 113}), ("swift", {0})):
        with host.sudo(account):
            got = {one: int(host.check_output(f"python3 -c '{script}' {one[0]} {one[1]}")) for one in doors}
        if account == "swift":
            del got["127.0.0.1", 8080]  # the proxy takes nginx alone
        assert set(got.values()) <= told, (account, got)


def test_secrets_are_for_swift_alone(host: Host) -> None:
    for name in ("swift.conf", "keymaster.conf", "proxy-server.conf"):
        with host.sudo():
            file = host.file(f"/etc/swift/{name}")
            assert (file.user, file.group, file.mode) == ("root", "swift", 0o640)
    with host.sudo("nobody"):
        assert host.run("cat /etc/swift/keymaster.conf").failed


def test_only_the_gateway_is_let_in(
    node: Node, hostvars: dict[str, Any], client_certificate: Callable[[str, str], str]
) -> None:
    on_the_lab_alone(hostvars, "l'essai demande des certificats à l'autorité")
    calls = [{"method": "GET", "path": "/healthcheck"}, {"method": "GET", "path": "/v1/AUTH_sae"}]
    door: dict[str, Any] = {"url": f"https://{node.address}", "user": ""}
    siren = str(hostvars["creatic_groupement_siren"])
    gateway = client_certificate("Passerelle des archives", siren)
    assert [answer.status for answer in node.calls(*calls, **door, tls=gateway)] == [200, 401]
    for name in (
        "Secrétariat général",
        "Passerelle des archives (essai)",
        "x Passerelle des archives",
        "Secrétariat,CN=Passerelle des archives",
    ):
        assert [answer.status for answer in node.calls(*calls, **door, tls=client_certificate(name, siren))] == [
            403,
            403,
        ]
    elsewhere = client_certificate("Passerelle des archives", "215902669")
    assert [answer.status for answer in node.calls(*calls, **door, tls=elsewhere)] == [403, 403]
    assert [answer.status for answer in node.calls(*calls, **door)] == [400, 400]
    assert [answer.status for answer in node.calls({"method": "GET", "path": "/recon/time"}, **door, tls=gateway)] == [
        404
    ]


@pytest.mark.leaves_traces
def test_the_figures_are_published(node: Node) -> None:
    node.run("systemctl start creatic-archive.service")
    text = node.run("cat /var/lib/creatic/metrics/archive.prom")
    found = dict(re.findall(r"^(creatic_archive\S+) (\S+)$", text, re.MULTILINE))
    assert found["creatic_archive_in_service"] == "1"
    assert found["creatic_archive_units_down"] == "0"
    assert found["creatic_archive_nodes_unreachable"] == "0"
    assert float(found['creatic_archive_disk_bytes{device="d1",kind="size"}']) > 0
    assert float(found['creatic_archive_replication_age_seconds{kind="object"}']) < 3600
