"""Who is at the other end: the client certificate that nginx verified."""

from __future__ import annotations

from dataclasses import dataclass

from creatic_agent.identity import Denied, certificate_of, names_of, siren_of

from .config import Commune, Config

# As role tdt_connector names its certificates: a PC of the commune reads its page, and speaks for no connector.
_CONNECTOR = "Connecteur - "


@dataclass(frozen=True)
class Visitor:
    """Whose certificate it is; `commune` is None for the groupement, which sees them all."""

    name: str
    commune: Commune | None
    connector: bool

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
    siren, names = siren_of(certificate) or "", names_of(certificate)
    name = names[0] if names else ""
    if siren and siren == config.siren:
        return Visitor(name, None, False)
    commune = config.by_siren(siren)
    if commune is None:
        shown = f"au SIREN {siren}" if siren else "qui ne porte pas de SIREN (OU « 0002 … »)"
        raise Denied(f"Ce certificat {shown} n'est d'aucune commune que sert la passerelle.")
    connector = name.startswith(_CONNECTOR)
    if chosen and not connector:
        commune = next((one for one in config.opened_by(commune) if one.slug == chosen), commune)
    return Visitor(name, commune, connector)
