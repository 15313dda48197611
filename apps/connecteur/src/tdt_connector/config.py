"""The agent's configuration: /etc/tdt-connector/config.yml, checked at start, errors in French."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from creatic_agent import configuration
from creatic_agent.configuration import (
    UNWRITTEN,
    ConfigError,
    From,
    Key,
    Secret,
    Whole,
    absolute,
    filled,
    one_of,
    positive,
)
from creatic_agent.places import Under
from creatic_agent.totem import SCHEMA

__all__ = [
    "AWAITED",
    "DEFAULT_PATH",
    "Config",
    "ConfigError",
    "Delays",
    "Line",
    "entities",
    "load",
    "luhn",
    "of_entity",
]
DEFAULT_PATH = Path("/etc/tdt-connector/config.yml")
_MATTER = re.compile(r"\d(\.\d{1,2}){0,4}")
# The deployment leaves it on a machine made anew whose journal is to come back from its backup; units know it too.
AWAITED = Path("/etc/creatic/connecteur-journal-attendu")


def luhn(digits: str) -> bool:
    """True when the check digit of a SIREN or SIRET is right."""
    total = 0
    for position, char in enumerate(reversed(digits)):
        value = int(char) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


# -- what fields must be -----------------------------------------------------------------------------------


def _https(example: str) -> Callable[[str], str]:
    def checked(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"« {value} » n'est pas une adresse https ; exemple : {example}")
        return value.rstrip("/")

    return checked


def _siren(value: str) -> str:
    if not (re.fullmatch(r"\d{9}", value, re.ASCII) and luhn(value)):
        raise ValueError(f"« {value} » n'est pas un SIREN (9 chiffres dont une clé de contrôle) ; corrigez-le.")
    return value


def _department(value: str) -> str:
    if not re.fullmatch(r"0\d[0-9AB]|\d{3}", value, re.ASCII):
        raise ValueError(f"« {value} » n'est pas un département sur 3 caractères ; exemple : 059")
    return value


def _matters(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(one, str) and _MATTER.fullmatch(one) for one in given):
        raise ValueError('attend une liste de matières entre guillemets ; exemple : ["6.1"].')
    return tuple(given)


_Filled = Annotated[str, filled]
_Path = Annotated[Path, absolute]
_Seconds = Annotated[float, positive]
_Fate = Annotated[str, From(str, one_of({"conserver": "Keep", "detruire": "Destroy"}))]


@dataclass(frozen=True)
class Delays:
    """Waiting times, in seconds. The keys of `delais` in the file are these field names."""

    depot: _Seconds = 2  # between two looks into depot/
    stabilite: _Seconds = 5  # a file unchanged for that long is whole
    incomplet: _Seconds = 300  # a set of files still incomplete after that long is explained in rejets/
    sondage_min: _Seconds = 5  # first question about an act's status, then twice as long each time
    sondage_max: _Seconds = 900
    rapprochement: _Seconds = 60  # between a lost answer and the look for the act in the TdT's list
    reprise_max: _Seconds = 300  # longest pause after the TdT could not be reached
    reception: _Seconds = 900  # between two looks for letters of the préfecture
    nomenclature: _Seconds = 900  # between two fetches of the classification the TdT holds
    nomenclature_demande: _Seconds = 86400  # between two requests for a newer one to the préfecture
    nomenclature_attente: _Seconds = 90  # acts wait that long for the answer to the very first request
    nomenclature_max: _Seconds = 172800  # fetched longer ago than that, it is stale: nothing is sent
    statut3: _Seconds = 172800  # an act transmitted for longer without ARActe is reported
    http: _Seconds = 60  # longest wait for an answer of the TdT

    @property
    def longest(self) -> float:
        """The longest wait between two looks at one act, one flow, one answer."""
        return max(self.sondage_min, self.sondage_max, self.rapprochement, self.reprise_max)


@dataclass(frozen=True)
class Line:
    """A line of the groupement's table of durations: which acts, or flows, have this rule, fate and access.

    `natures` (1 to 6) and `matters` (with what they contain) are all when empty.
    """

    rule: str
    action: _Fate
    access: str
    natures: frozenset[Whole] = frozenset()
    matters: tuple[str, ...] = ()
    flows: bool = False


@dataclass(frozen=True)
class Config:
    """What one connector needs to know. Paths are absolute; `taille_max_mo` counts 10^6 bytes."""

    url: Annotated[_Filled, _https("https://www.s2low.org")]
    siren: Annotated[_Filled, _siren]
    departement: Annotated[_Filled, _department]
    tdt: _Filled = "s2low"
    entite: _Filled = ""  # of a CCAS, a caisse des écoles: its name, as servers know it
    certificat: _Path = Path("/etc/creatic/pki/tdt/current")
    autorites: _Path = Path("/etc/ssl/certs/ca-certificates.crt")
    revocation: _Path = Path("/etc/creatic/pki/crl.pem")
    # Its authorities alone: what the archive attests is by theirs.
    groupement: Annotated[Path, UNWRITTEN] = Path("/etc/creatic/pki/ca.pem")
    dossier: _Path = Path("/var/lib/tdt-connector")
    metriques: _Path = Path("/var/lib/creatic/metrics/tdt_connector.prom")
    taille_max_mo: Annotated[float, positive] = 150
    # Oldest version of the schema of budgets that the préfecture takes.
    schema_budgetaire: Annotated[float, positive] = SCHEMA
    identifiant: Annotated[str | None, Key("compte.identifiant", needed=True), From(str, filled)] = None
    mot_de_passe: Annotated[str | None, Key("compte.fichier_mot_de_passe", needed=True), From(Secret, filled)] = field(
        default=None, repr=False
    )
    delais: Delays = Delays()
    archive_url: Annotated[str, Key("archivage.url", needed=True), _https("https://sae.exemple.fr")] = ""
    archive_agency: Annotated[str, Key("archivage.service", needed=True)] = ""
    archive_agreement: Annotated[str, Key("archivage.accord")] = ""
    archive_rule: Annotated[str, Key("archivage.regle", needed=True)] = ""
    archive_action: Annotated[_Fate, Key("archivage.sort", needed=True)] = "Keep"
    archive_schedule: Annotated[tuple[Line, ...], Key("archivage.durees")] = ()
    archive_flow_rule: Annotated[str, Key("archivage.regle_flux")] = ""  # without one, flows of accounts stay here
    archive_flow_action: Annotated[_Fate, Key("archivage.sort_flux")] = ""
    archive_certificate: Annotated[_Path, Key("archivage.certificat", needed=True)] = Path(
        "/etc/creatic/pki/tdt/current"
    )
    passerelle_url: Annotated[str, Key("passerelle.url", needed=True), _https("https://passerelle.exemple.fr")] = ""
    flux_signes: bool = False
    # Matters whose acts leave only when their description says so.
    matieres_a_dire: Annotated[tuple[str, ...], From(Any, _matters)] = ()
    passerelle_certificate: Annotated[_Path, Key("passerelle.certificat", needed=True)] = Path(
        "/etc/creatic/pki/tdt/current"
    )

    def __post_init__(self) -> None:
        if bool(self.archive_flow_rule) != bool(self.archive_flow_action):
            raise ValueError("« archivage.regle_flux » et « archivage.sort_flux » vont ensemble ; donnez les deux.")

    @property
    def max_bytes(self) -> int:
        """Size from which the TdT refuses the files of an act, in bytes."""
        return int(self.taille_max_mo * 1_000_000)

    folder_depot = Under("dossier", "depot")
    folder_current = Under("dossier", "en_cours")
    folder_kept = Under("dossier", "conserves")
    """Acts that do not go out (CGCT, L2131-2), for the archive."""
    folder_state = Under("dossier", "etat")
    journal = Under("folder_state", "journal.sqlite")
    classification = Under("dossier", "nomenclature/classification.xml")


ENTITY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def of_entity(name: str, main: Path = DEFAULT_PATH) -> Path:
    """The configuration of an entity that this connector serves too.

    Raises:
        ConfigError: it serves none of that name.
    """
    known = entities(main)
    if name not in known:
        told = f"entités servies ici : {', '.join(known)}" if known else "aucune n'est servie ici"
        raise ConfigError(f"« {name[:60]} » n'est pas une entité de ce connecteur ; {told}.")
    return main.with_name("entites") / f"{name}.yml"


def entities(main: Path = DEFAULT_PATH) -> list[str]:
    """Names of the entities that this connector serves too (CCAS, caisse des écoles); others left their folders here.

    Args:
        main: the commune's configuration, beside which they are listed.
    """
    try:
        listed = main.with_name("entites.liste").read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return []
    return [name for name in listed if ENTITY.fullmatch(name)]


def load(path: Path, platforms: Collection[str]) -> Config:
    """Read and check the file. Raises ConfigError with every fault found, in French.

    Args:
        platforms: values that `tdt` may take (drivers.DRIVERS).
    """

    def platform(value: str) -> str:
        if value not in platforms:
            known = ", ".join(sorted(platforms))
            raise ValueError(f"« {value} » n'est pas un TdT connu ; choisissez parmi : {known}.")
        return value

    config = configuration.load(path, Config, checks={"tdt": platform})
    flow = next((one for one in config.archive_schedule if one.flows), None)
    if flow and not config.archive_flow_rule:
        config = replace(config, archive_flow_rule=flow.rule, archive_flow_action="Keep")
    if AWAITED.exists() and not config.journal.exists():
        raise ConfigError(
            "le journal n'est plus là : sans lui, un acte déjà envoyé, redéposé, partirait une deuxième fois. Remettez "
            "celui de la sauvegarde (sudo creatic-sauvegarde restaurer) ; s'il n'y en a aucune, dites-le au "
            "déploiement (docs/exploitation.md, « Une machine perdue »)."
        )
    return config
