"""Who signs: the person that the circuit expects, and what of a certificate names a person."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from asn1crypto import x509

from .trust import common_name

_CERTIFICATE_SIREN_PATTERN = re.compile(
    r"(?:0002[ -]?|NTRFR-|SIRENFR-|SI:FR-)(\d{9})(?:\d{5})?(?!\d)"
)  # RGS takes a SIRET too
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d"})  # which Unicode does not take apart


def words(name: str) -> list[str]:
    """Words of a name, whatever their order, case and accents: « LECOEUR Chloe » is « Chloé Lecœur ».

    A letter of another alphabet stays what it is: two names must not be one because of what is not read of them.
    """
    apart = unicodedata.normalize("NFKD", name.casefold().translate(_LIGATURES))
    return sorted(re.findall(r"[^\W_]+", "".join(one for one in apart if not unicodedata.combining(one))))


def sirens(certificate: x509.Certificate) -> set[str]:
    """SIREN that a certificate bears: RGS (OU « 0002 … ») or ETSI EN 319 412-1 (organizationIdentifier « NTRFR-… »)."""
    native: dict[str, Any] = certificate.subject.native
    found: set[str] = set()
    for field in ("organizational_unit_name", "organization_identifier"):
        values = native.get(field) or []
        for value in [values] if isinstance(values, str) else values:
            found |= {match[1] for match in [_CERTIFICATE_SIREN_PATTERN.match(value)] if match}
    return found


@dataclass(frozen=True)
class Person:
    """A person of a commune.

    Attributes:
        name: first and family names, in any order.
        siren: nine digits, of the commune; empty when it does not matter.
    """

    name: str
    siren: str = ""

    def refusal(self, certificate: x509.Certificate) -> str | None:
        """Why a certificate is not this person's, in French; nothing when it is."""
        holder = common_name(certificate.subject)
        if not words(holder) or words(holder) != words(self.name):
            return f"signé par {holder} : c'est la signature de {self.name} qui est attendue"
        if self.siren and self.siren not in sirens(certificate):
            borne = ", ".join(sorted(sirens(certificate))) or "aucun SIREN"
            return f"le certificat de {holder} porte {borne}, pas le SIREN {self.siren} de la commune"
        return None
