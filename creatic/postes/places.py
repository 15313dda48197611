# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""PCs of the communes' files, with the certificates that the groupement signs for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.cdg59.creatic.plugins.filter.commune_pc import pc_issued
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import Request
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import pc_organization

from creatic.registry.groupement import Commune, Host


@dataclass(frozen=True)
class Place:
    """A PC, as its commune's file describes it.

    Attributes:
        name: machine of the inventory, as ``gondecourt-pc-secretariat``.
        computer: the computer's own name, compared without case.
        commune: slug.
        requests: what the groupement certifies there, by name.
    """

    name: str
    computer: str
    commune: str
    requests: Mapping[str, Request]


def computer(host: Host) -> str:
    """The name of a PC for itself: its own under Windows and where nobody reaches it, else the inventory's."""
    told = host.variables["creatic_poste"]
    return str(told["nom"]) if host.is_carried or told["systeme"] == "windows" else host.name


def places(communes: Iterable[Commune]) -> dict[str, Place]:
    """The PCs of communes, by name. Raises PkiError: the authority certifies no such holder."""
    found = {}
    for one in communes:
        organization, siren = pc_organization(one.data["nom"]), str(one.data["siren"])
        for host in one.pcs():
            issued = pc_issued(host.variables["creatic_poste"]["certificats"], organization, siren)
            requests = {str(each["name"]): Request.from_dict(each) for each in issued}
            found[host.name] = Place(host.name, computer(host), one.slug, requests)
    return found
