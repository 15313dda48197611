"""The role's files with Debian's programs: an exporter that answers the supervision alone, alerts that become mails."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.template import trust_as_template
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from cryptography.hazmat.primitives import serialization

from creatic.check.flows import loaded, trusted, wired_templar
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.pki.registry import Owner
from creatic.pki.x509 import Settings
from creatic.supervision import alerts, targets
from testbed.mail import relay
from testbed.patience import allowed, wait_for

TOP = Path(__file__).parents[3]
SETTINGS = Settings("Groupement Cre@tic", "Cre@tic essai", "1.3.6.1.4.1.59999.59.1", "http://pki.creatic.test")
CONNECTOR, VEILLE = "gondecourt-connecteur", "veille"
GONDECOURT = {"slug": "gondecourt", "nom": "Gondecourt"}
GROUPS = {"all": [CONNECTOR, VEILLE], "tdt_connector": [CONNECTOR], "supervision": [VEILLE]}
HOSTVARS: dict[str, dict[str, Any]] = {
    CONNECTOR: {"ansible_host": "127.0.0.1", "creatic_profil": "tdt_connector", "creatic_commune": GONDECOURT},
    VEILLE: {"ansible_host": "127.0.0.1", "creatic_profil": "supervision"},
}
FIGURES = """\
# TYPE creatic_backup_last_run_good gauge
creatic_backup_last_run_good 0
# TYPE creatic_certificate_days_left gauge
creatic_certificate_days_left{nom="tdt",titulaire="Connecteur de Gondecourt"} 75
"""


def free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def rendered(role: str, template: str, **values: Any) -> str:
    """A template of a role, with its defaults and variables; what is undefined fails."""
    variables: dict[str, Any] = {"ansible_managed": "Ansible managed", "inventory_hostname": VEILLE}
    for kind in ("defaults", "vars"):
        variables |= trusted(loaded(TOP / "roles" / role / kind / "main.yml") or {})
    folder = TOP / "roles" / role / "templates"
    text = (folder / template).read_text(encoding="utf-8")
    text = re.sub(r"\{% include '(.+)' %\}", lambda found: (folder / found[1]).read_text(encoding="utf-8"), text)
    templar = wired_templar(variables | values)
    return str(templar.template(trust_as_template(text))) + "\n"


@dataclass
class Bench:
    """A folder that stands for /etc and /var, the authority's certificates in it."""

    root: Path
    authority: Authority
    ports: dict[str, int] = field(default_factory=lambda: {name: free() for name in ("machine", "watch", "send")})

    def certificate(self, name: str, profile: str, **fields: Any) -> None:
        request = Request.from_dict({"name": name, "profile": profile, "common_name": name, **fields})
        key = request.new_key()
        issued = self.authority.issue(request.csr(key), request, Owner(name, ""))
        place = self.root / "pki" / name / "current"
        place.mkdir(parents=True)
        published = self.authority.directory / "publie"
        chain = (published / "emettrice.pem").read_text()
        (place / "fullchain.pem").write_text(issued.pem + chain)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (place / "key.pem").write_bytes(secret)
        (self.root / "pki" / "ca.pem").write_text((published / "racine.pem").read_text())

    def write(self, name: str, text: str) -> Path:
        """A file whose paths and ports are those of the bench."""
        moved = text.replace("/etc/creatic/pki", f"{self.root}/pki").replace("/etc/creatic/supervision", str(self.root))
        for port, place in (("9100", "machine"), ("9090", "watch"), ("9093", "send")):
            moved = moved.replace(f":{port}", f":{self.ports[place]}")
        path = self.root / name
        path.write_text(moved, encoding="utf-8")
        return path

    def exporter(self) -> contextlib.AbstractContextManager[None]:
        (self.root / "metriques").mkdir()
        (self.root / "metriques" / "a.prom").write_text(FIGURES, encoding="utf-8")
        readers = targets.readers(GROUPS, HOSTVARS)
        web = self.write("metriques.yml", rendered("base", "metriques.yml.j2", base_metrics_readers=readers))
        return self.running(
            "machine",
            "prometheus-node-exporter",
            *options("base", "node-exporter.conf.j2"),
            f"--web.listen-address=127.0.0.1:{self.ports['machine']}",
            f"--web.config.file={web}",
            f"--collector.textfile.directory={self.root}/metriques",
        )

    @contextlib.contextmanager
    def running(self, place: str, *command: str) -> Iterator[None]:
        """A program, until it listens, and to the end of the test."""
        with (
            (self.root / f"{place}.log").open("w") as log,
            subprocess.Popen(command, stdout=log, stderr=log) as process,
        ):
            try:
                wait_for(lambda: self.listens(place) or process.poll() is not None, command[0], 60, every=0.1)
                assert process.poll() is None, (self.root / f"{place}.log").read_text()
                yield
            finally:
                process.terminate()

    def listens(self, place: str) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.ports[place])) == 0

    def asked(self, holder: str, name: str = CONNECTOR) -> int | str:
        """Status of the exporter's page for who shows this certificate; what TLS says of a refusal."""
        context = ssl.create_default_context(cafile=self.root / "pki" / "ca.pem")
        if holder:
            place = self.root / "pki" / holder / "current"
            context.load_cert_chain(place / "fullchain.pem", place / "key.pem")
        try:
            with socket.create_connection(("127.0.0.1", self.ports["machine"]), timeout=allowed(10)) as raw:
                stream = context.wrap_socket(raw, server_hostname=name)
                stream.sendall(f"GET /metrics HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
                answer = http.client.HTTPResponse(stream)
                answer.begin()
                return answer.status
        except (ssl.SSLError, http.client.HTTPException, ConnectionError) as error:
            return type(error).__name__


def options(role: str, template: str, **values: Any) -> list[str]:
    """What a unit gives its program, but for what the bench has elsewhere."""
    text = rendered(role, template, **values)
    started = text.replace("\\\n", " ").split("ExecStart=/usr/bin/")[1].splitlines()[0].split()[1:]
    elsewhere = ("--web.listen-address", "--web.config.file", "--config.file", "--storage.", "--collector.textfile.dir")
    return [word for word in started if not word.startswith(elsewhere)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    authority = Authority(tmp_path / "autorite", Passphrases(tmp_path / "autorite", generate=True))
    authority.ensure(SETTINGS)
    made = Bench(tmp_path, authority)
    made.certificate("metriques", "server", dns=[CONNECTOR])
    made.certificate("supervision", "supervision", dns=[VEILLE])
    made.certificate("autre", "supervision", dns=["autre"])
    made.certificate("tdt", "client", organization="Commune de Gondecourt", siren="215902669")
    return made


def test_a_machine_answers_its_supervision_alone(bench: Bench) -> None:
    with bench.exporter():
        assert bench.asked("supervision") == 200
        for holder in ("", "tdt", "metriques", "autre"):  # nobody, a connector, itself, another machine's name
            assert isinstance(bench.asked(holder), str), holder
        assert bench.asked("supervision", name=VEILLE) == "SSLCertVerificationError"  # and is known by its own
        with pytest.raises(urllib.error.HTTPError, match="400"):  # nothing in clear
            urllib.request.urlopen(f"http://127.0.0.1:{bench.ports['machine']}/metrics", timeout=allowed(10))


# -- the supervision ------------------------------------------------------------------------------------------


def quickened(text: str, *pairs: tuple[str, str]) -> str:
    """Seconds for minutes: no test waits so long."""
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    return text


def supervision(bench: Bench, port: int) -> dict[str, Any]:
    """The role's variables."""
    return {
        "supervision_name": VEILLE,
        "supervision_server_names": ["veille.example.org"],
        "supervision_scrapes": targets.scrapes(GROUPS, HOSTVARS),
        "supervision_senders": targets.senders(GROUPS, HOSTVARS),
        "supervision_environment": "essai",
        "supervision_mail_relay": "127.0.0.1",
        "supervision_mail_port": port,
        "supervision_mail_starttls": False,
        "supervision_mail_to": ["astreinte@cdg59.test", "dsi@cdg59.test"],
    }


def files(bench: Bench, port: int) -> None:
    values = supervision(bench, port)
    scrapes = targets.scrapes(GROUPS, HOSTVARS)
    scrapes["scrape_configs"] = [one for one in scrapes["scrape_configs"] if one["job_name"] == CONNECTOR]
    bench.write("machines.yml", yaml.safe_dump(scrapes, allow_unicode=True))
    bench.write(
        "regles.yml",
        quickened(
            yaml.safe_dump(alerts.rules_file(0), allow_unicode=True), ("keep_firing_for: 15m", "keep_firing_for: 10s")
        ),
    )
    often = (
        ("scrape_interval: 1m", "scrape_interval: 5s"),
        ("scrape_timeout: 20s", "scrape_timeout: 5s"),
        ("evaluation_interval: 1m", "evaluation_interval: 2s"),
    )
    bench.write("prometheus.yml", quickened(rendered("supervision", "prometheus.yml.j2", **values), *often))
    sent = quickened(
        rendered("supervision", "alertmanager.yml.j2", **values),
        ("group_wait: 1m", "group_wait: 3s"),
        ("group_interval: 5m", "group_interval: 3s"),
    )
    bench.write("alertmanager.yml", sent)
    bench.write("courriel.tmpl", (TOP / "roles/supervision/files/courriel.tmpl").read_text(encoding="utf-8"))


@contextlib.contextmanager
def watching(bench: Bench, port: int) -> Iterator[None]:
    files(bench, port)
    values = supervision(bench, port)
    with (
        bench.running(
            "send", "prometheus-alertmanager", *options("supervision", "alertmanager.conf.j2", **values),
            f"--config.file={bench.root}/alertmanager.yml", f"--storage.path={bench.root}/envois",
            f"--web.listen-address=127.0.0.1:{bench.ports['send']}",
        ),
        bench.running(
            "watch", "prometheus", *options("supervision", "prometheus.conf.j2", **values),
            f"--config.file={bench.root}/prometheus.yml", f"--storage.tsdb.path={bench.root}/mesures",
            f"--web.listen-address=127.0.0.1:{bench.ports['watch']}",
        ),
    ):  # fmt: skip # what is held, by line
        yield


def api(bench: Bench, place: str, path: str) -> Any:
    """What a program answers, once it is ready."""
    wait_for(lambda: ready(bench, place), f"{place} prêt", 60, every=0.2)
    with urllib.request.urlopen(f"http://127.0.0.1:{bench.ports[place]}{path}", timeout=allowed(20)) as answer:
        return json.load(answer)


def ready(bench: Bench, place: str) -> bool:
    with contextlib.suppress(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{bench.ports[place]}/-/ready", timeout=allowed(20))
        return True
    return False


def body(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part
    return str(part.get_content()).replace("\r\n", "\n")


def test_prometheus_and_alertmanager_take_the_files(bench: Bench) -> None:
    files(bench, 25)
    for command in (
        ["promtool", "check", "config", "prometheus.yml"],
        ["amtool", "check-config", "alertmanager.yml"],
        ["promtool", "check", "config", "machines.yml"],
    ):
        done = subprocess.run(command, cwd=bench.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.costly
def test_what_is_wrong_is_a_mail_in_french_by_commune_then_one_at_each_change(bench: Bench) -> None:
    with relay() as (_address, port, received), bench.exporter(), watching(bench, port):
        wait_for(lambda: len(received) >= 2, "deux courriels", 90, every=0.2)
        by_subject = {str(one["Subject"]): one for one in received}
        assert {*by_subject} == {"[essai] La supervision veille", "[essai] Gondecourt : 2 à traiter ou à surveiller"}
        mail = by_subject["[essai] Gondecourt : 2 à traiter ou à surveiller"]
        assert mail["From"] == "supervision@veille.example.org"
        assert mail["To"] == "astreinte@cdg59.test, dsi@cdg59.test"
        text = body(mail)
        assert text.index("À TRAITER : dernière sauvegarde en échec") < text.index("À surveiller : certificat")
        assert "certificat « Connecteur de Gondecourt » : 75 jours" in text
        assert (
            "  Machine : gondecourt-connecteur (tdt_connector)\n" in text and "  À faire : fab sauvegarde.etat" in text
        )
        assert "les alertes de la supervision arrivent" in body(by_subject["[essai] La supervision veille"])
        # Nothing changes: nothing more is said, whatever the number of looks.
        looks = "/api/v1/query?query=prometheus_rule_group_iterations_total"
        begun = count(api(bench, "watch", looks))
        wait_for(lambda: count(api(bench, "watch", looks)) >= begun + 8, "huit passages des règles", 60, every=0.5)
        assert len(received) == 2
        # The backup is good again: it is said once.
        (bench.root / "metriques" / "a.prom").write_text(FIGURES.replace("good 0", "good 1"), encoding="utf-8")
        wait_for(lambda: len(received) >= 3, "le courriel du changement", 90, every=0.2)
        assert str(received[2]["Subject"]) == "[essai] Gondecourt : 1 à traiter ou à surveiller"
        assert "N'EST PLUS SIGNALÉ" in body(received[2])
        assert "- dernière sauvegarde en échec, gondecourt-connecteur, depuis " in body(received[2])


def count(answer: Any) -> float:
    return sum(
        float(one["value"][1]) for one in answer["data"]["result"] if one["metric"]["rule_group"].endswith("alertes")
    )


@pytest.mark.costly
def test_mails_wait_for_their_relay_and_the_daily_one_is_dated(
    bench: Bench, tmp_path: Path, witness: Callable[[], float]
) -> None:
    port = free()
    with bench.exporter(), watching(bench, port):
        failed = "/api/v1/query?query=alertmanager_notifications_failed_total"
        wait_for(lambda: any(float(one["value"][1]) for one in api(bench, "watch", failed)["data"]["result"]),
                 "un envoi qui échoue", 120, every=0.5)  # fmt: skip # one call by its parts
        assert witness() == 0
        with relay(port=port) as (_address, _port, received):
            wait_for(lambda: len({str(one["Subject"]) for one in received}) == 2, "les deux courriels", 120, every=0.2)
            wait_for(lambda: witness() > 1_700_000_000, "la date du courriel témoin", 60, every=0.5)


@pytest.fixture
def witness(bench: Bench) -> Callable[[], float]:
    """Runs supervision-temoin as its unit does, and reads what it says."""

    def look() -> float:
        figures, state = bench.root / "supervision.prom", bench.root / "temoin.json"
        code = "import sys, runpy; main = runpy.run_path(sys.argv[1])['main']; from pathlib import Path; "
        code += "main(sys.argv[2] + '/metrics', Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5] + '/api/v1/rules', "
        code += "sys.argv[2] + '/api/v2/alerts')"
        url, asked = (f"http://127.0.0.1:{bench.ports[place]}" for place in ("send", "watch"))
        subprocess.run(["python3", "-I", "-c", code, str(TOP / "apps/journaux/src/temoin.py"), url, str(figures),
                        str(state), asked], check=True)  # fmt: skip # a list by rows
        [line] = [one for one in figures.read_text().splitlines() if one.startswith("supervision_temoin")]
        return float(line.split()[1])

    return look


def test_what_the_role_writes_is_what_was_made(bench: Bench) -> None:
    """Words of Go templates go through Ansible's as they are."""
    values = supervision(bench, 25) | {"ansible_managed": "Ansible managed", "supervision_guides": "guides"}
    variables: dict[str, Any] = {}
    for kind in ("defaults", "vars"):
        variables |= trusted(loaded(TOP / "roles" / "supervision" / kind / "main.yml"))
    templar = wired_templar(variables | values)
    made = {
        name: {one["path"].rpartition("/")[2]: one for one in templar.template(trust_as_template(f"{{{{ {name} }}}}"))}
        for name in ("__supervision_files", "__supervision_machines")
    }
    assert yaml.safe_load(made["__supervision_files"]["regles.yml"]["content"]) == alerts.rules_file(5)
    asked = made["__supervision_machines"]
    assert yaml.safe_load(asked["machines.yml"]["content"]) == targets.scrapes(GROUPS, HOSTVARS)
    assert json.loads(asked["journaux.json"]["content"]) == targets.senders(GROUPS, HOSTVARS)
    assert [*asked] == ["machines.yml", "journaux.json"]  # the control node said nothing: what is there stays
