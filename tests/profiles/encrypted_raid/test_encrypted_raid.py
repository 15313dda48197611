"""Disks that fail, are replaced, stolen or started again, on a machine with a kernel of its own.

The tests go on from one another, as the life of a volume does: they leave it on another pair of disks.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from testbed.patience import wait_for
from tests.profiles.services import as_root, exposure, in_clear

TOP = Path(__file__).parents[3]
FIRST, SECOND, SPARE = "/dev/ubdb", "/dev/ubdc", "/dev/ubdd"
MOUNT = "/srv/node/d1"
MAPPED = "/dev/mapper/d1"
ARRAY = "/dev/md/d1"
# 16 MiB of archives: every kilobyte of them says so.
ARCHIVE = f"{MOUNT}/archive"
LINE = "acte de Gondecourt en clair"
WRITE = f"yes '{LINE}' | head -c 16M > {ARCHIVE}; sync {ARCHIVE}"
DROP = "echo 3 > /proc/sys/vm/drop_caches"

Play = Callable[..., dict[str, Any]]


def digest(host: Host) -> str:
    """Digest of the archive as the disks give it, not the kernel's memory."""
    return as_root(host, f"{DROP}; sha256sum {ARCHIVE}").split()[0]


def figures(host: Host) -> dict[str, float]:
    """The volume's figures, taken now."""
    text = as_root(host, "creatic-raid mesurer; cat /var/lib/creatic/metrics/raid.prom")
    return {
        name: float(value) for name, value in re.findall(r'^creatic_raid_(\w+){volume="d1"} ([0-9.]+)$', text, re.M)
    }


def members(host: Host) -> dict[str, str]:
    """Disks of the array and their state."""
    shown = as_root(host, "for disk in /sys/block/md*/md/dev-*; do echo ${disk##*/dev-} $(cat $disk/state); done")
    return {f"/dev/{line.split()[0]}": line.split()[1] for line in shown.splitlines()}


@pytest.fixture(scope="module")
def play(request: pytest.FixtureRequest, hostvars: dict[str, Any]) -> Play:
    """Opens the disks as an operator does; gives Ansible's own account of the task.

    ``disks`` stands for a corrected inventory, ``secrets_dir`` for a control node with other keys.
    """

    def run(disks: list[str] | None = None, secrets_dir: Path | None = None) -> dict[str, Any]:
        given: dict[str, Any] = {"encrypted_raid_secrets_dir": str(secrets_dir)} if secrets_dir else {}
        if disks:
            given["encrypted_raid_volumes"] = [{"name": "d1", "disks": disks, "mount": MOUNT}]
        command = ["ansible-playbook", "-i", str(request.config.getoption("--environment"))]
        command += ["playbooks/journeys/open_disks.yml", "--limit", hostvars["name"], "-e", json.dumps(given)]
        environment = os.environ | {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal", "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)
        for path in (secrets_dir or key_file.parent).glob("*.cle"):
            assert path.read_text() not in done.stdout + done.stderr
        found = re.findall(rf"^{hostvars['name']} \| \w+!? => (\{{.*?^\}})$", done.stdout, re.M | re.S)
        assert found, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(found[-1])
        result |= {"failed": done.returncode != 0, "told": " ".join(done.stderr.split())}
        return result

    home = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser()
    key_file = home / str(hostvars["creatic_env"]) / "secrets" / "disques" / f"{hostvars['name']}-d1.cle"
    assert key_file.exists()
    return run


def test_the_volume_is_a_mirror_of_two_disks_encrypted_and_mounted(host: Host) -> None:
    assert members(host) == {FIRST: "in_sync", SECOND: "in_sync"}
    header = as_root(host, f"cryptsetup luksDump {ARRAY}")
    assert re.search(r"^Version:\s+2$", header, re.M)
    assert re.search(r"^\s+PBKDF:\s+argon2id$", header, re.M)
    assert "aes-xts-plain64" in header
    shown = json.loads(as_root(host, f"findmnt --json {MOUNT}"))["filesystems"][0]
    assert (shown["source"], shown["fstype"]) == (MAPPED, "xfs")
    assert {"nodev", "nosuid", "noexec", "noatime"} <= set(shown["options"].split(","))
    assert in_clear(host, MOUNT) == []
    assert in_clear(host, MOUNT, "/etc") != []  # the same question finds what is not


def test_nothing_readable_is_on_the_disks(host: Host) -> None:
    as_root(host, WRITE)
    search = f"{DROP}; LC_ALL=C grep -c -m 1 --text --fixed-strings '{LINE}' {{}} || true"
    assert as_root(host, search.format(MAPPED)) == "1"  # it would be seen
    assert as_root(host, search.format(FIRST)) == "0"


def test_the_key_is_on_the_control_node_alone(host: Host, hostvars: dict[str, Any], creatic_home: Path) -> None:
    path = creatic_home / "secrets" / "disques" / f"{hostvars['name']}-d1.cle"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    key = path.read_text()
    assert len(key) == 88
    folders = "/etc /root /home /tmp /run /var /usr/lib/creatic"
    search = (
        f'IFS= read -r key; grep --recursive --files-with-matches --fixed-strings --devices=skip -e "$key" {folders}'
    )
    ssh = ["ssh", "-q", "-i", str(creatic_home / "ssh" / "id_ed25519")]
    ssh += ["-o", f"UserKnownHostsFile={creatic_home}/ssh/known_hosts"]
    ssh += [f"{hostvars['ansible_user']}@{hostvars['ansible_host']}", "sudo", "sh", "-c", f"'{search} || true'"]
    assert subprocess.run(ssh, input=key + "\n", capture_output=True, text=True, check=True).stdout == ""
    # The same search finds what is there.
    found = subprocess.run(ssh, input="PROGRAM /usr/bin/creatic-raid\n", capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["/etc/mdadm/mdadm.conf.d/creatic.conf"]


def test_a_disk_that_holds_data_is_refused_and_left_as_it_is(host: Host, play: Play) -> None:
    beginning = f"head -c 16M {SPARE} | sha256sum"
    as_root(host, f"mkfs.ext4 -q -F {SPARE}")
    before = as_root(host, beginning)
    result = play([SPARE, SECOND])
    assert result["failed"]
    assert result["msg"].startswith(f"{SPARE} contient déjà des données (ext4) : aucun disque n'est touché.")
    assert as_root(host, beginning) == before
    # Data without any signature too.
    as_root(host, f"wipefs --quiet --all {SPARE}")
    result = play([SPARE, SECOND])
    assert result["msg"].startswith(f"{SPARE} contient déjà des données (d'un genre inconnu)")
    assert members(host) == {FIRST: "in_sync", SECOND: "in_sync"}
    assert as_root(host, f"blkid -p {SPARE} || true") == ""
    as_root(host, f"dd if=/dev/zero of={SPARE} bs=16M status=none || sync")


def test_a_failed_disk_is_told_and_stops_nothing(host: Host, play: Play) -> None:
    before = digest(host)
    as_root(host, f"mdadm --manage {ARRAY} --fail {FIRST}")
    journal = "journalctl --quiet -t creatic-raid -p err -o cat"
    # mdadm looks every minute; what the kernel tells it in between may be missed on a busy machine.
    wait_for(
        lambda: "un disque est en panne" in as_root(host, journal), "un disque en panne vu par mdadm", 150, every=1
    )
    assert {"disks_missing": 1, "disks_faulty": 1, "open": 1}.items() <= figures(host).items()
    assert "DÉGRADÉ : il manque 1 disque" in host.run("creatic-raid").stdout
    assert digest(host) == before
    result = play()
    assert not result["changed"] and not result["failed"]
    assert f"{FIRST} est en panne : le volume d1 vit sur l'autre disque" in result["told"]


def test_a_new_disk_takes_its_place_with_the_data_intact(host: Host, play: Play) -> None:
    before = digest(host)
    result = play([SPARE, SECOND])
    assert result["changes"] == [f"d1 : {FIRST}, en panne, retiré", f"d1 : {SPARE} ajouté, reconstruction en cours"]
    started = time.monotonic()
    wait_for(lambda: members(host).get(SPARE) == "in_sync", lambda: f"la reconstruction, {members(host)}", 400, every=1)
    seconds = time.monotonic() - started
    print(f"reconstruction : {seconds:.0f} s")
    assert int(as_root(host, "cat /sys/block/md*/md/sync_speed_min").split()[0]) >= 50000  # however busy the machine is
    assert members(host) == {SECOND: "in_sync", SPARE: "in_sync"}
    assert {"disks_missing": 0, "rebuilt_ratio": 1}.items() <= figures(host).items()
    # From the new disk alone, the other one being gone.
    as_root(host, f"mdadm --manage {ARRAY} --fail {SECOND} --remove {SECOND}")
    assert members(host) == {SPARE: "in_sync"}
    assert digest(host) == before


def test_after_a_start_it_is_closed_and_opens_with_the_right_key_only(
    host: Host, play: Play, creatic_home: Path, hostvars: dict[str, Any], tmp_path: Path
) -> None:
    """It starts on one disk, the worst case: it is opened all the same."""
    before, boot = digest(host), as_root(host, "cat /proc/sys/kernel/random/boot_id")
    with contextlib.suppress(AssertionError, RuntimeError):  # the connection is cut
        as_root(host, "systemctl reboot")

    def back() -> bool:
        with contextlib.suppress(AssertionError, RuntimeError):
            return as_root(host, "cat /proc/sys/kernel/random/boot_id") != boot
        return False

    wait_for(back, "le retour de la machine", 400, every=1)
    assert as_root(host, f"ls -A {MOUNT}; ls /dev/mapper") == "control"
    assert figures(host)["open"] == 0
    # As on a machine of level enhanced: what opens a volume was loaded with the start, or never will be.
    as_root(host, "sysctl --write kernel.modules_disabled=1; ! modprobe --quiet dummy")

    name = f"{hostvars['name']}-d1.cle"
    wrong = tmp_path / "autre"
    wrong.mkdir()
    (wrong / name).write_text("A" * 88)
    result = play([SPARE, SECOND], secrets_dir=wrong)
    assert result["failed"]
    assert result["msg"].startswith(f"{wrong / name} n'est pas la clé du volume d1 : remettez la bonne")
    empty = tmp_path / "vide"
    result = play([SPARE, SECOND], secrets_dir=empty)
    assert result["failed"]
    assert f"sa clé n'est plus sur le poste de commande ({empty / name})" in result["msg"]
    assert not list(empty.iterdir())
    assert as_root(host, "ls /dev/mapper") == "control"

    result = play([SPARE, SECOND])
    assert not result["failed"]
    assert {"d1 : ouvert", f"d1 : monté sur {MOUNT}"} <= set(result["changes"])
    assert digest(host) == before
    both = {SECOND: "in_sync", SPARE: "in_sync"}
    wait_for(lambda: members(host) == both, lambda: f"le disque remis à jour, {members(host)}", 400, every=1)
    assert play([SPARE, SECOND])["changes"] == []


def test_the_watch_has_few_rights(host: Host) -> None:
    assert exposure(host, "creatic-raid.service") <= 3.0
    shown = host.check_output("systemctl is-active mdmonitor.service mdcheck_start.timer creatic-raid.timer")
    assert set(shown.split()) == {"active"}
