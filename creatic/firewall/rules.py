# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""From the flows that roles need to one nftables table which lets nothing else in or out.

A rule is ``{name, direction: in|out|local, protocol: tcp|udp|icmp, ports: [443, 6200-6202], peers: [CIDR], accounts:
[swift]}``. No peers means anyone; the word ``resolvers`` among them, the host's own name servers. ``icmp`` is an echo
request, of IPv4 or IPv6, and has no ports. ``local`` closes ports of this host, on the loopback and on its own
addresses, to every account of the host but root and the given ones; ``accounts`` bounds ``out`` in the same way. A name
is unique and tells the role's need: errors and the ruleset show it.

Who lets anyone in over TCP serves so many connections at a time, and what holds them need not say who it is: each
address has `EACH` of them, so that it takes none from others. So has each that SSH is opened to beside administrators:
sshd bounds the connections of who is not let in yet, and of nobody else. What enters over TCP is also reached from the
machine itself, where an account of a person has `EACH_OF_HERE`: who has a session there is no better off. ``counts:
true`` says that what listens counts them itself, once it knows who comes: machines behind one address are many there.
What is counted there is known to connection tracking from its third packet alone: anybody writes the first one, a SYN,
under the address of somebody else, who would be refused for a minute by two hundred of them.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.registry import ip

FIELDS = ("name", "direction", "protocol", "ports", "peers", "accounts", "counts")
RESOLVERS = "resolvers"
MAX_CONNECTIONS_PER_ADDRESS = 192
"""Connections that one address, or one site of IPv6 (a /56, RFC 6177), has at a time to what is open to anyone: a
fourth of the 768 that Debian's nginx takes for each processor. One that stops in its handshake has such a place for a
minute."""
MAX_LOCAL_CONNECTIONS = 8
"""Connections that one account of a person (`_PEOPLE`) has at a time to those ports of its own machine, by whichever of
its addresses: any of 127.0.0.0/8 would be another source. sshd takes ten of who is not let in yet."""
_PEOPLE = "1000-59999"  # login.defs(5); services are below, or above (systemd's own)
Network = ip.Network

# The ruleset shows it as a comment, of 128 bytes at most.
_RULE_NAME_PATTERN = re.compile(r'[^"\\\x00-\x1f]{1,60}')
_RULE_ACCOUNT_PATTERN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
# RFC 4890 for IPv6: without these, neighbours, path MTU and errors are lost.
_ERRORS4 = "destination-unreachable, parameter-problem, time-exceeded"
_ERRORS6 = "destination-unreachable, packet-too-big, parameter-problem, time-exceeded"
_NEIGHBOURS_IN = "nd-neighbor-advert, nd-neighbor-solicit, nd-router-advert, mld-listener-query"
_NEIGHBOURS_OUT = (
    "nd-neighbor-advert, nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report"
)

_HERE = """\
	set here {
		type uid
		size 65535
		flags dynamic
	}

"""
_SOURCES = """\
	set sources4 {
		type ipv4_addr
		size 65535
		flags dynamic
	}

	set sources6 {
		type ipv6_addr
		size 65535
		flags dynamic
	}

"""

# A handshake's first two packets, and what ends one, belong to no connection there. On the loopback all are tracked.
# TCP answers what is of no connection, which ends what tracking made of it; but not what bears a digest that nobody
# agreed on (RFC 2385, RFC 5925), nor what a header of IPv6 before it has dropped: tracking counts these five minutes.
# An answer passes whatever is known of its connection: of one whose port another had two minutes before, what was known
# ends with that other.
_HANDSHAKES = """\
	chain first {{
		type filter hook prerouting priority raw; policy accept;
		iifname != "lo" tcp dport {{ {ports} }} tcp flags & (fin | syn | rst | ack) == syn notrack
		iifname != "lo" tcp dport {{ {ports} }} tcp option md5sig exists drop
		iifname != "lo" tcp dport {{ {ports} }} tcp option 29 exists drop
		iifname != "lo" tcp dport {{ {ports} }} ip6 nexthdr != tcp drop
	}}

	chain second {{
		type filter hook output priority raw; policy accept;
		oifname != "lo" tcp sport {{ {ports} }} tcp flags & (fin | syn | rst | ack) == (syn | ack) notrack
	}}

"""
_ENDED_HANDSHAKE_RULE = (
    '\t\ttcp dport {{ {ports} }} ct state invalid tcp flags & rst == rst accept comment "poignées de main"\n'
)
_HANDSHAKE_ANSWER_RULE = (
    "\t\ttcp sport {{ {ports} }} ct state {{ invalid, new, untracked }} tcp flags & (rst | ack) != 0 accept "
    'comment "poignées de main"\n'
)

_NFT_TABLE_TEMPLATE = """\
table inet creatic {{
{sets}\
{handshakes}\
	chain input {{
		type filter hook input priority filter; policy drop;
{ended}\
		ct state vmap {{ established : accept, related : accept, invalid : drop }}
		iifname "lo" accept
		icmp type {{ {errors4} }} accept
		icmpv6 type {{ {errors6}, {neighbours_in} }} accept
{inbound}
		limit rate 6/minute burst 10 packets log prefix "creatic refus entrant: "
		counter drop comment "refus"
	}}

	chain forward {{
		type filter hook forward priority filter; policy drop;
	}}

	chain output {{
		type filter hook output priority filter; policy drop;
{answered}\
		ct state vmap {{ established : accept, related : accept, invalid : drop }}
{local}		oifname "lo" accept
		icmp type {{ {errors4} }} accept
		icmpv6 type {{ {errors6}, {neighbours_out} }} accept
{outbound}
		limit rate 6/minute burst 10 packets log prefix "creatic refus sortant: "
		counter reject with icmpx admin-prohibited comment "refus"
	}}
}}
"""
_SETS = """\
	set resolvers4 {
		type ipv4_addr
	}

	set resolvers6 {
		type ipv6_addr
	}

"""


def _parse_network(value: object) -> Network:
    """One CIDR; a refusal says how to write it."""
    try:
        return ip.network(str(value))
    except ValueError:
        pass
    try:
        wider = ip.network(str(value), strict=False)
    except ValueError:
        raise ValueError(f"« {value} » n'est ni une adresse ni un réseau comme 10.59.0.0/24") from None
    raise ValueError(f"« {value} » désigne une machine et un réseau à la fois : écrivez {wider}, ou l'adresse seule")


def _must_be_administrators(network: Network) -> None:
    """Refuse a network that lets anybody in over SSH, or nobody."""
    if network.is_loopback or network.is_multicast or network.is_unspecified or network.is_link_local:
        raise ValueError(
            f"« {network} » n'est l'adresse de personne sur le réseau. À faire : donnez celle du poste de commande, "
            "telle que les machines la voient"
        )
    if network.prefixlen < (32 if network.version == 6 else 8 if network.is_private else 16):
        raise ValueError(
            f"« {network} » ouvre SSH à tout le monde. À faire : donnez les seules adresses d'où l'on administre, "
            "comme 10.59.0.0/24"
        )


def _parse_port(value: object) -> tuple[int, int]:
    """First and last port of one element."""
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", str(value))
    first, last = (int(found[1]), int(found[2] or found[1])) if found and not isinstance(value, bool) else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise ValueError(f"« {value} » n'est pas un port de 1 à 65535, ni une plage comme 6200-6202")
    return first, last


def _field_values(rule: dict[str, Any], field: str) -> list[Any]:
    value = rule.get(field)
    if value is None:
        return []
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"« {value} » n'est pas une liste : écrivez [{value}]")
    return list(value)


def _field_problems(rule: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """What is wrong in one rule: field, reason."""
    for field in rule:
        if field not in FIELDS:
            near = difflib.get_close_matches(str(field), FIELDS, 1)
            yield str(field), "champ inconnu" + (f" : vouliez-vous « {near[0]} » ?" if near else "")
    direction, protocol = rule.get("direction"), rule.get("protocol")
    if not _RULE_NAME_PATTERN.fullmatch(str(rule.get("name") or "")):
        yield "name", "donnez un nom de 60 caractères au plus, sans guillemets, comme tdt_connector-tdt"
    if direction not in ("in", "out", "local"):
        yield (
            "direction",
            f"« {rule.get('direction', '')} » n'est ni in (vers la machine), ni out (depuis la machine), ni local "
            "(dans la machine)",
        )
    if protocol not in ("tcp", "udp", "icmp"):
        yield "protocol", f"« {rule.get('protocol', '')} » n'est ni tcp, ni udp, ni icmp"
    yield from _port_problems(rule, protocol)
    yield from _peer_problems(rule, direction)
    yield from _account_problems(rule, direction)


def _port_problems(rule: dict[str, Any], protocol: object) -> Iterable[tuple[str, str]]:
    try:
        ports = _field_values(rule, "ports")
        for port in ports:
            _parse_port(port)
        if protocol == "icmp" and ports:
            yield "ports", "icmp n'a pas de ports : retirez ce champ"
        if protocol in ("tcp", "udp") and not ports:
            yield "ports", "donnez au moins un port"
    except ValueError as error:
        yield "ports", str(error)


def _peer_problems(rule: dict[str, Any], direction: object) -> Iterable[tuple[str, str]]:
    try:
        peers = _field_values(rule, "peers")
        for peer in peers:
            if peer != RESOLVERS:
                _parse_network(peer)
        if RESOLVERS in peers and direction == "in":
            yield "peers", "« resolvers » ne vaut que pour ce qui sort (direction out)"
        if peers and direction == "local":
            yield "peers", "ce qui reste dans la machine (direction local) n'a pas de pairs : retirez ce champ"
    except ValueError as error:
        yield "peers", str(error)


def _account_problems(rule: dict[str, Any], direction: object) -> Iterable[tuple[str, str]]:
    if direction == "in" and "accounts" in rule:
        yield "accounts", "un compte est de cette machine-ci : il ne vaut que pour out et local"
    if "counts" in rule and (rule["counts"] is not True or (direction, rule.get("protocol")) != ("in", "tcp")):
        yield "counts", "il vaut true, et que pour ce qui entre en tcp (direction in)"
    if direction == "local" and "accounts" not in rule:
        yield "accounts", "dites quels comptes passent ; [] pour root seul"
    if direction == "local" and rule.get("protocol") == "icmp":
        yield "protocol", "local ne vaut que pour tcp et udp"
    try:
        for account in _field_values(rule, "accounts"):
            if not _RULE_ACCOUNT_PATTERN.fullmatch(str(account)):
                yield "accounts", f"« {account} » n'est pas le nom d'un compte"
    except ValueError as error:
        yield "accounts", str(error)


def problems(rules: object, admin_networks: object, ssh_port: object = 22) -> list[str]:
    """Everything that is wrong, in French: rule, field, reason and fix. Empty when the rules are sound.

    Args:
        rules: the flows, as in this module's description.
        admin_networks: addresses or networks (CIDR) that administrators come from over SSH.
        ssh_port: port of sshd.
    """
    found = []
    if isinstance(admin_networks, str) or not isinstance(admin_networks, Sequence):
        found.append(f"firewall_admin_networks : « {admin_networks} » n'est pas une liste de réseaux")
    elif not admin_networks:
        found.append(
            "firewall_admin_networks : liste vide, plus personne n'entrerait en SSH ; donnez l'adresse du poste de "
            "commande et les réseaux d'administration dans group_vars/all.yml"
        )
    else:
        for network in admin_networks:
            try:
                _must_be_administrators(_parse_network(network))
            except ValueError as error:
                found.append(f"firewall_admin_networks : {error}")
    try:
        _parse_port(ssh_port)
    except ValueError as error:
        found.append(f"firewall_ssh_port : {error}")
    if isinstance(rules, str) or not isinstance(rules, Sequence):
        return [*found, f"firewall_rules : « {rules} » n'est pas une liste de règles"]
    seen: dict[str, int] = {}
    for number, rule in enumerate(rules, 1):
        if not isinstance(rule, dict):
            found.append(
                f"règle n° {number} : « {rule} » n'est pas une règle {{name, direction, protocol, ports, peers}}"
            )
            continue
        name = str(rule.get("name") or "sans nom")
        found += [f"règle n° {number} « {name} », champ {field} : {reason}" for field, reason in _field_problems(rule)]
        if name in seen and rule.get("name"):
            found.append(
                f"règle n° {number} « {name} », champ name : la règle n° {seen[name]} porte déjà ce nom ; "
                "renommez-en une"
            )
        seen.setdefault(name, number)
    return found


def _port_set(ports: Iterable[object]) -> str:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(_parse_port(port) for port in ports):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in merged)


def _peer_matches(peers: Iterable[object], side: str) -> list[tuple[int, str]]:
    """Family (4, 6) and nft match of each line that a rule takes; family 0 for anyone."""
    peers = list(peers)
    if not peers:
        return [(0, "")]
    networks = [_parse_network(peer) for peer in peers if peer != RESOLVERS]
    found = []
    four = list(ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv4Network)))
    six = list(ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv6Network)))
    if four:
        found.append((4, f"ip {side} {{ {', '.join(map(str, four))} }} "))
    if six:
        found.append((6, f"ip6 {side} {{ {', '.join(map(str, six))} }} "))
    if RESOLVERS in peers:
        found += [(4, f"ip {side} @resolvers4 "), (6, f"ip6 {side} @resolvers6 ")]
    return found


def _account_match(rule: dict[str, Any]) -> str:
    """nft match of the accounts that pass, by name (nft_commit knows their numbers); root always does."""
    if "accounts" not in rule:
        return ""
    return f"meta skuid {{ {', '.join(sorted({'root', *_field_values(rule, 'accounts')}))} }} "


def _local_rules(rules: Sequence[dict[str, Any]]) -> str:
    """Who passes, then the refusals: a port may be in several rules."""
    found = [(f'oifname "lo" {one["protocol"]} dport {{ {_port_set(one["ports"])} }} ', one) for one in rules]
    lines = [f'{match}{_account_match(rule)}accept comment "{rule["name"]}"' for match, rule in found]
    lines += [f'{match}counter reject comment "{rule["name"]}"' for match, rule in found]
    return "".join(f"\t\t{line}\n" for line in lines)


def _rule_lines(rule: dict[str, Any]) -> list[str]:
    inbound = rule["direction"] == "in"
    match_accounts = _account_match(rule)
    lines = []
    for family, match in _peer_matches(rule.get("peers") or [], "saddr" if inbound else "daddr"):
        if rule["protocol"] == "icmp":
            limit = "limit rate 20/second " if inbound else ""
            kinds = {0: ("icmp", "icmpv6"), 4: ("icmp",), 6: ("icmpv6",)}[family]
            lines += [f"{match}{kind} type echo-request {match_accounts}{limit}accept" for kind in kinds]
        else:
            lines.append(f"{match}{rule['protocol']} dport {{ {_port_set(rule['ports'])} }} {match_accounts}accept")
    return [f'\t\t{line} comment "{rule["name"]}"' for line in lines]


def _is_open(rule: dict[str, Any]) -> bool:
    peers = rule.get("peers") or []
    return not peers or any(_parse_network(one).prefixlen == 0 for one in peers)


def _limited_ports(rules: Sequence[dict[str, Any]], ssh: int) -> str:
    """Ports where each address has its connections: what lets anyone in, and SSH; "" for none."""
    held = [one for one in rules if one["protocol"] == "tcp" and not one.get("counts")]
    entering = [(one, port) for one in held for port in one["ports"]]
    ports = [port for one, port in entering if _is_open(one) or _parse_port(port)[0] <= ssh <= _parse_port(port)[1]]
    return _port_set(ports) if ports else ""


def _connection_limit_rules(ports: str) -> list[str]:
    """Refusals of who has too many connections already."""
    return [
        f"\t\ttcp dport {{ {ports} }} ct state new add @{there} "
        f"{{ {source} ct count over {MAX_CONNECTIONS_PER_ADDRESS} }} "
        'counter reject with tcp reset comment "trop de connexions"'
        for there, source in (("sources4", "ip saddr"), ("sources6", "ip6 saddr & ffff:ffff:ffff:ff00::"))
    ]


def _counted_here(ports: str) -> str:
    """Refusal of a person's account of this machine that has too many connections already."""
    return (
        f'\t\toifname "lo" tcp dport {{ {ports} }} ct state new meta skuid {_PEOPLE} add @here '
        f"{{ meta skuid ct count over {MAX_LOCAL_CONNECTIONS} }} counter reject with tcp reset "
        'comment "trop de connexions"\n'
    )


def render(rules: Sequence[dict[str, Any]], admin_networks: Sequence[object], ssh_port: object = 22) -> str:
    """The table ``inet creatic``: policy drop in, out and through, and the given flows.

    SSH answers to administrators pass even when connection tracking does not know them (it starts with the first
    ruleset, in the middle of their session).

    Raises:
        ValueError: the rules are not sound; all that :func:`problems` says.
    """
    wrong = problems(rules, admin_networks, ssh_port)
    if wrong:
        raise ValueError("\n".join(wrong))
    port = _port_set([ssh_port])
    enters = [
        f'\t\t{match}tcp dport {port} accept comment "firewall-ssh"'
        for _family, match in _peer_matches(admin_networks, "saddr")
    ]
    answers = [
        f'\t\t{match}tcp sport {port} accept comment "firewall-ssh"'
        for _family, match in _peer_matches(admin_networks, "daddr")
    ]
    entering = [rule for rule in rules if rule["direction"] == "in"]
    ports, inbound = (
        _limited_ports(entering, _parse_port(ssh_port)[0]),
        [line for rule in entering for line in _rule_lines(rule)],
    )
    counted = _connection_limit_rules(ports) if ports else []
    here = _port_set([ssh_port, *(port for rule in entering if rule["protocol"] == "tcp" for port in rule["ports"])])
    outbound = [line for rule in rules if rule["direction"] == "out" for line in _rule_lines(rule)]
    return _NFT_TABLE_TEMPLATE.format(
        sets=(_SETS if any(RESOLVERS in (rule.get("peers") or []) for rule in rules) else "")
        + _HERE
        + (_SOURCES if counted else ""),
        handshakes=_HANDSHAKES.format(ports=ports) if counted else "",
        ended=_ENDED_HANDSHAKE_RULE.format(ports=ports) if counted else "",
        answered=_HANDSHAKE_ANSWER_RULE.format(ports=ports) if counted else "",
        errors4=_ERRORS4,
        errors6=_ERRORS6,
        neighbours_in=_NEIGHBOURS_IN,
        neighbours_out=_NEIGHBOURS_OUT,
        local=_counted_here(here) + _local_rules([rule for rule in rules if rule["direction"] == "local"]),
        inbound="\n".join([*enters, *counted, *inbound]),
        outbound="\n".join([*answers, *outbound]),
    )


def closed(rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the flows of TCP that go out to anyone: a restored machine sends to those alone that are named."""
    return [
        rule
        for rule in rules
        if (rule.get("direction"), rule.get("protocol")) != ("out", "tcp") or list(rule.get("peers") or [])
    ]
