"""From the commune's connector to the archive room and back: acquitted acts are archived by themselves."""

from __future__ import annotations

import pytest

from .conftest import command, on_host

GONDECOURT, AVESNES, VERSEMENT = "10.59.2.20", "10.59.3.20", "10.59.0.30"
ACTS = "/var/lib/tdt-connector/acquittes"
pytestmark = pytest.mark.usefixtures("ready")


def shown(address: str, script: str) -> str:
    """Output of a script that succeeds on a host."""
    done = on_host(address, script)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_an_archive_that_is_away_is_waited_for() -> None:
    shown(GONDECOURT, f"rm -f {ACTS}/*/versement.xml")  # of the timer, which may have passed
    shown(VERSEMENT, "systemctl stop nginx")
    try:
        shown(GONDECOURT, "systemctl start tdt-connector-versement.service")  # no failure: status 75
        assert on_host(GONDECOURT, f"ls {ACTS}/*/versement.xml").returncode != 0
    finally:
        shown(VERSEMENT, "systemctl start nginx")


def test_an_acquitted_act_is_archived_by_itself() -> None:
    assert shown(GONDECOURT, "systemctl is-active tdt-connector-versement.timer").strip() == "active"
    shown(GONDECOURT, "systemctl start tdt-connector-versement.service")
    acts = shown(GONDECOURT, f"ls -d {ACTS}/*/ARActe.xml").split()
    answers = shown(GONDECOURT, f"grep -l ReplyCode.OK {ACTS}/*/versement.xml").split()
    assert len(answers) == len(acts) >= 1


def test_it_comes_back_byte_for_byte() -> None:
    done = command("fab", "archive.acte", "gondecourt")
    assert done.returncode == 0, done.stdout
    assert "ARActe.xml" in done.stdout and "identique" in done.stdout and "DIFFÉRENT" not in done.stdout
    # The judge does judge: an act altered on the commune's disk is told from the archive's.
    act = shown(GONDECOURT, f"ls -td {ACTS}/*/ | head -1").strip()
    shown(GONDECOURT, f"cp -p {act}ARActe.xml /root/avant && echo >> {act}ARActe.xml")
    try:
        changed = command("fab", "archive.acte", "gondecourt")
    finally:
        shown(GONDECOURT, f"cp -p /root/avant {act}ARActe.xml")
    assert changed.returncode != 0 and "ARActe.xml" in changed.stdout and "DIFFÉRENT" in changed.stdout


def test_the_room_says_that_it_is_whole() -> None:
    told = command("fab", "archive.status")
    assert told.returncode == 0, told.stdout
    assert all(name in told.stdout for name in ("sae1", "sae2", "sae3")), told.stdout


def test_a_commune_without_the_service_is_left_alone() -> None:
    assert on_host(AVESNES, "systemctl cat tdt-connector-versement.timer").returncode != 0
    assert on_host(AVESNES, "grep archivage /etc/tdt-connector/config.yml").returncode == 1
    assert "tdt_connector-archive" not in shown(AVESNES, "nft list table inet creatic")
    told = on_host(AVESNES, "tdt-connector verser --tous")
    assert told.returncode == 1 and "n'est pas configuré" in told.stdout
