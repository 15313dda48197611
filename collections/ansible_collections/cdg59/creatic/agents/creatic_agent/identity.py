# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Who is at the other end: the client certificate that nginx verified."""

from __future__ import annotations

import re
from urllib.parse import unquote

from cryptography import x509
from cryptography.x509.oid import NameOID

HEADER = "X-SSL-Client-Cert"
"""Set by nginx to $ssl_client_escaped_cert; nginx drops the client's own."""
# RGS: the organisational unit holds the ICD 0002 (SIRENE) and the SIREN or SIRET of the organisation.
# ETSI EN 319 412-1: organizationIdentifier holds NTRFR- and the SIREN.
_UNIT = re.compile(r"0002[ -]?(\d{9})(\d{5})?")
_NTR = re.compile(r"NTRFR-(\d{9})")


class Denied(Exception):
    """The certificate opens nothing. Its text is French."""


def certificate_of(header: str) -> x509.Certificate:
    """The certificate of a request, from nginx's header. Raises Denied."""
    try:
        return x509.load_pem_x509_certificate(unquote(header).encode("ascii"))
    except ValueError as error:
        raise Denied("Aucun certificat client n'a été présenté.") from error


def siren_of(certificate: x509.Certificate) -> str | None:
    """The SIREN that a certificate's subject bears; None when it bears none, or several."""
    found: set[str] = set()
    for oid, pattern in ((NameOID.ORGANIZATIONAL_UNIT_NAME, _UNIT), (NameOID.ORGANIZATION_IDENTIFIER, _NTR)):
        for attribute in certificate.subject.get_attributes_for_oid(oid):
            match = pattern.fullmatch(str(attribute.value))
            if match:
                found.add(match[1])
    return found.pop() if len(found) == 1 else None


def names_of(certificate: x509.Certificate) -> list[str]:
    """The common names (CN) of a certificate's subject."""
    return [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
