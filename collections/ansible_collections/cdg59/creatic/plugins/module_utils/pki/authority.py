# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The certificate authority of the control node: offline root, issuing CA, registry, CRLs.

Layout of the authority's folder (0700):

- ``racine/``: key (encrypted) and certificate of the root. May be away (removable media) except to
  make, renew or replace the issuing CA and to sign the root's CRL once a year.
- ``emettrice/``: key (encrypted) of the issuing CA.
- ``registre.sqlite``: every certificate, every CRL, the settings. It is the truth: a certificate
  leaves this module only once its row is committed, and a revocation and its CRL are one commit.
- ``publie/``: copies to hand out (ca.pem, crl.pem, and DER CRLs for the distribution point).
- ``verrou``: lock taken by whoever writes.

docs/design/pki.md says why it is so.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import os
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    PkiError,
    Request,
    days_left,
    fingerprint,
    issued_by,
    load_certificate,
    pem,
    serial_hex,
    utc_now,
    weakness,
    write_atomic,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.x509 import (
    ISSUING,
    ISSUING_DAYS,
    REASONS,
    ROOT,
    Settings,
    issuer_key,
    make_crl,
    make_issuing,
    make_leaf,
    make_root,
    name_part,
    subject_key,
)
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CRL_DAYS, CRL_RENEW_DAYS = 30, 15
ROOT_CRL_DAYS, ROOT_CRL_RENEW_DAYS = 365, 180
ROOT_CRL_WARN_DAYS = 60
MINIMUM_LEAF_DAYS = 60  # the issuing CA must outlive a certificate by that much, or it must be renewed
MINIMUM_PASSPHRASE = 16

VALID, REPLACED, REVOKED, EXPIRED = "valide", "remplace", "revoque", "expire"

_UNFINISHED = "autorité de certification inachevée : relancez « ansible-playbook playbooks/authority.yml »"
_SHOWN = (
    *("serie", "titulaire", "organisme", "siren", "commune", "hote", "nom", "profil", "sujet"),
    *("debut", "fin", "motif", "revoque_le", "pem"),
)
_SCHEMA = """
CREATE TABLE reglage (cle TEXT PRIMARY KEY, valeur TEXT NOT NULL) STRICT;
CREATE TABLE certificat (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  serie TEXT NOT NULL UNIQUE,
  emetteur TEXT NOT NULL,
  cle_sha256 TEXT NOT NULL,
  profil TEXT NOT NULL,
  sujet TEXT NOT NULL,
  titulaire TEXT NOT NULL,
  organisme TEXT NOT NULL,
  siren TEXT NOT NULL,
  commune TEXT NOT NULL,
  hote TEXT NOT NULL,
  nom TEXT NOT NULL,
  debut TEXT NOT NULL,
  fin TEXT NOT NULL,
  statut TEXT NOT NULL CHECK (statut IN ('valide', 'remplace', 'revoque')),
  motif TEXT,
  revoque_le TEXT,
  demande TEXT NOT NULL,
  pem TEXT NOT NULL
) STRICT;
CREATE INDEX certificat_hote ON certificat (hote, nom);
CREATE INDEX certificat_cle ON certificat (cle_sha256);
CREATE TABLE crl (emetteur TEXT PRIMARY KEY, numero INTEGER NOT NULL, pem TEXT NOT NULL) STRICT;
PRAGMA user_version = 1;
"""


@dataclass(frozen=True)
class Owner:
    """Whose certificate it is: inventory host and, when there is one, the commune's slug."""

    host: str
    commune: str = ""


@dataclass(frozen=True)
class Issued:
    """A certificate which is in the registry."""

    serial: str
    pem: str
    not_after: dt.datetime


@dataclass
class Report:
    """What `Authority.ensure` did, and what needs a human (both French)."""

    changes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Passphrases:
    """Finds the passphrases of the CA keys: given, else environment, else file.

    The environment names are ``CREATIC_<FOLDER>_RACINE`` and ``CREATIC_<FOLDER>_EMETTRICE``; the files
    ``secrets/<folder>_racine`` and ``…_emettrice`` next to the authority's folder.
    """

    def __init__(self, directory: Path, given: Mapping[str, str | None] | None = None, generate: bool = False):
        self.directory = directory
        self.given = {role: value for role, value in (given or {}).items() if value}
        self.generate = generate

    def _file(self, role: str) -> Path:
        return self.directory.parent / "secrets" / f"{self.directory.name}_{role}"

    def get(self, role: str) -> bytes:
        """Return the passphrase of ``racine`` or ``emettrice``.

        Raises:
            PkiError: there is none; says where to put it.
        """
        variable = f"CREATIC_{self.directory.name.upper().replace('-', '_')}_{role.upper()}"
        value = self.given.get(role) or os.environ.get(variable)
        path = self._file(role)
        if not value and path.is_file():
            if path.stat().st_mode & 0o077:
                raise PkiError(f"{path} est lisible par d'autres que vous : chmod 600 {path}")
            value = path.read_text(encoding="utf-8").strip()
        if not value:
            raise PkiError(
                f"phrase secrète de l'autorité « {role} » absente : "
                f"donnez-la par la variable {variable} ou par le fichier {path} (mode 0600)"
            )
        if len(value) < MINIMUM_PASSPHRASE:
            raise PkiError(
                f"phrase secrète de l'autorité « {role} » trop courte : {MINIMUM_PASSPHRASE} caractères au moins"
            )
        return value.encode()

    def get_or_make(self, role: str) -> bytes:
        """Return the passphrase for a new key; makes a random one (file 0600) where that is allowed."""
        try:
            return self.get(role)
        except PkiError:
            if not self.generate or self._file(role).exists():
                raise
        path = self._file(role)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(path, f"{secrets.token_urlsafe(32)}\n".encode(), 0o600)
        return self.get(role)


class Authority:
    """One certificate authority. Methods which write take the lock; any number of processes may call them."""

    def __init__(self, directory: Path, passphrases: Passphrases | None = None):
        self.directory = directory
        self.passphrases = passphrases or Passphrases(directory)
        self.registry = directory / "registre.sqlite"

    # -- the registry ------------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether the authority was made, even if part of it is lost."""
        return any((self.directory / name).exists() for name in (self.registry.name, ROOT, ISSUING))

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        if not self.registry.is_file():
            if self.exists:
                raise PkiError(
                    f"registre des certificats absent : {self.registry}. Restaurez-le depuis la sauvegarde ; "
                    "sans lui, les révocations seraient perdues, donc rien n'est émis"
                )
            raise PkiError(
                f"aucune autorité de certification dans {self.directory} : "
                "lancez d'abord « ansible-playbook playbooks/authority.yml »"
            )
        connection = sqlite3.connect(
            f"{self.registry.absolute().as_uri()}?mode=rw", uri=True, timeout=60, isolation_level=None
        )
        connection.row_factory = sqlite3.Row
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != 1:
                raise PkiError(
                    f"registre {self.registry} illisible (version {version}) : restaurez-le depuis la sauvegarde"
                )
            connection.execute("PRAGMA synchronous = EXTRA")
            yield connection
        except sqlite3.DatabaseError as error:
            raise PkiError(
                f"registre {self.registry} endommagé ou verrouillé ({error}) : rien n'a été émis ; "
                "restaurez-le depuis la sauvegarde"
            ) from error
        finally:
            connection.close()

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.directory / "verrou").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One locked transaction: committed whole and durable at the end, or not at all."""
        with self._lock(), self._connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            self._publish(connection)

    def _create_registry(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock():
            if self.registry.exists():
                return
            temporary = self.registry.with_suffix(".nouveau")
            temporary.unlink(missing_ok=True)
            connection = sqlite3.connect(temporary)
            connection.executescript(_SCHEMA)
            connection.close()
            write_atomic(self.registry, temporary.read_bytes(), 0o600)
            temporary.unlink()

    @staticmethod
    def _settings(connection: sqlite3.Connection) -> Settings | None:
        row = connection.execute("SELECT valeur FROM reglage WHERE cle = 'autorite'").fetchone()
        return Settings(**json.loads(row["valeur"])) if row else None

    @staticmethod
    def _authority_certificate(connection: sqlite3.Connection, role: str) -> x509.Certificate:
        row = connection.execute(
            "SELECT pem FROM certificat WHERE profil = ? AND statut = 'valide' ORDER BY id DESC", (role,)
        ).fetchone()
        if row is None:
            raise PkiError(_UNFINISHED)
        return load_certificate(row["pem"])

    @staticmethod
    def _record(
        connection: sqlite3.Connection,
        certificate: x509.Certificate,
        request: Mapping[str, Any],
        owner: Owner,
    ) -> None:
        connection.execute(
            "UPDATE certificat SET statut = 'remplace' WHERE hote = ? AND nom = ? AND statut = 'valide'",
            (owner.host, request["name"]),
        )
        connection.execute(
            "INSERT INTO certificat (serie, emetteur, cle_sha256, profil, sujet, titulaire, organisme, siren,"
            " commune, hote, nom, debut, fin, statut, demande, pem)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'valide', ?, ?)",
            (
                serial_hex(certificate),
                issuer_key(certificate),
                fingerprint(certificate.public_key()),
                request["profile"],
                certificate.subject.rfc4514_string(),
                name_part(certificate, NameOID.COMMON_NAME),
                name_part(certificate, NameOID.ORGANIZATION_NAME),
                request.get("siren", ""),
                owner.commune,
                owner.host,
                request["name"],
                certificate.not_valid_before_utc.isoformat(),
                certificate.not_valid_after_utc.isoformat(),
                json.dumps(request, ensure_ascii=False, sort_keys=True),
                pem(certificate),
            ),
        )

    def settings(self) -> Settings | None:
        """Return the settings of the authority, or None when it is not made yet."""
        if not self.registry.exists():
            return None
        with self._connect() as connection:
            return self._settings(connection)

    # -- the authority itself ------------------------------------------------------------------------

    def ensure(self, settings: Settings, check: bool = False, replace_issuing: bool = False) -> Report:
        """Make the authority if there is none, renew what is near its end, refresh the CRLs.

        The issuing CA is renewed with its own key, so that what it issued stays valid.

        Args:
            settings: what it must be. Only the CRL URL, the policies and the life of certificates may
                change later; the names may not.
            check: change nothing, only say what would change.
            replace_issuing: after a compromise: revoke the issuing CA and make another with a new key;
                every host then renews its certificates. Needs the root.

        Raises:
            PkiError: a setting is wrong, a passphrase is missing, a key cannot be read.
        """
        settings.check()
        report = Report()
        if not self.exists:
            if check:
                report.changes.append("autorité de certification créée")
                return report
            self._create_registry()
        with self._connect() as connection:
            actions = self._plan(connection, settings, replace_issuing, report)
            if not check and not actions:
                self._publish(connection)
        if actions and not check:
            with self._write() as connection:
                report = Report()  # planned again under the lock: another process may just have done it
                for action in self._plan(connection, settings, replace_issuing, report):
                    action(connection, settings)
        if self.directory.stat().st_mode & 0o077:
            report.changes.append(f"droits de {self.directory} ramenés à 0700")
            if not check:
                self.directory.chmod(0o700)
        return report

    def _plan(
        self, connection: sqlite3.Connection, settings: Settings, replace_issuing: bool, report: Report
    ) -> list[Callable[[sqlite3.Connection, Settings], None]]:
        """List what `ensure` has to do, in order, as methods to call; fills the report."""
        actions: list[Callable[[sqlite3.Connection, Settings], None]] = []
        now = utc_now()
        root_here = (self.directory / ROOT / "cle.pem").is_file()
        rows = {
            row["profil"]: load_certificate(row["pem"])
            for row in connection.execute(
                "SELECT profil, pem FROM certificat WHERE profil IN (?, ?) AND statut = 'valide' ORDER BY id",
                (ROOT, ISSUING),
            )
        }
        before = self._settings(connection)
        if before and (before.organization, before.label) != (settings.organization, settings.label):
            raise PkiError(
                f"l'autorité de {self.directory} s'appelle « {before.label} » ({before.organization}) : "
                "son nom ne change plus ; faites-en une autre dans un autre dossier"
            )
        if before != settings:
            actions.append(self._store_settings)
            if before:
                report.changes.append("réglages de l'autorité modifiés")
        if ROOT not in rows:
            actions.append(self._make_root)
            report.changes.append("autorité racine créée")
            root_here = True
        elif days_left(rows[ROOT], now) < ISSUING_DAYS:
            report.warnings.append(
                f"l'autorité racine expire le {rows[ROOT].not_valid_after_utc:%d/%m/%Y} : préparez la suivante"
            )
        issuing = rows.get(ISSUING)
        certify: Callable[[sqlite3.Connection, Settings], None] | None = None
        if issuing is None:
            certify, change = self._make_issuing, "autorité émettrice créée"
        elif replace_issuing:
            certify, change = self._replace_issuing, "autorité émettrice révoquée et remplacée"
        elif days_left(issuing, now) < settings.leaf_days + 2 * MINIMUM_LEAF_DAYS:
            certify, change = self._renew_issuing, "autorité émettrice renouvelée"
        if certify and root_here:
            actions.append(certify)
            report.changes.append(change)
            return actions  # which signs both CRLs too
        if issuing is None or replace_issuing:
            raise PkiError(self._root_needed("créer l'autorité émettrice"))
        if certify:
            report.warnings.append(self._root_needed("renouveler l'autorité émettrice"))
        if not (self.directory / ISSUING / "cle.pem").is_file():
            raise PkiError(
                f"clé de l'autorité émettrice absente : {self.directory / ISSUING / 'cle.pem'}. "
                "Restaurez-la depuis la sauvegarde"
            )
        root_crl_days = self._crl_days(connection, rows.get(ROOT), now)
        if root_crl_days < ROOT_CRL_RENEW_DAYS and root_here:
            actions.append(self._sign_root_crl)
            report.changes.append("CRL de la racine renouvelée")
        elif root_crl_days < ROOT_CRL_WARN_DAYS:
            report.warnings.append(self._root_needed(f"renouveler sa CRL (il reste {root_crl_days} jours)"))
        if self._crl_days(connection, issuing, now) < CRL_RENEW_DAYS:
            actions.append(self._sign_issuing_crl)
            report.changes.append("CRL de l'autorité émettrice renouvelée")
        return actions

    def _root_needed(self, purpose: str) -> str:
        return (
            f"il faut l'autorité racine pour {purpose} : "
            f"branchez son support, remettez {self.directory / ROOT} en place, puis relancez"
        )

    def _store_settings(self, connection: sqlite3.Connection, settings: Settings) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO reglage VALUES ('autorite', ?)",
            (json.dumps(settings.__dict__, ensure_ascii=False),),
        )

    def _make_root(self, connection: sqlite3.Connection, settings: Settings) -> None:
        key = self._make_key(ROOT)
        root = make_root(settings, key)
        self._record(connection, root, {"profile": ROOT, "name": ROOT}, Owner(""))
        write_atomic(self.directory / ROOT / "certificat.pem", pem(root).encode(), 0o600)
        self._make_crl(connection, root, key, ROOT_CRL_DAYS)

    def _make_issuing(self, connection: sqlite3.Connection, settings: Settings) -> None:
        self._certify_issuing(connection, settings, self._make_key(ISSUING))

    def _renew_issuing(self, connection: sqlite3.Connection, settings: Settings) -> None:
        self._certify_issuing(connection, settings, self._load_key(ISSUING))

    def _replace_issuing(self, connection: sqlite3.Connection, settings: Settings) -> None:
        """Revoke the issuing CA, and with it all it issued; its own CRL is of no more use."""
        connection.execute(
            "UPDATE certificat SET statut = 'revoque', motif = 'compromission_ac', revoque_le = ?"
            " WHERE profil != ? AND statut != 'revoque'",
            (utc_now().isoformat(), ROOT),
        )
        self._make_issuing(connection, settings)

    def _certify_issuing(
        self, connection: sqlite3.Connection, settings: Settings, key: ec.EllipticCurvePrivateKey
    ) -> None:
        """Have the root sign the issuing CA's key, then both CRLs."""
        root = self._authority_certificate(connection, ROOT)
        root_key = self._load_key(ROOT)
        mark = fingerprint(key.public_key())[:4].upper()
        issuing = make_issuing(settings, key.public_key(), mark, root, root_key)
        self._record(connection, issuing, {"profile": ISSUING, "name": ISSUING}, Owner(""))
        self._make_crl(connection, root, root_key, ROOT_CRL_DAYS)
        self._make_crl(connection, issuing, key, CRL_DAYS)

    def _sign_root_crl(self, connection: sqlite3.Connection, settings: Settings) -> None:
        root = self._authority_certificate(connection, ROOT)
        self._make_crl(connection, root, self._load_key(ROOT), ROOT_CRL_DAYS)

    def _sign_issuing_crl(self, connection: sqlite3.Connection, settings: Settings) -> None:
        issuing = self._authority_certificate(connection, ISSUING)
        self._make_crl(connection, issuing, self._load_key(ISSUING), CRL_DAYS)

    # -- keys ----------------------------------------------------------------------------------------

    def _make_key(self, role: str) -> ec.EllipticCurvePrivateKey:
        """Make and keep an encrypted P-384 key; one left by a run killed before it was certified goes."""
        key = ec.generate_private_key(ec.SECP384R1())
        folder = self.directory / role
        folder.mkdir(mode=0o700, exist_ok=True)
        write_atomic(
            folder / "cle.pem",
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(self.passphrases.get_or_make(role)),
            ),
            0o600,
        )
        return key

    def _load_key(self, role: str) -> ec.EllipticCurvePrivateKey:
        path = self.directory / role / "cle.pem"
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), self.passphrases.get(role))
        except FileNotFoundError:
            if role == ROOT:
                raise PkiError(self._root_needed("signer")) from None
            raise PkiError(
                f"clé de l'autorité « {role} » absente : {path}. Restaurez-la depuis la sauvegarde"
            ) from None
        except (ValueError, TypeError):
            raise PkiError(
                f"clé de l'autorité « {role} » illisible : {path}. Phrase secrète fausse ou fichier endommagé"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError(f"clé de l'autorité « {role} » : type inattendu dans {path}")
        return key

    def _signing_key(self, connection: sqlite3.Connection) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Return the issuing CA's certificate and its key, checked against each other."""
        certificate, key = self._authority_certificate(connection, ISSUING), self._load_key(ISSUING)
        if fingerprint(key.public_key()) != fingerprint(certificate.public_key()):
            raise PkiError(
                f"la clé {self.directory / ISSUING / 'cle.pem'} n'est pas celle de l'autorité du registre : "
                "restaurez les deux de la même sauvegarde"
            )
        return certificate, key

    # -- certificates ----------------------------------------------------------------------------------

    def issue(self, csr_text: str, request: Request, owner: Owner) -> Issued:
        """Sign a request. The certificate is in the registry, on disk, before it is returned.

        The same key asking for the same thing gets the certificate it already has: a run killed after
        the signature and before the installation does not leave two.

        Raises:
            PkiError: the CSR does not carry the asked subject, is not signed by its key, or its key is
                weak, revoked or another host's; or the authority cannot sign.
        """
        request.check()
        public_key = self._check_csr(csr_text, request)
        key_id = fingerprint(public_key)
        with self._write() as connection:
            issuer, key = self._signing_key(connection)
            for row in connection.execute("SELECT * FROM certificat WHERE cle_sha256 = ?", (key_id,)):
                where = f"certificat « {request.name} » de {owner.host}"
                if row["statut"] == REVOKED:
                    raise PkiError(f"{where} : cette clé a été révoquée, il en faut une nouvelle")
                if (row["hote"], row["nom"]) != (owner.host, request.name):
                    raise PkiError(f"{where} : cette clé sert déjà à « {row['nom']} » de {row['hote']}")
                known = load_certificate(row["pem"])
                same = row["demande"] == json.dumps(request.to_dict(), ensure_ascii=False, sort_keys=True)
                if same and row["statut"] == VALID and days_left(known, utc_now()) > 0 and issued_by(known, issuer):
                    return Issued(row["serie"], row["pem"], known.not_valid_after_utc)
            if days_left(issuer, utc_now()) < MINIMUM_LEAF_DAYS:
                raise PkiError(self._root_needed("renouveler l'autorité émettrice, qui va expirer"))
            settings = self._settings(connection)
            if settings is None:
                raise PkiError(_UNFINISHED)
            certificate = make_leaf(settings, request, public_key, issuer, key)
            self._record(connection, certificate, request.to_dict(), owner)
        return Issued(serial_hex(certificate), pem(certificate), certificate.not_valid_after_utc)

    @staticmethod
    def _check_csr(csr_text: str, request: Request) -> Any:
        where = f"demande de certificat « {request.name} »"
        try:
            csr = x509.load_pem_x509_csr(csr_text.encode())
            signed = csr.is_signature_valid
            public_key = csr.public_key()
        except Exception:
            raise PkiError(f"{where} : CSR illisible") from None
        if not signed:
            raise PkiError(f"{where} : la signature de la CSR est fausse")
        if csr.subject != request.subject():
            raise PkiError(
                f"{where} : la CSR porte le sujet « {csr.subject.rfc4514_string()} », "
                f"or « {request.subject().rfc4514_string()} » était attendu ; refusée"
            )
        weak = weakness(public_key)
        if weak:
            raise PkiError(f"{where} : clé trop faible, {weak}")
        return public_key

    def revoke(
        self, motif: str, *, serial: str = "", host: str = "", commune: str = "", check: bool = False
    ) -> list[dict[str, Any]]:
        """Revoke one certificate, or all those of a host or of a commune, and sign the CRL, in one commit.

        Certificates already replaced but not expired are revoked too. Already revoked ones are left as
        they are: revoking twice changes nothing.

        Args:
            motif: one of `REASONS`.
            serial: hexadecimal serial number.

        Returns:
            The rows (as `listing` gives them) which this call revoked, or would in check mode.

        Raises:
            PkiError: unknown reason, nothing to revoke by that description, or not exactly one of
                serial, host and commune was given.
        """
        if motif not in REASONS:
            raise PkiError(f"motif « {motif} » inconnu ; attendu : {', '.join(REASONS)}")
        chosen = {"serie": normal_serial(serial) if serial else "", "hote": host, "commune": commune}
        given = {column: value for column, value in chosen.items() if value}
        if len(given) != 1:
            raise PkiError("donnez un seul de : numero, hote, commune")
        (column, value), now = next(iter(given.items())), utc_now()
        opening = self._connect if check else self._write
        with opening() as connection:
            rows = connection.execute(
                f"SELECT * FROM certificat WHERE {column} = ? AND profil NOT IN (?, ?)",  # noqa: S608 - our column
                (value, ROOT, ISSUING),
            ).fetchall()
            if not rows:
                raise PkiError(f"aucun certificat au registre pour {column} « {value} » : rien n'est révoqué")
            wanted = [row for row in rows if row["statut"] != REVOKED and _instant(row["fin"]) > now]
            if wanted and not check:
                connection.executemany(
                    "UPDATE certificat SET statut = 'revoque', motif = ?, revoque_le = ? WHERE id = ?",
                    [(motif, now.isoformat(), row["id"]) for row in wanted],
                )
                issuer, key = self._signing_key(connection)
                self._make_crl(connection, issuer, key, CRL_DAYS)
        return [_row(row, now) for row in wanted]

    # -- revocation lists ------------------------------------------------------------------------------

    def _make_crl(
        self,
        connection: sqlite3.Connection,
        issuer: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        days: int,
    ) -> None:
        identifier = subject_key(issuer).digest.hex()
        row = connection.execute("SELECT numero FROM crl WHERE emetteur = ?", (identifier,)).fetchone()
        number = row["numero"] + 1 if row else 1
        rows = connection.execute(
            "SELECT serie, revoque_le, motif FROM certificat WHERE emetteur = ? AND statut = 'revoque' ORDER BY id",
            (identifier,),
        )
        revoked = [(int(row["serie"], 16), _instant(row["revoque_le"]), row["motif"]) for row in rows]
        crl = make_crl(issuer, key, number, days, revoked)
        connection.execute("INSERT OR REPLACE INTO crl VALUES (?, ?, ?)", (identifier, number, pem(crl)))

    @staticmethod
    def _crl(connection: sqlite3.Connection, issuer: x509.Certificate) -> x509.CertificateRevocationList | None:
        row = connection.execute(
            "SELECT pem FROM crl WHERE emetteur = ?", (subject_key(issuer).digest.hex(),)
        ).fetchone()
        return x509.load_pem_x509_crl(row["pem"].encode()) if row else None

    def _crl_days(self, connection: sqlite3.Connection, issuer: x509.Certificate | None, now: dt.datetime) -> int:
        crl = self._crl(connection, issuer) if issuer else None
        if crl is None or crl.next_update_utc is None:
            return -1
        return (crl.next_update_utc - now).days

    def refresh_crl(self) -> bool:
        """Sign the issuing CA's CRL again when less than `CRL_RENEW_DAYS` remain; tells whether it did."""
        with self._connect() as connection:
            issuing = self._authority_certificate(connection, ISSUING)
            if self._crl_days(connection, issuing, utc_now()) >= CRL_RENEW_DAYS:
                return False
        with self._write() as connection:
            issuing = self._authority_certificate(connection, ISSUING)
            if self._crl_days(connection, issuing, utc_now()) >= CRL_RENEW_DAYS:
                return False  # another process did it
            self._make_crl(connection, issuing, self._signing_key(connection)[1], CRL_DAYS)
        return True

    # -- what is handed out ------------------------------------------------------------------------------

    def published(self) -> dict[str, str]:
        """Return what hosts need, as PEM: ``root``, ``chain`` (issuing CA), ``ca`` (both), ``crl`` (both)."""
        with self._connect() as connection:
            return self._published(connection)

    def _published(self, connection: sqlite3.Connection) -> dict[str, str]:
        root = self._authority_certificate(connection, ROOT)
        issuing = self._authority_certificate(connection, ISSUING)
        crls = [self._crl(connection, issuer) for issuer in (root, issuing)]
        return {
            "root": pem(root),
            "chain": pem(issuing),
            "ca": pem(root) + pem(issuing),
            "crl": "".join(pem(crl) for crl in crls if crl is not None),
        }

    def _publish(self, connection: sqlite3.Connection) -> None:
        """Bring ``publie/`` to what the registry says; made again by the next run if this one is killed."""
        content = self._published(connection)
        folder = self.directory / "publie"
        folder.mkdir(mode=0o755, exist_ok=True)
        data = {
            "racine.pem": content["root"].encode(),
            "emettrice.pem": content["chain"].encode(),
            "ca.pem": content["ca"].encode(),
            "crl.pem": content["crl"].encode(),
        }
        for role in (ROOT, ISSUING):
            crl = self._crl(connection, self._authority_certificate(connection, role))
            if crl is not None:
                data[f"{role}.crl"] = crl.public_bytes(serialization.Encoding.DER)
        for name, payload in data.items():
            path = folder / name
            if not path.is_file() or path.read_bytes() != payload:
                write_atomic(path, payload, 0o644)

    def known_to(self, host: str) -> dict[str, dict[str, list[str]]]:
        """Return, by certificate name, the ``serials`` a host may keep and the ``refused_keys``."""
        found: dict[str, dict[str, list[str]]] = {}
        with self._connect() as connection:
            for row in connection.execute("SELECT * FROM certificat WHERE hote = ?", (host,)):
                one = found.setdefault(row["nom"], {"serials": [], "refused_keys": []})
                if row["statut"] == VALID:
                    one["serials"].append(row["serie"])
                elif row["statut"] == REVOKED:
                    one["refused_keys"].append(row["cle_sha256"])
        return found

    def listing(self, *, within: int | None = None, status: str = "") -> list[dict[str, Any]]:
        """Return the certificates issued (not the authorities), the first to expire first.

        Args:
            within: only those still in use which expire within that many days.
            status: only those of that status (``valide``, ``remplace``, ``revoque``, ``expire``).

        Returns:
            One mapping per certificate: serie, titulaire, organisme, siren, commune, hote, nom, profil,
            sujet, debut, fin (ISO 8601, UTC), jours (left, whole), statut, motif, revoque_le, pem,
            demande (the request, as `Request.from_dict` takes it).
        """
        now = utc_now()
        only = "" if within is None else " AND statut = 'valide'"
        with self._connect() as connection:
            found = connection.execute(
                f"SELECT * FROM certificat WHERE profil NOT IN (?, ?){only} ORDER BY fin, id",  # noqa: S608 - constant
                (ROOT, ISSUING),
            )
            rows = [_row(row, now) for row in found]
        return [
            row for row in rows if (within is None or row["jours"] < within) and (not status or row["statut"] == status)
        ]

    def verify(self) -> list[str]:
        """Check registry, keys and CRLs against each other; returns the problems (French)."""
        problems: list[str] = []
        now = utc_now()
        for path, mode in ((self.directory, 0o700), (self.registry, 0o600)):
            if path.exists() and path.stat().st_mode & 0o777 & ~mode:
                problems.append(f"{path} est ouvert à d'autres : chmod {mode:o} {path}")
        try:
            with self._connect() as connection:
                result = connection.execute("PRAGMA integrity_check").fetchone()[0]
                if result != "ok":
                    return [*problems, f"registre endommagé : {result}"]
                problems += self._verify_rows(connection, now)
                self._signing_key(connection)
        except PkiError as error:
            problems.append(str(error))
        return problems

    def _verify_rows(self, connection: sqlite3.Connection, now: dt.datetime) -> list[str]:
        problems = []
        rows = connection.execute("SELECT * FROM certificat ORDER BY id").fetchall()
        if [row["id"] for row in rows] != list(range(1, len(rows) + 1)):
            problems.append("registre : des lignes ont été supprimées")
        issuers: dict[str, list[x509.Certificate]] = {}
        certificates: dict[str, x509.Certificate] = {}
        for row in rows:
            try:
                certificates[row["serie"]] = load_certificate(row["pem"])
            except PkiError:
                problems.append(f"registre, n° {row['serie']} : certificat illisible")
                continue
            if row["profil"] in (ROOT, ISSUING):
                one = certificates[row["serie"]]
                issuers.setdefault(subject_key(one).digest.hex(), []).append(one)
        for row in rows:
            certificate = certificates.get(row["serie"])
            if certificate is None:
                continue
            columns = (
                serial_hex(certificate),
                certificate.not_valid_after_utc.isoformat(),
                certificate.subject.rfc4514_string(),
                fingerprint(certificate.public_key()),
            )
            if columns != (row["serie"], row["fin"], row["sujet"], row["cle_sha256"]):
                problems.append(f"registre, n° {row['serie']} : la ligne et le certificat diffèrent")
            if not any(issued_by(certificate, issuer) for issuer in issuers.get(row["emetteur"], [])):
                problems.append(f"registre, n° {row['serie']} : signé par une autre autorité")
        dead = {row["serie"] for row in rows if row["profil"] == ISSUING and row["statut"] == REVOKED}
        for identifier, candidates in issuers.items():
            issuer = candidates[-1]
            if serial_hex(issuer) in dead:
                continue  # the root's CRL names it; it signs nothing any more
            where = f"CRL de {name_part(issuer, NameOID.COMMON_NAME)}"
            crl, key = self._crl(connection, issuer), issuer.public_key()
            if crl is None or not isinstance(key, ec.EllipticCurvePublicKey):
                problems.append(f"{where} : absente")
                continue
            if not crl.is_signature_valid(key):
                problems.append(f"{where} : signature fausse")
            if crl.next_update_utc is None or crl.next_update_utc <= now:
                problems.append(f"{where} : périmée")
            listed = {serial_hex(entry) for entry in crl}
            revoked = {row["serie"] for row in rows if row["emetteur"] == identifier and row["statut"] == REVOKED}
            for serial in sorted(revoked - listed):
                problems.append(f"{where} : n° {serial} y manque, alors que le registre le dit révoqué")
            for serial in sorted(listed - revoked):
                problems.append(f"{where} : n° {serial} y figure, alors que le registre ne le dit pas révoqué")
        return problems


def normal_serial(text: str) -> str:
    """Return a serial number as the registry writes it, from what tools print (colons, upper case, 0x).

    Raises:
        PkiError: not a hexadecimal number.
    """
    plain = text.strip().lower().removeprefix("0x").replace(":", "").replace(" ", "")
    if not re.fullmatch(r"[0-9a-f]{1,40}", plain):
        raise PkiError(f"numéro de série « {text} » : nombre hexadécimal attendu")
    return plain.zfill(40)


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _row(row: sqlite3.Row, now: dt.datetime) -> dict[str, Any]:
    """Return a row of the registry as `Authority.listing` describes it."""
    found: dict[str, Any] = {column: row[column] for column in _SHOWN}
    end = _instant(row["fin"])
    found["demande"] = json.loads(row["demande"])
    found["jours"] = (end - now).days
    found["statut"] = EXPIRED if row["statut"] != REVOKED and end <= now else row["statut"]
    return found
