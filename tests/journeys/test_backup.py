"""Backups proven: a drill, a client that turns on its own backups, what is refused meanwhile, and the way back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from creatic.evidence import store as evidence_store
from creatic.evidence.seal import verify
from testbed.control_node import HOME, command

from .conftest import differences, on_host, state_of

SERVER, CLIENT, NAME = "10.59.0.50", "10.59.2.20", "gondecourt-connecteur"
MACHINE = "10.59.8.10"
CONTROL = "poste-de-commande"
SEGMENTS = f"cd /srv/sauvegardes/{NAME}/depot && find data -type f | sort | xargs sha256sum"
# Where a drill would show on the machine whose backup it restores.
WORK = ("/etc/", "/usr/", "/var/lib/tdt-connector", ".service")
# As root of a compromised client: everything that borg lets its key do.
CRIME = (
    "BORG_BASE_DIR=/root/attaque BORG_DELETE_I_KNOW_WHAT_I_AM_DOING=YES BORG_RELOCATED_REPO_ACCESS_IS_OK=yes "
    'BORG_PASSCOMMAND="cat /etc/creatic/sauvegarde/phrase" BORG_RSH="ssh -F /etc/creatic/sauvegarde/ssh_config" '
    f'borg delete -a "*" ssh://sauvegarde@{SERVER}:22/srv/sauvegardes/{NAME}/depot; rm -rf /root/attaque'
)


@pytest.fixture(scope="module", autouse=True)
def fresh(ready: str) -> Iterator[None]:
    """A fresh backup of a connector that the rollout made."""
    assert on_host(CLIENT, "creatic-sauvegarde faire").returncode == 0
    told = on_host(SERVER, f"cat /srv/sauvegardes/{NAME}/parole/besoins.json").stdout  # or no quarter would ever go
    assert json.loads(told) == {"depots": {}, "sans_copie": 0}, told
    yield
    on_host(SERVER, f"creatic-depots revenir {NAME}; creatic-depots rouvrir {NAME}")


def drill(*arguments: str) -> tuple[int, str, dict[str, object]]:
    """fab sauvegarde.exercice; gives its status, its output and the evidence."""
    done = command("fab", "sauvegarde.exercice", *arguments)
    found = re.search(r"Preuve : (\S+)/rapport.html", done.stdout)
    assert found, done.stdout
    folder = HOME / "exercices" / found[1].rpartition("/")[2]
    result = verify(folder, evidence_store.seal_keys(HOME).root)
    assert result.intact, result.faults
    return done.returncode, done.stdout, json.loads((folder / "exercice.json").read_text(encoding="utf-8"))


def unsealed(folder: Path, name: str, holder: str) -> Path:
    """The passphrase of a backup as one holder alone takes it out of its seal, without what made it."""
    phrase, keys = folder / f"phrase-{name}", HOME / "titulaires"
    sealed = HOME / "sauvegardes" / name / "sequestre.p7m"
    mine = ("-recip", str(keys / f"{holder}.pem"), "-inkey", str(keys / f"{holder}.cle"))
    done = command("openssl", "cms", "-decrypt", "-inform", "PEM", "-in", str(sealed), *mine, "-out", str(phrase))
    assert done.returncode == 0, done.stdout
    return phrase


def test_a_machine_that_holds_what_no_drill_brought_is_left_alone() -> None:
    made = command("ansible-playbook", "playbooks/lab/exercice.yml")
    assert made.returncode == 0, made.stdout
    assert on_host(MACHINE, "mkdir /srv/compta && touch /srv/compta/2026").returncode == 0
    status, output, record = drill("tdt_connector", "--hote", NAME)
    assert status == 1
    assert "exercice1 (10.59.8.10) n'est pas nue, rien n'y est fait : /srv/compta. À faire : " in str(record["raison"])
    assert "La production n'a pas été touchée" in output
    # The next drill takes it: as if one had been killed there.
    assert on_host(MACHINE, "test -f /srv/compta/2026 && touch /etc/creatic-exercice").returncode == 0


@pytest.mark.drills
def test_a_drill_restores_from_the_escrow_proves_and_touches_nothing(tmp_path: Path) -> None:
    phrase = unsealed(tmp_path, NAME, "dominique")
    production, repository = state_of(CLIENT), on_host(SERVER, SEGMENTS).stdout
    certificates = command("fab", "pki.registre").stdout
    status, output, record = drill("tdt_connector", "--hote", NAME, "--phrase", str(phrase))
    assert status == 0, output
    assert phrase.read_text(encoding="ascii").strip() not in output
    assert (record["reussi"], record["sur"]) == (True, "exercice1")
    assert isinstance(record["rpo_s"], int) and isinstance(record["rto_s"], int)
    assert record["rpo_s"] < 900 and record["rto_s"] < 900
    assert "/var/lib/tdt-connector/etat/journal.sqlite" in str(record["restauration"])
    assert on_host(SERVER, SEGMENTS).stdout == repository
    changed = differences(production, state_of(CLIENT))
    assert [name for name in changed if any(place in name for place in WORK)] == []
    assert command("fab", "pki.registre").stdout == certificates
    assert "exercice" not in command("fab", "banc.etat").stdout
    page = next(iter(sorted(HOME.glob("exercices/2*/rapport.html"), reverse=True))).read_text(encoding="utf-8")
    assert "Sauvegarde restaurée" in page


def test_a_compromised_client_is_contained_refused_in_drills_and_rolled_back() -> None:
    before = on_host(CLIENT, "creatic-sauvegarde liste").stdout.splitlines()
    assert on_host(CLIENT, CRIME).returncode == 0
    assert on_host(CLIENT, "creatic-sauvegarde liste").stdout.splitlines() == []
    assert on_host(SERVER, "creatic-depots surveiller").returncode == 1
    assert "le serveur a gelé le dépôt" in on_host(CLIENT, "creatic-sauvegarde faire").stdout
    shown = command("fab", "sauvegarde.etat")
    assert shown.returncode != 0
    frozen = on_host(SERVER, SEGMENTS).stdout
    status, output, record = drill("tdt_connector", "--hote", NAME)
    assert status == 1
    assert "La production n'a pas été touchée" in output
    assert record["reussi"] is False
    assert "dépôt gelé" in str(record["raison"])
    assert on_host(SERVER, SEGMENTS).stdout == frozen
    back = command("fab", "sauvegarde.revenir", NAME, "--rouvrir")
    assert back.returncode == 0, back.stdout
    after = on_host(CLIENT, "creatic-sauvegarde liste").stdout.splitlines()
    assert after[:-1] == before
    assert len(after) == len(before) + 1
    told = command("fab", "sauvegarde.etat")  # nothing is wrong any more, but that it was not proven since
    assert told.returncode == 1
    assert "dernier exercice en échec" in told.stdout and "gelée" not in told.stdout


def test_the_control_node_comes_back_from_the_escrow_and_opens(tmp_path: Path) -> None:
    phrase = unsealed(tmp_path, CONTROL, "camille")
    saved = command("fab", "sauvegarde.faire")
    assert saved.returncode == 0, saved.stdout
    status, output, record = drill(CONTROL, "--phrase", str(phrase))
    assert status == 0, output
    assert phrase.read_text(encoding="ascii").strip() not in output
    assert record["reussi"] is True
    assert "/pki/registre.sqlite" in str(record["restauration"])
    assert record["essais"] == {"reussis": 9, "echoues": []}
    assert list((HOME / "exercices").glob("*/poste")) == [], "the restored secrets are left"


def test_a_wrong_passphrase_is_told_and_the_failed_drill_is_evidence(tmp_path: Path) -> None:
    wrong = tmp_path / "phrase"
    wrong.write_text("pas celle du dépôt\n", encoding="utf-8")
    status, output, record = drill(CONTROL, "--phrase", str(wrong))
    assert status == 1
    assert record["reussi"] is False
    assert "la phrase secrète n'est pas celle du dépôt" in str(record["raison"])
    assert "La production n'a pas été touchée" in output
