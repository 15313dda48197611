"""The door as Ansible reaches it, and what a PC's program reads."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from creatic_enrolement.store import Store
from cryptography import x509

from creatic.backup import drill
from creatic.fleet.signing import FleetError
from creatic.pki.authority import Authority
from creatic.pki.keys import Passphrases
from creatic.postes import settings
from creatic.postes.door import Door
from creatic.postes.enrolment import EnrolmentError
from creatic.postes.places import places
from creatic.registry import groupement
from tests.unit.postes.test_enrolment import SETTINGS

TOP = Path(__file__).parents[3]
EXAMPLE = TOP / "inventories/example"


def local_door(folder: Path, door: Path) -> tuple[Path, dict[str, Any]]:
    """Programs with which a door is on this machine, where its account is nobody; and its host's variables."""
    programs = folder / "bin"
    programs.mkdir()
    call = "from creatic_enrolement.cli import main; import sys; sys.exit(main())"
    paths = os.pathsep.join(path for path in sys.path if path)
    (programs / "runuser").write_text(
        f'#!/bin/sh\nshift 4\nPYTHONPATH={paths} exec {sys.executable} -c "{call}" --dossier {door} "$@"\n'
    )
    (programs / "runuser").chmod(0o755)
    own = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    return programs, own


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Door, Path]:
    """A door, asked by the real Ansible."""
    folder, inventory = tmp_path / "porte", tmp_path / "inventaire"
    folder.mkdir()
    inventory.mkdir()
    programs, own = local_door(tmp_path, folder)
    monkeypatch.setenv("PATH", f"{programs}:{TOP / '.venv/bin'}:{os.environ['PATH']}")
    hosts = {"all": {"children": {"guichet": {"hosts": {"porte": own}}}}}
    (inventory / "servers.yml").write_text(json.dumps(hosts))
    return Door(TOP, inventory), folder


def test_ansible_carries_tokens_requests_and_answers_as_they_are(door: tuple[Door, Path]) -> None:
    reached, folder = door
    holder = {"titulaire": "Service « État civil » {{ 7 * 7 }} d’Haÿ", "organisation": 'Mairie "x" $(id)'}
    end = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).replace(microsecond=0)
    token: dict[str, Any] = {"empreinte": "0" * 64, "poste": "loos-pc", "nom": "pc", "fin": end.isoformat()}
    token |= {"certificats": {"etat-civil": holder | {"siren": "215903600"}}}
    reached.publish({"jetons": [token], "finis": []})
    told = reached.statement(0)
    assert told["jetons"] == [token] and told == reached.statement(5) | {"maintenant": told["maintenant"]}
    assert Store(folder).statement(0, dt.datetime.now(dt.UTC))["jetons"] == [token]
    reached.answer({"reponses": []})
    with pytest.raises(FleetError, match="envoi illisible"):
        reached.publish({"jetons": [token | {"empreinte": "x"}], "finis": []})


def test_a_door_that_is_not_there_says_what_to_do(door: tuple[Door, Path]) -> None:
    reached, folder = door
    (folder.parent / "bin/runuser").write_text("#!/bin/sh\necho runuser: user enrolement does not exist >&2; exit 1\n")
    with pytest.raises(FleetError, match="À faire : fab serveurs guichet"):
        reached.statement(0)


@pytest.fixture(scope="module")
def inventory() -> dict[str, Any]:
    return drill.read_inventory(TOP, EXAMPLE)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("pki") / "pki"
    made = Authority(folder, Passphrases(folder, generate=True))
    made.ensure(SETTINGS)
    return made


def test_a_pc_is_told_its_groupement_and_its_certificates(inventory: dict[str, Any], authority: Authority) -> None:
    communes = groupement.load(EXAMPLE)
    known = places(communes)
    every = [host for one in communes for host in one.pcs()]
    windows = {host.name for host in every if host.variables["creatic_poste"]["systeme"] == "windows"}
    assert {host.name for host in every} - {*inventory["_meta"]["hostvars"]} == {"bouvines-pc-accueil"}  # not Ansible's
    for name, place in known.items():
        told = json.loads(settings.text(settings.describe_pc(name, communes, inventory, authority), ("A" * 52, _END)))
        assert (told["poste"], told["nom"], told["jeton"]) == (name, place.computer, "A" * 52)
        assert place.computer == (name.removeprefix(f"{place.commune}-") if name in windows else name)
        assert (
            told["jeton_fin"] == "2026-12-16T09:00:00Z"
            and told["enrolement"] == "https://enrolement.guichet.example.org"
        )
        assert told["tdt"] == "https://tdt.example.org" and told["sites"] == ["https://parapheur.example.org"]
        issued = {one["nom"]: one for one in told["certificats"] if one["source"] == "groupement"}
        assert {*issued} == {*place.requests}
        for slug, request in place.requests.items():
            assert (issued[slug]["titulaire"], issued[slug]["siren"]) == (request.common_name, request.siren)
        roots = [x509.load_pem_x509_certificate(one.encode()) for one in told["racines"]]
        assert len(told["autorites"]) == 1
        for one in told["autorites"]:
            x509.load_pem_x509_certificate(one.encode()).verify_directly_issued_by(roots[0])
    assert any(place.requests for place in known.values())


_END = dt.datetime(2026, 12, 16, 9, 0, tzinfo=dt.UTC)


def test_a_token_of_hardware_is_named(inventory: dict[str, Any], authority: Authority) -> None:
    told = settings.describe_pc("loos-pc-direction", groupement.load(EXAMPLE), inventory, authority)
    [one] = told["certificats"]
    assert (one["source"], one["jeton"], one["usage"]) == ("jeton", "loos-direction", "signature")
    assert one["bibliotheque"].startswith("/usr/lib/")


def test_who_is_no_pc_has_no_settings(inventory: dict[str, Any], authority: Authority) -> None:
    with pytest.raises(EnrolmentError, match="n'est pas un poste"):
        settings.describe_pc("loos-connecteur", groupement.load(EXAMPLE), inventory, authority)


def test_an_authority_of_the_tdt_that_is_not_there_is_named(inventory: dict[str, Any], authority: Authority) -> None:
    variables, name = inventory["_meta"]["hostvars"], "loos-pc-direction"
    changed = variables | {name: variables[name] | {"commune_pc_tdt_authorities": ["/x"]}}
    with pytest.raises(EnrolmentError, match="commune_pc_tdt_authorities : /x"):
        settings.describe_pc(name, groupement.load(EXAMPLE), {**inventory, "_meta": {"hostvars": changed}}, authority)
