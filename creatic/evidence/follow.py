# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What Ansible tells of a rollout, and the evidence that it leaves::

evidence/2026-11-25T010504Z/         see store
    index.html etat.json passage.json
    gondecourt/preuve.html preuve.json gondecourt-pc-secretariat/navigateur.png …
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.words import count, duration, now

from creatic.evidence import page as evidence_page
from creatic.evidence import steps, store
from creatic.evidence.failures import explain, failure_message
from creatic.evidence.rollout import (
    PHASES,
    PLACES,
    PROFILES,
    Commune,
    Entity,
    HostInfo,
    HostRun,
    Run,
    assess,
    leaving_of,
    merge_state,
)
from creatic.evidence.seal import SEAL_FILES, SealKeys, sha256
from creatic.evidence.steps import place
from creatic.registry import formalities, groupement, profiles, wiring
from creatic.registry.wiring import REQUIRED
from creatic.terminal import Grid

# Environment variable by which the rollout's callback tells its action plugins where to collect.
RUN_FOLDER = "CREATIC_ROLLOUT_FOLDER"


def read_communes(inventory: Any, *, bench: bool) -> list[Commune]:
    """Every commune of the inventory, whatever ``--limit`` says.

    Args:
        inventory: Ansible's InventoryManager.
        bench: it is the test bench's.
    """
    files: dict[str, Path] = {}
    territories: dict[str, str] = {}
    for source in inventory._sources:
        root = Path(source) if Path(source).is_dir() else Path(source).parent
        files |= {path.stem: path for path in root.glob("communes/*.yml")}
        if (root / "groupement.yml").is_file():
            settings = yaml.safe_load((root / "groupement.yml").read_text(encoding="utf-8"))
            territories |= settings.get("territoires") or {}
    groups = {
        name: [host.name for host in inventory.groups[name].get_hosts()]
        for name in profiles.load()
        if name in inventory.groups
    }
    every = wiring.commune_servers(groups, {one for found in profiles.load().values() for one in found.services})
    servers = {place: tuple(_host_info(inventory.get_host(name)) for name in names) for place, names in every.items()}
    outgoing = inventory.groups.get(groupement.OUTGOING)
    unreached = {host.name for host in outgoing.get_hosts()} if outgoing else set()
    communes = []
    for group in inventory.groups.values():
        identity = group.vars.get("creatic_commune")
        if not identity:
            continue
        slug = str(identity["slug"])
        territory = str(identity.get("territoire", ""))
        shown = {key: item for key, item in identity.items() if key not in ("slug", "formalites")}
        file = files.get(slug)
        folder = file.parents[1] / formalities.FOLDER if file else Path(formalities.FOLDER)
        connectors = [host.vars.get("creatic_connecteur", {}) for host in group.get_hosts()]
        written = {**identity, "connecteur": next(filter(None, connectors), {})}
        judged = formalities.judge(written, folder, file=f"communes/{slug}.yml", bench=bench)
        hosted = identity.get("entites", ())
        for entity in hosted:
            judged += _of_entity(formalities.judge(entity, folder, file=f"communes/{slug}.yml", bench=bench), entity)
        communes.append(
            Commune(
                slug,
                shown | {"territoire": territories.get(territory, territory)},
                tuple(
                    sorted(
                        (*(_host_info(host, hosted) for host in group.get_hosts()), *_unhosted_pcs(group)),
                        key=lambda info: (info.profile, info.name),
                    )
                ),
                {"nom": f"communes/{file.name}", "sha256": sha256(file)} if file else None,
                places(groups, identity["services"]),
                servers,
                lacking_places(identity["services"], groups, f"communes/{slug}.yml"),
                judged,
                tuple(Entity(one["slug"], one["nom"], places(groups, one["services"])) for one in hosted),
                any(host.name in unreached for host in group.get_hosts()),
            )
        )
    return sorted(communes, key=lambda commune: commune.slug)


def places(groups: Mapping[str, Sequence[str]], services: Iterable[str]) -> tuple[str, ...]:
    """Places that these services have on servers, in the order of the table."""
    found = wiring.commune_servers(groups, services)
    return tuple(place for place in PLACES if place in found)


def _of_entity(judged: Iterable[Mapping[str, Any]], entity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Formalities of an entity, told apart from its commune's."""
    return [
        {**one, "cle": f"{entity['slug']}.{one['cle']}", "libelle": f"{one['libelle']} ({entity['nom']})"}
        for one in judged
    ]


def lacking_places(
    services: Iterable[str], groups: Mapping[str, Sequence[str]], file: str
) -> dict[str, tuple[str, str]]:
    """Places of a commune of which the inventory has no server, each with what is said of it: reason and fix.

    Args:
        services: those that the commune takes.
        groups: hosts of each group of the inventory.
        file: of the commune.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for name, asked in profiles.missing_profiles(services, groups).items():
        found.setdefault(profiles.load()[name].place, {})[name] = asked
    return {place: profiles.lacking_text(lacks, file) for place, lacks in found.items()}


def _host_info(host: Any, hosted: Iterable[Mapping[str, Any]] = ()) -> HostInfo:
    """A host.

    Args:
        hosted: the entities that its commune hosts, whose acts its connector sends too.
    """
    groups = {group.name for group in host.get_groups()}
    known = (*PROFILES, *profiles.marked("place"))
    profile = next((profile for profile in known if profile in groups), "")
    return HostInfo(
        name=host.name,
        profile=profile,
        more=proofs_of_entities(profile, hosted),
        address=str(host.vars.get("ansible_host", "")),
        system=str((host.vars.get("creatic_poste") or {}).get("systeme", "debian")),
    )


def _unhosted_pcs(group: Any) -> list[HostInfo]:
    """The PCs of a commune's group that are no hosts."""
    told = group.vars.get("creatic_postes_portes", ())
    return [HostInfo(str(one["nom"]), "commune_pc", system=str(one["systeme"]), is_carried=True) for one in told]


def proofs_of_entities(profile: str, hosted: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Proofs asked of a commune's machine for the entities that it hosts: key and label of each.

    Args:
        profile: the machine's; its connector alone sends their acts.
        hosted: the entities.
    """
    transmitting = [one for one in hosted if profile == "tdt_connector" and "teletransmission" in one["services"]]
    return tuple(
        (f"{one['slug']}.{key}", f"{label} ({one['nom']})")
        for one in transmitting
        for key, label in REQUIRED[profile].items()
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


def readiness_summary(state: Mapping[str, Mapping[str, Any]], outgoing: Collection[str]) -> str:
    """How many communes are equipped and ready, of those whose machines are reached (French, one line).

    Args:
        state: last known state of every commune.
        outgoing: slugs of those that nobody reaches: their reports, not this state, say where they are.
    """
    known = [one for slug, one in state.items() if slug not in outgoing]
    ready, equipped = (sum(one[key] for one in known) for key in ("prete", "equipee"))
    apart = len(state) - len(known)
    told = f"Groupement, dernier état connu : équipées {equipped} / {len(known)}, prêtes {ready} / {len(known)}"
    return told + (f", sans compter {apart} en accès sortant (fab flotte.etat)." if apart else ".")


def table(reports: Mapping[str, Mapping[str, Any]], width: int, color: bool) -> str:
    """The readiness table of the communes of a run."""
    taken = {service["cle"] for report in reports.values() for service in report["services"]}
    columns = {place: label for place, label in PLACES.items() if place in taken}
    grid = Grid("Commune", "Équipée", *columns.values(), "Prête", "Ce qui manque", lines=True, overflow="fold")

    def mark(report: Mapping[str, Any], key: str) -> tuple[str, str]:
        if report[key]:
            return "oui", "green"
        partial = not report["complet"] and all(host["etat"] in ("non_vise", "deploye") for host in report["hotes"])
        return ("non vérifié", "yellow") if partial else ("non", "red")

    def place(report: Mapping[str, Any], key: str) -> tuple[str, str]:
        found = next((service["etat"] for service in report["services"] if service["cle"] == key), "")
        shown = {"prouve": ("oui", "green"), "echec": ("non", "red"), "non_verifie": ("non vérifié", "yellow")}
        return shown.get(found, ("—", ""))

    for report in reports.values():
        gaps = "\n".join(f"{gap['objet']} : {gap['raison']}" for gap in report["manques"])
        name = str(report["commune"].get("nom") or report["commune"]["slug"])
        cells = [place(report, key) for key in columns]
        grid.add(name, mark(report, "equipee"), *cells, mark(report, "prete"), gaps or "—")
    return grid.render_text(width, color=color)


class Follower:
    """Turns what Ansible tells of each host into the facts of a run, and into French lines.

    Args:
        run: with its targeted hosts.
        last: seconds that each step took the last time, by host.
    """

    def __init__(self, run: Run, last: Mapping[str, Mapping[str, float]] | None = None) -> None:
        self.run = run
        self.clock = steps.Clock(last or {})
        self.phase = ""
        self._clock = time.monotonic()
        self._last_event: dict[str, float] = {}
        self._active: set[str] = set()
        self._in_deployment: set[str] = set()
        self._told: dict[str, int] = {}

    def begin(self, phase: str) -> str:
        """Begin a play of a phase; gives the phase's title, empty when it is not shown, or is already."""
        known, self.phase = self.phase == phase, phase
        self._clock = time.monotonic()
        self.clock.pause()
        if known:
            return ""
        return PHASES.get(phase, "") if not all(host.incident for host in self.run.hosts.values()) else ""

    def _host_run(self, name: str) -> HostRun | None:
        self._active.add(name)
        self._last_event[name] = time.monotonic()
        self.clock.end(name, self._last_event[name])
        return self.run.hosts.get(name)

    def started(self, name: str, task: str, role: str) -> None:
        """A task starts on a host."""
        self.clock.start(name, steps.key(task, role), time.monotonic())

    def skipped(self, name: str) -> None:
        """A skipped task is not executed, but its host is there."""
        self._active.add(name)
        self.clock.end(name, time.monotonic())

    def done(self, name: str, result: Mapping[str, Any], *, changed: bool, counts: bool) -> None:
        """Keep what a task tells.

        Args:
            result: the task's.
            counts: it is one of the deployment's tasks, no include.
        """
        host = self._host_run(name)
        if host is None:
            return
        if self.phase in ("deploiement", "correctifs") and counts:
            self._in_deployment.add(name)
            host.executed += 1
            host.changed += changed
        if self.phase == "controles":
            host.receive("controles", result.get("creatic_preflight") or [])
        if self.phase in ("controles", "correctifs") and (state := result.get("correctifs")):
            host.receive("correctifs", [state])
        proof = result.get("creatic_proof")
        if self.phase in ("preuves", "correctifs") and proof:
            for kind in ("preuves", "fichiers", "certificats"):
                host.receive(kind, (proof.get(kind) or []) if isinstance(proof, dict) else proof)
            refused = proof.get("refus") if isinstance(proof, dict) else None
            host.refused += map(str, refused if isinstance(refused, list) else [])

    def stopped(self, name: str, task: str, result: Mapping[str, Any], *, reached: bool, role: str = "") -> list[str]:
        """Note what stopped a host; gives what is said of it.

        Args:
            task: name of the task that failed.
            result: the task's.
            reached: the host answered.
            role: of the task; empty for none.
        """
        host = self._host_run(name)
        message = failure_message(result)
        reason, remedy = explain(message, reached=reached)
        nature = "echec" if reached else "injoignable"
        if reached and result.get("creatic_lock_refused"):
            nature, remedy = "refus", "Attendre sa fin, puis relancer."
            reason = message.removesuffix(f". {remedy}")
        phase = self.phase if self.phase in PHASES else "deploiement"
        if host is not None:  # else the control node: what it does for the others is shown all the same
            host.incident = {"phase": phase, "nature": nature, "tache": task, "raison": reason, "remede": remedy}
        lead = {"injoignable": "injoignable", "echec": "échec", "refus": "refusé"}[nature]
        return [f"   ✗ {name} : {lead} ({place(task, role)})", f"     {reason}", f"     → {remedy}"]

    def end(self) -> list[str]:
        """End the phase; says how each host went through it."""
        if self.phase not in PHASES:
            return []
        lines = []
        for name in sorted(self._active & self.run.hosts.keys()):
            host = self.run.hosts[name]
            spent = max(0.0, self._last_event.get(name, self._clock) - self._clock)
            host.seconds[self.phase] = host.seconds.get(self.phase, 0.0) + spent
            if host.incident and host.incident["phase"] == self.phase:
                continue
            if self.phase in ("deploiement", "correctifs"):
                if self._told.get(name, 0) == host.executed:
                    continue  # nothing of this play was its own
                self._told[name] = host.executed
                detail = f"{count(host.executed, 'tâche')}, {count(host.changed, 'changement')}"
            else:
                results = host.checks if self.phase == "controles" else host.proofs
                if not results:
                    continue  # this phase asks nothing of it
                reserves = sum(item["verdict"] == "attention" for item in results)
                detail = count(len(results), "contrôle" if self.phase == "controles" else "preuve")
                detail += f", {count(reserves, 'réserve')}" if reserves else ""
            lines.append(f"   ✓ {name:<34} {detail:<32} {duration(spent):>11}")
        self._active.clear()
        return lines

    def conclude(self, failed: Container[str]) -> None:
        """Say of each host whether it was rolled out.

        Args:
            failed: hosts that Ansible counts as failed or unreachable, those which a rescue repaired left out.
        """
        for name, host in self.run.hosts.items():
            if name not in failed:
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
            host.steps = dict(self.clock.spent.get(name, {}))
            blocked = host.incident is not None and host.incident["phase"] != "preuves"
            host.rolled_out = name in self._in_deployment and not blocked


@dataclass(frozen=True)
class Outcome:
    """What a finished run left.

    Attributes:
        reports: evidence by slug, of the communes it concluded something about.
        state: last known state of every commune.
        folder: the run's folder; None when it concluded nothing.
        unsealed: why there is no signature (French); empty when sealed.
    """

    reports: dict[str, dict[str, Any]]
    state: dict[str, Any]
    folder: Path | None
    unsealed: str = ""


def close_run(evidence: Path, staging: Path, run: Run, communes: Sequence[Commune], keys: SealKeys) -> Outcome:
    """Write, seal and publish the evidence of a run.

    Args:
        communes: every commune of the inventory.
        keys: None when there is no authority yet; the evidence is then kept, and said to be unsigned.
    """
    run.finished = now()
    asked = {*run.hosts}
    for commune in communes:
        if commune.slug in run.outgoing or any(host.name in asked for host in commune.hosts):
            run.hosts |= {one.name: run.pcs[one.name] for one in commune.hosts if one.name in run.pcs}
    with store.closing(evidence) as finished:
        before = store.last_json(finished, "etat.json") or {}
        reports = {
            commune.slug: assess(commune, run, known.get("hotes", {}), leaving_of(commune.places, known))
            for commune in communes
            for known in [before.get(commune.slug, {})]
            if commune.slug in run.outgoing or any(host.name in run.hosts for host in commune.hosts)
        }
        # A rollout refused because another one is running says nothing of the commune.
        told = {
            slug: report
            for slug, report in reports.items()
            if any(
                host["etat"] not in ("refus", "non_vise", "non_atteint")
                for host in report["hotes"]
                if host["nom"] in asked
            )
            or (slug in run.outgoing and any(one["etat"] != "non_verifie" for one in report["services"]))
        }
        state = merge_state(communes, told, before)
        if not told:
            store.discard_run(staging)
            return Outcome(reports, state, None)
        for slug, report in told.items():
            (staging / slug).mkdir(exist_ok=True)
            store.write_json(staging / slug / "preuve.json", report)
            store.write_text(staging / slug / "preuve.html", evidence_page.commune_page(report))
        store.write_json(staging / "etat.json", state)
        passage = {
            "version": 1,
            "passage": run.run_id,
            "debut": run.started.isoformat(timespec="seconds"),
            "fin": run.finished.isoformat(timespec="microseconds"),
            "operateur": run.operator,
            "environnement": run.environment,
            "code": run.source,
            "empreinte": run.content,
            "communes": sorted(told),
        }
        pages = {"index.html": lambda record: evidence_page.index_page(record, state)}
        return Outcome(reports, state, *store.publish(staging, finished, store.ROLLOUT, passage, pages, keys))


def readiness(evidence: Path, run_id: str, slugs: Iterable[str]) -> list[str]:
    """Say what keeps a run from having proved that these communes are ready; for ``fab commune.deployer``.

    Returns:
        French reasons; empty when each has sealed evidence of this run and is *prête*.
    """
    folder = evidence / run_id
    problems = []
    if folder.is_dir() and not all((folder / name).is_file() for name in SEAL_FILES):
        problems.append(f"{folder} : les preuves ne sont pas signées et horodatées")
    for slug in slugs:
        report = store.read_json(folder / slug / "preuve.json")
        if report is None:
            problems.append(f"{slug} : aucune preuve n'a été écrite par ce passage")
        elif not report["prete"]:
            problems += [f"{slug} : {gap['objet']} : {gap['raison']}" for gap in report["manques"]]
    return problems
