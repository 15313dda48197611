#!/usr/bin/env python3
"""Fails when no run of the tests reached a task of a role or of a playbook: such a task proves nothing, and misleads.

    scripts/tasks_reached.py FOLDER [PART ...]

FOLDER is what the callback of tests/reached noted (CREATIC_TASKS_REACHED), PART the long parts that ran. What cannot be
reached is in tests/reached/excused.yml, with its reason; an excuse that no longer holds is a failure too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPO = Path(__file__).resolve().parents[1]
EXCUSED = "tests/reached/excused.yml"
GLOBS = ("roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "playbooks/**/*.yml")
# A whole run draws some of them (scripts/run_tests.py).
PARTS = (
    "room_patch",
    "audits",
    "room_faults",
    "poste",
    "disaster",
    "noyau",
    "disques",
    "pc",
    "chain",
    "drills",
    "lost",
    "life",
    "alertes",
    "fleet_pull",
    "production",
    "upgrade",
)
# Ansible replaces the imports by what they name before a run, and tells callbacks nothing of a meta.
STATIC = {"import_tasks", "import_role", "import_playbook", "meta"}
EXCUSE_FIELDS = {"file", "task", "reason", "part", "chance"}


@dataclass(frozen=True, order=True)
class Task:
    """Where Ansible says that a task is (``task.get_path()``), and its name."""

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} « {self.name} »"


def _walk_tasks(file: str, node: yaml.Node | None) -> Iterator[Task]:
    """Tasks of a list of plays, of tasks or of blocks."""
    if not isinstance(node, yaml.SequenceNode):
        return
    for item in node.value:
        keys = {key.value: value for key, value in item.value}
        inside = [keys[name] for name in ("block", "rescue", "always") if name in keys]
        if "hosts" in keys:
            inside = [keys[name] for name in ("pre_tasks", "tasks", "post_tasks", "handlers") if name in keys]
        elif not inside and not {str(key).rpartition(".")[2] for key in keys} & STATIC:
            name = keys["name"].value if "name" in keys else ", ".join(keys)
            yield Task(file, item.start_mark.line + 1, name)
        for one in inside:
            yield from _walk_tasks(file, one)


def tasks(repo: Path) -> list[Task]:
    """Every task that a run may execute."""
    found: list[Task] = []
    for path in sorted({path for glob in GLOBS for path in repo.glob(glob)}):
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        found += _walk_tasks(str(path.relative_to(repo)), root)
    return sorted(found)


def load_reached(folder: Path) -> set[tuple[str, int]]:
    """What the runs reached."""
    lines = [line for path in folder.glob("*") for line in path.read_text(encoding="utf-8").splitlines()]
    return {(file, int(line)) for file, _, line in (one.rpartition(":") for one in lines)}


def problems(
    known: list[Task], reached: set[tuple[str, int]], excuses: list[dict[str, Any]], parts: list[str]
) -> list[str]:
    """What is wrong, in French, each with what to do."""
    found = []
    excused: set[Task] = set()
    for excuse in excuses:
        file, name, wanted = excuse.get("file", ""), excuse.get("task"), excuse.get("part", [])
        where = f"{EXCUSED} : {file}" + (f" « {name} »" if name else "")
        wanted = [wanted] if isinstance(wanted, str) else wanted
        if excuse.keys() - EXCUSE_FIELDS or not excuse.get("reason") or not set(wanted) <= set(PARTS):
            found.append(
                f"{where} : il faut « file », « reason », et au plus « task », « chance » et « part » "
                f"({', '.join(PARTS)})"
            )
            continue
        covered = [task for task in known if task.file == file and name in (None, task.name)]
        if not covered:
            found.append(f"{where} : n'existe pas. Enlevez cette ligne de la liste, ou corrigez-la.")
        if set(wanted) & set(parts):
            continue  # it is to be reached this time
        excused |= set(covered)
        found += [
            f"{task} : atteinte par cet essai, et pourtant excusée. Enlevez-la de {EXCUSED}."
            for task in covered
            if (task.file, task.line) in reached and not excuse.get("chance")
        ]
    found += [
        f"{task} : aucun essai ne l'atteint. Supprimez-la, faites-la atteindre par un essai, ou dites pourquoi "
        f"aucun ne peut dans {EXCUSED}."
        for task in known
        if (task.file, task.line) not in reached and task not in excused
    ]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Tâches qu'aucun essai n'atteint.")
    parser.add_argument("folder", type=Path, help="dossier CREATIC_TASKS_REACHED de l'essai")
    parser.add_argument("part", nargs="*", help=f"longues parties de cet essai : {', '.join(PARTS)}")
    given = parser.parse_args()
    if unknown := set(given.part) - set(PARTS):
        parser.error(f"partie inconnue : {', '.join(sorted(unknown))} ; connues : {', '.join(PARTS)}")
    reached = load_reached(given.folder)
    if not reached:
        print(f"{given.folder} : rien n'y est noté. Donnez ANSIBLE_CALLBACK_PLUGINS=tests/reached à l'essai.")
        return 1
    known = tasks(REPO)
    wrong = problems(known, reached, yaml.safe_load((REPO / EXCUSED).read_text(encoding="utf-8")) or [], given.part)
    for problem in wrong:
        print(f"- {problem}")
    count = sum((task.file, task.line) in reached for task in known)
    print(f"{count} tâches atteintes sur {len(known)}, {len(wrong)} défauts.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
