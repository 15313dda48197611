# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What values of an inventory mean for the roles that take them, beyond their types and forms.

Each check is of something that a role would refuse once machines have begun to change, or that it would do as it is
told: open SSH to everybody, take another disk after a reboot, give an archive to eliminate to nobody.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import siren_is_valid
from cryptography import x509
from cryptography.x509.oid import NameOID

from creatic.firewall import rules
from creatic.registry.checked_yaml import quote

# Links that udev names by what does not change: the disk itself, its slot, a partition's identity; and multipath's.
_LASTING = re.compile(r"/dev/(disk/by-(id|path|partuuid|partlabel)|mapper)/[^/]+")
_VOLUME = re.compile(r"[a-z][a-z0-9-]{0,15}")
# Numbers that a ring cannot be built with, or that stop a check (Swift's builder takes 2^32 partitions at most; the
# whole of them is read at each pass).
_BOUNDS = {
    "archive_node_replicas": (1, 9),
    "archive_node_part_power": (1, 24),
    "archive_node_min_part_hours": (0, 720),
    "archive_node_replication_interval": (1, 86400),
    "archive_node_audit_interval": (1, 86400),
    "archive_node_audit_rate": (1, 10000),
    "archive_gateway_fixity_days": (1, 3650),
    "archive_gateway_fixity_rate": (1, 10000),
    "firewall_confirm_delay": (10, 600),
}
_LOGIN = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
_COPIED = "recopiez celui que « fab pki.personne » montre"


def faults(name: str, value: Any, known: Callable[[str], Any]) -> Iterator[str]:
    """Judge a value whose type and form are good; in French, with what to do.

    Args:
        name: of the variable.
        value: as Ansible computes it.
        known: gives another variable of the same machine, None when it has none.
    """
    if name in _BOUNDS:
        least, most = _BOUNDS[name]
        if not least <= int(value) <= most:
            yield f"{value} n'est pas admis. À faire : écrivez un nombre de {least} à {most}"
    elif name == "firewall_admin_networks":
        for told in rules.problems([], value):
            yield told.removeprefix(f"{name} : ")
    elif name == "firewall_ssh_port":
        for told in rules.problems([], ["192.0.2.1"], value):
            yield told.removeprefix(f"{name} : ")
    elif name == "control_node_operators":
        yield from _operator_faults([str(one) for one in value])
    elif name == "archive_gateway_accounts":
        for one in _repeated_names([str(account["nom"]) for account in value]):
            yield (
                f"le service versant {quote(one)} y est deux fois, commune ou partenaire. À faire : donnez au "
                "partenaire un autre nom (creatic_archive_partenaires)"
            )
        for one in _repeated_names([str(account["siren"]) for account in value if "siren" in account]):
            yield (
                f"le SIREN {quote(one)} est de deux services versants : l'un lirait les archives de l'autre. À faire : "
                "corrigez celui de la commune (communes/), ou du partenaire (creatic_archive_partenaires)"
            )
    elif name == "encrypted_raid_volumes":
        yield from _volume_faults(value)
    elif name == "commune_pc_tdt_authorities":
        yield from _authority_faults([str(one) for one in value])
    elif name == "archive_node_devices":
        yield from _device_faults(value, known("encrypted_raid_volumes"), known("archive_node_mounted"))
    elif name == "archive_gateway_agents":
        accounts = known("archive_gateway_accounts") or []
        organization = str(known("archive_gateway_organization") or "")
        siren, names = str(known("archive_gateway_siren") or ""), {str(one["nom"]) for one in accounts}
        yield from _agent_faults(value, organization, siren, names)


def disks(volumes: Any) -> list[str]:
    """The disks of a machine's volumes, as they are named."""
    found = [one.get("disks") for one in volumes if isinstance(one, Mapping)] if isinstance(volumes, list) else []
    return [posixpath.normpath(str(disk)) for each in found if isinstance(each, list) for disk in each]


def _volume_faults(volumes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for volume in volumes:
        name = str(volume["name"])
        if not _VOLUME.fullmatch(name):
            yield (
                f"le volume {quote(name)} est mal nommé. À faire : 16 caractères au plus, minuscules, chiffres et "
                "tirets, une lettre d'abord"
            )
        if not isinstance(volume["disks"], list):
            yield f"les disques du volume {quote(name)} ne sont pas une liste. À faire : disks: [premier, second]"
        elif len(volume["disks"]) < 2:
            yield (
                f"le volume {quote(name)} n'est pas un miroir : il lui faut deux disques. À faire : nommez-les tous "
                "deux, même celui qui est en panne"
            )
        if not str(volume["mount"]).startswith("/"):
            yield f"le point de montage de {quote(name)} n'est pas un chemin absolu. À faire : comme /srv/node/{name}"
    for disk in disks([*volumes]):
        if not _LASTING.fullmatch(disk):
            yield (
                f"le disque {quote(disk)} n'est pas nommé par un nom qui ne change pas : au prochain démarrage, ce "
                "peut en être un autre. À faire : nommez-le par /dev/disk/by-id/… (ls -l /dev/disk/by-id, sur la "
                "machine)"
            )
    for what, named in (
        ("le disque {} est nommé", disks([*volumes])),
        ("le volume {} est écrit", [str(one["name"]) for one in volumes]),
        ("le point de montage {} est pris", [posixpath.normpath(str(one["mount"])) for one in volumes]),
    ):
        for one in _repeated_names(named):
            yield f"{what.format(quote(one))} deux fois pour cette machine. À faire : gardez-en un"


def _device_faults(devices: Sequence[Mapping[str, Any]], volumes: Any, mounted: Any) -> Iterator[str]:
    names = [str(one["name"]) for one in devices]
    for name in _repeated_names(names):
        yield f"le disque {quote(name)} est écrit deux fois. À faire : gardez-en un"
    if not isinstance(volumes, list) or not volumes or not mounted:
        return
    mounts = {posixpath.normpath(str(one.get("mount"))) for one in volumes if isinstance(one, Mapping)}
    for name in names:
        if f"/srv/node/{name}" not in mounts:
            yield (
                f"aucun volume n'est monté pour le disque {quote(name)} : rien n'y serait jamais écrit. À faire : "
                f"écrivez mount: /srv/node/{name} au volume qui est le sien (encrypted_raid_volumes, servers.yml)"
            )


def _agent_faults(
    agents: Sequence[Mapping[str, Any]], organization: str, siren: str, accounts: set[str]
) -> Iterator[str]:
    for rank, agent in enumerate(agents, 1):
        name, subject = str(agent["name"]), str(agent["subject"])
        who = f"l'agent {quote(name)}" if name.strip() else f"l'agent n° {rank}"
        if not name.strip():
            yield f"{who} n'a pas de nom. À faire : écrivez name: et son prénom et son nom"
        try:
            read = x509.Name.from_rfc4514_string(subject)
        except ValueError:
            yield f"le sujet du certificat de {who} ne se lit pas. À faire : {_COPIED}"
            continue
        written = read.rfc4514_string()
        units = [str(one.value) for one in read.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]
        if not read.get_attributes_for_oid(NameOID.COMMON_NAME) or (
            siren_is_valid(siren) and f"0002 {siren}" not in units
        ):
            yield (
                f"le sujet du certificat de {who} n'est pas celui d'une personne du groupement (CN= et son nom, "
                f"OU=0002 et le SIREN {siren}) : {who} ne pourrait rien signer. À faire : {_COPIED}"
            )
        elif organization and [organization] != [
            str(one.value) for one in read.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        ]:
            yield (
                f"le sujet du certificat de {who} n'est pas de l'organisation {quote(organization)} "
                f"(creatic_autorite) : {who} ne pourrait rien signer. À faire : {_COPIED}"
            )
        elif written != subject:
            yield (
                f"le sujet du certificat de {who} n'est pas écrit comme la passerelle le lira, et ne lui serait "
                f"jamais égal. À faire : écrivez {written}"
            )
        for account in sorted({str(one) for one in agent.get("accounts") or ()} - accounts):
            yield (
                f"le compte {quote(account)}, dont {who} répond, n'est pas un service versant. À faire : écrivez le "
                "nom du fichier de sa commune, qui prend le service archivage, ou celui d'un partenaire"
            )
    for one in _repeated_names([str(agent["subject"]) for agent in agents]):
        yield f"le sujet {quote(one)} est celui de deux agents. À faire : gardez-en un, ou corrigez l'autre"


def _operator_faults(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if not _LOGIN.fullmatch(name) or name == "root":
            yield (
                f"{quote(name)} n'est pas le compte d'une personne. À faire : 32 caractères au plus, minuscules sans "
                "accent, chiffres, points et tirets, une lettre d'abord ; jamais root"
            )
    for name in _repeated_names(names):
        yield f"le compte {quote(name)} y est deux fois. À faire : gardez-en un"


def _authority_faults(files: Sequence[str]) -> Iterator[str]:
    for one in files:
        path = Path(one).expanduser()
        if not path.is_file():  # told of every file of the control node
            continue
        try:
            x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError):
            yield (
                f"{one} ne se lit pas comme un certificat PEM. À faire : convertissez-le (openssl x509 -inform DER "
                "-in …), ou redemandez-le"
            )


def _repeated_names(names: Sequence[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]
