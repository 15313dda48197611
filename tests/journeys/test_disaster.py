"""Everything is lost but the backup server and the holders' keys: the control node comes back, then a connector."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.archive_room import lab
from testbed.control_node import HOME, command

from .conftest import on_host, wait_for_return

SERVER, NAME, ADDRESS = "creatic-sauvegarde", "gondecourt-connecteur", "10.59.2.20"
CONTROL = "poste-de-commande"
AWAITED = "/etc/creatic/connecteur-journal-attendu"
KEPT = "cd /var/lib/tdt-connector && find acquittes -type f | sort | xargs sha256sum"
JOURNAL = (
    'runuser -u tdt-connector -- python3 -c "import sqlite3; print(sqlite3.connect('
    '\\"file:/var/lib/tdt-connector/etat/journal.sqlite?mode=ro\\", uri=True)'
    '.execute(\\"SELECT ref, etat, idacte FROM depot ORDER BY ref\\").fetchall())"'
)
pytestmark = pytest.mark.disaster


def done(*arguments: str) -> str:
    """Output of a tool that succeeds."""
    ran = command(*arguments)
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def console(*argv: str) -> str:
    """At the console of the backup server: nobody comes in by SSH any more."""
    return lab("exec", SERVER, *argv)


def recover(fingerprint: str, *arguments: str) -> str:
    """fab sauvegarde.reprendre."""
    return done("fab", "sauvegarde.reprendre", "--empreinte", fingerprint, *arguments)


def unsealed(sealed: Path, holder: Path) -> Path:
    """What one holder takes out of a seal, with what he alone has."""
    phrase = sealed.with_suffix(".phrase")
    done("openssl", "cms", "-decrypt", "-inform", "PEM", "-in", str(sealed), "-out", str(phrase),
         "-recip", f"{holder}.pem", "-inkey", f"{holder}.cle")  # fmt: skip # one call by its parts
    return phrase


@pytest.fixture
def holders(ready: str, tmp_path: Path) -> Path:
    """The holders' keys, which no machine of the groupement has."""
    place = tmp_path / "titulaires"
    done("cp", "-r", str(HOME / "titulaires"), str(place))
    return place


@pytest.fixture
def lost(holders: Path) -> Iterator[dict[str, str]]:
    """What was there, saved, then lost; put back should the test fail."""
    # Nothing of the connector is younger than its backup: what comes back is then the same, to the byte.
    units = "tdt-connector.service tdt-connector-versement.path tdt-connector-versement.timer"
    stop = f"systemctl stop {units} tdt-connector-versement.service"
    assert on_host(ADDRESS, stop).returncode == 0
    assert on_host(ADDRESS, "creatic-sauvegarde faire").returncode == 0
    done("fab", "sauvegarde.faire")
    before = {"certificats": done("fab", "pki.registre"), "actes": on_host(ADDRESS, KEPT).stdout}
    before["journal"] = on_host(ADDRESS, JOURNAL).stdout
    assert "acquitte" in before["journal"], before["journal"]
    aside = HOME.with_name("perdu")
    HOME.rename(aside)
    lab("rm", "--force", "--time", "2", f"creatic-{NAME}")
    yield before
    if not (HOME / "pki").exists():
        command("rm", "-rf", str(HOME))
        aside.rename(HOME)
    else:  # what is no machine's to lose
        done("cp", *map(str, holders.glob("*.cle")), str(HOME / "titulaires"))
    command("rm", "-rf", str(aside))


def test_a_control_node_and_a_connector_come_back(lost: dict[str, str], holders: Path, tmp_path: Path) -> None:
    # The control node, from the console of the backup server and one holder.
    told = console("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub").split()[1]
    refused = command("fab", "sauvegarde.reprendre", "--empreinte", "SHA256:autre")
    assert refused.returncode != 0
    assert f"montre l'empreinte {told}" in refused.stdout
    shown = re.search(r"creatic-depots ouvrir poste-de-commande --cle '([^']+)'", recover(told))
    assert shown
    console("creatic-depots", "ouvrir", CONTROL, "--cle", shown[1])
    sealed = tmp_path / "poste.p7m"
    sealed.write_text(console("cat", f"/srv/sauvegardes/{CONTROL}/sequestre.p7m"), encoding="ascii")
    output = recover(told, "--phrase", str(unsealed(sealed, holders / "camille")))
    assert "son autorité se vérifie" in output
    assert done("fab", "pki.registre") == lost["certificats"]
    done("fab", "preuves.verifier")
    again = command("fab", "sauvegarde.reprendre", "--empreinte", told)
    assert again.returncode != 0
    assert "rien n'est restauré par-dessus" in again.stdout

    # The connector, on a new machine of the same name.
    done("fab", "banc.demarrer")
    wait_for_return(ADDRESS)  # the network remembers the lost one for a while
    done("fab", "machine.appliquer", NAME, "--restaurer")
    # Without its journal it sends nothing, by its service or by hand, a restart included.
    idle = on_host(ADDRESS, "systemctl restart tdt-connector; systemctl is-active tdt-connector; tdt-connector status")
    assert "inactive" in idle.stdout and "le journal n'est plus là" in idle.stdout
    assert on_host(ADDRESS, f"test -e {AWAITED}").returncode == 0
    phrase = unsealed(HOME / "sauvegardes" / NAME / "sequestre.p7m", holders / "dominique").read_text().strip()
    assert on_host(ADDRESS, f"umask 077; echo {phrase} > /etc/creatic/sauvegarde/phrase").returncode == 0
    key = on_host(ADDRESS, "cat /etc/creatic/sauvegarde/cle.pub").stdout.strip()
    console("creatic-depots", "ouvrir", NAME, "--cle", key)
    restored = on_host(ADDRESS, "creatic-sauvegarde restaurer")
    assert restored.returncode == 0, restored.stdout
    assert on_host(ADDRESS, KEPT).stdout == lost["actes"]
    assert on_host(ADDRESS, JOURNAL).stdout == lost["journal"]

    # Both work, and back up again into the repositories that they had.
    done("fab", "machine.appliquer", NAME)
    assert on_host(ADDRESS, f"systemctl is-active tdt-connector && test ! -e {AWAITED}").returncode == 0
    done("fab", "sauvegarde.inscrire")
    done("fab", "commune.deployer", "gondecourt")
    saved = on_host(ADDRESS, "creatic-sauvegarde faire")
    assert saved.returncode == 0, saved.stdout
    done("fab", "sauvegarde.faire")
    assert len(on_host(ADDRESS, "creatic-sauvegarde liste").stdout.splitlines()) > 1
    console("creatic-depots", "surveiller")
    # Backups are good again; drills that other journeys had fail may still be told.
    told = command("fab", "sauvegarde.etat").stdout
    states = [line.rstrip() for line in told.splitlines() if re.match(r" *\S+ +\d\d/\d\d/\d{4} ", line)]
    assert len(states) > 2 and all(line.endswith(("bonne", "exercice en échec")) for line in states), told
