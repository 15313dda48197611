"""A signing key in a PKCS#11 token: found by its label, used with a PIN that is asked for once and kept nowhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pkcs11
from asn1crypto import x509
from pkcs11 import Attribute, ObjectClass
from pyhanko.sign.pkcs11 import PKCS11Signer

from .refusal import DocumentRefusedError
from .trust import common_name

UNPLUGGED = "branchez-la (ou insérez la carte dans son lecteur), attendez le voyant, puis relancez"


@dataclass(frozen=True)
class TokenKey:
    """Where a key is.

    Attributes:
        library: PKCS#11 module.
        token: label of the token.
    """

    library: Path
    token: str


def _find_token(key: TokenKey) -> pkcs11.Token:
    try:
        library = pkcs11.lib(str(key.library))
        library.reinitialize()
        for slot in library.get_slots(token_present=True):
            token = slot.get_token()
            if token.label.strip("\0 ") == key.token:
                return token
    except (pkcs11.exceptions.PKCS11Error, RuntimeError, OSError):
        raise DocumentRefusedError(
            f"la bibliothèque {key.library} du jeton ne répond pas. À faire : installez le logiciel du fabricant"
        ) from None
    raise DocumentRefusedError(f"la clé « {key.token} » n'est pas là. À faire : {UNPLUGGED}")


@dataclass(frozen=True)
class TokenContents:
    """What a token shows without its PIN: the certificate that signs documents, its key's identifier, authorities."""

    certificate: x509.Certificate
    identifier: bytes
    authorities: Sequence[x509.Certificate]


def read(key: TokenKey) -> TokenContents:
    """Look for the signing certificate of a token. Asks for no PIN.

    Raises:
        Refusal: no token, no such certificate, or several.
    """
    found: list[tuple[x509.Certificate, bytes]] = []
    authorities: list[x509.Certificate] = []
    with _find_token(key).open() as session:
        for item in session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE}):
            certificate = x509.Certificate.load(item[Attribute.VALUE])
            usage = certificate.key_usage_value
            if certificate.ca:
                authorities.append(certificate)
            elif usage and "non_repudiation" in usage.native:
                found.append((certificate, item[Attribute.ID]))
    if len(found) != 1:
        told = " ; ".join(common_name(certificate.subject) for certificate, _id in found)
        what = f"plusieurs certificats de signature ({told})" if found else "pas de certificat de signature"
        raise DocumentRefusedError(
            f"la clé « {key.token} » porte {what}. À faire : voyez avec le prestataire du certificat"
        )
    return TokenContents(*found[0], authorities)


@contextmanager
def signer(key: TokenKey, pin: Callable[[], str], chain: Sequence[x509.Certificate] = ()) -> Iterator[PKCS11Signer]:
    """Unlock the token and give what signs with its key.

    Args:
        pin: gives the PIN; called once, after all that can be checked without it.
        chain: certificates of authorities above, beside those of the token.

    Raises:
        Refusal: no token, certificate out of date, wrong or locked PIN.
    """
    held = read(key)
    certificate = held.certificate
    validity = certificate["tbs_certificate"]["validity"]
    now = dt.datetime.now(dt.UTC)
    if now > validity["not_after"].native:
        raise DocumentRefusedError(
            f"le certificat de {common_name(certificate.subject)} est expiré depuis le "
            f"{validity['not_after'].native.astimezone():%d/%m/%Y}. À faire : renouvelez-le auprès du prestataire"
        )
    if now < validity["not_before"].native:
        raise DocumentRefusedError(
            "le certificat n'est pas encore valable. À faire : vérifiez la date et l'heure de ce poste"
        )
    try:
        session = _find_token(key).open(user_pin=pin())
    except (pkcs11.exceptions.PinIncorrect, pkcs11.exceptions.PinLenRange, pkcs11.exceptions.PinInvalid):
        raise DocumentRefusedError(
            "code PIN refusé. Attention : la clé se bloque après quelques essais faux. À faire : vérifiez le code "
            "avant de relancer"
        ) from None
    except (pkcs11.exceptions.PinLocked, pkcs11.exceptions.PinExpired):
        raise DocumentRefusedError(
            "la clé est bloquée. À faire : débloquez-la avec le code du prestataire (PUK)"
        ) from None
    except pkcs11.exceptions.PKCS11Error as error:
        raise DocumentRefusedError(f"la clé ne s'ouvre pas ({type(error).__name__}). À faire : {UNPLUGGED}") from None
    with session:
        yield PKCS11Signer(
            session, signing_cert=certificate, ca_chain=[*held.authorities, *chain], key_id=held.identifier
        )
