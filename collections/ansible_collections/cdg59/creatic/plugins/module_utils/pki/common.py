# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the host and the control node share about certificates: requests, profiles, comparisons, files.

A `Request` says what a certificate must be. The host makes a key and a CSR from it, the authority
signs from it (never from what the CSR says), and both compare a certificate with it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import (
    HOLDERS,
    KINDS,
    PERSON,
    UNSEEN,
    composed,
    kind_of,
    reads_as_reserved,
    strange,
    unknown_sign,
)
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku
from cryptography.x509.oid import NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

COUNTRY = "FR"
SIREN_ICD = "0002"  # ISO 6523 identifier of the SIREN scheme, as RGS puts it before the number
RESERVED = tuple(word for words in KINDS.values() for word in words)
"""Beginnings of names that no person bears; who compares asks `names.kind_of`."""
KEY_TYPES = ("ecdsa", "rsa")
RSA_BITS = 3072  # RGS B1: at least 3072 bits after 2030
STRONG_CURVES = ("secp256r1", "secp384r1", "secp521r1")

# Extended key usages of each profile; RFC 9336 gives document signing its own usage, and
# S/MIME tools (openssl cms) ask for e-mail protection.
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
PROFILES: dict[str, tuple[x509.ObjectIdentifier, ...]] = {
    "client": (Eku.CLIENT_AUTH,),
    "server": (Eku.SERVER_AUTH,),
    "signature": (DOCUMENT_SIGNING, Eku.EMAIL_PROTECTION),
    "tsa": (Eku.TIME_STAMPING,),
    # A machine that calls others under its name; it bears no SIREN, so that it is nobody to services.
    "supervision": (Eku.CLIENT_AUTH,),
    "code": (Eku.CODE_SIGNING,),
}
MACHINE_PROFILES = ("server", "supervision")
"""Profiles that bear DNS names."""

_REQUEST_NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DNS_LABEL_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class PkiError(CreaticError, cause="pki"):
    """Nothing was issued or changed; the message (French) names what is wrong and the fix."""


def siren_is_valid(siren: str) -> bool:
    """Tell whether `siren` is nine digits with a right Luhn key."""
    if not re.fullmatch(r"[0-9]{9}", siren):
        return False
    doubled = (int(digit) * (2 if index % 2 else 1) for index, digit in enumerate(siren))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


@dataclass(frozen=True)
class Request:
    """What a certificate must be.

    Attributes:
        name: folder of the certificate on its host, unique there.
        profile: one of `PROFILES`.
        common_name: CN, at most 64 characters; a server's may be left out (its first DNS name).
        organization: O, at most 64 characters; only those of `NAMED` may do without.
        siren: nine digits; becomes the OU "0002 <siren>" except for those of `NAMED`.
        dns: DNS names of a server or of a machine that calls others, lower case.
        key_type: ``ecdsa`` (P-256) or ``rsa`` (3072 bits, for software which knows nothing else).
        holder: who asks, one of `names.HOLDERS`: none bears a name that another kind is known by. Our own code may
            leave it to the name.
    """

    name: str
    profile: str
    common_name: str
    organization: str = ""
    siren: str = ""
    dns: tuple[str, ...] = ()
    key_type: str = "ecdsa"
    holder: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "common_name", composed(self.common_name))
        if not self.holder:
            object.__setattr__(self, "holder", kind_of(self.common_name))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], key_type: str = "ecdsa") -> Request:
        """Check a mapping and make a request of it; keys which are not fields are left to the caller.

        Who does not say its holder is a person: what a file writes can name nothing else.

        Raises:
            PkiError: names the certificate, the field, and what is expected.
        """
        dns = tuple(str(name).lower() for name in data.get("dns") or ())
        request = cls(
            name=str(data.get("name") or ""),
            profile=str(data.get("profile") or ""),
            common_name=str(data.get("common_name") or "") or (dns[0] if dns else ""),
            organization=str(data.get("organization") or ""),
            siren=str(data.get("siren") or ""),
            dns=dns,
            key_type=str(data.get("key_type") or key_type),
            holder=str(data.get("holder") or PERSON),
        )
        request.check()
        return request

    def check(self) -> None:
        """Raise `PkiError` when a field is wrong."""
        for field, why in itertools.chain(self._find_faults(), self._profile_faults()):
            raise PkiError(f"certificat « {self.name or '?'} », champ {field} : {why}")

    def _find_faults(self) -> Iterator[tuple[str, str]]:
        if not _REQUEST_NAME_PATTERN.fullmatch(self.name):
            yield "name", "attendu : lettres minuscules, chiffres, tirets, 63 caractères au plus"
        if self.profile not in PROFILES:
            yield "profile", f"« {self.profile} » est inconnu ; attendu : {', '.join(PROFILES)}"
        if self.key_type not in KEY_TYPES:
            yield "key_type", f"« {self.key_type} » est inconnu ; attendu : {', '.join(KEY_TYPES)}"
        for field in ("common_name", "organization"):
            value = getattr(self, field)
            if len(value) > 64 or any(unicodedata.category(char) in UNSEEN for char in value) or value != value.strip():
                yield field, "attendu : 64 caractères au plus, sans espace au bord ni caractère de contrôle"
            if other := strange(value):
                yield field, f"« {other} » n'est d'aucun alphabet latin, et y ressemble peut-être"
        if not self.common_name:
            yield "common_name", "manquant"
        if self.holder not in HOLDERS:
            yield "holder", f"« {self.holder} » est inconnu ; attendu : {', '.join(HOLDERS)}"
        elif self.profile not in MACHINE_PROFILES and kind_of(self.common_name) not in (PERSON, self.holder):
            yield "common_name", f"« {self.common_name} » est réservé aux machines et aux services du groupement"
        if self.common_name and self.profile not in MACHINE_PROFILES:
            yield from self._find_unreadable()
        if self.siren and not siren_is_valid(self.siren):
            yield "siren", f"« {self.siren} » n'est pas un SIREN (9 chiffres, clé de Luhn)"

    def _find_unreadable(self) -> Iterator[tuple[str, str]]:
        """What would make its holder nobody at a door, which would be seen on the day of the first visit."""
        person = self.holder == PERSON
        if person and (sign := unknown_sign(self.common_name)):
            yield (
                "common_name",
                f"« {sign} » (U+{ord(sign):04X}) n'est pas un signe dont un nom s'écrit ici, aucun service ne "
                "reconnaîtrait ce certificat. À faire : retirez-le, ou remplacez-le par une lettre",
            )
        nobody = person and reads_as_reserved(self.common_name)
        with contextlib.suppress(ModuleNotFoundError):  # on a host; the authority asks it again
            from creatic_agent import identity

            nobody |= person and identity.kind_of(self.common_name) is not identity.Kind.PERSON
        if nobody:
            yield (
                "common_name",
                f"« {self.common_name} » se lit comme le nom d'un service, réservé, ou n'a pas de lettre : aucun "
                "service ne reconnaîtrait ce certificat. À faire : donnez le nom de la personne ou du bureau",
            )

    def _profile_faults(self) -> Iterator[tuple[str, str]]:
        if self.profile in MACHINE_PROFILES:
            if not self.dns:
                yield "dns", "un certificat de serveur ou de supervision demande au moins un nom DNS"
        elif self.dns:
            yield "dns", "réservé aux certificats de serveur et de supervision"
        elif not self.organization:
            yield "organization", "manquant"
        if self.profile == "client" and not self.siren:
            yield "siren", "manquant : le TdT reconnaît la collectivité à son SIREN"
        for name in self.dns:
            if len(name) > 253 or not all(_DNS_LABEL_PATTERN.fullmatch(label) for label in name.split(".")):
                yield "dns", f"« {name} » n'est pas un nom DNS"

    def to_dict(self) -> dict[str, Any]:
        """Return the request as plain data, the same for equal requests."""
        return asdict(self) | {"dns": list(self.dns)}

    def subject(self) -> x509.Name:
        """Return the subject, in RGS order: C, O, OU, CN."""
        parts = [x509.NameAttribute(NameOID.COUNTRY_NAME, COUNTRY)]
        if self.organization:
            parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.organization))
        if self.siren and self.profile not in MACHINE_PROFILES:
            parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{SIREN_ICD} {self.siren}"))
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, self.common_name))
        return x509.Name(parts)

    def differences(self, certificate: x509.Certificate) -> list[str]:
        """Say (French) in what a certificate differs from the request; empty when it fits."""
        found = []
        if certificate.subject != self.subject():
            found.append("sujet modifié")
        extensions = certificate.extensions
        names: list[str] = []
        with contextlib.suppress(x509.ExtensionNotFound):
            san = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = san.get_values_for_type(x509.DNSName)
        if sorted(names) != sorted(self.dns):
            found.append("noms DNS modifiés")
        usages: tuple[x509.ObjectIdentifier, ...] = ()
        with contextlib.suppress(x509.ExtensionNotFound):
            usages = tuple(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        if set(usages) != set(PROFILES[self.profile]):
            found.append("profil modifié")
        if key_type_of(certificate.public_key()) != self.key_type:
            found.append("type de clé modifié")
        return found

    def new_key(self) -> PrivateKey:
        """Make a private key of the wanted type."""
        if self.key_type == "rsa":
            return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        return ec.generate_private_key(ec.SECP256R1())

    def csr(self, key: PrivateKey) -> str:
        """Return the certificate signing request, PEM."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(self.subject())
        return pem(builder.sign(key, hashes.SHA256()))


def key_type_of(key: Any) -> str:
    """Return ``ecdsa``, ``rsa`` or ``?``."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ecdsa"
    return "rsa" if isinstance(key, rsa.RSAPublicKey) else "?"


def weakness(key: Any) -> str:
    """Say (French) why a public key is too weak; empty when it is strong enough."""
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < RSA_BITS:
            return f"RSA {key.key_size} bits ; il en faut au moins {RSA_BITS}"
        return "" if key.public_numbers().e >= 65537 else "exposant RSA trop petit"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "" if key.curve.name in STRONG_CURVES else f"courbe {key.curve.name} refusée"
    return "algorithme refusé ; attendu : ECDSA P-256 ou RSA"


def spki(key: Any) -> bytes:
    """Return the DER SubjectPublicKeyInfo of a public key."""
    der: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return der


def fingerprint(key: Any) -> str:
    """Return the SHA-256 of a public key (SubjectPublicKeyInfo), hexadecimal."""
    return hashlib.sha256(spki(key)).hexdigest()


def serial_hex(certificate: x509.Certificate | x509.RevokedCertificate) -> str:
    """Return the serial number as every message, file and table shows it: 40 hexadecimal digits."""
    return f"{certificate.serial_number:040x}"


def pem(thing: x509.Certificate | x509.CertificateSigningRequest | x509.CertificateRevocationList) -> str:
    """Return the PEM text of a certificate, request or CRL."""
    return thing.public_bytes(serialization.Encoding.PEM).decode()


def load_certificate(text: str) -> x509.Certificate:
    """Read a PEM certificate.

    Raises:
        PkiError: not a certificate.
    """
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise PkiError("certificat PEM illisible") from None


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether `issuer` signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def utc_now() -> dt.datetime:
    """Return the present instant, whole seconds, UTC."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def days_left(certificate: x509.Certificate, now: dt.datetime) -> int:
    """Return the whole days until a certificate expires; negative once expired."""
    return (certificate.not_valid_after_utc - now).days


def person_name(text: str) -> str:
    """Return a person's first name and name, its spaces made single, its accents composed.

    Raises:
        PkiError: no person bears such a name, or a service of the groupement does (French).
    """
    name = composed(" ".join(text.split()))
    if not any(char.isalpha() for char in name):
        raise PkiError("nom : donnez le prénom et le nom de la personne")
    if not all(char.isalpha() or unicodedata.combining(char) or char in " -'’." for char in name) or len(name) > 64:
        raise PkiError("nom : lettres, espaces, traits d'union et apostrophes seulement, 64 caractères au plus")
    from creatic_agent import identity  # on the control node alone

    if identity.kind_of(name) is not identity.Kind.PERSON:
        why = "est le nom d'un service, ou se lit comme le sien, ou n'est pas en lettres latines"
        raise PkiError(f"nom : « {name} » {why}. À faire : donnez celui d'une personne, en lettres latines")
    return name
