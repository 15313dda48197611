"""Sealing: what the journal has not sealed yet becomes a seal, kept in the storage under WORM."""

from __future__ import annotations

import fcntl
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Annotated

from creatic_agent.configuration import ConfigError, From, Key, SomePath, secret, section
from sae.config import HISTORY
from sae.journal import canonical, merkle, timestamp
from sae.journal.format import SKEW, Seal, SealError, events_name, seal_name
from sae.journal.log import CLOCK, TOLERANCE, Event, Journal, JournalError, format_time
from sae.store import ObjectExistsError, Store

ACCOUNT, CONTAINER = "sae", "sceaux"
MAX_EVENTS_PER_SEAL = 10_000
# Seals outlive what they prove; nothing deletes them.
RETENTION = timedelta(days=100 * 365.25)


@dataclass(frozen=True)
class Sealing:
    """How seals are timestamped: by what, from which authorities a timestamp is taken, and from which outside unit."""

    stamper: timestamp.Stamper
    root: Path
    unit: str = ""


def _read_password(file: Path | None) -> str:
    return secret(file) if file else ""


@dataclass(frozen=True)
class _SealSettings:
    """`sceaux` of the configuration: the groupement's own authority, or one that is asked by its address."""

    url: str = ""
    login: Annotated[str, Key("identifiant")] = ""
    password: Annotated[str, Key("mot_de_passe"), From(SomePath, _read_password)] = field(default="", repr=False)
    root: Annotated[SomePath, Key("autorites")] = None
    web: Annotated[SomePath, Key("autorites_web")] = None
    subject: Annotated[str, Key("sujet")] = ""
    unit: Annotated[Path, Key("unite")] = Path("/etc/creatic/pki/horodatage/current")


def sealing(path: Path) -> Sealing:
    """Raises ConfigError."""
    given = section(path, "sceaux", _SealSettings)
    root = given.root or HISTORY
    if not given.url:
        return Sealing(timestamp.local_unit(given.unit), root)
    if not given.subject:
        raise ConfigError(
            f"{path}, champ « sceaux.sujet » : absent, alors que « sceaux.url » est là. À faire : écrivez dans "
            "archive_gateway_tsa_subject le sujet du certificat qui horodate, ou sa fin (O=…,C=FR), et déployez"
        )
    return Sealing(timestamp.remote_unit(given.url, given.login, given.password, given.web), root, given.subject)


@dataclass(frozen=True)
class Sealed:
    """What a run did: seals made, and seals put into the storage (older ones may have waited)."""

    made: int
    stored: int


class Sealer:
    """Seals what the journal has not sealed yet.

    Every step may be the last one before a crash. A seal is decided by one row of the journal's file, in one
    transaction; it is then put into the storage, under a name that is written once, and only marked as put
    afterwards: the next run takes up what is not marked.

    Args:
        journal: the journal.
        store: where seals are kept under WORM, with the events they seal.
        stamper: what timestamps a header.
        root: PEM of the authorities which the timestamps must come from, checked before a seal is kept.
        storage_clocks: the time of each node of the storage, by name; empty when it cannot be told.
        clock: for tests.
        unit: the outside unit that dates beside the archives' own; see `timestamp.verify`.
    """

    def __init__(
        self,
        journal: Journal,
        store: Store,
        stamper: timestamp.Stamper,
        root: Path,
        storage_clocks: Callable[[], Mapping[str, datetime]] = dict,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        largest: int = MAX_EVENTS_PER_SEAL,
        unit: str = "",
    ) -> None:
        self._unit = unit
        self._journal, self._store, self._stamper, self._root = journal, store, stamper, root
        self._storage_clocks, self._clock, self._largest = storage_clocks, clock, largest

    def run(self) -> Sealed:
        """Seal every event that waits, and put every seal that waits into the storage.

        Raises:
            SealError: the clock is wrong, the journal is damaged, or a seal cannot be kept; what was done stands.
            TimestampError: the authority gave no good timestamp.
            StoreError: the storage did not take it.
        """
        made = stored = 0
        with self._lock_sealing():
            stored += self._put_waiting()
            if self._unsealed_events():
                self._check_clock()
            while events := self._unsealed_events():
                self._record_seal(self._make_seal(events))
                made += 1
                stored += self._put_waiting()
        return Sealed(made, stored)

    @contextmanager
    def _lock_sealing(self) -> Iterator[None]:
        with self._journal.path.with_suffix(".verrou").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _unsealed_events(self) -> list[Event]:
        first = sealed_up_to(self._journal) + 1
        return list(self._journal.events(first, first + self._largest - 1))

    def _check_clock(self) -> None:
        now, clocks = self._clock(), self._storage_clocks()
        # One node's wrong clock is told and does not decide; the middle one does.
        reference = sorted(clocks.values())[len(clocks) // 2] if clocks else None
        if reference is not None:
            for name, at in sorted(clocks.items()):
                if abs(at - reference) > SKEW:
                    self._note_clock(at, reference, name)
            if abs(now - reference) > SKEW:
                self._note_clock(now, reference, "stockage")
                raise SealError(
                    f"l'horloge de la machine ({format_time(now)}) n'est pas celle du stockage "
                    f"({format_time(reference)}) : remettez à l'heure celle qui est fausse, puis relancez"
                )
        before = last_seal(self._journal)
        if before is None:
            return
        stamped = timestamp.read(before.token).at
        if now >= stamped - TOLERANCE:
            return
        if reference is None:
            raise SealError(
                f"l'horloge de la machine ({format_time(now)}) est en arrière du dernier sceau "
                f"({format_time(stamped)}) : remettez-la à l'heure (chronyc tracking), puis relancez. Si c'est ce "
                "sceau qui a été fait sous une horloge fausse, on scellera dès que le stockage confirmera l'heure"
            )
        # The storage has the same time: seals were made under a wrong clock. They stay, and each is told.
        for number, at in self._seals_ahead(now):
            detail = {
                "sceau": number,
                "avant": format_time(at),
                "maintenant": format_time(now),
                "reference": format_time(reference),
                "source": "sceau",
            }
            self._journal.append(
                CLOCK, account="sae", aip=None, outcome="anomalie", detail=detail, key=f"{CLOCK}/sceau/{number}"
            )

    def _seals_ahead(self, now: datetime) -> Iterator[tuple[int, datetime]]:
        """The seals at the end of the journal whose timestamps are yet to come, and these; from the last one."""
        query = "SELECT contenu FROM sceau ORDER BY numero DESC LIMIT 1 OFFSET ?"
        for rank in count():
            rows = self._journal.query(query, (rank,))
            found = Seal.read(rows[0][0]) if rows else None
            if found is None or now >= (at := timestamp.read(found.token).at) - TOLERANCE:
                return
            yield found.fields["numero"], at

    def _note_clock(self, now: datetime, reference: datetime, source: str) -> None:
        detail = {"maintenant": format_time(now), "reference": format_time(reference), "source": source}
        key = f"{CLOCK}/{source}/{reference:%Y-%m-%dT%H}"  # once an hour is enough to know
        self._journal.append(CLOCK, account="sae", aip=None, outcome="anomalie", detail=detail, key=key)

    def _make_seal(self, events: Sequence[Event]) -> Seal:
        before = last_seal(self._journal)
        previous = before.leaves[-1].hex() if before else ""
        for expected, event in enumerate(events, sealed_up_to(self._journal) + 1):
            if event.seq != expected or event.previous != previous:
                raise SealError(
                    f"le journal est rompu à l'événement {expected} : il n'est pas celui qui suit le précédent. "
                    "Rien n'est scellé ; gardez le fichier tel quel et lancez « sae-journal verify »"
                )
            previous = event.hash.hex()
        leaves = tuple(event.hash for event in events)
        header = canonical.encode(
            {
                "format": 1,
                "journal": self._journal.identifier,
                "numero": before.fields["numero"] + 1 if before else 1,
                "premier": events[0].seq,
                "dernier": events[-1].seq,
                "racine": merkle.root(leaves).hex(),
                "precedent": before.hash.hex() if before else "",
                "heure": format_time(self._clock()),
            }
        )
        token = self._stamper(header.encode())
        stamped = timestamp.verify(token, header.encode(), self._root, unit=self._unit)
        now = self._clock()
        if abs(stamped - now) > SKEW:
            self._note_clock(now, stamped, "horodatage")
        return Seal(header, leaves, token)

    def _record_seal(self, seal: Seal) -> None:
        fields = seal.fields
        with self._journal.transaction() as db:
            db.execute(
                "INSERT INTO sceau (numero, premier, dernier, contenu) VALUES (?, ?, ?, ?)",
                (fields["numero"], fields["premier"], fields["dernier"], seal.write()),
            )

    def _put_waiting(self) -> int:
        stored = 0
        for seal in seals(self._journal, stored=False):
            fields = seal.fields
            lines = "".join(f"{line}\n" for _, line in self._journal.lines(fields["premier"], fields["dernier"]))
            self._store_seal(events_name(fields["numero"]), lines)
            self._store_seal(seal_name(fields["numero"]), seal.write())
            with self._journal.transaction() as db:
                db.execute("UPDATE sceau SET depose = 1 WHERE numero = ?", (fields["numero"],))
            stored += 1
        return stored

    def _store_seal(self, name: str, text: str) -> None:
        data = text.encode()
        until = int((self._clock() + RETENTION).timestamp())
        sha512 = hashlib.sha512(data).hexdigest()
        try:
            self._store.put(
                ACCOUNT, CONTAINER, name, io.BytesIO(data), size=len(data), sha512=sha512, retain_until=until
            )
        except ObjectExistsError:
            with self._store.get(ACCOUNT, CONTAINER, name) as stream:
                kept = stream.read()
            if kept != data:
                raise SealError(
                    f"« {name} » est déjà dans le stockage avec un autre contenu : ce journal n'est pas celui qui a "
                    "été scellé. Si la porte des archives a été réinstallée, lancez « sae-journal restaurer » d'abord"
                ) from None


def put_again(journal: Journal, store: Store) -> int:
    """Have the next sealing put the seals back that the storage has lost; gives how many. Raises StoreError."""
    lost = []
    for seal in seals(journal, stored=True):
        number = seal.fields["numero"]
        # A listing still names what was taken from the nodes' disks: each is asked for.
        if any(store.head(ACCOUNT, CONTAINER, name) is None for name in (events_name(number), seal_name(number))):
            lost.append(number)
    with journal.transaction() as db:
        db.executemany("UPDATE sceau SET depose = 0 WHERE numero = ?", [(number,) for number in lost])
    return len(lost)


def seals(journal: Journal, *, stored: bool | None = None) -> Iterator[Seal]:
    """Seals of the journal in order; those in the storage, or not yet, if asked."""
    number = 0
    wanted = "" if stored is None else f"AND depose = {int(stored)}"
    query = f"SELECT numero, contenu FROM sceau WHERE numero > ? {wanted} ORDER BY numero LIMIT 1"  # noqa: S608 - 0 or 1
    while rows := journal.query(query, (number,)):
        number = rows[0][0]
        yield Seal.read(rows[0][1])


def seal_of(journal: Journal, seq: int) -> Seal | None:
    """The seal which covers an event, if it is sealed."""
    rows = journal.query("SELECT contenu FROM sceau WHERE premier <= ? AND dernier >= ?", (seq, seq))
    return Seal.read(rows[0][0]) if rows else None


def last_seal(journal: Journal) -> Seal | None:
    """The latest seal, in the storage or not."""
    rows = journal.query("SELECT contenu FROM sceau ORDER BY numero DESC LIMIT 1")
    return Seal.read(rows[0][0]) if rows else None


def sealed_up_to(journal: Journal) -> int:
    """Number of the last sealed event, 0 if none is."""
    return int(journal.query("SELECT COALESCE(MAX(dernier), 0) FROM sceau")[0][0])


def restore(path: Path, store: Store, root: Path, unit: str = "") -> tuple[int, int]:
    """Make the journal's file again from what was sealed into the storage, after the gateway was lost.

    Args:
        path: where the journal must be; nothing may be there.
        root: PEM of the authorities of the timestamps.
        unit: the outside unit that dates beside the archives' own; see `timestamp.verify`.

    Returns:
        Numbers of seals and events found.

    Raises:
        JournalError: a journal is there.
        SealError: there is no seal, or what is kept does not verify.
    """
    from sae.journal.verify import verify_parts

    if path.exists():
        raise JournalError(f"{path} existe : un journal en service ne se restaure pas ; déplacez-le d'abord")
    texts: dict[str, str] = {}
    for entry in store.listing(ACCOUNT, CONTAINER):
        with store.get(ACCOUNT, CONTAINER, entry.name) as stream:
            texts[entry.name] = stream.read().decode("utf-8", errors="replace")
    numbers = [number for number in range(1, len(texts) + 1) if seal_name(number) in texts]
    if not numbers:
        raise SealError("aucun sceau n'est dans le stockage : il n'y a rien à restaurer")
    lines = [line for number in numbers for line in texts.get(events_name(number), "").split("\n") if line]
    report = verify_parts(lines, {number: texts[seal_name(number)] for number in numbers}, root, unit=unit)
    if report.faults:
        raise SealError("le journal conservé ne se vérifie pas : " + " ; ".join(report.sentences()[:5]))
    temporary = path.with_suffix(".restauration")
    temporary.unlink(missing_ok=True)
    with Journal(temporary, opening=False) as journal, journal.transaction() as db:
        for line in lines:
            event = Event.read(line)
            db.execute("INSERT INTO evenement (seq, ligne, aip) VALUES (?, ?, ?)", (event.seq, line, event.aip))
        for number in numbers:
            fields = Seal.read(texts[seal_name(number)]).fields
            row = (number, fields["premier"], fields["dernier"], texts[seal_name(number)])
            db.execute("INSERT INTO sceau (numero, premier, dernier, contenu, depose) VALUES (?, ?, ?, ?, 1)", row)
    with Journal(temporary) as journal:
        journal.append(
            "journal.restauration",
            account="sae",
            aip=None,
            outcome="succes",
            detail={"sceaux": len(numbers), "evenements": len(lines)},
        )
        journal.settle()
    temporary.rename(path)
    return len(numbers), len(lines)
