# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""CMS signatures (RFC 5652) by openssl: whose they are."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from creatic_agent.errors import CreaticError


class SignatureError(CreaticError, cause="signature"):
    """The signature is not good, or cannot be made; the message is French."""


@dataclass(frozen=True)
class Signer:
    """Who signed: subject and issuer of the certificate (RFC 4514, UTF-8), its public key (PEM), its serial number.

    `certificate` is the certificate itself, PEM.
    """

    subject: str
    issuer: str
    key: str
    serial: str
    certificate: str = ""

    @property
    def shown(self) -> str:
        """The certificate, as journals and people name it."""
        return f"{self.subject} ({self.serial})"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What openssl says, in words that are the same on every machine; its status is the caller's to judge."""
    return subprocess.run(
        ["openssl", *map(str, arguments)],
        capture_output=True,
        errors="replace",
        check=False,
        env=os.environ | {"LC_ALL": "C"},
    )


def verify(
    document: bytes,
    signature: bytes,
    root: Path,
    crl: Path | None = None,
    at: int | None = None,
    purpose: str = "any",
) -> Signer:
    """Check a detached CMS signature by one person; gives who.

    What the signature carries decides nothing: its revocation lists are not looked at, its certificates are but links
    to the trusted authorities, nor do the machine's own authorities count. openssl-cms(1) would take them all, hence
    the certificate is judged apart from the signature.

    Args:
        root: PEM of the trusted authorities (intermediate ones may come with the signature).
        crl: PEM of the revocation lists; without it revocation is not checked.
        at: verify as of that time (seconds since the epoch), now by default.
        purpose: what the certificate must be for, as openssl-verification-options(1) names it.

    Raises:
        SignatureError: with the reason, in French.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "document").write_bytes(document)
        (folder / "signature").write_bytes(signature)
        trust = folder / "confiance.pem"
        trust.write_bytes(root.read_bytes() + (crl.read_bytes() if crl else b""))
        done = run(
            *("cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-in", folder / "signature"),
            *("-content", folder / "document", "-certsout", folder / "joints.pem"),
            *("-signer", folder / "signataire.pem", "-out", folder / "contenu"),
        )
        if done.returncode:
            raise SignatureError(_reason(done.stderr))
        if (folder / "contenu").read_bytes() != document:
            raise SignatureError("la signature porte sur un autre document")
        signers = (folder / "signataire.pem").read_text(encoding="ascii")
        if signers.count("-----BEGIN CERTIFICATE-----") != 1:
            raise SignatureError("il faut la signature d'une personne, et d'une seule")
        done = run(
            *("verify", "-no-CApath", "-no-CAstore", "-CAfile", trust, "-untrusted", folder / "joints.pem"),
            *(("-crl_check_all",) if crl else ()),
            *(("-attime", str(at)) if at is not None else ()),
            *("-purpose", purpose, folder / "signataire.pem"),
        )
        # openssl-verify(1) goes on after some errors: whatever it says on the way counts.
        if done.returncode or "depth lookup" in done.stderr:
            raise SignatureError(_reason(done.stderr))
        shown = run(
            *("x509", "-in", folder / "signataire.pem", "-noout", "-subject", "-issuer", "-serial", "-pubkey"),
            *("-nameopt", "RFC2253,-esc_msb,utf8"),
        ).stdout
    wanted = ("subject=", "issuer=", "serial=")
    lines = dict(line.split("=", 1) for line in shown.splitlines() if line.startswith(wanted))
    key = shown[shown.index("-----BEGIN PUBLIC KEY") : shown.index("-----END PUBLIC KEY")]
    return Signer(lines["subject"].strip(), lines["issuer"].strip(), key, lines["serial"].strip(), signers)


def _reason(stderr: str) -> str:
    known = {
        "certificate revoked": "le certificat du signataire est révoqué",
        "certificate has expired": "le certificat du signataire a expiré",
        "unsuitable certificate purpose": "le certificat du signataire n'est pas fait pour signer",
        "unable to get local issuer": "le certificat du signataire ne vient pas d'une autorité de confiance",
        "self-signed certificate": "le certificat du signataire ne vient pas d'une autorité de confiance",
        "crl has expired": "la liste de révocation est périmée : relancez le déploiement",
        "unable to get certificate crl": "la liste de révocation manque : relancez le déploiement",
        "verification failed": "le certificat du signataire ne vient pas d'une autorité de confiance",
        "content verify error": "la signature ne porte pas sur ce document : il a été modifié après elle",
        "verification failure": "la signature ne porte pas sur ce document : il a été modifié après elle",
        "signature failure": "la signature est fausse",
    }
    lowered = stderr.lower()
    return next(
        (french for words, french in known.items() if words in lowered),
        "ce n'est pas une signature CMS (DER) faite par « openssl cms -sign -binary -outform DER »",
    )
