"""From the flows that roles export to the ruleset: refusals name rule, field and fix; nft itself takes the result."""

from __future__ import annotations

import copy
import ipaddress
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.filter.firewall import FilterModule, nft_ruleset

from creatic.audit.run import profiles
from creatic.check.flows import ruleset
from creatic.firewall.rules import MAX_CONNECTIONS_PER_ADDRESS, MAX_LOCAL_CONNECTIONS, closed, problems, render
from creatic.registry import listing

TOP = Path(__file__).parents[3]
GOLDEN = Path(__file__).parent / "golden"
SKUID = re.compile(r"(?<=meta skuid \{ )[^}]+(?= \})")
UNSECURED = {"encrypted_raid"}  # a bench for disks only
ADMIN = ["10.59.0.1"]
WEB = {"name": "role-web", "direction": "in", "protocol": "tcp", "ports": [443]}

in_a_namespace = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nft"), reason="nft in a network namespace needs root and nftables"
)


def nft(ruleset: str) -> str:
    """What the kernel makes of a ruleset, in a namespace of its own; accounts of other machines get numbers."""
    names = sorted({name for found in SKUID.findall(ruleset) for name in found.split(", ")} - {"root"})
    numbers = {"root": "0"} | {name: str(number) for number, name in enumerate(names, 59001)}
    ruleset = SKUID.sub(lambda found: ", ".join(numbers[name] for name in found[0].split(", ")), ruleset)
    script = "nft -f - && nft -s list table inet creatic"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], input=ruleset, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + ruleset
    return done.stdout


@pytest.fixture(scope="module")
def lab() -> dict[str, Any]:
    """The lab's inventory."""
    done = subprocess.run(
        ["ansible-inventory", "-i", "inventories/lab", "--list"],
        cwd=TOP,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return listing.read(done.stdout)


@in_a_namespace
@pytest.mark.parametrize("profile", [name for name in profiles(TOP) if name not in UNSECURED])
def test_each_profile_has_its_golden_ruleset(lab: dict[str, Any], profile: str) -> None:
    """A change of any role's flows shows here, as nft lists it; CREATIC_GOLDEN=1 writes them anew.

    It is that of the profile's last machine in the lab; tests/profiles/common compares each machine with its own.
    """
    golden = GOLDEN / f"{profile}.nft"
    made = nft(ruleset(lab, profile, sorted(lab[profile]["hosts"])[-1]))
    if os.environ.get("CREATIC_GOLDEN"):
        golden.write_text(made)
    assert made == golden.read_text()


def test_time_servers_that_prove_their_name_are_reached(lab: dict[str, Any]) -> None:
    proven = copy.deepcopy(lab)
    proven["_meta"]["hostvars"]["sae1"]["hardening_nts_servers"] = ["nts.example.org"]
    assert "4460" not in ruleset(lab, "archive_node", "sae1")
    assert "tcp dport { 4460 }" in ruleset(proven, "archive_node", "sae1")


@in_a_namespace
def test_overlaps_families_and_everything_are_taken() -> None:
    rule = WEB | {"ports": [443, "80", "6200-6202", 6201, 6203], "peers": ["10.0.0.0/8", "10.1.0.0/16", "fd00::/8"]}
    listed = nft(
        render(
            [rule, WEB | {"name": "Rôle, l'accès de tous", "peers": ["0.0.0.0/0", "::/0"]}], ["10.59.0.0/24", "fd00::1"]
        )
    )
    assert 'ip saddr 10.0.0.0/8 tcp dport { 80, 443, 6200-6203 } accept comment "role-web"' in listed
    assert 'ip6 saddr fd00::/8 tcp dport { 80, 443, 6200-6203 } accept comment "role-web"' in listed
    assert 'ip6 saddr fd00::1 tcp dport 22 accept comment "firewall-ssh"' in listed


def test_resolvers_are_the_hosts_own() -> None:
    assert "set resolvers4" not in render([WEB], ADMIN)
    made = render([{"name": "r", "direction": "out", "protocol": "udp", "ports": [53], "peers": ["resolvers"]}], ADMIN)
    assert "set resolvers4" in made
    assert "ip6 daddr @resolvers6 udp dport { 53 } accept" in made


@pytest.mark.parametrize(
    ("peers", "lines"),
    [
        ([], ["icmp type echo-request", "icmpv6 type echo-request"]),
        (["10.0.0.0/8"], ["ip daddr { 10.0.0.0/8 } icmp type echo-request"]),
        (["fd00::/8"], ["ip6 daddr { fd00::/8 } icmpv6 type echo-request"]),
        (
            ["resolvers"],
            ["ip daddr @resolvers4 icmp type echo-request", "ip6 daddr @resolvers6 icmpv6 type echo-request"],
        ),
    ],
)
def test_an_echo_goes_by_its_peers_families(peers: list[str], lines: list[str]) -> None:
    made = render([{"name": "echo", "direction": "out", "protocol": "icmp", "peers": peers}], ADMIN)
    assert [line.strip() for line in made.splitlines() if line.endswith('"echo"')] == [
        f'{line} accept comment "echo"' for line in lines
    ]


def test_an_echo_that_enters_is_limited() -> None:
    made = render([{"name": "echo", "direction": "in", "protocol": "icmp", "peers": ["10.0.0.1"]}], ADMIN)
    expected = 'ip saddr { 10.0.0.1/32 } icmp type echo-request limit rate 20/second accept comment "echo"'
    assert [line.strip() for line in made.splitlines() if line.endswith('"echo"')] == [expected]


def test_ports_are_merged_only_when_they_touch() -> None:
    made = render([WEB | {"ports": [1, 3, 4, 65535, "10-20", "15-17", 22]}], ADMIN)
    assert "tcp dport { 1, 3-4, 10-20, 22, 65535 } accept" in made


@pytest.mark.parametrize(("ports", "shown"), [([22], "22"), (["20-30"], "20-30"), ([443, 22], "22")])
def test_who_ssh_is_opened_to_has_so_many_connections(ports: list[Any], shown: str) -> None:
    """sshd keeps as many as it let in, of one key: the backups of all would end with the memory of their server."""
    saved = WEB | {"name": "sauvegardes", "ports": ports, "peers": ["10.0.0.8"]}
    lines = [line.strip() for line in render([saved], ADMIN).splitlines()]
    counting = (
        f"tcp dport {{ {shown} }} ct state new add @sources4 "
        f"{{ ip saddr ct count over {MAX_CONNECTIONS_PER_ADDRESS} }} counter reject"
    )
    [counted] = [rank for rank, line in enumerate(lines) if line.startswith(counting)]
    [admitted] = [rank for rank, line in enumerate(lines) if line.endswith('accept comment "sauvegardes"')]
    own = next(rank for rank, line in enumerate(lines) if line.endswith('accept comment "firewall-ssh"'))
    assert own < counted < admitted  # administrators' own are not counted
    assert "@sources" not in render([saved | {"ports": [443]}], ADMIN)


def test_ssh_is_on_its_own_port_unless_said() -> None:
    assert 'tcp dport 22 accept comment "firewall-ssh"' in nft_ruleset([WEB], ADMIN)
    assert 'tcp sport 22 accept comment "firewall-ssh"' in render([WEB], ADMIN)
    assert 'tcp dport 2222 accept comment "firewall-ssh"' in nft_ruleset([WEB], ADMIN, 2222)
    filters = FilterModule().filters()
    assert filters["nft_ruleset"]([WEB], ADMIN, 22) == nft_ruleset([WEB], ADMIN)


LOCAL = {"name": "base", "direction": "local", "protocol": "tcp", "ports": [8059]}


def test_a_port_of_this_host_takes_the_accounts_of_all_its_rules() -> None:
    made = render([LOCAL | {"accounts": ["b", "a"]}, LOCAL | {"name": "autre", "accounts": []}, WEB], ADMIN)
    lines = [line.strip() for line in made[made.index("chain output") :].splitlines()]
    first = lines.index('oifname "lo" tcp dport { 8059 } meta skuid { a, b, root } accept comment "base"')
    assert lines[first + 1 : first + 5] == [
        'oifname "lo" tcp dport { 8059 } meta skuid { root } accept comment "autre"',
        'oifname "lo" tcp dport { 8059 } counter reject comment "base"',
        'oifname "lo" tcp dport { 8059 } counter reject comment "autre"',
        'oifname "lo" accept',
    ]


def test_what_leaves_may_be_one_account_s_alone() -> None:
    rule = {"name": "nœuds", "direction": "out", "protocol": "tcp", "ports": [6200], "peers": ["10.0.0.2"]}
    assert 'tcp dport { 6200 } meta skuid { root, swift } accept comment "nœuds"' in render(
        [rule | {"accounts": ["swift"]}], ADMIN
    )
    assert 'tcp dport { 6200 } accept comment "nœuds"' in render([rule], ADMIN)


@in_a_namespace
def test_the_kernel_knows_who_opened_the_connection() -> None:
    """On every address of the host: root and the account pass, another one is refused, other ports are as they were."""
    rules = SKUID.sub("0, 59001", render([LOCAL | {"accounts": ["a"]}], ADMIN))
    script = """
import os, socket, subprocess, sys
subprocess.run("ip link set lo up; ip address add 192.0.2.1/32 dev lo", shell=True, check=True)
subprocess.run(["nft", "-f", "-"], input=sys.argv[1], text=True, check=True)
servers = [socket.create_server(("0.0.0.0", port)) for port in (8059, 8060)]
for uid in (0, 59001, 59002):
    os.seteuid(uid)
    for address in ("127.0.0.1", "192.0.2.1"):
        for port in (8059, 8060):
            with socket.socket() as one:
                one.settimeout(5)
                print(uid, port, one.connect_ex((address, port)))
    os.seteuid(0)
"""
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", script, rules], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    got = {tuple(map(int, line.split())) for line in done.stdout.splitlines()}
    assert got == {(0, 8059, 0), (0, 8060, 0), (59001, 8059, 0), (59001, 8060, 0), (59002, 8059, 111), (59002, 8060, 0)}


@in_a_namespace
@pytest.mark.parametrize("port", [443, 22])
def test_a_session_on_the_machine_holds_no_door_by_its_loopback(port: int) -> None:
    """An auditor's shell took nginx's 768 places by 127.0.0.1, and sshd's ten by ten addresses of 127.0.0.0/8."""
    script = """
import os, socket, subprocess, sys
subprocess.run("ip link set lo up; ip address add 192.0.2.1/32 dev lo", shell=True, check=True)
subprocess.run(["nft", "-f", "-"], input=sys.argv[1], text=True, check=True)
server, held = socket.create_server(("0.0.0.0", int(sys.argv[2])), backlog=1024), []
for uid in (59001, 59002, 999, 61184, 0):
    os.seteuid(uid)
    for rank in range(40):
        one = socket.socket()
        one.settimeout(5)
        one.bind((f"127.0.{uid % 250}.{1 + rank}" if rank % 2 else "192.0.2.1", 0))
        if one.connect_ex(("127.0.0.1" if rank % 2 else "192.0.2.1", int(sys.argv[2]))) == 0:
            held.append((uid, one))
    print(sum(whose == uid for whose, _one in held))
    os.seteuid(0)
"""
    rules = render([WEB], ADMIN)
    command = ["unshare", "--net", sys.executable, "-c", script, rules, str(port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Each account of a person has its own; programs of the machine, of fixed or dynamic accounts, are not bounded.
    assert done.stdout.split() == [str(MAX_LOCAL_CONNECTIONS), str(MAX_LOCAL_CONNECTIONS), "40", "40", "40"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"port": [1]}, "règle n° 2 « role-web », champ port : champ inconnu : vouliez-vous « ports » ?"),
        ({"xyz": [1]}, "règle n° 2 « role-web », champ xyz : champ inconnu"),
        ({"ports": ["x"]}, "règle n° 2 « role-web », champ ports : « x » n'est pas un port de 1 à 65535, ni une plage "
         "comme 6200-6202"),
        ({"ports": [65536]}, "règle n° 2 « role-web », champ ports : « 65536 » n'est pas un port de 1 à 65535, ni une "
         "plage comme 6200-6202"),
    ],
)  # fmt: skip # a case a line
def test_a_refusal_says_all_in_one_line(change: dict[str, Any], said: str) -> None:
    assert problems([WEB | {"name": "role-autre"}, WEB | change], ADMIN) == [said]


def test_rules_without_a_name_are_not_the_same_rule() -> None:
    unnamed = {key: value for key, value in WEB.items() if key != "name"}
    assert [line.partition(" :")[0] for line in problems([unnamed, unnamed], ADMIN)] == [
        "règle n° 1 « sans nom », champ name",
        "règle n° 2 « sans nom », champ name",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"direction": "entrée"}, "champ direction : « entrée » n'est ni in"),
        ({"ports": [70000]}, "champ ports : « 70000 » n'est pas un port de 1 à 65535"),
        ({"ports": [0]}, "champ ports : « 0 » n'est pas"),
        ({"ports": ["20-10"]}, "champ ports : « 20-10 » n'est pas"),
        ({"ports": [True]}, "champ ports : « True » n'est pas"),
        ({"ports": 443}, "champ ports : « 443 » n'est pas une liste : écrivez [443]"),
        ({"ports": []}, "champ ports : donnez au moins un port"),
        ({"protocol": "icmp"}, "champ ports : icmp n'a pas de ports"),
        ({"protocol": "sctp"}, "champ protocol : « sctp » n'est ni tcp"),
        ({"peers": ["10.59.0.300"]}, "champ peers : « 10.59.0.300 » n'est ni une adresse ni un réseau"),
        ({"peers": ["10.59.0.1/16"]}, "écrivez 10.59.0.0/16"),
        ({"peers": "10.59.0.1"}, "champ peers : « 10.59.0.1 » n'est pas une liste"),
        ({"peers": ["resolvers"]}, "« resolvers » ne vaut que pour ce qui sort"),
        ({"port": [1]}, "champ port : champ inconnu : vouliez-vous « ports » ?"),
        ({"name": 'x" ; accept'}, "champ name : donnez un nom de 60 caractères au plus"),
        ({"accounts": ["swift"]}, "champ accounts : un compte est de cette machine-ci"),
        ({"direction": "local"}, "champ accounts : dites quels comptes passent ; [] pour root seul"),
        ({"direction": "local", "accounts": [], "peers": ["10.59.0.1"]}, "champ peers : ce qui reste dans la machine"),
        ({"direction": "local", "accounts": [], "protocol": "icmp", "ports": []}, "local ne vaut que pour tcp et udp"),
        ({"counts": 100}, "champ counts : il vaut true"),
        ({"direction": "out", "counts": True}, "champ counts : il vaut true, et que pour ce qui entre en tcp"),
        ({"direction": "out", "accounts": "swift"}, "champ accounts : « swift » n'est pas une liste"),
        ({"direction": "out", "accounts": ["a, b }"]}, "champ accounts : « a, b } » n'est pas le nom d'un compte"),
    ],
)
def test_a_bad_rule_is_refused_by_name_and_field(change: dict[str, Any], said: str) -> None:
    found = problems([WEB | {"name": "role-autre"}, WEB | change], ADMIN)
    assert len(found) == 1
    assert found[0].startswith(f"règle n° 2 « {change.get('name', 'role-web')} »")
    assert said in found[0]


def test_two_rules_do_not_share_a_name() -> None:
    (found,) = problems([WEB, WEB], ADMIN)
    assert found == "règle n° 2 « role-web », champ name : la règle n° 1 porte déjà ce nom ; renommez-en une"


@pytest.mark.parametrize(
    ("networks", "said"),
    [
        ([], "plus personne n'entrerait en SSH"),
        ("10.59.0.1", "n'est pas une liste"),
        (["10.59.0.1/8"], "écrivez 10.0.0.0/8"),
        (None, "n'est pas une liste"),
        *(
            ([address], f"« {ipaddress.ip_network(address)} » n'est l'adresse de personne sur le réseau")
            for address in ("127.0.0.1", "::1", "224.0.0.1", "ff02::1", "0.0.0.0/32", "::", "169.254.1.1", "fe80::1")
        ),
        *(
            ([network], f"« {network} » ouvre SSH à tout le monde")
            for network in ("0.0.0.0/0", "8.8.0.0/15", "10.0.0.0/7", "::/0", "2a00::/31")
        ),
    ],
)
def test_without_administrators_nothing_is_rendered(networks: object, said: str) -> None:
    assert said in problems([WEB], networks)[0]


@pytest.mark.parametrize("network", ["10.0.0.0/8", "8.8.0.0/16", "2a00::/32", "8.8.8.8", "2a00::1"])
def test_a_network_that_somebody_administers_from_is_taken(network: str) -> None:
    assert problems([WEB], [network]) == []


def test_what_is_no_list_of_rules_is_refused() -> None:
    assert "n'est pas une liste de règles" in problems("443", ADMIN)[0]
    assert "« 443 » n'est pas une règle" in problems([443], ADMIN)[0]
    assert "firewall_ssh_port" in problems([], ADMIN, "ssh")[0]


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(AnsibleFilterError) as refused:
        nft_ruleset([WEB | {"ports": [70000]}, WEB | {"name": "b", "direction": "x"}], [])
    assert len(str(refused.value).splitlines()) == 3


def test_a_restored_machine_sends_to_nobody_whose_address_is_not_said() -> None:
    kept = [
        {"name": "web-in", "direction": "in", "protocol": "tcp", "ports": [443]},
        {"name": "ntp", "direction": "out", "protocol": "udp", "ports": [123]},
        {"name": "mirror", "direction": "out", "protocol": "tcp", "ports": [3142], "peers": ["10.0.0.5"]},
    ]
    anyone = [
        {"name": "packages", "direction": "out", "protocol": "tcp", "ports": [80, 443], "peers": []},
        {"name": "tdt", "direction": "out", "protocol": "tcp", "ports": [443]},
    ]
    assert closed([*kept[:1], *anyone, *kept[1:]]) == kept
