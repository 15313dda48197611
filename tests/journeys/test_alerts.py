"""One bad morning: what really breaks on the lab's machines becomes mails that name it, its machine and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage

import pytest

from testbed.mail import relay
from testbed.patience import wait_for

from .conftest import on_host

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
CAUSES = (
    Cause("essai-alerte.service en échec", "gondecourt-connecteur", "10.59.2.20",
          f"systemd-run --quiet --unit=essai-alerte --property=Type=oneshot false; {LOOKS}",
          f"systemctl reset-failed essai-alerte.service; {LOOKS}"),
    Cause("le tiers de télétransmission ne répond pas", "gondecourt-connecteur", "10.59.0.10",
          "systemctl stop nginx.service", "systemctl start nginx.service"),
    Cause("https://ged.creatic.test ne répond plus", "documents", "10.59.0.40",
          "systemctl stop nginx.service", "systemctl start nginx.service"),
    Cause("l'antivirus des versements ne répond pas", "versement", "10.59.0.30",
          "systemctl stop clamav-daemon.socket clamav-daemon.service",
          "systemctl start clamav-daemon.socket clamav-daemon.service"),
    Cause("1 services du nœud arrêtés", "sae2", "10.59.0.32",
          "systemctl stop swift-object-auditor.service", "systemctl start swift-object-auditor.service"),
    Cause("certificat passerelle illisible", "relais", "10.59.0.43",
          "cd /etc/creatic/pki/passerelle/current && mv cert.pem essai.pem && echo rien > cert.pem"
          " && systemctl start creatic-certificats.service",
          "cd /etc/creatic/pki/passerelle/current && mv essai.pem cert.pem"
          " && systemctl start creatic-certificats.service"),
    Cause("des mesures de la machine sont illisibles", "seances", "10.59.0.42",
          "echo \"essai{ 1\" > /var/lib/creatic/metrics/essai.prom", "rm -f /var/lib/creatic/metrics/essai.prom"),
    Cause("un redémarrage est demandé par Debian", "signatures", "10.59.0.41",
          f"touch /run/reboot-required; {LOOKS}", f"rm -f /run/reboot-required; {LOOKS}"),
)  # fmt: skip # what breaks beside what mends


def text(mail: EmailMessage) -> str:
    """What a person reads of it."""
    body = mail.get_body(("plain",))
    assert body
    return str(body.get_content())


@pytest.fixture
def broken() -> Iterator[None]:
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
            mails = [text(mail) for mail in received]
            return [
                one.told
                for one in CAUSES
                if not any(
                    f"Machine : {one.machine} (" in block and "À faire : " in block
                    for mail in mails
                    for block in mail.split("\n\n")
                    if one.told in block
                )
            ]

        wait_for(lambda: not missing(), lambda: f"les courriels de {missing()}", SAID_S, every=5)
        # One mail tells of a commune or of the servers, never of both.
        for mail in received:
            told = text(mail)
            assert ("Machine : gondecourt-connecteur" in told) + ("Machine : documents" in told) <= 1, told
