"""What passes and what does not, seen from the machine and from outside (role firewall). Changes nothing there."""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
import time
from typing import Any

import pytest
from testinfra.host import Host

from creatic.check.flows import ruleset
from testbed.patience import allowed

UNWANTED = 4444
ASKING = {22, 53, 443}
FOR_ALL = re.compile(
    r"(/var)?/run/(systemd/.+|dbus/system_bus_socket|ssh-unix-local/socket|postgresql/\.s\.PGSQL\.5432)"
)
LOADED = "unshare --net sh -c 'echo {text} | base64 -d | nft -f - && nft -s list table inet creatic'"
KEPT = "unshare --net sh -c 'nft -f /etc/nftables.conf && nft -s list table inet creatic'"
HELD = re.compile(r"(^\s*flags dynamic\n)\s*elements = \{[^}]*\}\n", re.MULTILINE)  # who is connected now
PROBE = """python3 -c '
import socket, sys
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as s:
    s.settimeout(5)
    print(s.connect_ex((sys.argv[1], int(sys.argv[2]))))' {address} {port}"""
REFUSED, ADMINISTRATIVELY_PROHIBITED = 111, 113  # errno of Linux: nothing listens; the firewall says no


@pytest.fixture(autouse=True)
def _kernel_filters(hostvars: dict[str, Any]) -> None:
    if not hostvars.get("firewall_load", True):
        pytest.skip("ce noyau n'a pas nftables : seul le fichier des règles y est")


@pytest.fixture
def live(host: Host) -> str:
    with host.sudo():
        listed = str(host.check_output("nft -s list table inet creatic"))
    return HELD.sub(r"\1", listed)


def refused(host: Host, chain: str) -> int:
    """Packets that a chain refused so far."""
    with host.sudo():
        text = host.check_output(f"nft list chain inet creatic {chain}")
    found = re.search(r'counter packets (\d+) bytes \d+ .*comment "refus"', text)
    assert found, text
    return int(found[1])


def name_servers(host: Host) -> set[str]:
    """Addresses of the machine's name servers, its own aside."""
    text = host.run("cat /etc/resolv.conf /run/systemd/resolve/resolv.conf").stdout  # the second may not be there
    found = {ipaddress.ip_address(one) for one in re.findall(r"^nameserver\s+([0-9a-fA-F:.]+)", text, re.MULTILINE)}
    return {str(one) for one in found if not one.is_loopback}


def test_the_live_ruleset_is_the_golden_one(
    host: Host, hostvars: dict[str, Any], whole_inventory: dict[str, Any], profile: str, live: str
) -> None:
    """What the inventory wants, rendered here and loaded into a namespace of its own, is in force, word for word."""
    text = ruleset(whole_inventory, profile, hostvars["name"])
    for name, mark in (("resolvers4", "."), ("resolvers6", ":")):
        servers = sorted(one for one in name_servers(host) if mark in one)
        if f"set {name} " in text and servers:
            text += f"add element inet creatic {name} {{ {', '.join(servers)} }}\n"
    with host.sudo():
        assert host.check_output(LOADED.format(text=base64.b64encode(text.encode()).decode())) == live


def test_the_next_boot_loads_the_same(host: Host, live: str) -> None:
    with host.sudo():
        assert host.check_output(KEPT) == live


def test_a_boot_loads_it(host: Host) -> None:
    shown = host.check_output("systemctl show nftables.service --property=UnitFileState,ActiveState,ExecStop")
    assert {"UnitFileState=enabled", "ActiveState=active"} <= set(shown.splitlines())
    assert "flush ruleset" not in shown  # a stop leaves the tables of others alone


def test_nothing_waits_for_a_confirmation(host: Host) -> None:
    with host.sudo():
        assert not host.file("/var/lib/creatic/garde/pare-feu/arme").exists


def test_what_nobody_wants_is_dropped(live: str) -> None:
    for chain in ("input", "forward", "output"):
        assert f"hook {chain} priority filter; policy drop;" in live


def test_ssh_enters_from_administrators_only(live: str) -> None:
    lines = [line for line in live.splitlines() if 'comment "firewall-ssh"' in line]
    assert lines
    assert all(re.match(r"\s*ip6? (saddr|daddr) ", line) for line in lines), lines


def test_another_machine_gets_no_answer_from_an_unwanted_port(host: Host, hostvars: dict[str, Any]) -> None:
    """Without a firewall the kernel would answer at once that nothing listens there."""
    before = refused(host, "input")
    with pytest.raises(TimeoutError), socket.create_connection((hostvars["ansible_host"], UNWANTED), timeout=2):
        pass
    assert refused(host, "input") > before


def test_the_machine_cannot_go_where_it_need_not(host: Host) -> None:
    """It is told at once, so that a program does not wait for nothing."""
    before, started = refused(host, "output"), time.monotonic()
    control = host.check_output("echo $SSH_CONNECTION").split()[0]
    told = int(host.check_output(PROBE.format(address=control, port=UNWANTED)))
    assert told == ADMINISTRATIVELY_PROHIBITED, "le port est atteint" if told == REFUSED else told
    assert time.monotonic() - started < allowed(5)
    assert refused(host, "output") > before


def test_what_listens_here_is_closed_to_ordinary_accounts(host: Host) -> None:
    """Services that ask nobody who he is take their own accounts alone; SSH, TLS and the name server ask, or give."""
    with host.sudo():
        listening = re.findall(r"(\S+):(\d+)\s", host.check_output("ss -Hltn | awk '{print $4, $5}'"))
    reached = {}
    with host.sudo("nobody"):
        for address, port in listening:
            where = address.partition("%")[0].strip("[]")
            if where == "*" or ipaddress.ip_address(where).is_unspecified:
                where = "::1" if ":" in where else "127.0.0.1"
            if int(port) not in ASKING:
                reached[where, int(port)] = int(host.check_output(PROBE.format(address=where, port=port)))
    assert set(reached.values()) <= {REFUSED}, reached


def test_sockets_are_closed_to_ordinary_accounts(host: Host) -> None:
    """Systemd's own, and PostgreSQL's, which knows the account that calls, are for everybody; nothing of ours is."""
    with host.sudo():
        paths = re.findall(r"\s(/\S+) \d+\s", host.check_output("ss -Hxl"))
    with host.sudo("nobody"):
        open_ones = [one for one in sorted(set(paths)) if host.run(f"test -w {one}").succeeded]
    assert paths
    assert [one for one in open_ones if not FOR_ALL.fullmatch(one)] == []


def test_names_resolve(host: Host) -> None:
    name = host.check_output("awk '$1 == \"nameserver\" {print $2; exit}' /etc/resolv.conf")
    probe = PROBE.format(address=name, port=53)
    assert int(host.check_output(probe)) in (0, REFUSED)  # let through; some resolvers speak UDP only


@pytest.mark.leaves_traces
def test_packages_come(host: Host) -> None:
    with host.sudo():
        host.run_expect([0], "apt-get update --error-on=any")
