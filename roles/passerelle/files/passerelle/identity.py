"""Who is at the other end: the client certificate that nginx verified."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from cryptography import x509
from cryptography.x509.oid import NameOID

from .config import Commune, Config

HEADER = "X-SSL-Client-Cert"
"""Set by nginx to $ssl_client_escaped_cert; nginx drops the client's own."""
_UNIT = re.compile(r"0002[ -]?(\d{9})(\d{5})?")
# As role tdt_connector names its certificates: a PC of the commune reads its page, and speaks for no connector.
_CONNECTOR = "Connecteur - "


class Denied(Exception):
    """The certificate opens nothing. Its text is French."""


@dataclass(frozen=True)
class Visitor:
    """Whose certificate it is; `commune` is None for the groupement, which sees them all."""

    name: str
    commune: Commune | None
    connector: bool


def visitor(header: str, config: Config) -> Visitor:
    """The visitor of a request, from nginx's header alone. Raises Denied."""
    try:
        certificate = x509.load_pem_x509_certificate(unquote(header).encode("ascii"))
    except ValueError as error:
        raise Denied("Aucun certificat client n'a été présenté.") from error
    units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    found = {match[1] for one in units if (match := _UNIT.fullmatch(str(one.value)))}
    siren = found.pop() if len(found) == 1 else ""
    names = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    name = names[0] if names else ""
    if siren and siren == config.siren:
        return Visitor(name, None, False)
    commune = config.by_siren(siren)
    if commune is None:
        shown = f"au SIREN {siren}" if siren else "qui ne porte pas de SIREN (OU « 0002 … »)"
        raise Denied(f"Ce certificat {shown} n'est d'aucune commune que sert la passerelle.")
    return Visitor(name, commune, name.startswith(_CONNECTOR))
