# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The registry judged against its own certificates and CRLs; every problem is told (French)."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Mapping

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    PkiError,
    fingerprint,
    issued_by,
    load_certificate,
    serial_hex,
)
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from creatic.pki.lineage import Lineage
from creatic.pki.registry import REVOKED, Book
from creatic.pki.x509 import (
    ISSUING,
    ROOT,
    name_part,
    subject_key,
)


def problems_of(book: Book, now: dt.datetime) -> list[str]:
    """Say what is missing, altered, of another authority or out of date in a registry; empty when all is well."""
    found = []
    rows = book.rows()
    if [row["id"] for row in rows] != list(range(1, len(rows) + 1)):
        found.append("registre : des lignes ont été supprimées")
    issuers: dict[str, list[x509.Certificate]] = {}
    certificates: dict[str, x509.Certificate] = {}
    for row in rows:
        try:
            one = certificates[row["serie"]] = load_certificate(row["pem"])
        except PkiError:
            found.append(f"registre, n° {row['serie']} : certificat illisible")
            continue
        if row["profil"] in (ROOT, ISSUING):
            issuers.setdefault(subject_key(one).digest.hex(), []).append(one)
    for row in rows:
        if row["serie"] in certificates:
            found += _problems_of_row(row, certificates[row["serie"]], issuers)
    # Of the others, a list of another authority names them, or nothing that is still good was signed by them.
    try:
        living = Lineage(book, now).living
    except PkiError as error:
        return [*found, str(error)]
    for member in living:
        identifier, issuer = member.identifier, member.certificate
        revoked = {row["serie"] for row in rows if row["emetteur"] == identifier and row["statut"] == REVOKED}
        where = f"CRL de {name_part(issuer, NameOID.COMMON_NAME)}"
        found += [f"{where} : {problem}" for problem in _problems_of_crl(issuer, book.crl(issuer), revoked, now)]
    return found


def _problems_of_row(
    row: sqlite3.Row, certificate: x509.Certificate, issuers: Mapping[str, list[x509.Certificate]]
) -> list[str]:
    found = []
    columns = (
        serial_hex(certificate),
        certificate.not_valid_after_utc.isoformat(),
        certificate.subject.rfc4514_string(),
        fingerprint(certificate.public_key()),
    )
    if columns != (row["serie"], row["fin"], row["sujet"], row["cle_sha256"]):
        found.append(f"registre, n° {row['serie']} : la ligne et le certificat diffèrent")
    if not any(issued_by(certificate, issuer) for issuer in issuers.get(row["emetteur"], [])):
        found.append(f"registre, n° {row['serie']} : signé par une autre autorité")
    return found


def _problems_of_crl(
    issuer: x509.Certificate, crl: x509.CertificateRevocationList | None, revoked: set[str], now: dt.datetime
) -> list[str]:
    key = issuer.public_key()
    if crl is None or not isinstance(key, ec.EllipticCurvePublicKey):
        return ["absente"]
    found = []
    if not crl.is_signature_valid(key):
        found.append("signature fausse")
    if crl.next_update_utc is None or crl.next_update_utc <= now:
        found.append("périmée")
    listed = {serial_hex(entry) for entry in crl}
    for serial in sorted(revoked - listed):
        found.append(f"n° {serial} y manque, alors que le registre le dit révoqué")
    for serial in sorted(listed - revoked):
        found.append(f"n° {serial} y figure, alors que le registre ne le dit pas révoqué")
    return found
