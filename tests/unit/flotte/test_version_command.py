"""fab version.passer: shown first, backed up, then step after step; what failed stops what follows, and is taken up."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from invoke import Context, Exit

from creatic.cli import common, exploitation
from creatic.evidence import store
from creatic.fleet import upgrade

from .test_upgrade import commit, git

SERVERS = {"sae1": "archive_node", "documents": "ged", "relais": "passerelle", "sauvegarde": "backup_server"}


class Site:
    """Servers as a command reaches them: each call is noted; those that are named fail."""

    def __init__(self, home: Path, code: str) -> None:
        self.code = code
        self.home, self.calls, self.failing, self.unknown = home, list[str](), set[str](), set[str]()
        self.unsaved = set[str]()
        self.room: list[dict[str, str]] = []
        self.clock = 0

    def _next(self) -> int:
        self.clock += 1
        return self.clock

    def playbook(self, _context: Context, name: str, *arguments: str, **_options: Any) -> bool:
        given = json.loads(arguments[-1])
        names = [one["__ansible_unsafe"] for one in given["checkpoint_machines"]]
        self.calls.append(f"{name} {' '.join(names)}")
        told = {one: f"Sauvegarde {one}-1 : 1 fichiers" for one in names}
        Path(given["checkpoint_file"]["__ansible_unsafe"]).write_text(json.dumps(told))
        return not self.unsaved & {*names}

    def depots(self, _context: Context) -> list[dict[str, Any]]:
        clean = {"derniere": f"{self._next():03d}", "suspect": "", "gele": False, "verification": {}}
        return [{"client": one, **clean} for one in (*SERVERS, "poste-de-commande") if one not in self.unknown]

    def deploy(self, _context: Context, wanted: list[str]) -> bool:
        self.calls.append(f"deploy {' '.join(wanted)}")
        run = self.home / "serveurs" / f"2026-12-02T0000{self._next():02d}Z"
        run.mkdir(parents=True)
        told = [{"nom": one, "pret": one not in self.failing, "secondes": {"deploiement": 1}} for one in wanted]
        store.write_json(run / store.SERVERS, {"fin": run.name, "code": self.code, "machines": told})
        return not self.failing & {*wanted}

    def archive_room(self, _context: Context) -> dict[str, Any]:
        self.calls.append("room")
        return {"defauts": self.room}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    top = tmp_path / "clone"
    top.mkdir()
    git(top, "init", "-q")
    made = Site(tmp_path / "etat", commit(top, **{"CHANGELOG.md": "# Changes\n"}))
    made.home.mkdir()
    monkeypatch.setattr(exploitation, "TOP", top)
    chosen = SimpleNamespace(home=lambda: made.home, folder=Path("inventaire"), lab=True, name="essai")
    for name, one in {"chosen": lambda: chosen, "checked": lambda _slugs: None, "known_communes": list,
                      "must_have": lambda _profile: None, "playbook": made.playbook,
                      "archive_room": made.archive_room}.items():  # fmt: skip # a table
        monkeypatch.setattr(common, name, one)
    monkeypatch.setattr(exploitation.needs, "servers", lambda *_: SERVERS)

    def saved(_context: Context) -> str:
        return "Sauvegarde poste-1 : 3 fichiers"

    doubles = {"_save_control_node": saved, "_backup_repositories": made.depots, "_deploy_servers": made.deploy}
    for name, one in doubles.items():
        monkeypatch.setattr(exploitation, name, one)
    return made


def passed(**options: bool) -> None:
    exploitation.version_pass.body(Context(), **options)


def test_without_its_option_it_shows_and_changes_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    passed()
    told = capsys.readouterr().out
    assert site.calls == [] and not (site.home / "versions").exists()
    assert all(name in told for name in SERVERS) and "Rien n'est changé." in told


def test_it_backs_up_then_goes_step_by_step_and_says_the_way_back(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    passed(oui=True)
    steps = ["room", "deploy sae1", "room", "deploy documents", "deploy relais", "deploy sauvegarde"]
    assert site.calls == ["journeys/checkpoint.yml documents relais", *steps]
    assert "documents : était à inconnue, sauvegarde documents-1" in capsys.readouterr().out
    site.calls.clear()
    passed(oui=True)
    assert site.calls == [] and "Tous les serveurs sont à la version " in capsys.readouterr().out


def test_what_fails_stops_what_follows_and_the_next_run_goes_on(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.failing = {"documents"}
    with pytest.raises(Exit, match=r"^Étape 2 : tous ses serveurs ne sont pas prêts"):
        passed(oui=True)
    assert site.calls[-1] == "deploy documents" and "sauvegarde documents-1" in capsys.readouterr().out
    site.calls.clear()
    site.failing = set()
    passed()
    assert "documents : était à inconnue, sauvegarde documents-1" in capsys.readouterr().out
    passed(oui=True)
    # What was begun keeps its backup of before; the room is done.
    assert site.calls == [
        "journeys/checkpoint.yml relais", "deploy documents", "deploy relais", "deploy sauvegarde",
    ]  # fmt: skip # one call a word
    assert "documents-1" in json.dumps(upgrade.last(site.home))


def test_without_a_good_backup_nothing_is_changed(site: Site) -> None:
    site.unsaved = {"relais"}
    with pytest.raises(Exit, match="Un serveur n'est pas sauvegardé"):
        passed(oui=True)
    site.unsaved, site.unknown = set(), {"relais"}
    with pytest.raises(Exit, match=r"(?s)rien n'est changé de plus :\n- relais : le serveur de sauvegarde ne la"):
        passed(oui=True)
    assert not [one for one in site.calls if one.startswith("deploy")]


def test_the_room_is_waited_for_and_what_it_keeps_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "ROOM_S", 0.0)
    site.room = [{"node": "sae1", "reason": "horloge fausse"}]
    with pytest.raises(Exit, match="sae1 : horloge fausse"):
        passed(oui=True)
    assert not [one for one in site.calls if one.startswith("deploy")]
