# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Follows a rollout, shows its progress in French, and leaves its evidence.

Evidence is written here and not by a last play: Ansible stops after a play whose every host failed, and
the report is most wanted then.
"""

from __future__ import annotations

import atexit
import getpass
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C
from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import follow, store
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.rollout import (
    PHASES,
    PROFILES,
    Commune,
    HostInfo,
    HostRun,
    Run,
    count,
    duration,
    explain,
    now,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.seal import sha256

DOCUMENTATION = """
name: rollout
type: aggregate
short_description: Follows a rollout and leaves its signed evidence
version_added: "0.1.0"
description:
  - Enabled for every playbook, it acts only for C(journeys/rollout.yml).
  - As the standard output callback (C(ANSIBLE_STDOUT_CALLBACK=cdg59.creatic.rollout), as C(fab rollout) does) it is
    the only output, compact and in French. Beside another one it adds the phases and the final table.
  - The variable C(creatic_phase) of a play says which phase it is.
  - The environment variable E(CREATIC_ROLLOUT_ID) chooses the run's name.
requirements:
  - rich
"""


def read_communes(inventory: Any) -> list[Commune]:
    """Every commune of the inventory, whatever ``--limit`` says.

    Args:
        inventory: Ansible's InventoryManager.
    """
    files: dict[str, Path] = {}
    territories: dict[str, str] = {}
    for source in inventory._sources:
        root = Path(source) if Path(source).is_dir() else Path(source).parent
        files |= {path.stem: path for path in root.glob("communes/*.yml")}
        if (root / "groupement.yml").is_file():
            settings = yaml.safe_load((root / "groupement.yml").read_text(encoding="utf-8"))
            territories |= settings.get("territoires") or {}
    communes = []
    for group in inventory.groups.values():
        identity = group.vars.get("creatic_commune")
        if not identity:
            continue
        slug = str(identity["slug"])
        territory = str(identity.get("territoire", ""))
        shown = {key: item for key, item in identity.items() if key != "slug"}
        file = files.get(slug)
        communes.append(
            Commune(
                slug,
                shown | {"territoire": territories.get(territory, territory)},
                tuple(sorted(map(_host_info, group.get_hosts()), key=lambda info: (info.profile, info.name))),
                {"nom": f"communes/{file.name}", "sha256": sha256(file)} if file else None,
            )
        )
    return sorted(communes, key=lambda commune: commune.slug)


def _host_info(host: Any) -> HostInfo:
    groups = {group.name for group in host.get_groups()}
    return HostInfo(
        name=host.name,
        profile=next((profile for profile in PROFILES if profile in groups), ""),
        address=str(host.vars.get("ansible_host", "")),
        system=str((host.vars.get("creatic_poste") or {}).get("systeme", "debian")),
    )


def code_version(folder: Path) -> str:
    """Commit of the code, and whether it was changed since; empty outside git."""
    where = ["git", "-C", str(folder)]
    commit = subprocess.run([*where, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if commit.returncode:
        return ""
    changed = subprocess.run(
        [*where, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=False
    )
    return f"commit {commit.stdout.strip()}" + (" (modifié localement)" if changed.stdout.strip() else "")


def restriction(arguments: Mapping[str, Any]) -> str:
    """Why these command-line arguments keep a run from being a whole deployment; empty otherwise."""
    options = []
    if list(arguments.get("tags") or ["all"]) != ["all"]:
        options.append("--tags")
    options += [f"--{name.replace('_', '-')}" for name in ("skip_tags", "start_at_task") if arguments.get(name)]
    return f"lancé avec {' et '.join(options)} : une partie des tâches n'a pas été faite" if options else ""


def failure_message(result: Mapping[str, Any]) -> str:
    """The most telling message of a failed result."""
    items = result.get("results")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, Mapping) and (item.get("failed") or item.get("unreachable")):
            return failure_message(item)
    if "censored" in result:
        return "détail masqué, car il contient un secret"
    message = str(result.get("msg") or "")
    if not message or "non-zero return code" in message or message.startswith("MODULE FAILURE"):
        said = str(result.get("stderr") or result.get("module_stderr") or result.get("stdout") or "")
        message = f"{message} {said[-400:]}".strip()
    for prefix in ("Task failed: ", "Action failed: ", "Module failed: "):
        message = message.removeprefix(prefix)
    return message


def table(reports: Mapping[str, Mapping[str, Any]], width: int, color: bool) -> str:
    """The readiness table of the communes of a run."""
    from rich.box import ROUNDED
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    grid = Table(box=ROUNDED, show_lines=True, expand=False)
    for name in ("Commune", "Équipée", "Prête", "Ce qui manque"):
        grid.add_column(name, overflow="fold")

    def mark(report: Mapping[str, Any], key: str) -> str:
        if report[key]:
            return "[green]oui[/]"
        partial = not report["complet"] and all(host["etat"] in ("non_vise", "deploye") for host in report["hotes"])
        return "[yellow]non vérifié[/]" if partial else "[red]non[/]"

    for report in reports.values():
        gaps = "\n".join(f"{gap['objet']} : {gap['raison']}" for gap in report["manques"])
        name = str(report["commune"].get("nom") or report["commune"]["slug"])
        grid.add_row(escape(name), mark(report, "equipee"), mark(report, "prete"), escape(gaps) or "—")
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=color, no_color=not color, highlight=False).print(grid)
    return stream.getvalue().rstrip("\n")


class CallbackModule(CallbackBase):
    """Turns Ansible's events into the facts of a run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "cdg59.creatic.rollout"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.run: Run | None = None
        self.home = Path()
        self.communes: list[Commune] = []
        self.staging: Path | None = None
        self.source = ""
        self.phase = ""
        self.check = False
        self.alone = C.DEFAULT_STDOUT_CALLBACK == self.CALLBACK_NAME
        self._pid = os.getpid()
        self._clock = self._phase_clock = time.monotonic()
        self._started = now()
        self._last_event: dict[str, float] = {}
        self._active: set[str] = set()
        self._in_deployment: set[str] = set()
        self._roles: set[str] = set()
        self._live = False

    # -- Output ---------------------------------------------------------------------------------------

    def _say(self, text: str = "", color: str | None = None) -> None:
        self._clear()
        self._display.display(text, color=color)
        sys.stdout.flush()  # Ansible does not: behind a pipe, progress would come all at the end

    def _clear(self) -> None:
        if self._live:
            sys.stdout.write("\r\033[2K")
            self._live = False

    def _progress(self, name: str, role: str) -> None:
        """Show the current task: rewritten in place on a terminal, else each role once."""
        elapsed = duration(time.monotonic() - self._clock)
        if sys.stdout.isatty():
            self._clear()
            width = os.get_terminal_size(sys.stdout.fileno()).columns - 1
            sys.stdout.write(f"   … {elapsed:>11}  {name}"[:width])
            sys.stdout.flush()
            self._live = True
        elif role and role not in self._roles:
            self._say(f"   … {elapsed:>11}  {role}")
            self._roles.add(role)

    # -- Events ---------------------------------------------------------------------------------------

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Act only for the rollout."""
        path = Path(str(playbook._file_name))
        self.disabled = (path.parent.name, path.name) != ("journeys", "rollout.yml")
        if not self.disabled:
            self.source = code_version(path.resolve().parent)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Open the run at the first play; note the phase."""
        self._end_phase()
        variables = play.get_variable_manager()
        hosts = [host.name for host in variables._inventory.get_hosts(play.hosts)]
        if self.run is None and hosts:
            self._open(play, hosts)
        self.phase = str(play.get_vars().get("creatic_phase", ""))
        self._phase_clock = time.monotonic()
        self._roles.clear()
        if self.run and self.phase in PHASES and not all(host.incident for host in self.run.hosts.values()):
            self._say(f"\n{PHASES[self.phase]}", C.COLOR_HIGHLIGHT)

    def _open(self, play: Any, hosts: list[str]) -> None:
        manager = play.get_variable_manager()
        host = manager._inventory.get_host(hosts[0])
        available = manager.get_vars(play=play, host=host)
        home = Templar(loader=manager._loader, variables=available).template(available["creatic_home"])
        limits = restriction(context.CLIARGS)
        check = bool(context.CLIARGS.get("check"))
        self.begin(Path(home).expanduser(), read_communes(manager._inventory), hosts, limits, check)

    def begin(self, home: Path, communes: list[Commune], hosts: list[str], limits: str, check: bool) -> None:
        """Open the run.

        Args:
            home: state folder of the control node.
            communes: all those of the inventory.
            hosts: targeted hosts.
            limits: why it cannot be a whole deployment, or empty.
            check: nothing is changed, nothing is written.
        """
        self.home, self.communes, self.check = home, communes, check
        operator = f"{getpass.getuser()}@{socket.gethostname()}"
        run_id = "simulation"
        if not self.check:
            wanted = os.environ.get("CREATIC_ROLLOUT_ID", "")
            run_id, self.staging = store.open_run(self.home / "evidence", operator, wanted)
            os.environ[follow.RUN_FOLDER] = str(self.staging)
            atexit.register(self._interrupted)
        self.run = Run(run_id, self._started, operator, self.source, limits)
        self.run.hosts = {name: HostRun() for name in hosts}
        aimed = sum(any(info.name in self.run.hosts for info in commune.hosts) for commune in communes)
        what = "Simulation" if check else f"Passage {run_id}"
        self._say(f"{what} : {count(len(hosts), 'hôte')}, {count(aimed, 'commune')}")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Show where the run is."""
        if self.alone:
            role = task._role.get_name() if task._role else ""
            self._progress(task.get_name(), role)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Show where the run is."""
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count, and keep what the checks and the proofs tell."""
        self._note(result, changed=result.is_changed())

    def v2_runner_on_skipped(self, result: Any) -> None:
        """A skipped task is not executed, but its host is there."""
        self._active.add(result.host.get_name())

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note the failure; the statistics tell at the end whether a rescue repaired it."""
        host = self._note(result, changed=result.is_changed())
        if host is None or ignore_errors:
            return
        message = failure_message(result.result)
        refused = bool(result.result.get("creatic_lock_refused"))
        self._incident(result, host, "refus" if refused else "echec", message)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note that the host could not be reached."""
        host = self._host(result)
        if host is not None:
            self._incident(result, host, "injoignable", failure_message(result.result))

    def _host(self, result: Any) -> HostRun | None:
        return self.run.hosts.get(result.host.get_name()) if self.run else None

    def _note(self, result: Any, changed: bool) -> HostRun | None:
        host = self._host(result)
        if host is None:
            return None
        name = result.host.get_name()
        self._active.add(name)
        self._last_event[name] = time.monotonic()
        if self.phase == "deploiement" and result.task.action not in C._ACTION_ALL_INCLUDES:
            self._in_deployment.add(name)
            host.executed += 1
            host.changed += changed
        if self.phase == "controles":
            host.receive("controles", result.result.get("creatic_preflight") or [])
        proof = result.result.get("creatic_proof")
        if self.phase == "preuves" and proof:
            for kind in ("preuves", "fichiers", "certificats"):
                host.receive(kind, (proof.get(kind) or []) if isinstance(proof, dict) else proof)
            refused = proof.get("refus") if isinstance(proof, dict) else None
            host.refused += map(str, refused if isinstance(refused, list) else [])
        return host

    def _incident(self, result: Any, host: HostRun, nature: str, message: str) -> None:
        reason, remedy = explain(message)
        if nature == "refus":
            reason, remedy = (
                message.removesuffix(". Attendre sa fin, puis relancer."),
                "Attendre sa fin, puis relancer.",
            )
        name = result.host.get_name()
        self._active.add(name)
        self._last_event[name] = time.monotonic()
        host.incident = {
            "phase": self.phase if self.phase in PHASES else "deploiement",
            "nature": nature,
            "tache": result.task.get_name(),
            "raison": reason,
            "remede": remedy,
        }
        if self.alone:
            lead = {"injoignable": "injoignable", "echec": "échec", "refus": "refusé"}[nature]
            self._say(f"   ✗ {name} : {lead} ({result.task.get_name()})", C.COLOR_ERROR)
            self._say(f"     {reason}", C.COLOR_ERROR)
            self._say(f"     → {remedy}")

    def _end_phase(self) -> None:
        """Say how each host ended the phase."""
        if not self.run or self.phase not in PHASES:
            return
        for name in sorted(self._active & self.run.hosts.keys()):
            host = self.run.hosts[name]
            spent = self._last_event.get(name, self._phase_clock) - self._phase_clock
            host.seconds[self.phase] = max(0.0, spent)
            if host.incident and host.incident["phase"] == self.phase:
                continue
            if self.phase == "deploiement":
                detail = f"{count(host.executed, 'tâche')}, {count(host.changed, 'changement')}"
            else:
                results = host.checks if self.phase == "controles" else host.proofs
                reserves = sum(item["verdict"] == "attention" for item in results)
                detail = count(len(results), "contrôle" if self.phase == "controles" else "preuve")
                detail += f", {count(reserves, 'réserve')}" if reserves else ""
            self._say(f"   ✓ {name:<34} {detail:<32} {duration(spent):>11}", C.COLOR_OK)
        self._active.clear()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Conclude: write the evidence, show the table."""
        self._end_phase()
        if self.run is None:
            self._say("Aucun hôte n'est visé : vérifier --limit et l'inventaire.", C.COLOR_ERROR)
            return
        for name, host in self.run.hosts.items():
            failed = bool(stats.failures.get(name) or stats.dark.get(name))
            if not failed:
                host.incident = None
            elif host.incident is None:
                # A run_once task that fails marks every host failed, and tells of one only.
                host.incident = {
                    "phase": next(reversed(host.seconds), "controles"),
                    "nature": "echec",
                    "tache": "",
                    "raison": "une tâche commune à tous les hôtes a échoué",
                    "remede": "Corriger la cause affichée pour l'autre hôte, puis relancer.",
                }
            blocked = host.incident is not None and host.incident["phase"] != "preuves"
            host.rolled_out = name in self._in_deployment and not blocked
        if self.check:
            self._say("\nSimulation : rien n'a été changé, aucune preuve n'est écrite.")
            return
        self._conclude(self.run)

    def _conclude(self, run: Run) -> None:
        assert self.staging is not None  # noqa: S101 - set with `run`, except in check mode
        evidence = self.home / "evidence"
        outcome = follow.close_run(evidence, self.staging, run, self.communes, store.seal_keys(self.home))
        atexit.unregister(self._interrupted)
        store.unlock_communes(self.home / "verrous", self._pid)
        color = sys.stdout.isatty()
        width = os.get_terminal_size(sys.stdout.fileno()).columns if color else 120
        self._say()
        self._say(table(outcome.reports, width, color))
        ready = sum(state["prete"] for state in outcome.state.values())
        equipped = sum(state["equipee"] for state in outcome.state.values())
        self._say(
            f"Groupement, dernier état connu : équipées {equipped} / {len(outcome.state)}, "
            f"prêtes {ready} / {len(outcome.state)}. "
            f"Durée : {duration(time.monotonic() - self._clock)}."
        )
        if outcome.folder is None:
            self._say("Aucune preuve écrite : ce passage n'a rien pu constater.", C.COLOR_ERROR)
            return
        if outcome.unsealed:
            self._say(f"Preuves NON SIGNÉES : {outcome.unsealed}", C.COLOR_ERROR)
        self._say(f"Preuves : {evidence / 'index.html'} (passage {run.run_id})")

    def _interrupted(self) -> None:
        """Ctrl-C or an error of Ansible itself: leave nothing that could pass for evidence."""
        if os.getpid() != self._pid or self.staging is None:
            return
        store.discard_run(self.staging)
        self.staging = None
        store.unlock_communes(self.home / "verrous", self._pid)
        sys.stderr.write("\nDéploiement interrompu : aucune preuve n'est écrite. Relancer : il reprend.\n")
