"""One repository per client: watched, rolled back, turned over by quarters. Nothing here needs a client's key.

Layout::

    <root>/<client>/depot/               the live repository: the client writes, through borg serve --append-only
    <root>/<client>/periodes/2026-T4/    repositories of earlier quarters, which nobody writes any more
    <root>/<client>/ecarte/<moment>/     what a rollback took out
    <root>/<client>/parole/besoins.json  what the client last told of the repositories that must stay
    <root>/<client>/sequestre.p7m        the client's passphrase, sealed for its holders
    <state>/<client>.json                what the watch knows; <client>.config: the repository's own configuration
    <state>/gel/<client>                 a client that may not come in, and why
"""

from __future__ import annotations

import fcntl
import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from creatic_agent import configuration
from creatic_agent.configuration import Key, Whole, positive
from creatic_agent.durable import write
from creatic_agent.errors import CreaticError
from creatic_depots import segments

CONFIG = Path("/etc/creatic/depots.json")
# A line that a full disk cut short, and the next one after it, tell no moment.
_TRANSACTION = re.compile(r"transaction (\d{1,18}), UTC time (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", re.ASCII)
_BORG = "/usr/bin/borg"
# Bytes that a repository may take beyond its quota. borg counts what is referred to; in append-only mode what was
# replaced, and what was sent and never committed, stays on the disk as well.
_MARGIN = 100_000_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TURN = 3600  # seconds that the check of one repository may take: the others have theirs after it
_PATIENCE = 60  # seconds in which a program that is asked to end does, and leaves no lock behind
# What borg says of a check that another one of its locks kept from beginning, or that it will take up again.
_BUSY, _IN_PARTS = "failed to create/acquire the lock", "finished partial segment check"
_DAMAGED = (1, 2)  # a warning, an error: any other end of borg is that of a program that was stopped
_MOST = 50_000_000  # bytes of a configuration, or of the log of transactions: a million of them


class DepotError(CreaticError, cause="depot"):
    """What was asked cannot be done; the message (French) says why and what to do."""


@dataclass(frozen=True)
class Client:
    """A client's quota, in megabytes, and the hours from which its last backup is too old."""

    quota_mo: Annotated[Whole, positive]
    age_max_h: Annotated[Whole, positive]


@dataclass(frozen=True)
class Settings:
    """Content of /etc/creatic/depots.json.

    Attributes:
        root: folder of the repositories.
        state: what the watch knows, out of reach of the clients' account.
        metrics: folder of the textfile collector.
        account: the clients'.
        readers: account that restores, which may not write.
        clients: whose repositories they are.
        quarters: closed quarters that are kept.
    """

    root: Annotated[Path, Key("racine")]
    state: Annotated[Path, Key("etat")]
    metrics: Annotated[Path, Key("metriques")]
    account: Annotated[str, Key("compte")]
    readers: Annotated[str, Key("lecteurs")]
    clients: dict[str, Client]
    quarters: Annotated[Whole, Key("trimestres")]

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read the configuration. Raises configuration.ConfigError."""
        return configuration.load(path, cls)


def _read(path: Path) -> str:
    """A small file of a repository.

    Raises:
        FileNotFoundError: it is not there.
        segments.SegmentError: it is no regular file.
    """
    with segments.reading(path) as stream:
        return stream.read(_MOST).decode(errors="replace")


def _replace(path: Path, text: str, mode: int, uid: int, gid: int) -> None:
    """Replace at once a file of a folder in which the clients' account may write: nothing of its own is followed."""
    folder = os.open(path.parent, _FOLDER)
    try:
        write(Path(f"/proc/self/fd/{folder}", path.name), text.encode(), mode, uid, gid)
    finally:
        os.close(folder)


def _digest(path: Path) -> str:
    """Of what a client has no reason to change; borg itself notes there how far a check went."""
    found = ConfigParser(interpolation=None)
    found.read_string(_read(path))
    fixed = [found.get("repository", name, fallback="") for name in ("version", "id", "key")]
    return hashlib.sha256("\n".join(fixed).encode()).hexdigest()


def moment(seconds: float | None = None) -> str:
    """A moment as in the log of borg, to the second."""
    return datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC).isoformat(timespec="seconds")


def _age_h(iso: str) -> float:
    return (time.time() - datetime.fromisoformat(iso).timestamp()) / 3600


def quarter(iso: str) -> str:
    """2026-11-26T… → 2026-T4."""
    when = datetime.fromisoformat(iso)
    return f"{when.year}-T{(when.month + 2) // 3}"


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Work while nobody else here changes what is known of the repositories, or where they are."""
    with (settings.state / "verrou").open("w") as lock:
        os.fchmod(lock.fileno(), 0o600)  # who may read a file may lock it
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Depot:
    """The repository of one client, on the server."""

    def __init__(self, settings: Settings, client: str) -> None:
        if client not in settings.clients:
            known = ", ".join(sorted(settings.clients)) or "aucun"
            raise DepotError(f"client inconnu de ce serveur : {client} (connus : {known})")
        self.settings, self.client = settings, client
        self.home = settings.root / client
        self.path = self.home / "depot"
        self.freeze_file = settings.state / "gel" / client
        self._state_file = settings.state / f"{client}.json"
        self._config_copy = settings.state / f"{client}.config"
        self.word_file = self.home / "parole" / "besoins.json"

    # -- What is known ----------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._state_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            found = {}
        return {"vu": -1, "bon": -1, "manifeste": 0, "config": "", "suspect": "", "verification": {}} | found

    def _keep(self, state: dict[str, Any]) -> None:
        write(self._state_file, json.dumps(state, ensure_ascii=False, indent=1).encode(), 0o600)

    @property
    def exists(self) -> bool:
        return (self.path / "config").is_file()

    @property
    def _quota(self) -> int:
        return self.settings.clients[self.client].quota_mo * 1_000_000

    def _size(self, repository: Path | None = None) -> int:
        """Bytes of its segments on the disk, or of a closed quarter's; those that go meanwhile count for nothing."""
        size = 0
        for _number, path in segments.numbered(repository or self.path):
            with suppress(FileNotFoundError):
                size += path.lstat().st_size
        return size

    def times(self) -> dict[int, str]:
        """End of each transaction by this server's clock, from the log that borg keeps in append-only mode."""
        try:
            text = _read(self.path / "transactions")
        except (FileNotFoundError, segments.SegmentError):
            return {}
        return {int(number): f"{when}+00:00" for number, when in _TRANSACTION.findall(text)}

    def report(self) -> dict[str, Any]:
        """What the server can say of it."""
        state, times = self.state, self.times()
        closed = self.closed()
        # Closed quarters hold the last backup while the live repository is new. What is still to come was noted by a
        # clock that was ahead: it would hide that no backup comes any more, until its hour.
        now = moment()
        last = max((one for one in (*times.values(), str(state.get("derniere", ""))) if one <= now), default="")
        return {
            "client": self.client,
            "derniere": last,
            "age_max_h": self.settings.clients[self.client].age_max_h,
            "trop_ancienne": bool(last) and _age_h(last) > self.settings.clients[self.client].age_max_h,
            "transactions": len(times),
            "octets": self._size(),
            "octets_clos": sum(map(self._size, closed)),
            "quota_octets": self._quota,
            "periodes": [path.name for path in closed],
            "retenues": {path.name: why for path in self._over() if (why := self._needed(path))},
            "suspect": state["suspect"],
            "gele": self.freeze_file.exists(),
            "verification": state["verification"],
            "horloge": now,
        }

    # -- The watch --------------------------------------------------------------------------------------

    def watch(self) -> str:
        """Look at what is new. Returns why the client is suspect (French), empty when it is not."""
        state = self.state
        if state["suspect"] or not self.exists:
            return str(state["suspect"])
        reason = self._config_changed(state)
        try:
            for done in segments.transactions(self.path, state["vu"]):
                reason = reason or self._judge(done, state)
                if reason:
                    break
                state |= {"vu": done.end, "bon": done.end, "manifeste": done.manifest or state["manifeste"]}
        except segments.SegmentError as error:
            reason = reason or f"le journal du dépôt est illisible : {error}"
        except FileNotFoundError:
            # A transaction was undone while it was read: the next look sees what is left.
            return ""
        reason = reason or self.overflow()
        times = self.times()
        if state["bon"] in times:
            state["derniere"] = times[state["bon"]]
        if reason:
            state["suspect"] = reason
            self.freeze(reason)
        self._keep(state)
        return reason

    def overflow(self) -> str:
        """Why its client has too much of the disk (French); empty when it has not."""
        if (size := self._size()) <= 1.1 * self._quota + _MARGIN:
            return ""
        return f"{size // 1_000_000} Mo occupés sur le disque, pour un quota de {self._quota // 1_000_000} Mo"

    def _config_changed(self, state: dict[str, Any]) -> str:
        """The repository's configuration holds its key, which a client may overwrite through borg serve."""
        try:
            digest = _digest(self.path / "config")
        except (ConfigParserError, segments.SegmentError):
            digest = "illisible"
        if state["config"] and digest != state["config"]:
            return "la configuration du dépôt, qui porte sa clé, a été changée"
        if not state["config"] and self.times():  # written in two steps by the very first backup
            write(self._config_copy, _read(self.path / "config").encode(), 0o600)
            state["config"] = digest
        return ""

    @staticmethod
    def _judge(done: segments.Transaction, state: dict[str, Any]) -> str:
        if done.lost:
            return f"{len(done.lost)} blocs déjà sauvegardés ont été supprimés ou remplacés"
        if 0 < done.manifest < state["manifeste"]:
            return "la liste des sauvegardes a raccourci"
        # A backup adds its own data, and to the list its name, its date and an identifier that no compression shortens.
        if done.manifest and state["manifeste"] and (not done.put or done.manifest == state["manifeste"]):
            return "la liste des sauvegardes a été réécrite sans qu'une sauvegarde s'y ajoute"
        return ""

    def freeze(self, reason: str) -> None:
        """Close the door to the client, and end what it is doing."""
        write(self.freeze_file, f"{reason}\n".encode(), 0o644)
        mine = str(self.path).encode()
        uid = pwd.getpwnam(self.settings.account).pw_uid
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if process.stat().st_uid == uid and mine in (process / "cmdline").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGTERM)

    def reopen(self) -> None:
        """Let the client in again.

        Raises:
            DepotError: it is suspect still.
        """
        if self.state["suspect"]:
            raise DepotError(f"{self.client} : {self.state['suspect']} ; revenez d'abord en arrière (revenir)")
        self.freeze_file.unlink(missing_ok=True)

    # -- Back to what was good --------------------------------------------------------------------------

    def roll_back(self) -> str:
        """Take out of the repository what came after the last good transaction, and keep it aside.

        Returns:
            What was done (French).

        Raises:
            DepotError: there is nothing to undo, or what is left does not verify.
        """
        state = self.state
        if not state["suspect"]:
            raise DepotError(f"{self.client} : rien de suspect n'a été vu, rien n'est défait")
        if state["bon"] < 0:
            raise DepotError(f"{self.client} : aucune transaction saine à retrouver")
        self.freeze(str(state["suspect"]))
        account, readers = pwd.getpwnam(self.settings.account), self.settings.readers
        owner = account.pw_uid, grp.getgrnam(readers).gr_gid
        aside = self.home / "ecarte" / moment().replace(":", "")
        aside.mkdir(parents=True, mode=0o700)
        gone = [path for number, path in segments.numbered(self.path) if number > state["bon"]]
        gone += [path for kind in ("index", "hints", "integrity") for path in self.path.glob(f"{kind}.*")]
        for path in gone:
            self._set_aside(path, aside)
        for left in ("lock.exclusive", "lock.roster"):
            path = self.path / left
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        self.word_file.unlink(missing_ok=True)  # it counted on what goes
        if state["config"]:  # the copy of the first look is as good, when nothing changed
            self._set_aside(self.path / "config", aside)
            _replace(self.path / "config", self._config_copy.read_text(encoding="utf-8"), 0o640, *owner)
        log = self.path / "transactions"
        kept = []
        with suppress(FileNotFoundError, segments.SegmentError):  # no log is no reason to leave the crime
            kept = [line for line in _read(log).splitlines(keepends=True) if _kept(line, state["bon"])]
        with suppress(FileNotFoundError):
            self._set_aside(log, aside)
        _replace(log, "".join(kept), 0o640, *owner)
        self._keep(state | {"suspect": "", "vu": state["bon"], "retour": moment()})
        self.verify()
        return (
            f"{self.client} : revenu à la transaction {state['bon']} ({state.get('derniere', 'date inconnue')}) ; "
            f"{len(gone)} fichiers écartés dans {aside}"
        )

    def _set_aside(self, path: Path, aside: Path) -> None:
        """Move a file of the repository, and none that a link of the clients' account leads to."""
        folder = os.open(self.home, _FOLDER)
        try:
            for name in path.parent.relative_to(self.home).parts:
                below = os.open(name, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = below
            os.rename(path.name, aside / path.name, src_dir_fd=folder)
        finally:
            os.close(folder)

    # -- Bits -------------------------------------------------------------------------------------------

    def _borg(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Raises subprocess.TimeoutExpired: it had not ended in its turn, and was stopped."""
        account = pwd.getpwnam(self.settings.account)
        command = [_BORG, f"--umask={0o027:04o}", *arguments]
        with subprocess.Popen(
            command,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            env={"BORG_BASE_DIR": str(self.settings.state / "borg"), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                said, _nothing = process.communicate(timeout=_TURN + _PATIENCE)
            except subprocess.TimeoutExpired:
                process.terminate()  # borg gives its lock back
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=_PATIENCE)
                raise
            finally:
                process.kill()
        return subprocess.CompletedProcess(command, process.returncode, said)

    def verify(self) -> None:
        """Read every block again, in a time that is its own. What is too much for one turn is read in parts.

        The watch goes on meanwhile: borg's own lock keeps the repository where it is (`turn`).

        Raises:
            DepotError: some are damaged, or it did not end.
        """
        if not self.exists:
            return
        parts = ["--info", "--max-duration", str(_TURN)] if self.state["verification"].get("inachevee") else []
        try:
            done = self._borg("check", "--repository-only", *parts, str(self.path))
        except subprocess.TimeoutExpired:
            raise self._unended(f"elle n'a pas fini en {_TURN // 60} minutes, et continuera par parties") from None
        said = [line for line in done.stdout.splitlines() if line.strip()]
        if done.returncode and _BUSY in done.stdout.casefold():
            raise self._unended("le dépôt est resté occupé par sa machine")
        if done.returncode not in (0, *_DAMAGED):
            raise self._unended("borg a été arrêté avant la fin")
        if not done.returncode and _IN_PARTS in done.stdout.casefold():
            raise self._unended(f"elle se fait par parties de {_TURN // 60} minutes, celle-ci est bonne")
        self._verified({"le": moment(), "bonne": not done.returncode})
        if done.returncode:
            raise DepotError(
                f"{self.client} : le dépôt est abîmé ({said[0] if said else 'sans message'}). Rien n'est réparé "
                "d'office : voir « Un dépôt abîmé » dans docs/exploitation.md"
            )

    def _unended(self, why: str) -> DepotError:
        """Keep that a check did not end: it accuses nobody, and what the last one found stays."""
        self._verified(self.state["verification"] | {"inachevee": moment()})
        return DepotError(
            f"{self.client} : la relecture du dépôt n'est pas finie, {why}. Les autres dépôts n'attendent pas. À faire "
            "si cela revient chaque semaine : voir « Une relecture qui ne finit pas » dans docs/exploitation.md"
        )

    def _verified(self, found: dict[str, Any]) -> None:
        with alone(self.settings):  # what the watch learnt meanwhile stays
            self._keep(self.state | {"verification": found})

    # -- Quarters ---------------------------------------------------------------------------------------

    def turn(self, now: str) -> list[str]:
        """Close the repository of a past quarter, and drop the oldest ones that the client does without.

        Without its word nothing is dropped: nobody here can read which archives a repository holds alone.

        Returns:
            What was done, and what was not (French).
        """
        told: list[str] = []
        times, state = self.times(), self.state
        if state["suspect"] or self.freeze_file.exists() or not times:
            return told
        began = quarter(min(times.values()))
        # What a rollback took out must be missed by the client while it can still see it.
        returned = bool(state.get("retour")) and self._word() is None
        if began != quarter(now) and not returned and not (self.path / "lock.exclusive").exists():
            closed = self.home / "periodes" / began
            if closed.exists():
                closed = closed.with_name(f"{began}-{now[:10]}")
            closed.parent.mkdir(exist_ok=True, mode=0o751)
            self.path.rename(closed)
            self.make()
            self._keep({"derniere": max(times.values())})
            self._config_copy.rename(self.settings.state / f"{self.client}-{closed.name}.config")
            told.append(f"{self.client} : trimestre {closed.name} clos")
        elif len(times) > 1:  # the live repository has a backup: the oldest quarters may go
            for old in self._over():
                if why := self._needed(old):
                    told.append(f"{self.client} : trimestre {old.name} gardé, {why}")
                    continue
                shutil.rmtree(old)
                told.append(f"{self.client} : trimestre {old.name} supprimé, sa conservation est finie")
        return told

    def closed(self) -> list[Path]:
        """Repositories of earlier quarters, oldest first."""
        return sorted(self.home.glob("periodes/*/"))

    def _over(self) -> list[Path]:
        """Those of them that are more than are to be kept."""
        closed = self.closed()
        return closed[: max(0, len(closed) - self.settings.quarters)]

    def note(self, needs: bytes) -> None:
        """Keep the client's word: which repositories must stay for what only they have.

        Args:
            needs: JSON, `depots` (archives, by the repository's identity) and `sans_copie` (archives without any copy).

        Raises:
            DepotError: it is something else.
        """
        if _needs(needs) is None:
            raise DepotError(f"{self.client} : ce n'est pas une liste des dépôts qui doivent rester")
        write(self.word_file, needs, 0o644)

    def _word(self) -> tuple[dict[str, int], int] | None:
        try:
            return _needs(_read(self.word_file).encode())
        except (FileNotFoundError, segments.SegmentError):
            return None

    def _needed(self, closed: Path) -> str:
        """Why a repository of an earlier quarter may not go (French); empty when it may."""
        word = self._word()
        if word is None:
            return "la machine n'a pas encore dit quels dépôts doivent rester"
        depots, without = word
        if without:
            return f"{without} archives n'ont pas de copie plus récente connue (copie en cours, ou quota atteint)"
        try:
            found = ConfigParser(interpolation=None)
            found.read_string(_read(closed / "config"))
            identity = found.get("repository", "id")
        except (FileNotFoundError, ConfigParserError, segments.SegmentError):
            return "son identité (fichier config) est illisible"
        if count := depots.get(identity):
            return f"il est le seul à avoir {count} archives"
        return ""

    def make(self) -> None:
        """The folder in which borg makes the repository, for the clients' account to write and the readers' to read."""
        self.path.mkdir(parents=True, exist_ok=True)
        shutil.chown(self.path, self.settings.account, self.settings.readers)
        self.path.chmod(0o2750)


def _needs(text: bytes) -> tuple[dict[str, int], int] | None:
    """What a client's word says: archives by repository, archives without a copy. None: it is no such word."""
    try:
        found = json.loads(text)
        depots, without = found["depots"], found["sans_copie"]
        if not all(re.fullmatch("[0-9a-f]{64}", one) for one in depots):
            return None
        counts = [without, *depots.values()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return (depots, without) if all(type(one) is int and one >= 0 for one in counts) else None


def _kept(line: str, last: int) -> bool:
    found = _TRANSACTION.search(line)
    return bool(found and int(found[1]) <= last)


def metrics(settings: Settings) -> None:
    """Figures of every repository, for the textfile collector."""
    lines: list[str] = []
    reports = [Depot(settings, name).report() for name in sorted(settings.clients)]

    def gauge(name: str, text: str, values: dict[str, float]) -> None:
        lines.extend((f"# HELP creatic_depot_{name} {text}", f"# TYPE creatic_depot_{name} gauge"))
        lines.extend(f'creatic_depot_{name}{{client="{client}"}} {value:.10g}' for client, value in values.items())

    def stamp(iso: str) -> float:
        return datetime.fromisoformat(iso).timestamp() if iso else 0.0

    gauge(
        "last_transaction_timestamp_seconds",
        "End of the last backup by the server's clock, 0 for never.",
        {one["client"]: stamp(one["derniere"]) for one in reports},
    )
    gauge(
        "max_age_seconds",
        "Age from which it is too old: the policy of the machine's size.",
        {one["client"]: one["age_max_h"] * 3600.0 for one in reports},
    )
    gauge("bytes", "Size of the live repository.", {one["client"]: float(one["octets"]) for one in reports})
    gauge("quota_bytes", "Size that it may have.", {one["client"]: float(one["quota_octets"]) for one in reports})
    gauge(
        "suspect",
        "1 when backed-up data was deleted or replaced.",
        {one["client"]: float(bool(one["suspect"])) for one in reports},
    )
    gauge(
        "retained",
        "Quarters beyond those that are kept, which hold what no later one is known to have.",
        {one["client"]: float(len(one["retenues"])) for one in reports},
    )
    gauge(
        "verified",
        "1 when every block was read again without an error, 0 when some are damaged, -1 for never.",
        {one["client"]: float(one["verification"].get("bonne", -1)) for one in reports},
    )
    gauge(
        "verification_unended",
        "1 when the last look at every block did not end in its turn.",
        {one["client"]: float("inachevee" in one["verification"]) for one in reports},
    )
    gauge(
        "verified_timestamp_seconds",
        "When they were read again.",
        {one["client"]: stamp(one["verification"].get("le", "")) for one in reports},
    )
    write(settings.metrics / "depots.prom", ("\n".join(lines) + "\n").encode(), 0o644)
