"""The callback fed with made-up events: what it keeps, what it shows, what it leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.callback.rollout import CallbackModule

from creatic.evidence import servers as evidence_servers
from creatic.evidence.failures import failure_message
from creatic.evidence.follow import restriction
from creatic.evidence.rollout import HostInfo
from creatic.evidence.store import facts_of, lock_commune

from .conftest import CONNECTOR, GONDECOURT, PC, commune, proofs

pytestmark = pytest.mark.usefixtures("a_run")
LAST = "the last task of the proofs"
ALL = [GONDECOURT, commune("anor", "Anor", 22)]


class Inventory:
    """Gives the hosts of a play."""

    def __init__(self, hosts: list[str]) -> None:
        self.hosts = [SimpleNamespace(name=name) for name in hosts]

    def get_hosts(self, _pattern: str) -> list[SimpleNamespace]:
        """Every host."""
        return self.hosts


class Rollout:
    """Drives the callback as Ansible would."""

    def __init__(
        self,
        home: Path,
        hosts: list[str],
        check: bool = False,
        limits: str = "",
        machines: ModuleType | None = None,
        profiles: dict[str, str] | None = None,
    ) -> None:
        self.home, self.names = home, hosts
        self.lines: list[str] = []
        self.callback = CallbackModule()
        self.callback.alone = True
        self.callback._display = SimpleNamespace(display=lambda text, color=None: self.lines.append(text))
        self.callback.machines = machines
        self.callback.profiles = profiles or {}
        self.callback.begin(home, [] if machines else ALL, hosts, limits, check)

    @property
    def output(self) -> str:
        """What was shown."""
        return "\n".join(self.lines)

    def play(self, phase: str) -> None:
        """Start a play."""
        manager = SimpleNamespace(_inventory=Inventory(self.names))
        self.callback.v2_playbook_on_play_start(
            SimpleNamespace(
                hosts="all",
                get_variable_manager=lambda: manager,
                get_vars=lambda: {"creatic_phase": phase},
                get_tasks=lambda: [[SimpleNamespace(_uuid=LAST)]],
            )
        )

    def result(self, host: str, task: str, action: str = "command", **content: Any) -> SimpleNamespace:
        """A task's result."""
        return SimpleNamespace(
            host=SimpleNamespace(get_name=lambda: host),
            task=SimpleNamespace(
                get_name=lambda: task,
                action=action,
                _role=None,
                _parent=content.pop("around", None),
                _uuid=content.pop("uuid", "another"),
            ),
            result=content,
            is_changed=lambda: bool(content.get("changed")),
        )

    def ok(self, host: str, task: str = "base | Ensure", **content: Any) -> None:
        """A success."""
        self.callback.v2_runner_on_ok(self.result(host, task, **content))

    def failed(self, host: str, message: str, task: str = "base | Ensure", **content: Any) -> None:
        """A failure."""
        self.callback.v2_runner_on_failed(self.result(host, task, msg=message, **content))

    def lost(self, host: str, message: str = "ssh: Connection timed out") -> None:
        """A host that cannot be reached."""
        self.callback.v2_runner_on_unreachable(self.result(host, "base | Ensure", msg=message))

    def prove(self, host: HostInfo, **changes: dict[str, Any]) -> None:
        """A proof, all required ones good unless changed."""
        self.ok(host.name, "Rollout | Prove", creatic_proof={"preuves": proofs(host, **changes)})

    def end(self, failures: tuple[str, ...] = (), dark: tuple[str, ...] = ()) -> dict[str, Any] | None:
        """The end of the run; gives the evidence of Gondecourt."""
        self.callback.v2_playbook_on_stats(
            SimpleNamespace(failures=dict.fromkeys(failures, 1), dark=dict.fromkeys(dark, 1))
        )
        found = list(self.home.glob("evidence/2*/gondecourt/preuve.json"))
        return json.loads(found[-1].read_text(encoding="utf-8")) if found else None


@pytest.fixture
def rollout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rollout:
    """A rollout of the whole commune."""
    monkeypatch.setenv("CREATIC_ROLLOUT_CONTENT", "d" * 64)
    return Rollout(tmp_path, [PC.name, CONNECTOR.name])


def checked(rollout: Rollout) -> None:
    """The first phase, good."""
    rollout.play("controles")
    for host in GONDECOURT.hosts:
        check = {"cle": "disque", "libelle": "Espace disque", "verdict": "ok", "detail": "12 Gio", "mesures": {}}
        rollout.ok(host.name, creatic_preflight=[check])


def test_a_server_that_is_lost_keeps_its_turn_from_nobody(rollout: Rollout) -> None:
    locks = rollout.home / "verrous"
    for name in ("serveur-documents", "serveur-relais"):
        lock_commune(locks, name, os.getpid(), "lea")
    rollout.play("deploiement")
    rollout.lost("documents")
    assert [path.name for path in locks.glob("*.json")] == ["serveur-relais.json"]


def around(**parts: Any) -> SimpleNamespace:
    """A block in a role's block, as Ansible has them."""
    return SimpleNamespace(rescue=[], always=[], _parent=SimpleNamespace(_parent=None, **parts))


@pytest.mark.parametrize(
    ("block", "kept"),
    [
        (around(rescue=[], always=[]), []),
        (around(), []),  # an include
        (around(rescue=["base | Put it back"], always=[]), ["serveur-documents.json"]),
        (around(rescue=[], always=["Place | Give the server's turn back"]), ["serveur-documents.json"]),
    ],
)
def test_a_server_that_failed_is_for_others_at_once(rollout: Rollout, block: SimpleNamespace, kept: list[str]) -> None:
    """Not while what follows its failure still changes it."""
    locks = rollout.home / "verrous"
    lock_commune(locks, "serveur-documents", os.getpid(), "lea")
    lock_commune(locks, "serveur-relais", os.getpid(), "lea")
    rollout.play("deploiement")
    rollout.failed("documents", "npm ne répond pas", around=block)
    assert sorted(path.name for path in locks.glob("*.json")) == [*kept, "serveur-relais.json"]


@pytest.mark.parametrize("proved", [True, False])
def test_a_server_is_for_others_once_it_is_proved_or_not(tmp_path: Path, proved: bool) -> None:
    run = Rollout(tmp_path, ["documents", "relais"], machines=evidence_servers, profiles={"documents": "ged"})
    locks = tmp_path / "verrous"
    for name in run.names:
        lock_commune(locks, f"serveur-{name}", os.getpid(), "lea")
    run.play("preuves")
    run.ok("relais")
    proof: dict[str, Any] = {"action": "cdg59.creatic.server_proof"}
    block = around(rescue=[], always=["Servers | Prove that the server serves"])
    if proved:
        run.ok("documents", **proof, around=block)
    else:
        run.failed("documents", "rien ne répond", **proof, around=block)
    assert [path.name for path in locks.glob("*.json")] == ["serveur-relais.json"]


def test_a_commune_is_for_others_once_its_last_machine_is_done(tmp_path: Path) -> None:
    """Proved, failed or lost; what waits for the other communes of the run waits without its lock."""
    run = Rollout(tmp_path, [PC.name, CONNECTOR.name, "anor-pc", "anor-connecteur"])
    locks = tmp_path / "verrous"

    def left() -> list[str]:
        return sorted(path.stem for path in locks.glob("*.json"))

    for slug in ("gondecourt", "anor"):
        lock_commune(locks, slug, os.getpid(), "lea")
    run.play("deploiement")
    run.lost("anor-pc")
    run.ok("anor-connecteur", uuid=LAST)  # no proof yet: tasks of other plays end nothing
    assert left() == ["anor", "gondecourt"]
    run.failed("anor-connecteur", "dépôt plein")
    assert left() == ["gondecourt"]
    run.play("preuves")
    run.prove(PC)
    run.callback.v2_runner_on_skipped(run.result(PC.name, "Rollout | Prove", uuid=LAST))
    run.ok(CONNECTOR.name)
    assert left() == ["gondecourt"]
    run.ok(CONNECTOR.name, uuid=LAST)
    assert left() == []
    assert "Menées à leur fin, échecs compris : 4 machines sur 4." in run.callback._interruption_message()


def proven_ready(rollout: Rollout) -> dict[str, Any]:
    """The report of a run whose proofs are all good."""
    rollout.play("preuves")
    rollout.prove(PC)
    rollout.prove(CONNECTOR)
    report = rollout.end()
    assert report is not None
    assert report["prete"]
    return report


def test_a_good_rollout_ends_with_a_ready_commune(rollout: Rollout) -> None:
    checked(rollout)
    rollout.play("deploiement")
    for host in GONDECOURT.hosts:
        rollout.ok(host.name, changed=True)
        rollout.ok(host.name)
        rollout.callback.v2_runner_on_skipped(rollout.result(host.name, "skipped"))
        rollout.ok(host.name, action="include_tasks")
    report = proven_ready(rollout)
    assert [host["taches"] for host in report["hotes"]] == [{"executees": 2, "changees": 1}] * 2
    assert set(report["hotes"][0]["durees_s"]) == {"controles", "deploiement", "preuves"}
    assert [len(host["controles"]) for host in report["hotes"]] == [1, 1]
    assert "Contrôles préalables" in rollout.output
    assert "2 tâches, 1 changement " in rollout.output
    assert "4 preuves" in rollout.output
    assert "équipées 1 / 2, prêtes 1 / 2" in rollout.output
    assert facts_of(rollout.home / "evidence" / report["passage"])["empreinte"] == "d" * 64


def test_the_others_finish_when_a_host_is_lost_in_the_middle(rollout: Rollout) -> None:
    checked(rollout)
    rollout.play("deploiement")
    rollout.ok(PC.name)
    rollout.lost(PC.name)
    rollout.ok(CONNECTOR.name)
    rollout.play("preuves")
    rollout.prove(CONNECTOR)
    report = rollout.end(dark=(PC.name,))
    assert report is not None
    assert (report["equipee"], report["prete"]) == (False, False)
    assert {host["nom"]: host["etat"] for host in report["hotes"]} == {
        PC.name: "injoignable",
        CONNECTOR.name: "deploye",
    }
    assert [gap["raison"] for gap in report["manques"]] == [
        "injoignable pendant « Déploiement » : l'hôte ne répond pas"
    ]
    assert f"✗ {PC.name} : injoignable" in rollout.output
    assert "l'hôte ne répond pas" in rollout.output


def test_evidence_is_left_when_every_host_fails_and_ansible_stops(rollout: Rollout) -> None:
    checked(rollout)
    rollout.play("deploiement")
    for host in GONDECOURT.hosts:
        rollout.failed(host.name, "Task failed: Module failed: dépôt plein")
    report = rollout.end(failures=(PC.name, CONNECTOR.name))
    assert report is not None
    assert [gap["raison"] for gap in report["manques"]] == ["échec de « base | Ensure » : dépôt plein"] * 2


def test_a_rescued_failure_is_no_failure(rollout: Rollout) -> None:
    checked(rollout)
    rollout.play("deploiement")
    rollout.failed(PC.name, "premier essai")
    rollout.ok(PC.name)
    rollout.callback.v2_runner_on_failed(rollout.result(CONNECTOR.name, "t", msg="sans gravité"), ignore_errors=True)
    proven_ready(rollout)


def test_a_failed_proof_leaves_an_equipped_commune(rollout: Rollout) -> None:
    checked(rollout)
    rollout.play("deploiement")
    rollout.ok(PC.name)
    rollout.ok(CONNECTOR.name)
    rollout.play("preuves")
    rollout.prove(PC)
    failed = {"verdict": "echec", "detail": "certificat non RGS"}
    rollout.failed(CONNECTOR.name, "Certificat RGS : non", creatic_proof={"preuves": proofs(CONNECTOR, rgs=failed)})
    report = rollout.end(failures=(CONNECTOR.name,))
    assert report is not None
    assert (report["equipee"], report["prete"]) == (True, False)
    assert [gap["raison"] for gap in report["manques"]] == ["certificat non RGS"]


def test_a_failure_that_left_no_event_is_not_taken_for_success(rollout: Rollout) -> None:
    """A run_once task that fails marks every host failed, and tells of one only."""
    checked(rollout)
    rollout.play("deploiement")
    rollout.ok(PC.name)
    rollout.ok(CONNECTOR.name)
    report = rollout.end(failures=(PC.name, CONNECTOR.name))
    assert report is not None
    assert not report["equipee"]
    assert "une tâche commune" in report["manques"][0]["raison"]


def test_a_host_that_never_came_to_the_deployment_is_not_equipped(rollout: Rollout) -> None:
    checked(rollout)
    rollout.play("deploiement")
    rollout.ok(CONNECTOR.name)
    report = rollout.end()
    assert report is not None
    assert {host["nom"]: host["etat"] for host in report["hotes"]}[PC.name] == "non_atteint"


def test_a_refused_lock_leaves_no_evidence_and_frees_only_its_own(rollout: Rollout) -> None:
    lock_commune(rollout.home / "verrous", "gondecourt", 1, "bob")
    rollout.play("controles")
    for host in GONDECOURT.hosts:
        rollout.failed(
            host.name, "un déploiement est déjà en cours. Attendre sa fin, puis relancer.", creatic_lock_refused=True
        )
    assert rollout.end(failures=(PC.name, CONNECTOR.name)) is None
    assert "refusé : un déploiement est déjà en cours" in " ".join(rollout.output.split())
    assert "Aucune preuve écrite" in rollout.output
    assert (rollout.home / "verrous" / "gondecourt.json").exists()


def test_the_locks_are_freed_at_the_end(rollout: Rollout) -> None:
    lock_commune(rollout.home / "verrous", "gondecourt", rollout.callback._pid, "alice")
    checked(rollout)
    rollout.end()
    assert not (rollout.home / "verrous" / "gondecourt.json").exists()


def test_a_partial_run_is_shown_as_such(tmp_path: Path) -> None:
    rollout = Rollout(tmp_path, [PC.name])
    rollout.play("deploiement")
    rollout.ok(PC.name)
    rollout.play("preuves")
    rollout.prove(PC)
    report = rollout.end()
    assert report is not None
    assert not report["complet"]
    assert "non vérifié" in rollout.output


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    rollout = Rollout(tmp_path, [PC.name], check=True)
    rollout.play("deploiement")
    rollout.ok(PC.name)
    assert rollout.end() is None
    assert list(tmp_path.iterdir()) == []
    assert "aucune preuve n'est écrite" in rollout.output


def test_an_interruption_leaves_nothing(rollout: Rollout, capsys: pytest.CaptureFixture[str]) -> None:
    lock_commune(rollout.home / "verrous", "gondecourt", rollout.callback._pid, "alice")
    checked(rollout)
    rollout.callback._handle_interruption()
    assert [path.name for path in (rollout.home / "evidence").iterdir()] == [".verrou"]
    assert not (rollout.home / "verrous" / "gondecourt.json").exists()
    assert "aucune preuve n'est écrite, ses verrous sont levés" in capsys.readouterr().err


def test_an_interruption_says_which_machines_are_left_as_they_are(rollout: Rollout) -> None:
    assert "restent" not in rollout.callback._interruption_message()
    rollout.play("deploiement")
    rollout.ok(PC.name)
    assert rollout.callback._interruption_message() == (
        "Interrompu : ce qui est fait reste fait.\n"
        f"Déjà commencées, elles restent comme elles sont : {PC.name}.\n"
        "À faire : relancez la même commande, elle reprend."
    )


def test_progress_says_each_role_once_in_french(rollout: Rollout) -> None:
    rollout.play("deploiement")
    for role, name in (("", "Place | Take the server's turn"), ("base", "base : apt | Ensure"), ("base", "base : x")):
        named = SimpleNamespace(get_name=lambda role=role: role) if role else None
        rollout.callback.v2_playbook_on_task_start(
            SimpleNamespace(get_name=lambda name=name: name, _role=named), is_conditional=False
        )
    [line] = [line for line in rollout.lines if "…" in line]
    assert line.endswith("système : paquets, heure, journaux")
    assert "base" not in rollout.output and "Take" not in rollout.output


def test_other_playbooks_are_none_of_its_business() -> None:
    callback = CallbackModule()
    callback.v2_playbook_on_start(SimpleNamespace(_file_name="playbooks/site.yml"))
    assert callback.disabled
    callback.v2_playbook_on_start(SimpleNamespace(_file_name="playbooks/journeys/rollout.yml"))
    assert not callback.disabled


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tags": ("all",), "skip_tags": ()}, ""),
        ({}, ""),
        ({"tags": ("pki",)}, "--tags"),
        ({"skip_tags": ("slow",), "start_at_task": "x"}, "--skip-tags et --start-at-task"),
    ],
)
def test_options_that_skip_tasks_are_told(arguments: dict[str, Any], words: str) -> None:
    said = restriction(arguments)
    assert words in said
    assert bool(said) == bool(words)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"msg": "Task failed: Module failed: plein"}, "plein"),
        ({"msg": "non-zero return code", "stderr": "ls: absent"}, "non-zero return code ls: absent"),
        ({"msg": "All items completed", "results": [{"msg": "bon"}, {"failed": True, "msg": "mauvais"}]}, "mauvais"),
        ({"msg": "One or more items failed", "results": [{}, {"exception": "(…)", "msg": "mauvais"}]}, "mauvais"),
        ({"censored": "the output has been hidden", "msg": "secret"}, "détail masqué, car il contient un secret"),
        ({"stdout": "tout ce qui reste"}, "tout ce qui reste"),
    ],
)
def test_the_most_telling_message_is_kept(result: dict[str, Any], message: str) -> None:
    assert failure_message(result) == message
