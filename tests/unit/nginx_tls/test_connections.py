"""One address keeps its share of nginx, whatever the kernel's tracking knows of its connections."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from creatic.firewall.rules import MAX_CONNECTIONS_PER_ADDRESS
from testbed.patience import wait_for

PROGRAM = Path(__file__).parents[3] / "roles/nginx_tls/files/nginx-tls-connexions"
LISTENER = """
import selectors, socket
there, held = selectors.DefaultSelector(), []
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    there.register(socket.create_server((address, 443), family=family, backlog=1024), selectors.EVENT_READ)
print("prêt", flush=True)
while True:
    held += [key.fileobj.accept() for key, _events in there.select()]
"""
PEER = """
import socket, sys
held = [socket.create_connection((sys.argv[1], 443), 5, (sys.argv[2], 0)) for _rank in range(int(sys.argv[3]))]
print("tient", flush=True)
sys.stdin.read()
"""
HERE = {4: "10.98.0.1", 6: "fd98::1"}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="un réseau à soi se fait en root")


class Line:
    """A machine where something listens as nginx does, and whoever is at the other end of its line."""

    def __init__(self, name: str) -> None:
        self.name, self.started = name, list[subprocess.Popen[str]]()

    def start(self, where: str, *command: str) -> subprocess.Popen[str]:
        entered = ["ip", "netns", "exec", where, sys.executable, *command]
        self.started.append(
            subprocess.Popen(
                entered, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
        return self.started[-1]

    def holds(self, version: int, whose: str, count: int) -> None:
        """Have an address of the other end hold so many connections."""
        shown = self.start(f"{self.name}-p", "-c", PEER, HERE[version], whose, str(count)).stdout
        assert shown and shown.readline() == "tient\n"

    def held(self, whose: str) -> int:
        """How many connections of an address the machine has."""
        listed = ["ip", "netns", "exec", self.name, "ss", "-Htn", "state", "established", "dst", f"[{whose}]"]
        return len(subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines())


@pytest.fixture
def line() -> Iterator[Line]:
    found = Line(f"essai-c{os.getpid()}")
    here, there = found.name, f"{found.name}-p"
    mine = ("10.98.0.2/24", "10.98.0.3/24", "fd98::2/32", "fd98::3/32", "fd98:0:0:ff::2/32", "fd98:0:0:100::2/32")
    addresses = "\n".join(f"ip -n {there} address add {one} dev there nodad" for one in mine)
    script = f"""ip netns add {here}
        ip netns add {there}
        ip link add here netns {here} type veth peer name there netns {there}
        ip -n {here} address add {HERE[4]}/24 dev here
        ip -n {here} address add {HERE[6]}/32 dev here nodad
        ip -n {here} link set here up
        ip -n {here} link set lo up
        ip -n {there} link set there up
        {addresses}"""
    try:
        subprocess.run(["sh", "-e", "-c", script], check=True)
        shown = found.start(here, "-c", LISTENER).stdout
        assert shown and shown.readline() == "prêt\n"
        yield found
    finally:
        for one in found.started:
            one.kill()
            one.communicate()
        for name in (here, there):
            subprocess.run(["ip", "netns", "delete", name], check=False)


def test_its_share_is_the_firewall_s() -> None:
    assert runpy.run_path(str(PROGRAM))["SHARE"] == MAX_CONNECTIONS_PER_ADDRESS


@pytest.mark.parametrize(
    ("version", "much", "others"),
    [
        (
            4,
            {"10.98.0.2": MAX_CONNECTIONS_PER_ADDRESS + 1},
            {"10.98.0.3": MAX_CONNECTIONS_PER_ADDRESS, HERE[4]: MAX_CONNECTIONS_PER_ADDRESS + 1},
        ),
        (
            6,
            {"fd98::2": MAX_CONNECTIONS_PER_ADDRESS // 2 + 1, "fd98::3": MAX_CONNECTIONS_PER_ADDRESS // 2 + 1},
            {"fd98:0:0:100::2": MAX_CONNECTIONS_PER_ADDRESS},
        ),
        (
            6,
            {"fd98::2": MAX_CONNECTIONS_PER_ADDRESS // 2 + 1, "fd98:0:0:ff::2": MAX_CONNECTIONS_PER_ADDRESS // 2 + 1},
            {"fd98:0:0:100::2": MAX_CONNECTIONS_PER_ADDRESS},
        ),
    ],
    ids=["an address", "a network of IPv6", "networks of one site"],
)
def test_who_holds_more_than_the_firewall_lets_it_loses_them(
    line: Line, version: int, much: dict[str, int], others: dict[str, int]
) -> None:
    """No firewall here: as where its count was made to forget them."""
    for whose, count in {**much, **others}.items():
        if whose in HERE.values():  # the machine's own, which it may want for itself
            shown = line.start(line.name, "-c", PEER, HERE[version], whose, str(count)).stdout
            assert shown and shown.readline() == "tient\n"
        else:
            line.holds(version, whose, count)
    program = line.start(line.name, str(PROGRAM))
    wait_for(lambda: not any(map(line.held, much)), "la fin des connexions en trop", 30)
    assert program.stdout and "connexions fermées" in program.stdout.readline()
    assert {whose: line.held(whose) for whose in others} == {
        whose: count * (2 if whose in HERE.values() else 1) for whose, count in others.items()
    }
    assert program.poll() is None
