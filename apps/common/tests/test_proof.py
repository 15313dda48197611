"""Signatures by the keys that our machines, PCs and people have."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from creatic_agent.proof import signed_by

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
DATA = b"ce qui est signe"
RSA, CURVE = rsa.generate_private_key(65537, 3072), ec.generate_private_key(ec.SECP256R1())
OTHER = ed25519.Ed25519PrivateKey.generate()


def test_what_a_key_signed_is_its_own() -> None:
    assert signed_by(RSA.public_key(), RSA.sign(DATA, padding.PKCS1v15(), SHA256()), DATA)
    assert signed_by(CURVE.public_key(), CURVE.sign(DATA, ec.ECDSA(SHA256())), DATA)


@pytest.mark.parametrize(
    ("key", "value", "data"),
    [
        (RSA, RSA.sign(DATA, padding.PKCS1v15(), SHA256()), DATA + b"."),
        (RSA, RSA.sign(DATA, padding.PKCS1v15(), SHA384()), DATA),
        (RSA, RSA.sign(DATA, padding.PSS(padding.MGF1(SHA256()), 32), SHA256()), DATA),
        (CURVE, CURVE.sign(DATA, ec.ECDSA(SHA256())), DATA + b"."),
        (CURVE, ec.generate_private_key(ec.SECP256R1()).sign(DATA, ec.ECDSA(SHA256())), DATA),
        (CURVE, b"", DATA),
        (OTHER, OTHER.sign(DATA), DATA),
    ],
    ids=["changed", "other digest", "other padding", "curve changed", "other key", "nothing", "other kind"],
)
def test_what_is_not_is_nobody_s(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, value: bytes, data: bytes
) -> None:
    assert not signed_by(key.public_key(), value, data)
