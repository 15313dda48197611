"""Mounts, owners and modes (ANSSI-BP-028 R28, R29, R50 to R57), in force on the machine."""

from __future__ import annotations

from typing import Any

import pytest
from testinfra.host import Host

OPTIONS = {
    "/tmp": {"nosuid", "nodev", "noexec"},
    "/dev/shm": {"nosuid", "nodev", "noexec"},
    "/boot": {"nosuid", "nodev", "noexec"},
    "/home": {"nosuid", "nodev", "noexec"},
    "/opt": {"nosuid", "nodev"},
    "/srv": {"nosuid", "nodev"},
    "/var": {"nosuid", "nodev"},
    "/var/log": {"nosuid", "nodev", "noexec"},
    "/var/log/audit": {"nosuid", "nodev", "noexec"},
    "/var/tmp": {"nosuid", "nodev", "noexec"},
}
# /usr cannot be apart from / on Debian 13.
APART = ("/boot", "/home", "/opt", "/srv", "/tmp", "/var", "/var/log", "/var/tmp")
SETUID_REMOVED = [f"/usr/bin/{name}" for name in ("chfn", "chsh", "newgrp", "mount", "umount")]
# Where X and its like keep sockets that each session must reach.
SHARED_SOCKETS = ("/tmp/.X11-unix", "/tmp/.ICE-unix")
_seen: dict[str, str] = {}


@pytest.mark.niveau("intermediary")
def test_r28_mounts_have_their_options(facts: dict[str, Any]) -> None:
    mounts = facts["mounts"]
    lacking = {path: wanted - set(mounts[path]["options"]) for path, wanted in OPTIONS.items() if path in mounts}
    assert {"/tmp", "/dev/shm"} <= set(lacking)
    assert not {path: sorted(options) for path, options in lacking.items() if options}


@pytest.mark.niveau("intermediary")
@pytest.mark.usefixtures("own_kernel")
def test_r28_disks_are_divided(facts: dict[str, Any]) -> None:
    assert not [path for path in APART if path not in facts["mounts"]]


@pytest.mark.niveau("enhanced")
def test_r29_boot_is_root_s_alone(facts: dict[str, Any]) -> None:
    boot = {path: file for path, file in facts["files"].items() if path.startswith("/boot")}
    assert "/boot" in boot
    assert not {path: oct(file["mode"]) for path, file in boot.items() if file["uid"] or file["mode"] & 0o077}


@pytest.mark.niveau("intermediary")
def test_r50_sensitive_files_are_closed(facts: dict[str, Any]) -> None:
    files = facts["files"]
    most = {
        **{path: 0o600 for path in files if path.startswith("/etc/ssh/ssh_host_")},
        **{path: 0o640 for path in files if path.startswith(("/etc/shadow", "/etc/gshadow"))},
        **{path: 0o644 for path in files if path.startswith(("/etc/passwd", "/etc/group"))},
        **{path: 0o700 for path in files if path.startswith("/etc/cron")},
        **{"/etc/ssh/sshd_config": 0o600, "/etc/sudoers": 0o440, "/etc/sudoers.d": 0o750, "/root": 0o700},
        "/etc/security/opasswd": 0o600,
    }
    assert len(most) >= 15
    wide = {
        path: oct(files[path]["mode"]) for path, mode in most.items() if path in files and files[path]["mode"] & ~mode
    }
    assert not wide
    assert not [path for path in most if path in files and files[path]["uid"]]


@pytest.mark.niveau("enhanced")
def test_r51_identity_is_the_machine_s_own(host: Host, facts: dict[str, Any], hostvars: dict[str, Any]) -> None:
    """No key and no identifier came with the image: no other machine has them."""
    marks = [facts["machine_id"], *facts["host_keys"]]
    assert len(facts["machine_id"]) == 32
    assert facts["host_keys"]
    assert not {mark: _seen[mark] for mark in marks if _seen.setdefault(mark, hostvars["name"]) != hostvars["name"]}
    with host.sudo():
        assert not host.file("/etc/ssl/private/ssl-cert-snakeoil.key").exists  # ssl-cert's, which postgresql brings


@pytest.mark.niveau("intermediary")
def test_r52_sockets_are_in_closed_folders(facts: dict[str, Any]) -> None:
    assert facts["socket_files"]
    open_ones = [one["path"] for one in facts["socket_files"] if one["folder"] & 0o002]
    assert not [path for path in open_ones if not path.startswith(SHARED_SOCKETS)]


def test_r53_every_file_has_an_owner(facts: dict[str, Any]) -> None:
    assert not [file["path"] for file in facts["odd_files"] if file["orphan"]]


def test_r54_folders_open_to_all_are_sticky(facts: dict[str, Any]) -> None:
    open_ones = [file for file in facts["odd_files"] if file["mode"] & 0o002]
    assert "/tmp" in [file["path"] for file in open_ones]
    assert not [file["path"] for file in open_ones if file["kind"] == "d" and not file["mode"] & 0o1000]
    assert not [file["path"] for file in open_ones if file["kind"] == "d" and file["uid"]]
    assert not [file["path"] for file in open_ones if file["kind"] == "f"]


@pytest.mark.niveau("intermediary")
def test_r55_services_have_their_own_temporary_folder(facts: dict[str, Any]) -> None:
    """Those of ours which stay, and do not run as root."""
    ours = {name: unit for name, unit in facts["units"].items() if name.startswith("creatic-")}
    lasting = {name: unit for name, unit in ours.items() if unit["ActiveState"] == "active" and unit.get("User")}
    assert not [name for name, unit in lasting.items() if unit["PrivateTmp"] == "no"]
    assert not {"/tmp", "/var/tmp"} - {file["path"] for file in facts["odd_files"] if file["mode"] & 0o1000}


def test_r56_programs_with_more_rights_come_from_packages(facts: dict[str, Any]) -> None:
    special = [file for file in facts["odd_files"] if file["kind"] == "f" and file["mode"] & 0o6000]
    assert special
    assert not facts["of_no_package"]


@pytest.mark.niveau("enhanced")
def test_r57_what_needs_no_setuid_has_none(facts: dict[str, Any]) -> None:
    special = [file["path"] for file in facts["odd_files"] if file["mode"] & 0o4000]
    assert not set(SETUID_REMOVED) & set(special)
