#!/usr/bin/env python3
"""Tags this commit as a release, once every part of the tests passed at it: the annotated tag holds the record.

  scripts/release.py [RECORD...]     RECORD: .cache/essais.json of other machines that ran shares of scripts/test --all

The version is pyproject.toml's, and CHANGELOG.md has a chapter of it. Nothing is pushed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from scripts import run_tests  # where it stands is known once the path is


def git(*arguments: str) -> str:
    """What git answers, here."""
    return subprocess.run(["git", *arguments], cwd=TOP, capture_output=True, text=True, check=True).stdout.strip()


def faults(version: str, commit: str, passed: dict[str, int]) -> list[str]:
    """Why this commit is no release (French); nothing when it is one."""
    asked = [*run_tests.whole(), *run_tests.LONG, *run_tests.BY_NAME]
    lacking = [name for name in asked if name not in passed]
    changes = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")
    galaxy = (TOP / "collections/ansible_collections/cdg59/creatic/galaxy.yml").read_text(encoding="utf-8")
    found = {
        "Des fichiers ne sont pas dans le commit : les y mettre, ou les retirer.": git("status", "--porcelain"),
        f"v{version} existe déjà : changer la version dans pyproject.toml.": git("tag", "--list", f"v{version}"),
        f"CHANGELOG.md n'a pas de chapitre « ## [{version}] ».": f"\n## [{version}] - " not in changes,
        f"galaxy.yml ne dit pas « version: {version} ».": f"\nversion: {version}\n" not in galaxy,
        f"Rien ne prouve encore à {commit[:8]} : {', '.join(lacking)}. À faire : ./scripts/test --all.": lacking,
    }
    return [said for said, is_one in found.items() if is_one]


def main() -> int:
    """Tag it, or say why not."""
    version, commit = (
        tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["version"],
        git("rev-parse", "HEAD"),
    )
    passed: dict[str, int] = dict(run_tests.proven().get(commit, {}))
    for record in sys.argv[1:]:
        passed |= json.loads(Path(record).read_text(encoding="utf-8")).get("prouve", {}).get(commit, {})
    if told := faults(version, commit, passed):
        print("\n".join(told), file=sys.stderr)
        return 1
    lines = [f"{name} : {seconds} s" for name, seconds in sorted(passed.items())]
    git(
        "tag",
        "--annotate",
        f"v{version}",
        "--message",
        "\n".join([f"Cre@tic {version}", "", "Essais réussis :", *lines]),
    )
    print(f"v{version} : {len(lines)} parties prouvées à {commit[:8]}. À publier : git push origin v{version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
