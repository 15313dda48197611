"""What the callback notes of real runs of ansible-playbook, and what scripts/tasks_reached.py makes of it."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).parents[3]
PLAY = """---
- name: First
  hosts: localhost
  connection: local
  gather_facts: false
  vars: &shared
    shown: false
  handlers:
    - name: Notified handler
      ansible.builtin.debug:
    - name: Forgotten handler
      ansible.builtin.debug:
  pre_tasks:
    # A comment between the dash's line and nothing else.
    - name: Executed
      ansible.builtin.debug:
  tasks:
    - name: Skipped
      ansible.builtin.debug:
      when: shown
    - ansible.builtin.debug:
        msg: named last
      name: Executed, its name last

    - name: Loop with items
      ansible.builtin.debug:
      loop: [1, 2]
      when: item == 2
    - name: Loop without item
      ansible.builtin.debug:
      loop: []
    - name: Loop whose every item is skipped
      ansible.builtin.debug:
      loop: [1]
      when: shown
    - name: Include without item
      ansible.builtin.include_tasks: never.yml
      loop: []
    - name: Include that is skipped
      ansible.builtin.include_tasks: never.yml
      when: shown
    - name: Include
      ansible.builtin.include_tasks: ../playbooks/profiles/one.yml
    - name: Import
      ansible.builtin.import_tasks: profiles/one.yml
    - name: Block
      vars: *shared
      block:
        - name: Fails
          ansible.builtin.command: "false"
          changed_when: false
        - name: After a failure
          ansible.builtin.debug:
      rescue:
        - name: Rescue
          ansible.builtin.debug:
      always:
        - name: Always
          ansible.builtin.debug:
    - name: Block that nothing breaks
      block:
        - name: Works
          ansible.builtin.command: "true"
          changed_when: true
          notify: Notified handler
      rescue:
        - name: Useless rescue
          ansible.builtin.debug:
    - name: Flush
      ansible.builtin.meta: flush_handlers
    - name: Static role
      ansible.builtin.import_role:
        name: static
    - name: Dynamic role
      ansible.builtin.include_role:
        name: dynamic
        tasks_from: other
    - name: Role that is skipped
      ansible.builtin.include_role:
        name: dynamic
      when: shown
    - name: Even in check mode
      ansible.builtin.debug:
      check_mode: false

- name: Second
  ansible.builtin.import_playbook: more.yml
"""
FILES = {
    "ansible.cfg": "[defaults]\nroles_path = roles\n",
    "playbooks/site.yml": PLAY,
    "playbooks/more.yml": "---\n- hosts: localhost\n  gather_facts: false\n  tasks:\n    - name: Imported play\n"
    "      ansible.builtin.debug:\n",
    "playbooks/never.yml": "---\n- name: Never included\n  ansible.builtin.debug:\n",
    "playbooks/profiles/one.yml": "---\n# Why.\n- name: In a file\n  ansible.builtin.debug:\n",
    "roles/static/tasks/main.yml": "---\n- name: Of a static role\n  ansible.builtin.command: 'true'\n"
    "  notify: Of its handlers\n",
    "roles/static/handlers/main.yml": "---\n- name: Of its handlers\n  ansible.builtin.debug:\n",
    "roles/dynamic/tasks/main.yml": "---\n- name: Of a role never included\n  ansible.builtin.debug:\n",
    "roles/dynamic/tasks/other.yml": "---\n- name: Of tasks_from\n  ansible.builtin.debug:\n",
    "tests/reached/excused.yml": "--- []\n",
}
UNREACHED = [
    "Never included", "Forgotten handler", "Skipped", "Loop without item",
    "Loop whose every item is skipped", "Include without item", "Include that is skipped", "After a failure",
    "Useless rescue", "Role that is skipped", "Of a role never included",
]  # fmt: skip # a list of words


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own, with this one's callback and checker."""
    root = tmp_path_factory.mktemp("depot")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    for name in ("tests/reached/reached.py", "scripts/tasks_reached.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / name, root / name)
    return root


def run(project: Path, folder: Path | str, *arguments: str, playbook: str = "site") -> None:
    """The playbooks as an operator runs them, with the environment of scripts/test."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(project / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(project / "tests" / "reached"),
        "CREATIC_TASKS_REACHED": str(folder),
    }
    command = ["ansible-playbook", "-i", "localhost,", f"playbooks/{playbook}.yml", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def reached(project: Path) -> Path:
    """What one run reached."""
    folder = project / "atteintes"
    run(project, folder)
    return folder


def check(project: Path, folder: Path, *parts: str, excused: str = "[]") -> tuple[int, str]:
    """The checker's status and what it says, with a list of excuses."""
    (project / "tests/reached/excused.yml").write_text(f"--- {excused}\n", encoding="utf-8")
    command = [sys.executable, "scripts/tasks_reached.py", str(folder), *parts]
    done = subprocess.run(command, cwd=project, text=True, capture_output=True, check=False)
    return done.returncode, done.stdout + done.stderr


def named(output: str) -> list[str]:
    """Tasks that it names."""
    return [line.split("« ")[1].split(" »")[0] for line in output.splitlines() if line.startswith("- ")]


def excuse(name: str, file: str = "playbooks/site.yml", **more: object) -> str:
    """One entry of the list, on one line."""
    shown = "".join(f", {key}: {value}" for key, value in more.items())
    return f'{{file: {file}, task: "{name}", reason: because{shown}}}'


def test_what_no_run_reached_is_named_and_nothing_else(project: Path, reached: Path) -> None:
    status, output = check(project, reached)
    assert status == 1
    assert named(output) == UNREACHED
    line = PLAY.splitlines().index("    - name: Skipped") + 1
    assert f"- playbooks/site.yml:{line} « Skipped » : aucun essai ne l'atteint. Supprimez-la" in output
    assert f"16 tâches atteintes sur 27, {len(UNREACHED)} défauts." in output


def test_check_mode_reaches_only_what_is_executed_in_it(project: Path, tmp_path: Path) -> None:
    run(project, tmp_path, "--check")
    (noted,) = [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()]
    line = PLAY.splitlines().index("    - name: Even in check mode") + 1
    assert noted == f"playbooks/site.yml:{line}\n"


def test_an_excuse_with_its_reason_is_taken(project: Path, reached: Path) -> None:
    files = "{file: playbooks/never.yml, reason: because}"
    entries = [excuse(name) for name in UNREACHED[1:-1]] + [excuse(UNREACHED[-1], "roles/dynamic/tasks/main.yml")]
    status, output = check(project, reached, excused=f"[{', '.join([files, *entries])}]")
    assert (status, named(output)) == (0, []), output


def test_a_part_that_ran_must_reach_what_it_excused(project: Path, reached: Path) -> None:
    for part in ("disaster", "[drills, disaster]"):
        excused = f"[{excuse('Skipped', part=part)}]"
        assert "Skipped" not in named(check(project, reached, excused=excused)[1])
        assert "Skipped" not in named(check(project, reached, "chain", excused=excused)[1])
        assert "Skipped" in named(check(project, reached, "chain", "disaster", excused=excused)[1])
    excused = f"[{excuse('Executed', part='disaster')}]"
    assert "Executed" not in named(check(project, reached, "disaster", excused=excused)[1])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (excuse("Executed"), "« Executed » : atteinte par cet essai, et pourtant excusée. Enlevez-la de"),
        (excuse("Executed", part="drills"), "« Executed » : atteinte par cet essai, et pourtant excusée."),
        ("{file: playbooks/more.yml, reason: because}", "« Imported play » : atteinte par cet essai"),
        (excuse("No such task"), "playbooks/site.yml « No such task » : n'existe pas."),
        ("{file: playbooks/gone.yml, reason: because}", "playbooks/gone.yml : n'existe pas."),
        ("{file: playbooks/never.yml}", "playbooks/never.yml : il faut « file », « reason »"),
        (excuse("Skipped", part="nuit"), "« Skipped » : il faut « file », « reason »"),
        (excuse("Skipped", parts="drills"), "« Skipped » : il faut « file », « reason »"),
    ],
)
def test_an_excuse_that_does_not_hold_is_a_failure(project: Path, reached: Path, entry: str, said: str) -> None:
    status, output = check(project, reached, excused=f"[{entry}]")
    assert status == 1
    assert said in output


def test_what_chance_decides_may_be_reached_or_not(project: Path, reached: Path) -> None:
    entries = ", ".join(excuse(name, chance="true") for name in ("Executed", "Skipped"))
    assert not {"Executed", "Skipped"} & set(named(check(project, reached, excused=f"[{entries}]")[1]))


def test_what_whole_runs_draw_is_known_to_all_that_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journeys leave it out by its mark, what it alone reaches is excused by its name, and each is drawn."""
    monkeypatch.syspath_prepend(REPO / "scripts")
    run_tests, tasks_reached = importlib.import_module("run_tests"), importlib.import_module("tasks_reached")
    names = [name for line in run_tests.DRAW_LINES for name in line]
    assert {name for name in names if names.count(name) > 1} <= {*run_tests.BENCHES}
    assert set(names) <= set(tasks_reached.PARTS)
    marks = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    assert set(run_tests.LONG) - set(run_tests.BENCHES) <= {mark.partition(":")[0] for mark in marks}
    whole, drawn = {*run_tests.whole()}, [run_tests.Draw.from_seed(seed) for seed in range(200)]
    assert {one.long for one in drawn} == {*run_tests.DRAW_LINES}
    assert {(twin, rank) for one in drawn for twin, rank in one.twins.items()} == {
        (twin, rank) for twin, count in run_tests.TWINS.items() for rank in range(count)
    }
    for name in ("CREATIC_WHOLE_RUN", "CREATIC_LEFT_OUT"):
        monkeypatch.setenv(name, "")
    for one in {one.long: one for one in drawn}.values():
        parts = run_tests.drawn_parts(one)
        assert {*parts} == whole | {*one.long, "taches"}
        assert parts["taches"].commands[-1][-len(one.long) :] == one.long
        quartered = {name for name, part in parts.items() if part.commands[0][-2:] == ("--costly", str(one.seed))}
        assert quartered == {"unit", *(name for name in parts if name.startswith("profil "))}


def test_a_draw_is_the_commits_own_unless_one_is_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(REPO / "scripts")
    run_tests = importlib.import_module("run_tests")
    for name in ("CREATIC_WHOLE_RUN", "CREATIC_LEFT_OUT"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(run_tests, "_run_git", lambda *_: "00c0ffee" + "0" * 32)
    first = run_tests.chosen([])
    assert "./scripts/test --seed 00c0ffee" in capsys.readouterr().out
    given = run_tests.chosen(["--seed", "00c0ffee"])
    assert {name: part.commands for name, part in first.items()} == {n: part.commands for n, part in given.items()}
    for wrong in ("", "demain", "1" * 9, "-1"):
        with pytest.raises(SystemExit, match="il faut le nombre qu'un passage a dit"):
            run_tests.chosen(["--seed", wrong])


def test_all_is_shared_and_gone_on_with_where_it_was_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(REPO / "scripts")
    run_tests = importlib.import_module("run_tests")
    monkeypatch.setattr(run_tests, "RECORD", tmp_path / "essais.json")
    monkeypatch.setattr(run_tests, "_run_git", lambda *_: "a" * 40)
    monkeypatch.delenv("CREATIC_WHOLE_RUN", raising=False)
    everything = {*run_tests.whole(), *run_tests.LONG, *run_tests.BY_NAME}
    shares = [run_tests.unproven_parts(f"{rank}/3") for rank in (1, 2, 3)]
    assert sorted(name for share in shares for name in share) == sorted(everything)
    assert {*run_tests.whole()} <= {*shares[0]}
    assert {*run_tests.chosen(["--all"])} == everything

    run = run_tests.Run({"lint": run_tests.Part([], verdict="réussi", seconds=7)}, "lint")
    run.record["propre"] = True
    run._write_record()
    assert {*run_tests.unproven_parts("")} == everything - {"lint"}
    run = run_tests.Run({"unit": run_tests.Part([], verdict="échec", seconds=7)}, "unit")
    run.record["propre"] = True
    run._write_record()
    assert {*run_tests.unproven_parts("")} == everything - {"lint"}
    run = run_tests.Run({name: run_tests.Part([], verdict="réussi", seconds=7) for name in everything}, "--all")
    run.record["propre"] = False
    run._write_record()
    assert {*run_tests.unproven_parts("")} == everything - {"lint"}  # what was not committed proves no commit
    run.record["propre"] = True
    run._write_record()
    with pytest.raises(SystemExit) as ended:
        run_tests.chosen(["--all"])
    assert ended.value.code == 0 and "Toutes les parties sont prouvées" in capsys.readouterr().out
    monkeypatch.setattr(run_tests, "_run_git", lambda *_: "b" * 40)
    assert {*run_tests.unproven_parts("")} == everything  # another commit
    for wrong in ("0/3", "4/3", "deux", "1/0"):
        with pytest.raises(SystemExit, match="il faut une part"):
            run_tests.unproven_parts(wrong)


def test_each_of_the_costliest_tests_has_one_turn_of_four_and_the_others_all(tmp_path: Path) -> None:
    shutil.copy(REPO / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = costly\n")
    lines = [f"@pytest.mark.costly\ndef test_costly_{rank}(): pass" for rank in range(6)]
    (tmp_path / "test_some.py").write_text("\n".join(["import pytest", "def test_plain(): pass", *lines]))

    def had(*number: str) -> list[str]:
        collected = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *number]
        found = os.environ | {"PYTHONPATH": str(REPO)}
        done = subprocess.run(collected, cwd=tmp_path, env=found, capture_output=True, text=True, check=True)
        return [line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line]

    everything = had()
    turns = [had("--costly", str(number)) for number in range(8, 12)]
    assert len(everything) == 7 and all(turn[0] == "test_plain" for turn in turns)
    assert sorted(name for turn in turns for name in turn[1:]) == everything[1:]
