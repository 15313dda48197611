"""The archive room on encrypted disks: three nodes with kernels of their own, Swift on XFS in LUKS2 over md RAID1.

The tests go on from one another, as a bad week does: a disk lost, a disk replaced, a node away.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.archive_room import Client, connect, gateway_certificate, names_of_the_lab
from testbed.control_node import REPO
from testbed.kernels import USER, Machine, machines
from testbed.patience import allowed, wait_for

pytestmark = pytest.mark.coffres

NODES, SUBNET, MEMORY, DISKS = ["sae1", "sae2", "sae3"], "10.98.7", "512M", ["340M", "340M", "340M"]
FIRST, SECOND, SPARE = "/dev/ubdb", "/dev/ubdc", "/dev/ubdd"
MOUNT, ARRAY, OPENED = "/srv/node/d1", "/dev/md/d1", "/dev/mapper/d1"
PACKAGES = ("memcached", "nftables", "nginx", "openscap-scanner", "python3-cryptography", "rsync", "rsyslog",
            "swift-account", "swift-container", "swift-object", "swift-proxy")  # fmt: skip # a list of words
# What stores, copies and serves. Auditors and updaters take as long again to start, and nothing here waits for them.
SERVICES = [f"{kind}{role}" for kind in ("account", "container", "object") for role in ("", "-replicator")] + ["proxy"]
DROP = "sync; echo 3 > /proc/sys/vm/drop_caches"


class Room:
    """Three nodes, the control node's state and inventory, and a client that is the gateway's own."""

    def __init__(self, folder: Path, found: dict[str, Machine]) -> None:
        self.folder, self.machines, self.home = folder, found, folder / "etat"
        self.inventory = folder / "servers.yml"
        self.addresses = {name: machine.address for name, machine in found.items()}

    def stand(self) -> None:
        """Make the authority, the volumes and the room."""
        ssh = self.folder / "ssh"
        given = {
            "creatic_env": "essai", "creatic_home": str(self.home), "creatic_pki_dir": str(self.home / "pki"),
            "creatic_secrets_dir": str(self.home / "secrets"), "creatic_niveau": "high", "creatic_supervision": [],
            "creatic_journaux": [], "creatic_groupement_siren": "285900015",
            "creatic_autorite": {"organisation": "Essai", "nom": "Essai"},
            "ansible_user": USER, "ansible_ssh_private_key_file": str(ssh / "id_ed25519"),
            "ansible_ssh_common_args": f'-o StrictHostKeyChecking=yes -o "UserKnownHostsFile={ssh / "known_hosts"}"',
            "encrypted_raid_volumes": [{"name": "d1", "disks": [FIRST, SECOND], "mount": MOUNT}],
            "archive_node_devices": [{"name": "d1"}], "archive_node_part_power": 4, "archive_node_min_part_hours": 0,
            "archive_node_replication_interval": 20,
        }  # fmt: skip # a table
        hosts = {
            name: {"ansible_host": address, "creatic_names": [f"{name}.creatic.test"], "creatic_zone": rank}
            for rank, (name, address) in enumerate(self.addresses.items(), 1)
        }
        children = {"archive_node": {"hosts": hosts}}
        self.inventory.write_text(json.dumps({"all": {"vars": given, "children": children}}), encoding="utf-8")
        self.play("playbooks/authority.yml", creatic_pki_generate_passphrases=True)
        self.play("tests/coffres/room.yml", __archive_node_swift=SERVICES)

    def play(self, playbook: str, *options: str, **given: object) -> str:
        """Run a playbook on the room; gives what it printed."""
        started = time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", "-i", str(self.inventory), playbook, *options, "-e", json.dumps(given)],
            cwd=REPO, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            check=False, timeout=allowed(1200),
            env=os.environ | {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "CREATIC_HOME": str(self.home),
                "ANSIBLE_SSH_CONTROL_PATH_DIR": "~/.ansible/cp-coffres", "ANSIBLE_TIMEOUT": "120",
            },
        )  # fmt: skip # one call by its parts
        print(f"\n[{time.monotonic() - started:6.1f} s] {playbook}\n{done.stdout}", flush=True)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def opens(self, name: str, *disks: str) -> str:
        """Open a node's volume as `fab archive.ouvrir` does, with the list of disks of a corrected inventory."""
        volumes = [{"name": "d1", "disks": list(disks or (FIRST, SECOND)), "mount": MOUNT}]
        return self.play("playbooks/journeys/open_disks.yml", "--limit", name, encrypted_raid_volumes=volumes)

    def members(self, name: str) -> dict[str, str]:
        """Disks of a node's array and their state."""
        script = "for disk in /sys/block/md*/md/dev-*; do echo ${disk##*/dev-} $(cat $disk/state); done"
        return {f"/dev/{line.split()[0]}": line.split()[1] for line in self.machines[name].run(script).splitlines()}

    def figures(self, name: str) -> dict[str, float]:
        """What a node's watch says of its volume, taken now."""
        text = self.machines[name].run("creatic-raid mesurer; cat /var/lib/creatic/metrics/raid.prom")
        found = re.findall(r'^creatic_raid_(\w+){volume="d1"} ([0-9.]+)$', text, re.M)
        return {figure: float(value) for figure, value in found}

    def copies(self, name: str) -> set[str]:
        """Digests of the archives' files as a node's disks give them."""
        found = self.machines[name].run(f"{DROP}; find {MOUNT}/objects -name '*.data' -exec sha256sum {{}} + || true")
        return {line.split()[0] for line in found.splitlines()}

    def same_copies(self, count: int, *names: str) -> None:
        """Wait until these nodes, all by default, have each archive, byte for byte the same."""
        seen: dict[str, set[str]] = {}

        def same() -> bool:
            seen.update({name: self.copies(name) for name in names or NODES})
            return len({frozenset(one) for one in seen.values()}) == 1 and len(next(iter(seen.values()))) == count

        wait_for(same, lambda: f"{count} archives sur chaque nœud, {seen}", 300, every=2)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """The room, with nothing in it."""
    if os.geteuid() != 0:
        pytest.skip("machines with kernels of their own need root: a network namespace and its bridge are made")
    folder = tmp_path_factory.mktemp("coffres")
    started = time.monotonic()
    with machines(NODES, SUBNET, folder, PACKAGES, MEMORY, DISKS) as found:
        print(f"machines : {time.monotonic() - started:.0f} s", flush=True)
        made = Room(folder, found)
        made.stand()
        with names_of_the_lab(made.addresses):
            yield made


@pytest.fixture(scope="module")
def certificate(room: Room) -> Path:
    """The gateway's."""
    return gateway_certificate(room.home)


@pytest.fixture(scope="module")
def client(room: Room, certificate: Path) -> Client:
    """Deposits, and remembers digests."""
    return Client(connect(certificate, *NODES, home=room.home), "essai")


def deposit(client: Client, name: str) -> None:
    """Store an archive of a megabyte."""
    started = time.monotonic()
    client.put(name, os.urandom(1_000_000))
    print(f"{name} : déposé en {time.monotonic() - started:.1f} s", flush=True)


def read_back(room: Room, client: Client, certificate: Path, *nodes: str) -> None:
    """Read all that was deposited through each of these nodes' proxies: its own copy comes first."""
    for node in nodes or NODES:
        store = connect(certificate, node, home=room.home)
        for name in client.written:
            client.check(name, store)


def test_an_archive_is_on_three_nodes_whose_disks_are_encrypted(room: Room, client: Client, certificate: Path) -> None:
    deposit(client, "acte-1")
    room.same_copies(1)
    for name in NODES:
        assert room.machines[name].run(f"findmnt -no SOURCE,FSTYPE {MOUNT}").split() == [OPENED, "xfs"]
        assert room.members(name) == {FIRST: "in_sync", SECOND: "in_sync"}
        assert "crypto_LUKS" in room.machines[name].run(f"blkid -p {ARRAY}")
        assert room.figures(name)["open"] == 1
    read_back(room, client, certificate)


def test_a_disk_lost_on_a_node_is_told_and_the_node_goes_on(room: Room, client: Client, certificate: Path) -> None:
    sae1 = room.machines["sae1"]
    sae1.run(f"mdadm --manage {ARRAY} --fail {FIRST}")
    wait_for(
        lambda: "un disque est en panne" in sae1.run("journalctl --quiet -t creatic-raid -p err -o cat"),
        "un disque en panne vu par mdadm",
        150,
        every=2,
    )
    assert {"disks_missing": 1, "disks_faulty": 1, "open": 1}.items() <= room.figures("sae1").items()
    deposit(client, "acte-2")
    room.same_copies(2)
    read_back(room, client, certificate)


def test_a_new_disk_takes_the_place_of_a_dead_one_under_swift(room: Room, client: Client, certificate: Path) -> None:
    sae2 = room.machines["sae2"]
    sae2.run(f"mdadm --manage {ARRAY} --fail {FIRST}")
    room.opens("sae2", SPARE, SECOND)
    started = time.monotonic()
    wait_for(
        lambda: room.members("sae2").get(SPARE) == "in_sync",
        lambda: f"la reconstruction, {room.members('sae2')}",
        400,
        every=2,
    )
    print(f"reconstruction : {time.monotonic() - started:.0f} s", flush=True)
    # From the new disk alone, the other one being gone.
    sae2.run(f"mdadm --manage {ARRAY} --fail {SECOND} --remove {SECOND}")
    assert room.members("sae2") == {SPARE: "in_sync"}
    room.same_copies(2)
    read_back(room, client, certificate)


def test_a_node_away_starts_closed_and_gets_its_copy_from_the_others(
    room: Room, client: Client, certificate: Path
) -> None:
    sae3, here = room.machines["sae3"], NODES[:2]
    sae3.cut()
    deposit(client, "acte-3")
    read_back(room, client, certificate, *here)
    sae3.start()
    sae3.up()
    # Closed: nothing of it serves, and nothing is written below its folder.
    assert sae3.run(f"ls -A {MOUNT}; ls /dev/mapper").split() == ["control"]
    assert room.figures("sae3")["open"] == 0
    read_back(room, client, certificate, *here)
    assert room.copies("sae3") == set()

    room.opens("sae3")
    assert sae3.run(f"findmnt -no SOURCE {MOUNT}").split() == [OPENED]
    started = time.monotonic()
    room.same_copies(3)
    print(f"copie revenue : {time.monotonic() - started:.0f} s", flush=True)
    read_back(room, client, certificate)
