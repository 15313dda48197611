"""The gateway's configuration: /etc/sae/config.json, written by the role, checked when it is read.

`load` reads what everything needs; sealing, fixity and elimination read their own `section`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from creatic_agent.places import Under
from creatic_agent.reasons import reason
from sae.commands import DEFAULT_PATH
from sae.store import FileStore, Store, SwiftSettings, SwiftStore

TRUST = Path("/etc/creatic/pki/ca.pem")
HISTORY = Path("/etc/creatic/pki/historique.pem")  # of every authority: seals outlive the one that timestamped them
# Formats kept without question (PRONOM): PDF and PDF/A, XML, plain text, CSV, images, OpenDocument.
FORMATS = (
    "fmt/14", "fmt/15", "fmt/16", "fmt/17", "fmt/18", "fmt/19", "fmt/20", "fmt/276", "fmt/1129",
    "fmt/95", "fmt/354", "fmt/476", "fmt/477", "fmt/478", "fmt/479", "fmt/480", "fmt/481",
    "fmt/1910", "fmt/1911", "fmt/1912",
    "fmt/101", "x-fmt/111", "x-fmt/18",
    "fmt/11", "fmt/12", "fmt/13", "fmt/41", "fmt/42", "fmt/43", "fmt/44", "x-fmt/390", "x-fmt/391", "fmt/645",
    "fmt/1507", "fmt/353",
    "fmt/136", "fmt/290", "fmt/291", "fmt/1756", "fmt/137", "fmt/294", "fmt/295", "fmt/1755",
)  # fmt: skip # a list of words

# Years of the access rules that acts are deposited under (Code du patrimoine, L213-1 and L213-2, I, 3°).
ACCESS: Mapping[str, int] = {"AR038": 0, "AR048": 50}


class ConfigError(Exception):
    """The configuration cannot be used. Its text, in French, names the file, the field and the fix."""


@dataclass(frozen=True)
class Account:
    """A service versant. Years bound the retention that a SIP asks for; the quota counts 10^6 bytes.

    Each SIP names the agreement (accord de versement), if there is one. The signatory, the maire of a commune, signs
    bordereaux d'élimination, with a certificate of its SIREN, or of the signatory's, if there is one. Depositors are
    names (CN) of the certificates that may deposit, of those that read the account (`identity`): none when the list is
    empty, all without a list.
    The host, of an entity, is the account of its commune, whose PCs read it.
    """

    name: str
    label: str
    siren: str
    quota_mo: int = 100_000
    dua_min: int = 1
    dua_max: int = 100
    depositors: tuple[str, ...] | None = None
    signatory: str = ""
    signatory_siren: str = ""
    agreement: str = ""
    host: str = ""


@dataclass(frozen=True)
class Limits:
    """What a SIP may be. Sizes are bytes; the ratio is unpacked size over packed size."""

    package: int = 2_000_000_000
    unpacked: int = 4_000_000_000
    files: int = 10_000
    ratio: int = 100
    manifest: int = 50_000_000


@dataclass(frozen=True)
class Config:
    """What the gateway needs to know; paths are absolute."""

    agency: str
    accounts: Mapping[str, Account]
    rules: Mapping[str, int]  # code of an appraisal rule → years
    access: Mapping[str, int] = field(default_factory=lambda: dict(ACCESS))  # code of an access rule → years
    folder: Path = Path("/var/lib/sae")
    metrics: Path = Path("/var/lib/creatic/metrics")
    formats: frozenset[str] = frozenset(FORMATS)
    clamd: Path = Path("/run/clamav/clamd.ctl")
    signatures: Path = Path("/var/lib/clamav")
    limits: Limits = Limits()
    storage: SwiftSettings | Path = field(default=Path("/var/lib/sae/archives"), repr=False)

    journal = Under("folder", "journal.sqlite")
    registry = Under("folder", "registre.sqlite")
    spool = Under("folder", "versements")
    set_aside = Under("folder", "ecartes")
    """SIPs that took their process away with them: kept to be understood, never worked on."""

    def store(self) -> Store:
        """The storage of the archives."""
        return FileStore(self.storage) if isinstance(self.storage, Path) else SwiftStore(self.storage)

    def account_of(self, siren: str | None) -> Account | None:
        """The account of a SIREN, if there is one."""
        return next((one for one in self.accounts.values() if siren and one.siren == siren), None)

    def hosted_by(self, account: Account) -> list[Account]:
        """The accounts of the entities that a commune hosts."""
        return [one for one in self.accounts.values() if one.host == account.name]


def load(path: Path = DEFAULT_PATH) -> Config:
    """Read the configuration. Raises ConfigError."""
    try:
        raw = json.loads(path.read_bytes())
        keys_file = raw["stockage"].get("cles")
        keys = json.loads(Path(keys_file).read_bytes()) if keys_file else {}
    except PermissionError as error:
        raise ConfigError(
            f"{error.filename} : votre compte n'a pas le droit de le lire. Lancez la commande avec sudo."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{error.filename} : lecture impossible ({reason(error)}). Relancez le déploiement."
        ) from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigError(f"{path} : illisible ({error}). Relancez le déploiement.") from error
    try:
        return _build(raw, keys)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} : champ absent ou incorrect ({error}). Relancez le déploiement.") from error


def section(path: Path, name: str) -> dict[str, Any]:
    """A part of the configuration, {} if it is not there. Raises ConfigError."""
    try:
        found = json.loads(path.read_bytes()).get(name, {})
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} : illisible ({error}). Relancez le déploiement.") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} : le champ « {name} » doit être un objet. Relancez le déploiement.")
    return found


def _build(raw: Mapping[str, Any], keys: Mapping[str, str]) -> Config:
    accounts = {
        one["nom"]: Account(
            name=one["nom"],
            label=one["libelle"],
            siren=one["siren"],
            quota_mo=int(one.get("quota_mo", Account.quota_mo)),
            dua_min=int(one.get("dua_min", Account.dua_min)),
            dua_max=int(one.get("dua_max", Account.dua_max)),
            depositors=tuple(str(name) for name in one["deposants"] or ()) if "deposants" in one else None,
            signatory=str(one.get("signataire", "")),
            signatory_siren=str(one.get("siren_signataire", "")),
            agreement=str(one.get("accord", "")),
            host=str(one.get("heberge_par", "")),
        )
        for one in raw["comptes"]
    }
    given = raw["stockage"]
    storage: SwiftSettings | Path
    if given.get("dossier"):
        storage = Path(given["dossier"])
    else:
        storage = SwiftSettings(
            urls=tuple(given["urls"]),
            keys=dict(keys),
            user=given.get("utilisateur", SwiftSettings.user),
            ca_file=Path(given["autorites"]) if given.get("autorites") else None,
            certificate=Path(given["certificat"]) if given.get("certificat") else None,
        )
    limits = {name: int(value) for name, value in raw.get("limites", {}).items()}
    return Config(
        agency=raw["service"],
        accounts=accounts,
        rules={code: int(years) for code, years in raw["regles"].items()},
        access={**ACCESS, **{code: int(years) for code, years in raw.get("acces", {}).items()}},
        folder=Path(raw.get("dossier", Config.folder)),
        metrics=Path(raw.get("metriques", Config.metrics)),
        formats=frozenset(raw.get("formats") or FORMATS),
        clamd=Path(raw.get("antivirus", Config.clamd)),
        signatures=Path(raw.get("signatures", Config.signatures)),
        limits=Limits(**limits),
        storage=storage,
    )
