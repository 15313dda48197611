"""What the shared control node is told in several places agrees: packages, timers, guide, commands."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).parents[3]
ROLE = yaml.safe_load((REPO / "roles/control_node/vars/main.yml").read_text(encoding="utf-8"))
TIMERS = [one["command"] for one in ROLE["__control_node_timers"]]


def test_bootstrap_finds_what_production_asks_for_already_installed(tmp_path: Path) -> None:
    """On a machine without any program, it would install what the role does, and nothing of the lab."""
    script = (REPO / "scripts/bootstrap").read_text(encoding="utf-8")
    wanted = script[: script.index("as_root=()")].replace('cd "$(dirname "$0")/.."', "")
    wanted = re.sub(r"(/usr/[\w./-]+)", r"/nulle/part\1", wanted) + 'printf "%s\\n" "${packages[@]}"\n'
    done = subprocess.run(
        ["/bin/bash", "-c", "PATH=/nulle/part\n" + wanted, "bootstrap", "production"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {*done.stdout.split()} - {"python3.13"} == {*ROLE["__control_node_packages"]}


def test_timers_run_commands_that_there_are() -> None:
    listed = subprocess.run(
        [Path(sys.executable).parent / "fab", "--list"], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout
    assert {*TIMERS} <= {*re.findall(r"^  ([a-z.]+)", listed, re.MULTILINE)}


def test_the_guide_says_what_timers_do() -> None:
    guide = (REPO / "docs/production.md").read_text(encoding="utf-8")
    own = guide[guide.index("## Ensuite, d'office") :].partition("Ce qui reste aux personnes")[0]
    assert re.findall(r"^\|[^|]*\| `fab ([a-z.]+)` \|", own, re.MULTILINE) == TIMERS


@pytest.mark.parametrize("one", ROLE["__control_node_timers"], ids=TIMERS)
def test_systemd_understands_when(one: dict[str, str]) -> None:
    done = subprocess.run(["systemd-analyze", "calendar", one["calendar"]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_guide_carries_state_and_product_where_the_role_has_them() -> None:
    guide = (REPO / "docs/production.md").read_text(encoding="utf-8")
    own = guide[guide.index("## 9. À plusieurs") : guide.index("## Ensuite, d'office")]
    defaults = yaml.safe_load((REPO / "roles/control_node/defaults/main.yml").read_text(encoding="utf-8"))
    account, state = ROLE["__control_node_account"], f"{ROLE['__control_node_home']}/etat"
    clone = defaults["control_node_clone"]
    assert f"sudo cp -a ~/.local/share/creatic/. {state}\nsudo cp -a ./. {clone}\n" in own
    assert f"sudo chown -R {account}:{account} {state} {clone}\nsudo chmod 0700 {state}\n" in own
    assert {*re.findall(r"`(creatic-[a-z]+)`", own)} == {account, ROLE["__control_node_group"]}


def test_passphrases_that_an_operator_types_pass_and_nothing_else_of_his_shell() -> None:
    """Of each root to come too: a renewal asks for CREATIC_PKI_RACINE2, then 3 (docs/exploitation.md)."""
    rules = (REPO / "roles/control_node/templates/sudoers.j2").read_text(encoding="utf-8")
    kept = " ".join(re.findall(r'env_keep \+= "([^"]*)"', rules)).split()

    def passes(name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in kept)

    roots = ["CREATIC_PKI_RACINE", "CREATIC_PKI_RACINE2", "CREATIC_PKI_RACINE3"]
    assert all(map(passes, [*roots, "CREATIC_PKI_EMETTRICE", "CREATIC_ACCES_SSH", "CREATIC_FLOTTE_CLE"]))
    told = (
        "CREATIC_HOME CREATIC_INVENTORY CREATIC_MINUTERIE CREDENTIALS_DIRECTORY PATH PYTHONPATH ANSIBLE_CONFIG BASH_ENV"
    )
    assert not any(map(passes, told.split()))
