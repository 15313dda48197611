# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the lab's certificate provider makes: each certificate that a PC or a connector of the inventory awaits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.filter.commune_pc import PROFILES
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.names import pc_organization


def lab_certificates(hosts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Certificates that hosts await, each with its commune.

    A connector's has a file and a secret only; the rest is what every connector has.

    Args:
        hosts: variables of PCs and connectors.
    """
    found: list[dict[str, Any]] = []
    for host in hosts:
        commune = host["creatic_commune"]
        found += [{**one, "commune": commune} for one in host.get("creatic_poste", {}).get("certificats", ())]
        if certificate := host.get("creatic_connecteur", {}).get("certificat"):
            found.append(
                {
                    **certificate,
                    "commune": commune,
                    "titulaire": f"Connecteur - {commune['nom']}",
                    "usage": "authentification",
                    "source": "fichier",
                    "holder": "connector",
                }
            )
    return found


def lab_orders(certificates: Iterable[Mapping[str, Any]], secrets: str) -> list[dict[str, Any]]:
    """Those that come as files, as module pki_ca makes them.

    Args:
        certificates: of `lab_certificates`.
        secrets: folder of the files and of their passwords, which `--check` finds without any.
    """
    found = []
    for one in certificates:
        if one["source"] == "fichier":
            password = Path(secrets, str(one["secret"]))
            found.append(
                {
                    "name": Path(str(one["fichier"])).with_suffix("").as_posix(),
                    "profile": PROFILES[one["usage"]],
                    "common_name": one["titulaire"],
                    "holder": one.get("holder", "person"),
                    "organization": pc_organization(one["commune"]["nom"]),
                    "siren": one["commune"]["siren"],
                    "key_type": "rsa",
                    "commune": one["commune"]["slug"],
                    "p12": f"{secrets}/{one['fichier']}",
                    "p12_password": password.read_text(encoding="utf-8").rstrip() if password.exists() else "à venir",
                }
            )
    return found


class FilterModule:
    """Filters for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"lab_certificates": lab_certificates, "lab_orders": lab_orders}
