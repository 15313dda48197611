"""The lab itself: comes up from nothing, is repaired, a second call changes nothing, leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import WATCHERS, Ground
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import Host
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.lab import Lab

from testbed.patience import wait_for

from .conftest import ssh

HOSTS = [Host("essai-a", "10.59.250.1", ["alias.creatic.test"]), Host("essai-b", "10.59.250.2")]


def make(ssh: Path, hosts: list[Host] = HOSTS, check: bool = False) -> Lab:
    return Lab("10.59.0.0/16", hosts, "creatic", ssh, check)


def processes() -> list[int]:
    """Processes of the lab on this computer: its daemons, its machines and what watches over them."""
    found = [int(path.read_text()) for path in Ground().run.glob("*.pid")]
    for one in Ground().containers():
        found += map(int, Ground().podman("inspect", "--format", "{{.State.ConmonPid}} {{.State.Pid}}", one).split())
    return found


def traces(were: Iterable[int] = ()) -> list[str]:
    """What a lab leaves on this computer: mounts, link, firewall rules, folder, and those of its processes."""
    found = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "creatic-lab" in line]
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout)
    found += [link["ifname"] for link in links if link["ifname"] == "creatic0"]
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    found += [line for line in rules.splitlines() if "10.59." in line]
    found += [f"processus {pid}" for pid in were if Path(f"/proc/{pid}").exists()]
    return found + ([str(Ground().run)] if Ground().run.exists() else [])


def boots(folder: Path, address: str) -> str:
    """When the machine at this address started, as systemd has it; nothing while it is away."""
    with contextlib.suppress(subprocess.SubprocessError):
        return ssh(folder, address, "systemctl show --property=UserspaceTimestampMonotonic --value")
    return ""


@pytest.fixture(scope="module")
def folder(keys: Path) -> Iterator[Path]:
    make(keys).down()
    assert traces() == []
    before = WATCHERS.read_text()
    yield keys
    make(keys).down()
    assert WATCHERS.read_text() == before


def test_up_from_nothing_gives_booted_machines_reached_as_in_production(folder: Path) -> None:
    fresh = make(folder, check=True)
    fresh.up()
    assert fresh.changes == ["essai-a", "essai-b"]
    assert traces() == []  # check mode made nothing
    make(folder).up()
    for host in HOSTS:
        answer = ssh(folder, host.address, "hostname; sudo -n id -u; systemctl is-system-running").split()
        assert answer == [host.name, "0", "running"]
    assert ssh(folder, HOSTS[1].address, "getent hosts alias.creatic.test").split()[0] == HOSTS[0].address


def machine_settings() -> dict[str, str]:
    """Kernel settings of this machine which a hardened host would change."""
    keys = (
        "kernel/dmesg_restrict",
        "kernel/kptr_restrict",
        "vm/swappiness",
        "fs/suid_dumpable",
        "dev/tty/ldisc_autoload",
    )
    return {key: Path("/proc/sys", key).read_text() for key in (*keys, "net/ipv4/conf/all/log_martians")}


def test_the_machines_have_kernel_settings_of_their_own(folder: Path) -> None:
    before = machine_settings()
    for key, value in before.items():
        other = "1" if value.strip() != "1" else "0"
        answer = ssh(folder, HOSTS[0].address, f"echo {other} | sudo tee /proc/sys/{key}; cat /proc/sys/{key}")
        assert answer.split() == [other, other], key
    answer = ssh(folder, HOSTS[0].address, "sudo sh -c 'echo 3 > /proc/sys/abi/vsyscall32' 2>&1 || true")
    assert "Read-only file system" in answer  # what is not copied stays the machine's
    assert machine_settings() == before
    assert ssh(folder, HOSTS[1].address, "cat /proc/sys/vm/swappiness") == before["vm/swappiness"]


def test_the_machines_apply_their_own_kernel_settings_when_they_boot(folder: Path) -> None:
    before = machine_settings()
    started = boots(folder, HOSTS[0].address)
    command = "echo vm.swappiness=7 | sudo tee /etc/sysctl.d/90-essai.conf; sudo systemctl reboot 2>&1 || true"
    with contextlib.suppress(subprocess.CalledProcessError):  # the machine goes down under the connection
        ssh(folder, HOSTS[0].address, command)
    wait_for(lambda: boots(folder, HOSTS[0].address) not in ("", started), "que la machine revienne d'elle-même", 180)
    answer = ssh(folder, HOSTS[0].address, "cat /proc/sys/vm/swappiness; systemctl is-system-running --wait")
    assert answer.split() == ["7", "running"]
    assert machine_settings() == before
    again = make(folder)
    again.up()
    assert again.changes == [] and not again.from_nothing


def test_a_machine_that_is_switched_off_stays_off(folder: Path) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):
        ssh(folder, HOSTS[1].address, "sudo systemctl poweroff 2>&1 || true")
    wait_for(
        lambda: Ground().containers()["creatic-essai-b"]["State"] != "running",
        "que podman voie la machine éteinte",
        180,
    )
    time.sleep(3)  # the time in which one that reboots is back
    assert Ground().containers()["creatic-essai-b"]["State"] == "exited"
    again = make(folder)
    again.up()
    assert again.changes == ["essai-b"]


def test_a_scanner_takes_the_machines_for_machines(folder: Path) -> None:
    answer = ssh(folder, HOSTS[0].address, "ls -a /run /; dpkg-query -W -f '${Status}' linux-base")
    assert ".containerenv" not in answer
    assert ".dockerenv" not in answer
    assert "install ok installed" in answer
    # Copied settings, but true randomness.
    command = "cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/uuid /proc/sys/kernel/yama/ptrace_scope"
    one, two, scope = ssh(folder, HOSTS[0].address, command).split()
    assert one != two
    assert scope in "0123"


def test_a_second_up_changes_nothing(folder: Path) -> None:
    again = make(folder)
    again.up()
    assert again.changes == []


def test_a_dead_machine_comes_back_with_its_address_and_keys(folder: Path) -> None:
    os.kill(Ground().containers()["creatic-essai-b"]["Pid"], signal.SIGKILL)
    ready = make(folder)
    wait_for(
        lambda: Ground().containers()["creatic-essai-b"]["State"] != "running", "que podman voie la machine morte", 180
    )
    ready.up()
    assert "essai-b" in ready.changes and not ready.from_nothing
    assert ssh(folder, HOSTS[1].address, "hostname").strip() == "essai-b"


def test_machines_of_another_control_node_are_made_again(folder: Path, tmp_path: Path) -> None:
    """Its keys would be refused there, and its archives belong to other authorities."""
    before = Ground().containers()["creatic-essai-a"]["Id"]
    mine = make(tmp_path, HOSTS[:1])
    mine.up()
    assert "machines d'un autre poste de commande retirées (2)" in mine.changes and mine.from_nothing
    found = Ground().containers()
    assert list(found) == ["creatic-essai-a"] and found["creatic-essai-a"]["Id"] != before
    assert ssh(tmp_path, HOSTS[0].address, "hostname").strip() == "essai-a"
    make(folder).up()
    assert ssh(folder, HOSTS[0].address, "hostname").strip() == "essai-a"


def test_down_leaves_nothing_behind_of_killed_machines_nor_of_podman_typed_by_hand(folder: Path) -> None:
    ours = processes()
    pids = [
        Ground().podman("inspect", "--format", "{{.State.ConmonPid}} {{.State.Pid}}", one)
        for one in Ground().containers()
    ]
    for pid in [int(pid) for pair in zip(*(one.split() for one in pids), strict=True) for pid in pair]:
        os.kill(pid, signal.SIGKILL)
    storage = Ground().state / "storage" / "overlay"  # as podman leaves it where it is typed out of the namespace
    subprocess.run(["mount", "--bind", storage, storage], check=True)
    make(folder).down()
    assert traces(ours) == []
    again = make(folder)
    again.down()
    assert again.changes == []
