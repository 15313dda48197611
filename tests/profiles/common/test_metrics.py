"""What a machine tells its supervision, where the inventory has one (roles base and pki_client)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from testinfra.host import Host

from tests.profiles.services import EXPORTER, as_root, exposure, properties

FIGURES = "/var/lib/creatic/metrics/machine.prom"


@pytest.fixture(autouse=True)
def _watched(host: Host, hostvars: Mapping[str, Any], whole_inventory: Mapping[str, Any]) -> None:
    if not whole_inventory.get("supervision", {}).get("hosts") or not hostvars.get("creatic_certificats", True):
        pytest.skip("personne ne surveille cette machine")
    if host.file("/etc/creatic-exercice").exists:
        pytest.skip("une machine d'exercice, ou qui en revient : son déploiement n'a pas encore apporté de réponse")


def test_it_answers_over_tls_and_asks_who_calls(host: Host) -> None:
    assert host.check_output("systemctl is-active prometheus-node-exporter.service") == "active"
    assert host.check_output("systemctl is-enabled prometheus-node-exporter.service") == "enabled"
    settings = host.file("/etc/creatic/metriques.yml").content_string
    assert "client_auth_type: RequireAndVerifyClientCert" in settings and "client_allowed_sans: [" in settings
    # Without a certificate the handshake ends, for root, whom the firewall lets through.
    told = as_root(host, f"echo | openssl s_client -connect 127.0.0.1:{EXPORTER} -tls1_3 -ign_eof 2>&1 || true")
    assert "certificate required" in told.lower(), told


def test_its_certificate_is_in_its_own_name(host: Host, hostvars: Mapping[str, Any]) -> None:
    folder = "/etc/creatic/pki/metriques/current"
    assert f"DNS:{hostvars['name'].lower().replace('_', '-')}" in as_root(
        host, f"openssl x509 -in {folder}/cert.pem -noout -text"
    )
    with host.sudo():
        key = host.file(f"{folder}/key.pem")
        assert (key.group, key.mode & 0o007) == ("prometheus", 0)


def test_it_says_how_it_is_every_five_minutes(host: Host) -> None:
    shown = properties(host, "creatic-machine.service", "Result", "ExecMainStatus")
    assert shown == {"Result": "success", "ExecMainStatus": "0"}
    text = host.file(FIGURES).content_string
    assert "creatic_machine_disk_percent{" in text and "creatic_machine_restart_wanted" in text
    assert time.time() - host.file(FIGURES).mtime.timestamp() < 1200


def test_a_machine_that_shows_pages_says_how_they_answer(host: Host) -> None:
    shows, text = host.file("/var/log/nginx/access.log").exists, host.file(FIGURES).content_string
    for figure in ("creatic_machine_pages_asked", "creatic_machine_pages_connections"):
        assert (figure in text) is shows, text


@pytest.mark.parametrize("unit", ["prometheus-node-exporter", "creatic-machine"])
def test_both_are_apart(host: Host, unit: str) -> None:
    assert exposure(host, f"{unit}.service") < 3.0
