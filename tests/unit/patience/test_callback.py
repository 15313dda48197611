"""The callback that says what a playbook waits for: alone with a made-up clock, then under the real Ansible."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.callback.patience import CallbackModule
from ansible_collections.cdg59.creatic.plugins.plugin_utils.waited import Waited

REPO = Path(__file__).parents[3]
# Slow machines start a task late: only the tasks that wait are told by their name and their hosts.
# Each start of a module costs a third of a second of processor: no task that no test asks for, and none but the loop's,
# which goes on in the background, is a module.
PLAYS = [
    {
        "hosts": "all",
        "gather_facts": False,
        "strategy": strategy,
        "tasks": [
            {
                "name": f"Wait for the {{{{ 'node' }}}} under {strategy}",
                "ansible.builtin.raw": "sleep {{ pause }}",
            },
            *loops,
            {"name": "Fail", "ansible.builtin.raw": "false", "when": "inventory_hostname == failing | default('')"},
        ],
    }
    for strategy, loops in (
        (
            "linear",
            [
                {
                    "name": "Loop under linear",
                    "ansible.builtin.command": "sleep {{ pause / 3 }}",
                    "loop": [1, 2],
                    "async": 60,
                    "poll": 1,
                    "run_once": True,
                    "delegate_to": "localhost",
                }
            ],
        ),
        ("ansible.builtin.host_pinned", []),
    )
]


class Waiting:
    """The callback with hosts that start tasks at times of a made-up clock."""

    def __init__(self) -> None:
        self.callback = CallbackModule()

    def start(self, at: float, *hosts: str, task: str = "Redémarrer", step: str = "", last: float = 0) -> None:
        """The hosts start the task; of a step, they are in it since that time."""
        for host in hosts:
            self.callback._running[task, host] = Waited(step or task, at, step or task, last)

    def end(self, *hosts: str, task: str = "Redémarrer") -> None:
        """The hosts are done."""
        for host in hosts:
            result = SimpleNamespace(
                task=SimpleNamespace(_uuid=task), host=SimpleNamespace(get_name=lambda host=host: host)
            )
            self.callback.v2_runner_on_ok(result)

    def told(self, now: float) -> list[str]:
        """What is told, without the lead."""
        return [line.removeprefix("   … depuis ") for line in self.callback.lines(now, 30)]


def test_each_interval_is_told_once_and_nothing_before_the_first() -> None:
    waiting = Waiting()
    waiting.start(1000, "sae2", "sae1")
    assert waiting.told(1029) == []
    assert waiting.told(1030) == ["30 s : Redémarrer (sae1, sae2)"]
    assert waiting.told(1031) == []
    waiting.end("sae2")
    assert waiting.told(1090.2) == ["1 min 30 s : Redémarrer (sae1)"]
    assert waiting.told(1119) == []
    waiting.end("sae1")
    assert waiting.told(2000) == []


def test_hosts_that_started_much_later_are_told_apart() -> None:
    waiting = Waiting()
    waiting.start(1000, "a")
    waiting.start(1002, "b")
    waiting.start(1040, "c")
    waiting.start(1058, "d")
    assert waiting.told(1060) == ["1 min 00 s : Redémarrer (a, b)", "20 s : Redémarrer (c)"]
    waiting.end("a")
    assert waiting.told(1090) == ["1 min 28 s : Redémarrer (b)", "50 s : Redémarrer (c)", "32 s : Redémarrer (d)"]


def test_two_tasks_at_once_and_many_hosts() -> None:
    waiting = Waiting()
    waiting.start(1000, *(f"pc{number}" for number in range(9)))
    waiting.start(1010, "serveur", task="Attendre")
    assert waiting.told(1030) == ["30 s : Redémarrer (pc0, pc1, pc2, pc3, pc4, pc5 et 3 autres)"]
    assert waiting.told(1040) == ["30 s : Attendre (serveur)"]


def test_a_step_of_many_short_tasks_is_told_since_it_began_and_with_what_it_took_the_last_time() -> None:
    waiting = Waiting()
    waiting.start(1000, "documents", task="a", step="GED", last=412)
    waiting.start(1001, "signatures", task="a", step="GED", last=65)
    assert waiting.told(1030) == ["30 s : GED (documents, signatures) ; la dernière fois : 6 min 52 s"]
    waiting.end("documents", "signatures", task="a")
    assert waiting.told(1040) == []  # between two tasks
    waiting.start(1000, "documents", task="b", step="GED", last=412)
    assert waiting.told(1041) == []
    assert waiting.told(1060) == ["1 min 00 s : GED (documents) ; la dernière fois : 6 min 52 s"]


def test_on_a_terminal_the_line_of_a_rollout_is_cleared_first(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting()
    shown: list[str] = []
    monkeypatch.setattr(
        waiting.callback, "_display", SimpleNamespace(display=lambda text, color=None: shown.append(text))
    )
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    waiting.callback._print_line("… depuis 30 s")
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    waiting.callback._print_line("… depuis 1 min 00 s")
    assert shown == ["\r\033[2K… depuis 30 s", "… depuis 1 min 00 s"]


def start(
    folder: Path, interval: float, *arguments: str, names: str = "abc", pause: float = 3
) -> subprocess.Popen[str]:
    """Start the plays on hosts, which are this machine; tasks last so many seconds."""
    hosts: dict[str, dict[str, str]] = {name: {} for name in names}
    variables = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        "pause": pause,
    }
    inventory = {"all": {"hosts": hosts, "vars": variables}}
    (folder / "hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")
    (folder / "plays.yml").write_text(json.dumps(PLAYS), encoding="utf-8")
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(REPO / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "CREATIC_PATIENCE": str(interval),
    }
    return subprocess.Popen(
        ["ansible-playbook", "-i", str(folder / "hosts.yml"), str(folder / "plays.yml"), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, interval: float, *arguments: str, **options: Any) -> tuple[int, str]:
    """Run the plays; gives the status and the output."""
    process = start(folder, interval, *arguments, **options)
    output = process.communicate()[0]
    return process.returncode, output


@pytest.mark.costly
def test_what_lasts_is_told_under_each_strategy_and_a_failure_stays_one(tmp_path: Path) -> None:
    status, output = run(tmp_path, 1, "-e", "failing=b")
    assert status == 2, output
    for strategy in ("linear", "ansible.builtin.host_pinned"):
        found = re.findall(rf"^   … depuis \d+ .* : Wait for the node under {strategy} \((.*)\)$", output, re.M)
        assert {host for hosts in found for host in hosts.split(", ")} >= {"a", "c"}, output
    assert re.search(r"^   … depuis \d+ .* : Loop under linear \(a\)$", output, re.M), output
    assert re.search(r"^b +: ok=\d+ .*failed=1 ", output, re.M), output
    assert "Traceback" not in output


@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_short_tasks_say_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    status, output = run(tmp_path, 3600, *arguments, names="a", pause=0)
    assert status == 0, output
    assert "… depuis" not in output
    assert "Traceback" not in output


def test_an_interruption_ends_as_before(tmp_path: Path) -> None:
    process = start(tmp_path, 0.2)
    assert process.stdout is not None
    seen: list[str] = []
    while "… depuis" not in "".join(seen[-1:]):
        line = process.stdout.readline()
        assert line, seen
        seen.append(line)
    process.send_signal(signal.SIGINT)
    output = process.communicate()[0]
    assert process.returncode == 99, output
    assert "User interrupted execution" in output
    assert "Traceback" not in output and "Fatal Python error" not in output


def test_a_deployment_says_its_steps_in_french_and_what_they_took_the_last_time(tmp_path: Path) -> None:
    """Each task is shorter than the interval, the step is not."""
    play = {
        "hosts": "all",
        "gather_facts": False,
        "strategy": "ansible.builtin.host_pinned",
        "vars": {"creatic_phase": "deploiement"},
        "tasks": [{"name": f"Servers | Do {rank}", "ansible.builtin.raw": "sleep 0.7"} for rank in range(4)],
    }
    inventory = {
        "ged": {"hosts": {"documents": {}}},
        "all": {
            "vars": {
                "ansible_connection": "local", "ansible_become": False, "creatic_home": str(tmp_path / "etat"),
                "ansible_python_interpreter": sys.executable,
            }
        },
    }  # fmt: skip # variables by what they are for
    (tmp_path / "journeys").mkdir()
    (tmp_path / "hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")
    (tmp_path / "journeys/servers.yml").write_text(json.dumps([play]), encoding="utf-8")
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(REPO / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "CREATIC_PATIENCE": "1",
        "ANSIBLE_STDOUT_CALLBACK": "cdg59.creatic.rollout",
    }
    command = ["ansible-playbook", "-i", str(tmp_path / "hosts.yml"), str(tmp_path / "journeys/servers.yml")]
    said = []
    for _turn in (1, 2):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        said.append(done.stdout + done.stderr)
        for facts in (tmp_path / "etat").glob("serveurs/2*/serveurs.json"):
            # Without its proof, it would be a failure, whose durations say nothing.
            left = json.loads(facts.read_text(encoding="utf-8"))
            left["machines"][0]["raison"] = ""
            facts.write_text(json.dumps(left), encoding="utf-8")
    told = "contrôles et preuves des serveurs (documents)"
    assert re.search(rf"^   … depuis 2 s : {re.escape(told)}$", said[0], re.M), said[0]
    assert re.search(rf"^   … depuis 2 s : {re.escape(told)} ; la dernière fois : [34] s$", said[1], re.M), said[1]
    assert "Servers | " not in said[0] + said[1] and "Traceback" not in said[0] + said[1]
