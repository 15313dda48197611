"""What is kept of the drills: the last one of each machine, as figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.backup import drill as backup_drill
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import store as evidence_store
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.access import Access
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import Host
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.lab import Lab

from tests.unit.evidence.conftest import make_authority

TOP = Path(__file__).parents[3]


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
    backup_drill._publish(tmp_path)
    text = (tmp_path / "metriques" / "exercices.prom").read_text(encoding="utf-8")
    assert 'creatic_drill_good{client="mairie"} 1\n' in text
    assert 'creatic_drill_rpo_seconds{client="mairie"} 60\n' in text
    assert 'creatic_drill_rto_seconds{client="mairie"} 95\n' in text
    assert 'creatic_drill_good{client="poste-de-commande"} 0\n' in text
    assert 'creatic_drill_rpo_seconds{client="poste-de-commande"} -1\n' in text


def test_drills_are_sealed_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = make_authority(tmp_path / "autorite")
    monkeypatch.setattr(evidence_store, "seal_keys", lambda _home: keys)
    inventory = {"tdt_connector": {"hosts": ["mairie"]}, "_meta": {"hostvars": {}}}
    monkeypatch.setattr(backup_drill, "read_inventory", lambda *_: inventory)
    for name, done in (("_inventory", None), ("_restore", False), ("_destroy", None)):
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
    record = {
        "machine": "mairie", "profil": "tdt_connector", "reussi": False, "operateur": "essai", "cle": "séquestre",
        "raison": "", "essais": {"reussis": 0, "echoues": ["x"]}, "passage": "p", "rto_s": 3,
        "debut": "2026-11-26T01:00:00+00:00", "precedent": None,
        "restauration": {
            "archive": "s", "date": "2026-11-26T01:00:00+00:00", "fichiers": 1, "octets": 40_000, "secondes": 1.0,
            "du_futur": [], "bases": [],
            "refuses": {"nombre": 1, "dits": ["refusé : /etc/sudoers.d/<x> : hors de ce qui est déclaré"]},
        },
    }  # fmt: skip
    assert "refusé : /etc/sudoers.d/<x> : hors de ce qui est déclaré" in backup_drill.lines(record)
    page = backup_drill.page(record)
    assert "/etc/sudoers.d/&lt;x&gt;" in page and "<x>" not in page
    record["restauration"]["refuses"]["dits"] = ["\x1b[2Jfaux\nligne"]  # type: ignore[index]
    assert "?[2Jfaux?ligne" in backup_drill.lines(record)
    del record["restauration"]["refuses"]  # type: ignore[attr-defined] # one of an earlier version
    assert "refusé" not in "".join([*backup_drill.lines(record), backup_drill.page(record)])


def test_the_machine_of_a_drill_has_no_right_on_the_control_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plays = yaml.safe_load((TOP / "playbooks" / "journeys" / "restore_drill.yml").read_text(encoding="utf-8"))
    [machine] = [
        task["cdg59.creatic.lab"] for play in plays for task in play.get("tasks", []) if "cdg59.creatic.lab" in task
    ]
    assert [one["apart"] for one in machine["hosts"]] == [True]
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
