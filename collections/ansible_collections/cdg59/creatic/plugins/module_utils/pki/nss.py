# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The NSS certificate stores of an account: Chromium's and those of its Firefox profiles.

Chromium reads ``~/.pki/nssdb``. Firefox reads one store per profile, under ``~/.config/mozilla/firefox``
(since 147) or ``~/.mozilla/firefox``; an account which never ran it is given a first profile.
Only Debian's own tools (libnss3-tools) write: certutil, pk12util, modutil.
"""

from __future__ import annotations

import configparser
import io
import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CHROMIUM_STORE = Path(".pki/nssdb")
FIREFOX_HOMES = (Path(".mozilla/firefox"), Path(".config/mozilla/firefox"))
# Firefox names an installation by a hash of its folder: this one is /usr/lib/firefox-esr, where Debian
# has it. Without that section it would leave a profile made by others aside and make its own.
FIREFOX_INSTALL = "Install3B6073811A6ABF12"
FIREFOX_PROFILE = "creatic"
TOOL_TIMEOUT = 30  # seconds; they answer in a few hundredths
_CERTUTIL_LINE_PATTERN = re.compile(r"^(?P<name>.*\S)\s+(?P<trust>[a-zA-Z]*,[a-zA-Z]*,[a-zA-Z]*)\s*$")


class NssError(CreaticError, cause="nss"):
    """A store cannot be brought to its state; the message (French) names what is wrong and the fix."""


@dataclass(frozen=True)
class Found:
    """A certificate of a store, under the name which NSS gives it (``token:label`` on a token)."""

    name: str
    trust: str
    certificate: x509.Certificate

    @property
    def has_key(self) -> bool:
        """Whether NSS holds, or believes that the token holds, the private key."""
        return "u" in self.trust


def _run_command(command: Sequence[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command,
        input=text if text is not None else "\n",
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        timeout=TOOL_TIMEOUT,
        check=False,
    )


def _run_checked(what: str, command: Sequence[str], text: str | None = None) -> str:
    try:
        done = _run_command(command, text)
    except subprocess.TimeoutExpired:
        raise NssError(f"{what} : {command[0]} n'a pas répondu en {TOOL_TIMEOUT} s") from None
    if done.returncode:
        detail = (done.stderr or done.stdout).strip().splitlines()
        raise NssError(f"{what} : refusé par {command[0]} ({detail[-1] if detail else done.returncode})")
    return done.stdout


def parse_listing(text: str) -> list[tuple[str, str]]:
    """Read what ``certutil -L`` prints: name and trust flags of each certificate."""
    rows = []
    for line in text.splitlines():
        match = _CERTUTIL_LINE_PATTERN.match(line)
        # The heading looks like a row: "… SSL,S/MIME,JAR/XPI" has a slash, which flags never have.
        if match:
            rows.append((match["name"], match["trust"]))
    return rows


def _to_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _pem_of_key(key: Any) -> str:
    text: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


def has_client_use(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate may authenticate a client (end entity, usage absent or allowed)."""
    try:
        if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
    except x509.ExtensionNotFound:
        pass
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages


def common_name(name: x509.Name) -> str:
    """Return the CN of a name, else the whole name."""
    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(values[0].value) if values else name.rfc4514_string()


def describe(certificate: x509.Certificate, name: str, nss_name: str = "", token: str = "") -> dict[str, Any]:
    """Return what policies, proofs and the expiry watch need to know of a certificate. Nothing secret."""
    return {
        "name": name,
        "nss_name": nss_name or name,
        "token": token,
        "subject": certificate.subject.rfc4514_string(),
        "subject_cn": common_name(certificate.subject),
        "issuer_cn": common_name(certificate.issuer),
        "serial": f"{certificate.serial_number:040x}",
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "client": has_client_use(certificate),
        "pem": _to_pem(certificate),
    }


class Store:
    """One NSS database folder. Every method raises `NssError`."""

    def __init__(self, folder: Path, check: bool = False):
        self.folder = folder
        self.check = check
        self.changes: list[str] = []

    @property
    def _database_option(self) -> list[str]:
        return ["-d", f"sql:{self.folder}"]

    @property
    def exists(self) -> bool:
        """Whether the database was made."""
        return (self.folder / "cert9.db").is_file()

    def _record_change(self, what: str) -> None:
        self.changes.append(f"{self.folder} : {what}")

    def ensure(self) -> None:
        """Make the database, without a password: the account's own rights protect it."""
        if self.exists:
            return
        self._record_change("magasin créé")
        if not self.check:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _run_checked(f"magasin {self.folder}", ["certutil", "-N", *self._database_option, "--empty-password"])

    def found(self, token: str = "") -> list[Found]:
        """List the certificates of the database, or of one token which it knows."""
        if not self.exists:
            return []
        place = ["-h", token] if token else []
        what = f"magasin {self.folder}"
        names = dict.fromkeys(parse_listing(_run_checked(what, ["certutil", "-L", *self._database_option, *place])))
        found = []
        for name, trust in names:
            text = _run_checked(what, ["certutil", "-L", *self._database_option, *place, "-n", name, "-a"])
            for certificate in x509.load_pem_x509_certificates(text.encode()):
                found.append(Found(name, trust, certificate))
        return found

    def ensure_authorities(
        self, authorities: Iterable[x509.Certificate], retired: Iterable[x509.Certificate] = ()
    ) -> None:
        """Hold the authorities of a trust bundle, and none of the retired; a self-signed one identifies servers."""
        known = {item.certificate: item for item in self.found()}
        for gone in [known[one] for one in retired if one in known]:
            self._record_change(f"autorité « {gone.name} » retirée")
            if not self.check:
                what = f"magasin {self.folder}, autorité « {gone.name} »"
                _run_checked(what, ["certutil", "-D", *self._database_option, "-n", gone.name])
        for authority in authorities:
            trust = "C,," if authority.subject == authority.issuer else ",,"
            item = known.get(authority)
            if item and item.trust == trust:
                continue
            name = item.name if item else common_name(authority.subject)
            self._record_change(f"autorité « {name} »")
            if self.check:
                continue
            what = f"magasin {self.folder}, autorité « {name} »"
            if item:
                _run_checked(what, ["certutil", "-M", *self._database_option, "-n", name, "-t", trust])
            else:
                add = ["certutil", "-A", *self._database_option, "-n", name, "-t", trust, "-a"]
                _run_checked(what, add, _to_pem(authority))

    def ensure_identity(
        self, name: str, key: Any, certificate: x509.Certificate, chain: list[x509.Certificate]
    ) -> None:
        """Hold a key and its certificate under a name, and nothing else under that name."""
        same = [item for item in self.found() if item.name == name]
        if len(same) == 1 and same[0].certificate == certificate and same[0].has_key:
            return
        end = certificate.not_valid_after_utc.strftime("%d/%m/%Y")
        self._record_change(f"certificat « {name} », valable jusqu'au {end}")
        if self.check:
            return
        what = f"magasin {self.folder}, certificat « {name} »"
        # NSS offers what it finds under a name: a replaced certificate must not be offered again.
        for _ in same:
            if _run_command(["certutil", "-F", *self._database_option, "-n", name]).returncode:
                _run_checked(what, ["certutil", "-D", *self._database_option, "-n", name])
        memory = Path("/dev/shm")  # noqa: S108 - never on disk; the folder below is private
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
            parts, bundle, word = (Path(folder, part) for part in ("identite.pem", "identite.p12", "mot"))
            parts.write_text(
                _pem_of_key(key) + "".join(_to_pem(one) for one in (certificate, *chain)), encoding="ascii"
            )
            word.write_text(secrets.token_urlsafe(24), encoding="ascii")
            # Python's cryptography writes no localKeyID, without which NSS cannot tie key and certificate.
            export = ["openssl", "pkcs12", "-export", "-in", str(parts), "-name", name]
            _run_checked(what, [*export, "-out", str(bundle), "-passout", f"file:{word}"])
            _run_checked(
                f"{what} (un mot de passe principal sur ce profil empêche l'import : retirez-le)",
                ["pk12util", "-i", str(bundle), *self._database_option, "-w", str(word), "-K", ""],
            )

    def ensure_module(self, name: str, library: str) -> None:
        """Declare a PKCS#11 module, whose certificates show without the PIN."""
        registry = self.folder / "pkcs11.txt"
        text = registry.read_text(encoding="utf-8") if registry.is_file() else ""
        known = {
            match["name"]: match["library"]
            for match in re.finditer(r"^library=(?P<library>.*)\nname=(?P<name>.*)$", text, re.MULTILINE)
        }
        if known.get(name) == library:
            return
        self._record_change(f"module de jeton {name} ({library})")
        if self.check:
            return
        what = f"magasin {self.folder}, module {name}"
        base = ["modutil", "-force", "-dbdir", f"sql:{self.folder}"]
        if name in known:
            _run_checked(what, [*base, "-delete", name])
        _run_checked(what, [*base, "-add", name, "-libfile", library, "-mechanisms", "FRIENDLY"])


def firefox_profiles(home: Path) -> tuple[Path, list[Path]]:
    """Return Firefox's folder of an account and the folders of its profiles (none: it never ran)."""
    for folder in (home / relative for relative in FIREFOX_HOMES):
        index = folder / "profiles.ini"
        if not index.is_file():
            continue
        parser = configparser.RawConfigParser()
        parser.read(index, encoding="utf-8")
        profiles = []
        for section in parser.sections():
            if section.startswith("Profile") and parser.has_option(section, "Path"):
                path = Path(parser.get(section, "Path"))
                relative_path = parser.get(section, "IsRelative", fallback="1") == "1"
                profiles.append(folder / path if relative_path else path)
        if profiles:
            return folder, profiles
    return home / FIREFOX_HOMES[1], []


def first_profile_index() -> str:
    """Return the profiles.ini of an account whose Firefox starts on our profile."""
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign] # Firefox's keys have capitals
    parser["General"] = {"StartWithLastProfile": "1", "Version": "2"}
    parser["Profile0"] = {"Name": FIREFOX_PROFILE, "IsRelative": "1", "Path": FIREFOX_PROFILE, "Default": "1"}
    parser[FIREFOX_INSTALL] = {"Default": FIREFOX_PROFILE, "Locked": "1"}
    out = io.StringIO()
    parser.write(out, space_around_delimiters=False)
    return out.getvalue()


def read_identity(key: str, certificate: str, chain: str) -> tuple[Any, x509.Certificate, list[x509.Certificate]]:
    """Read PEM texts as a key, its certificate and the authorities above it."""
    return (
        serialization.load_pem_private_key(key.encode(), None),
        x509.load_pem_x509_certificate(certificate.encode()),
        x509.load_pem_x509_certificates(chain.encode()) if chain.strip() else [],
    )


def token_certificate(store: Store, token: str, library: str) -> Found:
    """Return the certificate of a token which authenticates its holder, the one which lasts longest."""
    if not Path(library).is_file():
        raise NssError(
            f"jeton « {token} », champ bibliotheque : {library} n'existe pas ; "
            "installez le logiciel du fournisseur du jeton, ou corrigez le chemin"
        )
    try:
        found = store.found(token)
    except NssError as error:
        raise NssError(
            f"jeton « {token} » introuvable : branchez-le, ou corrigez le champ jeton (son étiquette). {error}"
        ) from None
    usable = [item for item in found if item.has_key and has_client_use(item.certificate)]
    if not usable:
        raise NssError(
            f"jeton « {token} » : aucun certificat d'authentification dessus ; "
            "demandez au fournisseur s'il a bien été livré chargé"
        )
    return max(usable, key=lambda item: item.certificate.not_valid_after_utc)


def converge(
    home: Path, authorities: str, certificates: list[dict[str, Any]], check: bool = False, history: str = ""
) -> dict[str, Any]:
    """Bring every store of an account to its state; run as that account.

    Args:
        home: its home folder.
        authorities: trust bundle, PEM.
        certificates: each has ``name`` and either ``key``, ``certificate``, ``chain`` (PEM) or ``token``
            (label) and ``library`` (PKCS#11 module).
        check: only say what would change.
        history: PEM of every authority that the bundle ever held: those that it holds no more are taken out.

    Returns:
        ``changes`` (French lines) and ``certificates`` (see `describe`).
    """
    trusted = x509.load_pem_x509_certificates(authorities.encode()) if authorities.strip() else []
    known = x509.load_pem_x509_certificates(history.encode()) if history.strip() else []
    retired = [one for one in known if one not in trusted]
    firefox, profiles = firefox_profiles(home)
    chromium = Store(home / CHROMIUM_STORE, check)
    changes: list[str] = []
    if not profiles:
        profiles = [firefox / FIREFOX_PROFILE]
        changes.append(f"{firefox} : premier profil de Firefox")
        if not check:
            profiles[0].mkdir(parents=True, exist_ok=True, mode=0o700)
            (firefox / "profiles.ini").write_text(first_profile_index(), encoding="utf-8")
    stores = [chromium, *(Store(folder, check) for folder in profiles)]
    described = []
    identities = {
        entry["name"]: read_identity(entry["key"], entry["certificate"], entry.get("chain") or "")
        for entry in certificates
        if entry.get("key")
    }
    for store in stores:
        store.ensure()
        store.ensure_authorities(trusted, retired)
        for name, (key, certificate, chain) in identities.items():
            store.ensure_identity(name, key, certificate, chain)
    described += [describe(certificate, name) for name, (_, certificate, _) in identities.items()]
    # Firefox is told of the token by its policies, which hold for every profile.
    for entry in certificates:
        if entry.get("token"):
            chromium.ensure_module(entry["token"], entry["library"])
            if not (check and chromium.changes):
                item = token_certificate(chromium, entry["token"], entry["library"])
                described.append(describe(item.certificate, entry["name"], item.name, entry["token"]))
    changes += [change for store in stores for change in store.changes]
    return {"changes": changes, "certificates": described}
