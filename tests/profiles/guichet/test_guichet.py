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
    doors = [f"{name}.{kind}" for name in ("guichet", "enrolement") for kind in ("socket", "service")]
    for unit in (*doors, "guichet-porte.service", "guichet-porte.path", "nginx.service"):
        assert host.service(unit).is_running, unit
        assert host.service(unit).is_enabled, unit


def test_its_state_is_closed_to_others(host: Host) -> None:
    for name in ("guichet", "enrolement"):
        folder = host.file(f"/var/lib/{name}")
        assert (folder.user, folder.group, folder.mode) == (name, name, 0o700)


def name_of(host: Host, door: str) -> str:
    """A door's name, by its certificate."""
    subject = f"openssl x509 -in /etc/creatic/pki/{door}/current/cert.pem -noout -ext subjectAltName"
    return host.check_output(subject).rpartition("DNS:")[2].strip()


def answer(host: Host, name: str, method: str, path: str, *, sent: str = "", asked: str = "") -> tuple[int, str]:
    """What a door answers over TLS to who shows no certificate: status and body.

    Args:
        asked: the name that the request says, where it is not that of the handshake.
    """
    asks = (
        "import http.client, socket, ssl\n"
        "trust = ssl.create_default_context(cafile='/etc/creatic/pki/ca.pem')\n"
        f"line = http.client.HTTPConnection({name!r})\n"
        "line.sock = trust.wrap_socket(socket.create_connection(('127.0.0.1', 443), 20), "
        f"server_hostname={name!r})\n"
        f"line.request({method!r}, {path!r}, {sent!r}.encode() or None, {{'Host': {asked or name!r}}})\n"
        "told = line.getresponse()\n"
        "print(told.status, told.read().decode())\n"
    )
    status, _space, body = host.check_output(f"python3 -I -c {shlex.quote(asks)}").partition(" ")
    return int(status), body


def test_nobody_comes_without_a_certificate(host: Host) -> None:
    assert answer(host, name_of(host, "guichet"), "GET", "/manifeste")[0] == 400


def test_who_has_a_token_comes_to_the_enrolment_without_a_certificate(host: Host) -> None:
    name = name_of(host, "enrolement")
    told = {"jeton": "A" * 52, "poste": "x", "nom": "x", "certificat": "x", "csr": "x"}
    status, body = answer(host, name, "POST", "/demandes", sent=json.dumps(told))
    assert (status, json.loads(body)["cause"]) == (403, "jeton_inconnu")
    assert answer(host, name, "POST", "/demandes", sent="A" * 70_000)[0] == 413
    for method, path in (("GET", "/identite"), ("POST", "/renouvellements")):
        status, body = answer(host, name, method, path)
        assert status == 403 and "certificat" in body, (path, body)


def test_the_enrolment_s_handshake_opens_nothing_else(host: Host) -> None:
    status, body = answer(host, name_of(host, "enrolement"), "GET", "/manifeste", asked=name_of(host, "guichet"))
    assert status in (400, 421), body


def test_the_control_node_asks_the_enrolment(host: Host) -> None:
    said = json.loads(as_root(host, "runuser -u enrolement -- creatic-enrolement releve"))
    assert said.keys() == {"maintenant", "jetons", "demandes", "reste", "mesusages", "dernier", "vus"}
    assert any(one["cause"] == "jeton_inconnu" for one in said["mesusages"])


def test_doors_of_machines_and_pcs_are_shut_in(host: Host) -> None:
    for unit in ("guichet.service", "enrolement.service"):
        assert exposure(host, unit) < 2.0, unit


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
