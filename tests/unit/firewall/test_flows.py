"""Who speaks to whom: each row is let in by the ruleset of where it arrives, and no ruleset lets in what has no row."""

from __future__ import annotations

import csv
import ipaddress
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from creatic.check import flows, reach
from creatic.check.flows import ANYONE, Flow, Machine
from creatic.firewall.rules import render
from creatic.registry import groupement, listing, profiles

TOP = Path(__file__).parents[3]
# nft's own words, read apart from what wrote them.
LINE = re.compile(
    r"(?:ip6? (?P<side>[sd]addr) \{ (?P<peers>[^}]+) \} )?"
    r"(?:(?P<protocol>tcp|udp) dport (?:\{ (?P<ports>[^}]+) \}|(?P<port>\d+))|(?P<echo>icmp(v6)?) type echo-request)"
    r'(?: meta skuid \{[^}]+\})?(?: limit rate \S+)? accept comment "(?P<name>[^"]+)"'
)


@dataclass(frozen=True)
class Accepted:
    """A line of a ruleset that lets something pass; no peers for anyone, no ports for an echo."""

    name: str
    protocol: str
    ports: tuple[tuple[int, int], ...]
    peers: tuple[str, ...]

    def takes(self, address: str) -> bool:
        return not self.peers or any(_within(address, one) for one in self.peers)

    def opens(self, ports: str) -> bool:
        asked = [tuple(map(int, (part.split("-") * 2)[:2])) for part in ports.split(", ") if part]
        return all(any(a <= c and d <= b for a, b in self.ports) for c, d in asked)


def _within(inner: str, outer: str) -> bool:
    try:
        small, large = ipaddress.ip_network(inner), ipaddress.ip_network(outer)
    except ValueError:
        return False
    wide = small.version == large.version and small.prefixlen >= large.prefixlen
    return wide and small.supernet(new_prefix=large.prefixlen) == large


def accepted(ruleset: str, chain: str) -> Iterator[Accepted]:
    body = ruleset[ruleset.index(f"chain {chain} {{") :]
    for line in body[: body.index("\n\t}")].splitlines():
        found = LINE.fullmatch(line.strip())
        if found and found["name"] != "poignées de main":
            shown = (found["ports"] or found["port"] or "").split(", ")
            ports = tuple((int(one.split("-")[0]), int(one.split("-")[-1])) for one in shown if one)
            named = (found["peers"] or "").split(", ") if found["peers"] else []
            # What stays on the machine's own link is asked of no network team.
            peers = tuple(one for one in named if not one.startswith(("fe80:", "ff02:")))
            if named and not peers:
                continue
            yield Accepted(found["name"], "icmp" if found["echo"] else found["protocol"], ports, peers)


@dataclass
class Known:
    """An inventory: its machines, the rulesets that roles would give them, the rows."""

    machines: list[Machine]
    rulesets: dict[str, str]
    flows: list[Flow]


@pytest.fixture(scope="module", params=["inventories/lab", "inventories/example"])
def known(request: pytest.FixtureRequest) -> Known:
    done = subprocess.run(
        ["ansible-inventory", "-i", request.param, "--list"],
        cwd=TOP,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    inventory = listing.read(done.stdout)
    found = flows.machines(inventory, groupement.load(TOP / request.param))
    profile = {host: name for name in profiles.load() for host in inventory.get(name, {}).get("hosts", [])}
    windows = {one.name for one in found if not any(rule["name"] == flows.SSH for rule in one.rules)}
    wiring = flows.Wiring(inventory)
    rulesets = {
        one.name: render(*wiring.firewall_inputs(profile[one.name], one.name))
        for one in found
        if one.name not in windows
    }
    return Known(found, rulesets, flows.flows(found))


def test_each_row_is_let_in_where_it_arrives(known: Known) -> None:
    arriving = [one for one in known.flows if one.destination and not one.fault]
    assert len(arriving) > 100
    for one in arriving:
        lines = [*accepted(known.rulesets[one.destination], "input")]
        source = "0.0.0.0/0" if one.source_address == ANYONE else one.source_address
        assert any(
            (line.name, line.protocol) == (one.rule, one.protocol) and line.takes(source) and line.opens(one.ports)
            for line in lines
        ), one


def test_what_a_ruleset_lets_in_has_its_row(known: Known) -> None:
    own = {one.name: one.address for one in known.machines}
    for name, ruleset in known.rulesets.items():
        rows = [one for one in known.flows if one.destination == name]
        lines = [*accepted(ruleset, "input")]
        written = ruleset[: ruleset.index("chain forward")]
        spared = sum(written.count(f'accept comment "{name}"') for name in ("poignées de main", "base-dhcp6-answers"))
        assert len(lines) == written.count("accept comment") - spared, name  # none was left unread
        for line in lines:
            mine = [one for one in rows if (one.rule, one.protocol) == (line.name, line.protocol)]
            for peer in {*(line.peers or (ANYONE,))} - {f"{own[name]}/32"}:  # what it says to itself is on no network
                holding = [one for one in mine if one.source_address in (peer, peer.removesuffix("/32"))]
                inside = [one for one in mine if _within(one.source_address, peer)]
                assert holding or inside, (name, line)


def test_what_a_ruleset_lets_out_to_an_address_has_its_row(known: Known) -> None:
    checked = 0
    own = {one.name: one.address for one in known.machines}
    for name, ruleset in known.rulesets.items():
        rows = [one for one in known.flows if one.source == name]
        for line in accepted(ruleset, "output"):
            if line.name == flows.SSH:
                continue
            for peer in line.peers or (ANYONE,):
                if peer.removesuffix("/32") == own[name]:
                    continue
                checked += 1
                to = [one for one in rows if one.protocol == line.protocol and line.opens(one.ports)]
                assert any(
                    one.destination_address == peer or _within(one.destination_address, peer) or peer == ANYONE
                    for one in to
                ), (name, line)
    assert checked > 50


def test_what_crosses_no_router_is_asked_of_no_network_team(known: Known) -> None:
    ends = {address for one in known.flows for address in (one.source_address, one.destination_address)}
    assert not {"fe80::/10", "ff02::1:2"} & ends
    assert any("base-dhcp6" in ruleset for ruleset in known.rulesets.values())


def test_each_rule_has_its_reason_in_french(known: Known) -> None:
    assert {one.rule for one in known.flows if not one.why} == set()


def test_a_rule_that_these_inventories_have_not_has_its_reason_too() -> None:
    written = re.compile(r"- \{?name: ([\w-]+)[,\n]\s*direction: (?:in|out)")
    names = {name for file in (TOP / "roles").glob("*/vars/main.yml") for name in written.findall(file.read_text())}
    assert len(names) > 25 and names <= flows.WHY.keys(), names - flows.WHY.keys()


def test_the_sides_agree(known: Known) -> None:
    assert [one for one in known.flows if one.fault] == []


IN = {"name": "passerelle", "direction": "in", "protocol": "tcp", "ports": [443, "6200-6202"]}
OUT = IN | {"name": "tdt_connector-passerelle", "direction": "out"}


def rows(source: Any, destination: Any) -> list[tuple[str, str, str, str]]:
    """Source, destination, ports and fault of the rows of two machines."""
    known = [
        Machine("depart", "10.0.0.1", "Loos", tuple(source)),
        Machine("arrivee", "10.0.0.2", "Groupement", tuple(destination)),
    ]
    return [(one.source_address, one.destination_address, one.ports, one.fault) for one in flows.flows(known)]


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        (
            [OUT | {"peers": ["10.0.0.2"]}],
            [IN | {"peers": ["10.0.0.1"]}],
            [("10.0.0.1", "10.0.0.2", "443, 6200-6202", "")],
        ),
        ([OUT | {"peers": ["10.0.0.2"]}], [], [("10.0.0.1", "10.0.0.2", "443, 6200-6202", "arrivee ne l'admet pas")]),
        (
            [],
            [IN | {"peers": ["10.0.0.1"], "ports": [443]}],
            [("10.0.0.1", "10.0.0.2", "443", "depart ne l'ouvre pas vers arrivee")],
        ),
        (
            [OUT | {"peers": ["10.0.0.2"], "ports": ["6201-7000"]}],
            [IN],
            [("10.0.0.1", "10.0.0.2", "6201-6202", ""), (ANYONE, "10.0.0.2", "443, 6200-6202", "")],
        ),
        (
            [OUT | {"ports": [443]}],
            [IN | {"ports": [443], "peers": ["10.0.0.0/24"]}],
            [("10.0.0.0/24", "10.0.0.2", "443", ""), ("10.0.0.1", ANYONE, "443", "")],
        ),
        ([OUT | {"peers": ["192.0.2.1"], "ports": [443]}], [], [("10.0.0.1", "192.0.2.1/32", "443", "")]),
        ([OUT | {"peers": ["10.0.0.2"]}], [IN | {"protocol": "udp", "peers": ["10.0.0.1"]}], None),
    ],
)
def test_the_two_sides_of_a_flow_are_one_row(source: Any, destination: Any, expected: Any) -> None:
    found = rows(source, destination)
    assert sorted(found) == sorted(expected) if expected else all(fault for *_row, fault in found), found


def test_the_sheet_is_read_by_spreadsheets_and_by_people() -> None:
    known = [
        Machine("c", "10.0.0.1", "Loos", (OUT | {"peers": ["10.0.0.2"], "ports": [443]},)),
        Machine("p", "10.0.0.2", "Groupement", (IN | {"ports": [443], "peers": ["10.0.0.1"]},)),
    ]
    found = flows.flows(known)
    lines = [*csv.reader(flows.table(found).decode("utf-8-sig").splitlines(), delimiter=";")]
    assert lines[0] == [*flows.HEAD] and lines[1][:3] == ["Loos", "c", "10.0.0.1"] and len(lines) == 2
    assert flows.text(found) == (
        "Groupement\n  c (10.0.0.1) → p (10.0.0.2)   tcp 443   la passerelle, ses pages et les connecteurs"
    )
    assert flows.sheet(found).startswith(b"PK")


def test_machines_that_are_reached_try_what_leaves_them() -> None:
    out = [OUT | {"peers": ["10.0.0.2", "192.0.2.0/24"], "ports": [443, "8000-8001"]}, OUT | {"ports": [80]}]
    known = [Machine("c", "10.0.0.1", "Loos", tuple(out)), Machine("b", "10.0.0.9", "Lille", tuple(out), False)]
    places = flows.tried(flows.flows(known), known)
    assert places == {"c": [("10.0.0.2", 443), ("10.0.0.2", 8000), ("10.0.0.2", 8001)]}
    assert flows.unmet(places, {"c": '["", "", ""]'}) == []
    assert flows.unmet(places, {"c": '["", "ETIMEDOUT", "EWHAT"]'}) == [
        "c → 10.0.0.2, tcp 8000 : aucune réponse : un pare-feu entre les deux, ou l'arrivée est éteinte",
        "c → 10.0.0.2, tcp 8001 : EWHAT",
    ]
    lies = json.dumps(["", "\x1b[2Jtous passent\n", "E" * 10_000])  # of whoever is root there
    assert flows.unmet(places, {"c": lies}) == [
        "c → 10.0.0.2, tcp 8000 : \N{REPLACEMENT CHARACTER}[2Jtous passent\N{REPLACEMENT CHARACTER}",
        f"c → 10.0.0.2, tcp 8001 : {'E' * 40}",
    ]
    for answer in ({}, {"c": ""}, {"c": "Traceback"}, {"c": "[]"}, {"c": "[" * 200_000}):
        assert flows.unmet(places, answer) == [
            "c : ne répond pas au poste de commande ; ses 3 flux ne sont pas essayés"
        ]


def test_the_program_that_tries_says_what_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and listens to nobody
        places = [server.getsockname(), taken.getsockname()]
        text = Path(reach.__file__).read_text(encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-I", "-c", text], input=json.dumps(places), capture_output=True, text=True, check=True
        )
    assert json.loads(done.stdout) == ["", "ECONNREFUSED"]


def test_a_pc_that_nobody_reaches_has_its_row_and_tries_nothing() -> None:
    communes = groupement.load(TOP / "inventories/example")
    [pc] = flows._unhosted_pcs(communes)
    assert (pc.name, pc.address, pc.site, pc.is_reached) == (
        "bouvines-pc-accueil", flows.ITS_NETWORK, "Bouvines", False,
    )  # fmt: skip # a record
    [row] = flows.flows([pc])
    assert (row.source, row.source_address, row.destination_address, row.ports) == (
        "bouvines-pc-accueil", "réseau de la commune", ANYONE, "80, 443",
    )  # fmt: skip # a record
    assert flows.tried([row], [pc]) == {}
