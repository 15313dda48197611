"""Time-boxed access on the lab: what a certificate opens, for how long, and what is left of the session."""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from testbed.control_node import HOME, REPO, command
from testbed.patience import allowed

from .conftest import on_host

CONNECTOR, OTHER_COMMUNE, PC = "10.59.2.20", "10.59.3.20", "10.59.2.10"
SPEC = yaml.safe_load((REPO / "roles/access/meta/argument_specs.yml").read_text(encoding="utf-8"))
AUDIT_COMMANDS = SPEC["argument_specs"]["main"]["options"]["access_audit_commands"]["default"]


@dataclass(frozen=True)
class Holder:
    """Somebody with a key, and the certificate that ``fab acces.delivrer`` put beside it."""

    key: Path
    role: str
    serial: str = ""

    def ssh_command(self, address: str, *words: str) -> list[str]:
        """Nothing of the administrator's: this key, this certificate, no shared connection."""
        known = f"UserKnownHostsFile={HOME / 'ssh' / 'known_hosts'}"
        options = ["-F", "none", "-i", str(self.key), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]
        options += ["-o", known, "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30"]
        options += ["-o", "LogLevel=ERROR"]  # without the banner
        return ["ssh", *options, *words[:-1], f"{self.role}@{address}", *words[-1:]]

    def run(self, address: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a host, options of ssh before it."""
        return command(*self.ssh_command(address, *words), stdin=subprocess.DEVNULL)


def holder(folder: Path, role: str) -> Holder:
    """A new key."""
    key = folder / "cle"
    done = command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "Claude Martin", "-f", str(key))
    assert done.returncode == 0, done.stdout
    return Holder(key, role)


def grant(one: Holder, *arguments: str) -> subprocess.CompletedProcess[str]:
    """fab acces.delivrer."""
    return command("fab", "acces.delivrer", one.role, "--cle", f"{one.key}.pub", *arguments)


def granted(folder: Path, role: str, *arguments: str) -> Holder:
    """Somebody who was granted an access."""
    one = holder(folder, role)
    done = grant(one, *arguments)
    found = re.search(r"certificat n° (\d+) de Claude Martin", done.stdout)
    assert done.returncode == 0 and found, done.stdout
    return Holder(one.key, role, found[1])


@pytest.fixture(scope="module")
def auditor(ready: str, tmp_path_factory: pytest.TempPathFactory) -> Holder:
    """An auditor of the connectors, for four hours."""
    folder = tmp_path_factory.mktemp("auditeur")
    return granted(folder, "auditeur", "--duree", "4h", "--profil", "tdt_connector", "--motif", "audit annuel")


def test_the_auditor_may_run_what_the_audit_needs_as_root_and_nothing_else(auditor: Holder) -> None:
    listed = auditor.run(CONNECTOR, "id -un; sudo -n -l").stdout
    assert listed.startswith("auditeur\n"), listed
    rights = re.findall(r"^\s*\((\S+)\) (.*)$", listed, re.MULTILINE)
    assert [(whom, what.rpartition(": ")[2]) for whom, what in rights] == [
        ("root", what) for what in ("/usr/lib/creatic/creatic-session ouvrir *", *AUDIT_COMMANDS)
    ]


def test_the_auditor_reads(auditor: Holder) -> None:
    done = auditor.run(CONNECTOR, "sudo -n /usr/lib/creatic/creatic-audit --niveau minimal")
    assert done.returncode == 0 and json.loads(done.stdout)["openscap"], done.stdout[:2000]
    reads = (
        "sudo -n /usr/sbin/nft -s list table inet creatic",
        "sudo -n /usr/sbin/sshd -T",
        "cat /etc/nsswitch.conf",
        "sudo -n /usr/bin/systemctl --no-pager --all list-units | grep -q ssh.service",
    )
    done = auditor.run(CONNECTOR, " >/dev/null && ".join(reads))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "words",
    [
        "sudo -n id",
        "sudo -n /usr/sbin/nft flush ruleset",
        "sudo -n /usr/sbin/nft list ruleset",
        "sudo -n /usr/sbin/sshd -T -f /proc/self/fd/0",
        "sudo -n /usr/lib/creatic/creatic-audit --niveau maximal",
        "touch /etc/x",
        "touch ~/.bashrc",
        "touch /tmp/x || touch /var/tmp/x || touch /dev/shm/x || touch /run/lock/x",
        "logger x",
        "systemctl status --no-pager ssh",
        "busctl --no-pager list",
        "NOTIFY_SOCKET=/run/systemd/notify systemd-notify --ready",
        "ls /var/log/sudo-io",
        "cat /etc/tdt-connector/config.yml /etc/shadow",
        "sudo -n -u creatic id",
        "su - creatic -c id",
    ],
)
def test_the_auditor_writes_nothing_and_goes_no_further(auditor: Holder, words: str) -> None:
    done = auditor.run(CONNECTOR, f"{words} && echo FAIT")
    assert done.returncode != 0 and "FAIT" not in done.stdout, done.stdout


def test_only_the_certificate_opens_and_carries_nothing_else(auditor: Holder, tmp_path: Path) -> None:
    bare = tmp_path / "cle"
    bare.write_bytes(auditor.key.read_bytes())
    bare.chmod(0o600)
    assert "Permission denied" in Holder(bare, "auditeur").run(CONNECTOR, "id").stdout
    assert "Permission denied" in Holder(auditor.key, "creatic").run(CONNECTOR, "id").stdout
    assert "Permission denied" in Holder(auditor.key, "prestataire").run(CONNECTOR, "id").stdout
    # A tunnel is no session: it would be recorded nowhere.
    tunnel = auditor.run(CONNECTOR, "-W", "localhost:22", "-T")
    assert tunnel.returncode != 0 and "SSH-2.0" not in tunnel.stdout, tunnel.stdout


def test_other_profiles_and_other_communes_refuse(auditor: Holder, tmp_path: Path) -> None:
    assert auditor.run(OTHER_COMMUNE, "id -un").stdout.strip().endswith("auditeur")
    assert "Permission denied" in auditor.run(PC, "id").stdout
    contractor = granted(tmp_path, "prestataire", "--duree", "1h", "--commune", "gondecourt")
    for address in (CONNECTOR, PC):
        assert contractor.run(address, "id -un").stdout.strip().endswith("prestataire")
    assert "Permission denied" in contractor.run(OTHER_COMMUNE, "id").stdout
    assert contractor.run(CONNECTOR, "sudo -n /usr/sbin/sshd -T").returncode != 0


def test_the_session_is_recorded_and_the_administrator_replays_it(auditor: Holder) -> None:
    mark = f"marque{time.time_ns()}"
    typed = command(*auditor.ssh_command(CONNECTOR, "-tt", "")[:-1], input=f"echo {mark}$((40+2))\nexit\n")
    assert f"{mark}42" in typed.stdout, typed.stdout
    shown = on_host(CONNECTOR, "sudoreplay -l user auditeur").stdout
    last = re.findall(r"TSID=(\S+)", shown)[-1]
    replayed = on_host(CONNECTOR, f"sudoreplay -n -s 1000 {last}")
    assert f"{mark}42" in replayed.stdout, shown + replayed.stdout
    # Who it was, and for what, is in sshd's log.
    log = on_host(
        CONNECTOR, f'journalctl -t sshd-session -g "auditeur {auditor.serial} : Claude Martin" -n 1 --no-pager'
    )
    assert "audit annuel" in log.stdout, log.stdout


def left_behind(mark: str) -> str:
    """Processes of a mark in their command line, or under the account."""
    return on_host(CONNECTOR, f"pgrep -af '[{mark[0]}]{mark[1:]}'; pgrep -a -u auditeur -x sleep; true").stdout


@pytest.mark.parametrize(
    "words",
    [
        "setsid -f sleep {n}",
        "nohup sleep {n} >/dev/null 2>&1 & true",
        "(setsid -f bash -c 'sleep {n}; true'; true)",
        "setsid -f sudo -n /usr/lib/creatic/creatic-audit --niveau minimal >/dev/null 2>&1",
    ],
)
def test_a_session_leaves_nothing_running(auditor: Holder, words: str) -> None:
    done = auditor.run(CONNECTOR, f"{words.format(n=600)}; cat /proc/self/cgroup; echo FAIT")
    assert done.returncode == 0 and "FAIT" in done.stdout, done.stdout
    assert f"/creatic-acces-auditeur-{auditor.serial}-" in done.stdout
    assert left_behind("creatic-audit") == ""
    assert (
        "creatic-acces-auditeur" not in on_host(CONNECTOR, "systemctl list-units --plain --no-legend '*.scope'").stdout
    )


@pytest.mark.parametrize(
    "words",
    [
        "sudo -n /usr/lib/creatic/creatic-session ouvrir {serial} 9999999999 id",
        "systemd-run --user --scope id",
        "echo '* * * * * id' | crontab -",
        "echo id | at now",
        "loginctl enable-linger",
    ],
)
def test_nothing_is_started_beside_the_session(auditor: Holder, words: str) -> None:
    done = auditor.run(CONNECTOR, f"{words.format(serial=auditor.serial)} && echo FAIT")
    assert done.returncode != 0 and "FAIT" not in done.stdout and "uid=" not in done.stdout, done.stdout


def test_it_ends_with_its_time(ready: str, tmp_path: Path) -> None:
    """A session that is open is cut, a new one is refused."""
    lasts = max(10, round(allowed(6)))  # ten seconds are the shortest
    short = granted(tmp_path, "auditeur", "--duree", f"{lasts}s", "--profil", "tdt_connector")
    start = time.monotonic()
    done = short.run(CONNECTOR, "echo ouverte; sleep 600; echo encore")
    assert "ouverte" in done.stdout and "encore" not in done.stdout, done.stdout
    assert time.monotonic() - start < lasts + allowed(15)
    after = short.run(CONNECTOR, "id")
    assert after.returncode != 0 and re.search(r"Permission denied|échu", after.stdout), after.stdout
    assert re.search(rf"^\s*{short.serial}\s+expire", command("fab", "acces.registre").stdout, re.MULTILINE)


def test_a_revoked_access_ends_at_once(auditor: Holder, tmp_path: Path) -> None:
    other = granted(tmp_path, "auditeur", "--duree", "1h", "--profil", "tdt_connector")
    session = subprocess.Popen(
        other.ssh_command(CONNECTOR, "echo ouverte; sleep 600; echo encore"), stdout=subprocess.PIPE, text=True
    )
    assert session.stdout and session.stdout.readline() == "ouverte\n"
    done = command("fab", "acces.revoquer", other.serial, "--motif", "essai")
    assert done.returncode == 0 and "révoqué" in done.stdout, done.stdout
    assert "encore" not in session.communicate(timeout=120)[0]
    assert "Permission denied" in other.run(CONNECTOR, "id").stdout
    assert auditor.run(CONNECTOR, "id -un").stdout.strip().endswith("auditeur"), "another one is let in as before"


@pytest.mark.parametrize(
    ("role", "arguments", "said"),
    [
        ("auditeur", ("--duree", "4h", "--profil", "tdt_connecteur"), "Profil inconnu : tdt_connecteur. Connus : "),
        ("auditeur", ("--duree", "4h", "--commune", "gondecour"), "Commune inconnu"),
        ("auditeur", ("--duree", "quatre heures"), "« quatre heures » n'est pas une durée ; attendu : 4h, 90min"),
        ("auditeur", ("--duree", "48h"), "« 48h » refusée ; un accès dure de 10 s à 24 h"),
        ("auditeurs", ("--duree", "4h"), "rôle « auditeurs » inconnu ; connus : auditeur, prestataire"),
        ("prestataire", ("--duree", "4h"), "un prestataire n'entre pas partout"),
    ],
)
def test_what_cannot_be_granted_is_refused(
    ready: str, tmp_path: Path, role: str, arguments: tuple[str, ...], said: str
) -> None:
    asked = holder(tmp_path, role)
    done = grant(asked, *arguments)
    assert done.returncode != 0 and said in done.stdout and "Traceback" not in done.stdout, done.stdout
    assert not Path(f"{asked.key}-cert.pub").exists()
