"""The guide « Mettre en production », command by command, as far as the control node goes without a machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.control_node import REPO
from testbed.guide import GUIDE, PASSPHRASES, Technician, blocks

ROOT, ISSUING, ACCESS = (f"{phrase}\n" for phrase in PASSPHRASES)


@pytest.fixture
def technician(tmp_path: Path) -> Technician:
    return Technician(tmp_path)


@pytest.mark.costly
def test_a_new_technician_gets_as_far_as_the_machines(technician: Technician) -> None:
    copied, chosen = blocks("1")
    assert technician.types(copied).returncode == 0
    refused = technician.types("fab inventaire.controle")
    assert refused.returncode == 2 and "Aucun environnement n'est choisi" in refused.stdout
    settings = technician.clone / "inventories/cdg59/group_vars/all.yml"
    settings.write_text(settings.read_text().replace("creatic_env: example", "creatic_env: cdg59"))
    assert "Environnement : cdg59 (inventories/cdg59)" in technician.types(chosen).stdout
    [check] = blocks("2")
    told = technician.types(check)
    assert told.returncode == 1, told.stdout
    for lacking in ("id_ed25519 est introuvable", "known_hosts", "camille.pem", "loos-assemblees.p12"):
        assert lacking in told.stdout
    [keys] = blocks("3")
    assert technician.types(keys).returncode == 0
    state = technician.home / ".local/share/creatic/cdg59"
    [authority] = blocks("4")
    made = technician.types(authority, ROOT + ISSUING + ACCESS)
    assert "Autorité de certification : aucun défaut." in made.stdout, made.stdout
    assert (state / "pki/publie/racine.pem").is_file()
    assert {path.stat().st_mode & 0o777 for path in (state, state / "secrets", state / "pki")} == {0o700}
    assert "id_ed25519 est introuvable" not in made.stdout and "known_hosts" in made.stdout
    person = blocks("5")[1].splitlines()[0]
    given = technician.types(
        "read -rs CREATIC_PKI_EMETTRICE && export CREATIC_PKI_EMETTRICE\n" + person, "emettrice" * 4 + "\n"
    )
    assert "CN=Camille Delattre,OU=0002 285900015" in given.stdout, given.stdout
    assert "emettriceemettrice" not in made.stdout + given.stdout
    # What is left asks for machines and for other people's files.
    assert set(re.findall(r"^  - ([^ ,]+)", made.stdout, re.MULTILINE)) == {
        "group_vars/all.yml",
        "group_vars/parapheur.yml",
        "communes/loos.yml",
        "communes/wannehain.yml",
    }


def test_every_command_of_the_guide_is_one_that_fab_knows() -> None:
    listed = subprocess.run(
        [Path(sys.executable).parent / "fab", "--list"], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout
    known = set(re.findall(r"^  ([a-z.]+)(?: \(([a-z.]+)\))?", listed, re.MULTILINE))
    known = {name for names in known for name in names}
    written = set(re.findall(r"\bfab ([a-z]+(?:\.[a-z]+)?)", GUIDE.read_text(encoding="utf-8")))
    assert written and written <= known, written - known
    for playbook in re.findall(r"playbooks/[\w/]+\.yml", GUIDE.read_text(encoding="utf-8")):
        assert (REPO / playbook).is_file()
