"""Who is at the other end: the client certificate that nginx verified."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from creatic_agent.identity import Denied, Kind, certificate_of, identity_of, shown

from .config import Commune, Config


class Right(Enum):
    """What a certificate opens."""

    CONNECTOR = "ce qu'un connecteur demande et dit"
    PAGES = "les pages d'une commune"
    ALL_PAGES = "les pages de toutes les communes"


# By what bears the SIREN of a commune, or the groupement's. What is in neither (machine, service, nobody) has no right.
_COMMUNE = {Kind.CONNECTOR: Right.CONNECTOR, Kind.PERSON: Right.PAGES}
_GROUPEMENT = {Kind.PERSON: Right.ALL_PAGES}


@dataclass(frozen=True)
class Visitor:
    """Whose certificate it is; `commune` is None for the groupement, which sees them all."""

    name: str
    commune: Commune | None
    right: Right

    @property
    def connector(self) -> bool:
        """Whether it is a commune's connector."""
        return self.right is Right.CONNECTOR

    @property
    def agent(self) -> bool:
        """Whether it is somebody of a commune."""
        return self.right is Right.PAGES

    def served(self) -> Commune:
        """The commune that this connector serves. Raises Denied: it is no connector."""
        if self.commune is None or not self.connector:
            raise Denied("Seul le connecteur d'une commune a affaire ici.")
        return self.commune


def visitor(header: str, config: Config, chosen: str = "") -> Visitor:
    """The visitor of a request, from nginx's header alone. Raises Denied.

    Args:
        header: nginx's.
        config: whom the passerelle serves.
        chosen: slug of the entity whose pages an agent looks at, among those that their commune hosts. It opens nothing
            to anybody else: an entity has no PC of its own, and a connector speaks for the SIREN of its certificate.
    """
    certificate = certificate_of(header)
    who = identity_of(certificate)
    if who.siren and who.siren == config.siren:
        commune, right = None, _GROUPEMENT.get(who.kind)
    else:
        commune = config.by_siren(who.siren)
        right = _COMMUNE.get(who.kind) if commune else None
    if right is None:
        raise Denied(f"Ce certificat {shown(certificate)} n'est d'aucune commune que sert la passerelle.")
    if commune and right is Right.PAGES and chosen:
        commune = next((one for one in config.opened_by(commune) if one.slug == chosen), commune)
    return Visitor(who.name, commune, right)
