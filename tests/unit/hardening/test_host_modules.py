"""What the hardening modules do to a host's files, on folders of the test's own."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import (
    account_policy,
    audit_rules,
    file_settings,
    mount_set,
    pam_profiles,
    permission_set,
    sysctl_set,
)
from ansible_collections.cdg59.creatic.plugins.module_utils.host import package_set, service_set, state
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import StateError


class Commands:
    """Stands for the host's commands: answers what it was told, remembers what was asked."""

    def __init__(self, answers: dict[str, str] | None = None) -> None:
        self.answers = answers or {}
        self.asked: list[str] = []

    def __call__(self, command: list[str], error: str, environment: dict[str, str] | None = None) -> str:
        line = " ".join(command)
        self.asked.append(line)
        return next((answer for start, answer in self.answers.items() if line.startswith(start)), "")


# -- settings in files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values", "style", "wanted"),
    [
        ("# minlen = 8\n", {"minlen": "15"}, "equals", "minlen = 15\n"),
        ("minlen=8\nminlen = 9\n", {"minlen": "15"}, "equals", "minlen = 15\n"),
        ("# even_deny_root\n", {"even_deny_root": ""}, "equals", "even_deny_root\n"),
        ("# even_deny_root\neven_deny_root\n", {"even_deny_root": ""}, "equals", "# even_deny_root\neven_deny_root\n"),
        ("UMASK\t\t022\n", {"UMASK": "077"}, "space", "UMASK 077\n"),
        ("UMASK\t\t077\n", {"UMASK": "077"}, "space", "UMASK\t\t077\n"),
        ("# see umask 022 below\n", {"umask": "077"}, "space", "# see umask 022 below\numask 077\n"),
        ("weekly\nrotate 4\n", {"weekly": None, "daily": ""}, "space", "rotate 4\ndaily\n"),
        ("#PermitRootLogin prohibit-password\n", {"PermitRootLogin": "no"}, "space", "PermitRootLogin no\n"),
        ("Match User a\n", {"UsePAM": "yes"}, "space", "UsePAM yes\nMatch User a\n"),
    ],
)
def test_a_setting_is_there_once_at_its_value(
    text: str, values: dict[str, str | None], style: str, wanted: str
) -> None:
    assert file_settings.edit(text, values, style) == wanted
    assert file_settings.edit(wanted, values, style) == wanted


def test_settings_refused_by_the_program_leave_the_file(tmp_path: Path) -> None:
    target = tmp_path / "sshd_config"
    target.write_text("UsePAM yes\n")
    spec = {"path": str(target), "values": {"UsePAM": "peut-être"}, "style": "space", "validate": "grep -q oui %s"}
    with pytest.raises(StateError, match="refusé, rien n'est changé"):
        file_settings.apply([spec])
    assert target.read_text() == "UsePAM yes\n"
    assert list(tmp_path.iterdir()) == [target]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    spec = {"path": str(tmp_path / "absent.conf"), "values": {"a": "b"}}
    with pytest.raises(StateError, match=r"absent\.conf n'existe pas"):
        file_settings.apply([spec])
    assert file_settings.apply([spec | {"optional": True}]) == []
    assert file_settings.apply([spec], check=True) == []


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "login.defs"
    target.write_text("UMASK 022\n")
    target.chmod(0o640)
    spec = {"path": str(target), "values": {"UMASK": "077"}, "style": "space"}
    assert [change.name for change in file_settings.apply([spec], check=True)] == [str(target)]
    assert target.read_text() == "UMASK 022\n"
    file_settings.apply([spec])
    assert target.read_text() == "UMASK 077\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert file_settings.apply([spec]) == []


# -- kernel settings ----------------------------------------------------------------------------------------------


def test_kernel_settings_are_in_force_and_kept(tmp_path: Path) -> None:
    proc, kept = tmp_path / "proc", tmp_path / "99.conf"
    (proc / "kernel").mkdir(parents=True)
    (proc / "kernel/sysrq").write_text("438\n")
    (proc / "kernel/range").write_text("32768\t60999\n")
    settings = {"kernel.sysrq": "0", "kernel.range": "32768 60999", "kernel.absent": "1"}
    planned = sysctl_set.apply(kept, settings, check=True, proc=proc)
    assert [change.name for change in planned] == ["kernel.sysrq", str(kept)]
    assert not kept.exists()
    sysctl_set.apply(kept, settings, proc=proc)
    assert (proc / "kernel/sysrq").read_text() == "0\n"
    # A key that this kernel lacks must not make the boot fail.
    assert "-kernel.absent = 1\n" in kept.read_text()
    assert sysctl_set.apply(kept, settings, proc=proc) == []
    (proc / "kernel/sysrq").write_text("1\n")
    assert [change.name for change in sysctl_set.apply(kept, settings, proc=proc)] == ["kernel.sysrq"]


def test_a_value_the_kernel_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc = tmp_path / "proc"
    (proc / "kernel").mkdir(parents=True)
    (proc / "kernel/modules_disabled").write_text("1\n")
    real = Path.write_text

    def refuse(self: Path, *given: object, **named: object) -> int:
        if self.name == "modules_disabled":
            raise PermissionError(1, "Operation not permitted")
        return real(self, *given, **named)  # type: ignore[arg-type] # passed on

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(StateError, match=r"kernel\.modules_disabled = 0 .*redémarrez"):
        sysctl_set.apply(tmp_path / "99.conf", {"kernel.modules_disabled": "0"}, proc=proc)


# -- packages -----------------------------------------------------------------------------------------------------


def test_apt_runs_only_when_something_is_missing(lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands({"dpkg-query": "ii aide\nii libc6:amd64\nrc telnet\nhi auditd\n"})
    monkeypatch.setattr(package_set, "run", commands)
    assert package_set.apply(["aide", "auditd", "libc6"], ["telnet"]) == []
    assert [line.split()[0] for line in commands.asked] == ["dpkg-query"]
    changes = package_set.apply(["chrony"], ["aide"])
    assert [(change.name, change.after) for change in changes] == [("chrony", "installé"), ("aide", "retiré")]
    assert commands.asked[-2].endswith("install chrony")
    assert commands.asked[-1].endswith("purge aide")
    before = len(commands.asked)
    package_set.apply(["chrony"], [], check=True)
    assert len(commands.asked) == before + 1


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Package lists fetched just now, and a place for the policy of services."""
    (tmp_path / "debian_main_Packages.lz4").write_bytes(b"")
    monkeypatch.setattr(package_set, "LISTS", tmp_path)
    monkeypatch.setattr(package_set, "POLICY", tmp_path / "policy-rc.d")
    return tmp_path


@pytest.mark.parametrize(("there", "age", "updated"), [(True, 3600, False), (True, 90000, True), (False, 0, True)])
def test_old_or_missing_package_lists_are_fetched_before_an_installation(
    lists: Path, monkeypatch: pytest.MonkeyPatch, there: bool, age: int, updated: bool
) -> None:
    commands = Commands()
    monkeypatch.setattr(package_set, "run", commands)
    [packages] = lists.glob("*_Packages*")
    if not there:
        packages.unlink()  # an image keeps the folder, and its date
    for path in lists.glob("*_Packages*"):
        os.utime(path, (time.time() - age,) * 2)
    os.utime(lists, (time.time() - age,) * 2)
    package_set.apply(["chrony"], [])
    assert [line.split()[-1] for line in commands.asked[1:]] == (["update"] if updated else []) + ["chrony"]


def test_lists_that_the_mirror_has_outlived_are_fetched_and_the_installation_tried_again(
    lists: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def run(command: list[str], error: str, environment: dict[str, str] | None = None) -> str:
        asked.append(command[-1])
        if asked[-1] == "chrony" and "update" not in asked:
            raise StateError(f"{error} : 404")
        return ""

    monkeypatch.setattr(package_set, "run", run)
    package_set.apply(["chrony"], [])
    assert asked[1:] == ["chrony", "update", "chrony"]


@pytest.mark.parametrize("before", [None, "#!/bin/sh\nexit 0\n", package_set.NO_START])
def test_no_service_starts_the_time_of_an_installation(
    lists: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    policy = lists / "policy-rc.d"
    if before:
        policy.write_text(before)
        policy.chmod(0o700)

    def run(command: list[str], error: str, environment: dict[str, str] | None = None) -> str:
        if "install" in command:
            assert subprocess.run([policy], check=False).returncode == 101
            raise StateError("le disque est plein")
        return ""

    monkeypatch.setattr(package_set, "run", run)
    with pytest.raises(StateError, match="disque"):
        package_set.apply(["chrony"], [], start=False)
    kept = before if before != package_set.NO_START else None  # left by a run that was cut off
    assert (policy.read_text(), policy.stat().st_mode & 0o777) == (kept, 0o700) if kept else not policy.exists()


@pytest.mark.parametrize("works", [True, False])
def test_where_nothing_starts_systemd_reads_its_units_once(
    lists: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    asked = []

    def run(command: list[str], error: str, environment: dict[str, str] | None = None) -> str:
        asked.append((command[-1], (environment or {}).get("SYSTEMD_OFFLINE")))
        if "install" in command and not works:
            raise StateError("le disque est plein")
        return ""

    monkeypatch.setattr(package_set, "run", run)
    with contextlib.nullcontext() if works else pytest.raises(StateError, match="disque"):
        package_set.apply(["chrony"], [], start=False)
    assert asked[1] == ("chrony", "1")
    assert [each for each in asked if each[0] == "daemon-reload"] == asked[-1:] == [("daemon-reload", None)]
    asked.clear()
    with contextlib.nullcontext() if works else pytest.raises(StateError, match="disque"):
        package_set.apply(["chrony"], [])
    assert {environment for _, environment in asked} == {None}
    assert "daemon-reload" not in dict(asked)


def test_a_package_cannot_be_wanted_and_unwanted() -> None:
    with pytest.raises(StateError, match="à la fois voulus et refusés : telnet"):
        package_set.apply(["telnet"], ["telnet"])


# -- PAM ----------------------------------------------------------------------------------------------------------

PROFILE = """Name: essai
Default: yes
Priority: 0
Auth-Type: Primary
Auth:
\t[default=die]\tpam_faillock.so authfail
Account-Type: Additional
Account:
\trequired\tpam_faillock.so
Password-Type: Primary
Password-Initial:
\trequisite\tpam_pwhistory.so remember=2
"""


def test_a_profile_is_active_when_its_modules_are_in_the_stacks(tmp_path: Path) -> None:
    (tmp_path / "essai").write_text(PROFILE)
    (tmp_path / "common-auth").write_text("auth\t[default=die]\tpam_faillock.so authfail\n")
    (tmp_path / "common-account").write_text("account requisite pam_deny.so\n")
    assert pam_profiles.missing(["essai"], tmp_path, tmp_path) == ["essai"]
    (tmp_path / "common-account").write_text("account\trequired\t\t\tpam_faillock.so \n")
    assert pam_profiles.missing(["essai"], tmp_path, tmp_path) == []
    with pytest.raises(StateError, match="absent n'existe pas"):
        pam_profiles.missing(["absent"], tmp_path, tmp_path)


def test_stacks_edited_by_hand_are_not_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    monkeypatch.setattr(pam_profiles, "run", commands)
    monkeypatch.setattr(pam_profiles, "missing", lambda names: names)
    with pytest.raises(StateError, match="modifié à la main"):
        pam_profiles.apply(["essai"])
    assert commands.asked == ["pam-auth-update --package --enable essai"]
    assert len(pam_profiles.apply(["essai"], check=True)) == 1
    assert len(commands.asked) == 1


# -- accounts -----------------------------------------------------------------------------------------------------


def accounts(root: Path) -> account_policy.Policy:
    (root / "etc").mkdir()
    (root / "home/agent").mkdir(parents=True, mode=0o755)
    (root / "home/agent").chmod(0o755)
    (root / "home/agent/.bashrc").write_text("")
    (root / "home/agent/.bashrc").chmod(0o644)
    (root / "home/agent/.profile").symlink_to("/etc/passwd")
    (root / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/bash\n"
        "daemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n"
        "postgres:x:110:110::/var/lib/postgresql:/bin/bash\n"
        "tdt:x:111:111::/srv:/bin/sh\n"
        "agent:x:1000:1000::/home/agent:/bin/bash\n"
    )
    (root / "etc/shadow").write_text(
        "root:*:1:0:99999:7:::\ndaemon:*:1:0:99999:7:::\npostgres:!:1::::::\ntdt:!:1::::::\nagent::1:0:99999:7:::\n"
    )
    return account_policy.Policy(365, ["postgres"], True)


def test_accounts_are_brought_to_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    monkeypatch.setattr(account_policy, "run", commands)
    policy = accounts(tmp_path)
    planned = account_policy.apply(policy, check=True, root=tmp_path)
    assert commands.asked == []
    changes = account_policy.apply(policy, root=tmp_path)
    assert [change.name for change in changes] == [change.name for change in planned]
    assert commands.asked == [
        "chage --maxdays 365 root",
        "usermod --shell /usr/sbin/nologin tdt",
        "passwd --lock agent",
    ]
    home = tmp_path / "home/agent"
    assert stat.S_IMODE(home.stat().st_mode) == 0o750
    assert stat.S_IMODE((home / ".bashrc").stat().st_mode) == 0o640
    assert Path("/etc/passwd").stat().st_mode & 0o044  # a link planted in a home leads nowhere


# -- permissions --------------------------------------------------------------------------------------------------


def test_permissions_of_what_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    monkeypatch.setattr(permission_set, "run", commands)
    monkeypatch.setattr(permission_set, "OVERRIDES", tmp_path / "statoverride")
    monkeypatch.setattr(permission_set, "_owner_ids", lambda *_given: (tmp_path.stat().st_uid, tmp_path.stat().st_gid))
    for name in ("a.key", "b.key"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o644)
    (tmp_path / "c.key").symlink_to(tmp_path / "a.key")
    entry = {"path": str(tmp_path / "*.key"), "owner": "root", "group": "root", "mode": "0600"}
    assert len(permission_set.apply([entry], check=True)) == 2
    assert len(permission_set.apply([entry])) == 2
    assert permission_set.apply([entry]) == []
    assert permission_set.apply([entry | {"path": str(tmp_path / "absent")}]) == []
    # A stricter mode is kept where only the most is said.
    assert permission_set.apply([entry | {"mode": None, "most": "0640"}]) == []
    owned = entry | {"path": str(tmp_path / "a.key"), "package": True}
    permission_set.apply([owned])
    assert commands.asked == [f"dpkg-statoverride --force-statoverride-add --add root root 600 {tmp_path / 'a.key'}"]
    (tmp_path / "statoverride").write_text(f"root root 600 {tmp_path / 'a.key'}\n")
    assert permission_set.apply([owned]) == []


def test_an_unknown_group_is_refused_before_anything(tmp_path: Path) -> None:
    entry = {"path": str(tmp_path), "owner": "root", "group": "n-existe-pas", "mode": "0700"}
    with pytest.raises(StateError, match="n-existe-pas"):
        permission_set.apply([entry])


# -- services -----------------------------------------------------------------------------------------------------


def unit(**given: str) -> dict[str, str]:
    usual = {"LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active", "ConditionResult": "yes"}
    return usual | {"Type": "simple", "RemainAfterExit": "no", "NeedDaemonReload": "no"} | given


@pytest.mark.parametrize(
    ("state", "asked"),
    [
        (unit(), []),
        (unit(ActiveState="inactive"), ["start"]),
        (unit(UnitFileState="disabled", ActiveState="inactive"), ["enable", "start"]),
        (unit(Type="oneshot", UnitFileState="disabled", ActiveState="inactive"), ["enable"]),
        (unit(NeedDaemonReload="yes"), ["daemon-reload"]),
    ],
)
def test_units_that_must_run(monkeypatch: pytest.MonkeyPatch, state: dict[str, str], asked: list[str]) -> None:
    commands = Commands()
    monkeypatch.setattr(service_set, "run", commands)
    monkeypatch.setattr(service_set, "states", lambda units: dict.fromkeys(units, state))
    service_set.apply(["a.service"], [], [])
    assert [line.split()[1] for line in commands.asked] == asked
    commands.asked.clear()
    service_set.apply(["a.service"], [], [], check=True)
    assert commands.asked == []


def test_a_unit_that_cannot_run_here_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """auditd in a container: enabled, its condition is not met, systemd starts nothing."""
    monkeypatch.setattr(service_set, "run", Commands())
    state = unit(ActiveState="inactive", ConditionResult="no")
    monkeypatch.setattr(service_set, "states", lambda units: dict.fromkeys(units, state))
    assert service_set.apply(["auditd.service"], [], []) == []
    assert service_set.apply(["auditd.service"], [], [], check=True) == []


def test_units_that_must_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    monkeypatch.setattr(service_set, "run", commands)
    found = {"a": unit(), "b": unit(LoadState="masked"), "c": unit(LoadState="not-found")}
    monkeypatch.setattr(service_set, "states", lambda units: {name: found[name] for name in units})
    assert [change.name for change in service_set.apply([], ["a", "b", "c"], [])] == ["a"]
    assert commands.asked == ["systemctl mask --now a"]
    with pytest.raises(StateError, match="l'unité c n'existe pas"):
        service_set.apply(["c"], [], [])


def test_states_are_asked_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands({"systemctl show": "Id=a\nLoadState=loaded\n\nId=b\nLoadState=not-found\n"})
    monkeypatch.setattr(service_set, "run", commands)
    assert service_set.states(["a", "b"])["b"]["LoadState"] == "not-found"
    assert len(commands.asked) == 1
    assert service_set.states([]) == {}


def test_a_unit_on_its_way_is_judged_where_it_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload or a restart that happens to go on is no drift; what never arrives is, after a while."""
    told = iter(["activating", "reloading"])
    monkeypatch.setattr(service_set, "run", lambda *_: f"Id=a\nType=notify\nActiveState={next(told, 'active')}\n")
    assert service_set.states(["a"])["a"]["ActiveState"] == "active"
    monkeypatch.setattr(service_set, "SETTLED_IN_S", 0)
    monkeypatch.setattr(service_set, "run", lambda *_: "Id=a\nType=simple\nActiveState=activating\n")
    assert service_set.states(["a"])["a"]["ActiveState"] == "activating"
    state = unit(ActiveState="activating", ConditionResult="yes")
    monkeypatch.setattr(service_set, "states", lambda units: dict.fromkeys(units, state))
    assert service_set.apply(["a"], [], [], check=True) != []


@pytest.mark.parametrize(
    ("told", "fallen"),
    [
        ([("active", 0)], []),
        ([("failed", 1)], ["a"]),
        ([("active", 1), ("active", 1)], []),  # it waited for something else, which came
        ([("active", 1), ("active", 3), ("failed", 5)], ["a"]),
        ([("active", restarts) for restarts in range(1, 9)], ["a"]),  # for ever, too slowly for systemd to give up
        ([("active", None)], []),  # a timer
    ],
)
def test_what_falls_after_its_start_is_told(
    monkeypatch: pytest.MonkeyPatch, told: list[tuple[str, int | None]], fallen: list[str]
) -> None:
    answers = iter(told)
    clock = itertools.count(0, 2)

    def answer(*_: object) -> str:
        state, restarts = next(answers)
        return f"Id=a\nType=simple\nActiveState={state}\n" + ("" if restarts is None else f"NRestarts={restarts}\n")

    passes = SimpleNamespace(sleep=lambda _seconds: None, monotonic=lambda: next(clock))
    monkeypatch.setattr(service_set, "time", passes)
    monkeypatch.setattr(service_set, "run", answer)
    assert service_set.fallen(["a"]) == fallen


def test_nobody_waits_for_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands({"systemctl show": "Id=a\nType=oneshot\nRemainAfterExit=no\nActiveState=activating\n"})
    monkeypatch.setattr(service_set, "run", commands)
    service_set.states(["a"])
    assert len(commands.asked) == 1


# -- mounts -------------------------------------------------------------------------------------------------------


def test_options_are_added_to_fstab_and_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    monkeypatch.setattr(mount_set, "run", commands)
    monkeypatch.setattr(mount_set, "FSTAB", tmp_path / "fstab")
    monkeypatch.setattr(mount_set, "MOUNTS", tmp_path / "mounts")
    (tmp_path / "fstab").write_text("# /home est à part\nUUID=1 /home ext4 defaults 0 2\n")
    (tmp_path / "mounts").write_text(
        "/dev/sda1 /home ext4 rw,relatime 0 0\ntmpfs /dev/shm tmpfs rw,nosuid,noexec 0 0\n"
    )
    entries = [
        {"path": "/home", "options": ["nosuid", "nodev"]},
        {"path": "/dev/shm", "options": ["nosuid", "noexec"], "fstab": "tmpfs /dev/shm tmpfs noexec 0 0"},
        {"path": "/srv", "options": ["nosuid"]},
    ]
    planned = mount_set.apply(entries, check=True)
    assert [change.name for change in planned] == ["montage /home", str(tmp_path / "fstab")]
    assert commands.asked == []
    mount_set.apply(entries)
    assert commands.asked == ["mount -o remount,bind,relatime,nosuid,nodev /home"]
    assert (tmp_path / "fstab").read_text().splitlines() == [
        "# /home est à part",
        "UUID=1\t/home\text4\tdefaults,nosuid,nodev\t0\t2",
        "tmpfs /dev/shm tmpfs noexec 0 0",
    ]
    (tmp_path / "mounts").write_text("/dev/sda1 /home ext4 rw,relatime,nosuid,nodev 0 0\n")
    assert mount_set.apply(entries[:1]) == []


# -- audit --------------------------------------------------------------------------------------------------------


def test_every_privileged_program_has_its_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, mode in (("su", 0o4755), ("wall", 0o2755), ("ls", 0o755)):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)
    programs = audit_rules.privileged((str(tmp_path), "/n/existe/pas"))
    assert programs == [str(tmp_path / "su"), str(tmp_path / "wall")]
    monkeypatch.setattr(audit_rules, "privileged", lambda: programs)
    target = tmp_path / "60.rules"
    assert len(audit_rules.apply(target, check=True)) == 1
    assert not target.exists()
    audit_rules.apply(target)
    assert f"-F path={programs[0]} -F perm=x -F auid>=1000" in target.read_text()
    assert audit_rules.apply(target) == []


@pytest.mark.parametrize(
    ("status", "told"), [("enabled 1\n", "chargées"), ("enabled 2\n", "redémarrage"), (None, "sans audit")]
)
def test_locked_rules_wait_for_the_next_boot(monkeypatch: pytest.MonkeyPatch, status: str | None, told: str) -> None:
    def run(command: list[str], error: str, environment: dict[str, str] | None = None) -> str:
        if command == ["auditctl", "-s"]:
            if status is None:
                raise StateError("pas d'audit")
            return status
        return ""

    monkeypatch.setattr(audit_rules, "run", run)
    assert audit_rules.load() == told


# -- what they share ----------------------------------------------------------------------------------------------


def test_a_failing_command_is_told_in_french() -> None:
    with pytest.raises(StateError, match="essai : la commande « n-existe-pas » est absente"):
        state.run(["n-existe-pas"], "essai")
    with pytest.raises(StateError, match="essai : raison"):
        state.run(["sh", "-c", "echo raison >&2; exit 3"], "essai")
    with pytest.raises(StateError, match="code 1"):
        state.run(["false"], "essai")


def test_result_shows_what_changed() -> None:
    shown = state.result([state.Change("a", "avant", "après")])
    assert shown["changed"] is True
    assert shown["diff"][0]["after"] == "après\n"
    assert state.result([])["changed"] is False
