"""What a machine tells of itself, whoever wrote its figures."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.host import report
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError


def machine(container: bool = False, clock: str = "yes") -> report.Run:
    def command(words: Sequence[str], error: str) -> str:
        if words[0] == "systemctl":
            return json.dumps([{"unit": "nginx.service", "load": "loaded"}])
        if words[0] == "systemd-detect-virt":
            if not container:
                raise StateError(error)
            return ""
        if not clock:
            raise StateError(error)
        return f"{clock}\n"

    return command


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mounts"
    path.write_text(
        f"/dev/a / ext4 rw 0 0\n/dev/a {tmp_path} ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/b /none xfs rw 0 0\n"
    )
    return path


def test_a_machine_tells_how_it_is(tmp_path: Path, mounts: Path) -> None:
    (tmp_path / "a.prom").write_text("a 1\n")
    found = report.look(machine(), tmp_path, mounts)
    assert (found["mesures"], found["unites"], found["illisibles"]) == (["a 1\n"], ["nginx.service"], [])
    [disk] = found["disques"]
    assert disk["point"] == "/" and 0 <= disk["plein"] <= 100


def test_files_that_are_none_are_left_out_and_told(tmp_path: Path, mounts: Path) -> None:
    (tmp_path / "a.prom").write_text("a 1\n")
    (tmp_path / "lien.prom").symlink_to("/etc/shadow")
    (tmp_path / "gros.prom").write_bytes(b"a" * (512 * 1024 + 1))
    (tmp_path / "octets.prom").write_bytes(b"\xff")
    os.mkfifo(tmp_path / "tube.prom")
    found = report.look(machine(), tmp_path, mounts)
    assert found["mesures"] == ["a 1\n"]
    assert found["illisibles"] == ["gros.prom", "lien.prom", "octets.prom", "tube.prom"]


def test_files_beyond_the_most_are_told(tmp_path: Path, mounts: Path) -> None:
    for number in range(42):
        (tmp_path / f"{number:02}.prom").write_text("a 1\n")
    found = report.look(machine(), tmp_path, mounts)
    assert (len(found["mesures"]), found["illisibles"]) == (40, ["40.prom", "41.prom"])


@pytest.mark.parametrize(
    ("container", "clock", "told"), [(False, "yes", True), (False, "no", False), (True, "no", None), (False, "", None)]
)
def test_its_clock_is_its_own_outside_a_container(
    tmp_path: Path, mounts: Path, container: bool, clock: str, told: bool | None
) -> None:
    assert report.look(machine(container, clock), tmp_path, mounts)["a_l_heure"] is told
