# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Read on the control node the .p12 file which a certificate provider sent, before anything changes elsewhere."""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Collection
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

MAXIMUM_SIZE = 1 << 20  # bytes; a real one is a few thousand


class Pkcs12FileError(CreaticError, cause="pkcs12"):
    """The file cannot serve; the message (French) names the file, the field and the fix, never a secret."""


# How a certificate names an organization: its unit as RGS writes it (SIREN, or SIRET), or its identifier as ETSI
# EN 319 412-1 does.
_SIREN_UNIT_PATTERN = re.compile(r"0002 ([0-9]{9})([0-9]{5})?")
_ORGANIZATION_ID_PATTERN = re.compile(r"(?:NTRFR|SI:FR)-([0-9]{9})([0-9]{5})?")


def sirens(certificate: x509.Certificate) -> set[str]:
    """SIREN of the organizations that a certificate names."""
    found = set()
    for oid, form in (
        (NameOID.ORGANIZATIONAL_UNIT_NAME, _SIREN_UNIT_PATTERN),
        (NameOID.ORGANIZATION_IDENTIFIER, _ORGANIZATION_ID_PATTERN),
    ):
        for one in certificate.subject.get_attributes_for_oid(oid):
            if told := form.fullmatch(str(one.value)):
                found.add(told[1])
    return found


def own_pkcs12(path: Path, password_file: Path, owners: Collection[str] | None) -> dict[str, str]:
    """Read a provider's file, as `read_pkcs12` does, once it is proven to be of those for whom it is asked.

    Its certificate says whose it is; its name, which a commune's file writes, says nothing. The password is its own
    when it alone opens it: of a file that any word opens, whose secret is named beside it is not known.

    Args:
        path: the .p12.
        password_file: holds its password. Neither may be a link that leads out of its folder.
        owners: SIREN of the commune, and of the entities that may use it; None: of one organization, whichever.

    Raises:
        Pkcs12FileError: see `read_pkcs12`; or it is another's, or nobody's that can be told, or any password opens it.
    """
    for file, field in ((path, "fichier"), (password_file, "secret")):
        if file.is_symlink() or file.resolve().parent != file.parent.resolve():
            raise Pkcs12FileError(
                f"{file} (champ {field}) est un lien, ou sort de son dossier : mettez-y le fichier lui-même. "
                "Rien n'a été changé."
            )
    found = read_pkcs12(path, password_file)
    if _password_opens(path.read_bytes(), secrets.token_hex(16).encode()):
        raise Pkcs12FileError(
            f"{path} (champ fichier) s'ouvre avec n'importe quel mot de passe : redemandez au prestataire un .p12 "
            "protégé. Rien n'a été changé."
        )
    named = sirens(x509.load_pem_x509_certificate(found["certificate"].encode()))
    if len(named) != 1 or (owners is not None and not named <= {*owners}):
        whose = f"est au SIREN {', '.join(sorted(named))}" if named else "ne dit pas de quel SIREN il est"
        raise Pkcs12FileError(
            f"{path} (champ fichier) : le certificat {whose}, et non à celui de qui l'emploie "
            f"({', '.join(sorted(owners or ())) or 'personne'}) : mettez-y le sien, ou corrigez le champ fichier. "
            "Rien n'a été changé."
        )
    return found


def _password_opens(content: bytes, password: bytes) -> bool:
    try:
        return pkcs12.load_key_and_certificates(content, password)[0] is not None
    except Exception:  # noqa: BLE001 # as in `read_pkcs12`: several error types
        return False


def read_pkcs12(path: Path, password_file: Path) -> dict[str, str]:
    """Return ``key``, ``certificate`` and ``chain`` (PEM) of a provider's file.

    Args:
        path: the .p12, field ``fichier`` of the commune's file.
        password_file: holds its password on one line, field ``secret``.

    Raises:
        Pkcs12FileError: a file is missing, the password is wrong, there is no key, the certificate expired.
    """
    nothing = "Rien n'a été changé."
    if not path.is_file():
        raise Pkcs12FileError(
            f"{path} (champ fichier) est introuvable : déposez-y le .p12 du prestataire, "
            f"ou corrigez le champ fichier. {nothing}"
        )
    if not password_file.is_file():
        raise Pkcs12FileError(
            f"{password_file} (champ secret) est introuvable : écrivez-y le mot de passe de {path.name}, "
            f"sur une ligne, puis chmod 600. {nothing}"
        )
    if password_file.stat().st_mode & 0o077:
        raise Pkcs12FileError(
            f"{password_file} (champ secret) est lisible par d'autres que vous : chmod 600 {password_file}. {nothing}"
        )
    if path.stat().st_size > MAXIMUM_SIZE:
        raise Pkcs12FileError(f"{path} (champ fichier) dépasse 1 Mio : ce n'est pas un .p12. {nothing}")
    try:
        password = password_file.read_text(encoding="utf-8").strip("\r\n")
        key, certificate, chain = pkcs12.load_key_and_certificates(path.read_bytes(), password.encode())
    except Exception:  # noqa: BLE001 # UnicodeDecodeError, ValueError, UnsupportedAlgorithm or OpenSSL's
        raise Pkcs12FileError(
            f"{path} (champ fichier) ne s'ouvre pas avec le mot de passe de {password_file} (champ secret) : "
            f"corrigez le mot de passe, ou redemandez le fichier au prestataire s'il est abîmé. {nothing}"
        ) from None
    if key is None or certificate is None:
        raise Pkcs12FileError(
            f"{path} (champ fichier) ne contient pas à la fois une clé et son certificat : "
            f"redemandez au prestataire un .p12 complet. {nothing}"
        )
    end = certificate.not_valid_after_utc
    if end <= dt.datetime.now(dt.UTC):
        raise Pkcs12FileError(
            f"{path} (champ fichier) : le certificat a expiré le {end:%d/%m/%Y} ; "
            f"demandez son renouvellement au prestataire et remplacez le fichier. {nothing}"
        )
    return {
        "key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        "certificate": _to_pem(certificate),
        "chain": "".join(_to_pem(above) for above in chain),
    }


def _to_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
