"""What is kept of the drills: the last one of each machine, as figures."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.access import Access
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import Host
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.lab import Lab

from creatic.backup import drill as backup_drill
from creatic.evidence import store as evidence_store
from creatic.registry import listing
from tests.unit.evidence.conftest import make_authority

TOP = Path(__file__).parents[3]


def inventory() -> dict[str, Any]:
    """As ``ansible-inventory --list`` gives it: a connector, and the machine of drills."""
    command = {backup_drill.RENEWAL: ["/usr/local/sbin/exercice-a-neuf", "--vite"]}
    hostvars = {
        "mairie": {"ansible_host": "10.0.0.1", "creatic_tdt_url": "https://tdt", "ansible_port": 2222},
        "banc": {"ansible_host": "10.0.0.9", "ansible_user": "root", "creatic_niveau": "minimal", **command},
    }
    return {"tdt_connector": {"hosts": ["mairie"]}, "exercice": {"hosts": ["banc"]}, "_meta": {"hostvars": hostvars}}


def drilled(home: Path, name: str, machine: str, good: bool) -> None:
    folder = home / "exercices" / name
    folder.mkdir(parents=True)
    record = {"machine": machine, "reussi": good, "debut": "2026-11-26T01:00:00+00:00", "rto_s": 95}
    (folder / backup_drill.RESULTS).write_text(json.dumps(record | ({"rpo_s": 60} if good else {})), encoding="utf-8")


def test_the_figures_are_those_of_the_last_drill_of_each_machine(tmp_path: Path) -> None:
    drilled(tmp_path, "2026-11-25T010000Z", "mairie", False)
    drilled(tmp_path, "2026-11-26T010000Z", "mairie", True)
    drilled(tmp_path, "2026-11-26T020000Z", backup_drill.CONTROL, False)
    drilled(tmp_path, ".en-cours-2026-11-26T030000Z", "mairie", False)
    backup_drill._publish_metrics(tmp_path)
    text = (tmp_path / "metriques" / "exercices.prom").read_text(encoding="utf-8")
    assert 'creatic_drill_good{client="mairie"} 1\n' in text
    assert 'creatic_drill_rpo_seconds{client="mairie"} 60\n' in text
    assert 'creatic_drill_rto_seconds{client="mairie"} 95\n' in text
    assert 'creatic_drill_good{client="poste-de-commande"} 0\n' in text
    assert 'creatic_drill_rpo_seconds{client="poste-de-commande"} -1\n' in text


def test_drills_are_sealed_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = make_authority(tmp_path / "autorite")
    monkeypatch.setattr(evidence_store, "seal_keys", lambda _home: keys)
    monkeypatch.setattr(backup_drill, "read_inventory", lambda *_: inventory())
    for name, done in (("_write_inventory", None), ("_restore_machine", False), ("_reset_machine", "")):
        monkeypatch.setattr(backup_drill.Drill, name, lambda *_, done=done: done)
    home = tmp_path / "etat"
    (home / "sauvegardes" / "mairie").mkdir(parents=True)
    (home / "sauvegardes" / "mairie" / "inscrit").touch()
    (home / "exercices" / ".en-cours-2026-11-24T080000Z").mkdir(parents=True)  # of a drill that was cut off
    order = backup_drill.Order(tmp_path, tmp_path, home, "tdt_connector")
    made = [backup_drill.prepare(order, "moi@poste").perform() for _ in range(2)]
    assert [unsealed for _, _, unsealed in made] == ["", ""]
    assert made[1][0]["precedent"]["passage"] == made[0][1].name
    assert sorted(path.name for path in (home / "exercices").glob("*/")) == sorted(one.name for _, one, _ in made)
    assert all(one.intact for one in evidence_store.verify_home(home, keys.root).values())
    assert "Restauration en échec" in (made[0][1] / backup_drill.PAGE).read_text(encoding="utf-8")


def test_what_a_restoration_refused_is_in_its_evidence() -> None:
    record: dict[str, Any] = {
        "machine": "mairie", "profil": "tdt_connector", "reussi": False, "operateur": "essai", "cle": "séquestre",
        "raison": "", "essais": {"reussis": 0, "echoues": ["x"]}, "passage": "p", "rto_s": 3,
        "debut": "2026-11-26T01:00:00+00:00", "precedent": None,
        "restauration": {
            "archive": "s", "date": "2026-11-26T01:00:00+00:00", "fichiers": 1, "octets": 40_000, "secondes": 1.0,
            "du_futur": [], "bases": [],
            "refuses": {"nombre": 1, "dits": ["refusé : /etc/sudoers.d/<x> : hors de ce qui est déclaré"]},
        },
    }  # fmt: skip # a table
    assert "refusé : /etc/sudoers.d/<x> : hors de ce qui est déclaré" in backup_drill.lines(record)
    page = backup_drill.page(record)
    assert "/etc/sudoers.d/&lt;x&gt;" in page and "<x>" not in page
    record["restauration"]["refuses"]["dits"] = ["\x1b[2Jfaux\nligne"]
    assert "?[2Jfaux?ligne" in backup_drill.lines(record)
    del record["restauration"]["refuses"]  # one of an earlier version
    assert "refusé" not in "".join([*backup_drill.lines(record), backup_drill.page(record)])


def saved(home: Path) -> Path:
    """A control node's state whose backup server knows the connector."""
    (home / "sauvegardes" / "mairie").mkdir(parents=True)
    (home / "sauvegardes" / "mairie" / "inscrit").touch()
    return home


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda found: found.pop("exercice"), "servers.yml ne nomme aucune machine d'exercice"),
        (lambda found: found["exercice"].pop("hosts"), "écrivez une machine nue, réservée aux exercices"),
        (lambda found: found["_meta"]["hostvars"]["banc"].pop(backup_drill.RENEWAL), "mot par mot"),
        (lambda found: found["_meta"]["hostvars"]["banc"].update({backup_drill.RENEWAL: "a b"}), "mot par mot"),
        (lambda found: found["_meta"]["hostvars"]["banc"].pop("ansible_host"), "banc, ansible_host : champ absent"),
        (lambda found: found["_meta"]["hostvars"]["banc"].update(ansible_host="10.0.0.1"), "banc est aussi mairie"),
        (lambda found: found["_meta"]["hostvars"]["banc"].update(ansible_host="Mairie"), "banc est aussi mairie"),
        (lambda found: found["_meta"]["hostvars"]["banc"].update(ansible_host="localhost"), "banc est aussi le poste"),
        (lambda found: found["_meta"]["hostvars"]["banc"].update(ansible_host="127.0.1.1"), "banc est aussi le poste"),
        (lambda found: found["tdt_connector"]["hosts"].append("banc"), "banc est aussi tdt_connector"),
    ],
)
def test_without_a_machine_of_its_own_a_drill_is_refused_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[dict[str, Any]], object], said: str
) -> None:
    found = inventory()
    spoil(found)
    monkeypatch.setattr(backup_drill, "read_inventory", lambda *_: found)
    monkeypatch.setattr(backup_drill.subprocess, "run", lambda *_: pytest.fail("something was run"))
    home = saved(tmp_path / "etat")
    order = backup_drill.Order(tmp_path, tmp_path / "production", home, "tdt_connector")
    with pytest.raises(backup_drill.DrillError, match=re.escape(said)) as refused:
        backup_drill.prepare(order, "moi@poste")
    assert f"{tmp_path}/production/servers.yml" in str(refused.value) and "À faire : " in str(refused.value)
    assert [path.name for path in home.iterdir()] == ["sauvegardes"]


def test_the_control_node_s_drill_needs_no_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_drill, "read_inventory", lambda *_: {"_meta": {"hostvars": {}}})
    home = tmp_path / "etat"
    (home / "sauvegardes" / backup_drill.CONTROL).mkdir(parents=True)
    (home / "sauvegardes" / backup_drill.CONTROL / "inscrit").touch()
    order = backup_drill.Order(tmp_path, tmp_path, home, backup_drill.CONTROL)
    assert backup_drill.prepare(order, "moi@poste").machine == backup_drill.CONTROL


class Played:
    """A drill whose playbooks are told, not run: the machine is taken, and restored."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, bare: bool = True) -> None:
        keys = make_authority(tmp_path / "autorite")
        monkeypatch.setattr(evidence_store, "seal_keys", lambda _home: keys)
        monkeypatch.setattr(backup_drill, "read_inventory", lambda *_: inventory())
        source = tmp_path / "production"
        source.mkdir()
        (source / "servers.yml").touch()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.interrupted = False

        def play(drill: backup_drill.Drill, folder: Path, playbook: str, mine: dict[str, str], *_: str) -> bool:
            hosts = yaml.safe_load((folder / "zz_exercice.yml").read_text(encoding="utf-8"))
            assert hosts == {"all": {"children": {"tdt_connector": {"hosts": {backup_drill.MACHINE: {}}}}}}
            self.told.append((playbook, mine))
            if playbook == "drill_machine.yml":
                return bare
            self.host = json.loads((folder / "host_vars" / f"{backup_drill.MACHINE}.json").read_text(encoding="utf-8"))
            (drill.scratch / "prise").touch()
            if self.interrupted:
                raise KeyboardInterrupt
            return True

        monkeypatch.setattr(backup_drill.Drill, "_run_playbook", play)
        monkeypatch.setattr(backup_drill.Drill, "_test_machine", lambda *_: None)
        monkeypatch.setattr(backup_drill, "tests", lambda _report: {"reussis": 3, "echoues": []})
        self.home = saved(tmp_path / "etat")
        self.order = backup_drill.Order(tmp_path, source, self.home, "tdt_connector")

    def perform(self) -> dict[str, Any]:
        return backup_drill.prepare(self.order, "moi@poste").perform()[0]


def test_a_backup_is_put_back_on_the_machine_that_the_inventory_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Played(tmp_path, monkeypatch)
    record = played.perform()
    assert (record["machine"], record["sur"], record["reussi"], record["raison"]) == ("mairie", "banc", True, "")
    assert played.host == {  # what the connector is, reached as the machine of drills is
        "creatic_tdt_url": "https://tdt",
        "ansible_host": "10.0.0.9",
        "ansible_user": "root",
        "backup_client_name": "mairie",
        "creatic_supervision": [],
        "creatic_journaux": [],
        "backup_client_account": "sauvegarde-lecture",
    }
    restored, renewed = played.told
    assert restored[1]["firewall_rules"] == backup_drill.CLOSED["firewall_rules"]
    assert renewed == ("drill_machine.yml", {"drill_moment": "apres"})


def test_data_that_stay_on_the_machine_fail_the_drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Played(tmp_path, monkeypatch, bare=False).perform()
    assert record["reussi"] is False
    assert "banc n'a pas été remise à neuf et tient encore les données de mairie" in record["raison"]


def test_an_interrupted_drill_leaves_no_data_and_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(tmp_path, monkeypatch)
    played.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        played.perform()
    assert [playbook for playbook, _ in played.told] == ["restore_drill.yml", "drill_machine.yml"]
    assert not list(played.home.glob("exercices/*/poste"))
    played.interrupted = False
    assert played.perform()["reussi"] is True
    assert len(list(played.home.glob("exercices/2*/"))) == 1


def test_nothing_is_made_bare_that_was_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(tmp_path, monkeypatch)
    monkeypatch.setattr(backup_drill.Drill, "_restore_machine", lambda *_: False)
    assert played.perform()["reussi"] is False
    assert played.told == []


def test_the_machine_of_a_drill_has_no_right_on_the_control_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plays = yaml.safe_load((TOP / "playbooks" / "lab" / "exercice.yml").read_text(encoding="utf-8"))
    assert [one["apart"] for play in plays for one in play["vars"]["exercice_machine"]] == [True]
    made = [task["cdg59.creatic.lab"] for play in plays for task in play["tasks"] if "cdg59.creatic.lab" in task]
    assert [one["hosts"] for one in made] == ["{{ exercice_machine }}"] * 2
    asked: list[str] = []
    monkeypatch.setattr(Ground, "podman", lambda _self, *arguments, **_options: asked.extend(arguments))
    machines = Lab("10.59.0.0/16", [], "creatic", tmp_path).machines
    monkeypatch.setattr(Access, "owner", "essai")
    machines.create(Host("exercice", "10.59.8.10", apart=True), "image", "recette")
    outside = [one.partition("=")[2].split(":") for one in asked if one.startswith(("--uidmap", "--gidmap"))]
    assert len(outside) == 2
    for inner, outer, count in outside:
        assert (inner, count) == ("0", "65536")
        assert int(outer) >= 1_000_000_000  # accounts of this computer, its dynamic ones included, end far below
    assert not {"--privileged", "--pid=host", "--network=host", "--userns=host"} & set(asked)
    assert not any(one.startswith(("--volume", "--mount", "--device")) for one in asked)
    asked.clear()
    machines.create(Host("mairie", "10.59.8.11"), "image", "recette")
    assert not any(one.startswith("--uidmap") for one in asked)


def test_ansible_takes_the_inventory_of_a_drill_and_evaluates_no_text_of_a_commune(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables of the machine that it stands for have templates of group_vars, and texts of its commune's file."""
    monkeypatch.setenv("CREATIC_HOME", str(tmp_path / "etat"))
    source = tmp_path / "production"
    shutil.copytree(TOP / "inventories/example", source)
    (source / "host_vars").mkdir()
    (source / "host_vars/loos-connecteur.yml").write_text('vu: "{{ 6 * 7 }}"\n', encoding="utf-8")
    drill = backup_drill.Drill.__new__(backup_drill.Drill)
    drill.order = backup_drill.Order(TOP, source, saved(tmp_path / "etat"), "tdt_connector")
    drill.scratch, drill.host, drill.machine = tmp_path / "essai", "loos-connecteur", "exercice1"
    drill.hostvars = backup_drill.read_inventory(TOP, source)["_meta"]["hostvars"]
    told = drill.hostvars[drill.host]["creatic_commune"]
    assert isinstance(told["nom"], listing.Text)
    told["nom"] = listing.Text("{{ 7 * 7 }}")
    folder = drill._write_inventory()
    asked = "{{ [creatic_commune.nom, vu, creatic_pki_dir, ansible_host] | to_json }}"
    done = subprocess.run(
        ["ansible", "-i", folder, backup_drill.MACHINE, "-m", "ansible.builtin.debug", "-a", f"msg={asked}"],
        cwd=TOP,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(done.stdout.partition("=> ")[2])["msg"]
    found = json.loads(shown) if isinstance(shown, str) else shown
    assert found[:2] == ["{{ 7 * 7 }}", 42] and found[2].startswith(str(tmp_path))
    assert found[3] == "10.159.0.60"
