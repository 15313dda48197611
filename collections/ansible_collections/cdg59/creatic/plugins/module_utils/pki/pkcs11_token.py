# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Prepare a PKCS#11 token as a certificate provider does: key pair born in it, CSR, certificate written to it.

For the lab, where SoftHSM2 stands in for the provider's USB token. Two things differ from a real one:
there is no hardware, and the private key that authenticates is usable without the PIN (CKA_PRIVATE false),
because nobody is there to type it into a headless browser; one that signs documents is not. Keys are sensitive
and not extractable, as on a real token.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import secrets
from pathlib import Path
from typing import Any

import pkcs11
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from asn1crypto import csr, keys, pem, x509
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.rsa import encode_rsa_public_key
from pkcs11.util.x509 import decode_x509_certificate

KEY_ID = b"\x01"
KEY_BITS = 3072  # RGS B1 beyond 2030
RENEW_DAYS = 30
_CKU_SO = 0  # names: PKCS #11
_CKF_RW_SESSION = 0x2 | 0x4
_CKR_OK = 0  # names: PKCS #11


def _find_token(library: Any, label: str) -> Any:
    tokens = [slot.get_token() for slot in library.get_slots(token_present=True)]
    return next((token for token in tokens if token.label == label), None)


def initialise(path: Path, library: Any, label: str, pin: str) -> None:
    """Make an empty token with its PIN in the first free slot.

    python3-pkcs11 of Debian 13 has no call for that, and softhsm2-util takes the PIN on its command line,
    where every account, and the audit log, would see it.
    """
    free = next((slot for slot in library.get_slots() if not slot.get_token().label.strip("\0 ")), None)
    if free is None:
        raise CreaticError(f"jeton « {label} » : aucun emplacement libre dans {path}", "jeton")
    raw = ctypes.CDLL(str(path))
    slot, so_pin, user_pin = ctypes.c_ulong(free.slot_id), secrets.token_hex(16).encode(), pin.encode()
    session = ctypes.c_ulong()
    steps = (
        lambda: raw.C_InitToken(slot, so_pin, len(so_pin), label.encode().ljust(32)),
        lambda: raw.C_OpenSession(slot, _CKF_RW_SESSION, None, None, ctypes.byref(session)),
        lambda: raw.C_Login(session, _CKU_SO, so_pin, len(so_pin)),
        lambda: raw.C_InitPIN(session, user_pin, len(user_pin)),
        lambda: raw.C_Logout(session),
        lambda: raw.C_CloseSession(session),
    )
    for step in steps:
        status = step()
        if status != _CKR_OK:
            raise CreaticError(f"jeton « {label} » : initialisation refusée (code PKCS#11 0x{status:08x})", "jeton")


def _subject_name(subject: dict[str, str]) -> Any:
    names = {
        "country_name": "FR",
        "organization_name": subject["organization"],
        "organizational_unit_name": f"0002 {subject['siren']}",
        "common_name": subject["common_name"],
    }
    return x509.Name.build(names)


def _read_certificate(session: Any) -> Any:
    for item in session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.ID: KEY_ID}):
        return item
    return None


def _is_good(der: bytes, subject: Any) -> bool:
    certificate = x509.Certificate.load(der)
    end: dt.datetime = certificate["tbs_certificate"]["validity"]["not_after"].native
    left = end - dt.datetime.now(dt.UTC)
    return bool(certificate.subject == subject) and left > dt.timedelta(days=RENEW_DAYS)


def _make_csr(session: Any, subject: Any, private: bool) -> str:
    """Return a CSR (PEM) signed in the token by a key pair made there."""
    for item in list(session.get_objects()):
        item.destroy()
    public, key = session.generate_keypair(
        KeyType.RSA,
        KEY_BITS,
        store=True,
        id=KEY_ID,
        label="cle",
        private_template={Attribute.PRIVATE: private, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
    )
    info = csr.CertificationRequestInfo(
        {
            "version": 0,
            "subject": subject,
            "subject_pk_info": keys.PublicKeyInfo.wrap(keys.RSAPublicKey.load(encode_rsa_public_key(public)), "rsa"),
            "attributes": [],
        }
    )
    signature = key.sign(info.dump(), mechanism=Mechanism.SHA256_RSA_PKCS)
    request = csr.CertificationRequest(
        {
            "certification_request_info": info,
            "signature_algorithm": {"algorithm": "sha256_rsa"},
            "signature": signature,
        }
    )
    return pem.armor("CERTIFICATE REQUEST", request.dump()).decode()


def prepare(
    path: Path,
    label: str,
    pin: str,
    subject: dict[str, str],
    issued: str = "",
    *,
    private: bool = False,
    check: bool = False,
) -> dict[str, Any]:
    """Bring a token to hold a key pair and its certificate; run as the account which will use it.

    Args:
        path: PKCS#11 module.
        label: of the token.
        pin: user PIN.
        subject: ``common_name``, ``organization`` and ``siren`` of the certificate.
        issued: certificate (PEM) signed for the CSR of an earlier call; empty on the first.
        private: whether the key asks for the PIN (CKA_PRIVATE).
        check: only say what would change.

    Returns:
        ``changes`` (French lines), and ``csr`` (PEM) when a certificate has to be signed.
    """
    library = pkcs11.lib(str(path))
    token = _find_token(library, label)
    if token is None:
        if check:
            return {"changes": [f"jeton « {label} » initialisé"], "csr": ""}
        initialise(path, library, label, pin)
        library.reinitialize()
        token = _find_token(library, label)
    wanted = _subject_name(subject)
    try:
        with token.open(rw=True, user_pin=pin) as session:
            known = _read_certificate(session)
            if issued:
                if known:
                    known.destroy()
                der = pem.unarmor(issued.encode())[2]
                template = decode_x509_certificate(der)
                template |= {Attribute.TOKEN: True, Attribute.LABEL: "certificat", Attribute.ID: KEY_ID}
                session.create_object(template | {Attribute.PRIVATE: False})
                return {"changes": [f"jeton « {label} » : certificat écrit"], "csr": ""}
            if known and _is_good(known[Attribute.VALUE], wanted):
                return {"changes": [], "csr": ""}
            change = f"jeton « {label} » : paire de clés née dans le jeton"
            return {"changes": [change], "csr": "" if check else _make_csr(session, wanted, private)}
    except pkcs11.exceptions.PinIncorrect:
        raise CreaticError(
            f"jeton « {label} » : code PIN refusé ; corrigez le fichier du champ secret", "jeton"
        ) from None
