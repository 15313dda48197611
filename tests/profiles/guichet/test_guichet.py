"""The door serves, over TLS, those that it expects, and the control node by its command."""

from __future__ import annotations

import json

from testinfra.host import Host


def test_its_services_run(host: Host) -> None:
    for unit in ("guichet.socket", "guichet.service", "nginx.service"):
        assert host.service(unit).is_running, unit
        assert host.service(unit).is_enabled, unit


def test_its_state_is_closed_to_others(host: Host) -> None:
    folder = host.file("/var/lib/guichet")
    assert (folder.user, folder.group, folder.mode) == ("guichet", "guichet", 0o700)


def test_nobody_comes_without_a_certificate(host: Host) -> None:
    subject = "openssl x509 -in /etc/creatic/pki/guichet/current/cert.pem -noout -ext subjectAltName"
    name = host.check_output(subject).rpartition("DNS:")[2].strip()
    said = host.check_output(
        "curl --silent --show-error --output /dev/null --write-out '%%{http_code}' --cacert /etc/creatic/pki/ca.pem "
        "--connect-to ::127.0.0.1: %s",
        f"https://{name}/manifeste",
    )
    assert said == "400"


def test_the_control_node_asks_it(host: Host) -> None:
    said = json.loads(host.check_output("runuser -u guichet -- creatic-guichet etat"))
    assert said.keys() == {"maintenant", "machines"}
