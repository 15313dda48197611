"""From one version to the next: what is where, what may not go back, what comes, and what to go back to."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from creatic.evidence import store
from creatic.fleet import upgrade
from creatic.fleet.upgrade import Clone, Machine, UpgradeError
from creatic.registry import profiles

TOP = Path(__file__).parents[3]
SERVERS = {
    "sauvegarde": "backup_server",
    "relais": "passerelle",
    "documents": "ged",
    "versement": "archive_gateway",
    "sae2": "archive_node",
    "sae1": "archive_node",
}
OLD = "# Changes\n\n## 1.0.0\n\n### Avant de passer\n- Une ancienne\n  consigne.\n\n### Changed\n- Rien.\n"
NEW = OLD.replace(
    "## 1.0.0", "## 1.1.0\n\n### Avant de passer\n- Retirez X.\n\n### Une fois passé\n- `fab y`.\n\n## 1.0.0"
)


def git(top: Path, *words: str) -> str:
    who = ("-c", "user.name=Essai", "-c", "user.email=essai@example.org")
    return subprocess.run(["git", *who, *words], cwd=top, capture_output=True, text=True, check=True).stdout.strip()


def commit(top: Path, **files: str) -> str:
    """Commit files; gives the code as records say it."""
    for name, text in files.items():
        (top / name).write_text(text, encoding="utf-8")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "Change", "--allow-empty")
    return f"commit {git(top, 'rev-parse', 'HEAD')}"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    place = tmp_path / "clone"
    place.mkdir()
    git(place, "init", "-q", "-b", "main")
    return place


@pytest.fixture
def ran(tmp_path: Path) -> Callable[..., None]:
    """Writes what a run of ``fab serveurs`` leaves; of each machine, whether it is ready; None: nothing was done."""

    def make(code: str, restriction: str = "", seconds: float = 60, **machines: bool | None) -> None:
        base = tmp_path / "serveurs"
        number = len(list(base.glob("*/")))
        told = [
            {"nom": name, "pret": bool(ready), "secondes": {} if ready is None else {"deploiement": seconds}}
            for name, ready in machines.items()
        ]
        facts = {"fin": f"2026-12-0{number + 1}", "code": code, "restriction": restriction, "machines": told}
        store.write_json(_folder(base / f"2026-12-0{number + 1}T000000Z") / store.SERVERS, facts)

    return make


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_a_server_has_the_version_of_the_last_run_that_proved_it_and_met_that_of_the_last_that_changed_it(
    tmp_path: Path, ran: Callable[..., None]
) -> None:
    ran("commit a", relais=True, documents=True, sae1=True, disparue=True)
    ran("commit b", relais=True, documents=False, sae1=None, seconds=90)
    ran("commit c", relais=True, restriction="lancé avec --tags : une partie des tâches n'a pas été faite")
    found = {one.name: one for one in upgrade.list_servers(tmp_path, SERVERS)}
    assert {name: (one.code, one.met) for name, one in found.items() if one.met} == {
        "relais": ("commit b", "commit c"),
        "documents": ("commit a", "commit b"),
        "sae1": ("commit a", "commit a"),
    }
    assert (found["documents"].seconds, found["sae1"].seconds, found["versement"].code) == (90, 60, "")


def test_servers_go_by_the_steps_of_the_site(tmp_path: Path) -> None:
    order = [[one.name for one in step] for step in upgrade.steps(upgrade.list_servers(tmp_path, SERVERS))]
    assert order == [["sae1", "sae2"], ["documents"], ["versement", "relais"], ["sauvegarde"]]
    place = {SERVERS[name]: number for number, names in enumerate(order) for name in names}
    for name, number in place.items():
        assert all(place[before] < number for before in profiles.load()[name].attend if before in place)


def test_what_follows_is_taken_and_what_does_not_is_refused_with_what_to_do(top: Path) -> None:
    first = commit(top, a="1")
    second = commit(top, a="2")
    git(top, "tag", "v1.1.0")
    Clone(top).refuse_back([Machine("relais", "passerelle", first, first), Machine("neuve", "ged")])
    assert Clone(top).is_at(second) and not Clone(top).is_at(first)

    git(top, "checkout", "-q", "HEAD^")
    with pytest.raises(
        UpgradeError, match=r"^relais : déjà à la version v1\.1\.0, dont celle de ce clone .*n'est pas la"
    ):
        # It was not proven there: its databases may have met it all the same.
        Clone(top).refuse_back([Machine("relais", "passerelle", first, second)])
    commit(top, a="other")
    with pytest.raises(UpgradeError, match="n'est pas la suite"):
        Clone(top).refuse_back([Machine("relais", "passerelle", second, second)])
    with pytest.raises(UpgradeError, match=r"que ce clone ne connaît pas\. À faire : git fetch"):
        Clone(top).refuse_back([Machine("relais", "passerelle", f"commit {'1' * 40}", f"commit {'1' * 40}")])


def test_a_version_that_was_changed_by_hand_is_never_the_same(top: Path) -> None:
    code = commit(top, a="1")
    (top / "a").write_text("2")
    clone = Clone(top)
    assert clone.modified and not clone.is_at(code) and not clone.is_at(clone.code)
    assert clone.name(clone.code) == f"{clone.commit[:8]} (modifié localement)"
    clone.refuse_back([Machine("relais", "passerelle", clone.code, clone.code)])


def test_a_clone_without_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UpgradeError, match="pas d'historique git"):
        Clone(tmp_path)


def test_what_is_to_do_once_is_what_the_version_before_did_not_ask(top: Path) -> None:
    first = commit(top, **{"CHANGELOG.md": OLD})
    commit(top, **{"CHANGELOG.md": NEW})
    clone = Clone(top)
    assert clone.chores([first], upgrade.BEFORE) == ["Retirez X."]
    assert clone.chores([first], upgrade.AFTER) == ["`fab y`."]
    assert clone.chores([clone.code], upgrade.BEFORE) == []
    assert clone.chores([first, ""], upgrade.BEFORE) == ["Retirez X.", "Une ancienne consigne."]


def test_the_changes_of_this_version_say_what_to_do_before_and_after() -> None:
    text = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")
    assert upgrade.items(text, upgrade.BEFORE) and upgrade.items(text, upgrade.AFTER)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("roles/passerelle/files/passerelle.lock", "d'autres versions de ce que nomme passerelle.lock"),
        ("apps/passerelle/src/passerelle/steps.py", "ses programmes changent"),
        ("apps/common/src/creatic_agent/act.py", "ses programmes changent"),
        ("roles/hardening/tasks/main.yml", "des réglages peuvent changer"),
        ("apps/passerelle/tests/test_mail.py", "rien de nouveau"),
        ("apps/sae/src/sae/cli.py", "rien de nouveau"),
        ("docs/ged.md", "rien de nouveau"),
    ],
)
def test_a_server_is_told_what_it_is_to_expect(path: str, told: str) -> None:
    assert (TOP / path).exists()
    assert upgrade.coming({path}, upgrade.made_of(TOP, "passerelle")).startswith(told)


@pytest.mark.parametrize("application", ["mayan", "parapheur", "signature", "sauvegarde"])
def test_a_profile_is_made_of_what_its_roles_bring(application: str) -> None:
    assert f"apps/{application}/" in upgrade.made_of(TOP, "parapheur")


def depot(client: str, date: str, **other: Any) -> dict[str, Any]:
    return {"client": client, "derniere": date, "suspect": "", "gele": False, "verification": {}, **other}


SAID = "Sauvegarde relais-2026-12-02T05:00:00 : 12 fichiers, 1,2 Mo dont 1 ko nouveaux, en 3 s.\n"


@pytest.mark.parametrize(
    ("said", "after", "wrong"),
    [
        (SAID, [depot("relais", "2026-12-02")], ""),
        ("", [depot("relais", "2026-12-02")], "n'a pas pu se faire"),
        (SAID, [], "ne la connaît pas"),
        (SAID, [depot("relais", "2026-12-01")], "n'a pas reçu relais-2026-12-02T05:00:00"),
        (SAID, [depot("relais", "2026-12-02", suspect="suppression")], "suspect"),
        (SAID, [depot("relais", "2026-12-02", gele=True)], "suspect"),
        (SAID, [depot("relais", "2026-12-02", verification={"bonne": False})], "abîmé"),
    ],
)
def test_a_checkpoint_is_what_the_backup_server_has_received(
    said: str, after: list[dict[str, Any]], wrong: str
) -> None:
    good, told = upgrade.checkpoint({"relais": said}, [depot("relais", "2026-12-01")], after)
    assert good == ({} if wrong else {"relais": "relais-2026-12-02T05:00:00"})
    assert len(told) == bool(wrong) and all(wrong in one and one.startswith("relais : ") for one in told)


def test_an_interrupted_upgrade_goes_on_and_keeps_the_backup_of_what_was_changed(tmp_path: Path, top: Path) -> None:
    first = commit(top, **{"CHANGELOG.md": OLD})
    second = commit(top, **{"CHANGELOG.md": NEW})
    relais, ged = Machine("relais", "passerelle", first, first), Machine("documents", "ged", first, first)
    under_way = upgrade.Upgrade(tmp_path)
    with under_way.hold_lock("lea@poste"):
        under_way.begin(second, [ged, relais], "lea@poste")
        assert under_way.to_save(["documents", "relais"]) == ["documents", "relais"]
        under_way.saved({"documents": "d-1", "relais": "r-1", "poste-de-commande": "p-1"})
        assert upgrade.way_back(upgrade.last(tmp_path), Clone(top)) == []
        under_way.step([ged])

    again = upgrade.Upgrade(tmp_path)
    again.begin(second, [replace_code(ged, second), relais], "camille@poste")
    assert again.to_save(["documents", "relais"]) == ["relais"]
    again.saved({"relais": "r-2"})
    again.step([relais])
    again.close()
    assert not (tmp_path / "versions/en-cours.json").exists() and upgrade.Upgrade(tmp_path).record == {}
    kept = json.loads(next((tmp_path / "versions").glob("2*.json")).read_text(encoding="utf-8"))
    assert len(kept["reprises"]) == 1 and kept == upgrade.last(tmp_path)
    head, *lines = upgrade.way_back(kept, Clone(top))
    assert "docs/exploitation.md, « Revenir à la version d'avant »" in head
    before = Clone(top).name(first)
    assert [line.partition(", changée")[0] for line in lines] == [
        f"  documents : était à {before}, sauvegarde d-1",
        f"  relais : était à {before}, sauvegarde r-2",
        "  poste-de-commande : sauvegarde p-1",
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"machines": 3}'])
def test_what_cannot_be_read_is_told_and_nothing_is_begun(tmp_path: Path, text: str) -> None:
    path = _folder(tmp_path / "versions") / "en-cours.json"
    path.write_text(text)
    with pytest.raises(UpgradeError, match="est abîmé"):
        upgrade.Upgrade(tmp_path)
    assert path.read_text() == text


def test_a_server_that_went_back_is_backed_up_again_before_it_is_taken_forward(tmp_path: Path) -> None:
    under_way = upgrade.Upgrade(tmp_path)
    before = Machine("relais", "passerelle", "commit a", "commit a", "2026-01-01T00:00:00+00:00")
    under_way.begin("commit b", [before], "lea@poste")
    under_way.saved({"relais": "r-1"})
    under_way.step([before])
    for code, met, kept in (("a", "a", True), ("a", "b", True), ("a", "a", False)):
        moment = "2026-01-01T00:00:00+00:00" if kept and met == "a" else "2126-01-01T00:00:00+00:00"
        again = upgrade.Upgrade(tmp_path)
        again.begin(
            "commit b", [Machine("relais", "passerelle", f"commit {code}", f"commit {met}", moment)], "lea@poste"
        )
        assert again.to_save(["relais"]) == ([] if kept else ["relais"])
        assert again.record["machines"]["relais"]["sauvegarde"] == ("r-1" if kept else "")


def replace_code(machine: Machine, code: str) -> Machine:
    return Machine(machine.name, machine.profile, code, code)


def test_two_people_do_not_pass_at_once(tmp_path: Path) -> None:
    script = "import sys, time; print('go', flush=True); sys.stdin.read()"
    with subprocess.Popen(["python3", "-c", script], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout and other.stdin and other.stdout.readline() == "go\n"
        store.lock_commune(tmp_path / "verrous", upgrade.LOCK, other.pid, "lea@poste", "un passage")
        refused = pytest.raises(
            store.AlreadyLockedError, match=r"nouvelle version est déjà en cours, lancé par lea@poste"
        )
        with refused, upgrade.Upgrade(tmp_path).hold_lock("camille@poste"):
            raise AssertionError
        other.stdin.close()


def test_communes_are_counted_by_the_oldest_run_of_their_machines(tmp_path: Path) -> None:
    for number, code in ((1, "commit a"), (2, "commit b")):
        run = _folder(tmp_path / f"evidence/2026-12-0{number}T000000Z")
        store.write_json(run / store.ROLLOUT, {"fin": f"2026-12-0{number}", "code": code})
    passages = {"anor": (1, 2), "loos": (2, 2)}
    state = {
        slug: {"hotes": {str(rank): {"passage": f"2026-12-0{one}T000000Z"} for rank, one in enumerate(found)}}
        for slug, found in passages.items()
    }
    store.write_json(run / "etat.json", state)
    assert upgrade.communes(tmp_path, ["anor", "loos", "bergues"]) == {"commit a": 1, "commit b": 1, "": 1}
