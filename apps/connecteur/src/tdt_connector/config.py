"""The agent's configuration: /etc/tdt-connector/config.yml, checked at start, errors in French."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from creatic_agent.places import Under
from creatic_agent.reasons import reason

DEFAULT_PATH = Path("/etc/tdt-connector/config.yml")
_REQUIRED = ("url", "siren", "departement")
_TOP = ("tdt", "url", "siren", "departement", "entite", "certificat", "autorites", "revocation", "dossier", "metriques")
_PATHS = ("certificat", "autorites", "revocation", "dossier", "metriques")
_NUMBERS = ("taille_max_mo", "schema_budgetaire")
_MATTER = re.compile(r"\d(\.\d{1,2}){0,4}")
_FINAL_ACTIONS = {"conserver": "Keep", "detruire": "Destroy"}
_Fault = Callable[[str, str], None]


# The deployment leaves it on a machine made anew whose journal is to come back from its backup; units know it too.
AWAITED = Path("/etc/creatic/connecteur-journal-attendu")


class ConfigError(Exception):
    """The configuration cannot be used. Its text, in French, has one line per fault: file, field, fix."""


@dataclass(frozen=True)
class Delays:
    """Waiting times, in seconds. The keys of `delais` in the file are these field names."""

    depot: float = 2  # between two looks into depot/
    stabilite: float = 5  # a file unchanged for that long is whole
    incomplet: float = 300  # a set of files still incomplete after that long is explained in rejets/
    sondage_min: float = 5  # first question about an act's status, then twice as long each time
    sondage_max: float = 900
    rapprochement: float = 60  # between a lost answer and the look for the act in the TdT's list
    reprise_max: float = 300  # longest pause after the TdT could not be reached
    reception: float = 900  # between two looks for letters of the préfecture
    nomenclature: float = 900  # between two fetches of the classification the TdT holds
    nomenclature_demande: float = 86400  # between two requests for a newer one to the préfecture
    nomenclature_attente: float = 90  # acts wait that long for the answer to the very first request
    nomenclature_max: float = 172800  # fetched longer ago than that, it is stale: nothing is sent
    statut3: float = 172800  # an act transmitted for longer without ARActe is reported
    http: float = 60  # longest wait for an answer of the TdT


@dataclass(frozen=True)
class Line:
    """A line of the groupement's table of durations: which acts, or flows, have this rule, fate and access.

    `natures` (1 to 6) and `matters` (with what they contain) are all when empty.
    """

    rule: str
    action: str
    access: str
    natures: frozenset[int] = frozenset()
    matters: tuple[str, ...] = ()
    flows: bool = False


@dataclass(frozen=True)
class Config:
    """What one connector needs to know. Paths are absolute; `taille_max_mo` counts 10^6 bytes."""

    url: str
    siren: str
    departement: str
    tdt: str = "s2low"
    entite: str = ""  # of a CCAS, a caisse des écoles: its name, as servers know it
    certificat: Path = Path("/etc/creatic/pki/tdt/current")
    autorites: Path = Path("/etc/ssl/certs/ca-certificates.crt")
    revocation: Path = Path("/etc/creatic/pki/crl.pem")
    groupement: Path = Path("/etc/creatic/pki/ca.pem")  # its authorities alone: what the archive attests is by theirs
    dossier: Path = Path("/var/lib/tdt-connector")
    metriques: Path = Path("/var/lib/creatic/metrics/tdt_connector.prom")
    taille_max_mo: float = 150
    schema_budgetaire: float = 43  # oldest version of the schema of budgets that the préfecture takes
    identifiant: str | None = None
    mot_de_passe: str | None = field(default=None, repr=False)
    delais: Delays = Delays()
    archive_url: str = ""
    archive_agency: str = ""
    archive_agreement: str = ""
    archive_rule: str = ""
    archive_action: str = "Keep"
    archive_schedule: tuple[Line, ...] = ()
    archive_flow_rule: str = ""  # without one, flows of accounts are not archived
    archive_flow_action: str = "Keep"
    archive_certificate: Path = Path("/etc/creatic/pki/tdt/current")
    passerelle_url: str = ""
    flux_signes: bool = False
    matieres_a_dire: tuple[str, ...] = ()  # matters whose acts leave only when their description says so
    passerelle_certificate: Path = Path("/etc/creatic/pki/tdt/current")

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


def luhn(digits: str) -> bool:
    """True when the check digit of a SIREN or SIRET is right."""
    total = 0
    for position, char in enumerate(reversed(digits)):
        value = int(char) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def load(path: Path, platforms: Collection[str]) -> Config:
    """Read and check the file. Raises ConfigError with every fault found, in French.

    Args:
        platforms: values that `tdt` may take (drivers.DRIVERS).
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except PermissionError as error:
        raise ConfigError(
            f"{path} : votre compte n'a pas le droit de le lire. Lancez la commande avec sudo."
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} : lecture impossible ({reason(error)}). Relancez le déploiement.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", ligne {where.line + 1}" if where else ""
        raise ConfigError(f"{path}{line} : ce n'est pas du YAML valide ; relancez le déploiement.") from error
    if not isinstance(raw, dict) or not raw:
        raise ConfigError(f"{path} : fichier vide ou sans champ ; il faut au moins {', '.join(_REQUIRED)}.")
    config = _build(raw, path, platforms)
    if AWAITED.exists() and not config.journal.exists():
        raise ConfigError(
            "le journal n'est plus là : sans lui, un acte déjà envoyé, redéposé, partirait une deuxième fois. Remettez "
            "celui de la sauvegarde (sudo creatic-sauvegarde restaurer) ; s'il n'y en a aucune, dites-le au "
            "déploiement (docs/exploitation.md, « Une machine perdue »)."
        )
    return config


def _build(raw: Mapping[str, object], path: Path, platforms: Collection[str]) -> Config:
    faults: list[str] = []

    def fault(name: str, text: str) -> None:
        faults.append(f"{path}, champ « {name} » : {text}")

    known = (*_TOP, *_NUMBERS, "compte", "delais", "archivage", "passerelle", "flux_signes", "matieres_a_dire")
    for name in raw:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            fault(str(name), "champ inconnu" + (f" ; vouliez-vous dire « {close[0]} » ?" if close else "."))
    for name in _REQUIRED:
        if name not in raw:
            fault(name, "champ obligatoire absent ; ajoutez-le.")
    values: dict[str, Any] = {}
    for name in _TOP:
        if name not in raw:
            continue
        value = raw[name]
        if not isinstance(value, str) or not value:
            fault(name, f"« {value} » doit être un texte ; mettez-le entre guillemets.")
            continue
        problem = _check_text(name, value)
        if problem:
            fault(name, problem)
        if name == "tdt" and value not in platforms:
            fault(name, f"« {value} » n'est pas un TdT connu ; choisissez parmi : {', '.join(sorted(platforms))}.")
        is_path = name in _PATHS
        values[name] = Path(value) if is_path else value.rstrip("/") if name == "url" else value
    for name in _NUMBERS:
        if name in raw:
            values[name] = _number(raw[name], name, fault)
    if "flux_signes" in raw:
        values["flux_signes"] = raw["flux_signes"]
        if not isinstance(raw["flux_signes"], bool):
            fault("flux_signes", "écrivez true ou false.")
    matters = raw.get("matieres_a_dire", [])
    if not isinstance(matters, list) or not all(isinstance(one, str) and _MATTER.fullmatch(one) for one in matters):
        fault("matieres_a_dire", 'attend une liste de matières entre guillemets ; exemple : ["6.1"].')
    else:
        values["matieres_a_dire"] = tuple(matters)
    values.update(_account(raw.get("compte"), fault))
    values["delais"] = _delays(raw.get("delais"), fault)
    values.update(_archive(raw.get("archivage"), fault))
    values.update(_passerelle(raw.get("passerelle"), fault))
    if faults:
        raise ConfigError("\n".join(faults))
    return Config(**values)


def _check_text(name: str, value: str) -> str | None:
    if name == "url":
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
            return f"« {value} » n'est pas une adresse https ; exemple : https://www.s2low.org"
    if name == "siren" and not (re.fullmatch(r"\d{9}", value) and luhn(value)):
        return f"« {value} » n'est pas un SIREN (9 chiffres dont une clé de contrôle) ; corrigez-le."
    if name == "departement" and not re.fullmatch(r"0\d[0-9AB]|\d{3}", value):
        return f"« {value} » n'est pas un département sur 3 caractères ; exemple : 059"
    if name in _PATHS and not Path(value).is_absolute():
        return f"« {value} » doit être un chemin absolu."
    return None


def _number(value: object, name: str, fault: _Fault) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        fault(name, f"« {value} » doit être un nombre supérieur à zéro.")
        return 1
    return value


def _account(raw: object, fault: _Fault) -> dict[str, str]:
    if raw is None:
        return {}
    wanted = {"identifiant", "fichier_mot_de_passe"}
    if not isinstance(raw, dict) or set(raw) != wanted:
        fault("compte", "attend exactement « identifiant » et « fichier_mot_de_passe ».")
        return {}
    try:
        secret = Path(str(raw["fichier_mot_de_passe"])).read_text(encoding="utf-8").strip()
    except PermissionError:
        fault("compte.fichier_mot_de_passe", "votre compte n'a pas le droit de le lire ; lancez la commande avec sudo.")
        return {}
    except (OSError, UnicodeDecodeError):
        fault("compte.fichier_mot_de_passe", "fichier illisible ; vérifiez son chemin et ses droits.")
        return {}
    return {"identifiant": str(raw["identifiant"]), "mot_de_passe": secret}


def _archive(raw: object, fault: _Fault) -> dict[str, Any]:
    if raw is None:
        return {}
    wanted = {"url", "service", "regle", "sort", "certificat"}
    flows = {"regle_flux", "sort_flux"}
    if (
        not isinstance(raw, dict)
        or set(raw) - {"accord", "durees"} not in (wanted, wanted | flows)
        or not all(isinstance(value, str) for name, value in raw.items() if name != "durees")
    ):
        fault(
            "archivage",
            f"attend exactement {', '.join(sorted(wanted))} ; {' et '.join(sorted(flows))}, accord ou durees en plus.",
        )
        return {}
    problem = _check_text("url", raw["url"])
    if problem:
        fault("archivage.url", problem.replace("https://www.s2low.org", "https://sae.exemple.fr"))
    for name in ("sort", "sort_flux"):
        if raw.get(name, "conserver") not in _FINAL_ACTIONS:
            fault(f"archivage.{name}", f"« {raw[name]} » est inconnu ; écrivez conserver ou detruire.")
    try:
        schedule = tuple(
            Line(
                rule=str(one["rule"]),
                action=_FINAL_ACTIONS[one["action"]],
                access=str(one["access"]),
                natures=frozenset(int(nature) for nature in one.get("natures", ())),
                matters=tuple(str(matter) for matter in one.get("matters", ())),
                flows=one.get("flows") is True,
            )
            for one in raw.get("durees") or ()
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        fault("archivage.durees", f"ligne incorrecte ({error!r}) ; relancez le déploiement.")
        schedule = ()
    flow = next((one for one in schedule if one.flows), None)
    return {
        "archive_schedule": schedule,
        "archive_url": raw["url"].rstrip("/"),
        "archive_agency": raw["service"],
        "archive_agreement": raw.get("accord", ""),
        "archive_rule": raw["regle"],
        "archive_action": _FINAL_ACTIONS.get(raw["sort"], "Keep"),
        "archive_flow_rule": raw.get("regle_flux", flow.rule if flow else ""),
        "archive_flow_action": _FINAL_ACTIONS.get(raw.get("sort_flux", ""), "Keep"),
        "archive_certificate": Path(raw["certificat"]),
    }


def _passerelle(raw: object, fault: _Fault) -> dict[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, dict) or set(raw) != {"url", "certificat"}:
        fault("passerelle", "attend exactement « url » et « certificat ».")
        return {}
    problem = _check_text("url", str(raw["url"]))
    if problem:
        fault("passerelle.url", problem.replace("https://www.s2low.org", "https://passerelle.exemple.fr"))
    return {"passerelle_url": str(raw["url"]).rstrip("/"), "passerelle_certificate": Path(str(raw["certificat"]))}


def _delays(raw: object, fault: _Fault) -> Delays:
    if raw is None:
        return Delays()
    known = {item.name for item in fields(Delays)}
    if not isinstance(raw, dict) or not set(raw) <= known:
        fault("delais", f"n'accepte que {', '.join(sorted(known))} (en secondes).")
        return Delays()
    return Delays(**{name: _number(value, f"delais.{name}", fault) for name, value in raw.items()})
