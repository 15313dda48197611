# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the door keeps, in ``enrolement.db``: digests of tokens, requests, answers, misuses, who was seen, PCs' facts.

The control node alone adds tokens and answers; PCs add requests, each once, within bounds. The door cannot make a token
from what it keeps, nor sign.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import re
import secrets
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from creatic_agent.book import connect, transaction
from creatic_agent.enrolment import (
    RENEWABLE_DAYS,
    Refused,
    check_renewal,
    fingerprint,
    read_csr,
    same_name,
    subject,
    token_digest,
    token_proof,
)
from creatic_agent.errors import CreaticError
from creatic_agent.identity import Identity

WAITING, SIGNED, REFUSED = "attente", "signee", "refusee"
HOURLY = 60
"""What one token, or one certificate, may ask in an hour."""
HOURLY_FACTS = 6
"""Facts that one certificate may send in an hour; the last ones are kept."""
UNKNOWN_HOURLY = 30
"""What one address may ask in an hour with tokens that are none."""
_ADDRESSES = 10_000  # that are counted apart, in an hour; the others are counted together
_UNKNOWN_TOGETHER = 1000
_TOKENS, _CERTIFICATES = 20_000, 20
_RENEWALS, _RENEWALS_SIREN = 5000, 200  # that wait
_MISUSES, _MISUSES_OF_ONE, _MISUSES_UNKNOWN = 5000, 50, 500
_SEEN = 20_000
_KEPT = timedelta(days=60)  # what is over, so that who comes late is told why
_TOLD = 200  # requests, misuses and people seen, PCs' facts, told at once
_SEEN_TOLD = 2000  # certificates seen, told at once: some 200 bytes each
_FACTS = 20_000
_LONGEST_SIGNATURE = 2000  # characters: RSA of 8192 bits takes 1,366
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,126}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SIREN = re.compile(r"[0-9]{9}", re.ASCII)
_LARGEST_ANSWER = 16_000  # characters of a certificate, or of a refusal
NOTED = frozenset({
    "jeton_inconnu", "jeton_expire", "jeton_utilise", "autre_poste", "certificat_inconnu", "csr_illisible",
    "csr_signature", "csr_sujet", "csr_cle", "preuve", "deja_demande", "trop",
})  # fmt: skip # a list of words
"""Causes that the technician is told."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS jetons (
    empreinte TEXT PRIMARY KEY, poste TEXT NOT NULL, nom TEXT NOT NULL, fin TEXT NOT NULL,
    certificats TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS demandes (
    id TEXT PRIMARY KEY, genre TEXT NOT NULL, origine TEXT NOT NULL, poste TEXT NOT NULL, certificat TEXT NOT NULL,
    nom TEXT NOT NULL, siren TEXT NOT NULL, presente TEXT NOT NULL, cle TEXT NOT NULL, csr TEXT NOT NULL,
    preuve TEXT NOT NULL, recue TEXT NOT NULL, etat TEXT NOT NULL DEFAULT 'attente',
    signee TEXT NOT NULL DEFAULT '', chaine TEXT NOT NULL DEFAULT '[]', message TEXT NOT NULL DEFAULT '',
    UNIQUE (origine, certificat)) STRICT;
CREATE INDEX IF NOT EXISTS demandes_etat ON demandes (etat, recue);
CREATE TABLE IF NOT EXISTS comptes (
    qui TEXT NOT NULL, heure TEXT NOT NULL, fois INTEGER NOT NULL, PRIMARY KEY (qui, heure)) STRICT;
CREATE INDEX IF NOT EXISTS comptes_heure ON comptes (heure);
CREATE TABLE IF NOT EXISTS mesusages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, cause TEXT NOT NULL, origine TEXT NOT NULL, adresse TEXT NOT NULL,
    heure TEXT NOT NULL, quand TEXT NOT NULL, poste TEXT NOT NULL, nom TEXT NOT NULL, message TEXT NOT NULL,
    UNIQUE (cause, origine, adresse, heure)) STRICT;
CREATE TABLE IF NOT EXISTS vus (
    certificat TEXT PRIMARY KEY, titulaire TEXT NOT NULL, siren TEXT NOT NULL, serie TEXT NOT NULL,
    premiere TEXT NOT NULL, derniere TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS constats (
    certificat TEXT PRIMARY KEY, recu TEXT NOT NULL, contenu BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS constats_recu ON constats (recu);
"""


class BadRequest(CreaticError, cause="envoi"):
    """What the control node sends is not taken; the message is French."""


def network(address: str) -> str:
    """Who is counted together: an address, or a site of IPv6 (a /56, RFC 6177)."""
    try:
        known = ip_address(address)
    except ValueError:
        return "?"
    if isinstance(known, IPv6Address) and not known.ipv4_mapped:
        return str(ip_network((known, 56), strict=False))
    return str(known.ipv4_mapped or known) if isinstance(known, IPv6Address) else str(known)


class Store:
    """The folder of the door. One object for all threads: each call opens the database."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "enrolement.db"
        with self._open() as db:
            db.executescript(SCHEMA)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        db = connect(self._file)
        try:
            yield db
        finally:
            db.close()

    # -- of PCs --------------------------------------------------------------------------------------

    def ask(self, given: object, address: str, now: datetime) -> dict[str, Any]:
        """Keep a PC's request, once however often it comes; gives its number and state.

        Args:
            given: ``jeton``, ``poste``, ``nom``, ``certificat``, ``csr``.
            address: where it comes from.

        Raises:
            Refused: see the API; a misuse is noted.
        """
        names = ("jeton", "poste", "nom", "certificat", "csr")
        if not isinstance(given, Mapping) or not all(isinstance(given.get(name), str) for name in names):
            raise Refused(f"Demande mal formée : un objet JSON avec {', '.join(names)} est attendu.")
        with self._open() as db:
            token = self._token(db, given["jeton"], address, now)
            with self._noting(db, token["empreinte"], token["poste"], given["nom"], address, now):
                return self._ask(db, token, given, now)

    def _ask(
        self, db: sqlite3.Connection, token: sqlite3.Row, given: Mapping[str, str], now: datetime
    ) -> dict[str, Any]:
        _count(db, token["empreinte"], now, HOURLY)
        slug, certificates = given["certificat"], json.loads(token["certificats"])
        if given["poste"] != token["poste"] or not same_name(given["nom"], token["nom"]):
            raise Refused(f"Ce jeton est celui du poste {token['nom']}, pas de celui-ci.", cause="autre_poste")
        if slug not in certificates:
            raise Refused("Le fichier de la commune ne demande pas ce certificat.", cause="certificat_inconnu")
        over = _text(now) >= token["fin"]
        expired = Refused("Ce jeton a expiré : demandez au technicien un nouvel installeur.", cause="jeton_expire")
        there = "SELECT id, etat, cle FROM demandes WHERE origine = ? AND certificat = ?"
        if over and not db.execute(there, (token["empreinte"], slug)).fetchone():
            raise expired
        csr = read_csr(given["csr"], subject(certificates[slug]))
        with transaction(db):
            row = db.execute(there, (token["empreinte"], slug)).fetchone()
            if row and row["cle"] == csr.key:
                return {"demande": row["id"], "etat": row["etat"]}
            if over:
                raise expired
            if row:
                raise Refused(
                    "Ce jeton a déjà servi, avec une autre clé : demandez au technicien un nouvel installeur.",
                    cause="jeton_utilise",
                )
            proof = token_proof(given["jeton"], token["poste"], slug, csr.key)
            of = {"poste": token["poste"], "nom": given["nom"], "siren": certificates[slug]["siren"]}
            made = {"genre": "jeton", "origine": token["empreinte"], "certificat": slug, "presente": "", **of}
            return _insert(db, made | {"cle": csr.key, "csr": csr.pem, "preuve": proof}, now)

    def state(self, number: str, token: str, address: str, now: datetime) -> dict[str, Any]:
        """What became of a request, told to who has its token. Raises Refused."""
        with self._open() as db:
            row = self._token(db, token, address, now)
            return self._state(db, number, row["empreinte"])

    @staticmethod
    def _state(db: sqlite3.Connection, number: str, origin: str) -> dict[str, Any]:
        found = db.execute("SELECT * FROM demandes WHERE id = ? AND origine = ?", (number, origin)).fetchone()
        if found is None:
            raise Refused("Cette demande n'est pas connue ici : refaites-la.", cause="demande_inconnue")
        told: dict[str, Any] = {"etat": found["etat"]}
        if found["etat"] == SIGNED:
            told |= {"certificat": found["signee"], "chaine": json.loads(found["chaine"])}
        return told | ({"message": found["message"]} if found["etat"] == REFUSED else {})

    def _token(self, db: sqlite3.Connection, token: str, address: str, now: datetime) -> sqlite3.Row:
        """The token's row. Raises Refused: it is none, and who tries many is not even told so."""
        digest = ""
        with contextlib.suppress(Refused):
            digest = token_digest(token)
        # The index is asked for a digest, of which nobody chooses the beginning: its time says nothing of a token.
        row: sqlite3.Row | None = db.execute("SELECT * FROM jetons WHERE empreinte = ?", (digest,)).fetchone()
        if row is not None and hmac.compare_digest(row["empreinte"], digest):
            return row
        with self._noting(db, "", "", "", address, now):
            where, most = network(address), UNKNOWN_HOURLY
            known = "SELECT 1 FROM comptes WHERE qui = ? AND heure = ?"
            counted = "SELECT count(*) FROM comptes WHERE heure = ?"
            if (
                not db.execute(known, (where, _hour(now))).fetchone()
                and db.execute(counted, (_hour(now),)).fetchone()[0] >= _ADDRESSES
            ):
                where, most = "*", _UNKNOWN_TOGETHER
            _count(db, where, now, most)
            raise Refused("Ce jeton n'est pas connu.", cause="jeton_inconnu")

    def renew(
        self, certificate: x509.Certificate, who: Identity, given: object, address: str, now: datetime
    ) -> dict[str, Any]:
        """Keep the request of who shows a certificate of the groupement's that nears its end.

        Args:
            given: ``csr``, for the same subject and another key; ``preuve``, see `enrolment.check_renewal`.

        Raises:
            Refused: see the API.
        """
        if not isinstance(given, Mapping):
            raise Refused("Demande mal formée : un objet JSON avec csr et preuve est attendu.")
        origin = _fingerprint(certificate)
        with self._open() as db, self._noting(db, origin, "", who.name, address, now):
            _count(db, origin, now, HOURLY)
            if certificate.not_valid_after_utc - now > timedelta(days=RENEWABLE_DAYS):
                raise Refused(
                    f"Ce certificat finit le {certificate.not_valid_after_utc:%d/%m/%Y} : il se renouvelle dans ses "
                    f"{RENEWABLE_DAYS} derniers jours.",
                    cause="trop_tot",
                )
            csr = read_csr(given.get("csr"), certificate.subject)
            check_renewal(certificate, csr, given.get("preuve"))
            with transaction(db):
                # What was refused may be mended in the commune's file: who holds the certificate asks again.
                db.execute("DELETE FROM demandes WHERE origine = ? AND etat = ?", (origin, REFUSED))
                row = db.execute("SELECT id, etat, cle FROM demandes WHERE origine = ?", (origin,)).fetchone()
                if row and row["cle"] == csr.key:
                    return {"demande": row["id"], "etat": row["etat"]}
                if row:
                    raise Refused(
                        "Le renouvellement de ce certificat a déjà été demandé, avec une autre clé.",
                        cause="deja_demande",
                    )
                waiting = "SELECT count(*) AS tous, ifnull(sum(siren = ?), 0) AS siens FROM demandes WHERE etat = ? "
                busy = db.execute(waiting + "AND genre = 'renouvellement'", (who.siren, WAITING)).fetchone()
                if busy["tous"] >= _RENEWALS or busy["siens"] >= _RENEWALS_SIREN:
                    raise Refused("Trop de renouvellements attendent déjà : réessayez plus tard.", cause="trop")
                shown = certificate.public_bytes(serialization.Encoding.PEM).decode()
                made = {"genre": "renouvellement", "origine": origin, "certificat": "", "presente": shown, "poste": ""}
                made |= {"nom": who.name, "siren": who.siren, "preuve": str(given.get("preuve"))}
                return _insert(db, made | {"cle": csr.key, "csr": csr.pem}, now)

    def renewal(self, certificate: x509.Certificate, number: str) -> dict[str, Any]:
        """What became of a renewal, told to who shows the certificate that asked for it. Raises Refused."""
        with self._open() as db:
            return self._state(db, number, _fingerprint(certificate))

    def see(self, certificate: x509.Certificate, who: Identity, now: datetime) -> None:
        """Note that a certificate was shown."""
        serial = f"{certificate.serial_number:040x}"
        with self._open() as db:
            fresh = "SELECT 1 FROM vus WHERE certificat = ? AND derniere > ?"
            if db.execute(fresh, (_fingerprint(certificate), _text(now - timedelta(minutes=1)))).fetchone():
                return
            with transaction(db):
                db.execute(
                    "INSERT INTO vus VALUES (?1, ?2, ?3, ?4, ?5, ?5) "
                    "ON CONFLICT (certificat) DO UPDATE SET derniere = excluded.derniere",
                    (_fingerprint(certificate), who.name, who.siren, serial, _text(now)),
                )
                db.execute(
                    "DELETE FROM vus WHERE certificat IN "
                    "(SELECT certificat FROM vus ORDER BY derniere DESC LIMIT -1 OFFSET ?)",
                    (_SEEN,),
                )

    def keep(self, certificate: x509.Certificate, who: Identity, given: object, address: str, now: datetime) -> None:
        """Keep what a PC says of itself, in the place of what its certificate sent before. Nothing of it is read here.

        Args:
            given: ``signe``, a text, and ``signature``.

        Raises:
            Refused: it is no such thing, or they are too many.
        """
        origin = _fingerprint(certificate)
        with self._open() as db, self._noting(db, origin, "", who.name, address, now):
            _count(db, f"constats {origin}", now, HOURLY_FACTS)
            sent = [given.get(name) for name in ("signe", "signature")] if isinstance(given, Mapping) else []
            if not all(isinstance(one, str) for one in sent) or not sent or len(str(sent[1])) > _LONGEST_SIGNATURE:
                raise Refused("Constats mal formés : un objet JSON avec signe et signature est attendu.")
            content = zlib.compress(json.dumps(dict(zip(("signe", "signature"), sent, strict=True))).encode())
            with transaction(db):
                db.execute("DELETE FROM constats WHERE recu < ?", (_text(now - _KEPT),))
                db.execute("INSERT OR REPLACE INTO constats VALUES (?, ?, ?)", (origin, _text(now), content))
                db.execute(
                    "DELETE FROM constats WHERE certificat IN "
                    "(SELECT certificat FROM constats ORDER BY recu DESC LIMIT -1 OFFSET ?)",
                    (_FACTS,),
                )

    # -- misuses -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _noting(
        self, db: sqlite3.Connection, origin: str, place: str, name: str, address: str, now: datetime
    ) -> Iterator[None]:
        """Note what is refused in here, once an hour for each cause, token and address. Nobody's notes hide others'."""
        try:
            yield
        except Refused as error:
            if error.cause in NOTED:
                shown = "".join(one if one.isprintable() else "?" for one in name[:63])
                key = (error.cause, origin, network(address), _hour(now))
                _note(db, key, (_text(now), place, shown, error.message))
            raise

    # -- of the control node -------------------------------------------------------------------------

    def publish(self, sent: Any, now: datetime) -> int:
        """Take tokens, and end those of the same PCs that were there; gives how many are good. All or nothing.

        Args:
            sent: ``jetons``, each with ``empreinte``, ``poste``, ``nom``, ``fin`` and ``certificats``; ``finis``,
                digests of those that end.

        Raises:
            BadRequest: it is no such thing.
        """
        try:
            rows = [_row(one) for one in sent["jetons"]]
            ended = [str(one) for one in sent["finis"]]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BadRequest(f"envoi illisible ({type(error).__name__}) : rien n'est changé") from None
        with self._open() as db, transaction(db):
            over = "UPDATE jetons SET fin = ? WHERE fin > ? AND "
            end = _text(now)
            for one in ended:
                db.execute(over + "empreinte = ?", (end, end, one))
            for row in rows:
                db.execute(over + "poste = ? AND empreinte <> ?", (end, end, row["poste"], row["empreinte"]))
                db.execute(
                    "INSERT INTO jetons VALUES (:empreinte, :poste, :nom, :fin, :certificats) ON CONFLICT (empreinte) "
                    "DO UPDATE SET poste = excluded.poste, nom = excluded.nom, fin = excluded.fin, "
                    "certificats = excluded.certificats",
                    row,
                )
            self._purge(db, now)
            if db.execute("SELECT count(*) FROM jetons").fetchone()[0] > _TOKENS:
                raise BadRequest(f"plus de {_TOKENS} jetons : rien n'est changé")
            return int(db.execute("SELECT count(*) FROM jetons WHERE fin > ?", (end,)).fetchone()[0])

    @staticmethod
    def _purge(db: sqlite3.Connection, now: datetime) -> None:
        old = _text(now - _KEPT)
        db.execute("DELETE FROM jetons WHERE fin < ?", (old,))
        db.execute(
            "DELETE FROM demandes WHERE recue < ? AND etat <> ? AND origine NOT IN (SELECT empreinte FROM jetons)",
            (old, WAITING),
        )
        db.execute("DELETE FROM demandes WHERE genre = 'jeton' AND origine NOT IN (SELECT empreinte FROM jetons)")
        db.execute("DELETE FROM mesusages WHERE quand < ?", (old,))

    def statement(self, after: int, now: datetime, since: str = "") -> dict[str, Any]:
        """What the control node asks: requests that wait, tokens that are good, misuses after one, who was seen.

        Args:
            after: number of the last misuse that is known.
            since: of the last request that is known, ``recue`` and ``id``, a space between; those after it are told.

        Returns:
            ``maintenant``; ``jetons``, as they were published; ``demandes``, `_TOLD` at most, the oldest first, and
            ``reste``, whether there are more; ``mesusages``, the first `_TOLD` after that one, and ``dernier``, the
            last number that was given; ``vus``, the last ones.
        """
        with self._open() as db:
            waiting = db.execute(
                "SELECT id, genre, origine, poste, certificat, nom, presente, cle, csr, preuve, recue FROM demandes "
                "WHERE etat = ? AND recue || ' ' || id > ? ORDER BY recue, id LIMIT ?",
                (WAITING, since, _TOLD + 1),
            ).fetchall()
            good = db.execute("SELECT * FROM jetons WHERE fin > ? ORDER BY 1", (_text(now),)).fetchall()
            last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'mesusages'").fetchone()
            misuses = db.execute(
                "SELECT id, cause, adresse, quand, poste, nom, message FROM mesusages WHERE id > ? ORDER BY id LIMIT ?",
                (after, _TOLD),
            ).fetchall()
            seen = db.execute("SELECT * FROM vus ORDER BY derniere DESC LIMIT ?", (_TOLD,)).fetchall()
        return {
            "maintenant": _text(now),
            "jetons": [{**dict(row), "certificats": json.loads(row["certificats"])} for row in good],
            "demandes": [dict(row) for row in waiting[:_TOLD]],
            "reste": len(waiting) > _TOLD,
            "mesusages": [dict(row) for row in misuses],
            "dernier": last["seq"] if last else 0,
            "vus": [dict(row) for row in seen],
        }

    def seen(self, after: str) -> dict[str, Any]:
        """When each certificate was shown last: ``vus``, each once, and whether there is more.

        Args:
            after: the last certificate (SHA-256) that is known.
        """
        with self._open() as db:
            asked = "SELECT certificat, serie, premiere, derniere FROM vus WHERE certificat > ? ORDER BY 1 LIMIT ?"
            rows = db.execute(asked, (after, _SEEN_TOLD + 1)).fetchall()
        return {"vus": [dict(row) for row in rows[:_SEEN_TOLD]], "reste": len(rows) > _SEEN_TOLD}

    def facts(self, after: str) -> dict[str, Any]:
        """What PCs sent last, as they sent it: ``constats``, base64 of zlib by certificate, and whether there is more.

        Args:
            after: the last certificate (SHA-256) that is known.
        """
        with self._open() as db:
            asked = "SELECT certificat, contenu FROM constats WHERE certificat > ? ORDER BY certificat LIMIT ?"
            rows = db.execute(asked, (after, _TOLD + 1)).fetchall()
        told = {row["certificat"]: base64.b64encode(row["contenu"]).decode() for row in rows[:_TOLD]}
        return {"constats": told, "reste": len(rows) > _TOLD}

    def answer(self, sent: Any) -> int:
        """Take answers, and give how many were waited for. What is signed stays so; all or nothing.

        Args:
            sent: ``reponses``, each with ``demande`` and either ``certificat`` and ``chaine`` or ``message``.

        Raises:
            BadRequest: it is no such thing, or a certificate is not of the key that asked.
        """
        taken = 0
        with self._open() as db, transaction(db):
            try:
                answers: Sequence[Mapping[str, Any]] = sent["reponses"]
                for one in answers:
                    taken += _answer(db, one)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise BadRequest(f"envoi illisible ({type(error).__name__}) : rien n'est changé") from None
        return taken


def _note(db: sqlite3.Connection, key: tuple[str, ...], told: tuple[str, ...]) -> None:
    there = "SELECT 1 FROM mesusages WHERE cause = ? AND origine = ? AND adresse = ? AND heure = ?"
    if db.execute(there, key).fetchone():
        return
    with transaction(db):
        db.execute(
            "INSERT INTO mesusages (cause, origine, adresse, heure, quand, poste, nom, message) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*key, *told),
        )
        db.execute(
            "DELETE FROM mesusages WHERE id IN "
            "(SELECT id FROM mesusages WHERE origine = ? ORDER BY id DESC LIMIT -1 OFFSET ?)",
            (key[1], _MISUSES_OF_ONE if key[1] else _MISUSES_UNKNOWN),
        )
        db.execute(
            "DELETE FROM mesusages WHERE id IN (SELECT id FROM mesusages ORDER BY id DESC LIMIT -1 OFFSET ?)",
            (_MISUSES,),
        )


def _answer(db: sqlite3.Connection, one: Mapping[str, Any]) -> int:
    number = str(one["demande"])
    row = db.execute("SELECT cle, etat FROM demandes WHERE id = ?", (number,)).fetchone()
    if row is None or row["etat"] == SIGNED:
        return 0
    if "certificat" not in one:
        message = str(one["message"])[:_LARGEST_ANSWER]
        db.execute("UPDATE demandes SET etat = ?, message = ? WHERE id = ?", (REFUSED, message, number))
        return 1
    certificate = x509.load_pem_x509_certificate(str(one["certificat"])[:_LARGEST_ANSWER].encode())
    chain = [str(part) for part in one["chaine"]]
    if fingerprint(certificate.public_key()) != row["cle"]:
        raise BadRequest(f"le certificat de la demande {number[:40]} n'est pas de sa clé : rien n'est changé")
    for part in chain:
        x509.load_pem_x509_certificate(part[:_LARGEST_ANSWER].encode())
    told = certificate.public_bytes(serialization.Encoding.PEM).decode()
    db.execute(
        "UPDATE demandes SET etat = ?, signee = ?, chaine = ?, message = '' WHERE id = ?",
        (SIGNED, told, json.dumps(chain), number),
    )
    return 1


def _row(one: Mapping[str, Any]) -> dict[str, str]:
    found = {name: str(one[name]) for name in ("empreinte", "poste", "nom")}
    end = datetime.fromisoformat(one["fin"])
    certificates: Mapping[str, Mapping[str, str]] = one["certificats"]
    good = _DIGEST.fullmatch(found["empreinte"]) and _NAME.fullmatch(found["poste"]) and 0 < len(found["nom"]) <= 63
    good = bool(good) and end.tzinfo is not None and 0 < len(certificates) <= _CERTIFICATES
    for slug, holder in certificates.items():
        subject(holder)  # raises ValueError
        good = good and bool(_NAME.fullmatch(slug)) and bool(_SIREN.fullmatch(holder["siren"]))
    if not good:
        raise ValueError
    return {**found, "fin": _text(end), "certificats": json.dumps(certificates)}


def _insert(db: sqlite3.Connection, made: Mapping[str, str], now: datetime) -> dict[str, Any]:
    row = {**made, "id": secrets.token_hex(16), "recue": _text(now)}
    db.execute(
        "INSERT INTO demandes (id, genre, origine, poste, certificat, nom, siren, presente, cle, csr, preuve, recue) "
        "VALUES (:id, :genre, :origine, :poste, :certificat, :nom, :siren, :presente, :cle, :csr, :preuve, :recue)",
        row,
    )
    return {"demande": row["id"], "etat": WAITING}


def _count(db: sqlite3.Connection, who: str, now: datetime, most: int) -> None:
    """Count what one asks in an hour, and write nothing more beyond. Raises Refused."""
    there = db.execute("SELECT fois FROM comptes WHERE qui = ? AND heure = ?", (who, _hour(now))).fetchone()
    if there and there["fois"] >= most:
        raise Refused("Trop de demandes : réessayez dans une heure.", cause="trop")
    with transaction(db):
        db.execute("DELETE FROM comptes WHERE heure < ?", (_hour(now),))
        db.execute(
            "INSERT INTO comptes VALUES (?, ?, 1) ON CONFLICT (qui, heure) DO UPDATE SET fois = fois + 1",
            (who, _hour(now)),
        )


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def _hour(now: datetime) -> str:
    return _text(now)[:13]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
