"""The parts of /etc/sae/config.json that seal, check and eliminate (the rest is sae.config's)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sae.config import Config, ConfigError
from sae.elimination import Agent, Proof, Trust
from sae.fixity import Plan
from sae.journal import timestamp
from sae.store import Store, StoreError, SwiftStore, Unavailable

TRUST = Path("/etc/creatic/pki/ca.pem")


def section(path: Path, name: str) -> dict[str, Any]:
    """A part of the configuration, {} if it is not there. Raises ConfigError."""
    try:
        found = json.loads(path.read_bytes()).get(name, {})
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} : illisible ({error}). Relancez le déploiement.") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} : le champ « {name} » doit être un objet. Relancez le déploiement.")
    return found


@dataclass(frozen=True)
class Sealing:
    """How seals are timestamped: by what, and from which authorities a timestamp is taken."""

    stamper: timestamp.Stamper
    root: Path


def sealing(path: Path) -> Sealing:
    """Raises ConfigError."""
    given = section(path, "sceaux")
    root = Path(given.get("autorites") or TRUST)
    if not given.get("url"):
        return Sealing(timestamp.local_unit(Path(given.get("unite", "/etc/creatic/pki/horodatage/current"))), root)
    password = ""
    if given.get("mot_de_passe"):
        try:
            password = Path(given["mot_de_passe"]).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"{given['mot_de_passe']} : lecture impossible ({error.strerror}).") from error
    web = Path(given["autorites_web"]) if given.get("autorites_web") else None
    return Sealing(timestamp.remote_unit(str(given["url"]), str(given.get("identifiant", "")), password, web), root)


def plan(path: Path, config: Config) -> Plan:
    """What fixity must achieve. Raises ConfigError."""
    given = section(path, "fixite")
    try:
        return Plan(
            accounts=tuple(config.accounts),
            days=float(given.get("jours", Plan.days)),
            exceptions={name: float(days) for name, days in given.get("comptes", {}).items()},
            rate=float(given.get("mo_par_seconde", Plan.rate / 1e6)) * 1e6,
            seconds=float(given.get("duree", Plan.seconds)),
            patience=float(given.get("attente", Plan.patience)),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} : « fixite » est incorrect ({error}). Relancez le déploiement.") from error


def replicas(store: Store) -> list[tuple[str, Store]]:
    """Each way to read an archive, with its name."""
    return list(store.each().items()) if isinstance(store, SwiftStore) else [("stockage", store)]


def clocks(store: Store) -> Callable[[], Mapping[str, datetime]]:
    """Gives the time of each node that answers."""

    def ask() -> dict[str, datetime]:
        found: dict[str, datetime] = {}
        for name, one in replicas(store):
            if isinstance(one, SwiftStore):
                try:
                    at = one.clock("sae")
                except StoreError:
                    continue
                if at:
                    found[name] = at
        return found

    return ask


def reference(store: Store) -> Callable[[], Mapping[str, datetime]]:
    """Gives the same, of most of the nodes at least: until then there is nothing to seal by. Raises Unavailable."""

    def ask() -> Mapping[str, datetime]:
        found, nodes = clocks(store)(), len(replicas(store))
        if isinstance(store, SwiftStore) and 2 * len(found) <= nodes:
            raise Unavailable(
                f"l'heure n'est pas confirmée : {len(found)} sur {nodes} nœuds du stockage la donnent, il en faut plus "
                "de la moitié. Rien n'est scellé, la prochaine passe réessaiera"
            )
        return found

    return ask


def elimination(path: Path) -> tuple[Trust, Proof]:
    """Who may eliminate, and how it is certified. Raises ConfigError."""
    given = section(path, "elimination")
    try:
        agents = [
            Agent(str(one["nom"]), str(one["sujet"]), frozenset(one.get("comptes", ())))
            for one in given.get("agents", [])
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} : « elimination.agents » est incorrect ({error}). Relancez le déploiement."
        ) from error
    trust = Trust(
        root=Path(given.get("autorites") or TRUST),
        crl=Path(given["revocations"]) if given.get("revocations") else None,
        agents=agents,
    )
    certificate = Path(given.get("certificat", "/etc/creatic/pki/attestation/current"))
    return trust, Proof(certificate, sealing(path).stamper)
