"""What a machine tells of itself, whoever wrote its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.host import condition, report
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError
from ansible_collections.cdg59.creatic.plugins.module_utils.morning import figures


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


# -- the same, left for Prometheus ----------------------------------------------------------------------------


def answers(**told: str | None) -> condition.Ask:
    """A machine whose programs say these words; the others fail."""
    return lambda words: told.get(words[0].replace("-", "_"))


def figures_of(tmp_path: Path, mounts: Path, **told: str | None) -> str:
    return condition.text(answers(**told), mounts, tmp_path / "redemarrage", tmp_path / "file")


def test_a_machine_leaves_how_it_is_in_words_that_promtool_takes(tmp_path: Path, mounts: Path) -> None:
    for queue, count in (("deferred/A", 2), ("active", 1), ("saved", 4)):
        (tmp_path / "file" / queue).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "file" / queue / f"m{number}").touch()
    (tmp_path / "redemarrage").touch()
    hostile = json.dumps([{"unit": 'a"\\\n\x1b.service'}, {"unit": "b.service"}])
    text = figures_of(tmp_path, mounts, systemctl=hostile, timedatectl="no\n")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert "error" not in done.stderr, done.stderr
    found = {one.key: one.value for one in figures.parse(text)}
    assert found.pop("creatic_machine_disk_percent{point=/}") <= 100
    assert found.pop("creatic_machine_unit_failed{unite=b.service}") == 1
    assert len([key for key in found if "unit_failed" in key]) == 1
    assert {key: value for key, value in found.items() if "unit_failed" not in key} == {
        "creatic_machine_clock_synchronized{}": 0,
        "creatic_machine_restart_wanted{}": 1,
        "creatic_machine_mails_waiting{}": 3,
    }


def test_what_nothing_tells_is_left_out(tmp_path: Path, mounts: Path) -> None:
    text = figures_of(tmp_path, mounts, systemd_detect_virt="")
    assert {one.name for one in figures.parse(text)} == {
        "creatic_machine_disk_percent",
        "creatic_machine_restart_wanted",
    }
    many = json.dumps([{"unit": f"u{number}.service"} for number in range(500)])
    assert figures_of(tmp_path, mounts, systemctl=many).count("unit_failed{") == 50


def test_its_file_is_replaced_at_once_by_python_alone(tmp_path: Path) -> None:
    """As the machine runs it: the file by itself, in an isolated interpreter."""
    target = tmp_path / "machine.prom"
    target.write_text("old\n")
    old = target.stat().st_ino
    subprocess.run([sys.executable, "-I", condition.__file__, str(target)], check=True)
    assert target.stat().st_ino != old and "creatic_machine_restart_wanted" in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["machine.prom"]
