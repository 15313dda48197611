"""What labs of two names share on one computer: neither takes from the other what it stands on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.lab import ground, machines
from ansible_collections.cdg59.creatic.plugins.module_utils.lab.ground import Ground


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Ground, Ground, Path]:
    """Two labs, and the kernel's setting as Debian gives it."""
    setting = tmp_path / "max_user_instances"
    setting.write_text("128\n")
    monkeypatch.setattr(ground, "WATCHERS", setting)
    monkeypatch.setattr(Ground, "mounted", lambda _self, path: path.is_file())  # a namespace is a file here
    monkeypatch.setattr(ground, "run", lambda command, _error: Path(command[-1]).unlink(missing_ok=True))
    made = []
    for name in ("un", "deux"):
        lab = Ground(name)
        lab.state, lab.run = tmp_path / "lib" / f"{name}-lab", tmp_path / "run" / f"{name}-lab"
        lab.namespace = lab.run / "ns" / "mnt"
        made.append(lab)
    return made[0], made[1], setting


def up(lab: Ground) -> None:
    lab.namespace.parent.mkdir(parents=True)
    lab.namespace.touch()
    lab.ensure()


@pytest.mark.parametrize("first", [0, 1])
def test_the_last_lab_gives_the_watchers_back(labs: tuple[Ground, Ground, Path], first: int) -> None:
    *both, setting = labs
    for lab in both:
        up(lab)
    leaves, stays = both[first], both[1 - first]
    leaves.remove()
    assert setting.read_text() == "1024\n" and not leaves.run.exists()
    stays.remove()
    assert setting.read_text() == "128\n" and not stays.run.exists()


PODMAN = r"""#!/bin/sh
# The events of every storage of a computer are in one place; what is started is in one's own alone.
case $1 in
  events)
    for event in "ailleurs creatic-relais" "ici creatic-sae1"; do
      printf '%s\n' "$5" | sed "s/{{.ID}}/${event% *}/; s/{{.Name}}/${event#* }/; s/{{.ContainerExitCode}}/129/"
    done ;;
  start) [ "$2" = ailleurs ] && exit 1; echo "$2" >> "${0%/*}/started" ;;
esac
"""


def test_a_machine_that_reboots_starts_none_of_another_lab(tmp_path: Path) -> None:
    podman = tmp_path / "podman"
    podman.write_text(PODMAN)
    podman.chmod(0o755)
    subprocess.run(["sh", "-ceu", machines.POWER, "sh", str(machines.REBOOT_EXIT_STATUS), str(podman)], check=True)
    assert (tmp_path / "started").read_text().splitlines() == ["ici"]
