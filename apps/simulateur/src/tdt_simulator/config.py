"""Settings of the simulator, read once from the JSON file which Ansible writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from creatic_agent import configuration
from creatic_agent.configuration import ConfigError, From, by

__all__ = ["MAX_ARCHIVE_BYTES", "Account", "Authority", "Config", "ConfigError", "load"]
MAX_ARCHIVE_BYTES = 150 * 1024 * 1024
_Text = Annotated[str, From(Any, str)]  # numbers without quotes, too


def _not_negative(seconds: float) -> float:
    if seconds < 0:
        raise ValueError(f"« {seconds} » secondes, attendu 0 ou plus.")
    return seconds


@dataclass(frozen=True)
class Authority:
    """A commune known by the platform.

    ``departement`` has three characters, ``arrondissement`` one digit, ``nature`` two digits (31: commune),
    as in actesv1_1.xsd.
    """

    siren: _Text
    nom: _Text
    departement: _Text
    arrondissement: _Text
    nature: _Text = "31"


@dataclass(frozen=True)
class Account:
    """Somebody who may act for an authority, with the certificate of ``certificate_siren``.

    ``password`` is None for the account that the certificate alone opens.
    """

    login: str
    siren: str
    certificate_siren: str
    password: str | None = field(default=None, repr=False)


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
    authorities: Annotated[dict[str, Authority], From(list[Authority], by("siren"))]
    delay: Annotated[float, _not_negative] = 1.0
    rgs_policies: tuple[str, ...] = ()
    accounts: tuple[Account, ...] = ()
    max_archive_bytes: int = MAX_ARCHIVE_BYTES

    def __post_init__(self) -> None:
        """Accounts are those of authorities that are there."""
        for account in self.accounts:
            if account.siren not in self.authorities:
                raise ValueError(
                    f"compte {account.login} : la collectivité {account.siren} n'est pas déclarée ; ajoutez-la."
                )

    def accounts_of(self, certificate_siren: str) -> list[Account]:
        """Return the accounts opened by a certificate: the declared ones, else the commune's own."""
        declared = [account for account in self.accounts if account.certificate_siren == certificate_siren]
        if declared or certificate_siren not in self.authorities:
            return declared
        return [Account(login=certificate_siren, siren=certificate_siren, certificate_siren=certificate_siren)]


def load(path: Path) -> Config:
    """Read the JSON settings file. Raises ConfigError."""
    return configuration.load(path, Config)
