"""What the door keeps. It can neither read a machine's data nor sign: who takes it can only be silent, or old.

    guichet.db            machines, their manifests, their reports, their last relevés, orders of emergency doors
    lots/<sha256>         what the control node sent, by digest

and, in a folder that the sshd of emergency doors reads (unit guichet-porte.service):

    cles                  keys of tunnels that are to be let in, as sshd(8) reads them; empty when none is

The control node alone adds machines and manifests (`receive`); machines add reports, bounded (`keep`).
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import re
import sqlite3
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from creatic_agent.book import connect, transaction
from creatic_agent.durable import fresh, sync_directory, unused, write
from creatic_agent.errors import CreaticError
from creatic_agent.identity import Identity, Kind

KINDS = ("a_jour", "bon", "echec", "refus")
LARGEST_REPORT = 256 << 10
"""Bytes of a report, figures included."""
LARGEST_RELEVE = (256 << 10) + 1
"""Bytes of a relevé: the control node refuses one of that size, by its name."""
_KEPT_REPORTS, _KEPT_BYTES = 60, 512 << 10  # of a machine
_HOURLY = 60  # reports and relevés of a machine
_TOLD_TOGETHER = 8 << 20  # characters of reports with proofs, or of relevés, that the control node is told at once
_LARGEST_SENT = 64 << 20  # bytes of envoi.json: 19,000 machines take 30
_LARGEST_PART = 64 << 20
_SIGNED = {"signe": 16_384, "signature": 2048}  # characters; what machines sign is read by the control node alone
_DEEPEST = 32  # levels of a report; SQLite reads 1,000, and would refuse them all for one
_SEEN = 300  # seconds under which a machine is not noted again
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PUBLIC_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{68}")
SCHEMA = """
CREATE TABLE IF NOT EXISTS machines (
    nom TEXT PRIMARY KEY, siren TEXT NOT NULL, attendue INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 0, code TEXT NOT NULL DEFAULT '', donnees TEXT NOT NULL DEFAULT '',
    manifeste TEXT NOT NULL DEFAULT '', signature TEXT NOT NULL DEFAULT '', avant TEXT NOT NULL DEFAULT '',
    vue TEXT NOT NULL DEFAULT '', donnee INTEGER NOT NULL DEFAULT 0, dernier TEXT NOT NULL DEFAULT '',
    mesures TEXT NOT NULL DEFAULT '', demandes TEXT NOT NULL DEFAULT '{}',
    heure TEXT NOT NULL DEFAULT '', envois INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX IF NOT EXISTS machines_siren ON machines (siren);
CREATE TABLE IF NOT EXISTS comptes_rendus (
    id INTEGER PRIMARY KEY, machine TEXT NOT NULL, sha256 TEXT NOT NULL, recu TEXT NOT NULL, corps TEXT NOT NULL,
    UNIQUE (machine, sha256)) STRICT;
-- One that SQLite cannot read, which a door of before took, proves nothing and hides no other.
CREATE VIEW IF NOT EXISTS qui_prouvent AS SELECT id, machine FROM comptes_rendus
    WHERE CASE WHEN json_valid(corps) THEN json_array_length(corps, '$.preuves') > 0 ELSE 0 END;
CREATE TABLE IF NOT EXISTS releves (
    machine TEXT PRIMARY KEY, sha256 TEXT NOT NULL, corps BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS portes (
    machine TEXT PRIMARY KEY, numero INTEGER NOT NULL, fin TEXT NOT NULL, port INTEGER NOT NULL, cle TEXT NOT NULL,
    ordre TEXT NOT NULL, signature TEXT NOT NULL) STRICT;
"""


class BadRequest(CreaticError, cause="demande"):
    """What a machine, or the control node, sends is not taken; the message is French."""


class TooMany(CreaticError, cause="trop"):
    """A machine sends more than is kept in an hour; the message is French."""


def common_name(machine: str) -> str:
    """The name that a machine's certificate bears (X.520: 64 characters at most), no other's."""
    name = f"Machine - {machine}"
    return name if len(name) <= 64 else f"{name[:55]} {hashlib.sha256(machine.encode()).hexdigest()[:8]}"


class Store:
    """The folder of the door. One object for all threads: each call opens the database.

    Args:
        folder: its own.
        keys: file of the keys of tunnels; None for who does not receive.
        host_key: file of the public key of the sshd of emergency doors.
        listening: gives the ports of this machine's loopback that answer.
    """

    def __init__(
        self,
        folder: Path,
        keys: Path | None = None,
        host_key: Path | None = None,
        listening: Callable[[], set[int]] = set,
    ) -> None:
        self._file, self._parts = folder / "guichet.db", folder / "lots"
        self._keys, self._host_key, self._listening = keys, host_key, listening
        self._parts.mkdir(mode=0o750, exist_ok=True)
        with self._open() as db:
            db.executescript(SCHEMA)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        db = connect(self._file)
        try:
            yield db
        finally:
            db.close()

    # -- of machines ---------------------------------------------------------------------------------

    def named(self, who: Identity) -> str:
        """The machine that a certificate is of; empty when it is of none that is expected."""
        if who.kind is not Kind.MACHINE:
            return ""
        with self._open() as db:
            known = db.execute("SELECT nom FROM machines WHERE siren = ? AND attendue", (who.siren,)).fetchall()
        return next((row["nom"] for row in known if common_name(row["nom"]) == who.name), "")

    def manifest(self, machine: str, now: datetime) -> tuple[str, str] | None:
        """What is signed for a machine, and the signature; None when there is nothing yet."""
        with self._open() as db:
            row = db.execute("SELECT * FROM machines WHERE nom = ?", (machine,)).fetchone()
            if row["donnee"] < row["version"] or not row["vue"] or _age(row["vue"], now) >= _SEEN:
                with transaction(db):
                    db.execute(
                        "UPDATE machines SET vue = ?, donnee = max(donnee, version) WHERE nom = ?",
                        (_text(now), machine),
                    )
        return (row["manifeste"], row["signature"]) if row["version"] else None

    def part(self, machine: str, sha256: str) -> Path | None:
        """A file of a machine's own version, or of the one before; None for any other."""
        with self._open() as db:
            row = db.execute("SELECT code, donnees, avant FROM machines WHERE nom = ?", (machine,)).fetchone()
        path = self._parts / sha256
        return path if sha256 in {row["code"], row["donnees"], *row["avant"].split()} and path.is_file() else None

    def door_order(self, machine: str, now: datetime) -> tuple[str, str] | None:
        """What orders a machine to open a tunnel, and its signature; None when nothing does."""
        with self._open() as db:
            row = db.execute("SELECT * FROM portes WHERE machine = ? AND fin > ?", (machine, _text(now))).fetchone()
        return (row["ordre"], row["signature"]) if row else None

    def keep(self, machine: str, body: bytes, now: datetime) -> str:
        """Keep a report, once however often it comes; gives its digest.

        Raises:
            BadRequest: it is none. TooMany: the machine sent too many.
        """
        report = _report(machine, body)
        sha256 = hashlib.sha256(body).hexdigest()
        figures = json.dumps(report.pop("mesures", {}), ensure_ascii=False)
        asked = json.dumps(report.pop("demandes", {}))
        text = json.dumps(report, ensure_ascii=False)
        heads = ("genre", "version", "posee", "texte", "fin", *_SIGNED)
        last = {key: report[key] for key in heads if key in report} | {"recu": _text(now)}
        with self._open() as db, transaction(db):
            if db.execute(
                "SELECT 1 FROM comptes_rendus WHERE machine = ? AND sha256 = ?", (machine, sha256)
            ).fetchone():
                return sha256
            _count(db, machine, now)
            before = db.execute("SELECT dernier FROM machines WHERE nom = ?", (machine,)).fetchone()["dernier"]
            if report["genre"] == "a_jour" and before and json.loads(before)["genre"] == "a_jour":
                # Nothing new: the one before leaves its place.
                db.execute(
                    "DELETE FROM comptes_rendus WHERE id = (SELECT max(id) FROM comptes_rendus WHERE machine = ?)",
                    (machine,),
                )
            db.execute(
                "INSERT INTO comptes_rendus (machine, sha256, recu, corps) VALUES (?, ?, ?, ?)",
                (machine, sha256, _text(now), text),
            )
            db.execute(
                "UPDATE machines SET vue = ?, dernier = ?, mesures = ?, demandes = ? WHERE nom = ?",
                (_text(now), json.dumps(last, ensure_ascii=False), figures, asked, machine),
            )
            _trim(db, machine)
        return sha256

    def carry(self, machine: str, body: bytes, now: datetime) -> str:
        """Keep a relevé, whatever is in it, in the place of the one before; gives its digest.

        Raises:
            BadRequest: it is too long. TooMany: the machine sent too many.
        """
        if len(body) > LARGEST_RELEVE:
            raise BadRequest("Relevé trop gros.")
        sha256 = hashlib.sha256(body).hexdigest()
        with self._open() as db, transaction(db):
            there = "SELECT 1 FROM releves WHERE machine = ? AND sha256 = ?"
            if not db.execute(there, (machine, sha256)).fetchone():
                _count(db, machine, now)
                db.execute("INSERT OR REPLACE INTO releves VALUES (?, ?, ?)", (machine, sha256, body))
        return sha256

    # -- of the control node -------------------------------------------------------------------------

    def receive(self, stream: IO[bytes]) -> int:
        """Take what the control node signed: a tar of ``lots/<sha256>``, then ``envoi.json``; gives how many manifests.

        All of it is taken, or nothing.

        Raises:
            BadRequest: it is damaged, or older than what is here (two control nodes, or one that came back from a
                backup).
        """
        with (self._parts.parent / "verrou").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # one sending at a time: what it lacks is purged
            before = {path.name for path in self._parts.iterdir()}
            try:
                return self._receive(stream)
            except BaseException:
                # Nothing of it is left: a disk that it filled up would take no machine's report any more.
                for path in [one for one in self._parts.iterdir() if one.name not in before]:
                    path.unlink()
                raise

    def _receive(self, stream: IO[bytes]) -> int:
        sent: Any = None
        try:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    content = tar.extractfile(member) if member.isreg() else None
                    if content is None:
                        raise BadRequest(f"envoi : {member.name[:80]!r} n'est pas un fichier")
                    if member.name == "envoi.json":
                        sent = json.loads(content.read(_LARGEST_SENT))
                    else:
                        self._take(member, content)
            machines: Mapping[str, str] = sent["machines"]
            manifests: Mapping[str, Mapping[str, str]] = sent["manifestes"]
            rows = [_row(name, one) for name, one in manifests.items()]
            doors = [_door(name, one) for name, one in sent.get("portes", {}).items()]
            if bad := [name for name in machines if not _NAME.fullmatch(name)]:
                raise BadRequest(f"envoi : {bad[0][:80]!r} n'est pas un nom de machine")
        except (tarfile.TarError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
            raise BadRequest(f"envoi illisible, ou coupé ({type(error).__name__}) : rien n'est changé") from None
        lost = {one for row in rows for one in (row["code"], row["donnees"]) if not (self._parts / one).is_file()}
        if lost:
            raise BadRequest(f"envoi incomplet : {len(lost)} lots manquent, rien n'est changé")
        sync_directory(self._parts)
        with self._open() as db, transaction(db):
            db.execute("UPDATE machines SET attendue = 0")
            db.executemany(
                "INSERT INTO machines (nom, siren, attendue) VALUES (?, ?, 1) "
                "ON CONFLICT (nom) DO UPDATE SET siren = excluded.siren, attendue = 1",
                list(machines.items()),
            )
            for row in rows:
                self._replace(db, row)
            self._purge(db)
            db.execute("DELETE FROM releves WHERE machine NOT IN (SELECT nom FROM machines WHERE attendue)")
            db.execute("DELETE FROM portes")
            db.executemany(
                "INSERT INTO portes VALUES (:machine, :numero, :fin, :port, :cle, :ordre, :signature)", doors
            )
            self._let_in(doors)
        return len(rows)

    def _let_in(self, doors: list[dict[str, Any]]) -> None:
        """Write the keys of tunnels: each for one port of the loopback, until its end, and for nothing else.

        The sshd that reads them starts again when they change: a tunnel whose key went is cut.
        """
        lines = "".join(
            f'restrict,port-forwarding,permitlisten="127.0.0.1:{one["port"]}",'
            f'expiry-time="{datetime.fromisoformat(one["fin"]).astimezone(UTC):%Y%m%d%H%M%SZ}" '
            f"{one['cle']} {one['machine']}\n"
            for one in doors
        )
        if self._keys and (not self._keys.is_file() or self._keys.read_text(encoding="utf-8") != lines):
            write(self._keys, lines.encode())

    def _take(self, member: tarfile.TarInfo, content: IO[bytes]) -> None:
        folder, _, name = member.name.partition("/")
        if folder != "lots" or not _DIGEST.fullmatch(name) or member.size > _LARGEST_PART:
            raise BadRequest(f"envoi : fichier inattendu, {member.name[:80]!r}")
        temporary, digest = unused(self._parts), hashlib.sha256()
        try:
            with fresh(temporary) as target:
                while block := content.read(1 << 16):
                    digest.update(block)
                    target.write(block)
            if digest.hexdigest() != name:
                raise BadRequest(f"envoi : le lot {name[:12]} est abîmé")
            temporary.replace(self._parts / name)
        finally:
            temporary.unlink(missing_ok=True)

    @staticmethod
    def _replace(db: sqlite3.Connection, row: dict[str, Any]) -> None:
        here = db.execute("SELECT * FROM machines WHERE nom = ? AND attendue", (row["nom"],)).fetchone()
        if here is None:
            raise BadRequest(f"envoi : {row['nom']} a un manifeste, et n'est pas attendue")
        same = (here["code"], here["donnees"]) == (row["code"], row["donnees"])
        if row["version"] < here["version"] or (row["version"] == here["version"] and not same):
            raise BadRequest(
                f"{row['nom']} : la version {row['version']} ne peut pas remplacer la {here['version']} qui est au "
                "guichet. Un autre poste de commande a publié, ou celui-ci revient d'une sauvegarde. À faire : fab "
                "flotte.etat, puis une publication de plus. Rien n'est changé"
            )
        before = here["avant"] if same else f"{here['code']} {here['donnees']}"
        db.execute(
            "UPDATE machines SET version = ?, code = ?, donnees = ?, manifeste = ?, signature = ?, avant = ? "
            "WHERE nom = ?",
            (*(row[key] for key in ("version", "code", "donnees", "manifeste", "signature")), before, row["nom"]),
        )

    def _purge(self, db: sqlite3.Connection) -> None:
        kept: set[str] = set()
        for row in db.execute("SELECT code, donnees, avant FROM machines"):
            kept |= {row["code"], row["donnees"], *row["avant"].split()}
        for path in self._parts.iterdir():
            if path.name not in kept:
                path.unlink()

    def listing(self, now: datetime) -> dict[str, Any]:
        """What is known of each machine: for ``fab flotte.etat``."""
        names = ("nom", "attendue", "version", "donnee", "vue")
        with self._open() as db:  # not its figures nor its manifest, which nobody asks for here
            rows = db.execute(
                "SELECT nom, attendue, version, donnee, vue, dernier, demandes FROM machines ORDER BY nom"
            ).fetchall()
            doors = db.execute("SELECT * FROM portes WHERE fin > ? ORDER BY machine", (_text(now),)).fetchall()
        there, host_key = self._listening(), self._host_key
        return {
            "maintenant": _text(now),
            "hote": " ".join(host_key.read_text().split()[:2]) if host_key and host_key.is_file() else "",
            "portes": [
                {"machine": one["machine"], "numero": one["numero"], "jointe": one["port"] in there} for one in doors
            ],
            "machines": [
                {key: row[key] for key in names}
                | {"dernier": json.loads(row["dernier"]) if row["dernier"] else None}
                | {"demandes": json.loads(row["demandes"])}
                for row in rows
            ],
        }

    def reports(self, after: int, most: int = 2000) -> list[dict[str, Any]]:
        """Reports that came after one, by its number, oldest first.

        The last of each machine, whatever the others sent; then those before them, machine beside machine, as long as
        there is room: who sends much leaves out its own.

        Args:
            after: a number; 0 for all.
            most: reports that are told beyond the last of each, of no more than `_TOLD_TOGETHER` characters.
        """
        query = """SELECT id, machine, sha256, recu, corps FROM (
              SELECT *, sum(length(corps)) OVER places AS somme, row_number() OVER places AS place FROM (
                SELECT *, row_number() OVER (PARTITION BY machine ORDER BY id DESC) AS rang
                FROM comptes_rendus WHERE id > ?)
              WINDOW places AS (PARTITION BY rang = 1 ORDER BY rang, id DESC))
            WHERE rang = 1 OR (place <= ? AND somme <= ?) ORDER BY id"""
        with self._open() as db:
            return [_told(row) for row in db.execute(query, (after, most, _TOLD_TOGETHER))]

    def proven(self, marks: Sequence[tuple[int, str]], most: int = _TOLD_TOGETHER) -> dict[str, Any]:
        """The last report with proofs of each machine, of those that came after one that is known; some at a time.

        A report is known by its number and its digest: this door may come from a backup, and give numbers again. When
        it has none of those, it tells all that it has. Machines that are not expected are told too: they may have been,
        and come back.

        Args:
            marks: number and digest of reports that are known, the last one first.
            most: characters of the reports that are told, one at least.

        Returns:
            ``preuves``: number, digest and content of each by machine, the oldest first; ``reste``: there are more.
        """
        told: dict[str, dict[str, Any]] = {}
        with self._open() as db:
            known = "SELECT 1 FROM comptes_rendus WHERE id = ? AND sha256 = ?"
            after = next((number for number, sha256 in marks if db.execute(known, (number, sha256)).fetchone()), 0)
            rows = db.execute(
                "SELECT * FROM comptes_rendus WHERE id IN (SELECT max(id) FROM qui_prouvent WHERE id > ? "
                "GROUP BY machine) ORDER BY id",
                (after,),
            )
            for row in rows:
                most -= len(row["corps"])
                if told and most < 0:
                    return {"preuves": told, "reste": True}
                told[row["machine"]] = {"numero": row["id"], "sha256": row["sha256"], **_proof(row)}
        return {"preuves": told, "reste": False}

    def releves(self, after: str, wanted: Collection[str] = (), most: int = _TOLD_TOGETHER) -> dict[str, Any]:
        """The last relevé of each machine whose name comes after one, as it was sent; some at a time.

        Args:
            after: a name; empty for the first.
            wanted: machines; all of them by default.
            most: characters that are told, one relevé at least.

        Returns:
            ``releves``: each by machine, in order, its bytes by zlib and in base 64; ``reste``: there are more.
        """
        told: dict[str, str] = {}
        with self._open() as db:
            for row in db.execute("SELECT machine, corps FROM releves WHERE machine > ? ORDER BY machine", (after,)):
                if wanted and row["machine"] not in wanted:
                    continue
                one = base64.b64encode(zlib.compress(row["corps"])).decode()
                most -= len(one)
                if told and most < 0:
                    return {"releves": told, "reste": True}
                told[row["machine"]] = one
        return {"releves": told, "reste": False}


def _count(db: sqlite3.Connection, machine: str, now: datetime) -> None:
    """Count what a machine sends in an hour. Raises TooMany."""
    hour = _text(now)[:13]
    db.execute("UPDATE machines SET heure = ?, envois = 0 WHERE nom = ? AND heure <> ?", (hour, machine, hour))
    db.execute("UPDATE machines SET envois = envois + 1 WHERE nom = ?", (machine,))
    if db.execute("SELECT envois FROM machines WHERE nom = ?", (machine,)).fetchone()[0] > _HOURLY:
        raise TooMany("Cette machine rend compte trop souvent : réessayez dans une heure.")


def _told(row: sqlite3.Row) -> dict[str, Any]:
    """A report as it is told; one that cannot be read, which a door of before took, keeps no other."""
    head = {"numero": row["id"], "machine": row["machine"], "sha256": row["sha256"], "recu": row["recu"]}
    try:
        return {**head, **json.loads(row["corps"])}
    except (ValueError, TypeError, RecursionError):
        return {**head, "texte": "compte rendu illisible"}


def _proof(row: sqlite3.Row) -> dict[str, Any]:
    found = {"recu": row["recu"], **json.loads(row["corps"])}
    return {key: found[key] for key in ("recu", "genre", "version", "posee", "preuves", *_SIGNED) if key in found}


def _trim(db: sqlite3.Connection, machine: str) -> None:
    rows = db.execute(
        "SELECT id, length(corps) AS octets FROM comptes_rendus WHERE machine = ? ORDER BY id DESC", (machine,)
    ).fetchall()
    size = 0
    for place, row in enumerate(rows):
        size += row["octets"]
        if place and (place >= _KEPT_REPORTS or size > _KEPT_BYTES):
            # What it proved last stays, however long ago.
            db.execute(
                "DELETE FROM comptes_rendus WHERE machine = ?1 AND id <= ?2 AND id IS NOT (SELECT max(id) FROM "
                "qui_prouvent WHERE machine = ?1)",
                (machine, row["id"]),
            )
            return


def _report(machine: str, body: bytes) -> dict[str, Any]:
    if len(body) > LARGEST_REPORT:
        raise BadRequest("Compte rendu trop gros.")
    try:
        found = json.loads(body)
        good = (
            found["machine"] == machine
            and found["genre"] in KINDS
            and type(found["version"]) is int
            and 0 <= found["version"] < 1 << 53
            and type(found["posee"]) is bool
            and all(isinstance(found[key], str) and len(found[key]) <= 1000 for key in ("texte", "debut", "fin"))
            and all(isinstance(found[key], list) for key in ("modifies", "preuves"))
            and isinstance(found.get("mesures", {}), dict)
            and _is_asked(found.get("demandes", {}))
            and all(isinstance(found.get(key, ""), str) for key in _SIGNED)
            and all(len(found.get(key, "")) <= most for key, most in _SIGNED.items())
            and _depth(found) <= _DEEPEST
            # What has no place in a file of text: half a character, what is no number.
            and bool(json.dumps(found, ensure_ascii=False, allow_nan=False).encode())
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        good = False
    if not good:
        raise BadRequest("Ce n'est pas le compte rendu de cette machine.")
    kept = ["machine", "genre", "version", "posee", "texte", "debut", "fin", "modifies", "preuves"]
    kept += ["mesures", "demandes", *_SIGNED]
    return {key: found[key] for key in kept if key in found}


def _depth(found: Any) -> int:
    """Levels of lists and objects."""
    depth, level = 0, [found]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [one for each in level for one in (each.values() if isinstance(each, dict) else each)]
    return depth


def _is_asked(found: Any) -> bool:
    return (
        isinstance(found, dict)
        and len(found) <= 10
        and all(isinstance(one, str) and len(one) <= 8000 for pair in found.items() for one in pair)
    )


def _row(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    manifest = json.loads(given["manifeste"])
    parts = [str(manifest[key]["sha256"]) for key in ("code", "donnees")]
    if manifest["machine"] != name or not all(map(_DIGEST.fullmatch, parts)) or type(manifest["version"]) is not int:
        raise ValueError
    return {
        "nom": name,
        "version": manifest["version"],
        "code": parts[0],
        "donnees": parts[1],
        "manifeste": str(given["manifeste"]),
        "signature": str(given["signature"]),
    }


def _door(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: given[key] for key in ("numero", "fin", "port", "cle", "ordre", "signature")}
    if (
        not _NAME.fullmatch(name)
        or type(found["numero"]) is not int
        or type(found["port"]) is not int
        or not 1024 <= found["port"] <= 65535
        or not _PUBLIC_KEY.fullmatch(found["cle"])
        or datetime.fromisoformat(found["fin"]).tzinfo is None
    ):
        raise ValueError
    return found | {"machine": name}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _age(text: str, now: datetime) -> float:
    return abs((now - datetime.fromisoformat(text)).total_seconds())
