# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What machines of the inventory are told of each other: the variables of roles, made from groups and communes.

`groups` and `hostvars` are Ansible's: hosts of each group, variables of each host. `communes` are those of the
variable creatic_communes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError

from creatic.registry import entities, formalities, profiles

Groups = Mapping[str, Sequence[str]]
HostVars = Mapping[str, Mapping[str, Any]]

CONTROL = "poste-de-commande"
DEFAULT_ARCHIVE_QUOTA_MB = 1_000_000

DOORS = ("passerelle", "archivage")
"""Places whose door a commune's connector opens with its certificate, and so proves (tdt-connector proof)."""

# The proofs that make a host ready to transmit, by profile.
REQUIRED: dict[str, dict[str, str]] = {
    "commune_pc": {"navigateur": "Navigateur sur le site du TdT"},
    "tdt_connector": {
        "connexion": "Connexion au TdT",
        "rgs": "Certificat RGS",
        "classification": "Classification de la préfecture",
        "acte": "Acte de test acquitté (ARActe)",
    },
}


class WiringError(CreaticError, cause="cablage"):
    """The inventory does not say what a role needs; the message (French) names the place and the fix."""


def host_variable(hostvars: HostVars, host: str, name: str) -> Any:
    """Give a variable of another host.

    Raises:
        WiringError: the host has none.
    """
    try:
        return hostvars[host][name]
    except KeyError:
        raise WiringError(
            f"{host} : la variable {name} manque. À faire : écrivez-la sur cette machine, dans servers.yml de "
            "l'inventaire (docs/variables.md dit ce qu'on y met)"
        ) from None


def addresses(groups: Groups, hostvars: HostVars, names: Iterable[str]) -> list[str]:
    """Addresses of the machines of some groups, sorted; a group that is not there has none."""
    return sorted(host_variable(hostvars, host, "ansible_host") for name in names for host in groups.get(name, ()))


def url(hostvars: HostVars, host: str) -> str:
    """Address by which others call a server."""
    return f"https://{host_variable(hostvars, host, 'creatic_names')[0]}"


def connector_gateway(groups: Groups, hostvars: HostVars, commune: Mapping[str, Any]) -> dict[str, Any]:
    """The variable tdt_connector_passerelle of a commune's connector; empty when none of its services needs it.

    Raises:
        WiringError: its services need a passerelle, and the inventory has none: a commune that loses its passerelle
            with a change of the inventory would transmit nothing any more, without a word.
    """
    if not {*commune["services"]} & {*profiles.load()["passerelle"].services}:
        return {}
    _must_have(groups, commune["services"], f"communes/{commune['slug']}.yml", "passerelle")
    return {
        "url": url(hostvars, groups["passerelle"][0]),
        "addresses": addresses(groups, hostvars, ["passerelle"]),
    }


def connector_archive(
    groups: Groups, hostvars: HostVars, commune: Mapping[str, Any], service: str, deposit: Mapping[str, Any]
) -> dict[str, Any]:
    """The variable tdt_connector_archive of a commune's connector; empty without the service archivage.

    Args:
        service: the variable creatic_archive_service, empty when the inventory has none.
        deposit: the variable creatic_archive_versement; what it says of url and agency is taken as it is.

    Raises:
        WiringError: the inventory has no archive gateway, or does not say what is deposited.
    """
    if "archivage" not in commune["services"]:
        return {}
    _must_have(groups, commune["services"], f"communes/{commune['slug']}.yml", "archive_gateway")
    found = {"url": url(hostvars, groups["archive_gateway"][0]), "agency": service, **deposit}
    found |= {"agreement": commune["accord_versement"]} if "accord_versement" in commune else {}
    for name, kept in (
        ("creatic_archive_service", found["agency"]),
        ("creatic_archive_versement", {"rule", "action"} <= found.keys()),
        (
            "flow_rule et flow_action ensemble, dans creatic_archive_versement",
            ("flow_rule" in found) == ("flow_action" in found),
        ),
    ):
        if not kept:
            raise WiringError(
                f"{commune['slug']} : le service archivage demande {name}. À faire : écrivez-la dans "
                "group_vars/all.yml de l'inventaire (docs/variables.md dit ce qu'on y met)"
            )
    return found


def connector_entities(commune: Mapping[str, Any], secrets: str) -> list[dict[str, Any]]:
    """The variable tdt_connector_entities of a commune's connector: the entities that it hosts and that transmit.

    Args:
        secrets: the variable creatic_secrets_dir.
    """
    found = []
    for one in commune.get("entites", ()):
        services, given_here = {*one["services"]}, one.get("connecteur", {})
        if "teletransmission" not in services:
            continue
        entity = {
            "name": one["slug"],
            "siren": one["siren"],
            "organization": entities.organization(one),
            "signed_flows": given_here.get("flux_signes", "parapheur" in services),
            "archives": "archivage" in services,
            "relays": bool(services & {*profiles.load()["passerelle"].services}),
        }
        if "accord_versement" in one:
            entity["agreement"] = one["accord_versement"]
        if certificate := given_here.get("certificat"):
            entity["pkcs12"] = f"{secrets}/{certificate['fichier']}"
            entity["pkcs12_password_file"] = f"{secrets}/{certificate['secret']}"
        found.append(entity)
    return found


def _must_have(groups: Groups, services: Iterable[str], file: str, *names: str) -> None:
    lacks = {name: found for name, found in profiles.missing_profiles(services, groups).items() if name in names}
    if lacks:
        told, fix = profiles.lacking_text(lacks, file)
        raise WiringError(f"{told}. {fix}")


def commune_servers(groups: Groups, services: Iterable[str]) -> dict[str, list[str]]:
    """Servers where a commune has its place, by place; a place without a machine has none.

    Args:
        services: those that the commune takes.
    """
    wanted = {*services}
    found: dict[str, list[str]] = {}
    for name, profile in profiles.load().items():
        if profile.place and wanted & {*profile.services}:
            found.setdefault(profile.place, []).extend(groups.get(name, ()))
    return found


def commune_group(slug: str) -> str:
    """Group of a commune's machines."""
    return f"commune_{slug.replace('-', '_')}"


def communes_of(groups: Groups, hosts: Iterable[str], communes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Communes, of those that a server serves, of which a machine is among `hosts`: slug, name, SIREN.

    An entity has the machines of the commune that hosts it.
    """
    taken = {*hosts}
    return [
        {"slug": one["slug"], "nom": one["nom"], "siren": one["siren"]}
        for one in communes
        if taken & {*groups.get(commune_group(entities.home(one)), ())}
    ]


def proven_places(commune: Mapping[str, Any]) -> list[str]:
    """Places of a commune whose door its connector opens with its certificate, and proves (tdt-connector proof)."""
    return [one for one in commune_servers({}, commune["services"]) if one in DOORS]


def required_proofs(commune: Mapping[str, Any]) -> list[str]:
    """Keys of the proofs that a commune's connector makes (tdt-connector proof), those of its entities among them."""
    found = [*REQUIRED["tdt_connector"], *proven_places(commune)]
    for one in commune.get("entites", ()):
        if "teletransmission" in one["services"]:
            found += [f"{one['slug']}.{key}" for key in (*REQUIRED["tdt_connector"], *proven_places(one))]
    return found


def passerelle_communes(communes: Iterable[Mapping[str, Any]], bench: bool = False) -> list[dict[str, Any]]:
    """The variable passerelle_communes. A test bench settles nothing with anybody (see `formalities`)."""
    return [
        {key: commune[key] for key in ("slug", "nom", "siren", "services", "territoire", "taille")}
        | {"courriels": chiefs(commune), "publication": _publication_mode(commune)}
        | {"formalites": bench or _is_settled(commune.get("formalites", {}))}
        | ({"heberge_par": commune["heberge_par"]} if "heberge_par" in commune else {})
        for commune in communes
    ]


def _is_settled(written: Mapping[str, Any]) -> bool:
    return {key for key, one in written.items() if not formalities.is_to_come(one)} >= formalities.TRANSMISSION.keys()


def _publication_mode(commune: Mapping[str, Any]) -> str:
    """How a commune publishes its acts: on line unless its council chose (CGCT, L2131-1); "" when nothing says."""
    given = commune.get("deliberations")
    return str(given.get("publication", {}).get("mode", "electronique")) if given else ""


def chiefs(commune: Mapping[str, Any]) -> list[str]:
    """Addresses of a commune's maire and DGS, as its file names them for the parapheur and the délibérations."""
    signing, council = commune.get("parapheur", {}), commune.get("deliberations", {})
    named = [signing[role]["titulaire"] for role in ("maire", "dgs") if role in signing]
    named += [council["maire"], *council["dgs"]] if council else []
    known = {one["identifiant"]: one["courriel"] for one in commune.get("comptes", ())}
    return [*dict.fromkeys(known[one] for one in named)]


def passerelle_servers(
    groups: Groups, hostvars: HostVars, communes: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The variable passerelle_servers: where acts are taken and handed over.

    Raises:
        WiringError: a commune takes a service that no machine gives.
    """
    services = ("parapheur", "deliberations", "ged")
    asked = {service for commune in communes for service in commune["services"]}
    _must_have(groups, asked, "communes/", *services)
    return [
        {"service": service, "url": url(hostvars, host), "addresses": [host_variable(hostvars, host, "ansible_host")]}
        for service in services
        for host in groups.get(service, ())
    ]


def archive_nodes(groups: Groups, hostvars: HostVars) -> list[dict[str, Any]]:
    """The variable archive_node_nodes: all nodes of the room, by name."""
    told = profiles.load()["archive_node"].dit
    return [
        {
            "name": host,
            "address": host_variable(hostvars, host, "ansible_host"),
            "zone": host_variable(hostvars, host, "creatic_zone"),
            "weight": hostvars[host].get(told["part"], 100),
            "devices": [device["name"] for device in host_variable(hostvars, host, told["disques"])],
        }
        for host in sorted(groups.get("archive_node", ()))
    ]


def archive_urls(groups: Groups, hostvars: HostVars) -> list[str]:
    """The variable archive_gateway_storage_urls: every node of the room, by name."""
    return [url(hostvars, host) for host in sorted(groups.get("archive_node", ()))]


def archive_accounts(
    communes: Iterable[Mapping[str, Any]],
    partners: Iterable[Mapping[str, Any]],
    quotas: Mapping[str, int],
) -> list[dict[str, Any]]:
    """The variable archive_gateway_accounts: services versants.

    Args:
        communes: those with the service archivage. The connector alone deposits, under the name that role
            tdt_connector gives its certificate: a PC reads its commune's archives, and deposits none.
        partners: the variable creatic_archive_partenaires.
        quotas: megabytes, by commune.

    Bordereaux d'élimination of a commune are signed by its maire (Code du patrimoine, L212-2), those of an entity by
    its président, whose certificate bears its SIREN or that of the commune that hosts it, as in the parapheur. PCs of
    that commune read the entity's archives, which has none of its own.
    """
    found = [
        {
            "nom": commune["slug"],
            "libelle": commune["nom"],
            "siren": commune["siren"],
            "deposants": [f"Connecteur - {entities.organization(commune)}"[:64].strip()],
        }
        | ({"accord": commune["accord_versement"]} if "accord_versement" in commune else {})
        | ({"signataire": maire} if (maire := _maire_name(commune)) else {})
        | ({"siren_signataire": commune["siren_commune"]} if "siren_commune" in commune else {})
        | ({"heberge_par": commune["heberge_par"]} if "heberge_par" in commune else {})
        | ({"quota_mo": quotas[commune["slug"]]} if commune["slug"] in quotas else {})
        for commune in communes
    ]
    return found + [dict(one) for one in partners]


def _maire_name(commune: Mapping[str, Any]) -> str:
    """The maire's name, or an entity's président's, from a file; empty when nothing tells it."""
    identifiant = (
        commune.get("parapheur", {}).get("maire", {}).get("titulaire")
        or commune.get("deliberations", {}).get("maire")
        or commune.get("president", {}).get("titulaire")
    )
    people = {one["identifiant"]: f"{one['prenom']} {one['nom']}" for one in commune.get("comptes", ())}
    return people.get(identifiant, "")


def signers(groups: Groups, hostvars: HostVars, kind: str) -> list[str]:
    """Files of those whose signatures the parapheurs admit: their authorities, or revocation lists.

    Args:
        kind: `ca` or `crl`.
    """
    name = profiles.load()["parapheur"].dit[kind]
    found = [host_variable(hostvars, host, name) for host in groups.get("parapheur", ())]
    return sorted({path for files in found for path in files})


def archive_expected(groups: Groups, hostvars: HostVars) -> str:
    """What the journals of the archive gateways know, as ``creatic-archive --attendues`` takes it.

    A gateway that was not asked, or did not answer, gives nothing.
    """
    asked = [
        hostvars[host]["archive_attendues"]
        for host in groups.get("archive_gateway", ())
        if "archive_attendues" in hostvars[host]
    ]
    return "\n".join(answer.get("stdout", "") for answer in asked)


def tdt_authorities(communes: Iterable[Mapping[str, Any]], arrondissements: Mapping[str, str]) -> list[dict[str, Any]]:
    """The variable tdt_simulator_authorities.

    Args:
        arrondissements: the protocol's number of each territory.
    """
    return [
        {key: commune[key] for key in ("siren", "nom", "departement")}
        | {"arrondissement": arrondissements[commune["territoire"]]}
        for commune in sorted(communes, key=lambda one: str(one["siren"]))
    ]


def backup_machines(
    groups: Groups, hostvars: HostVars, folder: str, quotas: Mapping[str, int], ages: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Machines whose profile made backup keys, and the control node: input of filter backup_clients.

    Args:
        folder: ``sauvegardes`` of the control node's state, with a folder for each machine.
        quotas: megabytes, by machine; those with the archives' own have ARCHIVE_QUOTA_MO by default.
        ages: hours from which the last backup is too old, by size of commune.
    """
    archives = {host for name in profiles.marked("archive") for host in groups.get(name, ())}
    found = []
    for name in [*sorted(groups["all"]), CONTROL]:
        place = Path(folder, name)
        if not (place / "cle.pub").exists() or not (place / "sequestre.p7m").exists():
            continue
        proof = place / "cle.preuve"
        machine: dict[str, Any] = {
            "name": name,
            "key": (place / "cle.pub").read_text(encoding="utf-8").rstrip(),
            "proof": proof.read_text(encoding="utf-8") if proof.exists() else "",
            "sealed": (place / "sequestre.p7m").read_text(encoding="utf-8").rstrip() + "\n",
        }
        if name in quotas:
            machine["quota_mo"] = quotas[name]
        elif name in archives:
            machine["quota_mo"] = DEFAULT_ARCHIVE_QUOTA_MB
        commune = hostvars[name].get("creatic_commune", {}) if name != CONTROL else {}
        if age := ages.get(commune.get("taille", "")):
            machine["age_max_h"] = age
        found.append(machine)
    return found
