"""The host's half of nft_commit, nft real in a network namespace of its own, systemd played."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.firewall.commit import Firewall, NftError
from ansible_collections.cdg59.creatic.plugins.module_utils.host.guard import Guard, GuardError, run

from creatic.firewall.rules import MAX_CONNECTIONS_PER_ADDRESS, render

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("ip"),
    reason="nft in a network namespace needs root and nftables",
)
RULE: dict[str, Any] = {"name": "role-web", "direction": "in", "protocol": "tcp", "ports": [443]}
DNS: dict[str, Any] = {"name": "role-dns", "direction": "out", "protocol": "udp", "ports": [53], "peers": ["resolvers"]}


class Machine:
    """A machine's network namespace; what is run enters it, systemd only notes what it is asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[str] = []
        self.enabled = False

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if command[0] in ("systemctl", "systemd-run"):
            self.asked.append(" ".join(command))
            self.enabled = self.enabled or ("nftables.service" in command and "enable" in command)
            shown = "UnitFileState=enabled\nActiveState=active\n" if self.enabled else ""
            return subprocess.CompletedProcess(command, 0, shown, "")
        return run(["ip", "netns", "exec", self.name, *command])


@pytest.fixture
def machine() -> Iterator[Machine]:
    name = f"creatic-essai-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield Machine(name)
    subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "units").mkdir()
    (tmp_path / "etc" / "resolv.conf").write_text("search x\nnameserver 10.59.0.1\nnameserver 127.0.0.53\n")
    return tmp_path / "etc"


def firewall(etc: Path, machine: Machine, *rules: dict[str, Any], text: str = "") -> Firewall:
    units = etc.parent / "units"
    return Firewall(
        "inet creatic",
        text or render(rules, ["10.59.0.1"]),
        resolvers=DNS in rules,
        etc=etc,
        units=units,
        resolved=etc / "absent",
        run=machine,
        guard=Guard("pare-feu", "pare-feu", state=etc.parent / "garde", units=units, run=machine),
    )


def roll_back(wanted: Firewall, machine: Machine) -> None:
    """What systemd does at the end of the delay."""
    assert machine(["/bin/sh", str(wanted.guard.folder / "retour.sh")]).returncode == 0


def test_accounts_are_kept_by_number(etc: Path, machine: Machine) -> None:
    rule = {"name": "role-local", "direction": "local", "protocol": "tcp", "ports": [8080], "accounts": ["daemon"]}
    wanted = firewall(etc, machine, rule)
    assert wanted.absent() == []
    assert "meta skuid { 1, 0 } accept" in wanted.text()
    wanted.apply("un", 45)
    wanted.confirm("un")
    assert not wanted.inspect()


def test_an_account_that_is_not_there_yet_is_named(etc: Path, machine: Machine) -> None:
    rule = {"name": "role-local", "direction": "local", "protocol": "tcp", "ports": [8080], "accounts": ["absent-d"]}
    wanted = firewall(etc, machine, RULE, rule)
    assert wanted.absent() == ["absent-d"]
    with pytest.raises(NftError, match="le compte « absent-d » d'une règle est absent de la machine"):
        wanted.inspect()


def test_applied_confirmed_kept_then_nothing_differs(etc: Path, machine: Machine) -> None:
    (etc / "nftables.conf").write_text("à la main\n")
    wanted = firewall(etc, machine, RULE, DNS)
    assert wanted.inspect()
    wanted.apply("a", 20)
    assert (etc / "nftables.conf").read_text() == "à la main\n"
    assert not wanted.inspect().persisted
    wanted.confirm("a")
    assert not wanted.inspect()
    assert "elements = { 10.59.0.1 }" in wanted.live()
    assert (etc / "nftables.conf.avant-creatic").read_text() == "à la main\n"
    assert machine.asked[-3:] == [
        "systemctl daemon-reload",
        "systemctl enable --now nftables.service",
        "systemctl show nftables.service --property=UnitFileState,ActiveState",
    ]
    machine(["nft", "delete", "table", "inet", "creatic"])
    machine(["nft", "-f", str(etc / "nftables.conf")])  # the next boot
    assert not wanted.inspect()


def test_not_confirmed_the_old_rules_are_back_and_the_file_is_untouched(etc: Path, machine: Machine) -> None:
    old = firewall(etc, machine, RULE)
    old.apply("a", 20)
    old.confirm("a")
    kept, live = (etc / "nftables.conf").read_text(), old.live()
    new = firewall(etc, machine, RULE, DNS)
    new.apply("b", 20)
    assert new.live() != live
    roll_back(new, machine)
    assert new.live() == live
    with pytest.raises(GuardError, match="trop tard"):
        firewall(etc, machine, RULE).confirm("b")
    assert (etc / "nftables.conf").read_text() == kept


def test_on_a_machine_without_a_firewall_going_back_leaves_none(etc: Path, machine: Machine) -> None:
    wanted = firewall(etc, machine, RULE)
    wanted.apply("a", 20)
    roll_back(wanted, machine)
    assert wanted.live() == ""
    assert not (etc / "nftables.conf").exists()


def test_a_rule_added_by_hand_is_seen_and_repaired(etc: Path, machine: Machine) -> None:
    wanted = firewall(etc, machine, RULE)
    wanted.apply("a", 20)
    wanted.confirm("a")
    machine(["nft", "insert", "rule", "inet", "creatic", "input", "accept"])
    found = wanted.inspect()
    assert found and found.persisted
    assert found.live.count("\n") == found.wanted.count("\n") + 1
    wanted.apply("b", 20)
    wanted.confirm("b")
    assert not wanted.inspect()


def test_an_interrupted_run_is_seen_even_when_the_rules_are_right(etc: Path, machine: Machine) -> None:
    """Its rollback would bring the hand-made rule back: the next run undoes it first, then does it again."""
    wanted = firewall(etc, machine, RULE)
    wanted.apply("a", 20)
    wanted.confirm("a")
    machine(["nft", "insert", "rule", "inet", "creatic", "input", "accept"])
    wanted.apply("b", 20)  # the control node dies here
    assert wanted.inspect().pending
    assert wanted.inspect()
    wanted.apply("c", 20)
    wanted.confirm("c")
    assert not wanted.inspect()


def test_tables_of_others_are_left_alone(etc: Path, machine: Machine) -> None:
    machine(["nft", "add", "table", "inet", "netavark"])
    wanted = firewall(etc, machine, RULE)
    wanted.apply("a", 20)
    roll_back(wanted, machine)
    wanted.apply("b", 20)
    wanted.confirm("b")
    assert "table inet netavark" in machine(["nft", "list", "tables"]).stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("table inet creatic { chain c { tcp dport 70000 accept } }", "nft refuse les règles, rien n'est changé"),
        ("flush ruleset\ntable inet creatic { }", "touchent à une autre table"),
        ("table inet creatic { }\ntable inet autre { }", "touchent à une autre table"),
    ],
)
def test_what_nft_refuses_or_reaches_further_changes_nothing(etc: Path, machine: Machine, text: str, said: str) -> None:
    wanted = firewall(etc, machine, text=text)
    for attempt in (wanted.inspect, lambda: wanted.apply("a", 20)):
        with pytest.raises(NftError, match=said):
            attempt()
    assert wanted.live() == ""
    assert not wanted.guard.pending()


PEER = """
import contextlib, socket, sys, time
here, most = sys.argv[1], int(sys.argv[2])
held = []
for _rank in range(most):
    try:
        held.append(socket.create_connection(("10.99.0.1", 443), 2, (here, 0)))
    except OSError:
        break
other = 1
try:
    socket.create_connection(("10.99.0.1", 443), 2, ("10.99.0.3", 0)).close()
except OSError:
    other = 0
for one in held:  # the listener's end first: a busy machine's closes late, and counts until then
    one.shutdown(socket.SHUT_WR)
    one.settimeout(60)
    with contextlib.suppress(ConnectionResetError):  # one that said nothing yet, while its address has too many
        one.recv(1)
    one.close()
again = 0
for _rank in range(300):
    time.sleep(0.01)  # the kernel forgets few ended ones at each of its clock's ticks
    try:
        with socket.create_connection(("10.99.0.1", 443), 2, (here, 0)) as one:
            one.shutdown(socket.SHUT_WR)
            one.recv(1)
        again += 1
    except OSError:
        break
print(len(held), other, again)
"""
LISTENER = """
import socket, socketserver

class Server(socketserver.ThreadingTCPServer):
    address_family, request_queue_size, daemon_threads = socket.AF_INET6, 1024, True

with Server(("::", 443), lambda request, *_whose: request.recv(1)) as there:
    print("prêt", flush=True)
    there.serve_forever()
"""


@pytest.fixture
def peer(machine: Machine) -> Iterator[Machine]:
    """Whoever is at the other end of the machine's line, under several addresses."""
    other = Machine(f"{machine.name}-p")
    script = f"""ip netns add {other.name}
        ip link add here netns {machine.name} type veth peer name there netns {other.name}
        ip -n {machine.name} address add 10.99.0.1/24 dev here
        ip -n {machine.name} address add fd99::1/32 dev here nodad
        ip -n {machine.name} link set here up
        ip -n {machine.name} link set lo up
        ip -n {other.name} address add 10.99.0.2/24 dev there
        ip -n {other.name} address add 10.99.0.3/24 dev there
        ip -n {other.name} address add fd99::3/32 dev there nodad
        ip -n {other.name} address add fd99:0:0:ff::3/32 dev there nodad
        ip -n {other.name} address add fd99:0:0:100::3/32 dev there nodad
        ip -n {other.name} link set there up"""
    subprocess.run(["sh", "-e", "-c", script], check=True)
    listening = subprocess.Popen(
        ["ip", "netns", "exec", machine.name, sys.executable, "-c", LISTENER], stdout=subprocess.PIPE, text=True
    )
    assert listening.stdout and listening.stdout.readline() == "prêt\n"
    yield other
    listening.kill()
    listening.wait()
    subprocess.run(["ip", "netns", "delete", other.name], check=True)


@pytest.mark.parametrize("rule", [RULE, RULE | {"peers": ["0.0.0.0/0"]}], ids=["anyone", "the-whole-internet"])
def test_one_address_has_its_connections_and_leaves_others_theirs(
    etc: Path, machine: Machine, peer: Machine, rule: dict[str, Any]
) -> None:
    """1,536 handshakes that stopped, of one address without a certificate, kept everybody from a door of nginx."""
    wanted = firewall(etc, machine, rule)
    wanted.apply("a", 20)
    wanted.confirm("a")
    done = peer([sys.executable, "-c", PEER, "10.99.0.2", str(MAX_CONNECTIONS_PER_ADDRESS + 100)])
    assert done.stdout.split() == [str(MAX_CONNECTIONS_PER_ADDRESS), "1", "300"], done.stderr
    counted = ", ".join(f"10.99.0.{rank} ct count over {MAX_CONNECTIONS_PER_ADDRESS}" for rank in range(4, 9))
    for _try in range(10):  # the kernel takes those without a connection away as it goes
        assert machine(["nft", f"add element inet creatic sources4 {{ {counted} }}"]).returncode == 0
        if there := "10.99.0.8" in machine(["nft", "-s", "list", "table", "inet", "creatic"]).stdout:
            break
    assert there
    assert not wanted.inspect()  # whom it counts is no drift


TOGETHER = """
import socket, sys
held = []
for whose in sys.argv[1:]:
    before = len(held)
    try:
        while len(held) - before < 100:
            held.append(socket.create_connection(("fd99::1", 443), 2, (whose, 0)))
    except OSError:
        pass
    print(len(held) - before)
"""


def test_a_site_of_ipv6_has_the_connections_of_an_address(etc: Path, machine: Machine, peer: Machine) -> None:
    """A home has 256 networks (RFC 6177): four of them, each with an address's share, had all that nginx takes."""
    wanted = firewall(etc, machine, RULE)
    wanted.apply("a", 20)
    wanted.confirm("a")
    done = peer([sys.executable, "-c", TOGETHER, "fd99::3", "fd99:0:0:ff::3", "fd99:0:0:100::3"])
    assert done.stdout.split() == ["100", str(MAX_CONNECTIONS_PER_ADDRESS - 100), "100"], done.stderr


FORGER = """
import ipaddress, random, socket, struct, sys
whose, there, kind, most = *map(ipaddress.ip_address, sys.argv[1:3]), int(sys.argv[3]), int(sys.argv[4])
options, between = bytes.fromhex(sys.argv[5]), bytes.fromhex(sys.argv[6])
four = there.version == 4

def total(data):
    found = sum(struct.unpack(f"!{len(data) // 2}H", data))
    found = (found >> 16) + (found & 0xFFFF)
    return ~(found + (found >> 16)) & 0xFFFF

with socket.socket(socket.AF_INET if four else socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as line:
    for rank in range(most):
        fields = [20000 + rank, 443, random.randrange(2**32), random.randrange(2**32), (20 + len(options)) << 2, kind]
        fields += [64240, 0, 0]
        segment = struct.pack("!HHLLBBHHH", *fields) + options
        fields[7] = total(whose.packed + there.packed + struct.pack("!LHBB", len(segment), 0, 0, 6) + segment)
        segment = between + struct.pack("!HHLLBBHHH", *fields) + options
        if four:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), rank, 0, 64, 6, 0)
        else:
            head = struct.pack("!LHBB", 6 << 28, len(segment), 60 if between else 6, 64)
        line.sendto(head + whose.packed + there.packed + segment, (str(there), 0))
"""
SYN, ACK, DATA = 2, 16, 24
MD5, AO = "01011312" + 16 * "00", "1d10" + 14 * "00"
DESTINATION = "06005e0200000000"  # options for the destination (RFC 8200, section 4.6), one that has the packet dropped
HOLDS = """
import socket, sys
held = [socket.create_connection((sys.argv[1], 443), 2, (sys.argv[2], 0)) for _rank in range(int(sys.argv[3]))]
print(len(held))
"""


@pytest.mark.parametrize(
    ("kind", "options", "between", "version"),
    [
        *(
            pytest.param(kind, options, "", version, id=f"{name}, IPv{version}")
            for version in (4, 6)
            for name, kind, options in (
                ("syn", SYN, ""),
                ("ack", ACK, ""),
                ("data", DATA, ""),
                ("ack under a digest", ACK, MD5),
                ("data under an authentication", DATA, AO),
            )
        ),
        pytest.param(ACK, "", DESTINATION, 6, id="ack behind a header, IPv6"),
    ],
)
def test_nobody_is_refused_for_packets_that_others_write_under_their_address(
    etc: Path, machine: Machine, peer: Machine, kind: int, options: str, between: str, version: int
) -> None:
    """Two hundred forged SYNs a minute kept their address from every door of the groupement."""
    wanted = firewall(etc, machine, RULE)
    wanted.apply("a", 20)
    wanted.confirm("a")
    # Whose address it is says nothing: the network between drops what nobody there asked for.
    for command in (
        "add table inet t",
        "add chain inet t o { type filter hook output priority 0; }",
        "add rule inet t o tcp flags & rst == rst drop",
    ):
        assert peer(["nft", command]).returncode == 0
    there, whose = {4: ("10.99.0.1", "10.99.0.3"), 6: ("fd99::1", "fd99::3")}[version]
    forged = peer(
        [
            sys.executable,
            "-c",
            FORGER,
            whose,
            there,
            str(kind),
            str(MAX_CONNECTIONS_PER_ADDRESS + 100),
            options,
            between,
        ]
    )
    assert forged.returncode == 0, forged.stderr
    done = peer([sys.executable, "-c", HOLDS, there, whose, str(MAX_CONNECTIONS_PER_ADDRESS - 10)])
    assert done.stdout.split() == [str(MAX_CONNECTIONS_PER_ADDRESS - 10)], done.stderr


def test_a_closed_door_says_so_at_once_and_the_machine_reaches_its_own(
    etc: Path, machine: Machine, peer: Machine
) -> None:
    """What ends a handshake belongs to no connection: it must not be dropped for that."""
    wanted = firewall(etc, machine, RULE | {"ports": [443, 444]})
    wanted.apply("a", 20)
    wanted.confirm("a")
    asking = "import socket; print(socket.socket().connect_ex(('10.99.0.1', {})))"
    for who, port, said in ((peer, 444, "111"), (peer, 443, "0"), (machine, 443, "0"), (machine, 444, "111")):
        done = who(["timeout", "3", sys.executable, "-c", asking.format(port)])
        assert done.stdout.strip() == said, (port, done.stderr)


def test_machines_of_one_network_stay_connected_where_the_program_counts(
    etc: Path, machine: Machine, peer: Machine
) -> None:
    """Those of communes that share their way out keep a connection each to the journals: the 193rd sent no line."""
    wanted = firewall(etc, machine, RULE | {"counts": True})
    wanted.apply("a", 20)
    wanted.confirm("a")
    done = peer([sys.executable, "-c", PEER, "10.99.0.2", str(MAX_CONNECTIONS_PER_ADDRESS + 100)])
    assert done.stdout.split() == [str(MAX_CONNECTIONS_PER_ADDRESS + 100), "1", "300"], done.stderr


def test_a_machine_whose_modules_are_locked_keeps_its_rules(etc: Path, machine: Machine) -> None:
    """Until its next boot, which has what counts connections before they are."""

    class Locked(Machine):
        def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
            candidate = Path(command[-1])
            if "ct count" in command[-1] or (
                command[0] == "unshare" and candidate.is_file() and "ct count" in candidate.read_text()
            ):
                return subprocess.CompletedProcess(command, 1, "", "No such file or directory")
            return super().__call__(command)

    locked = Locked(machine.name)
    wanted = firewall(etc, locked, RULE)
    wanted.apply("a", 20)
    wanted.confirm("a")
    assert not wanted.inspect()
    assert "tcp dport 443 accept" in wanted.live()
    unit = etc.parent / "units" / "nftables.service.d" / "creatic.conf"
    assert "ExecStartPre=-/usr/sbin/modprobe --quiet nft_connlimit\n" in unit.read_text()
    after = firewall(etc, machine, RULE)
    assert after.inspect()
    assert f"ct count over {MAX_CONNECTIONS_PER_ADDRESS}" in after.text()


def test_a_machine_without_name_server_is_told(etc: Path, machine: Machine) -> None:
    (etc / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    with pytest.raises(NftError, match="base_resolvers"):
        firewall(etc, machine, DNS).inspect()
    (etc / "absent").write_text("nameserver 9.9.9.9\n")  # systemd-resolved says whom it asks
    assert "elements = { 9.9.9.9 }" in firewall(etc, machine, DNS).wanted()


def test_a_kernel_without_nftables_gets_the_file_alone(etc: Path, machine: Machine) -> None:
    def no_nftables(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "Error: Could not process rule: Operation not supported")

    wanted = firewall(etc, machine, RULE)
    wanted.run = no_nftables
    assert wanted.write_file_only(check=True)
    assert not (etc / "nftables.conf").exists()
    assert wanted.write_file_only(check=False)
    assert (etc / "nftables.conf").read_text() == wanted.text()
    assert wanted.write_file_only(check=False) == []
    # The same text, where there is a kernel for it.
    assert machine(["nft", "-f", str(etc / "nftables.conf")]).returncode == 0


def test_a_kernel_with_nftables_must_filter(etc: Path, machine: Machine) -> None:
    with pytest.raises(NftError, match="sait filtrer : retirez firewall_load"):
        firewall(etc, machine, RULE).write_file_only(check=False)
    assert not (etc / "nftables.conf").exists()


def refuse(wanted: Firewall, machine: Machine, *words: str, said: str = "refusé") -> None:
    """From now on the machine refuses the commands that hold these words."""

    def partly(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if all(word in " ".join(command) for word in words):
            return subprocess.CompletedProcess(command, 1, "", said)
        return machine(command)

    wanted.run = partly


def test_everybody_reads_the_rules_and_root_alone_writes_them(etc: Path, machine: Machine) -> None:
    wanted = firewall(etc, machine, RULE)
    wanted.apply("a", 20)
    wanted.confirm("a")
    drop_in = etc.parent / "units" / "nftables.service.d" / "creatic.conf"
    assert (etc / "nftables.conf").stat().st_mode & 0o777 == 0o755
    assert drop_in.stat().st_mode & 0o777 == 0o644
    assert "ExecStop=-/usr/sbin/nft delete table inet creatic\n" in drop_in.read_text()
    (etc / "nftables.conf").unlink()
    refuse(wanted, machine, "unshare")
    wanted.write_file_only(check=False)
    assert (etc / "nftables.conf").stat().st_mode & 0o777 == 0o755


def test_each_part_that_differs_is_shown_alone(etc: Path, machine: Machine) -> None:
    wanted = firewall(etc, machine, RULE)
    assert [(one["before"], one["after"]) for one in wanted.inspect().diff("inet creatic")] == [
        ("", wanted.wanted()),
        ("différent\n", "à jour\n"),
        ("différent\n", "à jour\n"),
    ]
    wanted.apply("a", 20)
    assert wanted.inspect().diff("inet creatic")[-1]["before"] == "changement non confirmé d'un passage interrompu\n"
    wanted.confirm("a")
    assert wanted.inspect().diff("inet creatic") == []
    drop_in = etc.parent / "units" / "nftables.service.d" / "creatic.conf"
    for path in (drop_in, etc / "nftables.conf"):
        kept = path.read_text()
        path.write_text("autre")
        found = wanted.inspect()
        assert found
        assert [one["before_header"] for one in found.diff("inet creatic")] == ["/etc/nftables.conf"]
        path.write_text(kept)
    for shown in ("UnitFileState=enabled\nActiveState=inactive\n", "UnitFileState=disabled\nActiveState=active\n"):
        wanted.run = lambda command, shown=shown: (
            subprocess.CompletedProcess(command, 0, shown, "") if command[0] == "systemctl" else machine(command)
        )
        found = wanted.inspect()
        assert found
        assert [one["before_header"] for one in found.diff("inet creatic")] == ["nftables.service"]


def test_name_servers_go_to_the_set_of_their_family(etc: Path, machine: Machine) -> None:
    (etc / "resolv.conf").write_text("nameserver 10.59.0.1\nnameserver fd00::53%eth0\nnameserver 10.59.0.1\n")
    made = firewall(etc, machine, DNS).text()
    assert "add element inet creatic resolvers4 { 10.59.0.1 }" in made
    assert "add element inet creatic resolvers6 { fd00::53 }" in made
    assert "add element" not in Firewall("inet creatic", render([RULE], ["10.59.0.1"]), etc=etc).text()


def test_a_host_without_nft_is_told(etc: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(etc))
    with pytest.raises(NftError, match=r"^nft est absent de la machine : installez le paquet nftables avant$"):
        firewall(etc, machine, RULE).inspect()


def test_rules_that_cannot_be_read_stop_everything(etc: Path, machine: Machine) -> None:
    wanted = firewall(etc, machine, RULE)
    refuse(wanted, machine, "nft -s list table inet creatic", said="Operation not permitted")
    with pytest.raises(NftError, match=r"^nft ne lit pas les règles de la machine : Operation not permitted$"):
        wanted.apply("a", 20)
    assert not wanted.guard.pending()


@pytest.mark.parametrize("words", ["nft -c -f", "nft -f /"])
def test_rules_refused_once_armed_are_undone_at_once(etc: Path, machine: Machine, words: str) -> None:
    old = firewall(etc, machine, RULE)
    old.apply("a", 20)
    old.confirm("a")
    live = old.live()
    wanted = firewall(etc, machine, RULE, DNS)
    refuse(wanted, machine, words)
    with pytest.raises(NftError, match=r"^nft refuse les règles, l'état précédent est remis : refusé$"):
        wanted.apply("b", 20)
    assert not wanted.guard.pending()
    assert old.live() == live


def test_rules_changed_by_another_hand_are_not_confirmed(etc: Path, machine: Machine) -> None:
    wanted = firewall(etc, machine, RULE)
    wanted.apply("a", 20)
    machine(["nft", "insert", "rule", "inet", "creatic", "input", "accept"])
    with pytest.raises(NftError, match=r"^les règles en vigueur ne sont plus celles qui viennent d'être posées$"):
        wanted.confirm("a")
    assert wanted.guard.pending()
    assert not (etc / "nftables.conf").exists()


@pytest.mark.parametrize("words", ["daemon-reload", "enable"])
def test_rules_that_the_next_boot_would_not_load_are_told(etc: Path, machine: Machine, words: str) -> None:
    wanted = firewall(etc, machine, RULE)
    wanted.apply("a", 20)
    refuse(wanted, machine, "systemctl", words)
    expected = r"^les règles sont en vigueur, mais pas pour le prochain démarrage : refusé$"
    with pytest.raises(NftError, match=expected):
        wanted.confirm("a")
