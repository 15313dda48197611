# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The certificate of a person, as `pki_ca` makes it on the control node."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.filter.commune_pc import slug
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import RESERVED, PkiError, person_name
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import entities


def person_certificate(
    name: str, hosts: Iterable[Mapping[str, Any]], commune: str, organization: str, siren: str
) -> dict[str, Any]:
    """Return the request of a person's certificate, and the subject that doors know the person by.

    Args:
        name: first name and name, the CN.
        hosts: variables of the inventory's hosts.
        commune: slug of an agent's commune, or of an entity that it hosts; empty for someone of the groupement.
        organization: O of the groupement.
        siren: the groupement's, 9 digits.

    Raises:
        AnsibleFilterError: no such commune, or a name that no person bears (French).
    """
    try:
        name = person_name(name)
    except PkiError as error:
        raise AnsibleFilterError(str(error)) from None
    if not slug(name):
        raise AnsibleFilterError("nom : donnez le prénom et le nom de la personne")
    if commune:
        communes = (host["creatic_commune"] for host in hosts if "creatic_commune" in host)
        known = {one["slug"]: one for one in entities.with_entities(communes)}
        if commune not in known:
            raise AnsibleFilterError(f"commune : « {commune} » n'est pas dans communes/, donnez le nom de son fichier")
        organization, siren = entities.organization(known[commune]), known[commune]["siren"]
        commune = entities.home(known[commune])  # whose certificates are followed, and leave with it
    # Two names may be written alike without their accents.
    short = f"{slug(name)[:50]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    return {
        "name": short,
        "profile": "client",
        "common_name": name,
        "organization": organization,
        "siren": siren,
        "commune": commune,
        "subject": f"CN={name},OU=0002 {siren},O={organization},C=FR",
    }


def persons_of(siren: str) -> str:
    """Return the regular expression (PCRE) of the subjects of the groupement's people, as nginx writes them.

    Its services and machines have certificates of the same authority, some with the same SIREN: their names are
    reserved. nginx writes subjects as RFC 2253 says, with every byte beyond ASCII escaped.

    Args:
        siren: the groupement's, 9 digits.

    Raises:
        AnsibleFilterError: it is no SIREN (French).
    """
    if not re.fullmatch("[0-9]{9}", siren):
        raise AnsibleFilterError(f"SIREN : « {siren} » n'est pas fait de 9 chiffres")
    services = "|".join(map(re.escape, RESERVED))
    part = r"(?:[^,+\\]|\\.)+"
    return rf"^CN=(?!(?i:{services})){part},OU=0002 {siren},O={part},C=FR$"


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give the filters by name."""
        return {"person_certificate": person_certificate, "persons_of": persons_of}
