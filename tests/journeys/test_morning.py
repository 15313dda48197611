"""What the lab's machines tell in the morning, and what is told of one where a service broke."""

from __future__ import annotations

from testbed.control_node import HOME, command

from .conftest import on_host

SUPERVISION = "10.59.0.70"
GONDECOURT, UNIT = "10.59.2.20", "essai-du-matin.service"


def test_what_broke_in_the_night_is_told_with_its_commune() -> None:
    on_host(GONDECOURT, f"systemd-run --quiet --unit={UNIT} --property=Type=oneshot false")
    try:
        told = command("fab", "matin")
    finally:
        on_host(GONDECOURT, f"systemctl reset-failed {UNIT}")
    [line] = [one for one in told.stdout.splitlines() if UNIT in one]
    assert told.returncode == 1 and "À TRAITER" in line and "Gondecourt gondecourt-connecteur" in line, told.stdout
    page = (HOME / "matin" / "index.html").read_text(encoding="utf-8")
    assert UNIT in page and "sans réponse" not in told.stdout, told.stdout
    # The supervision shows it, to who has a certificate of the groupement's people.
    shown = on_host(SUPERVISION, "runuser -u www-data -- cat /var/lib/supervision/matin/courant/index.html")
    assert UNIT in shown.stdout, shown.stdout


def test_once_mended_it_is_told_no_more() -> None:
    told = command("fab", "matin")
    assert UNIT not in told.stdout and "sans réponse" not in told.stdout, told.stdout
