# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The certificates of one machine: keys are made here and stay here, only CSRs leave.

A certificate lives in ``<root>/<name>/<serial>/`` and ``<root>/<name>/current`` points to it. The next
one is prepared in ``<root>/<name>/prochain`` and comes into use by one rename of the link, so that a
reader always finds a key and a certificate which belong together. The one before stays until the
rotation after.
"""

from __future__ import annotations

import contextlib
import grp
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import sync_directory, write
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    PkiError,
    PrivateKey,
    Request,
    days_left,
    fingerprint,
    issued_by,
    key_type_of,
    load_certificate,
    pem,
    serial_hex,
    utc_now,
    weakness,
)
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

SYSTEM_STORE = Path("/usr/local/share/ca-certificates")
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs")


@dataclass
class Change:
    """One thing changed, or to change in check mode, with what a diff shows (never a secret)."""

    path: str
    before: str
    after: str


@dataclass
class Wanted:
    """One wanted certificate, with what the control node knows of it.

    Attributes:
        request: what it must be.
        group: Unix group which reads the key (mode 0640); empty: only the owner does (0600); None: as the
            present key has it, root when there is none.
        serials: serials which the registry holds valid.
        refused_keys: fingerprints of revoked keys, never to be used again.
    """

    request: Request
    group: str | None = ""
    serials: list[str] = field(default_factory=list)
    refused_keys: list[str] = field(default_factory=list)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Wanted:
        """Read one entry of the plan which the control node sends."""
        return cls(
            Request.from_dict(data["request"]),
            data["group"],
            list(data.get("serials") or ()),
            list(data.get("refused_keys") or ()),
        )


class HostStore:
    """The certificates under one folder (``/etc/creatic/pki`` on a host)."""

    def __init__(self, root: Path, check: bool = False):
        self.root = root
        self.check = check
        self.changes: list[Change] = []
        self.newer: list[str] = []  # lists that are later than what the control node sends (French)

    # -- files -------------------------------------------------------------------------------------

    def _key_access(self, wanted: Wanted) -> tuple[int, int]:
        """Return the group id (-1: unknown yet) and the mode which a private key must have."""
        if wanted.group == "":
            return os.getgid(), 0o600
        if wanted.group is None:
            present = self.root / wanted.request.name / "current" / "key.pem"
            return (present.stat().st_gid if present.exists() else 0), 0o640
        try:
            return grp.getgrnam(wanted.group).gr_gid, 0o640
        except KeyError:
            if self.check:
                return -1, 0o640  # made by an earlier task, which check mode did not run
            raise PkiError(f"le groupe « {wanted.group} » n'existe pas sur cette machine : créez-le avant") from None

    def _ensure_directory(self, path: Path, mode: int) -> None:
        if path.is_dir() and path.stat().st_mode & 0o777 == mode:
            return
        self.changes.append(Change(str(path), "", f"dossier {mode:04o}\n"))
        if not self.check:
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(mode)

    def write(self, path: Path, text: str, what: str = "") -> bool:
        """Bring a public file (0644) to its content; tells whether it changed. `what` is the diff's text."""
        before = path.read_text(encoding="utf-8") if path.is_file() else None
        if before == text and path.stat().st_mode & 0o777 == 0o644:
            return False
        self.changes.append(Change(str(path), "" if before is None else "(ancienne version)\n", what or text))
        if not self.check:
            write(path, text.encode(), 0o644)
        return True

    def _key_attributes(self, path: Path, wanted: Wanted) -> None:
        """Set group and mode of a private key where they drifted."""
        (gid, mode), info = self._key_access(wanted), path.stat()
        if info.st_mode & 0o7777 == mode and gid in (info.st_gid, -1):
            return
        before = f"droits {info.st_mode & 0o7777:04o}, groupe {info.st_gid}\n"
        self.changes.append(Change(str(path), before, f"droits {mode:04o}, groupe {gid}\n"))
        if not self.check:
            os.chown(path, -1, gid)
            path.chmod(mode)

    # -- trust -------------------------------------------------------------------------------------

    def trust(self, ca: str, crl: str, history: str) -> bool:
        """Bring the trust files to what the authority published; tells whether the CRL changed.

        ``ca.pem`` and ``crl.pem`` say who is believed today, ``historique.pem`` every authority that ever was, for what
        was sealed in its time.
        """
        self._ensure_directory(self.root, 0o755)
        self.write(self.root / "historique.pem", history, _describe_all(history))
        self.newer = self._later_lists(crl)
        # The lists first: whoever reads between the two knows no authority of which it has no list.
        changed = self.write(self.root / "crl.pem", crl, _describe_crls(crl))
        self.write(self.root / "ca.pem", ca, _describe_all(ca))
        return changed

    def _later_lists(self, crl: str) -> list[str]:
        """Say (French) which lists of this machine come after those that were sent: somebody else signs them."""
        with contextlib.suppress(OSError, ValueError):
            sent = {_list_issuer(one): _list_number(one) for one in _load_lists(crl)}
            present = _load_lists((self.root / "crl.pem").read_text(encoding="ascii"))
            return [
                f"{one.issuer.rfc4514_string()} : n° {_list_number(one)} ici, n° {sent[_list_issuer(one)]} au poste"
                for one in present
                if _list_number(one) > sent.get(_list_issuer(one), _list_number(one))
            ]
        return []

    def held_authority_ids(self) -> list[str]:
        """Return the key identifiers (hexadecimal) of the authorities that ca.pem holds, each with its list."""
        try:
            known = x509.load_pem_x509_certificates((self.root / "ca.pem").read_bytes())
            lists = {_list_issuer(crl) for crl in _load_lists((self.root / "crl.pem").read_text(encoding="ascii"))}
        except (OSError, ValueError):
            return []
        return [identifier for identifier in map(_key_identifier, known) if identifier in lists]

    def system_store(self, name: str, roots: Mapping[str, str]) -> None:
        """Have the machine trust the roots, and no others of that authority (``update-ca-certificates``).

        Args:
            name: what the authority's files are named after.
            roots: PEM of each, by its name.

        Raises:
            PkiError: the package ca-certificates is not installed, or its program failed.
        """
        wanted = {
            SYSTEM_STORE / f"{name if root == 'racine' else f'{name}-{root}'}.crt": text for root, text in roots.items()
        }
        if self.check and not SYSTEM_STORE.is_dir():
            self.changes += [Change(str(path), "", _describe_all(text)) for path, text in wanted.items()]
            return
        SYSTEM_STORE.mkdir(parents=True, exist_ok=True)
        changed = False
        # Its effect is asked, not only its input: update-ca-certificates has no lock, and a run may be cut short.
        bundle = SYSTEM_CERTIFICATES / "ca-certificates.crt"
        believed = bundle.read_text() if bundle.exists() else ""
        for path, text in wanted.items():
            written = self.write(path, text, _describe_all(text))
            linked = (SYSTEM_CERTIFICATES / f"{path.stem}.pem").exists()
            if not written and not (linked and text.strip() in believed):
                self.changes.append(Change(str(SYSTEM_CERTIFICATES), "", f"racine {path.stem} ajoutée\n"))
                written = True
            changed = changed or written
        own = re.compile(re.escape(name) + r"(-racine[0-9]+)?\.(crt|pem)")
        gone = [
            path
            for folder, suffix in ((SYSTEM_STORE, ".crt"), (SYSTEM_CERTIFICATES, ".pem"))
            for path in folder.glob(f"{name}*{suffix}")
            if own.fullmatch(path.name) and SYSTEM_STORE / f"{path.stem}.crt" not in wanted
        ]
        self.changes += [Change(str(path), "racine admise\n", "") for path in gone]
        if not (changed or gone) or self.check:
            return
        # What is in use goes last: a run that is cut short leaves it to the next one to see.
        for path in gone:
            if path.parent == SYSTEM_STORE:
                path.unlink()
        command = ["/usr/sbin/update-ca-certificates", *(["--fresh"] if gone else [])]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise PkiError("le paquet ca-certificates manque : installez-le") from None
        except subprocess.CalledProcessError as error:
            raise PkiError(f"update-ca-certificates a échoué : {error.stderr.strip()}") from None
        for path in gone:
            path.unlink(missing_ok=True)

    # -- certificates ------------------------------------------------------------------------------

    def inspect(self, wanted: Wanted, issuer: str, renew_days: int) -> dict[str, Any]:
        """Look at one certificate, repair what needs no signature, prepare a key when it must be renewed.

        Args:
            issuer: PEM of the issuing CA.
            renew_days: renew when fewer days remain.

        Returns:
            ``name``, ``reason`` (French, empty when the certificate is fine), ``csr`` (PEM, when there is
            a reason and this is no check), ``serial`` and ``not_after`` of the present one (or empty).
        """
        name = wanted.request.name
        folder = self.root / name
        certificate = _read_certificate(folder / "current" / "cert.pem")
        reason = self._renewal_reason(wanted, certificate, load_certificate(issuer), renew_days)
        state: dict[str, Any] = {"name": name, "reason": reason, "csr": "", "serial": "", "not_after": ""}
        if certificate is not None:
            state["serial"] = serial_hex(certificate)
            state["not_after"] = certificate.not_valid_after_utc.isoformat()
        self._ensure_directory(folder, 0o755)
        if not reason and certificate is not None:
            self._repair_files(folder / "current", wanted, pem(certificate), issuer)
            return state
        before = describe(certificate) if certificate is not None else ""
        self.changes.append(
            Change(str(folder), before, f"{wanted.request.subject().rfc4514_string()}, à émettre ({reason})\n")
        )
        if not self.check:
            state["csr"] = self._prepare_key(folder / "prochain", wanted)
        return state

    def _renewal_reason(
        self, wanted: Wanted, certificate: x509.Certificate | None, issuer: x509.Certificate, renew_days: int
    ) -> str:
        """Say (French) why a certificate must be issued or renewed; empty when it is fine."""
        if certificate is None:
            return "absent ou illisible"
        key = read_key(self.root / wanted.request.name / "current" / "key.pem")
        if key is None or fingerprint(key.public_key()) != fingerprint(certificate.public_key()):
            return "clé absente ou différente"
        differences = wanted.request.differences(certificate)
        if differences:
            return ", ".join(differences)
        if not issued_by(certificate, issuer):
            return "émis par une autre autorité"
        if serial_hex(certificate) not in wanted.serials:
            return "révoqué, remplacé ou inconnu du registre"
        if days_left(certificate, utc_now()) < renew_days:
            return f"expire le {certificate.not_valid_after_utc.strftime('%d/%m/%Y')}"
        return ""

    def _repair_files(self, current: Path, wanted: Wanted, certificate: str, issuer: str) -> None:
        """Bring back what drifted next to a good certificate."""
        self.write(current / "cert.pem", certificate)
        self.write(current / "chain.pem", issuer)
        self.write(current / "fullchain.pem", certificate + issuer)
        self._key_attributes(current / "key.pem", wanted)

    def _prepare_key(self, folder: Path, wanted: Wanted) -> str:
        """Make the next key, or take up the one an interrupted run left; returns its CSR."""
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        path = folder / "key.pem"
        key = read_key(path)
        if (
            key is None
            or key_type_of(key.public_key()) != wanted.request.key_type
            or fingerprint(key.public_key()) in wanted.refused_keys
            or weakness(key.public_key())
        ):
            key = wanted.request.new_key()
            write(
                path,
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                ),
                0o600,
            )
        sync_directory(folder.parent)
        return wanted.request.csr(key)

    def install_issued(self, wanted: Iterable[Wanted], plan: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Bring into use the certificates that a plan has issued. See `install`."""
        issued = plan["issued"]
        return [
            self.install(one, issued[one.request.name], plan["chain"]) for one in wanted if one.request.name in issued
        ]

    def install(self, wanted: Wanted, certificate_text: str, issuer: str) -> dict[str, Any]:
        """Bring an issued certificate into use; returns its state as `inspect` does.

        Raises:
            PkiError: the certificate is not for the prepared key, or the group is unknown.
        """
        certificate = load_certificate(certificate_text)
        folder = self.root / wanted.request.name
        prepared = folder / "prochain"
        key = read_key(prepared / "key.pem")
        if key is None or fingerprint(key.public_key()) != fingerprint(certificate.public_key()):
            raise PkiError(f"{prepared} : le certificat reçu n'est pas celui de la clé préparée ; relancez")
        gid, mode = self._key_access(wanted)
        os.chown(prepared / "key.pem", -1, gid)
        (prepared / "key.pem").chmod(mode)
        for name, text in {
            "cert.pem": certificate_text,
            "chain.pem": issuer,
            "fullchain.pem": certificate_text + issuer,
        }.items():
            write(prepared / name, text.encode(), 0o644)
        prepared.chmod(0o755)
        serial = serial_hex(certificate)
        link = folder / "current"
        previous = link.readlink().name if link.is_symlink() else ""
        if (folder / serial).exists():  # a run killed before the link moved
            shutil.rmtree(folder / serial)
        prepared.rename(folder / serial)
        sync_directory(folder)
        temporary = folder / ".current"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(serial)
        temporary.replace(link)
        sync_directory(folder)
        for old in folder.iterdir():
            if old.is_dir() and not old.is_symlink() and old.name not in (serial, previous):
                shutil.rmtree(old)
        self.changes.append(Change(str(link), "", describe(certificate)))
        return {
            "name": wanted.request.name,
            "reason": "",
            "csr": "",
            "serial": serial,
            "not_after": certificate.not_valid_after_utc.isoformat(),
        }


def read_key(path: Path) -> PrivateKey | None:
    """Return a private key of a kind we make, or None when there is none or it cannot be read."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) else None


def _read_certificate(path: Path) -> x509.Certificate | None:
    with contextlib.suppress(OSError, UnicodeDecodeError, PkiError):
        return load_certificate(path.read_text(encoding="ascii"))
    return None


def describe(certificate: x509.Certificate) -> str:
    """Return one French line about a certificate, for diffs."""
    end = certificate.not_valid_after_utc.strftime("%d/%m/%Y")
    return f"{certificate.subject.rfc4514_string()}, n° {serial_hex(certificate)}, jusqu'au {end}\n"


def _describe_all(text: str) -> str:
    return "".join(describe(one) for one in x509.load_pem_x509_certificates(text.encode()))


def _load_lists(text: str) -> Iterator[x509.CertificateRevocationList]:
    end = "-----END X509 CRL-----\n"
    for block in text.split(end)[:-1]:
        yield x509.load_pem_x509_crl((block + end).encode())


def _key_identifier(certificate: x509.Certificate) -> str:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()


def _list_issuer(crl: x509.CertificateRevocationList) -> str:
    found = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    return (found or b"").hex()


def _list_number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _describe_crls(text: str) -> str:
    found = []
    for crl in _load_lists(text):
        found.append(f"{crl.issuer.rfc4514_string()}, CRL n° {_list_number(crl)}, {len(crl)} révoqué(s)\n")
    return "".join(found)
