# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a PC's request must prove: to the door, and again to the control node, which believes no door."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from creatic_agent.errors import CreaticError
from creatic_agent.proof import signed_by

LARGEST_CSR = 8000
"""Characters of a request: RSA of 8192 bits takes 3,000."""
RENEWABLE_DAYS = 90
"""Days before its end from which a certificate may be renewed."""
_RSA_BITS = range(3072, 8193)  # RGS B1; beyond, each verification costs everybody's time
_EXPONENTS = range(65537, 1 << 32)
_TOKEN = re.compile(r"[A-Z2-7]{52}", re.ASCII)


class Refused(CreaticError, cause="demande"):
    """What is asked is not given; the message is French, the cause one of the API's."""


@dataclass(frozen=True)
class Csr:
    """A request that proved the possession of its key."""

    pem: str
    der: bytes
    key: str
    """SHA-256 of the public key (SubjectPublicKeyInfo), hexadecimal."""
    key_type: str
    """``ecdsa`` or ``rsa``."""


def token_digest(token: object) -> str:
    """The digest by which a token is known. Raises Refused: it is none."""
    if not isinstance(token, str) or not _TOKEN.fullmatch(token.rstrip("=")):
        raise Refused("Ce n'est pas un jeton d'enrôlement.", cause="jeton_inconnu")
    return hashlib.sha256(token.rstrip("=").encode("ascii")).hexdigest()


def token_proof(token: str, place: str, certificate: str, key: str) -> str:
    """What shows the control node that a request came with its token, which the door does not keep: an HMAC of it.

    Args:
        place: machine of the inventory.
        certificate: its name there.
        key: see `Csr`.
    """
    told = "\n".join(("creatic-enrolement 1", place, certificate, key)).encode()
    return hmac.new(token.rstrip("=").encode("ascii"), told, hashlib.sha256).hexdigest()


def subject(holder: Mapping[str, Any]) -> x509.Name:
    """The subject of a holder (``titulaire``, ``organisation``, ``siren``), as the authority writes it (RGS)."""
    return x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, holder["organisation"]),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"0002 {holder['siren']}"),
        x509.NameAttribute(NameOID.COMMON_NAME, holder["titulaire"]),
    ])  # fmt: skip # a part a line


def read_csr(text: object, wanted: x509.Name) -> Csr:
    """Read a request, of which the key alone counts.

    Args:
        wanted: its subject, to the letter.

    Raises:
        Refused: it is none, is not signed by its key, is another's, or its key is weak.
    """
    unreadable = Refused("La demande de certificat (CSR) ne se lit pas.", cause="csr_illisible")
    if not isinstance(text, str) or not text.isascii() or len(text) > LARGEST_CSR:
        raise unreadable
    try:
        csr = x509.load_pem_x509_csr(text.encode("ascii"))
        key, named = csr.public_key(), csr.subject
        told, der = csr.public_bytes(serialization.Encoding.PEM).decode(), csr.public_bytes(serialization.Encoding.DER)
    except Exception:  # noqa: BLE001 # untrusted CSR: cryptography's parsers share no base error
        raise unreadable from None
    if why := _weakness(key):
        raise Refused(f"La clé de la demande est refusée : {why}.", cause="csr_cle")
    try:
        signed = csr.is_signature_valid
    except Exception:  # noqa: BLE001 # unknown signature algorithm: several error types
        signed = False
    if not signed:
        raise Refused("La demande de certificat n'est pas signée par sa clé.", cause="csr_signature")
    if named != wanted:
        raise Refused(
            f"Le sujet de la demande n'est pas celui que le fichier de la commune donne ({wanted.rfc4514_string()}).",
            cause="csr_sujet",
        )
    return Csr(told, der, fingerprint(key), "rsa" if isinstance(key, rsa.RSAPublicKey) else "ecdsa")


def fingerprint(key: Any) -> str:
    """SHA-256 of a public key (SubjectPublicKeyInfo), hexadecimal."""
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, kind)).hexdigest()


def check_renewal(certificate: x509.Certificate, csr: Csr, proof: object) -> None:
    """Check that the holder of a certificate asks for its renewal: a signature of the request by the key that it has.

    Without it, who holds the door could ask for anybody's, with a key of its own.

    Args:
        proof: base64 of the signature of the request's DER (ECDSA, or RSA PKCS#1 v1.5; SHA-256).

    Raises:
        Refused: it is not.
    """
    key = certificate.public_key()
    if fingerprint(key) == csr.key:
        raise Refused("Un renouvellement demande une nouvelle clé.", cause="csr_cle")
    try:
        signature = base64.b64decode(proof, validate=True) if isinstance(proof, str) else b""
    except ValueError:
        signature = b""
    if not signed_by(key, signature, csr.der):
        raise Refused("La demande n'est pas signée par la clé du certificat présenté (champ preuve).", cause="preuve")


def same_name(one: str, other: str) -> bool:
    """Whether two names are one computer's, which Windows writes in any case."""
    return one.strip().casefold() == other.strip().casefold()


def _weakness(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "" if key.curve.name == "secp256r1" else "la courbe attendue est P-256"
    if isinstance(key, rsa.RSAPublicKey):
        good = key.key_size in _RSA_BITS and key.public_numbers().e in _EXPONENTS
        return "" if good else f"RSA de {key.key_size} bits, il en faut de 3072 à 8192 avec un exposant ordinaire"
    return "ECDSA P-256 ou RSA attendu"
