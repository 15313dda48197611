"""One bad morning: what really breaks on the lab's machines becomes mails that name it, its machine and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest

from testbed.archive_gateway import Gateway
from testbed.control_node import HOME
from testbed.mail import relay
from testbed.patience import wait_for

from .conftest import on_host, ssh
from .test_access import granted

pytestmark = pytest.mark.alertes

RELAY = ("10.59.0.1", 2526)
SAID_S = 1200  # five minutes until a fault is told, a minute to gather, five to add to what was told


@dataclass(frozen=True)
class Cause:
    """What breaks, and what is told of it.

    Attributes:
        told: what the mail says.
        machine: whom it names.
        address: where it breaks.
        breaks, mends: scripts of root.
    """

    told: str
    machine: str
    address: str
    breaks: str
    mends: str


LOOKS = "systemctl start creatic-machine.service"  # five minutes sooner than its timer
DATES = "systemctl start creatic-certificats.service"
SHOWN = "/etc/creatic/pki/journaux/current"  # what the machine watches there; what it sends with is beside it


def certificate(machine: str, address: str, days: int) -> Cause:
    """A certificate that ends in some days, instead of the machine's own."""
    return Cause(f"certificat essai : {days - 1} jours", machine, address,
                 f"cd {SHOWN} && mv cert.pem essai.pem && openssl req -x509 -newkey ec -nodes -subj /CN=essai"
                 f" -pkeyopt ec_paramgen_curve:P-256 -days {days} -keyout /dev/null -out cert.pem && chmod 644 cert.pem"
                 f" && {DATES}",
                 f"cd {SHOWN} && mv essai.pem cert.pem && {DATES}")  # fmt: skip # what breaks, then what mends


CAUSES = (
    Cause("essai-alerte.service en échec", "gondecourt-connecteur", "10.59.2.20",
          f"systemd-run --quiet --unit=essai-alerte --property=Type=oneshot false; {LOOKS}",
          f"systemctl reset-failed essai-alerte.service; {LOOKS}"),
    Cause("le tiers de télétransmission ne répond pas", "gondecourt-connecteur", "10.59.0.10",
          "systemctl stop nginx.service", "systemctl start nginx.service"),
    Cause("la machine ne dit plus comment elle va", "tdt", "10.59.0.10",
          "systemctl stop creatic-machine.timer; touch -d -2hours /var/lib/creatic/metrics/machine.prom",
          f"systemctl start creatic-machine.timer; {LOOKS}"),
    Cause("https://ged.creatic.test ne répond plus", "documents", "10.59.0.40",
          "systemctl stop nginx.service", "systemctl start nginx.service"),
    Cause("disque /srv/essai plein à", "documents", "10.59.0.40",
          "mkdir -p /run/essai /srv/essai && mount -t tmpfs -o size=4m essai /run/essai && cd /run/essai"
          " && mkdir bas haut t && mount -t overlay -o lowerdir=bas,upperdir=haut,workdir=t essai /srv/essai"
          f" && head -c 3900k /dev/zero > /srv/essai/plein && {LOOKS}",
          f"umount /srv/essai; umount /run/essai; rmdir /run/essai /srv/essai; {LOOKS}"),
    certificate("documents", "10.59.0.40", 80),
    Cause("l'antivirus des versements ne répond pas", "versement", "10.59.0.30",
          "systemctl stop clamav-daemon.socket clamav-daemon.service",
          "systemctl start clamav-daemon.socket clamav-daemon.service"),
    Cause("signatures de l'antivirus vieilles de", "versement", "10.59.0.30",
          "touch -d -5days /var/lib/clamav/*", "touch /var/lib/clamav/*"),
    certificate("versement", "10.59.0.30", 50),
    Cause("1 services du nœud arrêtés", "sae2", "10.59.0.32",
          "systemctl stop swift-object-auditor.service", "systemctl start swift-object-auditor.service"),
    Cause("certificat passerelle illisible", "relais", "10.59.0.43",
          f"cd /etc/creatic/pki/passerelle/current && mv cert.pem essai.pem && echo rien > cert.pem && {DATES}",
          f"cd /etc/creatic/pki/passerelle/current && mv essai.pem cert.pem && {DATES}"),
    Cause("fichiers diffèrent de la référence", "relais", "10.59.0.43",
          "touch /usr/local/bin/essai && systemctl start --no-block aidecheck.service",
          "rm /usr/local/bin/essai && systemctl start --no-block aidecheck.service"),
    Cause("connexions à PostgreSQL prises à", "relais", "10.59.0.43",
          "systemd-run --quiet --unit=essai-connexions --uid=postgres sh -c"
          " \"export PGOPTIONS=-cclient_connection_check_interval=1000; for n in $(seq -s \" \" 24); do"
          " psql -qc \\\"select pg_sleep(1800)\\\" & done; wait\""
          f" && sleep 5 && {LOOKS}",
          f"systemctl stop essai-connexions.service; {LOOKS}"),
    Cause("des mesures de la machine sont illisibles", "seances", "10.59.0.42",
          "echo \"essai{ 1\" > /var/lib/creatic/metrics/essai.prom", "rm -f /var/lib/creatic/metrics/essai.prom"),
    Cause("PostgreSQL ne répond pas", "seances", "10.59.0.42",
          f"systemctl stop postgresql@17-main.service; {LOOKS}",
          f"systemctl start postgresql@17-main.service; {LOOKS}"),
    Cause("réponses en erreur (5xx) en un quart d'heure", "seances", "10.59.0.42",
          "systemctl stop plone.socket plone.service; for n in $(seq 30); do printf"
          " \"GET / HTTP/1.0\\r\\nHost: deliberations.creatic.test\\r\\n\\r\\n\" | openssl s_client -quiet -connect"
          f" 127.0.0.1:443 -servername deliberations.creatic.test >/dev/null 2>&1; done; {LOOKS}",
          "systemctl start plone.socket plone.service"),
    certificate("seances", "10.59.0.42", 20),
    Cause("un redémarrage est demandé par Debian", "signatures", "10.59.0.41",
          f"touch /run/reboot-required; {LOOKS}", f"rm -f /run/reboot-required; {LOOKS}"),
    Cause("ne va plus au dépôt de ses sauvegardes", "signatures", "10.59.0.41",
          "mv /var/lib/pgbackrest /var/lib/essai && cd / && runuser -u postgres -- psql -qc"
          f" \"select pg_switch_wal()\" && sleep 10 && {LOOKS}",
          f"mv /var/lib/essai /var/lib/pgbackrest; {LOOKS}"),
    Cause("dernière sauvegarde en échec", "avesnes-les-aubert-connecteur", "10.59.3.20",
          "ip route add unreachable 10.59.0.50 && systemctl start creatic-sauvegarde.service",
          "ip route del unreachable 10.59.0.50; systemctl start creatic-sauvegarde.service"),
)  # fmt: skip # what breaks beside what mends
CONNECTOR, NODES = "10.59.2.20", ("10.59.0.31", "10.59.0.32", "10.59.0.33")
# What the journals tell for a day: what the mail says, and which machines it may name.
HEARD = (
    ("accès SSH hors de leur temps refusés", "gondecourt-connecteur"),
    ("demandes de changer ou d'effacer des archives refusées", "sae[123]"),
)
# As the gateway itself would: the archive is to be kept for a day.
DELETES = """
import hashlib, io, time
from sae.store import ObjectRetainedError
data = b"alertes"
name = str(time.time())
said = {"size": len(data), "sha512": hashlib.sha512(data).hexdigest(), "retain_until": int(time.time()) + 86400}
store.put("sae", "alertes", name, io.BytesIO(data), **said)
try:
    store.delete("sae", "alertes", name)
    result = ""
except ObjectRetainedError as error:
    result = str(error)
"""


def text(mail: EmailMessage) -> str:
    """What a person reads of it."""
    body = mail.get_body(("plain",))
    assert body
    return str(body.get_content())


@pytest.fixture
def refused(tmp_path: Path) -> None:
    """An access after its time; an archive that somebody tries to delete."""
    late = granted(tmp_path, "auditeur", "--duree", "10s", "--profil", "tdt_connector")
    said = Gateway("10.59.0.30", "sae.creatic.test", HOME, ssh("10.59.0.30")).python(DELETES)
    assert said, "l'archive est supprimée"
    wait_for(lambda: "Permission denied" in late.run(CONNECTOR, "id").stdout, "la fin de l'accès", 60, every=2)
    for address in (CONNECTOR, *NODES):
        assert on_host(address, LOOKS).returncode == 0


@pytest.fixture
def broken(refused: None) -> Iterator[None]:
    """All of it broken at once, then mended, whatever was told of it."""
    try:
        for one in CAUSES:
            done = on_host(one.address, one.breaks)
            assert done.returncode == 0, (one, done.stdout, done.stderr)
        yield
    finally:
        mended = [(one, on_host(one.address, one.mends)) for one in CAUSES]
    assert all(done.returncode == 0 for _one, done in mended), mended


def test_each_cause_is_told_with_its_machine_and_what_to_do(broken: None) -> None:
    with relay(*RELAY) as (_address, _port, received):

        def missing() -> list[str]:
            blocks = [block for mail in received for block in text(mail).split("\n\n") if "À faire : " in block]
            return [
                told
                for told, machine in (*((one.told, one.machine) for one in CAUSES), *HEARD)
                if not any(told in block and re.search(rf"Machine : {machine} \(", block) for block in blocks)
            ]

        wait_for(lambda: not missing(), lambda: f"les courriels de {missing()}", SAID_S, every=5)
        # One mail tells of a commune or of the servers, never of both.
        for mail in received:
            told = text(mail)
            assert ("Machine : gondecourt-connecteur" in told) + ("Machine : documents" in told) <= 1, told
