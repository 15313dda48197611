"""What the playbooks and the single commands of fab show, as Ansible's events come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.callback.journey import CallbackModule

from testbed.control_node import REPO


class Journey:
    """Drives the callback as Ansible would."""

    def __init__(self) -> None:
        self.callback = CallbackModule()
        self.lines: list[str] = []
        self.callback._display = SimpleNamespace(display=lambda text, color=None: self.lines.append(text))

    def play(self, name: str, hosts: str = "all") -> None:
        self.callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: name, hosts=hosts))

    def task(self) -> None:
        self.callback.v2_playbook_on_task_start(self.result("", "").task, False)

    def result(self, host: str, action: str, **content: Any) -> SimpleNamespace:
        task = SimpleNamespace(
            get_name=lambda: "Seals | Bring it here", action=action, ignore_unreachable=content.pop("aside", False),
            _role=SimpleNamespace(get_name=lambda name=role: name) if (role := content.pop("role", "")) else None,
        )  # fmt: skip # a task by its parts
        return SimpleNamespace(
            host=SimpleNamespace(get_name=lambda: host),
            task=task,
            result=content,
            is_changed=lambda: bool(content.get("changed")),
        )

    def ok(self, host: str = "localhost", action: str = "ansible.builtin.command", **content: Any) -> None:
        self.callback.v2_runner_on_ok(self.result(host, action, **content))

    def failed(self, msg: str, action: str = "ansible.builtin.copy", **content: Any) -> None:
        self.callback.v2_runner_on_failed(self.result("sae1", action, msg=msg, **content))

    def end(self, **counts: dict[str, int]) -> str:
        stats: dict[str, dict[str, int]] = {"dark": {}, "failures": {}, "processed": {}} | counts
        self.callback.v2_playbook_on_stats(SimpleNamespace(**stats))
        return self.lines[-1]


@pytest.fixture
def journey() -> Journey:
    return Journey()


def test_a_journey_says_what_it_does_and_what_is_to_be_read(journey: Journey) -> None:
    journey.play("Copie des sceaux")
    journey.task()
    journey.play("Pour personne")
    journey.play("Archive gateway", "archive_gateway")
    journey.task()
    journey.ok(changed=True, stdout="bruit")
    journey.ok(action="ansible.builtin.debug", msg=["un", "deux"])
    journey.ok("sae1", "ansible.builtin.debug", msg="refusé par le TdT")
    journey.ok(action="ansible.builtin.assert", msg="3 sceaux vérifiés")
    journey.ok(action="ansible.builtin.assert", msg="All assertions passed")
    assert journey.lines == [
        "\nCopie des sceaux",
        "\nProfil archive_gateway",
        "   un",
        "   deux",
        "   sae1 : refusé par le TdT",
        "   3 sceaux vérifiés",
    ]
    assert journey.end(processed={"localhost": 1, "sae1": 1}).startswith("\nFini : 2 machines, 1 changement, durée ")


@pytest.mark.parametrize(
    ("message", "action", "said"),
    [
        ("le sceau manque. À faire : relancez", "ansible.builtin.assert", ["le sceau manque. À faire : relancez"]),
        (
            "clé de l'autorité absente",
            "cdg59.creatic.pki_revoke",
            ["clé de l'autorité absente", "→ Corriger la cause indiquée, puis relancer."],
        ),
        (
            "Could not find or access '/x'",
            "ansible.builtin.copy",
            ["copy répond : « Could not find or access '/x' »", "→ Corriger la cause indiquée, puis relancer."],
        ),
        (
            "Missing sudo password",
            "ansible.builtin.copy",
            [
                "le compte d'administration n'a pas les droits sudo",
                "→ Rétablir le droit sudo sans mot de passe du compte d'administration.",
            ],
        ),
    ],
)
def test_a_failure_says_where_why_and_what_to_do(journey: Journey, message: str, action: str, said: list[str]) -> None:
    journey.failed(message, action)
    journey.callback.v2_runner_on_failed(journey.result("sae2", action, msg="sans suite"), ignore_errors=True)
    where = "certificats qui scellent les preuves : « Seals | Bring it here »"
    assert journey.lines == [f"   ✗ sae1 : échec ({where})", *(f"     {line}" for line in said)]
    assert journey.end(failures={"sae1": 1}).startswith("\nPas fini. Échec : sae1. Durée ")


def test_a_failure_of_a_role_is_told_by_what_the_role_brings(journey: Journey) -> None:
    journey.failed("plein", role="mayan")
    assert journey.lines[0] == "   ✗ sae1 : échec (application documentaire (Mayan) : « Seals | Bring it here »)"


def test_what_is_prepared_is_told(journey: Journey) -> None:
    journey.ok(action="cdg59.creatic.locked_venv", prepared="délibérations (Plone) : déjà prêt (2 Mo)")
    assert journey.lines == ["   ✓ délibérations (Plone) : déjà prêt (2 Mo)"]


def test_what_lasts_is_told_in_french(journey: Journey) -> None:
    journey.play("Copie des sceaux")
    asked = [SimpleNamespace(_uuid="1", get_name=lambda: "Nothing | Known", _role=None)]
    asked.append(SimpleNamespace(_uuid="2", get_name=lambda: "x", _role=SimpleNamespace(get_name=lambda: "plone")))
    assert [journey.callback._describe_wait("sae1", one).text for one in asked] == [
        "Copie des sceaux",
        "délibérations (Plone)",
    ]


def test_who_does_not_answer_is_named_with_the_fix(journey: Journey) -> None:
    away = "ssh: connect to host 10.0.0.3 port 22: No route to host"
    journey.callback.v2_runner_on_unreachable(journey.result("sae3", "ansible.builtin.command", msg=away))
    journey.callback.v2_runner_on_unreachable(journey.result("sae4", "ansible.builtin.command", msg=away, aside=True))
    assert journey.lines == [
        "   ✗ sae3 : injoignable (certificats qui scellent les preuves : « Seals | Bring it here »)",
        "     l'hôte ne répond pas",
        "     → Vérifier que la machine est allumée et reliée au réseau de la commune.",
        "   sae4 : injoignable, laissé de côté (l'hôte ne répond pas)",
    ]
    assert journey.end(dark={"sae3": 1}, failures={"sae3": 1}).startswith("\nPas fini. Injoignable : sae3. Durée ")


def test_a_single_command_shows_its_own_words_alone(journey: Journey) -> None:
    journey.play("Ansible Ad-Hoc")
    journey.ok("sae1", stdout='[{"a": 1}]', changed=True)
    journey.failed("non-zero return code", "ansible.builtin.command", rc=1, stdout="", stderr="Journal inutilisable.")
    assert journey.lines == ['[{"a": 1}]', "Journal inutilisable."]
    assert journey.end(failures={"sae1": 1}) == "Journal inutilisable."


def test_ctrl_c_speaks_french_and_nothing_else(tmp_path: Path) -> None:
    """As Ansible itself runs it: its own sentence is English."""
    play = tmp_path / "attend.yml"
    play.write_text(
        "- name: Attente\n  hosts: localhost\n  connection: local\n  gather_facts: false\n"
        "  tasks:\n    - {name: Wait, ansible.builtin.command: sleep 120}\n"
    )
    settings = os.environ | {
        "ANSIBLE_CONFIG": str(REPO / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "cdg59.creatic.journey",
        "PYTHONUNBUFFERED": "1",
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(play)]
    with subprocess.Popen(command, cwd=REPO, env=settings, stdout=-1, stderr=-1, text=True) as run:
        assert run.stdout and run.stderr
        assert any("Attente" in line for line in iter(run.stdout.readline, ""))
        run.send_signal(signal.SIGINT)
        _shown, said = run.communicate(timeout=60)
    assert run.returncode == 99
    assert said.strip() == (
        "Interrompu : ce qui est fait reste fait, ce qui était en cours s'arrête où il en est.\n"
        "À faire : relancez la même commande."
    )
