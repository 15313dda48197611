"""The configuration: /etc/passerelle/config.json, written by the role, and the passwords beside it."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from creatic_agent import configuration
from creatic_agent.configuration import UNWRITTEN, ConfigError, From, Key, Secret, Whole, by, positive

__all__ = ["DEFAULT_PATH", "Account", "Commune", "Config", "ConfigError", "is_address", "load"]

log = logging.getLogger("passerelle")
DEFAULT_PATH = Path("/etc/passerelle/config.json")
# RFC 5321 in ASCII, without quoted parts nor literal addresses.
_ADDRESS = re.compile(
    r"(?=.{3,254}\Z)(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+"
)


def is_address(text: str) -> bool:
    """Whether any relay takes mails for it: one address, in ASCII, that adds no header and no other recipient."""
    return bool(_ADDRESS.fullmatch(text))


def _texts(given: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(map(str, given))


def _said(given: str | None) -> str:
    return given or ""


_Said = Annotated[str, From(str | None, _said)]  # inventories have nulls


@dataclass(frozen=True)
class Commune:
    """A commune that the passerelle serves."""

    slug: str
    name: Annotated[str, Key("nom")]
    siren: str
    services: tuple[str, ...]
    mails: Annotated[tuple[str, ...], Key("courriels"), From(tuple[Any, ...], _texts)] = ()  # of its DGS and maire
    territory: Annotated[_Said, Key("territoire")] = ""
    size: Annotated[_Said, Key("taille")] = ""
    host: Annotated[_Said, Key("heberge_par")] = ""  # the commune that hosts it, by slug, for a CCAS, a syndicat…
    publication: _Said = ""  # how its council chose to publish acts (L2131-1); "" when its file does not say
    settled: Annotated[bool, Key("formalites")] = True  # its formalities are done, by its file

    def __post_init__(self) -> None:
        """Keep the addresses that can be written to; one that cannot is told, and keeps no other."""
        for one in self.mails:
            if not is_address(one):
                log.error(
                    "%s : aucun courriel ne peut partir vers %r. À faire : corrigez le courriel de cette personne (une "
                    "seule adresse, sans accent) dans le fichier de la commune.",
                    self.name,
                    one[:100],
                )
        object.__setattr__(self, "mails", tuple(filter(is_address, self.mails)))


@dataclass(frozen=True)
class Account:
    """A server and the account the passerelle has there."""

    url: str
    login: Annotated[str, Key("compte")]
    password: Annotated[Secret, Key("mot_de_passe")] = field(repr=False)


@dataclass(frozen=True)
class Config:
    """What the passerelle needs to know. Delays are in seconds; an absent server's steps are skipped."""

    communes: Annotated[dict[str, Commune], From(list[Commune], by("slug"))]
    siren: Annotated[str, Key("siren", needed=True)] = ""  # of the groupement, whose agents see every commune
    # parapheur, deliberations, ged
    servers: Annotated[dict[str, Account], Key("serveurs", needed=True)] = field(default_factory=dict)
    database: Annotated[str, UNWRITTEN] = "dbname=passerelle host=/run/postgresql"
    folder: Annotated[Path, UNWRITTEN] = Path("/var/lib/passerelle")
    trust: Annotated[str, UNWRITTEN] = "/etc/creatic/pki/ca.pem"
    crl: Annotated[Path, UNWRITTEN] = Path("/etc/creatic/pki/crl.pem")
    templates: Annotated[Path, UNWRITTEN] = Path("/usr/lib/passerelle/modeles")
    metrics: Annotated[Path, UNWRITTEN] = Path("/var/lib/creatic/metrics/passerelle.prom")
    # between two looks at what others have ready
    look_every: Annotated[Whole, Key("releve", needed=True), positive] = 30
    retry: Annotated[float, UNWRITTEN] = 5  # before the second try, then twice as long each time
    retry_max: Annotated[float, UNWRITTEN] = 300
    concurrency: Annotated[Whole, Key("travaux", needed=True), positive] = 4
    url: str = ""  # its own address, for links
    mail_relay: Annotated[str, Key("courriel.relais")] = ""  # without one, no mail is sent
    mail_port: Annotated[Whole, Key("courriel.port"), positive] = 25
    mail_sender: Annotated[str, Key("courriel.expediteur")] = ""
    reminders: Annotated[tuple[Whole, ...], Key("rappels")] = (30, 15, 7, 2)  # days before the end of a delay

    def has(self, slug: str, service: str) -> bool:
        """Whether a commune has a service, and the groupement the server for it."""
        commune = self.communes.get(slug)
        if commune is None or service not in commune.services:
            return False
        return service in ("teletransmission", "archivage") or service in self.servers

    def by_siren(self, siren: str) -> Commune | None:
        """The commune of a SIREN."""
        return next((one for one in self.communes.values() if one.siren == siren), None)

    def opened_by(self, commune: Commune) -> list[Commune]:
        """What an agent's certificate of a commune opens: the commune, then the entities that it hosts, by name."""
        hosted = (one for one in self.communes.values() if one.host == commune.slug)
        return [commune, *sorted(hosted, key=lambda one: one.name)]


def load(path: Path = DEFAULT_PATH) -> Config:
    """Read the configuration. Raises ConfigError."""
    return configuration.load(path, Config)
