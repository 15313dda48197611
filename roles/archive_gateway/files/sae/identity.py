"""Who is at the other end: the client certificate that nginx verified, and the account it opens."""

from __future__ import annotations

import re
from urllib.parse import unquote

from cryptography import x509
from cryptography.x509.oid import NameOID

from sae.config import Account, Config

HEADER = "X-SSL-Client-Cert"
"""Set by nginx to $ssl_client_escaped_cert; nginx drops the client's own."""
# RGS: the organisational unit holds the ICD 0002 (SIRENE) and the SIREN or SIRET of the organisation.
# ETSI EN 319 412-1: organizationIdentifier holds NTRFR- and the SIREN.
_UNIT = re.compile(r"0002[ -]?(\d{9})(\d{5})?")
_NTR = re.compile(r"NTRFR-(\d{9})")


class Denied(Exception):
    """The certificate opens no account. Its text is French."""


def siren_of(certificate: x509.Certificate) -> str | None:
    """The SIREN that a certificate's subject bears; None when it bears none, or several."""
    found: set[str] = set()
    for oid, pattern in ((NameOID.ORGANIZATIONAL_UNIT_NAME, _UNIT), (NameOID.ORGANIZATION_IDENTIFIER, _NTR)):
        for attribute in certificate.subject.get_attributes_for_oid(oid):
            match = pattern.fullmatch(str(attribute.value))
            if match:
                found.add(match[1])
    return found.pop() if len(found) == 1 else None


def _certificate(header: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(unquote(header).encode("ascii"))
    except ValueError as error:
        raise Denied("Aucun certificat client n'a été présenté.") from error


def depositor_of(header: str, config: Config) -> Account:
    """The account that a request may deposit in, from nginx's header alone. Raises Denied."""
    account = account_of(header, config)
    names = [str(one.value) for one in _certificate(header).subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if account.depositors and (len(names) != 1 or names[0] not in account.depositors):
        raise Denied(
            f"Ce certificat (« {', '.join(names)[:100]} ») ouvre le compte de {account.label} sans pouvoir y verser : "
            f"seul « {' », « '.join(account.depositors)} » le peut. Demandez au groupement de l'ajouter aux déposants."
        )
    return account


def account_of(header: str, config: Config) -> Account:
    """The account of a request, from nginx's header alone. Raises Denied."""
    certificate = _certificate(header)
    siren = siren_of(certificate)
    account = config.account_of(siren)
    if account is None:
        shown = f"au SIREN {siren}" if siren else "qui ne porte pas de SIREN (OU « 0002 … »)"
        raise Denied(
            f"Ce certificat {shown} n'ouvre aucun compte de ce service d'archivage : demandez-le au groupement."
        )
    return account
