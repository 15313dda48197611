# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""``poste.json``: what the program of a PC reads of its groupement and of itself. No secret but the token."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.filter.commune_pc import OPENSC, pc_certificate_slug, pc_origin
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import composed, pc_organization

from creatic.pki.authority import Authority
from creatic.postes.enrolment import EnrolmentError, split
from creatic.postes.places import computer
from creatic.registry import wiring
from creatic.registry.groupement import Commune

_OPENSC = {
    "debian": OPENSC,
    "windows": r"C:\Program Files\OpenSC Project\OpenSC\pkcs11\opensc-pkcs11.dll",
}
"""Module of a token whose maker has none of its own, where OpenSC's installer puts it."""
PREFIX = "enrolement."
"""What comes before the guichet's first name in the enrolment door's: role guichet has the same."""


def describe_pc(
    name: str, communes: Sequence[Commune], inventory: Mapping[str, Any], authority: Authority
) -> dict[str, Any]:
    """What a PC is told, but its token.

    Args:
        name: machine of the inventory.
        inventory: as ``ansible-inventory --list`` says it.

    Raises:
        EnrolmentError: there is no such PC, or an authority of the TdT cannot be read. WiringError: a variable lacks.
        PkiError: there is no authority yet.
    """
    every = [(one, host) for one in communes for host in one.pcs()]
    found = [(one, host) for one, host in every if host.name == name]
    if not found:
        raise EnrolmentError(f"« {name} » n'est pas un poste de l'inventaire (communes/, postes)")
    [(commune, host)] = found
    variables = inventory["_meta"]["hostvars"]
    # A PC that Ansible does not reach has no variables: the door's machine has those of all (group_vars/all.yml).
    speaks = name if name in variables else _group_hosts(inventory, "guichet")[0]
    organization, siren = pc_organization(commune.data["nom"]), str(commune.data["siren"])
    told = host.variables["creatic_poste"]
    roots = list(authority.roots().values())
    return {
        "groupement": str(wiring.host_variable(variables, speaks, "creatic_autorite")["organisation"]),
        "commune": commune.data["nom"],
        "siren": siren,
        "poste": name,
        "nom": computer(host),
        "enrolement": f"https://{_enrolment_name(inventory)}",
        "racines": roots,
        "autorites": [one for one in split(authority.published()["ca"]) if one not in roots],
        "tdt_autorites": [_read_file(one) for one in variables[speaks].get("commune_pc_tdt_authorities", [])],
        "tdt": pc_origin(str(wiring.host_variable(variables, speaks, "creatic_tdt_url"))),
        "sites": [f"https://{_name_of(inventory, 'parapheur')}"] if _group_hosts(inventory, "parapheur") else [],
        "certificats": [
            _certificate_settings(one, organization, siren, told["systeme"]) for one in told["certificats"]
        ],
    }


def text(described: Mapping[str, Any], token: tuple[str, dt.datetime] | None) -> bytes:
    """The file, with a token that ends; without one where the groupement certifies nothing."""
    given = {"jeton": "", "jeton_fin": ""}
    if token:
        given = {"jeton": token[0], "jeton_fin": token[1].astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    return json.dumps({**described, **given}, ensure_ascii=False, indent=1).encode()


def _group_hosts(inventory: Mapping[str, Any], group: str) -> list[str]:
    return list(inventory.get(group, {}).get("hosts", []))


def _name_of(inventory: Mapping[str, Any], group: str) -> str:
    return str(
        wiring.host_variable(inventory["_meta"]["hostvars"], _group_hosts(inventory, group)[0], "creatic_names")[0]
    )


def _enrolment_name(inventory: Mapping[str, Any]) -> str:
    own = inventory["_meta"]["hostvars"][_group_hosts(inventory, "guichet")[0]].get("guichet_enrolment_names")
    return str(own[0]) if own else f"{PREFIX}{_name_of(inventory, 'guichet')}"


def _read_file(path: object) -> str:
    try:
        return Path(str(path)).read_text(encoding="ascii")
    except (OSError, ValueError):
        raise EnrolmentError(
            f"commune_pc_tdt_authorities : {path} ne se lit pas, ou n'est pas du PEM. À faire : corrigez le chemin"
        ) from None


def _certificate_settings(one: Mapping[str, Any], organization: str, siren: str, system: str) -> dict[str, str]:
    found = {
        "nom": pc_certificate_slug(one),
        "titulaire": composed(one["titulaire"]),
        "organisation": organization,
        "siren": siren,
        "usage": one["usage"],
        "source": one["source"],
    }
    if one["source"] == "jeton":
        found |= {"jeton": one["jeton"], "bibliotheque": one.get("bibliotheque", _OPENSC[system])}
    return found
