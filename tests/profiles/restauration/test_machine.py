"""A machine that a backup was put back on (fab backup.drill): what it has, and what it cannot reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testinfra.host import Host

PKI = "/etc/creatic/pki"
PROHIBITED = 113  # errno of Linux: the firewall says no
PROBE = "python3 -c 'import socket; s = socket.socket(); s.settimeout(5); print(s.connect_ex((\"{}\", 443)))'"


def test_certificates_are_those_that_were_saved_and_still_good(host: Host, creatic_home: Path) -> None:
    """Against the groupement's root as the control node has it, not the drill's own."""
    root = (creatic_home / "pki" / "publie" / "racine.pem").read_text(encoding="ascii").strip()
    assert root in host.file(f"{PKI}/ca.pem").content_string
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


def test_it_reaches_nothing_that_the_machine_it_copies_works_with(host: Host, whole_inventory: dict[str, Any]) -> None:
    hosts = whole_inventory["_meta"]["hostvars"]
    groups = ("tdt_simulator", "archive_gateway", "archive_node")
    peers = [
        hosts[name]["ansible_host"] for group in groups for name in whole_inventory.get(group, {}).get("hosts", [])
    ]
    assert peers
    for address in peers:
        if address != hosts["exercice"]["ansible_host"]:
            assert int(host.check_output(PROBE.format(address))) == PROHIBITED, address


def test_nothing_of_the_restoration_is_left(host: Host) -> None:
    with host.sudo():
        assert not host.file("/var/lib/creatic-sauvegarde/instantanes").exists
