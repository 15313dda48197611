# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What role tdt_connector makes for the entities that a connector serves beside its commune.

Each has the folders of a commune below its own, a configuration, a certificate and instances of the same units
(``tdt-connector@NAME.service``…). Nothing of one is read by another's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.cdg59.creatic.plugins.filter.provider_certificate import provider_certificate

_HOME = "/var/lib/tdt-connector"
_CONFIGURATION = "/etc/tdt-connector"
_SYSTEMD_UNIT_FOLDER = "/etc/systemd/system"
_ISSUED = "/etc/creatic/pki"
_GROUP = "tdt-connector"

Entity = Mapping[str, Any]
Entry = dict[str, Any]


def connector_entity_files(
    entities: Sequence[Entity],
    files: Sequence[Mapping[str, Any]],
    archive: Mapping[str, Any],
    gateway: Mapping[str, Any],
) -> list[Entry]:
    """Entries of file_set, beside the commune's.

    Args:
        entities: the variable tdt_connector_entities.
        files: entries of the commune, of which each entity has the folders, and the units as templates.
        archive: the variable tdt_connector_archive.
        gateway: the variable tdt_connector_passerelle.

    Returns:
        Without any entity, that none is served; what one that left had stays, and nothing runs there.
    """
    listed: Entry = {"path": f"{_CONFIGURATION}/entites.liste"}
    if not entities:
        return [listed | {"state": "absent"}]
    folders = [dict(one) for one in files if one.get("state") == "directory" and one["path"].startswith(_HOME)]
    units = [
        dict(one)
        for one in files
        if one["path"].startswith(f"{_SYSTEMD_UNIT_FOLDER}/") and one.get("state") != "absent"
    ]
    found = [
        {"path": f"{_CONFIGURATION}/entites", "state": "directory"},
        folders[0] | {"path": f"{_HOME}/entites"},
    ]
    for one in entities:
        own = f"{_HOME}/entites/{one['name']}"
        found += [folder | {"path": folder["path"].replace(_HOME, own, 1)} for folder in folders]
        kept = {key: value for key, value in archive.items() if key != "agreement"}
        kept |= {"agreement": one["agreement"]} if one.get("agreement") else {}
        found.append(
            {
                "path": f"{_CONFIGURATION}/entites/{one['name']}.yml",
                "template": "config.yml.j2",
                "vars": {
                    "__tdt_connector_entity": one["name"],
                    "tdt_connector_siren": one["siren"],
                    "tdt_connector_signed_flows": one.get("signed_flows", False),
                    "tdt_connector_pkcs12": one.get("pkcs12", ""),
                    "tdt_connector_login": "",
                    "tdt_connector_archive": kept if one.get("archives") else {},
                    "tdt_connector_passerelle": dict(gateway) if one.get("relays") else {},
                },
            }
        )
    for unit in units:
        name, dot, kind = unit["path"].rpartition(".")
        instance = {"path": f"{name}@{dot}{kind}", "template": unit["template"]}
        found.append(instance | {"vars": {"__tdt_connector_entity": "%i"}})
    # Last: it lets them run.
    names = "".join(f"{one['name']}\n" for one in entities)
    return [*found, listed | {"content": names}]


def connector_entity_certificates(entities: Sequence[Entity]) -> list[Entry]:
    """Certificates of the groupement's authority (pki_client), at the SIREN of each."""
    return [
        {
            "name": f"{'sae' if one.get('pkcs12') else 'tdt'}-{one['name']}",
            "profile": "client",
            "common_name": f"Connecteur - {one['organization']}"[:64].strip(),
            "holder": "connector",
            "organization": one["organization"],
            "siren": one["siren"],
            "group": _GROUP,
        }
        for one in entities
        # With a provider's for the TdT, the archive and the passerelle ask for one of the groupement's.
        if not one.get("pkcs12") or one.get("archives") or one.get("relays")
    ]


def connector_entity_provided(entities: Sequence[Entity]) -> list[Entry]:
    """Entries of file_set which install the providers' certificates of those that have one.

    Raises:
        AnsibleFilterError: see `provider_certificate`.
    """
    return [
        entry
        for one in entities
        if one.get("pkcs12")
        for entry in provider_certificate(
            one["pkcs12"], one["pkcs12_password_file"], f"{_ISSUED}/tdt-{one['name']}", _GROUP, one["siren"]
        )
    ]


def connector_entity_units(entities: Sequence[Entity]) -> list[str]:
    """Units to start, as the commune has its own: what reads the archive and the passerelle only for who has them."""
    found = []
    for one in entities:
        kinds = ["versement@{}.path", "versement@{}.timer"] if one.get("archives") else []
        kinds += ["passerelle@{}.timer"] if one.get("relays") else []
        found += [f"tdt-connector-{kind.format(one['name'])}" for kind in kinds]
    return found + [f"tdt-connector@{one['name']}.service" for one in entities]


def connector_entity_journals(entities: Sequence[Entity]) -> list[str]:
    """Journals to back up as databases."""
    return [f"{_HOME}/entites/{one['name']}/etat/journal.sqlite" for one in entities]


class FilterModule:
    """Filters of this file, each with the name and the arguments of its function."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        found = (
            connector_entity_certificates,
            connector_entity_files,
            connector_entity_journals,
            connector_entity_provided,
            connector_entity_units,
        )
        return {work.__name__: work for work in found}
