"""The door as the control node reaches it, by the real Ansible: why it did not answer is said."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from creatic.fleet.assemble import Door
from creatic.fleet.signing import FleetError

TOP = Path(__file__).resolve().parents[3]


def _inventory(folder: Path, host: str) -> Path:
    (folder / "hosts.yml").write_text(f"all:\n  children:\n    guichet:\n      hosts:\n        guichet1: {{{host}}}\n")
    return folder


def test_what_ssh_met_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(FleetError, match="refuse la connexion SSH"):
            Door(TOP, _inventory(tmp_path, f"ansible_host: 127.0.0.1, ansible_port: {port}")).read_status()


def test_a_host_without_the_door_is_told_what_deploys_it(tmp_path: Path) -> None:
    local = "ansible_connection: local, ansible_become: false, ansible_become_exe: /nulle/part"
    with pytest.raises(FleetError, match="fab serveurs guichet"):
        Door(TOP, _inventory(tmp_path, local)).read_status()
