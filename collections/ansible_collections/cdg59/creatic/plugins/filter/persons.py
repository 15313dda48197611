# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The certificate of a person, as `pki_ca` makes it on the control node."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    PkiError,
    load_certificate,
    person_name,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import CHARACTER, READS_RESERVED, slug
from cryptography.x509.oid import NameOID

from creatic.pki.x509 import name_part
from creatic.registry import entities


def person_certificate(
    name: str, hosts: Iterable[Mapping[str, Any]], commune: str, organization: str, siren: str, folder: str
) -> dict[str, Any]:
    """Return the request of a person's certificate, and the subject that doors know the person by.

    Args:
        name: first name and name, the CN.
        hosts: variables of the inventory's hosts.
        commune: slug of an agent's commune, or of an entity that it hosts; empty for someone of the groupement.
        organization: O of the groupement.
        siren: the groupement's, 9 digits.
        folder: of people's certificates, on the control node.

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
        if known[commune]["siren"] == siren:  # it opens all communes' pages
            raise AnsibleFilterError(f"commune : {commune} a le SIREN du groupement, corrigez son fichier")
        organization, siren = entities.organization(known[commune]), known[commune]["siren"]
        commune = entities.home(known[commune])  # whose certificates are followed, and leave with it
    return {
        "name": _file_name(Path(folder), name, organization, siren),
        "profile": "client",
        "common_name": name,
        "organization": organization,
        "siren": siren,
        "commune": commune,
        "subject": f"CN={name},OU=0002 {siren},O={organization},C=FR",
    }


def _file_name(folder: Path, name: str, organization: str, siren: str) -> str:
    """Name of a person's files: one person may act for two organizations, whose names may be written alike.

    Files named for the person alone, as they all were, stay those of the organization that their certificate names.
    """
    former = f"{slug(name)[:50]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    try:
        known = load_certificate((folder / former / "current" / "cert.pem").read_text(encoding="ascii"))
    except FileNotFoundError:
        pass
    except (OSError, PkiError, ValueError):
        fix = "À faire : restaurez ce dossier depuis la sauvegarde, puis relancez ; rien n'est émis"
        raise AnsibleFilterError(f"{folder / former} : le certificat de cette personne est illisible. {fix}") from None
    else:
        if [name_part(known, oid) for oid in (NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME)] == [
            organization,
            f"0002 {siren}",
        ]:
            return former
    digest = hashlib.sha256("\0".join((name, organization, siren)).encode()).hexdigest()
    return f"{slug(name)[:28]}-{slug(organization)[:24].strip('-')}-{digest[:8]}"


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
    part = r"(?:[^,+\\]|\\.)+"
    return rf"^CN=(?!{READS_RESERVED}){CHARACTER}+,OU=0002 {siren},O={part},C=FR$"


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give the filters by name."""
        return {"person_certificate": person_certificate, "persons_of": persons_of}
