# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Who speaks to whom on which port: the flows that the roles of every machine ask of its firewall, side by side.

Nothing is written by hand here but why a flow is there: what enters a machine is a row, what leaves it for somebody who
is not of the inventory is another; a flow that one side lets out and the other does not let in is told.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.cdg59.creatic.plugins.module_utils import harmless
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import ip

from creatic.firewall.rules import RESOLVERS, render
from creatic.registry import groupement, listing, profiles
from creatic_agent import spreadsheet

TOP = Path(__file__).parents[2]
HEAD = (
    "Site de départ", "Départ", "Adresse de départ", "Site d'arrivée", "Arrivée", "Adresse d'arrivée", "Protocole",
    "Ports", "Pourquoi", "Règle", "À corriger",
)  # fmt: skip
OUTSIDE, GROUP = "Extérieur", "Groupement"
ANYONE = "toute adresse"
ITS_NETWORK = "réseau de la commune"
"""Where a PC is that nobody reaches (``acces: installeur``)."""
SSH = "firewall-ssh"
WHY = {
    SSH: "administration (SSH)",
    "archive-proxy": "la passerelle des archives lit et écrit dans la salle",
    "archive-storage": "les nœuds des archives se copient les uns les autres",
    "archive-storage-out": "les nœuds des archives se copient les uns les autres",
    "archive_gateway": "versements et consultation des archives",
    "archive_gateway-freshclam": "définitions de virus",
    "archive_gateway-storage": "la passerelle des archives lit et écrit dans la salle",
    "archive_gateway-tsa": "horodatage des archives",
    "backup_client": "sauvegarde (SSH)",
    "backup_server": "sauvegarde (SSH)",
    "base-dhcp": "adresse de la machine (DHCP)",
    "base-dhcp6": "adresse de la machine (DHCPv6)",
    "base-dhcp6-answers": "adresse de la machine (DHCPv6)",
    "base-dns": "noms (DNS)",
    "base-dns-tcp": "noms (DNS)",
    "base-journals": "journaux vers la supervision",
    "base-metrics": "mesures lues par la supervision",
    "base-ntp": "heure (NTP)",
    "base-nts": "heure prouvée (NTS)",
    "base-packages": "paquets et correctifs de Debian",
    "base-ping": "joignable (ping)",
    "base-ping-out": "joignable (ping)",
    "commune_pc-web": "les navigateurs de l'agent",
    "control_node-ssh": "administration (SSH)",
    "control_node-web": "paquets, applications et listes de révocation",
    "flotte": "la machine vient chercher sa version au guichet",
    "guichet": "les machines en accès sortant viennent au guichet",
    "guichet-porte": "administration des machines en accès sortant",
    "guichet-tunnels": "administration des machines en accès sortant",
    "mayan-https": "pages et interface de la GED ou du parapheur",
    "parapheur-mail": "courriels du parapheur",
    "passerelle": "la passerelle, ses pages et les connecteurs",
    "passerelle-deliberations": "la passerelle prend et rend les délibérations",
    "passerelle-ged": "la passerelle classe les actes dans la GED",
    "passerelle-mail": "courriels de la passerelle",
    "passerelle-parapheur": "la passerelle fait signer les actes",
    "plone-https": "pages des délibérations",
    "supervision-journals": "journaux vers la supervision",
    "supervision-machines": "mesures lues par la supervision",
    "supervision-mail": "courriels d'alerte",
    "supervision-pages": "pages de la supervision",
    "tdt_connector-archive": "le connecteur verse aux archives",
    "tdt_connector-passerelle": "le connecteur parle à la passerelle",
    "tdt_connector-tdt": "le connecteur transmet au TdT",
    "tdt_simulator-faults": "banc d'essai : pannes demandées au TdT simulé",
    "tdt_simulator-https": "banc d'essai : TdT simulé",
}
"""Why a flow is there, by the name of its rule, in French."""

MET = {
    "ECONNREFUSED": "le réseau laisse passer, et rien n'y écoute : le service est arrêté, ou pas encore déployé",
    "ETIMEDOUT": "aucune réponse : un pare-feu entre les deux, ou l'arrivée est éteinte",
    "EHOSTUNREACH": "refusé en chemin : le pare-feu du départ, une route ou un routeur",
    "ENETUNREACH": "refusé en chemin : le départ n'a pas de route vers ce réseau",
    "EACCES": "le pare-feu du départ ne le laisse pas sortir",
    "EPERM": "le pare-feu du départ ne le laisse pas sortir",
}
"""What is met instead of an answer, in French, by the name of the error."""
_MAX_PORTS_PER_RANGE = 16  # tried of a range
_MAX_ERROR_LENGTH = 40  # signs of an error that a machine says

Network = ip.Network
Range = tuple[int, int]


@dataclass(frozen=True)
class Machine:
    """A machine of the inventory, and what its firewall is to let pass."""

    name: str
    address: str
    site: str
    rules: tuple[Mapping[str, Any], ...]
    is_reached: bool = True
    """Whether the control node enters it over SSH, and it runs what it is told."""


@dataclass(frozen=True, order=True)
class Flow:
    """A row of the sheet; a machine of the inventory has its name, the rest of the world none."""

    source_site: str
    source: str
    source_address: str
    destination_site: str
    destination: str
    destination_address: str
    protocol: str
    ports: str
    why: str
    rule: str
    fault: str = ""

    def cells(self) -> list[str]:
        return [str(value) for value in vars(self).values()]


def trusted(value: Any) -> Any:
    """Variables of the inventory, as Ansible takes them: what it marks as a text is none of its templates."""
    if isinstance(value, str):
        return str(value) if isinstance(value, listing.Text) else trust_as_template(value)
    if isinstance(value, list):
        return [trusted(one) for one in value]
    if isinstance(value, dict):
        return {key: trusted(one) for key, one in value.items()}
    return value


def wired_templar(variables: Mapping[str, Any]) -> Templar:
    """Ansible's own templar, with the project's filters: its loader finds none in a process that is not its own."""
    made = Templar(loader=DataLoader(), variables=dict(variables))
    made._engine.environment.filters.update(_load_filters())
    return made


@cache
def _load_filters() -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for file in (TOP / "collections/ansible_collections/cdg59/creatic/plugins/filter").glob("*.py"):
        plugin = import_module(f"ansible_collections.cdg59.creatic.plugins.filter.{file.stem}")
        found |= {f"cdg59.creatic.{name}": work for name, work in plugin.FilterModule().filters().items()}
    return found


def loaded(path: Path) -> Any:
    """What a YAML file of the project holds; None when it is not there."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def _iter_tasks(
    tasks: list[dict[str, Any]], around: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Tasks, blocks opened, each with the variables that are in scope."""
    for task in tasks:
        scope = {**around, **task.get("vars", {})}
        yield task, scope
        yield from _iter_tasks(task.get("block", []), scope)


@cache
def _profile_wiring(profile: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]] | None:
    """Defaults, then vars of a profile's roles, and what its playbook gives the firewall; None when it has none."""
    roles, wired = ["firewall"], None
    for task, scope in _iter_tasks(loaded(TOP / "playbooks" / "profiles" / f"{profile}.yml") or [], {}):
        if brought := task.get("ansible.builtin.include_role") or task.get("ansible.builtin.import_role"):
            roles.insert(-1, brought["name"])
        if "securite.yml" in (task.get("ansible.builtin.include_tasks"), task.get("ansible.builtin.import_tasks")):
            wired = scope
    if wired is None:
        return None
    found: list[dict[str, Any]] = []
    for kind in ("defaults", "vars"):
        found.append({})
        for role in roles:
            found[-1] |= trusted(loaded(TOP / "roles" / role / kind / "main.yml") or {})
    return found[0], found[1], trusted(wired)


class Wiring:
    """What an inventory wants of each host's firewall: roles' flows, wired as the profile wires them.

    Neither the host nor the module that applies the ruleset has a say in it.

    Args:
        inventory: what ``ansible-inventory --list`` gives, of the whole inventory.
    """

    def __init__(self, inventory: Mapping[str, Any]) -> None:
        self.groups = {name: found["hosts"] for name, found in inventory.items() if "hosts" in found}
        self.hostvars: dict[str, Any] = trusted(inventory["_meta"]["hostvars"])

    def firewall_inputs(self, profile: str, host: str) -> tuple[list[dict[str, Any]], list[Any], Any]:
        """Give the rules of a host, the networks that SSH is opened to, and its port.

        Raises:
            ValueError: the profile has no firewall.
        """
        found = _profile_wiring(profile)
        if found is None:
            raise ValueError(f"{profile} includes no securite.yml")
        defaults, fixed, wired = found
        variables = defaults | self.hostvars[host] | fixed | wired
        variables |= {"groups": self.groups, "hostvars": self.hostvars}
        variables |= {"inventory_hostname": host, "inventory_dir": "."}
        templar = wired_templar(variables)
        asked = ("firewall_rules", "firewall_admin_networks", "firewall_ssh_port")
        rules, networks, port = (templar.template(trust_as_template(f"{{{{ {name} }}}}")) for name in asked)
        return rules, networks, port


def ruleset(inventory: Mapping[str, Any], profile: str, host: str) -> str:
    """Give the nft text of role firewall for a host. Arguments: see `Wiring`."""
    return render(*Wiring(inventory).firewall_inputs(profile, host))


def machines(inventory: Mapping[str, Any], communes: Iterable[groupement.Commune]) -> list[Machine]:
    """Give the machines of an inventory that have a firewall of ours, the PCs under Windows, and those nobody reaches.

    Args:
        inventory: what ``ansible-inventory --list`` gives.
        communes: of the same inventory.
    """
    communes, wiring, found = [*communes], Wiring(inventory), list[Machine]()
    outgoing = {*wiring.groups.get(groupement.OUTGOING, ())}
    sites = {host.name: commune.data["nom"] for commune in communes for host in commune.hosts()}
    for profile in profiles.load():
        for name in wiring.groups.get(profile, ()) if _profile_wiring(profile) else ():
            own = wiring.hostvars[name]
            is_windows = own.get("creatic_poste", {}).get("systeme") == "windows"
            rules, networks, port = wiring.firewall_inputs(profile, name)
            ssh = {"name": SSH, "direction": "in", "protocol": "tcp", "ports": [port], "peers": networks}
            # Windows has a firewall of its own: what its agent needs leaves it, nothing of ours enters.
            kept = [one for one in rules if one["name"].startswith("commune_pc")] if is_windows else [ssh, *rules]
            address = str(own.get("ansible_host", name))
            is_reached = not is_windows and name not in outgoing
            found.append(Machine(name, address, sites.get(name, GROUP), tuple(kept), is_reached))
    return [*found, *_unhosted_pcs(communes)]


def _unhosted_pcs(communes: Iterable[groupement.Commune]) -> Iterator[Machine]:
    """Give the PCs that are no hosts, which have no address here: their browsers and their program go out."""
    _defaults, fixed, _wiring = _profile_wiring("commune_pc") or ({}, {}, {})
    for commune in communes:
        for host in commune.pcs():
            if host.is_carried:
                rules = tuple(fixed["commune_pc_firewall"])
                yield Machine(host.name, ITS_NETWORK, commune.data["nom"], rules, is_reached=False)


def flows(known: Sequence[Machine]) -> list[Flow]:
    """Give the rows of the sheet, sorted by site."""
    return sorted({*_inbound_flows(known), *_outbound_flows(known)})


def _inbound_flows(known: Sequence[Machine]) -> Iterator[Flow]:
    """Rows of what each machine lets in: who of the inventory asks for it, then each peer as it is written."""
    by_address = {one.address: one for one in known}
    asking = _senders_by_address(known)
    for machine in known:
        for rule in _directed_rules(machine, "in"):
            for peer in _rule_peers(rule):
                network = None if peer == ANYONE else ip.network(str(peer))
                senders = [
                    (one, ports)
                    for one, out in asking.get(machine.address, [])
                    if (network is None or _contains_address(network, one.address))
                    and (ports := _common_ranges(out, rule)) is not None
                ]
                named = by_address.get(str(network.network_address)) if network and _is_one(network) else None
                for one, ports in senders:
                    yield _build_flow(one, machine, rule, ports)
                if named and named is not machine and not senders:
                    yield _build_flow(named, machine, rule, _port_ranges(rule), fault=_not_asked(named, machine, rule))
                elif not named:
                    yield _build_flow(str(network or ANYONE), machine, rule, _port_ranges(rule))


def _outbound_flows(known: Sequence[Machine]) -> Iterator[Flow]:
    """Rows of what leaves for who is not of the inventory, and for machines that do not let it in."""
    by_address = {one.address: one for one in known}
    for machine in known:
        for rule in _directed_rules(machine, "out"):
            for peer in _rule_peers(rule):
                if peer == RESOLVERS:
                    yield _build_flow(machine, "ses serveurs de noms", rule, _port_ranges(rule))
                    continue
                network = None if peer == ANYONE else ip.network(str(peer))
                named = by_address.get(str(network.network_address)) if network and _is_one(network) else None
                if named is None:
                    yield _build_flow(machine, str(network or ANYONE), rule, _port_ranges(rule))
                elif named is not machine and not _is_let_in(machine, named, rule):
                    yield _build_flow(machine, named, rule, _port_ranges(rule), fault=f"{named.name} ne l'admet pas")


def _senders_by_address(known: Sequence[Machine]) -> dict[str, list[tuple[Machine, Mapping[str, Any]]]]:
    """Who names each address of the inventory among those that it sends to, with the rule."""
    found: dict[str, list[tuple[Machine, Mapping[str, Any]]]] = {}
    addresses = {one.address for one in known}
    for machine in known:
        for rule in _directed_rules(machine, "out"):
            for peer in rule.get("peers") or []:
                network = None if peer == RESOLVERS else ip.network(str(peer))
                if network is None:
                    continue
                held = (
                    {str(network.network_address)} & addresses
                    if _is_one(network)
                    else _addresses_within(network, addresses)
                )
                for address in held - {machine.address}:
                    found.setdefault(address, []).append((machine, rule))
    return found


def _rule_peers(rule: Mapping[str, Any]) -> list[Any]:
    """Who a rule names; not those of the machine's own link, whom no network team lets pass."""
    given = rule.get("peers") or [ANYONE]
    return [one for one in given if one in (ANYONE, RESOLVERS) or not _is_near(ip.network(str(one)))]


def _is_near(network: Network) -> bool:
    return network.is_link_local or network.is_multicast


def _addresses_within(network: Network, addresses: Iterable[str]) -> set[str]:
    return {one for one in addresses if _contains_address(network, one)}


def _directed_rules(machine: Machine, direction: str) -> list[Mapping[str, Any]]:
    return [one for one in machine.rules if one["direction"] == direction]


def _is_one(network: Network) -> bool:
    return network.prefixlen == network.max_prefixlen


def _contains_address(network: Network, address: str) -> bool:
    try:
        return ip.address(address) in network
    except ValueError:  # a name
        return False


def _is_let_in(source: Machine, destination: Machine, out: Mapping[str, Any]) -> bool:
    return any(
        _common_ranges(out, rule) is not None
        and (
            not rule.get("peers")
            or any(_contains_address(ip.network(str(one)), source.address) for one in rule["peers"])
        )
        for rule in _directed_rules(destination, "in")
    )


def _not_asked(source: Machine, destination: Machine, rule: Mapping[str, Any]) -> str:
    """What is told of a machine that is let in, and lets nothing out for it: unless it does for anyone."""
    wide = any(not one.get("peers") and _common_ranges(one, rule) is not None for one in _directed_rules(source, "out"))
    return "" if wide else f"{source.name} ne l'ouvre pas vers {destination.name}"


def _port_ranges(rule: Mapping[str, Any]) -> list[Range]:
    found = []
    for port in rule.get("ports") or ():
        first, _dash, last = str(port).partition("-")
        found.append((int(first), int(last or first)))
    return sorted(found)


def _common_ranges(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Range] | None:
    """Ports of both rules; None when they are not of one protocol, or have none in common (an echo has no ports)."""
    if one["protocol"] != other["protocol"]:
        return None
    if one["protocol"] == "icmp":
        return []
    both = [
        (max(a, c), min(b, d)) for a, b in _port_ranges(one) for c, d in _port_ranges(other) if max(a, c) <= min(b, d)
    ]
    return both or None


def _build_flow(
    source: Machine | str, destination: Machine | str, rule: Mapping[str, Any], ports: Sequence[Range], fault: str = ""
) -> Flow:
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ports)
    why = WHY.get(rule["name"], "")
    return Flow(*_flow_end(source), *_flow_end(destination), rule["protocol"], shown, why, rule["name"], fault)


def _flow_end(one: Machine | str) -> tuple[str, str, str]:
    return (OUTSIDE, "", one) if isinstance(one, str) else (one.site, one.name, one.address)


def sheet(found: Sequence[Flow]) -> bytes:
    """Give the sheet for the network team (ODS)."""
    return spreadsheet.make({"Flux": (HEAD, [one.cells() for one in found])})


def text(found: Sequence[Flow]) -> str:
    """Give the same as lines, by site of arrival."""
    lines, site = list[str](), ""
    for one in sorted(found, key=lambda one: (one.destination_site, one.destination, one.destination_address, one)):
        if one.destination_site != site:
            site = one.destination_site
            lines += ["", site]
        ports = f"{one.protocol} {one.ports}".strip()
        fault = f"   À CORRIGER : {one.fault}" if one.fault else ""
        source = f"{one.source} ({one.source_address})" if one.source else one.source_address
        destination = f"{one.destination} ({one.destination_address})" if one.destination else one.destination_address
        lines.append(f"  {source} → {destination}   {ports}   {one.why}{fault}")
    return "\n".join(lines[1:])


def table(found: Sequence[Flow]) -> bytes:
    """Give the sheet as a CSV that Excel and LibreOffice open alike."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=";")
    writer.writerows([HEAD, *(one.cells() for one in found)])
    return buffer.getvalue().encode("utf-8-sig")


def tried(found: Iterable[Flow], known: Iterable[Machine]) -> dict[str, list[tuple[str, int]]]:
    """Give what each machine that the control node reaches can try: TCP flows to one address, by machine."""
    reached = {one.name for one in known if one.is_reached}
    places: dict[str, list[tuple[str, int]]] = {}
    for one in found:
        if one.source in reached and one.protocol == "tcp" and (address := _single_address(one.destination_address)):
            mine = places.setdefault(one.source, [])
            mine += [(address, port) for port in _list_ports(one.ports) if (address, port) not in mine]
    return places


def unmet(places: Mapping[str, Sequence[tuple[str, int]]], answers: Mapping[str, str]) -> list[str]:
    """Say which flows do not pass, in French.

    Args:
        places: from `tried`.
        answers: what each machine printed (see `reach`); nothing of one that did not answer.
    """
    lines = []
    for name, mine in places.items():
        try:
            said = json.loads(answers.get(name) or "null")
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, list) or len(said) != len(mine):
            left = f"ses {len(mine)} flux ne sont pas essayés" if len(mine) > 1 else "son flux n'est pas essayé"
            lines.append(f"{name} : ne répond pas au poste de commande ; {left}")
            continue
        for (address, port), error in zip(mine, said, strict=True):
            if error:
                met = MET.get(str(error)) or harmless.line(str(error)[:_MAX_ERROR_LENGTH])
                lines.append(f"{name} → {address}, tcp {port} : {met}")
    return lines


def _single_address(address: str) -> str:
    """The one machine that an address is; "" for a network, anyone, or a word."""
    try:
        network = ip.network(address)
    except ValueError:
        return ""
    return str(network.network_address) if _is_one(network) else ""


def _list_ports(ports: str) -> list[int]:
    found = list[int]()
    for part in ports.split(", "):
        first, _dash, last = part.partition("-")
        found += range(int(first), min(int(last or first), int(first) + _MAX_PORTS_PER_RANGE - 1) + 1)
    return found
