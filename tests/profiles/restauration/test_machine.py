"""A machine that a backup was put back on (fab sauvegarde.exercice): what it has, and what it cannot reach."""

from __future__ import annotations

import contextlib
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from testinfra.host import Host

from creatic.backup import drill
from creatic.registry import profiles

PKI = "/etc/creatic/pki"
SHUT = (101, 113)  # errno of Linux: no way there (IPv6), the firewall says no
# Each address and port, with the errno of who tries to reach it.
PROBE = """
import socket
for address, port in {}:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as one:
        one.settimeout(5)
        print(address, port, one.connect_ex((address, port)))
"""


def test_certificates_are_those_that_were_saved_and_still_good(host: Host, creatic_home: Path) -> None:
    """Against the groupement's root as the control node has it, not the drill's own."""
    known = (creatic_home / "pki" / "publie" / "racine.pem").read_text(
        encoding="ascii"
    )  # the present one, and older ones
    roots = [f"-----BEGIN{one}".strip() for one in known.split("-----BEGIN")[1:]]
    assert any(root in host.file(f"{PKI}/ca.pem").content_string for root in roots)
    with host.sudo():
        found = host.check_output(f"find {PKI} -mindepth 2 -maxdepth 2 -name current -type l").split()
        assert found
        for folder in found:
            key = host.check_output(f"openssl pkey -in {folder}/key.pem -pubout")
            assert key == host.check_output(f"openssl x509 -in {folder}/cert.pem -noout -pubkey")
            checks = f"-CAfile {PKI}/ca.pem -untrusted {folder}/chain.pem -crl_check_all -CRLfile {PKI}/crl.pem"
            if folder != f"{PKI}/tdt/current" or "Prestataire" not in host.check_output(
                f"openssl x509 -in {folder}/cert.pem -noout -issuer"
            ):
                host.run_expect([0], f"openssl verify {checks} {folder}/cert.pem")


def _world(inventory: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """What the machine that was saved works with: servers, the tiers de télétransmission, the relay of its mail."""
    hosts = inventory["_meta"]["hostvars"]
    mine = hosts[drill.MACHINE]
    for group in profiles.marked("serveur"):
        for name in inventory.get(group, {}).get("hosts", []):
            if hosts[name]["ansible_host"] != mine["ansible_host"]:
                yield hosts[name]["ansible_host"], 443
    found = urlsplit(mine["creatic_tdt_url"])
    places = [
        (found.hostname, found.port or 443),
        *((mine.get(f"{role}_mail_relay"), mine.get(f"{role}_mail_port", 25)) for role in ("parapheur", "passerelle")),
    ]
    for name, port in places:
        with contextlib.suppress(socket.gaierror):  # a name that the control node does not know
            yield from {
                (str(one[4][0]), port)
                for one in (socket.getaddrinfo(name, port, proto=socket.IPPROTO_TCP) if name else ())
            }


def test_it_reaches_nothing_that_the_machine_it_copies_works_with(host: Host, whole_inventory: dict[str, Any]) -> None:
    asked = sorted(set(_world(whole_inventory)))
    assert asked
    answers = host.check_output(f"python3 -c {shlex.quote(PROBE.format(asked))}").splitlines()
    assert [line.rpartition(" ")[0] for line in answers] == [f"{address} {port}" for address, port in asked]
    assert [line for line in answers if int(line.rpartition(" ")[2]) not in SHUT] == []


def test_nothing_of_the_restoration_is_left(host: Host) -> None:
    with host.sudo():
        assert not host.file("/var/lib/creatic-sauvegarde/instantanes").exists
