"""Another version of an application that holds data: no step forward without a backup, and a way back."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.host import locked_venv, versions
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError
from ansible_collections.cdg59.creatic.plugins.modules import locked_venv as module

NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
OLD, NEW = "0123456789abcdef", "fedcba9876543210"
ROLES = Path(__file__).parents[3] / "roles"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An application in use."""
    (tmp_path / "opt" / OLD).mkdir(parents=True)
    (tmp_path / "opt" / OLD / locked_venv.DONE).touch()
    (tmp_path / "opt" / versions.CURRENT).symlink_to(tmp_path / "opt" / OLD)
    return tmp_path / "opt"


def backed_up(system: Path, hours: float) -> None:
    """The last good backup is so old."""
    (system / "etc/creatic/sauvegarde").mkdir(parents=True, exist_ok=True)
    (system / "etc/creatic/sauvegarde/config.json").touch()
    (system / "var/lib/creatic-sauvegarde").mkdir(parents=True, exist_ok=True)
    told = {"derniere_bonne": {"le": int(NOW.timestamp() - hours * 3600), "octets": 1_500_000}}
    (system / "var/lib/creatic-sauvegarde/derniere.json").write_text(json.dumps(told))


def test_a_first_installation_and_the_same_version_are_no_change(root: Path, tmp_path: Path) -> None:
    assert versions.before(root, NEW) == OLD
    assert versions.before(root, OLD) == ""
    assert versions.before(tmp_path / "ailleurs", NEW) == ""
    (root / OLD / locked_venv.DONE).unlink()
    assert versions.before(root, NEW) == "", "what was never whole is no way back"


def test_what_the_way_back_needs_is_kept_once_a_recent_backup_is_there(root: Path, tmp_path: Path) -> None:
    backed_up(tmp_path, 0.5)
    versions.leave(root, OLD, NEW, NOW, tmp_path)
    told = json.loads((root / versions.BACK).read_text(encoding="utf-8"))
    assert (told["avant"], told["apres"], told["moment"]) == (OLD, NEW, "2026-11-28T12:00:00+00:00")


@pytest.mark.parametrize("hours", [None, 4, 400])
def test_without_a_recent_backup_the_new_version_is_refused(root: Path, tmp_path: Path, hours: int | None) -> None:
    if hours:
        backed_up(tmp_path, hours)
    with pytest.raises(StateError, match=r"^nouvelle version refusée, rien n'est changé : .* À faire : "):
        versions.leave(root, OLD, NEW, NOW, tmp_path)
    assert not (root / versions.BACK).exists()


def test_a_backup_that_fails_refuses_the_new_version() -> None:
    def run(command: Sequence[str], error: str) -> str:
        raise StateError(f"{error} : le dépôt est gelé")

    with pytest.raises(StateError, match=r"rien n'est changé : .*le dépôt est gelé\. À faire : sur la machine, sudo"):
        versions.save(run)


class Asked:
    """The module as the action plugin calls it; notes what is done, in order."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.done = root, list[str]()
        monkeypatch.setattr(versions, "save", lambda: self.done.append("sauvegarde"))
        monkeypatch.setattr(versions, "leave", lambda *_arguments: self.done.append("retour"))
        monkeypatch.setattr(locked_venv, "install", lambda *_arguments: self.done.append("installation"))

    def call(self, name: str, bundle: str = "", *, data: bool = True, check: bool = False) -> dict[str, Any]:
        params = {"root": str(self.root), "name": name, "bundle": bundle or None, "holds_data": data}
        return module._install_venv(SimpleNamespace(params=params, check_mode=check))


def test_the_backup_comes_before_the_new_version_and_the_old_one_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(root, monkeypatch)
    assert asked.call(NEW)["wants_bundle"]
    assert asked.done == ["sauvegarde"], "before the control node makes anything"
    asked.call(NEW, "/tmp/bundle.tar")
    assert asked.done == ["sauvegarde", "retour", "installation"]
    assert (root / OLD).is_dir()


def test_going_back_is_a_change_too_and_needs_no_bundle(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(root, monkeypatch)
    (root / NEW).mkdir()
    (root / NEW / locked_venv.DONE).touch()
    assert not asked.call(NEW)["wants_bundle"]
    assert asked.done == ["sauvegarde", "retour"]


def test_what_changes_nothing_asks_for_no_backup(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(root, monkeypatch)
    asked.call(OLD)
    asked.call(NEW, check=True)
    asked.call(NEW, data=False)
    assert asked.done == []


def test_every_role_with_a_database_says_that_it_holds_data() -> None:
    """And no other: what changes no database asks for no backup."""
    found = {}
    for file in ROLES.glob("*/tasks/*.yml"):
        for task in yaml.safe_load(file.read_text(encoding="utf-8")) or ():
            if "cdg59.creatic.locked_venv" in task:
                found[file.parents[1].name] = task["cdg59.creatic.locked_venv"].get("holds_data", False)
    saved = {name for name in found if "    postgresql: [" in (ROLES / name / "vars" / "main.yml").read_text("utf-8")}
    assert {name for name, holds in found.items() if holds} == saved
    assert saved == {"mayan", "plone", "passerelle"}
