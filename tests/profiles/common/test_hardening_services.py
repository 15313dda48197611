"""Packages, services and what listens (ANSSI-BP-028 R49, R58, R59, R61 to R65, R74, R78, R80)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from testinfra.host import Host

UNWANTED = {
    *("inetutils-telnet", "inetutils-telnetd", "isc-dhcp-server", "kea", "nis", "rsh-client", "rsh-server", "sendmail"),
    *(
        "rsh-redone-client",
        "rsh-redone-server",
        "talk",
        "talkd",
        "telnet",
        "telnetd",
        "tftp-hpa",
        "tftpd-hpa",
        "xinetd",
    ),
    *("ypbind-mt", "ypserv"),
}
STOPPED = ("avahi-daemon.service", "rpcbind.service", "nfs-server.service", "snmpd.service", "vsftpd.service")
MAIL_PORTS = (25, 465, 587)
LOOPBACK = ("127.", "[::1]", "::1", "[::ffff:127.")
# Root, to become another account at each connection: whoever comes in, or the one of the rsync module.
FOR_EVERYONE = ("ssh.service", "rsync.service")
MAY_HAVE = {10: "NET_BIND_SERVICE", 25: "SYS_TIME"}


def exposed(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Sockets that other machines may reach."""
    return [one for one in facts["listening"] if not one["address"].partition("%")[0].startswith(LOOPBACK)]


def serves_as_itself(holder: dict[str, Any]) -> bool:
    """Whether a process that answers the network, or all those it hands over to, is not root."""
    return bool(holder["uid"] or holder["unit"] in FOR_EVERYONE or (holder["workers"] and all(holder["workers"])))


def test_r58_no_package_that_nobody_needs(facts: dict[str, Any]) -> None:
    assert len(facts["packages"]) > 100
    assert not UNWANTED & set(facts["packages"])


@pytest.mark.niveau("high")
def test_r49_no_debugging_of_selinux(facts: dict[str, Any]) -> None:
    assert not [name for name in facts["packages"] if name.startswith("setroubleshoot")]


def test_r59_packages_come_from_signed_archives(facts: dict[str, Any]) -> None:
    assert facts["sources"]
    assert not [source for source in facts["sources"] if not source.endswith(" yes")]
    options = {key.lower(): value for key, value in facts["apt"].items()}
    for name in ("allowinsecurerepositories", "allowweakrepositories", "allowdowngradetoinsecurerepositories"):
        assert options[f"acquire::{name}"] in ("0", "false", "no"), name
    assert options.get("apt::get::allowunauthenticated", "false") in ("0", "false", "no")


def test_r61_security_updates_install_themselves(facts: dict[str, Any]) -> None:
    assert {facts["apt"][f"APT::Periodic::{name}"] for name in ("Update-Package-Lists", "Unattended-Upgrade")} == {"1"}
    for name in ("apt-daily.timer", "apt-daily-upgrade.timer"):
        unit = facts["units"][name]
        assert (unit["UnitFileState"], unit["ActiveState"]) == ("enabled", "active"), name


def test_r61_security_archive_is_among_those_taken(host: Host, facts: dict[str, Any]) -> None:
    """unattended-upgrade itself says what it would take from."""
    assert any("security" in source for source in facts["sources"])
    told = host.check_output("apt-config dump Unattended-Upgrade::Origins-Pattern")
    assert "label=Debian-Security" in told


def test_r62_no_service_that_nobody_needs(facts: dict[str, Any]) -> None:
    assert not [name for name in STOPPED if facts["units"].get(name, {}).get("ActiveState") == "active"]
    wanted = ("enabled", "enabled-runtime")
    assert not [name for name in STOPPED if facts["units"].get(name, {}).get("UnitFileState") in wanted]


@pytest.mark.niveau("intermediary")
def test_r63_services_hold_no_needless_right(facts: dict[str, Any]) -> None:
    """What answers the network without being root has no capability but to take its port or set the clock."""
    allowed = sum(1 << bit for bit in MAY_HAVE)
    assert not [
        (holder["unit"], holder["program"], hex(holder["capabilities"]))
        for one in exposed(facts)
        for holder in one["holders"]
        if holder["uid"] and holder["capabilities"] & ~allowed
    ]


@pytest.mark.niveau("enhanced")
def test_r64_who_answers_the_network_is_not_root(facts: dict[str, Any]) -> None:
    """A master that only takes the port and hands over to workers of its own account is known by them."""
    assert exposed(facts)
    assert not [
        (one["port"], [holder["program"] for holder in one["holders"]])
        for one in exposed(facts)
        if not one["uid"] and not any(serves_as_itself(holder) for holder in one["holders"])
    ]


@pytest.mark.niveau("enhanced")
def test_r65_our_services_are_apart(facts: dict[str, Any]) -> None:
    units = [
        unit
        for name, unit in facts["units"].items()
        if name.startswith("creatic-") and unit["ActiveState"] == "active" and unit.get("User")
    ]
    wide = [
        unit["Id"]
        for unit in units
        if (unit["NoNewPrivileges"], unit["ProtectSystem"]) not in (("yes", "strict"), ("yes", "full"))
        or unit["PrivateTmp"] == "no"
    ]
    assert not wide


@pytest.mark.niveau("intermediary")
def test_r74_no_mail_is_taken_from_others(facts: dict[str, Any]) -> None:
    assert not [one for one in exposed(facts) if one["port"] in MAIL_PORTS]


def test_r80_every_open_port_is_one_that_the_firewall_opens(
    host: Host, facts: dict[str, Any], hostvars: dict[str, Any]
) -> None:
    if not hostvars.get("firewall_load", True):
        pytest.skip("ce noyau n'a pas nftables : seul le fichier des règles y est")
    with host.sudo():
        rules = host.check_output("nft -s list chain inet creatic input")
    opened = {
        port
        for ports in re.findall(r"dport (\{[^}]+\}|\d+(?:-\d+)?)", rules)
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", ports)
        for port in range(int(first), int(last or first) + 1)
    }
    assert 22 in opened
    assert {one["port"] for one in exposed(facts) if one["protocol"] == "tcp"} <= opened
