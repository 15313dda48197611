# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The records of what was done, all kept the same way: opened, written, sealed, chained, verified; and the locks.

Layout, in the control node's state (docs/preuves.md)::

    evidence/ audits/ correctifs/ exercices/ acces/ serveurs/ departs/ documents/ journaux/
        2026-11-25T010504Z/                      one sealed folder for each run
            passage.json                         its facts; each kind has its own name for them, see FACTS
            …                                    its page and its pieces
            racine.pem chaine.pem empreintes.sha256 signature.p7s horodatage.tsr
        .en-cours-<run>/                         a run that goes on, or was interrupted; never taken for evidence
    …/index.html                                 entry of each: leads to the last run, and pins its seal
    audits/2026-11-25T010504Z.tar.gz             the same audit, in one file

A run's folder appears whole, by a rename. Its facts' ``precedent`` names the run that ended before it, and the digests
of that one's seal.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import gzip
import json
import multiprocessing
import os
import re
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils import durable
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.reasons import reason
from ansible_collections.cdg59.creatic.plugins.module_utils.words import day_and_hour, now

from creatic.evidence.page import ENVIRONMENT, entry_page
from creatic.evidence.seal import (
    DIGESTS,
    SEAL_FILES,
    Credential,
    SealError,
    SealKeys,
    Verification,
    seal,
    sha256,
    verify,
)

# The file of the facts of a run, which says its kind.
ROLLOUT, AUDIT, PATCH = "passage.json", "resultats.json", "correctifs.json"
DRILL, ACCESS, SERVERS, DEPARTURE = "exercice.json", "acces.json", "serveurs.json", "depart.json"
DOCUMENTS, JOURNALS = "documents.json", "journaux.json"
# The same, by folder of the control node's state.
FACTS = {
    "evidence": ROLLOUT,
    "audits": AUDIT,
    "correctifs": PATCH,
    "exercices": DRILL,
    "acces": ACCESS,
    "serveurs": SERVERS,
    "departs": DEPARTURE,
    "documents": DOCUMENTS,
    "journaux": JOURNALS,
}
# What the entry page of a kind leads to, and its title.
_ENTRY = "index.html"
_ENTRIES = {
    ROLLOUT: ("index.html", "Preuves de déploiement"),
    AUDIT: ("rapport.html", "Audits"),
    PATCH: ("rapport.html", "Correctifs"),
    DRILL: ("rapport.html", "Exercices de restauration"),
    ACCESS: ("rapport.html", "Registre des accès"),
    SERVERS: ("rapport.html", "Déploiements de serveurs"),
    DEPARTURE: ("rapport.html", "Départs"),
    DOCUMENTS: ("rapport.html", "Documents"),
    JOURNALS: ("rapport.html", "Journaux des machines"),
}
_FORMER_TITLE = re.compile(r"<title>Cre@tic&nbsp;: (\w)")
"""What titles began with before they named nobody: such a page is verified until the next run makes it again."""
TIMER, TIMER_VARIABLE = "minuterie", "CREATIC_MINUTERIE"
"""Who runs what nobody asked for, and the variable by which its unit says so (role control_node)."""

_RUN_ID = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z(-\d+)?")
_STAGING = ".en-cours-"
_OWNER = "proprietaire.json"
_MAX_BYTES = 4 * 2**30  # unpacked archive


class EvidenceError(CreaticError, cause="preuve"):
    """The evidence cannot be written, or read; the message is French and says what to do."""


class AlreadyLockedError(CreaticError, cause="verrou"):
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


def operator() -> str:
    """Who runs this process, and on which machine: a timer, the person who came by sudo, else the account."""
    who = TIMER if os.environ.get(TIMER_VARIABLE) else os.environ.get("SUDO_USER") or getpass.getuser()
    return f"{who}@{socket.gethostname()}"


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


def is_running(holder: Mapping[str, Any]) -> bool:
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
def _hold_mutex(folder: Path) -> Iterator[None]:
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
    with _hold_mutex(locks):
        path = locks / f"{slug}.json"
        holder = read_json(path)
        mine = owner(pid, operator)
        if holder and is_running(holder):
            if holder["pid"] == pid and holder["machine"] == mine["machine"]:
                return
            raise AlreadyLockedError(f"{what or f'un déploiement de {slug}'} est déjà en cours, {_holder_text(holder)}")
        write_text(path, json.dumps(mine, ensure_ascii=False))


def _holder_text(holder: Mapping[str, Any]) -> str:
    return (
        f"lancé par {holder['proprietaire']} (processus {holder['pid']} sur {holder['machine']}), "
        f"{day_and_hour(holder['depuis'])}"
    )


def lock_holder(locks: Path, slug: str) -> str:
    """Who has a lock now (« lancé par … »); empty for nobody."""
    holder = read_json(locks / f"{slug}.json")
    return _holder_text(holder) if holder and is_running(holder) else ""


def unlock_communes(locks: Path, pid: int, slug: str = "*") -> None:
    """Free every lock of a process, or one."""
    if not locks.is_dir():
        return
    with _hold_mutex(locks):
        for path in locks.glob(f"{slug}.json"):
            holder = read_json(path)
            if holder and holder.get("pid") == pid and holder.get("machine") == socket.gethostname():
                path.unlink()


# -- Runs ---------------------------------------------------------------------------------------------


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader or a crash sees the old or the new one, whole."""
    durable.write(path, text.encode(), None)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, as `write_text` does."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def seal_keys(home: Path) -> SealKeys:
    """Where the control node keeps what seals the evidence."""
    signature, tsa = (home / "certificats" / name / "current" for name in ("preuves", "horodatage"))
    return SealKeys(
        signature=Credential(signature / "cert.pem", signature / "key.pem"),
        tsa=Credential(tsa / "cert.pem", tsa / "key.pem"),
        chain=signature / "chain.pem",
        root=home / "pki" / "publie" / "racine.pem",
    )


def can_sign(home: Path) -> bool:
    """Whether the control node has its certificate of the evidence."""
    return seal_keys(home).signature.certificate.is_file()


def new_run_id() -> str:
    """A run's name: the date and time of its start (UTC)."""
    return now().strftime("%Y-%m-%dT%H%M%SZ")


def reserve_run_id(locks: Path) -> str:
    """A run's name that nobody else takes: its time, and a number for who starts in the same second.

    Args:
        locks: folder of the locks.
    """
    with _hold_mutex(locks):
        path, name = locks / ".dernier-passage", new_run_id()
        last = path.read_text(encoding="utf-8") if path.exists() else ""
        if last.startswith(name):
            name += f"-{int(last.removeprefix(name).lstrip('-') or 1) + 1}"
        write_text(path, name)
        return name


def open_run(base: Path, operator: str, run_id: str = "") -> tuple[str, Path]:
    """Make the folder in which a run collects, and clear away those of dead processes.

    Args:
        base: folder of the runs of its kind.
        run_id: its name; the time by default.

    Returns:
        The run's id and its folder.

    Raises:
        EvidenceError: the wanted id is malformed or taken, or the folder cannot be written.
    """
    if run_id and not _RUN_ID.fullmatch(run_id):
        raise EvidenceError(f"identifiant de passage « {run_id} » : attendu AAAA-MM-JJTHHMMSSZ")
    name = run_id or new_run_id()
    candidates = [name] if run_id else [name, *(f"{name}-{n}" for n in range(2, 100))]
    try:
        with _hold_mutex(base):
            for left in base.glob(f"{_STAGING}*/"):
                holder = read_json(left / _OWNER)
                if holder is None or not is_running(holder):
                    discard_run(left)
            for candidate in candidates:
                folder = base / f"{_STAGING}{candidate}"
                if not folder.exists() and not (base / candidate).exists():
                    folder.mkdir(mode=0o700)
                    write_text(folder / _OWNER, json.dumps(owner(os.getpid(), operator), ensure_ascii=False))
                    return candidate, folder
    except OSError as error:
        raise EvidenceError(f"le dossier {base} n'est pas utilisable : {reason(error)}") from error
    raise EvidenceError(f"le passage {name} existe déjà dans {base}")


def facts_file(run: Path) -> str:
    """Name of the file of a run's facts, which says its kind; empty when it is not there."""
    return next((name for name in FACTS.values() if (run / name).is_file()), "")


def facts_of(run: Path) -> dict[str, Any]:
    """Facts of a run; empty when they cannot be read."""
    found = read_json(run / facts_file(run))
    return found if isinstance(found, dict) else {}


def runs(base: Path) -> list[Path]:
    """Finished runs, in the order in which they ended: each after the one that it names, whatever the clock said.

    Dates order those that name none, or one that is not there: the first, and what somebody broke.
    """
    ended, following = dict[str, str](), dict[str, list[str]]()
    for path in base.glob("*/"):
        if _RUN_ID.fullmatch(path.name):
            facts = facts_of(path)
            ended[path.name] = re.sub("[-:]", "", str(facts.get("fin") or path.name))
            following.setdefault(_previous_run(facts), []).append(path.name)

    def latest_first(names: Iterable[str]) -> list[str]:
        return sorted(names, key=lambda name: (ended[name], name), reverse=True)

    waiting = latest_first(name for before, names in following.items() if before not in ended for name in names)
    order = dict[str, None]()
    while waiting:
        name = waiting.pop()
        order[name] = None
        waiting += latest_first(following.get(name, []))
    lost = reversed(latest_first(name for name in ended if name not in order))  # that name each other in a circle
    return [base / name for name in (*order, *lost)]


def _previous_run(facts: Mapping[str, Any]) -> str:
    """The run that a run names as the one before; empty for none."""
    named = facts.get("precedent")
    named = named if isinstance(named, dict) else {}
    return str(named.get("passage") or named.get("audit") or "")  # of audits, before all were kept the same way


def last_json(finished: Sequence[Path], name: str) -> dict[str, Any] | None:
    """A JSON object of the most recent of these runs in which it can be read."""
    return next((found for run in reversed(finished) if isinstance(found := read_json(run / name), dict)), None)


def seal_pins(run: Path) -> dict[str, str]:
    """Digests of a sealed folder's seal, by file; empty for one that is not there."""
    return {name: sha256(run / name) if (run / name).is_file() else "" for name in SEAL_FILES}


def discard_run(staging: Path) -> None:
    """Forget a run that concluded nothing."""
    shutil.rmtree(staging, ignore_errors=True)
    _archive_path(staging).unlink(missing_ok=True)


@contextlib.contextmanager
def closing(base: Path) -> Iterator[list[Path]]:
    """One run of a kind ends at a time; gives those that ended."""
    with _hold_mutex(base):
        yield runs(base)


def publish(
    staging: Path,
    finished: Sequence[Path],
    facts: str,
    record: dict[str, Any],
    pages: Mapping[str, Callable[[dict[str, Any]], str]],
    keys: SealKeys,
) -> tuple[Path, str]:
    """Write a run's facts and pages, seal it, and have it appear whole; within `closing`.

    Args:
        staging: its folder, from `open_run`.
        finished: the runs before it, from `closing`.
        facts: one of FACTS. An audit is packed too, and must be signed.
        record: what is to be kept; ``precedent`` and ``entree`` (its kind has an entry page) are added to it.
        pages: what makes each page of the record, by file.
        keys: of the seal; those that are not there yet are told.

    Returns:
        The run's folder, and why it is not signed (French; empty when it is).

    Raises:
        SealError: an audit could not be signed; nothing is published.
    """
    record["precedent"] = {"passage": finished[-1].name, **seal_pins(finished[-1])} if finished else None
    record["entree"] = _ENTRY
    (staging / _OWNER).unlink(missing_ok=True)
    write_json(staging / facts, record)
    for name, page in pages.items():
        write_text(staging / name, page(record))
    unsealed = ""
    try:
        seal(staging, keys)
    except SealError as error:
        if facts == AUDIT:
            raise
        unsealed = str(error)
    folder = staging.with_name(staging.name.removeprefix(_STAGING))
    packed = [_pack_folder(staging, folder.name)] if facts == AUDIT else []
    for path in (staging, *packed):
        durable.sync_tree(path)
    staging.rename(folder)
    for path in packed:
        path.rename(_archive_path(folder))
    write_text(folder.with_name(_ENTRY), _entry_of(folder, folder.name, seal_pins(folder)))
    durable.sync_directory(folder.parent)
    return folder, unsealed


@dataclass(frozen=True)
class Run:
    """A run that `opened` opened: who runs it, since when (ISO 8601), and where it collects its pieces."""

    home: Path
    kind: str
    operator: str
    started: str
    name: str
    staging: Path

    def publish(self, finished: Sequence[Path], told: Mapping[str, Any], template: str) -> tuple[Path, str]:
        """Publish what is told of it, with the page of a template; see the function `publish`."""
        record = {
            "version": 1,
            "passage": self.name,
            "debut": self.started,
            "fin": now().isoformat(timespec="microseconds"),
            "operateur": self.operator,
            **told,
        }
        page = ENVIRONMENT.get_template(template)
        pages = {"rapport.html": lambda given: page.render(record=given)}
        return publish(self.staging, finished, FACTS[self.kind], record, pages, seal_keys(self.home))


@contextlib.contextmanager
def opened(home: Path, kind: str, operator: str, started: str = "") -> Iterator[Run]:
    """Open a run of a kind (a folder of FACTS); what it does not publish is forgotten.

    Raises:
        EvidenceError: see `open_run`.
    """
    started = started or now().isoformat(timespec="seconds")
    name, staging = open_run(home / kind, operator)
    try:
        yield Run(home, kind, operator, started, name, staging)
    finally:
        discard_run(staging)


def _entry_of(run: Path, name: str, pins: Mapping[str, str]) -> str:
    """Entry page that leads to a run of the kind of this one."""
    page, title = _ENTRIES[facts_file(run) or ROLLOUT]
    return entry_page(name, pins, title, page)


# -- Archives -----------------------------------------------------------------------------------------


def _archive_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.tar.gz")


def _pack_folder(folder: Path, name: str) -> Path:
    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        info.mode = 0o755 if info.isdir() else 0o644
        return info

    with tarfile.open(_archive_path(folder), "w:gz", compresslevel=6) as archive:
        archive.add(folder, arcname=name, filter=plain)
    return _archive_path(folder)


@contextlib.contextmanager
def _unpacked_run(run: Path) -> Iterator[Path]:
    """Give the folder of a run, unpacking an archive for as long as needed."""
    if run.is_dir():
        yield run
        return
    if not run.is_file():
        raise EvidenceError(f"{run} : aucun dossier ni archive de preuves à cet endroit")
    with tempfile.TemporaryDirectory(prefix="creatic-preuves-") as scratch:
        try:
            with gzip.open(run) as stream:  # to its end, where its checksum is: tarfile stops before
                while stream.read(2**20):
                    pass
            with tarfile.open(run, "r:gz") as archive:
                if sum(member.size for member in archive.getmembers()) > _MAX_BYTES:
                    raise EvidenceError(f"{run.name} : contenu démesuré, refusé")
                archive.extractall(scratch, filter="data")
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            raise EvidenceError(
                f"{run.name} : l'archive est abîmée ou n'est pas une archive de preuves ({reason(error)})"
            ) from error
        tops = list(Path(scratch).iterdir())
        if len(tops) != 1 or not tops[0].is_dir():
            raise EvidenceError(f"{run.name} : l'archive doit contenir un seul dossier, celui du passage")
        yield tops[0]


# -- Verification -------------------------------------------------------------------------------------


def _check_root(root: Path) -> None:
    if not root.is_file():
        raise EvidenceError(f"{root} est introuvable : donnez la racine de l'autorité du groupement (--racine)")


def verify_one(run: Path, root: Path) -> Verification:
    """Check one run of any kind, wherever it was copied.

    Args:
        run: its folder, or its archive.
        root: PEM of the root CA, from a trusted place.

    Raises:
        EvidenceError: there is nothing to read there.
    """
    _check_root(root)
    with _unpacked_run(run) as folder:
        if not any((folder / name).is_file() for name in (DIGESTS, *FACTS.values())):
            raise EvidenceError(f"{run} n'est pas un dossier de preuves")
        return verify(folder, root)


def verify_all(base: Path, root: Path) -> dict[str, Verification]:
    """Check every run of a kind, that each one follows the one before, the archives, and the entry page.

    Returns:
        One verification by run, in the order in which they ended, one by archive, and one for ``index.html``.

    Raises:
        EvidenceError: there are runs, and no root to judge them by.
    """
    if finished := runs(base):
        _check_root(root)
    results = {run.name: verify(run, root) for run in finished}
    names = {run.name for run in finished}
    for position, run in enumerate(finished):
        facts, record = facts_file(run), facts_of(run)
        if not record or facts in dict(results[run.name].faults):
            continue  # its own verification says it
        noted, named = _previous_run(record), record["precedent"] if _previous_run(record) else {}
        previous = finished[position - 1] if position else None
        if noted != (previous.name if previous else ""):
            lost = noted and noted not in names
            what = f"le passage {noted} a disparu" if lost else "un passage antérieur a été ajouté"
            results[run.name].faults.append((facts, f"chaîne rompue : {what}"))
        elif previous:
            _compare_pins(seal_pins(previous), named, results[previous.name], f"le passage {run.name}")
    results |= _verify_archives(base, finished, root)
    # Rollouts always had one; of the other kinds, runs that were sealed before say nothing of it.
    if not finished and (base / _ENTRY).is_file():
        results[_ENTRY] = Verification([(_ENTRY, "tous les passages ont disparu")])
    elif (base / _ENTRY).is_file() or any((run / ROLLOUT).is_file() or facts_of(run).get("entree") for run in finished):
        results[_ENTRY] = _verify_entry(base, finished, results[finished[-1].name])
    return results


def verify_home(home: Path, root: Path) -> dict[str, Verification]:
    """Check all that the control node keeps, see `verify_all`; what is no rollout is named after its folder."""
    return {
        name if folder == "evidence" else f"{folder}/{name}": result
        for folder in FACTS
        for name, result in verify_all(home / folder, root).items()
    }


def _verify_archives(base: Path, finished: Sequence[Path], root: Path) -> dict[str, Verification]:
    """Check the archives that are there, and that no audit lost its own."""
    results = {}
    for path in sorted(
        {*base.glob("[!.]*.tar.gz"), *(_archive_path(run) for run in finished if (run / AUDIT).is_file())}
    ):
        try:
            results[path.name] = verify_one(path, root)
        except EvidenceError as error:
            why = str(error) if path.exists() else "absent : l'archive de cet audit a été supprimée"
            results[path.name] = Verification([(path.name, why)])
    return results


def _compare_pins(pins: Mapping[str, str], noted: Mapping[str, str], result: Verification, witness: str) -> None:
    for name, digest in pins.items():
        if noted.get(name) != digest and name not in dict(result.faults):
            result.faults.append((name, f"modifié : {witness} en avait noté une autre empreinte"))


def _verify_entry(base: Path, finished: Sequence[Path], seal_of_last: Verification) -> Verification:
    """Compare the entry page with the one the last run would give, and tell which of the two was changed."""
    result = Verification()
    path, last = base / _ENTRY, finished[-1]
    if not path.is_file():
        result.faults.append((_ENTRY, "absent : la page d'entrée a été supprimée"))
        return result
    actual, pins = path.read_text(encoding="utf-8", errors="replace"), seal_pins(last)
    actual = _FORMER_TITLE.sub(lambda found: f"<title>{found[1].upper()}", actual, count=1)
    if actual == _entry_of(last, last.name, pins):
        return result
    noted = pins | dict(re.findall(r"<dt>([\w.]+)</dt><dd>([0-9a-f]{64})</dd>", actual))
    # The digest of a changed file differs everywhere: a near miss is a change of the page itself.
    far = [name for name in SEAL_FILES if _count_differences(noted[name], pins[name]) > 8]
    named = "".join(re.findall(r"; url=([\w-]+)/", actual)[:1])
    if far and actual == _entry_of(last, last.name, noted):
        _compare_pins(pins, noted, seal_of_last, "la page d'entrée")
    elif far and named not in {run.name for run in finished} and actual == _entry_of(last, named, noted):
        result.faults.append((_ENTRY, f"le passage {named}, qu'elle annonce, a disparu"))
    elif len(finished) > 1 and actual == _entry_of(last, finished[-2].name, seal_pins(finished[-2])):
        result.faults.append((_ENTRY, "en retard d'un passage (interruption) : le prochain la refera"))
    else:
        result.faults.append((_ENTRY, "modifié : la page d'entrée n'est plus celle du dernier passage"))
    return result


def _count_differences(one: str, other: str) -> int:
    return sum(a != b for a, b in zip(one.ljust(64), other.ljust(64), strict=False))


def verification_lines(results: Mapping[str, Verification]) -> list[str]:
    """The result of `verify_all`, one French line per run and per fault; for ``fab``."""
    lines = []
    for name, result in results.items():
        if result.intact:
            when: datetime | None = result.sealed_at
            lines.append(f"✓ {name} : intact" + (f", horodaté {day_and_hour(when)}" if when else ""))
        else:
            lines += [
                f"✗ {name if file == Path(name).name else f'{name}/{file}'} : {reason}"
                for file, reason in result.faults
            ]
    return lines
