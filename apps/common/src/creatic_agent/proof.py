# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Whether a key signed some bytes, as our machines, PCs and people sign: one answer for all who ask."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256


def signed_by(key: PublicKeyTypes, value: bytes, data: bytes) -> bool:
    """Tell whether a value is the signature of bytes by this key's owner.

    Args:
        key: RSA, or of an elliptic curve; any other signed nothing.
        value: RSA PKCS#1 v1.5 (RFC 8017) or ECDSA in DER (RFC 3279), over SHA-256.
        data: what was signed.
    """
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(value, data, padding.PKCS1v15(), SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(value, data, ec.ECDSA(SHA256()))
        else:
            return False
    except InvalidSignature:
        return False
    return True
