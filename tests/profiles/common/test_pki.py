"""What the PKI promises on every machine, seen from the machine: trust, certificates, watch."""

from __future__ import annotations

import re
from typing import Any

import pytest
from testinfra.host import Host

from tests.profiles.services import exposure

PKI = "/etc/creatic/pki"


@pytest.fixture(autouse=True)
def _in_the_pki(hostvars: dict[str, Any]) -> None:
    if not hostvars.get("creatic_certificats", True):
        pytest.skip("cette machine d'essai n'est pas de la PKI")


@pytest.fixture
def certificates(host: Host) -> list[str]:
    """Folders in use, one per certificate of this machine."""
    with host.sudo():
        found = host.check_output(f"find {PKI} -mindepth 2 -maxdepth 2 -name current -type l")
    return sorted(found.split())


def test_machine_trusts_the_root_and_the_crls_are_in_force(host: Host) -> None:
    # The second certificate of the bundle is the issuing CA: only the system store can vouch for it.
    issuing = f"awk '/BEGIN/{{n++}} n==2' {PKI}/ca.pem"
    checks = f"-crl_check_all -CRLfile {PKI}/crl.pem"
    host.run_expect([0], f"{issuing} | openssl verify -CApath /etc/ssl/certs {checks}")


def test_each_certificate_is_good_and_not_revoked(
    host: Host, hostvars: dict[str, Any], certificates: list[str]
) -> None:
    # A provider's certificate is the TdT's to judge: this machine has no reason to trust who issued it.
    provided = f"{PKI}/tdt/current" if "certificat" in hostvars.get("creatic_connecteur", {}) else ""
    assert not provided or provided in certificates
    for folder in certificates:
        if folder == provided:
            host.run_expect([0], f"openssl verify -partial_chain -trusted {folder}/chain.pem {folder}/cert.pem")
            continue
        host.run_expect(
            [0],
            f"openssl verify -x509_strict -CApath /etc/ssl/certs -untrusted {folder}/chain.pem "
            f"-crl_check_all -CRLfile {PKI}/crl.pem {folder}/cert.pem",
        )


def test_each_key_is_the_certificates_and_is_closed_to_others(host: Host, certificates: list[str]) -> None:
    for folder in certificates:
        with host.sudo():
            key = host.check_output(f"openssl pkey -in {folder}/key.pem -pubout")
            assert key == host.check_output(f"openssl x509 -in {folder}/cert.pem -noout -pubkey")
        with host.sudo("nobody"):
            assert host.run(f"cat {folder}/key.pem").failed
            assert host.run(f"cat {folder}/cert.pem").succeeded


def test_watch_runs_every_day(host: Host) -> None:
    shown = host.check_output("systemctl show creatic-certificats.timer -p ActiveState -p UnitFileState")
    assert shown.splitlines() == ["ActiveState=active", "UnitFileState=enabled"]


@pytest.mark.leaves_traces
def test_watch_leaves_metrics(host: Host, certificates: list[str]) -> None:
    with host.sudo():
        host.run_expect([0], "systemctl start creatic-certificats.service")
    text = host.file("/var/lib/creatic/metrics/certificats.prom").content_string
    for folder in certificates:
        name = folder.split("/")[-2]
        days = re.search(rf'creatic_certificate_days_left{{nom="{name}".*}} (-?[0-9]+)', text)
        assert days and int(days[1]) >= 30, text
    assert re.search(r"creatic_crl_next_update_timestamp_seconds\{.*\} [0-9]+", text)


def test_watch_is_sandboxed(host: Host) -> None:
    assert exposure(host, "creatic-certificats.service") <= 2.0


def test_technician_reads_a_table(host: Host, certificates: list[str]) -> None:
    table = host.check_output("creatic-certificats")
    assert table.splitlines()[0].split() == ["Nom", "Titulaire", "Expire", "le", "Jours", "État"]
    for folder in certificates:
        assert re.search(rf"^{folder.split('/')[-2]} .* valide$", table, re.M)
