# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""One audit, from the catalogue to the sealed bundle; ``fab audit`` is its only caller."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from secrets import SystemRandom
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.answers import clean
from ansible_collections.cdg59.creatic.plugins.module_utils.words import count, duration, now

from creatic.audit import content as audit_content
from creatic.audit import fetch, postes, releves, scap
from creatic.audit import oscal as audit_oscal
from creatic.audit import page as audit_page
from creatic.audit import store as audit_store
from creatic.audit import verdict as audit_verdict
from creatic.audit.controls import LEVELS
from creatic.audit.sources import (
    NON_CONFORME,
    PHASES,
    VERDICT_WORDS,
    WHOLE,
    AuditError,
    Check,
    OpenScap,
    Target,
    read_arf,
    read_junit,
)
from creatic.evidence import store as evidence_store
from creatic.evidence.failures import explain
from creatic.evidence.follow import code_version
from creatic.evidence.redaction import redact
from creatic.evidence.seal import SealError
from creatic.patience import report_progress
from creatic.registry import aim, environment, listing
from creatic.registry import profiles as registry

# Test benches are audited when they are named.
EVERYTHING = f"all:!{registry.BENCH}"
_GRACE_S = 20  # that Ansible has to end its workers, which write in the folder that is sealed
MAX_REMOTE_MACHINES = 40
"""Machines that are looked at from here besides, in an audit by relevés; those that were drawn come first."""
# Tests which leave something on the host, however little, are no part of an audit.
READ_ONLY_TESTS = "not leaves_traces"
_LINES, _WIDE = 10, 160  # of what fails, as the terminal tells it


@dataclass(frozen=True)
class Order:
    """What is asked.

    Attributes:
        top: the project's folder.
        inventory: folder of the inventory.
        home: state of the control node for this inventory.
        limit: Ansible host pattern; empty for all.
        level: level to judge every machine by; empty for its own.
        catalogue: validated catalogue (creatic/audit/controls.py).
        sources: files of the catalogue and of the site's waivers, copied in the bundle.
        carried: brings what the guichet carries of the machines that nobody reaches, by their names.
        keys: file of the host keys of those that known_hosts does not have (creatic/fleet/carried.py).
        facts: brings what the enrolment door has of PCs' facts, by certificate; None when there is no such door.
        acceptance: every machine is looked at from here, and its profile's tests run; without it, machines are judged
            by what their agents signed, and some looked at from here.
    """

    top: Path
    inventory: Path
    home: Path
    limit: str
    level: str
    catalogue: audit_verdict.CatalogueLike
    sources: Sequence[Path]
    acceptance: bool = False
    carried: Callable[[Sequence[str]], Iterator[tuple[str, bytes | None]]] | None = None
    keys: Path = Path(os.devnull)
    facts: Callable[[], Iterable[tuple[str, bytes]]] | None = None


def profiles(top: Path) -> list[str]:
    """Profiles which are audited: those of profiles.yml with tasks to compare a machine with."""
    tasks = top / "playbooks" / "profiles"
    return sorted(name for name in registry.marked("audit") if (tasks / f"{name}.yml").is_file())


def check_limit(top: Path, inventory: Path, limit: str) -> None:
    """Refuse a host pattern of which any part names nothing: what was misspelt would go unaudited.

    Raises:
        AuditError: with the part that is unknown.
    """
    if not limit:
        return
    done = subprocess.run(
        ["ansible", "all:!localhost", "-i", str(inventory), "--list-hosts", "--limit", limit],
        cwd=top,
        env=os.environ | {"ANSIBLE_HOST_PATTERN_MISMATCH": "error", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    unknown = re.search(r"Could not match supplied host pattern, ignoring: (.+)", done.stderr)
    if unknown:
        raise AuditError(
            f"« {unknown[1].strip()} » n'est ni une machine ni un groupe de {inventory.name} (--limite {limit}) ; "
            "exemples : commune_gondecourt, territoire_lille, tdt_connector, gondecourt-connecteur"
        )
    if "no hosts to target" in done.stderr or "hosts (0)" in done.stdout:
        raise AuditError(f"--limite {limit} ne désigne aucune machine de {inventory.name}")
    if done.returncode:
        raise AuditError(f"l'inventaire {inventory.name} est refusé : {done.stderr.strip()}")


def sample(names: Sequence[str]) -> list[str]:
    """Machines that nobody can foresee: one in a hundred, one at least, 25 at most."""
    return SystemRandom().sample(sorted(names), min(25, math.ceil(len(names) / 100)))


def _secret_values(home: Path) -> list[str]:
    """Values of the control node's secrets folder, to be hidden wherever they would show."""
    found = []
    for path in sorted((home / "secrets").rglob("*")) if (home / "secrets").is_dir() else []:
        if path.is_file() and path.stat().st_size < 65536:
            text = path.read_text(encoding="utf-8", errors="ignore")
            found += [line.strip() for line in text.splitlines() if len(line.strip()) >= 6]
    return found


class Audit:
    """One audit under way."""

    def __init__(self, order: Order, say: Callable[[str], None] = print) -> None:
        self.order = order
        self._print, self._gone = say, False  # its terminal is
        self.started = now()
        self.clock = time.monotonic()
        self.operator = evidence_store.operator()
        self.seconds: dict[str, float] = {}
        self.broken: dict[str, str] = {}  # machines whose tests gave no result, and why
        self.checks: list[Check] = []
        self.tested: set[str] = set()  # machines whose tests are over
        self.interrupted = ""  # the phase, of PHASES
        self.targets: list[Target] = []
        self.known: dict[str, audit_verdict.Found] = {}  # by what each machine's agent signed
        self.outside: dict[str, str] = {}  # machines that are looked at from here too, and why
        self.pcs: dict[str, postes.KnownFacts] = {}  # by what each PC's program signed
        self.denied: dict[str, list[str]] = {}  # rules that an agent says are followed, and are not
        try:
            self.name, self.staging = evidence_store.open_run(order.home / "audits", self.operator)
        except evidence_store.EvidenceError as error:
            raise AuditError(str(error)) from error

    def print_line(self, text: str) -> None:
        """Show a line; nobody reads it once the terminal is gone."""
        with contextlib.suppress(*([OSError] if self._gone else [])):
            self._print(text)

    def _interrupt_audit(self, number: int, _frame: object) -> None:
        """End as Ctrl-C does: the computer stops, or the terminal is gone."""
        self._gone |= number == signal.SIGHUP
        raise KeyboardInterrupt

    # -- Looking --------------------------------------------------------------------------------------

    def _run_command(
        self, command: Sequence[str], env: Mapping[str, str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        with aim.shortened(command) as given:
            return subprocess.run(
                given, cwd=self.order.top, env=os.environ | dict(env), text=True, check=False, **options
            )

    def look(self, outside: str = "", limit: str = "") -> None:
        """Run the playbook: plan, facts, OpenSCAP, drift.

        Args:
            outside: pattern of the machines that are looked at; all of them by default.
            limit: instead of the order's.

        Raises:
            AuditError: it was refused before anything was looked at; the reason is on the screen.
        """
        variables: dict[str, Any] = {"audit_profiles": profiles(self.order.top)}
        if self.order.level:
            variables["audit_level"] = self.order.level
        if outside:
            variables["audit_outside"] = outside
        command = ["ansible-playbook", "-i", str(self.order.inventory), "playbooks/journeys/audit.yml"]
        command += ["--check", "--diff", "-e", listing.to_extra_vars(variables)]
        command += ["--limit", limit or self.order.limit or EVERYTHING]
        start = time.monotonic()
        env = {
            audit_store.FOLDER: str(self.staging),
            "ANSIBLE_STDOUT_CALLBACK": "cdg59.creatic.audit",
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_HOST_PATTERN_MISMATCH": "ignore",
        }
        with (
            aim.shortened(command) as given,
            subprocess.Popen(given, cwd=self.order.top, env=os.environ | env) as playbook,
        ):
            try:
                playbook.wait()
            except BaseException:
                playbook.terminate()
                try:
                    playbook.wait(_GRACE_S)
                except subprocess.TimeoutExpired:
                    playbook.kill()
                raise
        self.seconds["constats_et_derive"] = round(
            self.seconds.get("constats_et_derive", 0) + time.monotonic() - start, 1
        )
        if not audit_store.read_plan(self.staging):
            raise AuditError("L'audit n'a pas commencé : la raison est affichée au-dessus. Rien n'a été regardé.")

    def collect_releves(self, targets: Sequence[Target]) -> None:
        """Fetch and judge what each machine signed (`known`), and choose whom to look at from here (`outside`)."""
        self.print_line(f"\n{PHASES['releves']}")
        start, moment = time.monotonic(), now()
        asked = [target for target in targets if target.system == "debian"]
        content = audit_content.read(
            scap.data_stream(self.order.home.parent / "cache", self.print_line),
            sorted({target.level for target in asked}),
        )
        kept = releves.ReleveStore(self.order.home / releves.FOLDER)
        proven = releves.HostKeys(self.order.keys)
        files = {known: releves.HostKeys(Path(known).expanduser()) for known in {target.known for target in asked}}

        def take(target: Target, fetched: bytes | str | None) -> None:
            name = target.name
            if fetched is None and kept.last(name) is None:
                none = fetch.CARRIED_NOTHING if target.outgoing else fetch.NOTHING
                self.known[name] = audit_verdict.Found(target, incident=releves.incident("echec", none))
                self.outside[name] = "son agent n'a encore fait aucun relevé"
                return
            own = files[target.known].keys_of(target.address, target.port) if target.door else releves.own_keys()
            if target.outgoing:
                own = own or proven.keys_of(name)
            gone = "le guichet ne l'a plus" if target.outgoing else "son relevé n'est plus sur elle"
            told = gone if fetched is None else fetched
            found = releves.finding(target, told, own, kept, content[target.level], moment)
            self.known[name] = found
            if found.releve and (last := kept.last(name)):
                audit_store.keep_releve(self.staging, name, last.raw)
            if found.state == "auditee" and found.releve and found.releve["remarque"]:
                self.outside[name] = "son relevé est à confirmer"
            elif found.drift:
                self.outside[name] = "son agent dit qu'elle a bougé"

        if not self.order.limit:
            kept.forget_others(target.name for target in targets)
        with report_progress(f"relevés de {count(len(asked), 'machine')}", self.print_line):
            self._collect_carried([target for target in asked if target.outgoing], take)
            fetch.fetch_all([target for target in asked if not target.outgoing], take)
        judged = [name for name, found in self.known.items() if found.state == "auditee"]
        far = {target.name for target in asked if target.outgoing}  # nobody looks at those from here
        drawn = dict.fromkeys(sample([name for name in judged if name not in far]), "tirée au sort")
        self.outside = {name: why for name, why in self.outside.items() if name not in far}
        self.outside = dict([*drawn.items(), *sorted(self.outside.items() - drawn.items())][:MAX_REMOTE_MACHINES])
        self.seconds["releves"] = round(time.monotonic() - start, 1)
        ages = [found.releve["age_s"] for found in self.known.values() if found.releve]
        oldest = f", le plus ancien de {releves.lapse(timedelta(seconds=max(ages)))}" if ages else ""
        self.print_line(f"   {count(len(judged), 'machine')} sur {len(asked)} jugées par leur relevé{oldest}")
        if silent := releves.silent_fleet(self._silent_machines(), [target.name for target in asked]):
            self.print_line(f"   ✗ {silent}")
        for name, why in self.outside.items():
            self.print_line(f"   regardée d'ici aussi : {name} ({why})")

    def hear(self, targets: Sequence[Target]) -> None:
        """Take what clerks' PCs signed of themselves (`pcs`); those under Debian may have nothing to say here."""
        pcs = [target for target in targets if target.profile == postes.PROFILE]
        if not pcs:
            return
        kept, moment = postes.FactsStore(self.order.home / postes.FOLDER), now()
        if not self.order.limit:
            kept.forget_others(target.name for target in pcs)
        brought = self.order.facts or (lambda: ())
        with report_progress(f"constats de {count(len(pcs), 'poste')}", self.print_line):
            places = {one.name: str(one.commune.get("siren", "")) for one in pcs}
            found = postes.gather(places, self.order.home / "pki", brought, kept, moment)
        for target in pcs:
            known = found[target.name]
            if target.system == "debian" and known.state != postes.JUDGED:
                continue
            self.pcs[target.name] = known
            if known.facts:
                audit_store.keep_releve(self.staging, target.name, known.facts.raw, audit_store.FACTS)
        judged = sum(known.state == postes.JUDGED for known in self.pcs.values())
        self.print_line(
            f"   {count(judged, 'poste')} sur {len(self.pcs)} jugé{'s' if judged > 1 else ''} par ses constats"
        )

    def _collect_carried(self, targets: Sequence[Target], take: Callable[[Target, bytes | str | None], None]) -> None:
        """Take what the guichet carries of these; one that does not answer is told of each that is left."""
        left = {target.name: target for target in targets}
        try:
            for name, fetched in self.order.carried([*left]) if self.order.carried and left else ():
                take(left.pop(name), fetched)
            why = "le guichet n'est pas demandé"
        except CreaticError as error:
            why = str(error)
        for target in left.values():
            take(target, why)

    def _silent_machines(self) -> list[str]:
        """Machines of which nothing of the day is known."""
        return [name for name, found in self.known.items() if found.state in ("silencieuse", "injoignable")]

    def _by_releves(self) -> None:
        """Judge each machine by what it signed, and look at some from here."""
        self.look(outside="localhost:!localhost")
        self.targets = audit_store.read_plan(self.staging)
        self.interrupted = "releves"
        self.collect_releves(self.targets)
        if self.outside:
            self.interrupted = "constats"
            names = ",".join(self.outside)
            self.look(outside="all:!localhost", limit=names)

    def _run_profile_tests(self, profile: str, names: Sequence[str], folder: Path, report: str = "") -> list[Check]:
        """Run the tests of one profile; when they break, machine by machine: one must not hide the others."""
        path, own = folder / f"{report or profile}.xml", f"tests/profiles/{profile}"
        command = [sys.executable, "-m", "pytest", "-q", "tests/profiles/common"]
        command += [own] if (self.order.top / own).is_dir() else []
        command += ["--profile", profile, "--environment", str(self.order.inventory), "--limit", ",".join(names)]
        command += ["-m", READ_ONLY_TESTS, "--junitxml", str(path), "-o", "junit_family=xunit2"]
        command += ["-p", "no:cacheprovider", "--tb=short"]
        secrets = _secret_values(self.order.home)
        try:
            done = self._run_command(command, {"PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, errors="replace")
            # 0: all pass, 1: some fail. Anything else is no result.
            if done.returncode not in (0, 1) or not path.is_file():
                raise AuditError(" / ".join((done.stdout + done.stderr).strip().splitlines()[-4:]))
            path.write_text(redact(path.read_text(encoding="utf-8", errors="replace"), secrets), encoding="utf-8")
            return read_junit(path)
        except KeyboardInterrupt:
            path.unlink(missing_ok=True)  # its secrets may not be masked yet
            raise
        except AuditError as error:
            path.unlink(missing_ok=True)
            if len(names) > 1:
                reports = {name: f"{profile}-{audit_store.host_folder(folder, name).name}" for name in names}
                return [
                    one for name in names for one in self._run_profile_tests(profile, [name], folder, reports[name])
                ]
            self.broken[names[0]] = clean(redact(str(error), secrets))[:1000] or f"code {done.returncode}"
            self.print_line(f"   ✗ {names[0]} : les essais n'ont pas pu être exécutés")
            return []

    def test(self, targets: Sequence[Target]) -> None:
        """Run the tests of the profiles and of the controls on the machines that answer (`checks`, `tested`)."""
        followed = audit_store.read_followed(self.staging)
        self.print_line(f"\n{PHASES['essais']}")
        folder = self.staging / "junit"
        folder.mkdir()
        start = time.monotonic()
        for profile in sorted({target.profile for target in targets}):
            names = [
                target.name
                for target in targets
                if target.profile == profile
                and target.system == "debian"
                and (followed.get(target.name, {}).get("incident") or {}).get("nature") != "injoignable"
            ]
            if not names:
                continue
            clock = time.monotonic()
            with report_progress(f"essais du profil {profile} ({count(len(names), 'machine')})", self.print_line):
                found = self._run_profile_tests(profile, names, folder)
            self.checks += found
            self.tested |= {*names}
            results = [check.result for check in found]
            mark = "✗" if {"echec", "perdu"} & {*results} or self.broken.keys() & {*names} else "✓"
            lost = f", {results.count('perdu')} sans réponse" if "perdu" in results else ""
            self.print_line(
                f"   {mark} {profile:<40} {count(results.count('reussi'), 'réussi')}, "
                f"{count(results.count('echec'), 'échec')}, {results.count('ignore')} sans objet{lost} "
                f"({duration(time.monotonic() - clock)})"
            )
            for line in _first_ten_lines(
                "     ✗ ", [self._describe_failure(check) for check in found if check.result == "echec"]
            ):
                self.print_line(line)
        self.seconds["essais"] = round(time.monotonic() - start, 1)

    def _describe_failure(self, check: Check) -> str:
        """A test that failed, in a line: its machine, the control that it proves, its name, why."""
        proves = next(
            (f"{one.id} {one.titre}, " for one in self.order.catalogue.controls if check.name in one.tests), ""
        )
        return f"{check.host} : {proves}{_display_name(check.case, check.host)} : {_shorten_text(check.detail)}"

    # -- Judging and writing --------------------------------------------------------------------------

    def _interruption_incident(self, target: Target, *, seen: bool, compared: bool) -> dict[str, str] | None:
        """What an interruption kept from being looked at on a machine; None when nothing."""
        if not self.interrupted or target.system != "debian":
            return None
        told = {"ses constats": seen, "sa comparaison": compared}
        told |= {"ses essais": target.name in self.tested} if self.order.acceptance else {}
        left = [name for name, done in told.items() if not done]
        if not left:
            return None
        missing = "tout reste à faire" if len(left) == len(told) else f"il manque {' et '.join(left)}"
        return {
            "phase": self.interrupted,
            "nature": audit_verdict.INTERRUPTED,
            "tache": "",
            "raison": f"audit interrompu, {missing}",
            "remede": f"fab audit --limite {target.name}",
        }

    def gather(self, targets: Sequence[Target]) -> list[audit_verdict.Found]:
        """Put together what was found of each machine."""
        followed = audit_store.read_followed(self.staging)
        secrets = _secret_values(self.order.home)
        found = []
        for target in targets:
            host = followed.get(target.name, {})
            collected = audit_store.read_collected(self.staging, target.name)
            signed = self.known.get(target.name)
            if signed is not None and (collected is None or target.name not in self.outside):
                found.append(self._redact_finding(signed, secrets))
                continue
            incident = host.get("incident")
            openscap = None
            if collected is not None:
                try:
                    openscap = read_arf(audit_store.read_arf_bytes(self.staging, target.name))
                except AuditError as error:
                    incident = {"phase": "constats", "nature": "echec", "tache": "OpenSCAP", "raison": str(error)}
                    incident["remede"] = "Relancer l'audit de cette machine."
            if target.name in self.broken and incident is None:
                reason = f"les essais n'ont pas pu être exécutés : {self.broken[target.name]}"
                incident = {"phase": "essais", "nature": "echec", "tache": "essais", "raison": reason}
                incident["remede"] = "Vérifier cette machine, puis relancer son audit."
            mine = [check for check in self.checks if check.host == target.name]
            lost = next((check for check in mine if check.result == "perdu"), None)
            if lost and incident is None:
                reason, remedy = explain(lost.detail or "timed out")
                incident = {"phase": "essais", "nature": "injoignable", "tache": lost.name, "raison": reason}
                incident["remede"] = remedy
            compared = "derive" in host.get("phases", []) and self.interrupted != "constats"
            drift = host.get("derive") if compared and not incident else None
            incident = incident or self._interruption_incident(target, seen=collected is not None, compared=compared)
            for item in drift or []:
                item["diff"] = redact(item["diff"], secrets)
                item["chemins"] = [redact(path, secrets) for path in item["chemins"]]
            if incident:
                incident = {key: redact(str(value), secrets) for key, value in incident.items()}
            one = audit_verdict.Found(
                target, collected, openscap, mine, drift, incident, signed.releve if signed else None
            )
            if signed is not None and signed.openscap and openscap:
                self._note_differences(target.name, signed.openscap, openscap)
            found.append(one)
        return found

    def _with_pcs(self, found: list[audit_verdict.Found]) -> list[audit_verdict.Found]:
        """The same, with what PCs' facts say."""
        secrets, moment = _secret_values(self.order.home), now()
        for one in found:
            known, target = self.pcs.get(one.target.name), one.target
            if known is None:
                continue
            waived = functools.partial(
                self.order.catalogue.waiver,
                level=target.level,
                profile=target.profile,
                container=target.container,
            )
            told = postes.describe_pc(known, target.level, waived, moment)
            told["raison"] = redact(told["raison"], secrets)
            for measure in told["mesures"].values():
                measure["dit"] = redact(measure["dit"], secrets)
            one.poste = told
        return found

    @staticmethod
    def _redact_finding(one: audit_verdict.Found, secrets: Sequence[str]) -> audit_verdict.Found:
        """The same, in which no secret shows."""
        for item in one.drift or []:
            item["chemins"] = [redact(path, secrets) for path in item["chemins"]]
        if one.incident:
            one.incident = {key: redact(str(value), secrets) for key, value in one.incident.items()}
        return one

    def _note_differences(self, name: str, signed: OpenScap, seen: OpenScap) -> None:
        """Note what a machine's agent said otherwise than what is seen from here."""
        said = {rule.name: rule.result for rule in signed.rules}
        unlike = sorted(rule.name for rule in seen.rules if said.get(rule.name) == "pass" and rule.result == "fail")
        if unlike:
            self.denied[name] = unlike

    def conclude(self, found: Sequence[audit_verdict.Found]) -> dict[str, Any]:
        """Judge, and write every part of the bundle but the seal."""
        order = self.order
        before = audit_store.previous_results(order.home)
        catalogue = self.staging / "catalogue"
        catalogue.mkdir()
        for source in order.sources:
            shutil.copyfile(source, catalogue / source.name)
        results: dict[str, Any] = {
            "version": 1,
            "audit": self.name,
            "debut": self.started.isoformat(timespec="seconds"),
            "fin": now().isoformat(timespec="seconds"),
            "operateur": self.operator,
            "code": code_version(order.top),
            "environnement": environment.of_state(order.home),
            "inventaire": order.inventory.name,
            "perimetre": order.limit or WHOLE,
            "niveau_impose": order.level or None,
            "interrompu": PHASES[self.interrupted] if self.interrupted else None,
            "contenu_openscap": {"paquet": scap.PACKAGE, "sha256": scap.DATA_STREAM_SHA256},
            "catalogue": {
                path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(catalogue.iterdir())
            },
            **audit_verdict.assess(found, order.catalogue),
        }
        results["postes"] = postes.summary(results["machines"])
        results["releves"] = None if order.acceptance else self._releve_summary()
        results["derogations"] = audit_verdict.waivers_used(results)
        results["tendance"] = audit_verdict.trend(before, results)
        results["durees_s"] = self.seconds
        audit_store.clear_notes(self.staging)
        oscal = audit_oscal.assessment_results(results)
        (self.staging / audit_store.OSCAL).write_text(oscal, encoding="utf-8")
        page = audit_page.report(results)
        (self.staging / audit_store.REPORT).write_text(page, encoding="utf-8")
        if len(results["machines"]) > audit_page.MAX_PRINTED_MACHINES:
            page = audit_page.report(results, brief=True)
        audit_page.write_pdf(page, self.staging / audit_store.PDF)
        return results

    def _releve_summary(self) -> dict[str, Any]:
        """What the report says of the relevés."""
        ages = [found.releve["age_s"] for found in self.known.values() if found.releve]
        return {
            "jugees": sum(found.state == "auditee" for found in self.known.values()),
            "plus_ancien_s": max(ages, default=None),
            "silence": releves.silent_fleet(self._silent_machines(), self.known),
            "dehors": [
                {"machine": name, "pourquoi": why}
                for name, why in self.outside.items()
                if not self.interrupted or audit_store.read_collected(self.staging, name)
            ],
            "dementies": [{"machine": name, "regles": rules} for name, rules in sorted(self.denied.items())],
        }

    def publish(self, results: dict[str, Any]) -> Path:
        """Seal and pack the bundle; gives its folder.

        Raises:
            AuditError: it cannot be sealed, and nothing is published.
        """
        keys = evidence_store.seal_keys(self.order.home)
        try:
            with evidence_store.closing(self.order.home / "audits") as finished:
                return evidence_store.publish(self.staging, finished, audit_store.RESULTS, results, {}, keys)[0]
        except SealError as error:
            raise AuditError(f"le dossier d'audit ne peut pas être scellé : {error}") from error

    def perform(self) -> tuple[dict[str, Any], Path]:
        """Do it all.

        Returns:
            Results, and folder of the bundle.

        Raises:
            AuditError: nothing was published, the reason is in French.
            KeyboardInterrupt: it was interrupted before anything was found, or while it was sealed; nothing is left.
        """
        where = self.order.limit or "toutes les machines"
        self.print_line(f"Audit {self.name} : {where}. Lecture seule, rien n'est changé sur les machines.")
        previous = {
            one: signal.signal(one, self._interrupt_audit)
            for one in (signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(one) != signal.SIG_IGN  # nohup(1): whoever asked it goes away
        }
        try:
            try:
                self.interrupted = "constats"
                if self.order.acceptance:
                    self.look()
                    self.targets = audit_store.read_plan(self.staging)
                    self.interrupted = "essais"
                    self.test(self.targets)
                else:
                    self._by_releves()
                self.hear(self.targets)
                self.interrupted = ""
            except KeyboardInterrupt:
                self.targets = self.targets or audit_store.read_plan(self.staging)
                looked = any(audit_store.read_collected(self.staging, target.name) for target in self.targets)
                if not looked and not self.known and not self.pcs:
                    raise
                self.print_line(
                    "\nAudit interrompu : ce qui est constaté est jugé et scellé (Ctrl-C encore : rien n'est gardé)."
                )
            results = self.conclude(self._with_pcs(self.gather(self.targets)))
            folder = self.publish(results)
        except BaseException:
            evidence_store.discard_run(self.staging)
            raise
        finally:
            for one, before in previous.items():
                signal.signal(one, before)
        return results, folder


def _first_three(names: list[str], between: str = ", ") -> str:
    """The first three, and how many others."""
    return between.join(names[:3]) + (f" et {len(names) - 3} autres" if len(names) > 3 else "")


def synthesis(results: Mapping[str, Any], seconds: float) -> list[str]:
    """The end of an audit as a few French lines; for ``fab``."""
    verdict, controls = results["verdict"], results["verdict"]["controles"]
    machines = results["machines"]
    scanned = [machine["openscap"] for machine in machines if machine["openscap"]]
    passed, failed, absent = (
        sum(one["comptes"].get(name, 0) for one in scanned) for name in ("pass", "fail", "notapplicable")
    )
    security = sum(len((machine["correctifs"] or {"securite": []})["securite"]) for machine in machines)
    lines = [
        f"Machines   : {sum(one['etat'] == 'auditee' for one in machines)} auditées sur {len(machines)}",
        "Contrôles  : " + ", ".join(f"{controls[key]} {word}" for key, word in VERDICT_WORDS.items() if controls[key]),
        f"OpenSCAP   : {count(passed, 'réussite')}, {count(failed, 'échec')} dont "
        f"{sum(one['non_deroges'] for one in scanned)} sans dérogation, {absent} sans objet",
        f"Correctifs : {security} de sécurité en attente ; dérive : "
        f"{count(sum(bool(machine['derive']) for machine in machines), 'machine')}",
    ]
    signed = results.get("releves")
    if signed:
        oldest = signed["plus_ancien_s"]
        age = "" if oldest is None else f", le plus ancien a {releves.lapse(timedelta(seconds=oldest))}"
        lines.insert(
            1,
            f"Relevés    : {signed['jugees']} signés, jugés ici{age} ; "
            f"{count(len(signed['dehors']), 'machine')} vue{'s' if len(signed['dehors']) > 1 else ''} d'ici",
        )
        lines += [f"  ✗ {signed['silence']}"] if signed["silence"] else []
        for one in signed["dementies"]:
            lines.append(
                f"  ✗ {one['machine']} : son agent dit suivies des règles qui ne le sont pas : "
                f"{_first_three(one['regles'])}"
            )
    for machine in machines:
        if machine["etat"] in audit_verdict.UNSEEN:
            reason = (machine["incident"] or {}).get("raison", "")
            lines.append(f"  ✗ {machine['nom']} : {audit_verdict.STATES[machine['etat']]} : {reason}")
    pcs = [machine for machine in machines if machine["poste"]]
    if pcs:
        bad = sum(one["verdict"] == NON_CONFORME for machine in pcs for one in machine["poste"]["mesures"].values())
        judged = sum(machine["poste"]["etat"] == postes.JUDGED for machine in pcs)
        lines.append(
            f"Postes     : {judged} constatés sur {len(pcs)}, {count(bad, 'mesure')} non tenue{'s' if bad > 1 else ''}"
        )
    for machine in pcs:
        if machine["poste"]["etat"] in audit_verdict.UNHEARD:
            told = machine["poste"]
            lines.append(f"  ✗ {machine['nom']} : {postes.STATES[told['etat']]} : {told['raison']}")
    if results["tendance"]:
        change = results["tendance"]
        lines.append(
            f"Tendance   : {count(len(change['ameliores']), 'amélioration')}, "
            f"{count(len(change['regresses']), 'régression')} depuis l'audit {change['precedent']}"
        )
    absentees = verdict["machines_non_auditees"]
    lines.append(
        ("CONFORME" if verdict["conforme"] else f"NON CONFORME : {count(verdict['ecarts'], 'écart')} sans dérogation")
        + (f", {count(len(absentees), 'machine')} non auditée{'s' if len(absentees) > 1 else ''}" if absentees else "")
        + f". Durée : {duration(seconds)}."
    )
    return lines + _first_ten_lines("  ✗ ", gaps(results))


def gaps(results: Mapping[str, Any]) -> list[str]:
    """What fails without a waiver (`audit_verdict.findings`), a line each: what, on which machines, why."""
    found: dict[tuple[str, str], tuple[list[str], str]] = {}

    def note(what: str, machine: str, why: str, apart: str = "") -> None:
        found.setdefault((what, apart), ([], why))[0].append(machine)

    bad: dict[str, set[str]] = {}
    covered: dict[str, set[str]] = {}
    for control in results["controles"]:
        for name, one in control["machines"].items():
            covered.setdefault(name, set()).update(proof["nom"] for proof in one["preuves"])
            if one["verdict"] != NON_CONFORME:
                continue
            bad.setdefault(name, set()).add(control["id"])
            waived = {item["objet"] for item in one["derogations"]}
            left = [proof for proof in one["preuves"] if proof["resultat"] == "echec" and proof["nom"] not in waived]
            why = [f"{_display_name(proof['nom'], name)}, {proof['detail']}" for proof in left[:1]]
            note(f"{control['id']} {control['titre']}", name, "".join(why))
    for machine in results["machines"]:
        name = machine["nom"]
        for gap in (machine["openscap"] or {"ecarts": []})["ecarts"]:
            owned = {*gap["controles"]} & bad.get(name, set()) or gap["regle"] in covered.get(name, ())
            if gap["resultat"] == "fail" and not gap["derogation"] and not owned:
                note(f"règle {gap['regle']}", name, gap["titre"])
        for failure in machine["essais"]["echecs_du_profil"]:
            note(f"essai {_display_name(failure['nom'], name)}", name, failure["detail"])
    for measure in (results.get("postes") or {"mesures": ()})["mesures"]:
        for name, one in measure["machines"].items():
            if one["verdict"] == NON_CONFORME:
                note(f"poste, {measure['titre'].lower()}", name, one["dit"])
    for machine in results["machines"]:
        drift = machine["derive"] or ()
        moved = dict.fromkeys(one["tache"] + "".join(f" ({path})" for path in one["chemins"][:1]) for one in drift)
        if moved:
            note("dérive", machine["nom"], _first_three(list(moved), " ; "), machine["nom"])
    return [f"{what} : {_first_three(names)} : {_shorten_text(why)}" for (what, _apart), (names, why) in found.items()]


def _display_name(case: str, machine: str) -> str:
    """Name of a test, or of a rule, without its file nor its machine."""
    return case.rpartition("::")[2].replace(f"[{machine}]", "").replace(f"[{machine}-", "[")


def _shorten_text(text: str) -> str:
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 1]}…"


def _first_ten_lines(mark: str, lines: Sequence[str]) -> list[str]:
    """The first ten lines, and how many others the report has."""
    left = len(lines) - _LINES
    more = [f"{' ' * len(mark)}et {count(left, 'autre')}, dans le rapport"] if left > 0 else []
    return [*(f"{mark}{line}" for line in lines[:_LINES]), *more]


def check_level(level: str) -> None:
    """Refuse an unknown level.

    Raises:
        AuditError: with the known ones.
    """
    if level and level not in LEVELS:
        raise AuditError(f"niveau « {level} » inconnu ; --niveau est l'un de : {', '.join(LEVELS)}")
