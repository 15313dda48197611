"""Settings of the simulator, read once from the JSON file which Ansible writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_ARCHIVE_BYTES = 150 * 1024 * 1024


class ConfigError(Exception):
    """The settings file cannot be used; the text says which key and why, in French."""


@dataclass(frozen=True)
class Authority:
    """A commune known by the platform.

    ``departement`` has three characters, ``arrondissement`` one digit, ``nature`` two digits (31: commune),
    as in actesv1_1.xsd.
    """

    siren: str
    nom: str
    departement: str
    arrondissement: str
    nature: str = "31"


@dataclass(frozen=True)
class Account:
    """Somebody who may act for an authority, with the certificate of ``certificate_siren``.

    ``password`` is None for the account that the certificate alone opens.
    """

    login: str
    siren: str
    certificate_siren: str
    password: str | None = None


@dataclass(frozen=True)
class Config:
    """What the simulator needs to run.

    Attributes:
        data_dir: folder of the database and of the files received.
        delay: seconds between two statuses.
        rgs_policies: certificatePolicies OIDs that make a certificate « RGS ».
        max_archive_bytes: size limit of all the files of one act.
    """

    data_dir: Path
    delay: float
    rgs_policies: tuple[str, ...]
    authorities: dict[str, Authority]
    accounts: tuple[Account, ...]
    max_archive_bytes: int = MAX_ARCHIVE_BYTES

    def accounts_of(self, certificate_siren: str) -> list[Account]:
        """Return the accounts opened by a certificate: the declared ones, else the commune's own."""
        declared = [account for account in self.accounts if account.certificate_siren == certificate_siren]
        if declared or certificate_siren not in self.authorities:
            return declared
        return [Account(login=certificate_siren, siren=certificate_siren, certificate_siren=certificate_siren)]


def build(
    data_dir: Path,
    authorities: Sequence[dict[str, Any]],
    *,
    accounts: Sequence[dict[str, Any]] = (),
    delay: float = 1.0,
    rgs_policies: Sequence[str] = (),
    max_archive_bytes: int = MAX_ARCHIVE_BYTES,
) -> Config:
    """Check the settings and return them.

    Raises:
        ConfigError: unknown key, missing key, account of an unknown authority, negative delay.
    """
    known: dict[str, Authority] = {}
    for entry in authorities:
        try:
            authority = Authority(**{key: str(value) for key, value in entry.items()})
        except TypeError as error:
            raise ConfigError(f"collectivité {entry.get('siren', '?')} : clé inconnue ou absente ({error})") from error
        known[authority.siren] = authority
    opened = []
    for entry in accounts:
        try:
            account = Account(**entry)
        except TypeError as error:
            raise ConfigError(f"compte {entry.get('login', '?')} : clé inconnue ou absente ({error})") from error
        if account.siren not in known:
            raise ConfigError(f"compte {account.login} : la collectivité {account.siren} n'est pas déclarée")
        opened.append(account)
    if delay < 0:
        raise ConfigError(f"delay : {delay} secondes, attendu 0 ou plus")
    return Config(data_dir, delay, tuple(rgs_policies), known, tuple(opened), max_archive_bytes)


def load(path: Path) -> Config:
    """Read the JSON settings file.

    Raises:
        ConfigError: the file is absent, is not JSON, or holds a wrong key.
    """
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings["data_dir"] = Path(settings["data_dir"])
        return build(**settings)
    except OSError as error:
        raise ConfigError(f"{path} : lecture impossible ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} : contenu invalide ({error})") from error
