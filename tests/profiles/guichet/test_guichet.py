"""The door serves, over TLS, those that it expects, and the control node by its command."""

from __future__ import annotations

import json
import shlex

import pytest
from testinfra.host import Host

from testbed.patience import wait_for
from tests.profiles.services import as_root, exposure, listening

KEYS = "/var/lib/guichet-cles/cles"


def test_its_services_run(host: Host) -> None:
    for unit in ("guichet.socket", "guichet.service", "guichet-porte.service", "guichet-porte.path", "nginx.service"):
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
    assert said.keys() == {"maintenant", "machines", "portes", "hote"}
    assert said["hote"].startswith("ssh-ed25519 ")


def test_the_sshd_of_emergency_doors_is_shut_in(host: Host) -> None:
    assert exposure(host, "guichet-porte.service") < 3.0
    assert 2222 in listening(host)
    assert "porte" in as_root(host, "ps -o user= -C sshd").split()


def tunnel(host: Host, folder: str, *more: str) -> str:
    """What a client is told, that has five seconds."""
    options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ExitOnForwardFailure=yes"
    line = f"timeout 5 ssh -F none {options} -i {folder}/cle -p 2222 {' '.join(more)} porte@127.0.0.1 2>&1; echo $?"
    return as_root(host, line)


@pytest.mark.leaves_traces
def test_a_tunnel_opens_with_its_key_for_its_port_alone(host: Host) -> None:
    """A key that the door let in, by a real client; withdrawn, its tunnel is cut. Doors that were open stay so."""
    folder = as_root(host, "mktemp -d").strip()
    as_root(host, f"touch {folder}/avant; cp {KEYS} {folder}/avant 2>/dev/null; true")
    as_root(host, f"ssh-keygen -q -t ed25519 -N '' -f {folder}/cle")
    permitted = 'restrict,port-forwarding,permitlisten="127.0.0.1:22099"'
    writes = f"runuser -u guichet -- sh -c 'umask 027; cat > {KEYS}.part && mv {KEYS}.part {KEYS}'"

    def answers() -> bool:
        return ":22099 " in as_root(host, "ss --no-header -ltn")

    def let_in(line: str) -> None:
        shown = "systemctl show -P ActiveEnterTimestampMonotonic guichet-porte.service"
        before = as_root(host, shown)
        as_root(host, f"(cat {folder}/avant; {line}) | {writes}")
        wait_for(lambda: as_root(host, shown) != before and ":2222 " in as_root(host, "ss -ltn"), "le sshd relu", 60)

    try:
        assert "Permission denied" in tunnel(host, folder, "-N", "-R", "127.0.0.1:22099:127.0.0.1:22")
        let_in(f"echo {shlex.quote(permitted)} $(cat {folder}/cle.pub)")
        # A command, a way out, another port: nothing of these.
        assert "22099" not in tunnel(host, folder, "id") and "uid=" not in tunnel(host, folder, "id")
        assert "remote port forwarding failed" in tunnel(host, folder, "-N", "-R", "127.0.0.1:22098:127.0.0.1:22")
        assert "remote port forwarding failed" in tunnel(host, folder, "-N", "-R", "0.0.0.0:22099:127.0.0.1:22")
        held = f"{folder}/cle -p 2222 -N -R 127.0.0.1:22099:127.0.0.1:22 porte@127.0.0.1"
        options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        as_root(host, f"systemd-run --quiet --collect --unit=essai-tunnel ssh -F none {options} -i {held}")
        wait_for(answers, "le tunnel", 60)
        # The administrators' account goes through, to the sshd at its end; no other does.
        through = "python3 -I -c 'import socket; print(socket.create_connection((\"127.0.0.1\", 22099), 5).recv(7))'"
        assert "SSH-2.0" in host.check_output(through)
        assert "SSH-2.0" not in as_root(host, f"runuser -u www-data -- {through} 2>&1; true")
        let_in("true")
        wait_for(lambda: not answers(), "la fin du tunnel", 60)
    finally:
        as_root(host, f"systemctl stop essai-tunnel; cat {folder}/avant | {writes}; rm -rf {folder}")
