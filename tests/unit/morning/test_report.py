"""What a machine tells of itself, whoever wrote its figures."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.host import condition, report
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError

from creatic.supervision import figures


def machine(container: bool = False, clock: str = "yes") -> report.Run:
    def command(words: Sequence[str], error: str) -> str:
        if words[0] == "systemctl":
            return json.dumps([{"unit": "nginx.service", "load": "loaded"}])
        if words[0] == "systemd-detect-virt":
            if not container:
                raise StateError(error)
            return ""
        if not clock:
            raise StateError(error)
        return f"{clock}\n"

    return command


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mounts"
    path.write_text(
        f"/dev/a / ext4 rw 0 0\n/dev/a {tmp_path} ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/b /none xfs rw 0 0\n"
    )
    return path


def test_a_machine_tells_how_it_is(tmp_path: Path, mounts: Path) -> None:
    (tmp_path / "a.prom").write_text("a 1\n")
    found = report.look(machine(), tmp_path, mounts)
    assert (found["mesures"], found["unites"], found["illisibles"]) == (["a 1\n"], ["nginx.service"], [])
    [disk] = found["disques"]
    assert disk["point"] == "/" and 0 <= disk["plein"] <= 100


def test_files_that_are_none_are_left_out_and_told(tmp_path: Path, mounts: Path) -> None:
    (tmp_path / "a.prom").write_text("a 1\n")
    (tmp_path / "lien.prom").symlink_to("/etc/shadow")
    (tmp_path / "gros.prom").write_bytes(b"a" * (512 * 1024 + 1))
    (tmp_path / "octets.prom").write_bytes(b"\xff")
    os.mkfifo(tmp_path / "tube.prom")
    found = report.look(machine(), tmp_path, mounts)
    assert found["mesures"] == ["a 1\n"]
    assert found["illisibles"] == ["gros.prom", "lien.prom", "octets.prom", "tube.prom"]


def test_files_beyond_the_most_are_told(tmp_path: Path, mounts: Path) -> None:
    for number in range(42):
        (tmp_path / f"{number:02}.prom").write_text("a 1\n")
    found = report.look(machine(), tmp_path, mounts)
    assert (len(found["mesures"]), found["illisibles"]) == (40, ["40.prom", "41.prom"])


@pytest.mark.parametrize(
    ("container", "clock", "told"), [(False, "yes", True), (False, "no", False), (True, "no", None), (False, "", None)]
)
def test_its_clock_is_its_own_outside_a_container(
    tmp_path: Path, mounts: Path, container: bool, clock: str, told: bool | None
) -> None:
    assert report.look(machine(container, clock), tmp_path, mounts)["a_l_heure"] is told


# -- the same, left for Prometheus ----------------------------------------------------------------------------


def answers(**told: str | None) -> condition.Ask:
    """A machine whose programs say these words; the others fail."""
    return lambda words: told.get(words[0].replace("-", "_"))


def figures_of(tmp_path: Path, mounts: Path, **told: str | None) -> str:
    return condition.text(answers(**told), mounts, tmp_path / "redemarrage", tmp_path / "file", tmp_path / "nginx")


def test_a_machine_leaves_how_it_is_in_words_that_promtool_takes(tmp_path: Path, mounts: Path) -> None:
    for queue, count in (("deferred/A", 2), ("active", 1), ("saved", 4)):
        (tmp_path / "file" / queue).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "file" / queue / f"m{number}").touch()
    (tmp_path / "redemarrage").touch()
    hostile = json.dumps([{"unit": 'a"\\\n\x1b.service'}, {"unit": "b.service"}])
    text = figures_of(tmp_path, mounts, systemctl=hostile, timedatectl="no\n")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert "error" not in done.stderr, done.stderr
    found = {one.key: one.value for one in figures.parse(text)}
    assert found.pop("creatic_machine_disk_percent{point=/}") <= 100
    assert found.pop("creatic_machine_unit_failed{unite=b.service}") == 1
    assert len([key for key in found if "unit_failed" in key]) == 1
    assert {key: value for key, value in found.items() if "unit_failed" not in key} == {
        "creatic_machine_clock_synchronized{}": 0,
        "creatic_machine_restart_wanted{}": 1,
        "creatic_machine_mails_waiting{}": 3,
    }


def test_what_nothing_tells_is_left_out(tmp_path: Path, mounts: Path) -> None:
    text = figures_of(tmp_path, mounts, systemd_detect_virt="")
    assert {one.name for one in figures.parse(text)} == {
        "creatic_machine_disk_percent",
        "creatic_machine_restart_wanted",
    }
    many = json.dumps([{"unit": f"u{number}.service"} for number in range(500)])
    assert figures_of(tmp_path, mounts, systemctl=many).count("unit_failed{") == 50


def test_its_file_is_replaced_at_once_by_python_alone(tmp_path: Path) -> None:
    """As the machine runs it: the file by itself, in an isolated interpreter."""
    target = tmp_path / "machine.prom"
    target.write_text("old\n")
    old = target.stat().st_ino
    subprocess.run([sys.executable, "-I", condition.__file__, str(target)], check=True)
    assert target.stat().st_ino != old and "creatic_machine_restart_wanted" in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["machine.prom"]


# -- what its journal says was refused ------------------------------------------------------------------------


def journal(*lines: tuple[str, dict[str, Any]]) -> condition.Ask:
    """A journalctl that holds these messages, and looks for a pattern and for fields as the real one does."""

    def command(words: Sequence[str]) -> str | None:
        if words[0] != "journalctl":
            return None
        assert "--since=-24h" in words and any(one.startswith("--lines=") for one in words)
        [pattern] = [one.removeprefix("--grep=") for one in words if one.startswith("--grep=")]
        wanted: dict[str, set[str]] = {}
        for name, _, value in (one.partition("=") for one in words[1:] if not one.startswith("-")):
            wanted.setdefault(name, set()).add(value)
        found = [
            json.dumps({"MESSAGE": message, "_PID": fields["_PID"]})
            for message, fields in reversed(lines)
            if all(str(fields.get(name)) in values for name, values in wanted.items()) and re.search(pattern, message)
        ]
        return "\n".join(found) + "\n" if found else None  # it ends with 1 when there is none

    return command


def of_sshd(message: str, process: int, uid: int = 0) -> tuple[str, dict[str, Any]]:
    return message, {"_PID": str(process), "_UID": uid, "SYSLOG_IDENTIFIER": "sshd-session"}


def test_an_access_outside_its_time_is_told_with_its_account() -> None:
    """As sshd 10.0 says it."""
    said = journal(
        of_sshd("error: Certificate invalid: expired", 7),
        of_sshd("Connection closed by authenticating user auditeur 10.59.0.1 port 57890 [preauth]", 7),
        of_sshd("error: Certificate invalid: expired", 8),
        of_sshd("Failed publickey for auditeur from 10.59.0.1 port 57891 ssh2: ED25519-CERT SHA256:x", 8),
        of_sshd("error: Certificate invalid: not yet valid", 9),
        of_sshd("error: Authentication key ED25519-CERT SHA256:x revoked by file /etc/ssh/creatic/revoques.krl", 10),
        of_sshd("Connection closed by authenticating user prestataire 10.59.0.1 port 5 [preauth]", 10),
        of_sshd("error: Certificate invalid: expired", 11, uid=1000),  # logger, by another account
        of_sshd("Connection closed by authenticating user root 192.0.2.1 port 5 [preauth]", 12),  # of no certificate
    )
    assert condition.access_refused(said) == {
        ("auditeur", "certificat échu"): 2,
        ("compte inconnu", "certificat pas encore valable"): 1,
        ("prestataire", "certificat révoqué"): 1,
    }


def test_a_revoked_certificate_that_somebody_shows_is_told_with_its_holder() -> None:
    """As nginx 1.26 writes it with the format of role nginx_tls."""
    nginx = {"_SYSTEMD_UNIT": "nginx.service", "_PID": "5"}
    subject = r"""O=Mairie\\, d'Anor,CN=Pr\\C3\\A9nom \\\"x\\\"\\, Connecteur d'H\\C3\\A9rin"""
    said = journal(
        (f"certificat revoque 0A1B 10.59.2.20 ged.test {subject}", nginx),
        (f"certificat revoque 0A1B 10.59.2.20 ged.test {subject}", nginx),
        (r"certificat revoque 0A1C 10.59.2.21 ged.test CN=coup\u00", nginx),
        ("certificat revoque FF 10.59.2.21 ged.test CN=faux", {"_SYSTEMD_UNIT": "cron.service", "_PID": "6"}),
        ("refusé, 10.59.2.20 : certificate revoked", {"_SYSTEMD_UNIT": "journaux.service", "_PID": "7"}),
        ("refusé, 10.59.2.20 : certificate has expired", {"_SYSTEMD_UNIT": "journaux.service", "_PID": "7"}),
    )
    assert condition.revoked_shown(said) == {
        'Prénom "x", Connecteur d\'Hérin (n° 0A1B)': 2,
        "sans nom (n° 0A1C)": 1,
        "journaux depuis 10.59.2.20": 1,
    }


def test_nginx_writes_what_is_looked_for() -> None:
    """The format of role nginx_tls, filled as nginx would, is a line that counts."""
    template = Path(__file__).parents[3] / "roles/nginx_tls/templates/default.conf.j2"
    [form] = re.findall(r'log_format creatic_revoque escape=json "(.+)";', template.read_text(encoding="utf-8"))
    subject = {"ssl_client_serial": "0A1B", "remote_addr": "::1", "server_name": "a.test", "ssl_client_s_dn": "CN=Loos"}
    line = re.sub(r"\$(\w+)", lambda found: subject[found[1]], form)
    said = journal((line, {"_SYSTEMD_UNIT": "nginx.service", "_PID": "5"}))
    assert condition.revoked_shown(said) == {"Loos (n° 0A1B)": 1}


def test_what_the_archives_filter_refused_is_counted() -> None:
    """As sae_worm's middleware says it."""
    swift = {"_SYSTEMD_UNIT": "swift-proxy.service", "_PID": "5"}
    said = journal(
        ("WORM 403 DELETE /v1/AUTH_sae/aip/a (sae:versement, tx1): Cette archive est conservée.", swift),
        ("10.0.0.1 10.0.0.1 GET /v1/AUTH_sae/aip/a HTTP/1.0 200", swift),
    )
    assert condition.worm_refused(said) == 1
    assert condition.worm_refused(journal()) == 0


def test_what_the_journal_says_is_figures_that_the_morning_judges(tmp_path: Path, mounts: Path) -> None:
    hostile = '"CN=a\\"'
    said = journal(
        of_sshd("error: Certificate invalid: expired", 7),
        of_sshd(f"Failed publickey for {hostile} from 10.59.0.1 port 1 ssh2: ED25519-CERT", 7),
        ("WORM 409 PUT /v1/AUTH_sae/aip/a (-, tx1): non", {"_SYSTEMD_UNIT": "swift-proxy.service", "_PID": "5"}),
        ("refusé, 10.59.2.20 : certificate revoked", {"_SYSTEMD_UNIT": "journaux.service", "_PID": "7"}),
    )
    text = condition.text(said, mounts, tmp_path / "redemarrage", tmp_path / "file", tmp_path / "nginx")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert "error" not in done.stderr, done.stderr
    told = [
        (grave, words) for grave, words, _fix in figures.judge(figures.parse(text), {}, 0) if "depuis un jour" in words
    ]
    assert told == [
        (False, f"1 accès SSH hors de leur temps refusés depuis un jour : « {hostile} », « certificat échu »"),
        (True, "un certificat révoqué a été montré 1 fois depuis un jour : « journaux depuis 10.59.2.20 »"),
        (True, "1 demandes de changer ou d'effacer des archives refusées depuis un jour (WORM)"),
    ]


def test_a_journal_that_says_nonsense_keeps_no_other_figure() -> None:
    lines = ["{", '{"MESSAGE": null, "_PID": "1"}', "[]", '{"MESSAGE": [87, 79, 999]}', '{"_PID": "1"}']
    lines.append(json.dumps({"MESSAGE": [*b"WORM 403 PUT /v1/\xff"], "_PID": "1"}))
    assert condition.worm_refused(lambda _words: "\n".join(lines)) == 1


# -- how its pages answer -------------------------------------------------------------------------------------

REQUEST = '10.0.0.1 - {} [29/Nov/2026:13:{}:06 +0000] "{}" {} 7 "-" "curl/8.14.1"\n'
NOW = dt.datetime(2026, 11, 29, 13, 20, tzinfo=dt.UTC).timestamp()


def test_what_nginx_answered_in_a_quarter_of_an_hour_is_counted(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text(
        REQUEST.format("-", "01", "GET / HTTP/1.1", 502)
        + REQUEST.format("-", "11", "GET / HTTP/1.1", 200)
        + REQUEST.format("-", "12", "GET /x HTTP/1.1", 503)
        # What a client writes is escaped: neither its name nor its request passes for an answer.
        + REQUEST.format("a [29/Nov/2026:13:12:06 +0000] \\x22\\x22 500 ", "13", "GET / HTTP/1.1", 200)
        + REQUEST.format("-", "14", "\\x22 500 \\x22", 400)
        + "rien\n"
    )
    local = dt.datetime.fromtimestamp(NOW - 60).strftime("%Y/%m/%d %H:%M:%S")
    (tmp_path / "error.log").write_text(
        f"{local} [alert] 7#7: 64 worker_connections are not enough\n"
        f'{local} [error] 7#7: *1 open() failed, request: "GET /worker_connections are not enough HTTP/1.1"\n'
        "2020/01/01 00:00:00 [alert] 7#7: 64 worker_connections are not enough\n"
    )
    assert condition.pages(tmp_path, NOW) == {"asked": 4, "failed": 1, "saturated": 1}
    (tmp_path / "error.log").unlink()
    assert condition.pages(tmp_path, NOW + 86_400) == {"asked": 0, "failed": 0, "saturated": 0}
    assert condition.pages(tmp_path / "absent") is None


def test_only_the_end_of_a_big_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = REQUEST.format("-", "12", "GET / HTTP/1.1", 500)
    monkeypatch.setattr(condition, "_WEB_MAX", 10 * len(line) + 5)
    (tmp_path / "access.log").write_text(line * 1000)
    assert condition.pages(tmp_path, NOW) == {"asked": 10, "failed": 10, "saturated": 0}


def test_connections_of_the_pages_are_counted(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    table.write_text(
        "  sl  local_address rem_address   st\n"
        "   0: 00000000:01BB 00000000:0000 0A 0\n   1: 0100007F:01BB 0100007F:C350 01 0\n"
        "   2: 0100007F:C350 0100007F:01BB 01 0\n"
    )
    assert condition.connected([table, tmp_path / "tcp6"]) == 1
