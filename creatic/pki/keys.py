# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The authority's private keys, encrypted in its folder, and the passphrases that open them.

A key is named after its authority: ``racine``, ``emettrice``, and ``racine2``, ``emettrice2``… once renewed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError, fingerprint
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from creatic.pki.x509 import ISSUING, ROOT

MINIMUM_PASSPHRASE = 16


class Passphrases:
    """Finds the passphrases of the CA keys: given, else environment, else file.

    The environment names are ``CREATIC_<FOLDER>_RACINE`` and ``CREATIC_<FOLDER>_EMETTRICE``; the files
    ``secrets/<folder>_racine`` and ``…_emettrice`` next to the authority's folder. Each root has its own
    (``…_RACINE2``, ``…_racine2``): it is kept apart, and opened by who keeps it. The issuing CAs share theirs.
    """

    def __init__(self, directory: Path, given: Mapping[str, str | None] | None = None, generate: bool = False):
        self.directory = directory
        self.given = {role: value for role, value in (given or {}).items() if value}
        self.generate = generate

    def _passphrase_file(self, role: str) -> Path:
        return self.directory.parent / "secrets" / f"{self.directory.name}_{role}"

    def variable(self, role: str) -> str:
        """Name of the environment's variable that gives the passphrase of an authority."""
        return f"CREATIC_{self.directory.name.upper().replace('-', '_')}_{role.upper()}"

    def get(self, role: str) -> bytes:
        """Return the passphrase of an authority.

        Raises:
            PkiError: there is none; says where to put it.
        """
        role = _passphrase_role(role)
        variable = self.variable(role)
        value = self.given.get(role) or os.environ.get(variable)
        path = self._passphrase_file(role)
        if not value and path.is_file():
            if path.stat().st_mode & 0o077:
                raise PkiError(f"{path} est lisible par d'autres que vous : chmod 600 {path}")
            value = path.read_text(encoding="utf-8").strip()
        if not value:
            raise PkiError(
                f"phrase secrète de l'autorité « {role} » absente : "
                f"donnez-la par la variable {variable} ou par le fichier {path} (mode 0600)"
            )
        if len(value) < MINIMUM_PASSPHRASE:
            raise PkiError(
                f"phrase secrète de l'autorité « {role} » trop courte : {MINIMUM_PASSPHRASE} caractères au moins"
            )
        return value.encode()

    def get_or_make(self, role: str) -> bytes:
        """Return the passphrase for a new key; makes a random one (file 0600) where that is allowed."""
        role = _passphrase_role(role)
        try:
            return self.get(role)
        except PkiError:
            if not self.generate or self._passphrase_file(role).exists():
                raise
        path = self._passphrase_file(role)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, f"{secrets.token_urlsafe(32)}\n".encode(), 0o600)
        return self.get(role)


def _passphrase_role(name: str) -> str:
    return ISSUING if name.startswith(ISSUING) else name


class Keys:
    """The keys of the authorities, ``<name>/cle.pem``; a root's may be away."""

    def __init__(self, directory: Path, passphrases: Passphrases):
        self.directory = directory
        self.passphrases = passphrases

    def path(self, role: str) -> Path:
        """Where the key of an authority is."""
        return self.directory / role / "cle.pem"

    def make(self, role: str) -> ec.EllipticCurvePrivateKey:
        """Make and keep an encrypted P-384 key; one left by a run killed before it was certified goes."""
        passphrase = self.passphrases.get_or_make(role)
        key = ec.generate_private_key(ec.SECP384R1())
        self.path(role).parent.mkdir(mode=0o700, exist_ok=True)
        write(
            self.path(role),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(passphrase),
            ),
            0o600,
        )
        return key

    def load(self, role: str) -> ec.EllipticCurvePrivateKey:
        """Open a key.

        Raises:
            PkiError: it is away, damaged, of another kind, or its passphrase is wrong; says what to do.
        """
        path = self.path(role)
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), self.passphrases.get(role))
        except FileNotFoundError:
            if role.startswith(ROOT):
                raise PkiError(self.root_needed("signer", role)) from None
            raise PkiError(
                f"clé de l'autorité « {role} » absente : {path}. Restaurez-la depuis la sauvegarde"
            ) from None
        except (ValueError, TypeError):
            raise PkiError(
                f"clé de l'autorité « {role} » illisible : {path}. Phrase secrète fausse ou fichier endommagé"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError(f"clé de l'autorité « {role} » : type inattendu dans {path}")
        return key

    def load_for(self, role: str, certificate: x509.Certificate) -> ec.EllipticCurvePrivateKey:
        """Open a key and check that it is the certificate's.

        Raises:
            PkiError: as `load`, or it is another's.
        """
        key = self.load(role)
        if fingerprint(key.public_key()) != fingerprint(certificate.public_key()):
            raise PkiError(
                f"la clé {self.path(role)} n'est pas celle de l'autorité du registre : "
                "restaurez les deux de la même sauvegarde"
            )
        return key

    def unavailable_reason(self, name: str, purpose: str) -> str:
        """Say (French) what keeps a root from serving now, its medium or its passphrase; empty when nothing does."""
        if not self.path(name).is_file():
            return self.root_needed(purpose, name)
        try:
            self.passphrases.get(name)
        except PkiError as error:
            return f"il faut l'autorité racine pour {purpose} : {error}"
        return ""

    def root_needed(self, purpose: str, name: str = ROOT) -> str:
        """Ask (French) for a root's medium."""
        return (
            f"il faut l'autorité racine pour {purpose} : "
            f"branchez son support, remettez {self.directory / name} en place, puis relancez"
        )
