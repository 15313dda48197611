"""Keys of this machine, made here: an SSH key for its repository, and the passphrase that encrypts it.

The passphrase leaves the machine sealed only (CMS, any one of the holders opens it with openssl).
"""

from __future__ import annotations

import hashlib
import secrets
import subprocess
from pathlib import Path

from creatic_agent.durable import write
from creatic_sauvegarde.settings import BackupError, Settings

SEALED = "sequestre.p7m"
PROOF, NAMESPACE = "cle.preuve", "creatic-sauvegarde"


def _holder_certificates(settings: Settings) -> list[Path]:
    return sorted(settings.folder.glob("titulaires/*.pem"))


def _sign_name(settings: Settings) -> bool:
    """Sign this machine's name with its key (SSHSIG): who registers the key knows whose it is. Says if it is new."""
    signed = subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", settings.key],
        input=settings.client.encode(),
        capture_output=True,
        check=True,
    ).stdout
    target = settings.folder / PROOF
    if target.exists() and target.read_bytes() == signed:
        return False
    write(target, signed, 0o600)
    return True


def ensure(settings: Settings, only_ssh: bool = False) -> list[str]:
    """Make what is missing. Returns what was made (French).

    Args:
        only_ssh: no passphrase, hence nothing to seal: a restoration is given that of the backup.

    Raises:
        BackupError: fewer than two holders, or one that openssl refuses.
    """
    made = []
    if not settings.key.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", settings.client, "-f", settings.key], check=True
        )
        made.append("clé SSH")
        _sign_name(settings)
    elif _sign_name(settings):
        made.append("preuve de la clé SSH")
    if only_ssh:
        return made
    if not settings.passphrase.exists():
        write(settings.passphrase, f"{secrets.token_urlsafe(48)}\n".encode(), 0o600)
        made.append("phrase secrète")
    holders = _holder_certificates(settings)
    if len(holders) < 2:
        raise BackupError("séquestre : il faut au moins deux titulaires (backup_client_holders)")
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in (settings.passphrase, *holders))).hexdigest()
    noted = settings.folder / "sequestre.empreinte"
    sealed = settings.folder / SEALED
    if not sealed.exists() or not noted.exists() or noted.read_text(encoding="ascii") != wanted:
        done = subprocess.run(
            ["openssl", "cms", "-encrypt", "-aes-256-cbc", "-binary", "-outform", "PEM",
             "-in", settings.passphrase, *holders],
            capture_output=True, check=False,
        )  # fmt: skip # one call by its parts
        if done.returncode:
            raise BackupError(f"séquestre : openssl refuse un titulaire ({done.stderr.decode(errors='replace')[:200]})")
        write(sealed, done.stdout, 0o600)
        write(noted, wanted.encode(), 0o600)
        made.append("séquestre")
    return made
