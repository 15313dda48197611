"""The door serves, over TLS, those that it expects, and the control node by its command."""

from __future__ import annotations

import json
import shlex

from testinfra.host import Host

from tests.profiles.services import as_root


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
    asks = (
        "import socket, ssl\n"
        "trust = ssl.create_default_context(cafile='/etc/creatic/pki/ca.pem')\n"
        f"line = trust.wrap_socket(socket.create_connection(('127.0.0.1', 443), 20), server_hostname={name!r})\n"
        f"line.sendall(b'GET /manifeste HTTP/1.0\\r\\nHost: {name}\\r\\n\\r\\n')\n"
        "print(line.recv(4096).decode().splitlines()[0])\n"
    )
    said = host.check_output(f"python3 -I -c {shlex.quote(asks)}")
    assert said.split()[1] == "400", said


def test_the_control_node_asks_it(host: Host) -> None:
    said = json.loads(as_root(host, "runuser -u guichet -- creatic-guichet etat"))
    assert said.keys() == {"maintenant", "machines"}
