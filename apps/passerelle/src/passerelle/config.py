"""The configuration: /etc/passerelle/config.json, written by the role, and the passwords beside it."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from creatic_agent.reasons import reason

log = logging.getLogger("passerelle")
DEFAULT_PATH = Path("/etc/passerelle/config.json")
# RFC 5321 in ASCII, without quoted parts nor literal addresses.
_ADDRESS = re.compile(
    r"(?=.{3,254}\Z)(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+"
)


class ConfigError(Exception):
    """The configuration cannot be used; the text is French."""


@dataclass(frozen=True)
class Commune:
    """A commune that the passerelle serves."""

    slug: str
    name: str
    siren: str
    services: tuple[str, ...]
    mails: tuple[str, ...] = ()  # of its DGS and maire
    territory: str = ""
    size: str = ""
    host: str = ""  # the commune that hosts it, by slug, for a CCAS, a syndicat…
    publication: str = ""  # how its council chose to publish acts (L2131-1); "" when its file does not say
    settled: bool = True  # its formalities are done, by its file


@dataclass(frozen=True)
class Account:
    """A server and the account the passerelle has there."""

    url: str
    login: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Config:
    """What the passerelle needs to know. Delays are in seconds; an absent server's steps are skipped."""

    communes: dict[str, Commune]
    siren: str = ""  # of the groupement, whose agents see every commune
    servers: dict[str, Account] = field(default_factory=dict)  # parapheur, deliberations, ged
    database: str = "dbname=passerelle host=/run/postgresql"
    folder: Path = Path("/var/lib/passerelle")
    trust: str = "/etc/creatic/pki/ca.pem"
    crl: Path = Path("/etc/creatic/pki/crl.pem")
    templates: Path = Path("/usr/lib/passerelle/modeles")
    metrics: Path = Path("/var/lib/creatic/metrics/passerelle.prom")
    look_every: int = 30  # between two looks at what others have ready
    retry: float = 5  # before the second try, then twice as long each time
    retry_max: float = 300
    concurrency: int = 4
    url: str = ""  # its own address, for links
    mail_relay: str = ""  # without one, no mail is sent
    mail_port: int = 25
    mail_sender: str = ""
    reminders: tuple[int, ...] = (30, 15, 7, 2)  # days before the end of a delay

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


def is_address(text: str) -> bool:
    """Whether any relay takes mails for it: one address, in ASCII, that adds no header and no other recipient."""
    return bool(_ADDRESS.fullmatch(text))


def _addresses(commune: dict[str, Any]) -> tuple[str, ...]:
    """Those that can be written to; one that cannot is told, and keeps no other."""
    given = [str(one) for one in commune.get("courriels", ())]
    for one in given:
        if not is_address(one):
            log.error(
                "%s : aucun courriel ne peut partir vers %r. À faire : corrigez le courriel de cette personne (une "
                "seule adresse, sans accent) dans le fichier de la commune.",
                commune["nom"],
                one[:100],
            )
    return tuple(one for one in given if is_address(one))


def load(path: Path = DEFAULT_PATH) -> Config:
    """Read the configuration. Raises ConfigError."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        servers = {
            name: Account(one["url"], one["compte"], Path(one["mot_de_passe"]).read_text(encoding="utf-8").strip())
            for name, one in raw["serveurs"].items()
        }
        communes = {
            one["slug"]: Commune(
                one["slug"],
                one["nom"],
                one["siren"],
                tuple(one["services"]),
                _addresses(one),
                str(one.get("territoire") or ""),
                str(one.get("taille") or ""),
                str(one.get("heberge_par") or ""),
                str(one.get("publication") or ""),
                bool(one.get("formalites", True)),
            )
            for one in raw["communes"]
        }
        mail = raw.get("courriel") or {}
        return Config(
            communes,
            raw["siren"],
            servers,
            look_every=int(raw["releve"]),
            concurrency=int(raw["travaux"]),
            url=str(raw.get("url", "")),
            mail_relay=str(mail.get("relais", "")),
            mail_port=int(mail.get("port", 25)),
            mail_sender=str(mail.get("expediteur", "")),
            reminders=tuple(int(days) for days in raw.get("rappels", Config.reminders)),
        )
    except PermissionError as error:
        why = "votre compte n'a pas le droit de le lire. Lancez la commande avec sudo."
        raise ConfigError(f"{error.filename} : {why}") from error
    except OSError as error:
        why = f"lecture impossible ({reason(error)}). Relancez le déploiement."
        raise ConfigError(f"{error.filename} : {why}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} : contenu inattendu ({error!r}). Relancez le déploiement.") from error
