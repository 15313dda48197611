"""A control node that several share: the state is closed, who does what is named, what failed alone is told."""

from __future__ import annotations

import base64
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

from tests.profiles.services import as_root, exposure, in_clear, properties

REPO = Path(__file__).parents[3]
ROLE = yaml.safe_load((REPO / "roles/control_node/vars/main.yml").read_text(encoding="utf-8"))
TIMERS = [one["command"] for one in ROLE["__control_node_timers"]]
HOME, STATE = "/var/lib/creatic-poste", "/var/lib/creatic-poste/etat"
PEOPLE = ("lea", "camille", "visiteuse")  # the last one is no operator


# -- what a visit of the machine shows ---------------------------------------------------------------------------


def test_the_state_is_closed_to_all_but_its_account(host: Host) -> None:
    found = as_root(host, f"stat -c '%U %G %a %n' {HOME} {STATE}").splitlines()
    assert found == [
        f"creatic-poste creatic-poste 755 {HOME}",
        f"creatic-poste creatic-poste 700 {STATE}",
    ]
    with host.sudo("nobody"):
        assert host.run(f"ls {STATE}").failed


@pytest.mark.usefixtures("own_kernel")
def test_the_state_lies_on_an_encrypted_disk(host: Host) -> None:
    """Passwords of the state are not encrypted themselves: neither a stolen disk nor its swap gives them."""
    assert in_clear(host, STATE) == []


def test_nobody_logs_in_as_the_account(host: Host) -> None:
    account = host.user("creatic-poste")
    assert account.shell == "/usr/sbin/nologin" and account.uid < 1000
    assert as_root(host, "getent shadow creatic-poste").split(":")[1][:1] in "!*"


def test_it_has_what_production_needs_and_no_more(host: Host) -> None:
    for name in ROLE["__control_node_packages"]:
        assert host.package(name).is_installed, name
    for name in ("podman", "postgresql", "softhsm2", "chromium", "mmdebstrap", "apt-cacher-ng"):
        assert not host.package(name).is_installed, name


def test_what_guides_ask_for_at_fixed_times_is_planned(host: Host) -> None:
    for command in TIMERS:
        timer = properties(
            host, f"creatic-fab@{command}.timer", "ActiveState", "UnitFileState", "NextElapseUSecRealtime"
        )
        assert (timer["ActiveState"], timer["UnitFileState"]) == ("active", "enabled"), command
        assert timer["NextElapseUSecRealtime"], command
    assert host.run("systemctl is-enabled borgmatic.timer").stdout.strip() == "masked"


def test_a_planned_command_is_shut_in(host: Host) -> None:
    unit = f"creatic-fab@{TIMERS[0]}.service"
    assert exposure(host, unit) < 2.5
    told = properties(host, unit, "User", "NoNewPrivileges", "ProtectSystem", "ReadWritePaths", "CapabilityBoundingSet")
    assert told == {
        "User": "creatic-poste",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ReadWritePaths": HOME,
        "CapabilityBoundingSet": "",
    }


# -- two operators at work -----------------------------------------------------------------------------------------


class Operators:
    """People of the machine, each with an account, a terminal and the commands."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def types(self, who: str, command: str) -> Any:
        """Run a command line in a login shell with a terminal; outputs together."""
        with self.host.sudo():
            line = f"bash -lc {shlex.quote(command)}"
            return self.host.run(f"runuser -l {who} -c {shlex.quote(f'script -qec {shlex.quote(line)} /dev/null')}")

    def logs_in(self, who: str) -> str:
        """What a login shows."""
        with self.host.sudo():
            return str(
                self.host.run(f"runuser -l {who} -c {shlex.quote("script -qec 'bash -lic true' /dev/null")}").stdout
            )


@pytest.fixture(scope="module")
def operators(host: Host, hostvars: dict[str, Any], creatic_home: Path) -> Iterator[Operators]:
    """Two operators and a visitor, on a control node that has the product, an environment and an authority."""
    from testbed.shared_clone import archive

    known = f"UserKnownHostsFile={creatic_home}/ssh/known_hosts"
    ssh = ["ssh", "-i", str(creatic_home / "ssh/id_ed25519"), "-o", known, "-o", "StrictHostKeyChecking=yes"]
    ssh.append(f"{hostvars['ansible_user']}@{hostvars['ansible_host']}")
    subprocess.run([*ssh, "sudo tar -C / --no-same-owner -xf -"], input=archive(), check=True, capture_output=True)
    as_root(host, "chown -R creatic-poste:creatic-poste /opt/creatic")
    groups = "creatic-operateurs,sudogrp,systemd-journal"
    for name in PEOPLE:
        as_root(host, f"useradd -m -s /bin/bash -p '*' {'' if name == 'visiteuse' else f'-G {groups}'} {name}")
    people = Operators(host)
    made = people.types(
        "lea", "ansible-playbook playbooks/authority.yml -e '{\"creatic_pki_generate_passphrases\": true}'"
    )
    assert made.rc == 0, made.stdout
    yield people
    for name in PEOPLE:  # what sudo and PAM keep of people too: nothing of nobody's is left
        traces = f"/var/log/faillock/{name} /run/sudo/ts/$(id -u {name})"
        as_root(host, f"pkill -KILL -u {name}; rm -f {traces}; userdel -rf {name} 2>/dev/null")
    left = f"{STATE}/lab {HOME}/cle* {HOME}/verrou.py /opt/creatic/* /opt/creatic/.[!.]*"
    as_root(host, f"systemctl reset-failed 'creatic-fab@*'; rm -rf {left}")


@pytest.mark.leaves_traces
def test_two_operators_share_a_state_and_each_is_named(host: Host, operators: Operators) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM+ZqBKG2N4FmRAxXcM1pTRTGrcvnuzXCzvFYvkIOS3M auditrice"
    assert operators.types("lea", f"echo {key!r} | creatic-poste -c 'cat > ~/cle.pub'").rc == 0
    granted = operators.types("lea", f"fab acces.delivrer auditeur --duree 1h --cle {HOME}/cle.pub")
    assert granted.rc == 0 and "Environnement : lab" in granted.stdout, granted.stdout
    name = host.check_output("hostname")
    shown = operators.types("camille", "creatic-poste -c 'ssh-keygen -L -f ~/cle-cert.pub'").stdout
    assert f"par lea@{name}" in shown
    refused = operators.types("camille", f"fab acces.delivrer auditeur --duree 48h --cle {HOME}/cle.pub")
    assert refused.rc == 1 and "24 h" in refused.stdout, refused.stdout
    told = " ".join(operators.types("lea", "fab historique").stdout.split())
    assert f"lea@{name} fab acces.delivrer" in told and f"camille@{name} fab acces.delivrer" in told
    # What they left is the account's, closed as ever.
    open_to_others = "-type f -perm /077 ! -path '*/publie/*' ! -path '*/acces/*.pub'"
    assert as_root(host, f"find {STATE} ! -user creatic-poste -o {open_to_others}") == ""


@pytest.mark.leaves_traces
def test_the_second_operator_is_told_who_works(host: Host, operators: Operators) -> None:
    script = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, "collections")
from creatic.evidence import store
try:
    store.lock_commune(Path(os.environ["CREATIC_HOME"]) / "lab/verrous", "gondecourt", os.getpid(), store.operator())
except store.EvidenceError as error:
    sys.exit(str(error))
print("pris", flush=True)
time.sleep(float(sys.argv[1]))
"""
    encoded = base64.b64encode(script.encode()).decode()
    assert operators.types("lea", f"echo {encoded} | base64 -d | creatic-poste -c 'cat > ~/verrou.py'").rc == 0
    take = shlex.quote(f"script -qfec {shlex.quote("creatic-poste -c 'python ~/verrou.py 60'")} /home/lea/pris")
    taken = "for i in $(seq 150); do grep -q pris /home/lea/pris 2>/dev/null && exit 0; sleep 0.2; done; exit 1"
    as_root(host, f"runuser -l lea -c {take} >/dev/null 2>&1 & {taken}")
    refused = operators.types("camille", "creatic-poste -c 'python ~/verrou.py 0'")
    assert refused.rc != 0 and f"lea@{host.check_output('hostname')}" in refused.stdout, refused.stdout
    as_root(host, "pkill -u creatic-poste -f verrou.py")  # killed: its lock is nobody's
    assert operators.types("camille", "creatic-poste -c 'python ~/verrou.py 0'").rc == 0


@pytest.mark.leaves_traces
def test_who_is_no_operator_gets_nothing(operators: Operators) -> None:
    for command in ("fab historique", "creatic-poste -c id", "sudo -n -u creatic-poste /usr/lib/creatic/operateur fab"):
        refused = operators.types("visiteuse", command)
        assert refused.rc != 0 and "uid=" not in refused.stdout, command
    assert "aux opérateurs du poste de commande" in operators.types("visiteuse", "fab historique").stdout
    for command in ("sudo -n id", "sudo -n -u creatic-poste id", "sudo -n -u root /usr/lib/creatic/operateur fab"):
        refused = operators.types("lea", command)
        assert refused.rc != 0 and "uid=" not in refused.stdout, command


@pytest.mark.leaves_traces
def test_what_a_timer_runs_is_kept_and_its_failure_told(host: Host, operators: Operators) -> None:
    with host.sudo():
        good = host.run("systemctl start creatic-fab@pki.echeances.service")
        assert good.rc == 0, host.check_output("journalctl -u creatic-fab@pki.echeances --no-pager -n 30")
        host.run_expect([1], "systemctl start creatic-fab@archive.sceaux.service")
    assert "Tâche planifiée en échec : fab archive.sceaux" in operators.logs_in("camille")
    assert "Tâche planifiée" not in operators.logs_in("visiteuse")
    listed = operators.types("camille", "fab pki.registre")
    assert listed.rc == 0 and "La tâche planifiée « fab archive.sceaux » a échoué le" in listed.stdout
    told = " ".join(operators.types("lea", "fab historique").stdout.split())
    timer = f"minuterie@{host.check_output('hostname')}"
    assert f"{timer} fab pki.echeances" in told and f"{timer} fab archive.sceaux" in told
    # The reason is theirs to read.
    assert (
        "archive" in operators.types("camille", "journalctl --no-pager -u 'creatic-fab@archive.sceaux.service'").stdout
    )


@pytest.mark.leaves_traces
def test_a_timer_has_the_passphrase_that_systemd_keeps_encrypted(host: Host, operators: Operators) -> None:
    place = "/etc/credstore.encrypted/creatic.pki_emettrice"
    secret = f"{STATE}/lab/secrets/pki_emettrice"
    as_root(
        host,
        "mkdir -p -m 0700 /etc/credstore.encrypted && "
        f"systemd-creds encrypt --name=creatic.pki_emettrice {secret} {place}",
    )
    # As systemd has it on a machine that starts; a container's mounts are its own.
    as_root(host, f"mv {secret} {secret}.ote; mount --make-rshared /run")
    told = "creatic-poste -c 'printf %s \"$CREATIC_PKI_EMETTRICE\" | sha256sum'"
    try:
        unit = "-p User=creatic-poste -p ImportCredential='creatic.*' --expand-environment=no"
        found = as_root(host, f"systemd-run -q --wait --pipe {unit} /usr/local/bin/{told}")
        assert found == as_root(host, f"tr -d '\\n' < {secret}.ote | sha256sum")
        assert as_root(host, f"cat {secret}.ote").strip() not in as_root(host, f"cat {place}")
    finally:
        as_root(host, f"mv {secret}.ote {secret}; rm -f {place}; mount --make-rprivate /run")
