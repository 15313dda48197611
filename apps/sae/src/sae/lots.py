"""`sae-copie`: archives leave the room by lots, for a depot of another technology and another administration.

The machine's backup (`creatic-sauvegarde`, root) asks for a lot, keeps it in the depot, and says so; a lot is a folder
of the archives' own tars, each an OCFL object, that any tool reads. Which archives there must be is the journal's to
say, which lots the depot has the depot's: a depot that begins anew gets everything again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from creatic_agent import durable
from creatic_agent.errors import CreaticError
from creatic_agent.figures import Figures
from creatic_agent.reasons import because
from sae import config, inventory
from sae.commands import DEFAULT_PATH
from sae.inventory import CONTAINER, AcceptedArchive
from sae.journal import Journal, JournalError
from sae.store import CorruptedObjectError, ObjectExistsError, Store, StoreError, first_good, replicas
from sae.versement.registry import Registry

LOT_BYTES = 500_000_000
MAX_ARCHIVES_PER_LOT = 1000
RECOVERED = "archive.reprise"
_METRICS = "sae_copie.prom"
_LOT_BLOCK_BYTES = 1 << 20
_LOT_README = """\
Archives du groupement, copiées hors de la salle : un fichier .tar par archive, rangé par service versant.

Chaque .tar contient un objet OCFL 1.1 (https://ocfl.io/1.1/spec/) : « tar xf », puis, avec ocfl-py,
« ocfl-validate.py DOSSIER ». Les fichiers versés y sont sous v1/content/sip/, les événements dans
v1/content/premis.xml.
Aucun de nos logiciels n'est nécessaire.
"""
_COPIES_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS copie (aip TEXT PRIMARY KEY, lot TEXT NOT NULL, le REAL NOT NULL, depot TEXT)"
)


class LotError(CreaticError, cause="lot"):
    """What was asked cannot be done; the message is French."""


@dataclass(frozen=True)
class Lot:
    """Archives ready to be copied: their folder, how many, which could not be had (with why), how many wait for the
    next lot."""

    folder: Path
    count: int
    failed: Mapping[str, str]
    left: int


class Copies:
    """What of the archive is in the depot.

    Args:
        folder: of the gateway's state; `lot` and `reprise` below it are this class's own.
        replicas: ways to the storage; when one gives a damaged archive the next is asked.
    """

    def __init__(
        self, folder: Path, journal: Journal, replicas: Sequence[tuple[str, Store]], metrics: Path | None = None
    ) -> None:
        self.lot, self._pending = folder / "lot", folder / "lot.json"
        self._state, self._journal, self._replicas, self._metrics = folder / "copie.sqlite", journal, replicas, metrics

    @contextmanager
    def _open_database(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._state, timeout=30)
        try:
            with db:
                db.execute(_COPIES_SCHEMA)
                if "depot" not in {name for _, name, *_ in db.execute("PRAGMA table_info(copie)")}:
                    db.execute("ALTER TABLE copie ADD COLUMN depot TEXT")
                yield db
        finally:
            db.close()

    def prepare(self, lots: Iterable[str], size: int = LOT_BYTES, count: int = MAX_ARCHIVES_PER_LOT) -> Lot:
        """Take the next archives out of the storage: those without any copy, the latest first, then the oldest copies.

        The oldest depot is so the first that later ones do without, however slow the copy.

        Args:
            lots: that the depot has; what was in another one is to be copied again.
            size: bytes of a lot; a single archive may be larger.
            count: archives of a lot.

        Raises:
            StoreError: the storage does not answer.
        """
        self.clear()
        kept, there, last = inventory.all_kept(self._journal), set(lots), self._latest_copies()
        waiting = [known for aip, known in reversed(kept.items()) if last.get(aip, ("", None))[0] not in there]
        waiting.sort(key=lambda known: last.get(known.aip, ("", None))[0])
        self._publish_metrics(len(kept) - len(waiting), [known.taken for known in waiting])
        (self.lot).mkdir(mode=0o750)
        durable.write(self.lot / "LISEZMOI.txt", _LOT_README.encode(), 0o640)
        taken, failed, left = list[str](), dict[str, str](), size
        for known in waiting:
            if len(taken) == count or (taken and known.bytes > left):
                break
            try:
                self._fetch_archive(known)
            except CorruptedObjectError as error:
                failed[known.aip] = str(error)
                continue
            taken.append(known.aip)
            left -= known.bytes
        durable.write(self._pending, json.dumps(taken).encode())
        return Lot(self.lot, len(taken), failed, len(waiting) - len(taken) - len(failed))

    def record_lot(self, lot: str, depot: str) -> None:
        """The depot of this identity has the lot that was prepared last, under this name."""
        try:
            taken = json.loads(self._pending.read_bytes())
        except FileNotFoundError:
            raise LotError("aucun lot n'attend : « sae-copie preparer » d'abord") from None
        with self._open_database() as db:
            rows = [(aip, lot, time.time(), depot) for aip in taken]
            db.executemany("INSERT OR REPLACE INTO copie (aip, lot, le, depot) VALUES (?, ?, ?, ?)", rows)
        self.clear()

    def needs(self, lots: Iterable[str], depot: str) -> dict[str, Any]:
        """Which depots must stay, for what only they have.

        Args:
            lots: that the depot of today has.
            depot: its identity.

        Returns:
            `depots`: archives whose latest copy is there, by identity; `sans_copie`: archives that have none in a
            depot that is known. While there is one, nothing is known of what an old depot holds alone.
        """
        there = set(lots)
        with self._open_database() as db:
            # Of lots that were made before depots were noted.
            unknown = {lot for (lot,) in db.execute("SELECT DISTINCT lot FROM copie WHERE depot IS NULL")}
            db.executemany("UPDATE copie SET depot = ? WHERE lot = ?", [(depot, lot) for lot in unknown & there])
        last, found, waiting = self._latest_copies(), Counter[str](), list[float]()
        kept = inventory.all_kept(self._journal)
        for aip, known in kept.items():
            lot, where = last.get(aip, ("", None))
            if lot not in there:
                waiting.append(known.taken)
            if where is not None and (where != depot or lot in there):  # not one that a return took out of it
                found[where] += 1
        self._publish_metrics(len(kept) - len(waiting), waiting)  # asked last, once lots are kept
        return {"depots": dict(found), "sans_copie": len(kept) - found.total()}

    def clear(self) -> None:
        """Leave nothing of a lot that was prepared."""
        shutil.rmtree(self.lot, ignore_errors=True)
        self._pending.unlink(missing_ok=True)

    def _latest_copies(self) -> dict[str, tuple[str, str | None]]:
        """Lot and depot of the latest copy of each archive."""
        with self._open_database() as db:
            return {aip: (lot, depot) for aip, lot, depot in db.execute("SELECT aip, lot, depot FROM copie")}

    def _fetch_archive(self, known: AcceptedArchive) -> None:
        target = self.lot / known.account / known.name
        target.parent.mkdir(mode=0o750, exist_ok=True)

        def take(store: Store) -> None:
            with target.open("wb") as output, store.get(known.account, CONTAINER, known.name) as source:
                if _copy_digest(source, output) != known.sha512:
                    raise CorruptedObjectError(f"{known.aip} : les octets du stockage ne sont pas ceux du journal")

        try:
            first_good(self._replicas, take)
        except StoreError:
            target.unlink(missing_ok=True)
            raise

    def _publish_metrics(self, copied: int, waiting: Sequence[float]) -> None:
        if self._metrics is None:
            return
        figures = Figures("sae_copie_")
        figures.add("archives", "Archives that are in the depot as well.", copied)
        figures.add("attente", "Archives that are not yet.", len(waiting))
        oldest = min(waiting, default=0)
        figures.add("plus_ancienne_seconds", "When the oldest of them was accepted, 0 for none.", oldest)
        figures.add("timestamp_seconds", "When this was counted.", time.time())
        durable.write(self._metrics / _METRICS, str(figures).encode(), 0o644)


def put_back(journal: Journal, registry: Registry, store: Store, name: str, source: BinaryIO) -> str:
    """Put an archive from the depot back in the storage, if it is the one that the journal knows.

    Args:
        name: `compte/archive.tar`, as in a lot.
        source: its bytes; seekable.

    Returns:
        What was done, in French.

    Raises:
        LotError: the journal does not know it, or not these bytes.
        StoreError: the storage did not take it.
    """
    account, _, file = name.partition("/")
    aip = file.removesuffix(".tar")
    known = inventory.find(journal, aip)
    if known is None or known.account != account or inventory.leaving(journal, aip):
        raise LotError(f"{name} : le journal ne connaît pas cette archive, ou elle a été éliminée : rien n'est remis")
    digest, size = hashlib.sha512(), 0
    while block := source.read(_LOT_BLOCK_BYTES):
        digest.update(block)
        size += len(block)
    if (digest.hexdigest(), size) != (known.sha512, known.bytes):
        raise LotError(f"{name} : la copie n'est pas l'archive que le journal connaît (empreinte) : rien n'est remis")
    described = registry.archive(account, aip)
    metadata = {
        "message": (described.message if described else known.title)[:100],
        "empreinte": described.fingerprint if described else "",
        "sort-final": known.action,
        "titre": (described.title if described else known.title)[:60],
    }
    try:
        store.put(
            account,
            CONTAINER,
            known.name,
            source,
            size=size,
            sha512=known.sha512,
            retain_until=known.retain_until,
            metadata=metadata,
        )
    except ObjectExistsError:
        return f"{aip} : déjà au stockage, rien n'est remis."
    detail = {"octets": size, "aip_sha512": known.sha512}
    journal.append(RECOVERED, account=account, aip=aip, outcome="succes", detail=detail)
    return f"{aip} : remise au stockage ({size} octets)."


def put_all_back(
    journal: Journal, registry: Registry, store: Store, source: IO[bytes], scratch: Path
) -> Iterator[dict[str, str | None]]:
    """Put archives back as they come; gives `nom`, `fait` (what was done) and `refus` (why it was not) of each.

    Args:
        source: a tar of them, named as in a lot; when it is cut, those before are back, and the cut one is not told.
        scratch: folder for one archive at a time.
    """
    try:
        with tarfile.open(fileobj=source, mode="r|", encoding="utf-8", errors="surrogateescape") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None:
                    continue
                done = refused = None
                try:
                    with _spool_archive(scratch, content) as archive:
                        done = put_back(journal, registry, store, member.name, archive)
                except (LotError, StoreError, OSError) as error:
                    refused = str(error)
                yield {"nom": member.name, "fait": done, "refus": refused}
    except tarfile.TarError:
        return  # what sends it stopped, and says why


def _copy_digest(source: BinaryIO, output: BinaryIO) -> str:
    digest = hashlib.sha512()
    while block := source.read(_LOT_BLOCK_BYTES):
        digest.update(block)
        output.write(block)
    durable.sync(output)
    return digest.hexdigest()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Gives 0 when all is good, 1 when something is wrong."""
    parser = argparse.ArgumentParser("sae-copie", description="Copie des archives hors de la salle.")
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH, metavar="FICHIER", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMANDE")
    commands.add_parser(
        "preparer", help="prépare le prochain lot ; lit sur l'entrée les lots du dépôt (appelé par la sauvegarde)"
    )
    one = commands.add_parser("faite", help="note que le dépôt a le lot préparé (appelé par la sauvegarde)")
    one.add_argument("lot")
    one.add_argument("depot")
    one = commands.add_parser(
        "besoins",
        help="dit quels dépôts doivent rester ; lit sur l'entrée les lots du dépôt (appelé par la sauvegarde)",
    )
    one.add_argument("depot")
    commands.add_parser(
        "remettre", help="remet au stockage les archives d'un tar lu sur l'entrée (appelé par la reprise)"
    )
    commands.add_parser("sceaux", help="fait remettre au stockage les sceaux qui n'y sont plus")
    given = parser.parse_args(argv)
    try:
        loaded = config.load(given.config)
        with Journal(loaded.journal) as journal:
            return _run_command(given, loaded, journal)
    except (LotError, StoreError, JournalError, config.ConfigError) as error:
        print(f"sae-copie : {error}", file=sys.stderr)
    except OSError as error:
        print(f"sae-copie : {because(error)}", file=sys.stderr)
    return 1


def _run_command(given: argparse.Namespace, loaded: config.Config, journal: Journal) -> int:
    store = loaded.store()
    copies = Copies(loaded.folder, journal, replicas(store), loaded.metrics)
    if given.command == "preparer":
        lot = copies.prepare(sys.stdin.read().split())
        told: dict[str, Any] = {"dossier": str(lot.folder), "archives": lot.count, "restent": lot.left}
        told["manquantes"] = dict(lot.failed)
        print(json.dumps(told, ensure_ascii=False))
    elif given.command == "faite":
        copies.record_lot(given.lot, given.depot)
    elif given.command == "besoins":
        print(json.dumps(copies.needs(sys.stdin.read().split(), given.depot)))
    elif given.command == "remettre":
        for told in put_all_back(
            journal, Registry(loaded.registry), store, sys.stdin.buffer, loaded.folder / "reprise"
        ):
            print(json.dumps(told), flush=True)
    else:
        from sae.journal.seal import put_again

        print(f"{put_again(journal, store)} sceaux à remettre au stockage : le prochain scellement le fait.")
    return 0


@contextmanager
def _spool_archive(folder: Path, given: IO[bytes]) -> Iterator[BinaryIO]:
    """An archive on the disk: the storage wants to know a size and a digest before the bytes."""
    folder.mkdir(mode=0o750, exist_ok=True)
    path = folder / f"{os.getpid()}.tar"
    try:
        with path.open("w+b") as stream:
            shutil.copyfileobj(given, stream, _LOT_BLOCK_BYTES)
            stream.seek(0)
            yield stream
    finally:
        path.unlink(missing_ok=True)
