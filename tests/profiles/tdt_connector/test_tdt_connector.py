"""The connector on its host: service, sandbox, rights, hot folder, diagnosis, figures."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from testinfra.host import Host

from testbed.patience import wait_for
from tests.profiles.services import as_root, exposure, properties

HOME = "/var/lib/tdt-connector"
UNIT = "tdt-connector.service"


def as_clerk(host: Host, command: str, group: str = "tdt-depot") -> Any:
    """Run a command as someone who has nothing but this group."""
    with host.sudo():
        gid = host.check_output(f"getent group {group}").split(":")[2]
        return host.run(f"setpriv --reuid=65534 --regid=65534 --groups={gid} -- sh -c '{command}'")


def test_service_runs_now_and_after_a_reboot(host: Host) -> None:
    found = properties(
        host, UNIT, "ActiveState", "SubState", "UnitFileState", "Type", "NRestarts", "Restart", "WatchdogUSec"
    )
    restarts = int(found.pop("NRestarts"))
    assert restarts == 0
    assert found == {
        "ActiveState": "active",
        "SubState": "running",
        "UnitFileState": "enabled",
        "Type": "notify",
        "Restart": "on-failure",
        "WatchdogUSec": "10min",
    }


def test_service_is_sandboxed(host: Host) -> None:
    assert exposure(host, "tdt-connector.service") <= 2.0
    assert properties(host, UNIT, "User", "NoNewPrivileges", "ProtectSystem", "MemoryMax") == {
        "User": "tdt-connector",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "MemoryMax": str(512 * 1024 * 1024),
    }


def test_the_process_is_what_systemd_says(host: Host) -> None:
    pid = properties(host, UNIT, "MainPID")["MainPID"]
    status = as_root(host, f"cat /proc/{pid}/status")
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)


def test_account_cannot_log_in(host: Host) -> None:
    user = host.user("tdt-connector")
    assert user.shell == "/usr/sbin/nologin"
    assert sorted(user.groups) == ["creatic-metrics", "tdt-connector", "tdt-depot"]


def test_folders_are_what_each_may_do(host: Host) -> None:
    with host.sudo():
        depot, state = host.file(f"{HOME}/depot"), host.file(f"{HOME}/etat")
        assert (depot.user, depot.group, depot.mode) == ("tdt-connector", "tdt-depot", 0o2770)
        assert (state.user, state.mode) == ("tdt-connector", 0o700)
    for name in ("acquittes", "conserves", "rejets", "lettres", "pes_retour", "annules", "en_cours"):
        assert as_clerk(host, f"ls {HOME}/{name}").rc == 0, name
        assert as_clerk(host, f"touch {HOME}/{name}/x").rc != 0, name
    assert as_clerk(host, f"ls {HOME}/etat").rc != 0
    assert as_clerk(host, f"test -w {HOME}/depot").rc == 0
    assert as_clerk(host, f"ls {HOME}/depot", group="nogroup").rc != 0


def test_the_key_is_for_the_service_alone(host: Host) -> None:
    assert as_clerk(host, "cat /etc/creatic/pki/tdt/current/key.pem").rc != 0
    with host.sudo("tdt-connector"):
        host.check_output("test -r /etc/creatic/pki/tdt/current/key.pem")


@pytest.mark.exterieur
def test_diagnosis_is_good(host: Host) -> None:
    findings = json.loads(as_root(host, "tdt-connector doctor --json"))
    assert {item["cle"]: item["verdict"] for item in findings} == dict.fromkeys((i["cle"] for i in findings), "ok")
    assert {"dossiers", "disque", "certificat", "tls", "horloge", "connexion", "rgs", "journal", "service"} <= {
        item["cle"] for item in findings
    }


def test_journal_is_whole_and_private(host: Host) -> None:
    check = (
        'import sqlite3; db = sqlite3.connect("file:/var/lib/tdt-connector/etat/journal.sqlite?mode=ro", uri=True);'
        'print(db.execute("PRAGMA integrity_check").fetchone()[0], db.execute("PRAGMA journal_mode").fetchone()[0])'
    )
    assert as_root(host, f"runuser -u tdt-connector -- python3 -c '{check}'") == "ok wal"
    owners = as_root(host, f"stat -c %U {HOME}/etat/*")
    assert set(owners.split()) == {"tdt-connector"}


def test_commands_never_leave_a_file_of_root(host: Host) -> None:
    as_root(host, "tdt-connector status >/dev/null && tdt-connector status --json >/dev/null")
    assert as_root(host, f"find {HOME} -user root") == ""


@pytest.mark.exterieur
def test_figures_are_published(host: Host) -> None:
    path = host.file("/var/lib/creatic/metrics/tdt_connector.prom")
    assert path.mode == 0o644
    found = dict(re.findall(r"^(tdt_connector_\w+) (\S+)$", path.content_string, re.MULTILINE))
    assert float(found["tdt_connector_certificate_expiry_timestamp_seconds"]) > time.time()
    assert float(found["tdt_connector_last_contact_timestamp_seconds"]) > time.time() - 3600
    assert found["tdt_connector_contact_failing"] == "0"


@pytest.fixture
def dropped(host: Host) -> str:
    """An act that a clerk drops, and that must not leave: its date is in the future."""
    name = f"essai-profil-{int(time.time())}"
    lines = ["numero: ESSAI", f"objet: {name}", "date: 2999-12-31", "nature: 1", "classification: 7.5", "type: 99_DE"]
    text = "\\n".join(lines)
    pdf = "%%PDF-1.4\\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\\n"
    for suffix, content in (("pdf", f"{pdf}trailer<</Root 1 0 R>>\\n%%%%EOF\\n"), ("yml", f"{text}\\n")):
        done = as_clerk(host, f'printf "{content}" >{HOME}/depot/{name}.{suffix}')
        assert done.rc == 0, done.stderr
    return name


@pytest.mark.leaves_traces
def test_what_a_clerk_drops_is_taken_and_answered(host: Host, dropped: str) -> None:

    def rejected() -> str:
        return as_clerk(host, f"ls -d {HOME}/rejets/*{dropped}*").stdout.strip()

    folder = wait_for(rejected, f"le rejet de {dropped}", every=1)
    motive = as_clerk(host, f"cat {folder}/motif.txt").stdout
    assert "le 31/12/2999 est dans le futur" in motive
    assert "Rien n'a été transmis" in motive
    assert dropped not in as_clerk(host, f"ls {HOME}/depot").stdout
    assert f"{dropped}.pdf" in as_clerk(host, f"ls {folder}").stdout


@pytest.mark.leaves_traces
def test_what_is_acquitted_is_deposited_as_it_comes(host: Host, hostvars: dict[str, Any]) -> None:
    """An empty folder is no act: it shows that a deposit begins, and nothing leaves."""
    if "archivage" not in hostvars["creatic_commune"]["services"]:
        pytest.skip("la commune n'a pas le service archivage")
    starter, deposit = "tdt-connector-versement.path", "tdt-connector-versement.service"
    assert properties(host, starter, "ActiveState", "UnitFileState") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
    }

    def begun() -> str:
        return properties(host, deposit, "ExecMainStartTimestampMonotonic")["ExecMainStartTimestampMonotonic"]

    before, folder = begun(), f"{HOME}/acquittes/.essai"

    def again() -> bool:
        as_root(host, f"runuser -u tdt-connector -- sh -c 'mkdir -p {folder}; rmdir {folder}'")
        return begun() != before

    wait_for(again, "le versement de ce qui arrive", every=1)
    wait_for(lambda: properties(host, deposit, "SubState")["SubState"] == "dead", "la fin du versement", every=1)
    # So many acts at once neither fail it nor stop it.
    assert properties(host, starter, "ActiveState", "Result") == {"ActiveState": "active", "Result": "success"}
