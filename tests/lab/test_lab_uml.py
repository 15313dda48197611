"""Machines with a kernel of their own: same SSH, disks, and nothing left behind.

The scenarios hardening_kernel and encrypted_raid start theirs again from inside.
"""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.lab import uml as lab_uml
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.host import Host
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.lab import Lab

from testbed.patience import wait_for

from .conftest import ssh

ADDRESS = "10.59.250.3"


def make(ssh_dir: Path, memory: str = "768M", check: bool = False) -> Lab:
    disks = ["64M", "1G:/var", "256M:/var/log"]
    machine = Host("essai-noyau", ADDRESS, ["noyau.creatic.test"], "uml", memory, disks)
    return Lab("10.59.0.0/16", [machine], "creatic", ssh_dir, check)


def kernels() -> list[tuple[str, set[str]]]:
    """The machine's processes on this computer: account and the capabilities in force or at hand."""
    shown = Ground().podman("top", "creatic-essai-noyau", "huser", "capeff", "capprm").splitlines()[1:]
    return [(line.split()[0], set(line.split()[1:])) for line in shown]


@pytest.fixture(scope="module")
def folder(keys: Path) -> Iterator[Path]:
    make(keys).down()
    yield keys
    make(keys).down()
    assert not (Ground().state / "machines").exists()


def test_it_boots_a_kernel_of_its_own_and_is_reached_as_in_production(folder: Path) -> None:
    fresh = make(folder, check=True)
    fresh.up()
    assert fresh.changes == ["essai-noyau"]
    make(folder).up()
    answer = ssh(folder, ADDRESS, "hostname; sudo -n id -u; systemctl is-system-running; uname -r").split()
    assert answer[:3] == ["essai-noyau", "0", "running"]
    assert answer[3] != platform.release()
    assert "apparmor" in ssh(folder, ADDRESS, "cat /sys/kernel/security/lsm")
    assert "Err:" not in ssh(folder, ADDRESS, "sudo apt-get update 2>&1")


def test_its_kernel_runs_under_an_account_without_rights(folder: Path) -> None:
    found = kernels()
    assert found
    assert {account for account, _capabilities in found} == {lab_uml.ACCOUNT}
    assert [capabilities for _account, capabilities in found if capabilities != {"none"}] == []


def kill() -> None:
    os.kill(Ground().containers()["creatic-essai-noyau"]["Pid"], signal.SIGKILL)
    wait_for(
        lambda: Ground().containers()["creatic-essai-noyau"]["State"] != "running",
        "que podman voie la machine morte",
        180,
    )


def test_a_killed_machine_comes_back_with_its_disks_and_key(folder: Path) -> None:
    ssh(folder, ADDRESS, "touch ~/avant; sync")
    kill()
    again = make(folder)
    again.up()
    assert again.changes == ["essai-noyau"]
    assert ssh(folder, ADDRESS, "ls ~").split() == ["avant"]
