"""The gateway's configuration: /etc/sae/config.json, written by the role, checked when it is read.

`load` reads what everything needs; sealing, fixity, elimination and transfer read their own section of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from creatic_agent import configuration
from creatic_agent.configuration import ConfigError, From, Key, SomePath, Whole, by, content
from creatic_agent.places import Under
from sae.commands import DEFAULT_PATH
from sae.store import FileStore, Store, SwiftSettings, SwiftStore

__all__ = [
    "ACCESS",
    "DEFAULT_PATH",
    "FORMATS",
    "HISTORY",
    "TRUST",
    "Account",
    "Config",
    "ConfigError",
    "Limits",
    "load",
]
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


# Parts of the file that are read by who needs them: one that is wrong keeps nothing else.
SECTIONS = ("sceaux", "fixite", "elimination", "transfert")


def _tuple_of_names(given: list[str] | None) -> tuple[str, ...]:
    return tuple(given or ())


@dataclass(frozen=True)
class Account:
    """A service versant. Years bound the retention that a SIP asks for; the quota counts 10^6 bytes.

    Each SIP names the agreement (accord de versement), if there is one. The signatory, the maire of a commune, signs
    bordereaux d'élimination, with a certificate of its SIREN, or of the signatory's, if there is one. Depositors are
    names (CN) of the certificates that may deposit, of those that read the account (`identity`): none when the list is
    empty, all without a list.
    The host, of an entity, is the account of its commune, whose PCs read it.
    """

    name: Annotated[str, Key("nom")]
    label: Annotated[str, Key("libelle")]
    siren: str
    quota_mo: Whole = 100_000
    dua_min: Whole = 1
    dua_max: Whole = 100
    depositors: Annotated[tuple[str, ...] | None, Key("deposants"), From(list[str] | None, _tuple_of_names)] = None
    signatory: Annotated[str, Key("signataire")] = ""
    signatory_siren: Annotated[str, Key("siren_signataire")] = ""
    agreement: Annotated[str, Key("accord")] = ""
    host: Annotated[str, Key("heberge_par")] = ""


@dataclass(frozen=True)
class Limits:
    """What a SIP may be. Sizes are bytes; the ratio is unpacked size over packed size."""

    package: Whole = 2_000_000_000
    unpacked: Whole = 4_000_000_000
    files: Whole = 10_000
    ratio: Whole = 100
    manifest: Whole = 50_000_000


def _read_keys(file: Path | None) -> dict[str, str]:
    found = content(file) if file else {}
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise ValueError(f"« {file} » ne donne pas la clé de chaque compte ; relancez le déploiement.")
    return found


@dataclass(frozen=True)
class _Storage:
    """Where archives are: a folder here, or Swift's proxies, with the file of its accounts' keys."""

    folder: Annotated[SomePath, Key("dossier")] = None
    urls: tuple[str, ...] | None = None
    keys: Annotated[dict[str, str], Key("cles"), From(SomePath, _read_keys)] = field(default_factory=dict, repr=False)
    user: Annotated[str, Key("utilisateur")] = SwiftSettings.user
    ca_file: Annotated[SomePath, Key("autorites")] = None
    certificate: Annotated[SomePath, Key("certificat")] = None


def _storage_place(given: _Storage) -> SwiftSettings | Path:
    if given.folder:
        return given.folder
    if given.urls is None:
        raise ValueError("« urls » ou « dossier » manque ; donnez l'un des deux.")
    return SwiftSettings(given.urls, given.keys, given.user, given.ca_file, given.certificate)


def _access_delays(given: Mapping[str, int]) -> Mapping[str, int]:
    return {**ACCESS, **given}


def _accepted_formats(given: list[str] | None) -> frozenset[str]:
    return frozenset(given or FORMATS)


@dataclass(frozen=True)
class Config:
    """What the gateway needs to know; paths are absolute."""

    agency: Annotated[str, Key("service")]
    accounts: Annotated[Mapping[str, Account], Key("comptes"), From(list[Account], by("name"))]
    rules: Annotated[Mapping[str, Whole], Key("regles")]  # code of an appraisal rule → years
    # code of an access rule → years
    access: Annotated[Mapping[str, int], Key("acces"), From(dict[str, Whole], _access_delays)] = field(
        default_factory=lambda: dict(ACCESS)
    )
    folder: Annotated[Path, Key("dossier")] = Path("/var/lib/sae")
    metrics: Annotated[Path, Key("metriques")] = Path("/var/lib/creatic/metrics")
    formats: Annotated[frozenset[str], From(list[str] | None, _accepted_formats)] = frozenset(FORMATS)
    clamd: Annotated[Path, Key("antivirus")] = Path("/run/clamav/clamd.ctl")
    signatures: Path = Path("/var/lib/clamav")
    limits: Annotated[Limits, Key("limites")] = Limits()
    storage: Annotated[SwiftSettings | Path, Key("stockage", needed=True), From(_Storage, _storage_place)] = field(
        default=Path("/var/lib/sae/archives"), repr=False
    )

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
    return configuration.load(path, Config, others=SECTIONS)
