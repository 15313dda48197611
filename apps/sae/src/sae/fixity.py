"""Applicative fixity: the SHA-512 of every archive, through every proxy, within so many days (`sae-fixite`).

Swift's own auditor knows bit-rot by an MD5 that sits beside the data; this check knows what was promised to the service
versant, from the sealed journal, and also sees what is missing. It never writes nor deletes an archive. What it does to
repair: a whole read of a damaged replica makes Swift set it aside (quarantine) and copy it again from a good one; the
check waits for that, reads again, and says what it saw. Without a good copy left, it says so and touches nothing.

A content that is whole may still be no archive: the structure of each (OCFL) is judged too, once, as no good content
changes; in turns of a few minutes, after what is read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

from creatic_agent import durable
from creatic_agent.book import Book
from creatic_agent.configuration import ConfigError, Key, Number, positive, section
from creatic_agent.figures import Figures, labels
from creatic_agent.reasons import because
from sae import config, export, inventory, ocfl
from sae.commands import DEFAULT_PATH
from sae.config import Config
from sae.journal import Journal, JournalError
from sae.journal.seal import ACCOUNT as SEALS_ACCOUNT
from sae.journal.seal import CONTAINER as SEALS
from sae.store import ObjectNotFoundError, Store, StoreError, replicas

GOOD, INCOMPLETE, DAMAGED, LOST, UNKNOWN = "bon", "incomplet", "abime", "perdu", "inconnu"
_FIXITY_DAY_SECONDS = 86400.0
_FIXITY_BLOCK_BYTES = 1 << 20
# An archive may be in the storage for that long before the journal says so (a versement that was interrupted).
_UNJOURNALED = _FIXITY_DAY_SECONDS
_MAX_STRUCTURE_CHECK_SECONDS = 300  # seconds of a run in which structures are judged; one that was begun is ended
_SPARE = 1 << 30  # bytes of the disk that are left to others while an archive is unpacked on it
_UNJUDGED = """
    FROM objet o LEFT JOIN structure s
    ON s.compte = o.compte AND s.nom = o.nom AND s.attendu = o.attendu AND s.regles = ?
    WHERE o.conteneur = ? AND o.resultat = ? AND o.attendu IS NOT NULL AND s.nom IS NULL
"""
_FIXITY_SCHEMA = """
CREATE TABLE IF NOT EXISTS objet (
  compte TEXT NOT NULL, conteneur TEXT NOT NULL, nom TEXT NOT NULL,
  attendu TEXT, octets INTEGER NOT NULL DEFAULT 0, vu_le REAL NOT NULL,
  verifie_le REAL, essaye_le REAL, resultat TEXT, detail TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (compte, conteneur, nom)
);
CREATE INDEX IF NOT EXISTS a_faire ON objet(verifie_le);
CREATE TABLE IF NOT EXISTS structure (
  compte TEXT NOT NULL, nom TEXT NOT NULL, attendu TEXT NOT NULL, regles INTEGER NOT NULL, defaut TEXT NOT NULL,
  PRIMARY KEY (compte, nom)
);
CREATE TABLE IF NOT EXISTS valeur (cle TEXT PRIMARY KEY, valeur TEXT NOT NULL);
"""


@runtime_checkable
class _Audited(Protocol):
    """A store whose node has an auditor of its own (SwiftStore.quarantined)."""

    def quarantined(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class _FixitySettings:
    """`fixite` of the configuration, with its own units: megabytes a second."""

    days: Annotated[Number, Key("jours"), positive] = 30
    exceptions: Annotated[dict[str, Annotated[Number, positive]], Key("comptes")] = field(default_factory=dict)
    rate: Annotated[Number, Key("mo_par_seconde"), positive] = 20
    seconds: Annotated[Number, Key("duree"), positive] = 3000
    patience: Annotated[Number, Key("attente")] = 120


@dataclass(frozen=True)
class Plan:
    """What the check must achieve.

    Attributes:
        accounts: services versants whose container `aip` is checked.
        days: every archive is read again within that many days.
        exceptions: other numbers of days, by account.
        rate: bytes read per second at most, all replicas together.
        seconds: a run stops after that long; the next one goes on.
        patience: seconds to wait for the storage to repair a damaged replica.
    """

    accounts: Sequence[str]
    days: float = 30
    exceptions: Mapping[str, float] = field(default_factory=dict)
    rate: float = 20e6
    seconds: float = 3000
    patience: float = 120

    @classmethod
    def from_config(cls, path: Path, config: Config) -> Plan:
        """The plan of a configuration. Raises ConfigError."""
        given = section(path, "fixite", _FixitySettings)
        return cls(
            tuple(config.accounts), given.days, given.exceptions, given.rate * 1e6, given.seconds, given.patience
        )

    def interval(self, account: str) -> float:
        """Seconds within which an archive of this account is read again."""
        return float(self.exceptions.get(account, self.days)) * _FIXITY_DAY_SECONDS


@dataclass
class Result:
    """What a run did and what stands at its end.

    Attributes:
        checked: archives read by this run.
        repaired: those whose damaged replica came back good.
        bad: every archive that is damaged, lost or not journaled now, whichever run saw it: (account, name, French).
        late: archives not fully read within their days.
        structures: those of `bad` whose content is as it was deposited, and is no good OCFL object.
        unjudged: good contents whose structure was not judged yet.
        trouble: what kept the run from doing its work, in French.
    """

    checked: int = 0
    repaired: int = 0
    bad: list[tuple[str, str, str]] = field(default_factory=list)
    late: int = 0
    total: int = 0
    oldest: float | None = None
    structures: int = 0
    unjudged: int = 0
    trouble: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """Exit status: 0 all is good and on time, 1 something is damaged or lost, 2 the check is not complete."""
        if self.bad:
            return 1
        return 2 if self.late or self.trouble else 0


class State(Book):
    """Progress of the check. Losing it costs a new pass, nothing else."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _FIXITY_SCHEMA)

    def value(self, key: str, default: str = "") -> str:
        found = self.rows("SELECT valeur FROM valeur WHERE cle = ?", key)
        return str(found[0][0]) if found else default


class _Pace:
    """Keeps the reading below a rate."""

    def __init__(self, rate: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._start, self._read = clock(), 0

    def read(self, count: int) -> None:
        self._read += count
        ahead = self._read / self._rate - (self._clock() - self._start)
        if ahead > 0:
            self._sleep(ahead)


class Checker:
    """Reads archives and judges them.

    Args:
        replicas: names and stores; each store reaches the archives by another way (one proxy each), so that together
            they read every replica.
        journal: says what must be there, and is told what was seen.
        state: progress.
        clock, sleep: for tests; the clock counts seconds since the epoch.
        unpacked: folder in which archives are unpacked, one at a time, for their structure; without, none is judged.
    """

    def __init__(
        self,
        replicas: Sequence[tuple[str, Store]],
        journal: Journal,
        state: State,
        plan: Plan,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        unpacked: Path | None = None,
    ) -> None:
        self._unpacked = unpacked
        self._replicas, self._journal, self._state, self._plan = replicas, journal, state, plan
        self._clock, self._sleep = clock, sleep
        self._pace = _Pace(plan.rate, clock, sleep)

    def run(self, everything: bool = False) -> Result:
        """Bring the list up to date, read what is due, oldest first, until time is out; judge the whole.

        Args:
            everything: read all of it now, due or not.

        Raises:
            JournalError: the journal cannot be read or written: nothing is judged.
        """
        result, start = Result(), self._clock()
        self._learn_journal()
        self._learn_storage(result)
        self._learn_quarantine()
        for row in self._due_objects(everything):
            if self._clock() - start > self._plan.seconds:
                break
            self._check_object(row, result)
            result.checked += 1
        if self._unpacked is not None:
            self._judge_structures(self._unpacked, result)
        self._judge_whole(result)
        return result

    # -- what must be there --------------------------------------------------------------------------------

    def _learn_journal(self) -> None:
        done = int(self._state.value("journal", "0"))
        last = self._journal.last()
        if last is None or last.seq < done:  # another journal, or a restored one: learn it from its beginning
            done = 0
        now = self._clock()
        with self._state.transaction() as db:
            for event, known in inventory.changes(self._journal.events(done + 1)):
                key = (event.account, inventory.CONTAINER, inventory.object_name(str(event.aip)))
                if known is None:
                    db.execute("DELETE FROM objet WHERE compte = ? AND conteneur = ? AND nom = ?", key)
                else:
                    self._add_expected(db, key, known.sha512, known.bytes, now)
            db.execute("INSERT OR REPLACE INTO valeur VALUES ('journal', ?)", (str(last.seq if last else 0),))

    @staticmethod
    def _add_expected(db: sqlite3.Connection, key: tuple[str, str, str], sha512: str, size: int, now: float) -> None:
        db.execute(
            "INSERT INTO objet (compte, conteneur, nom, attendu, octets, vu_le) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET attendu = excluded.attendu, octets = excluded.octets",
            (*key, sha512, size, now),
        )

    def _learn_storage(self, result: Result) -> None:
        """What is in the storage and not in the journal is read all the same, against its own label."""
        places = [(account, inventory.CONTAINER) for account in self._plan.accounts] + [(SEALS_ACCOUNT, SEALS)]
        now = self._clock()
        for account, container in places:
            found = self._list_container(account, container, result)
            if found is None:
                continue
            known = {
                str(row["nom"])
                for row in self._state.rows(
                    "SELECT nom FROM objet WHERE compte = ? AND conteneur = ?", account, container
                )
            }
            with self._state.transaction() as db:
                for name in found - known:
                    key = (account, container, name)
                    db.execute("INSERT INTO objet (compte, conteneur, nom, vu_le) VALUES (?, ?, ?, ?)", (*key, now))
                # What only the storage knew is forgotten with it; what the journal knows is missing, and stays.
                for name in known - found:
                    db.execute(
                        "DELETE FROM objet WHERE compte = ? AND conteneur = ? AND nom = ? AND attendu IS NULL"
                        " AND conteneur != ?",
                        (account, container, name, SEALS),
                    )

    def _learn_quarantine(self) -> None:
        """What the nodes' own auditors set aside is journaled, and read again by the next reading."""
        for label, store in self._replicas:
            if not isinstance(store, _Audited):
                continue
            try:
                found = store.quarantined()
            except StoreError:
                continue  # that node's archives will be found incomplete
            for one in found:
                place = str(one.get("objet") or "").lstrip("/").split("/", 2)
                account, container, name = place if len(place) == 3 else ("", "", "")
                account = account.removeprefix("AUTH_") or "sae"
                told = {"noeud": label, "objet": name, "conteneur": container, "dossier": str(one.get("dossier"))}
                key = f"quarantaine/{label}/{one.get('dossier')}/{one.get('le')}"
                before = self._journal.last()
                aip = name.removesuffix(".tar") if container == inventory.CONTAINER else None
                seq = self._journal.append(
                    "fixite.quarantaine", account=account, aip=aip, outcome="anomalie", detail=told, key=key
                )
                if before is None or seq > before.seq:
                    with self._state.transaction() as db:
                        db.execute(
                            "UPDATE objet SET verifie_le = NULL WHERE compte = ? AND conteneur = ? AND nom = ?",
                            (account, container, name),
                        )

    def _list_container(self, account: str, container: str, result: Result) -> set[str] | None:
        why = ""
        for _, store in self._replicas:
            try:
                return set(store.names(account, container))
            except StoreError as error:
                why = str(error)
        result.trouble.append(f"liste de {account}/{container} : {why}")
        return None

    def sample(self, count: int) -> Result:
        """Read some archives taken at random, and judge those alone."""
        result = Result()
        self._learn_journal()
        self._learn_storage(result)
        for row in self._state.rows("SELECT * FROM objet ORDER BY random() LIMIT ?", count):
            self._check_object(row, result)
            result.checked += 1
            key = (row["compte"], row["conteneur"], row["nom"])
            query = "SELECT * FROM objet WHERE compte = ? AND conteneur = ? AND nom = ?"
            for read in self._state.rows(query, *key):
                if read["resultat"] in (DAMAGED, LOST, UNKNOWN):
                    result.bad.append((str(read["compte"]), str(read["nom"]), str(read["detail"])))
                elif read["resultat"] == INCOMPLETE:
                    result.trouble.append(f"« {read['nom']} » : {read['detail']}")
        result.total = result.checked
        return result

    def _due_objects(self, everything: bool) -> list[sqlite3.Row]:
        """What was never read or is damaged, then the oldest: each is read again at nine tenths of its days."""
        now = self._clock()
        rows = self._state.rows("SELECT * FROM objet ORDER BY verifie_le IS NOT NULL, verifie_le, essaye_le")
        return [
            row
            for row in rows
            if everything
            or row["resultat"] in (DAMAGED, LOST, INCOMPLETE)
            or row["verifie_le"] is None
            or now - row["verifie_le"] >= 0.9 * self._plan.interval(row["compte"])
        ]

    # -- one archive ---------------------------------------------------------------------------------------

    def _check_object(self, row: sqlite3.Row, result: Result) -> None:
        account, container, name = str(row["compte"]), str(row["conteneur"]), str(row["nom"])
        expected = row["attendu"] or self._labelled_digest(account, container, name)
        seen = {label: self._read_digest(store, account, container, name) for label, store in self._replicas}
        if expected is None:
            expected = next((found for found in seen.values() if found and len(found) == 128), None)
        verdict, detail = _judge_digests(expected, seen)
        if verdict in (DAMAGED, LOST):
            if "" in seen.values() and self._is_leaving(row):
                return
            verdict, detail = self._confirm_damage(row, str(expected or ""), seen, result)
        elif row["resultat"] in (DAMAGED, LOST):
            if verdict == INCOMPLETE:  # what was seen stands until everything is read again
                verdict, detail = str(row["resultat"]), str(row["detail"])
            else:
                self._journal_event("fixite.retour", row, "succes", {"etat": str(row["resultat"])})
                result.repaired += 1
        unjournaled = container == inventory.CONTAINER and row["attendu"] is None
        if verdict == GOOD and unjournaled and self._clock() - row["vu_le"] > _UNJOURNALED:
            verdict, detail = UNKNOWN, "le journal ne connaît pas cette archive"
            self._journal_event("fixite.inconnu", row, "anomalie", {}, once=f"inconnu/{account}/{name}")
        now = self._clock()
        with self._state.transaction() as db:
            db.execute(
                "UPDATE objet SET essaye_le = ?, resultat = ?, detail = ?, verifie_le = COALESCE(?, verifie_le)"
                " WHERE compte = ? AND conteneur = ? AND nom = ?",
                (now, verdict, detail, now if verdict in (GOOD, UNKNOWN) else None, account, container, name),
            )

    def _is_leaving(self, row: sqlite3.Row) -> bool:
        """An archive whose elimination is going on is not missing."""
        aip = str(row["nom"]).removesuffix(".tar")
        return row["conteneur"] == inventory.CONTAINER and inventory.leaving(self._journal, aip)

    def _labelled_digest(self, account: str, container: str, name: str) -> str | None:
        for _, store in self._replicas:
            try:
                return (store.head(account, container, name) or {}).get("sha512")
            except StoreError:
                continue
        return None

    def _read_digest(self, store: Store, account: str, container: str, name: str) -> str | None:
        """SHA-512 of a whole read, "" when the object is not there, None when it could not be read."""
        digest = hashlib.sha512()
        try:
            with closing(store.get(account, container, name)) as stream:
                while block := stream.read(_FIXITY_BLOCK_BYTES):
                    digest.update(block)
                    self._pace.read(len(block))
        except ObjectNotFoundError:
            return ""
        except (StoreError, OSError):
            return None
        return digest.hexdigest()

    def _confirm_damage(
        self, row: sqlite3.Row, expected: str, seen: dict[str, str | None], result: Result
    ) -> tuple[str, str]:
        """Journal what was seen, let the storage repair it, and read again until it is good or patience is out."""
        account, container, name = str(row["compte"]), str(row["conteneur"]), str(row["nom"])
        first = row["resultat"] not in (DAMAGED, LOST)
        if first:
            told = {"attendu": expected, "lu": {label: _describe_digest(found) for label, found in seen.items()}}
            self._journal_event("fixite.ecart", row, "anomalie", told)
        deadline, pause = self._clock() + (self._plan.patience if first else 0), 2.0
        while True:
            verdict, detail = _judge_digests(expected, seen)
            if verdict in (GOOD, INCOMPLETE) or self._clock() >= deadline:
                break
            self._sleep(min(pause, max(0.1, deadline - self._clock())))
            pause = min(pause * 1.5, 20)
            for label, store in self._replicas:
                if seen[label] != expected:
                    seen[label] = self._read_digest(store, account, container, name)
        if verdict == GOOD:
            # A read that is good again may have come from another replica: all of them are read once more.
            seen = {label: self._read_digest(store, account, container, name) for label, store in self._replicas}
            verdict, detail = _judge_digests(expected, seen)
        if verdict == INCOMPLETE:
            verdict = DAMAGED
        if verdict == GOOD:
            self._journal_event("fixite.reparation", row, "succes", {"attendu": expected})
            result.repaired += 1
        elif first:
            event = "fixite.perte" if verdict == LOST else "fixite.reparation"
            self._journal_event(event, row, "echec", {"detail": detail})
        return verdict, detail

    def _journal_event(
        self, event: str, row: sqlite3.Row, outcome: str, detail: Mapping[str, Any], once: str | None = None
    ) -> None:
        name = str(row["nom"])
        aip = name.removesuffix(".tar") if row["conteneur"] == inventory.CONTAINER else None
        told = {"conteneur": str(row["conteneur"]), "objet": name, **detail}
        self._journal.append(event, account=str(row["compte"]), aip=aip, outcome=outcome, detail=told, key=once)

    # -- structures ----------------------------------------------------------------------------------------

    def _judge_structures(self, folder: Path, result: Result) -> None:
        for left in folder.glob("structure-*"):  # of a run that was cut
            shutil.rmtree(left, ignore_errors=True)
        start = self._clock()
        query = f"SELECT o.* {_UNJUDGED} ORDER BY o.vu_le, o.nom"
        for row in self._state.rows(query, ocfl.RULES_VERSION, inventory.CONTAINER, GOOD):
            if self._clock() - start > _MAX_STRUCTURE_CHECK_SECONDS:
                break
            why = self._structure_fault(row, folder)
            if why is None:
                told = "la structure de cette archive n'a pas pu être jugée (place sur le disque, ou accès)"
                result.trouble.append(f"« {row['nom']} » : {told}")
                continue
            self._pace.read(int(row["octets"]))
            if why:
                once = f"structure/{row['compte']}/{row['nom']}/{row['attendu']}/{ocfl.RULES_VERSION}"
                self._journal_event("fixite.structure", row, "anomalie", {"defauts": why}, once=once)
            with self._state.transaction() as db:
                kept = (row["compte"], row["nom"], row["attendu"], ocfl.RULES_VERSION, why)
                db.execute("INSERT OR REPLACE INTO structure VALUES (?, ?, ?, ?, ?)", kept)

    def _structure_fault(self, row: sqlite3.Row, folder: Path) -> str | None:
        """What is wrong with an archive's structure, empty when it is good; None when that could not be judged."""
        aip, size = str(row["nom"]).removesuffix(".tar"), int(row["octets"])
        known = inventory.AcceptedArchive(str(row["compte"]), aip, str(row["attendu"]), size, 0, "", "")
        for _label, store in self._replicas:
            if shutil.disk_usage(folder).free < 2 * size + _SPARE:
                return None
            with suppress(StoreError, OSError):
                return export.structure_faults(store, known, folder)
        return None

    # -- the whole -----------------------------------------------------------------------------------------

    def _judge_whole(self, result: Result) -> None:
        now = self._clock()
        rows = self._state.rows("SELECT * FROM objet")
        result.total = len(rows)
        times = [row["verifie_le"] if row["verifie_le"] is not None else row["vu_le"] for row in rows]
        result.oldest = min(times, default=None)
        for row, since in zip(rows, times, strict=True):
            if row["resultat"] in (DAMAGED, LOST, UNKNOWN):
                result.bad.append((str(row["compte"]), str(row["nom"]), str(row["detail"])))
            elif now - since > self._plan.interval(row["compte"]):
                result.late += 1
        for row in self._state.rows(
            "SELECT s.compte, s.nom, s.defaut FROM structure s JOIN objet o"
            " ON o.compte = s.compte AND o.nom = s.nom AND o.attendu = s.attendu AND o.conteneur = ?"
            " WHERE s.defaut != '' AND o.resultat = ?",
            inventory.CONTAINER,
            GOOD,
        ):
            result.bad.append((str(row["compte"]), str(row["nom"]), f"structure OCFL : {row['defaut']}"))
            result.structures += 1
        if self._unpacked is not None:
            counted = self._state.rows(f"SELECT COUNT(*) {_UNJUDGED}", ocfl.RULES_VERSION, inventory.CONTAINER, GOOD)
            result.unjudged = int(counted[0][0])
        incomplete = [row for row in rows if row["resultat"] == INCOMPLETE]
        if incomplete:
            result.trouble.append(
                f"{len(incomplete)} archives n'ont pas pu être lues par tous les accès, "
                f"dont « {incomplete[0]['nom']} » : {incomplete[0]['detail']}"
            )


def _describe_digest(found: str | None) -> str:
    return "illisible" if found is None else found or "absent"


def _judge_digests(expected: str | None, seen: Mapping[str, str | None]) -> tuple[str, str]:
    """Judge an archive from what each way of reading it gave."""
    good = [label for label, found in seen.items() if expected and found == expected]
    wrong = [label for label, found in seen.items() if found and found != expected]
    absent = [label for label, found in seen.items() if found == ""]
    unread = [label for label, found in seen.items() if found is None]
    parts = [
        f"{what} par {', '.join(labels)}"
        for what, labels in (("contenu faux", wrong), ("absente", absent), ("illisible", unread))
        if labels
    ]
    detail = " ; ".join(parts)
    if wrong or absent:
        if good:
            return DAMAGED, detail
        # Nothing is called lost while some way of reading has not answered.
        return (DAMAGED, detail) if unread else (LOST, f"aucune bonne copie : {detail}")
    return (INCOMPLETE, detail) if unread else (GOOD, "")


# -- command ----------------------------------------------------------------------------------------------


def metrics(state: State, plan: Plan, result: Result, now: float) -> str:
    """What Prometheus reads: by account and container, and for the whole."""
    figures = Figures("sae_fixite_")
    query = "SELECT compte, conteneur, COALESCE(resultat, 'jamais') resultat, COUNT(*) n FROM objet GROUP BY 1, 2, 3"
    known = {_metric_labels(row, "resultat"): row["n"] for row in state.rows(query)}
    figures.add("objets", "Archives connues, par dernier résultat.", known)
    rows = state.rows("SELECT compte, conteneur, MIN(COALESCE(verifie_le, vu_le)) t FROM objet GROUP BY 1, 2")
    oldest = {_metric_labels(row): round(row["t"]) for row in rows}
    figures.add("plus_ancienne_seconds", "Date de la plus ancienne vérification complète (depuis 1970).", oldest)
    delays = {_metric_labels(row): round(plan.interval(row["compte"])) for row in rows}
    figures.add("delai_seconds", "Délai entre deux vérifications.", delays)
    singles = (
        ("anomalies", "Archives abîmées, perdues ou inconnues du journal.", len(result.bad) - result.structures),
        ("structures", "Archives dont le contenu est intact, et la structure OCFL n'est pas bonne.", result.structures),
        ("structures_a_juger", "Archives dont la structure n'a pas encore été jugée.", result.unjudged),
        ("en_retard", "Archives qui n'ont pas été relues dans leur délai.", result.late),
        ("verifiees", "Archives relues par le dernier passage.", result.checked),
        ("reparees", "Archives redevenues bonnes pendant le dernier passage.", result.repaired),
        ("dernier_passage_seconds", "Fin du dernier passage (depuis 1970).", int(now)),
        ("resultat", "Code de retour du dernier passage : 0 bon, 1 anomalie, 2 incomplet.", result.status),
    )
    for name, text, value in singles:
        figures.add(name, text, value)
    return str(figures)


def _metric_labels(row: sqlite3.Row, *others: str) -> str:
    return labels(**{name: row[name] for name in ("compte", "conteneur", *others)})


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `sae-fixite`. Gives 0 all good and on time, 1 damaged or lost, 2 not complete, 3 misuse."""
    text = "Relit les archives et compare leur SHA-512 à celui que dit le journal."
    told = "Code de retour : 0 tout est bon et relu à temps, 1 anomalie, 2 vérification incomplète, 3 impossible."
    parser = argparse.ArgumentParser("sae-fixite", description=text, epilog=told)
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH, metavar="FICHIER", help="configuration")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--tout", action="store_true", help="relit tout maintenant, sans attendre les délais")
    choice.add_argument("--echantillon", type=int, metavar="N", help="relit N archives au hasard et ne juge qu'elles")
    parser.add_argument("--json", action="store_true", help="sortie JSON")
    arguments = parser.parse_args(argv)
    try:
        loaded = config.load(arguments.config)
        plan = Plan.from_config(arguments.config, loaded)
        ways = replicas(loaded.store())
        with Journal(loaded.journal) as journal, closing(State(loaded.folder / "fixite.sqlite")) as state:
            checker = Checker(ways, journal, state, plan, unpacked=loaded.folder)
            if arguments.echantillon is not None:
                result = checker.sample(arguments.echantillon)
            else:
                result = checker.run(arguments.tout)
                if loaded.metrics.is_dir():
                    content = metrics(state, plan, result, time.time())
                    durable.write(loaded.metrics / "sae_fixite.prom", content.encode(), mode=0o644)
    except (ConfigError, StoreError, JournalError, sqlite3.Error, OSError) as error:
        print(f"sae-fixite : {because(error)}", file=sys.stderr)
        return 3
    print(
        json.dumps(_result_document(result), ensure_ascii=False, indent=2)
        if arguments.json
        else _french_summary(result)
    )
    return result.status


def _result_document(result: Result) -> dict[str, Any]:
    return {
        "code": result.status,
        "relues": result.checked,
        "connues": result.total,
        "reparees": result.repaired,
        "en_retard": result.late,
        "structures_a_juger": result.unjudged,
        "anomalies": [{"compte": account, "objet": name, "detail": why} for account, name, why in result.bad],
        "empechements": result.trouble,
    }


def _french_summary(result: Result) -> str:
    lines = [f"✗ {account}/{name} : {why}" for account, name, why in result.bad]
    lines += [f"! {trouble}" for trouble in result.trouble]
    if result.late:
        lines.append(f"! {result.late} archives n'ont pas été relues dans leur délai")
    if result.unjudged:
        lines.append(f"  {result.unjudged} archives dont la structure sera jugée par les prochains passages")
    counted = f"{result.checked} archives relues sur {result.total} connues, {result.repaired} redevenues bonnes"
    lines.append(("✓", "✗", "!")[result.status] + f" {counted}, {len(result.bad)} anomalies.")
    return "\n".join(lines)
