# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The evidence folder of the control node, and the locks of the communes.

Layout (docs/preuves.md)::

    evidence/index.html                  entry: leads to the last run, and pins its seal
    evidence/2026-11-25T010504Z/         one sealed folder per run
        index.html etat.json passage.json
        gondecourt/preuve.html preuve.json gondecourt-pc-secretariat/navigateur.png …
        racine.pem chaine.pem empreintes.sha256 signature.p7s horodatage.tsr
    evidence/.en-cours-<run>/            a run that goes on, or was interrupted; never taken for evidence

A run's folder appears whole, by a rename. Each run names the digests of the seal of the run before it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import multiprocessing
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import page as evidence_page
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.rollout import (
    Commune,
    Run,
    assess,
    day_and_hour,
    merge_state,
    now,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.evidence.seal import (
    SEAL_FILES,
    Credential,
    SealError,
    SealKeys,
    Verification,
    seal,
    sha256,
    verify,
)

# Environment variable by which the rollout's callback tells its action plugins where to collect.
RUN_FOLDER = "CREATIC_ROLLOUT_FOLDER"
_RUN_ID = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z(-\d+)?")
_STAGING = ".en-cours-"
_OWNER = "proprietaire.json"


class EvidenceError(Exception):
    """The evidence folder cannot be used; the message is French and says what to do."""


class LockRefused(Exception):
    """Another rollout of this commune is running; the message names its owner, its process and its start."""


# -- Processes and locks ------------------------------------------------------------------------------


def _process_start(pid: int) -> str | None:
    """Boot and start tick, which tell a process from a later one of the same number; None when gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Field 3 is the state: a zombie has ended.
    return None if fields[0] == "Z" else f"{boot}/{fields[19]}"


def owner(pid: int, operator: str) -> dict[str, Any]:
    """Describe the process which owns a lock or a staging folder."""
    return {
        "proprietaire": operator,
        "machine": socket.gethostname(),
        "pid": pid,
        "processus": _process_start(pid),
        "depuis": now().isoformat(timespec="seconds"),
    }


def playbook_pid() -> int:
    """PID of the ansible-playbook whose worker calls this, even if it was killed a moment ago.

    os.getppid() would then name the process that took the worker over, and a lock in that name would never be freed.
    """
    parent = multiprocessing.parent_process()
    return parent.pid if parent and parent.pid else os.getppid()


def _alive(holder: Mapping[str, Any]) -> bool:
    """True when the owner runs, or may run (another machine's processes cannot be seen from here)."""
    if holder.get("machine") != socket.gethostname():
        return True
    return holder.get("processus") is not None and _process_start(int(holder["pid"])) == holder["processus"]


def read_json(path: Path) -> Any:
    """Content of a JSON file; None when there is none, or it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _mutex(folder: Path) -> Iterator[None]:
    """One process at a time in a folder; the kernel frees it whatever happens to the holder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".verrou").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def lock_commune(locks: Path, slug: str, pid: int, operator: str, what: str = "") -> None:
    """Take the lock of a commune for a process; again is harmless, a dead owner's is taken over.

    Args:
        locks: folder of the locks.
        slug: name of the lock; a commune's, or that of something else that one run at a time may change.
        pid: the process that runs the rollout (not the worker which calls this).
        what: what the owner does, French; the rollout of a commune by default.

    Raises:
        LockRefused: another living rollout has it.
    """
    with _mutex(locks):
        path = locks / f"{slug}.json"
        holder = read_json(path)
        mine = owner(pid, operator)
        if holder and _alive(holder):
            if holder["pid"] == pid and holder["machine"] == mine["machine"]:
                return
            raise LockRefused(f"{what or f'un déploiement de {slug}'} est déjà en cours, {_holder_text(holder)}")
        write_text(path, json.dumps(mine, ensure_ascii=False))


def _holder_text(holder: Mapping[str, Any]) -> str:
    return (
        f"lancé par {holder['proprietaire']} (processus {holder['pid']} sur {holder['machine']}), "
        f"{day_and_hour(holder['depuis'])}"
    )


def lock_holder(locks: Path, slug: str) -> str:
    """Who has a lock now (« lancé par … »); empty for nobody."""
    holder = read_json(locks / f"{slug}.json")
    return _holder_text(holder) if holder and _alive(holder) else ""


def unlock_communes(locks: Path, pid: int) -> None:
    """Free every lock of a process."""
    if not locks.is_dir():
        return
    with _mutex(locks):
        for path in locks.glob("*.json"):
            holder = read_json(path)
            if holder and holder.get("pid") == pid and holder.get("machine") == socket.gethostname():
                path.unlink()


# -- Runs ---------------------------------------------------------------------------------------------


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader or a crash sees the old or the new one, whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    _sync(partial)
    partial.replace(path)


def seal_keys(home: Path) -> SealKeys:
    """Where the control node keeps what seals the evidence (made by playbooks/journeys/rollout.yml)."""
    signature, tsa = (home / "certificats" / name / "current" for name in ("preuves", "horodatage"))
    return SealKeys(
        signature=Credential(signature / "cert.pem", signature / "key.pem"),
        tsa=Credential(tsa / "cert.pem", tsa / "key.pem"),
        chain=signature / "chain.pem",
        root=home / "pki" / "publie" / "racine.pem",
    )


def new_run_id() -> str:
    """A run's name: the date and time of its start (UTC)."""
    return now().strftime("%Y-%m-%dT%H%M%SZ")


def open_run(evidence: Path, operator: str, run_id: str = "") -> tuple[str, Path]:
    """Make the folder in which a run collects, and clear away those of dead processes.

    Returns:
        The run's id and its folder.

    Raises:
        EvidenceError: the wanted id is malformed or taken, or the folder cannot be written.
    """
    if run_id and not _RUN_ID.fullmatch(run_id):
        raise EvidenceError(f"identifiant de passage « {run_id} » : attendu AAAA-MM-JJTHHMMSSZ")
    base = run_id or new_run_id()
    candidates = [base] if run_id else [base, *(f"{base}-{n}" for n in range(2, 100))]
    try:
        with _mutex(evidence):
            for left in evidence.glob(f"{_STAGING}*"):
                holder = read_json(left / _OWNER)
                if holder is None or not _alive(holder):
                    shutil.rmtree(left)
            for candidate in candidates:
                folder = evidence / f"{_STAGING}{candidate}"
                if not folder.exists() and not (evidence / candidate).exists():
                    folder.mkdir(mode=0o700)
                    write_text(folder / _OWNER, json.dumps(owner(os.getpid(), operator), ensure_ascii=False))
                    return candidate, folder
    except OSError as error:
        raise EvidenceError(f"le dossier {evidence} n'est pas utilisable : {error.strerror}") from error
    raise EvidenceError(f"le passage {base} existe déjà dans {evidence}")


def runs(evidence: Path) -> list[Path]:
    """Finished runs, in the order in which they ended."""
    found = []
    for path in evidence.glob("*/"):
        if _RUN_ID.fullmatch(path.name):
            ended = str((read_json(path / "passage.json") or {}).get("fin") or path.name)
            found.append((re.sub("[-:]", "", ended), path))
    return [path for _, path in sorted(found)]


def _last_state(finished: Sequence[Path]) -> dict[str, Any]:
    """State of the most recent run that can be read."""
    for folder in reversed(finished):
        state = read_json(folder / "etat.json")
        if isinstance(state, dict):
            return state
    return {}


def seal_pins(run: Path) -> dict[str, str]:
    """Digests of a sealed folder's seal, by file; empty for one that is not there."""
    return {name: sha256(run / name) if (run / name).is_file() else "" for name in SEAL_FILES}


def discard_run(staging: Path) -> None:
    """Forget a run that concluded nothing."""
    shutil.rmtree(staging, ignore_errors=True)


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


def close_run(evidence: Path, staging: Path, run: Run, communes: Sequence[Commune], keys: SealKeys | None) -> Outcome:
    """Write, seal and publish the evidence of a run.

    Args:
        communes: every commune of the inventory.
        keys: None when there is no authority yet; the evidence is then kept, and said to be unsigned.
    """
    run.finished = now()
    with _mutex(evidence):
        finished = runs(evidence)
        before = _last_state(finished)
        reports = {
            commune.slug: assess(commune, run, before.get(commune.slug, {}).get("hotes", {}))
            for commune in communes
            if any(host.name in run.hosts for host in commune.hosts)
        }
        # A rollout refused because another one is running says nothing of the commune.
        told = {
            slug: report
            for slug, report in reports.items()
            if any(host["etat"] not in ("refus", "non_vise", "non_atteint") for host in report["hotes"])
        }
        state = merge_state(communes, told, before)
        if not told:
            discard_run(staging)
            return Outcome(reports, state, None)
        previous = {"passage": finished[-1].name, **seal_pins(finished[-1])} if finished else None
        passage = {
            "version": 1,
            "passage": run.run_id,
            "debut": run.started.isoformat(timespec="seconds"),
            "fin": run.finished.isoformat(timespec="microseconds"),
            "operateur": run.operator,
            "code": run.source,
            "communes": sorted(told),
            "precedent": previous,
        }
        (staging / _OWNER).unlink(missing_ok=True)
        for slug, report in told.items():
            (staging / slug).mkdir(exist_ok=True)
            write_text(staging / slug / "preuve.json", json.dumps(report, ensure_ascii=False, indent=2))
            write_text(staging / slug / "preuve.html", evidence_page.commune_page(report))
        write_text(staging / "etat.json", json.dumps(state, ensure_ascii=False, indent=1))
        write_text(staging / "passage.json", json.dumps(passage, ensure_ascii=False, indent=2))
        write_text(staging / "index.html", evidence_page.index_page(passage, state))
        unsealed = ""
        try:
            if keys is None:
                raise SealError("l'autorité du groupement n'existe pas encore")
            seal(staging, keys)
        except SealError as error:
            unsealed = str(error)
        for path in (*staging.rglob("*"), staging):
            _sync(path)
        folder = evidence / run.run_id
        staging.rename(folder)
        write_text(evidence / "index.html", evidence_page.entry_page(folder.name, seal_pins(folder)))
        _sync(evidence)
        return Outcome(reports, state, folder, unsealed)


def verify_all(evidence: Path, root: Path) -> dict[str, Verification]:
    """Check every run, the chain of runs, and the entry page.

    Returns:
        One verification by run, and one for ``index.html``, in order of time.
    """
    finished = runs(evidence)
    results = {run.name: verify(run, root) for run in finished}
    for position, run in enumerate(finished):
        if any(name == "passage.json" for name, _ in results[run.name].faults):
            continue
        named = (read_json(run / "passage.json") or {}).get("precedent") or {}
        previous = finished[position - 1] if position else None
        if named.get("passage") != (previous.name if previous else None):
            lost = named.get("passage")
            what = f"le passage {lost} a disparu" if lost else "un passage antérieur a été ajouté"
            results[run.name].faults.append(("passage.json", f"chaîne rompue : {what}"))
        elif previous:
            _compare(seal_pins(previous), named, results[previous.name], f"le passage {run.name}")
    if finished:
        results["index.html"] = _verify_entry(evidence, finished, results[finished[-1].name])
    return results


def _compare(pins: Mapping[str, str], noted: Mapping[str, str], result: Verification, witness: str) -> None:
    for name, digest in pins.items():
        if noted.get(name) != digest and name not in dict(result.faults):
            result.faults.append((name, f"modifié : {witness} en avait noté une autre empreinte"))


def _verify_entry(evidence: Path, finished: Sequence[Path], seal_of_last: Verification) -> Verification:
    """Compare the entry page with the one the last run would give, and tell which of the two was changed."""
    result = Verification()
    path = evidence / "index.html"
    if not path.is_file():
        result.faults.append(("index.html", "absent : la page d'entrée a été supprimée"))
        return result
    actual, pins = path.read_text(encoding="utf-8", errors="replace"), seal_pins(finished[-1])
    if actual == evidence_page.entry_page(finished[-1].name, pins):
        return result
    noted = pins | dict(re.findall(r"<dt>([\w.]+)</dt><dd>([0-9a-f]{64})</dd>", actual))
    # The digest of a changed file differs everywhere: a near miss is a change of the page itself.
    far = [name for name in SEAL_FILES if _differences(noted[name], pins[name]) > 8]
    if far and actual == evidence_page.entry_page(finished[-1].name, noted):
        _compare(pins, noted, seal_of_last, "la page d'entrée")
    elif len(finished) > 1 and actual == evidence_page.entry_page(finished[-2].name, seal_pins(finished[-2])):
        result.faults.append(("index.html", "en retard d'un passage (interruption) : le prochain la refera"))
    else:
        result.faults.append(("index.html", "modifié : la page d'entrée n'est plus celle du dernier passage"))
    return result


def _differences(one: str, other: str) -> int:
    return sum(a != b for a, b in zip(one.ljust(64), other.ljust(64), strict=False))


def readiness(evidence: Path, run_id: str, slugs: Iterable[str]) -> list[str]:
    """Say what keeps a run from having proved that these communes are ready; for ``fab rollout``.

    Returns:
        French reasons; empty when each has sealed evidence of this run and is *prête*.
    """
    folder = evidence / run_id
    problems = []
    if folder.is_dir() and not all((folder / name).is_file() for name in SEAL_FILES):
        problems.append(f"{folder} : les preuves ne sont pas signées et horodatées")
    for slug in slugs:
        report = read_json(folder / slug / "preuve.json")
        if report is None:
            problems.append(f"{slug} : aucune preuve n'a été écrite par ce passage")
        elif not report["prete"]:
            problems += [f"{slug} : {gap['objet']} : {gap['raison']}" for gap in report["manques"]]
    return problems


def verification_lines(results: Mapping[str, Verification]) -> list[str]:
    """The result of `verify_all`, one French line per run and per fault; for ``fab``."""
    lines = []
    for name, result in results.items():
        if result.intact:
            when: datetime | None = result.sealed_at
            lines.append(f"✓ {name} : intact" + (f", horodaté {day_and_hour(when)}" if when else ""))
        else:
            lines += [f"✗ {name if file == name else f'{name}/{file}'} : {reason}" for file, reason in result.faults]
    return lines
