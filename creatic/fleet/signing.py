# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The key that signs for the fleet, and OpenSSH's signature format, which ``ssh-keygen -Y verify`` checks anywhere.

The key is encrypted in the state's folder (``flotte/cle.pem``), and opened in this process's memory alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from creatic.pki.keys import Passphrases

NAMESPACE, SIGNER, FORMAT = "creatic-flotte", "flotte", 1
"""As creatic_flotte.manifest has them (a test compares)."""


class FleetError(CreaticError, cause="flotte"):
    """Nothing was changed; the message (French) says why and what to do."""


class Signer:
    """The fleet's key. Folder: ``flotte`` of the control node's state."""

    def __init__(self, folder: Path, passphrases: Passphrases | None = None) -> None:
        self._file, self.signers = folder / "cle.pem", folder / "publie" / "signataires"
        self._passphrases = passphrases or Passphrases(folder)
        self._key: ed25519.Ed25519PrivateKey | None = None

    def open(self) -> None:
        """Open the key; it is made the first time.

        Raises:
            FleetError: no passphrase, or not the right one.
        """
        try:
            if not self._file.exists():
                self._make_key()
            key = serialization.load_pem_private_key(self._file.read_bytes(), self._passphrases.get("cle"))
        except PkiError as error:
            raise FleetError(str(error).replace("de l'autorité « cle »", "de la clé de la flotte")) from None
        except (ValueError, TypeError):
            raise FleetError(f"{self._file} : phrase secrète fausse, ou fichier abîmé. Rien n'est signé") from None
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise FleetError(f"{self._file} : ce n'est pas une clé Ed25519")
        self._key = key
        line = f'{SIGNER} namespaces="{NAMESPACE}" {self.public}\n'.encode()
        if not self.signers.exists():
            self.signers.parent.mkdir(mode=0o755, exist_ok=True)
            write(self.signers, line, 0o644)

    @property
    def public(self) -> str:
        """The public key, as OpenSSH writes it."""
        key = self._opened_key().public_key()
        return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()

    def sign(self, text: str) -> str:
        """Sign a text (OpenSSH, PROTOCOL.sshsig)."""
        signed = b"SSHSIG" + b"".join(
            map(_encode_string, (NAMESPACE.encode(), b"", b"sha512", hashlib.sha512(text.encode()).digest()))
        )
        blob = _encode_string(b"ssh-ed25519") + _encode_string(self._opened_key().sign(signed))
        public = base64.b64decode(self.public.split()[1])
        whole = b"SSHSIG" + struct.pack(">I", 1)
        whole += b"".join(map(_encode_string, (public, NAMESPACE.encode(), b"", b"sha512", blob)))
        body = base64.encodebytes(whole).decode()
        return f"-----BEGIN SSH SIGNATURE-----\n{body}-----END SSH SIGNATURE-----\n"

    def _make_key(self) -> None:
        passphrase = self._passphrases.get_or_make("cle")
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(passphrase),
        )
        write(self._file, data, 0o600)

    def _opened_key(self) -> ed25519.Ed25519PrivateKey:
        if self._key is None:
            self.open()
        assert self._key is not None  # noqa: S101 - open sets it, or raises
        return self._key


def manifest(machine: str, record: dict[str, Any], published: datetime, expires: datetime) -> str:
    """The text that is signed for a machine.

    Args:
        record: version, vague, code and donnees (sha256, octets), as `publication` keeps them.
    """
    said = {
        "format": FORMAT,
        "machine": machine,
        "version": record["version"],
        "publie": published.isoformat(timespec="seconds"),
        "expire": expires.isoformat(timespec="seconds"),
        "vague": record["vague"],
        "code": record["code"],
        "donnees": record["donnees"],
    }
    return json.dumps(said, ensure_ascii=False, sort_keys=True)


def _encode_string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
