# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The certificate authority of the control node: offline root, issuing CA, registry, CRLs.

Layout of the authority's folder (0700):

- ``racine/``: key (encrypted) and certificate of the root. May be away (removable media) except to
  make, renew or replace the issuing CA and to sign the root's CRL once a year.
- ``emettrice/``: key (encrypted) of the issuing CA.
- ``racine2/``, ``emettrice2/``…: those that a renewal made (`renewal`); the old ones stay while they sign lists.
- ``registre.sqlite``: every certificate, every CRL, the settings. It is the truth: a certificate
  leaves this module only once its row is committed, and a revocation and its CRL are one commit.
- ``publie/``: copies to hand out (ca.pem, crl.pem, and DER CRLs for the distribution point); ``autorites/``
  has one file for each authority that is believed, for stores that take no bundle.
- ``verrou``: lock taken by whoever writes.

docs/design/pki.md says why it is so.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
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
)
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from creatic.pki.keys import Keys, Passphrases
from creatic.pki.lineage import Lineage, Member
from creatic.pki.registry import (
    REPLACED,
    REVOKED,
    UNFINISHED,
    VALID,
    Book,
    Owner,
    Registry,
    describe_row,
    instant,
    normal_serial,
)
from creatic.pki.upkeep import (
    CRL_DAYS,
    CRL_RENEW_DAYS,
    MINIMUM_LEAF_DAYS,
    WATCH_DAYS,
    Report,
    Upkeep,
    expiries,
)
from creatic.pki.verify import problems_of
from creatic.pki.x509 import (
    ISSUING,
    REASONS,
    ROOT,
    Settings,
    make_leaf,
    name_part,
)


@dataclass(frozen=True)
class Issued:
    """A certificate which is in the registry."""

    serial: str
    pem: str
    not_after: dt.datetime


class Authority:
    """One certificate authority. Methods which write take the lock; any number of processes may call them."""

    def __init__(self, directory: Path, passphrases: Passphrases | None = None):
        self.directory = directory
        self.keys = Keys(directory, passphrases or Passphrases(directory))
        self.registry = Registry(directory)

    @property
    def exists(self) -> bool:
        """Whether the authority was made, even if part of it is lost."""
        return self.registry.exists

    def settings(self) -> Settings | None:
        """Return the settings of the authority, or None when it is not made yet."""
        if not self.registry.path.exists():
            return None
        with self.registry.open() as book:
            return book.settings()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Book]:
        """One locked transaction: committed whole and durable at the end, or not at all."""
        with self.registry.locked(), self.registry.open() as book:
            with book.transaction():
                yield book
            self._publish_files(book)

    def issuer(self, book: Book) -> tuple[Member, ec.EllipticCurvePrivateKey]:
        """Return the issuing CA that signs and its key, checked against each other.

        Raises:
            PkiError: the key is away, damaged or another's, or the authority is unfinished.
        """
        signing = Lineage(book, utc_now()).signing
        if signing is None:
            raise PkiError(UNFINISHED)
        return signing, self.keys.load_for(signing.name, signing.certificate)

    def sign_lists(self, book: Book, wanted: Iterable[Member]) -> None:
        """Sign the next list of issuing CAs; in a transaction."""
        for one in wanted:
            book.sign_crl(one.certificate, self.keys.load_for(one.name, one.certificate), CRL_DAYS)

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
        if not self.exists:
            if check:
                return Report(["autorité de certification créée"])
            self.registry.create()
        with self.registry.open() as book:
            upkeep = Upkeep(book, self.keys, settings, replace_issuing)
            if not check and not upkeep.steps:
                with self.registry.locked():
                    self._publish_files(book)
        if upkeep.steps and not check:
            with self.writing() as book:
                # planned again under the lock: another process may just have done it
                upkeep = Upkeep(book, self.keys, settings, replace_issuing)
                upkeep.take()
        report = upkeep.report
        if self.directory.stat().st_mode & 0o077:
            report.changes.append(f"droits de {self.directory} ramenés à 0700")
            if not check:
                self.directory.chmod(0o700)
        return report

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
        with self.writing() as book:
            signing, key = self.issuer(book)
            issuer = signing.certificate
            for row in book.rows("cle_sha256 = ?", key_id):
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
                root = Lineage(book, utc_now()).root_of(signing)
                raise PkiError(self.keys.root_needed("renouveler l'autorité émettrice, qui va expirer", root.name))
            settings = book.settings()
            if settings is None:
                raise PkiError(UNFINISHED)
            certificate = make_leaf(settings, request, public_key, issuer, key, signing.name)
            book.record(certificate, request.to_dict(), owner)
        return Issued(serial_hex(certificate), pem(certificate), certificate.not_valid_after_utc)

    @staticmethod
    def _check_csr(csr_text: str, request: Request) -> Any:
        where = f"demande de certificat « {request.name} »"
        try:
            csr = x509.load_pem_x509_csr(csr_text.encode())
            signed = csr.is_signature_valid
            public_key = csr.public_key()
        except Exception:  # noqa: BLE001 # cryptography has no common error for an invalid request
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
        self,
        motif: str,
        *,
        serial: str = "",
        host: str = "",
        commune: str = "",
        replaced: bool = False,
        check: bool = False,
    ) -> list[dict[str, Any]]:
        """Revoke one certificate, or all those of a host or of a commune, and sign the CRL, in one commit.

        Certificates already replaced but not expired are revoked too. Already revoked ones are left as
        they are: revoking twice changes nothing.

        Args:
            motif: one of `REASONS`.
            serial: hexadecimal serial number.
            replaced: only those that another one replaced, of a machine that was made anew.

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
        opening = self.registry.open if check else self.writing
        with opening() as book:
            rows = book.rows(f"{column} = ? AND profil NOT IN (?, ?)", value, ROOT, ISSUING)
            if not rows:
                raise PkiError(f"aucun certificat au registre pour {column} « {value} » : rien n'est révoqué")
            if replaced and not any(row["statut"] in (REPLACED, REVOKED) for row in rows):
                raise PkiError(
                    f"aucun certificat de {value} n'a été remplacé : rien n'est révoqué. À faire : déployez d'abord la "
                    "nouvelle machine (fab commune.deployer), ou relancez sans --remplaces si l'ancienne a été volée"
                )
            kept = (REVOKED, VALID) if replaced else (REVOKED,)
            wanted = [row for row in rows if row["statut"] not in kept and instant(row["fin"]) > now]
            if wanted and not check:
                book.revoke(wanted, motif, now)
                concerned = {row["emetteur"] for row in wanted}
                self.sign_lists(book, (one for one in Lineage(book, now).members if one.identifier in concerned))
        return [describe_row(row, now) for row in wanted]

    def refresh_crl(self) -> bool:
        """Sign again the CRLs of issuing CAs of which less than `CRL_RENEW_DAYS` remain; tells whether it did."""
        with self.registry.open() as book:
            if not self._stale_members(book):
                return False
        with self.writing() as book:
            stale = self._stale_members(book)  # none when another process did it
            self.sign_lists(book, stale)
        return bool(stale)

    @staticmethod
    def _stale_members(book: Book) -> list[Member]:
        now = utc_now()
        issuing = Lineage(book, now).issuing
        if not issuing:
            raise PkiError(UNFINISHED)
        return [one for one in issuing if book.crl_days(one.certificate, now) < CRL_RENEW_DAYS]

    # -- what is handed out ------------------------------------------------------------------------------

    def published(self) -> dict[str, str]:
        """Return what hosts need, as PEM; see `Lineage.published`."""
        with self.registry.open() as book:
            return Lineage(book, utc_now()).published()

    def roots(self) -> dict[str, str]:
        """Return the PEM of each root that is believed, by its name."""
        with self.registry.open() as book:
            return {one.name: pem(one.certificate) for one in Lineage(book, utc_now()).roots}

    def _publish_files(self, book: Book) -> None:
        """Bring ``publie/`` to what the registry says; made again by the next run if this one is killed."""
        lineage = Lineage(book, utc_now())
        content = lineage.published()
        folder = self.directory / "publie"
        alone = folder / "autorites"
        for path in (folder, alone):
            path.mkdir(mode=0o755, exist_ok=True)
        data = {
            folder / "racine.pem": content["root"].encode(),
            folder / "emettrice.pem": content["chain"].encode(),
            folder / "ca.pem": content["ca"].encode(),
            folder / "crl.pem": content["crl"].encode(),
        }
        for one in lineage.living:
            data[alone / f"{one.name}.pem"] = pem(one.certificate).encode()
            crl = book.crl(one.certificate)
            if crl is not None:
                data[folder / f"{one.name}.crl"] = crl.public_bytes(serialization.Encoding.DER)
        for path, payload in data.items():
            if not path.is_file() or path.read_bytes() != payload:
                write(path, payload, 0o644)
        for path in [*folder.glob("*.crl"), *alone.iterdir()]:
            if path not in data:
                path.unlink()

    def known_to(self, host: str) -> dict[str, dict[str, list[str]]]:
        """Return, by certificate name, the ``serials`` a host may keep and the ``refused_keys``."""
        found: dict[str, dict[str, list[str]]] = {}
        with self.registry.open() as book:
            for row in book.rows("hote = ?", host):
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
        with self.registry.open() as book:
            found = book.rows(f"profil NOT IN (?, ?){only}", ROOT, ISSUING, order="fin, id")
        rows = [describe_row(row, now) for row in found]
        return [
            row for row in rows if (within is None or row["jours"] < within) and (not status or row["statut"] == status)
        ]

    def authorities(self) -> list[dict[str, Any]]:
        """Return the authorities, those that are believed first.

        Returns:
            One mapping per authority: nom, titulaire, etat (French), fin (ISO 8601, UTC), jours (left, whole),
            certificats (still good, that it signed).
        """
        now, found = utc_now(), []
        with self.registry.open() as book:
            lineage = Lineage(book, now)
            for one in [*lineage.living, *lineage.retired]:
                good = book.rows("emetteur = ? AND statut != ? AND fin > ?", one.identifier, REVOKED, now.isoformat())
                found.append(
                    {
                        "nom": one.name,
                        "titulaire": name_part(one.certificate, NameOID.COMMON_NAME),
                        "etat": lineage.title(one),
                        "fin": one.certificate.not_valid_after_utc.isoformat(),
                        "jours": days_left(one.certificate, now),
                        "certificats": sum(row["profil"] not in (ROOT, ISSUING) for row in good),
                    }
                )
        return found

    def to_renew(self, within: int) -> list[dict[str, Any]]:
        """Return, as `listing` does, what expires within that many days, or was signed by an authority that leaves."""
        now = utc_now()
        with self.registry.open() as book:
            leaving = {one.identifier for one in Lineage(book, now).leaving}
            found = book.rows("profil NOT IN (?, ?) AND statut = ?", ROOT, ISSUING, VALID, order="fin, id")
            rows = [describe_row(row, now) for row in found if row["emetteur"] in leaving and instant(row["fin"]) > now]
        listed = {row["serie"] for row in rows}
        return [*rows, *(row for row in self.listing(within=within) if row["serie"] not in listed)]

    def verify(self) -> list[str]:
        """Check registry, keys and CRLs against each other; returns the problems (French)."""
        problems: list[str] = []
        for path, mode in ((self.directory, 0o700), (self.registry.path, 0o600)):
            if path.exists() and path.stat().st_mode & 0o777 & ~mode:
                problems.append(f"{path} est ouvert à d'autres : chmod {mode:o} {path}")
        try:
            with self.registry.open() as book:
                if (result := book.integrity()) != "ok":
                    return [*problems, f"registre endommagé : {result}"]
                now = utc_now()
                problems += problems_of(book, now)
                problems += expiries(Lineage(book, now), now, WATCH_DAYS[0])
                self.issuer(book)
        except PkiError as error:
            problems.append(str(error))
        return problems
