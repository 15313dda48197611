# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Follows a rollout, shows its progress in French, and leaves its evidence.

Evidence is written here and not by a last play: Ansible stops after a play whose every host failed, and
the report is most wanted then.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.template import Templar
from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.words import count, duration, now
from ansible_collections.cdg59.creatic.plugins.plugin_utils import interruption, waited
from ansible_collections.cdg59.creatic.plugins.plugin_utils.listener import Listener

from creatic.evidence import follow, steps, store
from creatic.evidence import servers as evidence_servers
from creatic.evidence import updates as evidence_updates
from creatic.evidence.rollout import Commune, HostRun, Run
from creatic.postes import seen
from creatic.registry import (
    environment,
    groupement,
    profiles,
    wiring,
)

DOCUMENTATION = """
name: rollout
type: aggregate
short_description: Follows a rollout and leaves its signed evidence
version_added: "0.1.0"
description:
  - Enabled for every playbook, it acts only for C(journeys/rollout.yml), C(journeys/servers.yml) and
    C(journeys/updates.yml).
  - As the standard output callback (C(ANSIBLE_STDOUT_CALLBACK=cdg59.creatic.rollout), as C(fab commune.deployer) does)
    it is the only output, compact and in French. Beside another one it adds the phases and the final table.
  - The variable C(creatic_phase) of a play says which phase it is.
  - The environment variable E(CREATIC_ROLLOUT_ID) chooses the run's name; E(CREATIC_ROLLOUT_CONTENT) is the digest of
    the code and of the inventory, which its evidence keeps; E(CREATIC_ROLLOUT_POSTES) is a file that says what servers
    saw of the PCs that nobody reaches.
requirements:
  - rich
"""


# What keeps the record of a run that is told machine by machine, by playbook.
_MACHINES: dict[str, Any] = {"servers.yml": evidence_servers, "updates.yml": evidence_updates}
# The last task of `fab serveurs` on a server.
_PROOF = "cdg59.creatic.server_proof"


def _is_last(task: Any) -> bool:
    """Whether nothing is run on a host after this task of its fails: no block around it has a rescue, or an always."""
    if task.action == _PROOF:
        return True
    around = task._parent
    while around is not None:
        if getattr(around, "rescue", None) or getattr(around, "always", None):
            return False
        around = around._parent
    return True


class CallbackModule(Listener):
    """Turns Ansible's events into the facts of a run."""

    CALLBACK_NAME = "cdg59.creatic.rollout"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.follower: follow.Follower | None = None
        self.home = Path()
        self.communes: list[Commune] = []
        self.staging: Path | None = None
        self.source = ""
        self.machines: Any = None
        self.profiles: dict[str, str] = {}
        self.check = False
        self.alone = constants.DEFAULT_STDOUT_CALLBACK == self.CALLBACK_NAME
        self._pid = os.getpid()
        self._clock = time.monotonic()
        self._started = now()
        self._roles: set[str] = set()
        self._last = ""  # the task after which a rollout is done with a machine
        self._live = False

    # -- Output ---------------------------------------------------------------------------------------

    def _print_line(self, text: str = "", color: str | None = None) -> None:
        self._clear_line()
        self._display.display(harmless.text(text), color=color)  # machines' words too
        sys.stdout.flush()  # Ansible does not: behind a pipe, progress would come all at the end

    def _clear_line(self) -> None:
        if self._live:
            sys.stdout.write("\r\033[2K")
            self._live = False

    def _show_progress(self, name: str, role: str) -> None:
        """Show the current task: rewritten in place on a terminal, else each role once."""
        elapsed = duration(time.monotonic() - self._clock)
        said = steps.phrase(name, role)
        if sys.stdout.isatty():
            self._clear_line()
            width = os.get_terminal_size(sys.stdout.fileno()).columns - 1
            sys.stdout.write(f"   … {elapsed:>11}  {said}"[:width])
            sys.stdout.flush()
            self._live = True
        elif role and role not in self._roles:
            self._print_line(f"   … {elapsed:>11}  {said}")
            self._roles.add(role)

    # -- Events ---------------------------------------------------------------------------------------

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Act only for the deployments of communes and of servers, and for updates."""
        path = Path(str(playbook._file_name))
        self.machines = _MACHINES.get(path.name)
        self.disabled = path.parent.name != "journeys" or (path.name != "rollout.yml" and self.machines is None)
        if not self.disabled:
            interruption.announce_interruption(self._interruption_message)
            if self.alone:
                waited.set_wait_description(self._describe_wait)
            self.source = follow.code_version(path.resolve().parent)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Open the run at the first play; note the phase."""
        self._end_phase()
        variables = play.get_variable_manager()
        hosts = [host.name for host in variables._inventory.get_hosts(play.hosts)]
        if self.follower is None and hosts:
            self._open_run(play, hosts)
        self._roles.clear()
        if self.follower and (title := self.follower.begin(str(play.get_vars().get("creatic_phase", "")))):
            if self.follower.phase == "preuves" and not self.machines:
                self._last = play.get_tasks()[-1][-1]._uuid  # by blocks
            self._print_line(f"\n{title}", constants.COLOR_HIGHLIGHT)
            for line in profiles.waiting_messages(self.profiles) if self.follower.phase == "deploiement" else []:
                self._print_line(f"   … {line}")

    def _open_run(self, play: Any, hosts: list[str]) -> None:
        manager = play.get_variable_manager()
        host = manager._inventory.get_host(hosts[0])
        available = manager.get_vars(play=play, host=host)
        home = Templar(loader=manager._loader, variables=available).template(available["creatic_home"])
        limits = follow.restriction(context.CLIARGS)
        check = bool(context.CLIARGS.get("check"))
        if self.machines:
            known = {name: manager._inventory.get_host(name).get_groups() for name in hosts}
            self.profiles = {
                name: next((group.name for group in groups if group.name in profiles.load()), "")
                for name, groups in known.items()
            }
        bench = available.get("creatic_env") == environment.LAB
        # Servers are asked for the places of communes that nobody reaches.
        servers = self.machines is evidence_servers and groupement.OUTGOING in manager._inventory.groups
        asked = servers or not self.machines
        communes = follow.read_communes(manager._inventory, bench=bench) if asked else []
        self.begin(Path(home).expanduser(), communes, hosts, limits, check)
        groups = available.get("places_sortantes") or ()
        if self.follower and not self.machines:
            asked_for = ({groupement.OUTGOING, wiring.commune_group(one.slug)} & {*groups} for one in communes)
            named = (one.slug for one, asks in zip(communes, asked_for, strict=True) if one.outgoing and asks)
            self.follower.run.outgoing = frozenset(named)

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
        operator = store.operator()
        run_id = "simulation"
        if not self.check:
            wanted = os.environ.get("CREATIC_ROLLOUT_ID", "")
            base = self.home / (self.machines.FOLDER if self.machines else "evidence")
            run_id, self.staging = store.open_run(base, operator, wanted)
            os.environ[follow.RUN_FOLDER] = str(self.staging)
            atexit.register(self._handle_interruption)
        run = Run(run_id, self._started, operator, self.source, limits, environment=environment.of_state(self.home))
        run.content = os.environ.get("CREATIC_ROLLOUT_CONTENT", "")
        run.pcs = seen.read(os.environ.get(seen.VARIABLE, ""))
        run.hosts = {name: HostRun() for name in hosts}
        before = evidence_servers.before(self.home / self.machines.FOLDER, hosts) if self.machines else None
        self.follower = follow.Follower(run, before.steps if before else None)
        aimed = sum(any(info.name in run.hosts for info in commune.hosts) for commune in communes)
        what = "Simulation" if check else f"Passage {run_id}"
        aim = (
            count(len(hosts), self.machines.NOUN)
            if self.machines
            else f"{count(len(hosts), 'hôte')}, {count(aimed, 'commune')}"
        )
        last = f" ; la dernière fois : {duration(before.whole)}" if before and before.whole and not check else ""
        self._print_line(f"{what} : {aim}{last}")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Show where the run is."""
        if self.alone:
            self._show_progress(*steps.task_names(task))

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Show where the run is."""
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Note at which step the host is."""
        if self.follower:
            self.follower.started(host.get_name(), task.get_name(), task._role.get_name() if task._role else "")

    def _describe_wait(self, host: str, task: Any) -> waited.Waited:
        """What is waited for on a host: its step, and how long that took the last time."""
        if self.follower is None:
            return waited.Waited(task._uuid, time.monotonic(), steps.phrase(task.get_name()))
        step, since, last = self.follower.clock.at(host)
        said = steps.phrase(step)
        return waited.Waited(said, since, said, last)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count, and keep what the checks and the proofs tell; a machine that is proved is for others."""
        self._record_result(result)
        if result.task._uuid == self._last or (self.machines is evidence_servers and result.task.action == _PROOF):
            self._release_locks(result.host.get_name())

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Note that the host is there; the last proof may not be its own."""
        if self.follower:
            self.follower.skipped(result.host.get_name())
            if result.task._uuid == self._last:
                self._release_locks(result.host.get_name())

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note the failure; the statistics tell at the end whether a rescue repaired it."""
        self._record_result(result)
        if not ignore_errors:
            self._record_failure(result, reached=True)
            if _is_last(result.task):
                self._release_locks(result.host.get_name())

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note that the host could not be reached; its turn is for the next ones."""
        self._record_failure(result, reached=False)
        # Nothing of it is run any more, not even what gives its turn back (journeys/tasks/place.yml).
        self._release_locks(result.host.get_name())

    def _release_locks(self, host: str) -> None:
        """Give back the lock of a server with which the run is done, or of a commune after its last machine."""
        if self.follower is None:
            return
        hosts, locks = self.follower.run.hosts, self.home / "verrous"
        if host in hosts:
            hosts[host].over = now()
        if self.check:
            return
        store.unlock_communes(locks, self._pid, f"serveur-{host}")
        for commune in self.communes:
            own = [info.name for info in commune.hosts if info.name in hosts]
            if host in own and all(hosts[name].over for name in own):
                store.unlock_communes(locks, self._pid, commune.slug)

    def _record_result(self, result: Any) -> None:
        if self.follower:
            if self.follower.phase == "correctifs":
                evidence_updates.begin(self.home, result.host.get_name())
            counts = result.task.action not in constants._ACTION_ALL_INCLUDES
            changed = result.is_changed()
            self.follower.done(result.host.get_name(), result.result, changed=changed, counts=counts)
            if self.check and changed and counts and self.follower.phase == "deploiement":
                self._print_line(f"   ~ {result.host.get_name():<34} {steps.changes(result.task, result.result)}")

    def _record_failure(self, result: Any, *, reached: bool) -> None:
        if self.follower:
            (task, role), name = steps.task_names(result.task), result.host.get_name()
            lines = self.follower.stopped(name, task, result.result, reached=reached, role=role)
            for line, color in zip(
                lines if self.alone else [], (constants.COLOR_ERROR, constants.COLOR_ERROR, None), strict=False
            ):
                self._print_line(line, color)

    def _end_phase(self) -> None:
        for line in self.follower.end() if self.follower else []:
            self._print_line(line, constants.COLOR_OK)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Conclude: write the evidence, show the table."""
        self._end_phase()
        if self.follower is None:
            self._print_line("Aucun hôte n'est visé : vérifier --limit et l'inventaire.", constants.COLOR_ERROR)
            return
        self.follower.conclude({name for counts in (stats.failures, stats.dark) for name, n in counts.items() if n})
        if self.check:
            if self.machines is evidence_updates:
                self._print_line("\n" + "\n".join(evidence_updates.preview(self.follower.run, self.profiles)))
            self._print_line("\nSimulation : rien n'a été changé, aucune preuve n'est écrite.")
            return
        if self.machines:
            self._conclude_machines(self.follower.run)
        else:
            self._conclude_run(self.follower.run)

    def _conclude_machines(self, run: Run) -> None:
        assert self.staging is not None  # noqa: S101 - set with `run`, except in check mode
        keys = store.seal_keys(self.home)
        told = {"communes": self.communes} if self.machines is evidence_servers else {}
        record, folder, unsealed = self.machines.close(self.home, self.staging, run, self.profiles, keys, **told)
        atexit.unregister(self._handle_interruption)
        store.unlock_communes(self.home / "verrous", self._pid)
        self._print_line()
        for line in self.machines.lines(record):
            self._print_line(line)
        self._print_line(f"Durée : {duration(time.monotonic() - self._clock)}.")
        if folder is None:
            self._print_line("Aucune preuve écrite : ce passage n'a rien pu constater.", constants.COLOR_ERROR)
            return
        if unsealed:
            self._print_line(f"Preuves NON SIGNÉES : {unsealed}", constants.COLOR_ERROR)
        self._print_line(f"Preuves : {folder / 'rapport.html'}")

    def _conclude_run(self, run: Run) -> None:
        assert self.staging is not None  # noqa: S101 - set with `run`, except in check mode
        evidence = self.home / "evidence"
        outcome = follow.close_run(evidence, self.staging, run, self.communes, store.seal_keys(self.home))
        atexit.unregister(self._handle_interruption)
        store.unlock_communes(self.home / "verrous", self._pid)
        color = sys.stdout.isatty()
        width = os.get_terminal_size(sys.stdout.fileno()).columns if color else 120
        self._print_line()
        # Communes that nobody reaches have their table elsewhere, with what their machines reported.
        if reached := {slug: one for slug, one in outcome.reports.items() if slug not in run.outgoing}:
            self._print_line(follow.table(reached, width, color))
        standing = follow.readiness_summary(outcome.state, {one.slug for one in self.communes if one.outgoing})
        self._print_line(f"{standing} Durée : {duration(time.monotonic() - self._clock)}.")
        if outcome.folder is None:
            self._print_line("Aucune preuve écrite : ce passage n'a rien pu constater.", constants.COLOR_ERROR)
            return
        if outcome.unsealed:
            self._print_line(f"Preuves NON SIGNÉES : {outcome.unsealed}", constants.COLOR_ERROR)
        self._print_line(f"Preuves : {evidence / 'index.html'} (passage {run.run_id})")

    def _interruption_message(self) -> str:
        """What is said of a run that Ctrl-C stops: where each machine is left."""
        hosts = self.follower.run.hosts if self.follower else {}
        over = sum(host.over is not None for host in hosts.values())
        begun = sorted(name for name, host in hosts.items() if host.executed and host.over is None)
        where = f"\nMenées à leur fin, échecs compris : {count(over, 'machine')} sur {len(hosts)}." if over else ""
        where += f"\nDéjà commencées, elles restent comme elles sont : {', '.join(begun)}." if begun else ""
        return f"Interrompu : ce qui est fait reste fait.{where}\nÀ faire : relancez la même commande, elle reprend."

    def _handle_interruption(self) -> None:
        """Ctrl-C or an error of Ansible itself: leave nothing that could pass for evidence."""
        if os.getpid() != self._pid or self.staging is None:
            return
        store.discard_run(self.staging)
        self.staging = None
        store.unlock_communes(self.home / "verrous", self._pid)
        sys.stderr.write("Déploiement interrompu : aucune preuve n'est écrite, ses verrous sont levés.\n")
