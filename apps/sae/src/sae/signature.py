"""CMS signatures (RFC 5652) by openssl: ours. Whose others are: `creatic_agent.cms`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from creatic_agent.cms import SignatureError, Signer, verify
from sae import openssl

__all__ = ["SignatureError", "Signer", "sign", "verify"]


def sign(document: bytes, folder: Path) -> bytes:
    """A detached CMS signature (DER).

    Args:
        folder: a certificate of profile `signature`, as role pki_client lays it out.

    Raises:
        SignatureError: the key or the certificate is missing or refused.
    """
    if problem := openssl.signing_refusal_reason(folder):
        raise SignatureError(problem)
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "document"), Path(scratch, "signature")
        source.write_bytes(document)
        done = openssl.run(
            *("cms", "-sign", "-binary", "-cades", "-md", "sha512", "-outform", "DER"),
            *("-signer", folder / "cert.pem", "-inkey", folder / "key.pem", "-certfile", folder / "chain.pem"),
            *("-in", source, "-out", target),
        )
        if done.returncode:
            raise SignatureError(f"la signature a échoué (openssl) : {done.stderr.strip()[-200:]}")
        return target.read_bytes()
