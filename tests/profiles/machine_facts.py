"""What a machine is, as JSON: sent to it by the profile tests and run there as root, in one go. Writes nothing."""

from __future__ import annotations

import ctypes
import json
import pwd
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

ENV = {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,User,MainPID,FragmentPath,Type,NoNewPrivileges,PrivateTmp,"
PROPERTIES += "ProtectSystem,CapabilityBoundingSet"
SYSCTL = ("kernel.", "vm.", "fs.", "dev.tty.", "net.core.", "net.ipv4.", "net.ipv6.conf.all.", "net.ipv6.conf.default.")
DISKS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "overlay", "tmpfs", "vfat", "zfs")


def out(*command: str) -> str:
    """Standard output of a command; empty when this machine does not have it."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=ENV, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout


def files(*paths: str) -> dict[str, dict[str, Any]]:
    """Owner, group and mode of those which exist."""
    found = {}
    for path in paths:
        try:
            info = Path(path).stat()
        except FileNotFoundError:
            continue
        found[path] = {"uid": info.st_uid, "gid": info.st_gid, "mode": stat.S_IMODE(info.st_mode), "size": info.st_size}
    return found


def mounts() -> dict[str, dict[str, Any]]:
    """Type and options in force by mount point."""
    lines = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    return {fields[1]: {"type": fields[2], "options": fields[3].split(",")} for fields in lines}


def odd_files(points: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Files without an owner, open to all, or which run with the rights of somebody else."""
    folders = [path for path, mount in points.items() if mount["type"] in DISKS and Path(path).is_dir()]
    folders = [path for path in folders if not path.startswith(("/proc", "/sys", "/dev"))] + ["/dev/shm"]
    wanted = [
        r"(",
        r"-nouser",
        r"-o",
        r"-nogroup",
        r"-o",
        r"-perm",
        r"/6000",
        r"-o",
        r"-perm",
        r"-0002",
        r")",
        r"!",
        r"-type",
        r"l",
    ]
    told = out("find", *folders, "-xdev", *wanted, "-printf", r"%y %m %U %G %u %g %p\0")
    found = {}
    for line in told.split("\0")[:-1]:
        kind, mode, uid, gid, owner, group, path = line.split(" ", 6)
        found[path] = {
            "path": path,
            "kind": kind,
            "mode": int(mode, 8),
            "uid": int(uid),
            "orphan": owner == uid or group == gid,
        }
    return list(found.values())


def passwords() -> dict[str, str]:
    """By account: empty, locked, or the method of its hash; never the hash."""
    found = {}
    for line in Path("/etc/shadow").read_text(encoding="utf-8").splitlines():
        name, secret = line.split(":")[:2]
        method = re.match(r"\$(\w+)\$(?:(j\w)T\$)?", secret)
        found[name] = "empty" if not secret else "locked" if secret[0] in "!*" else method[0] if method else "?"
    return found


def password_quality(*candidates: str) -> dict[str, bool]:
    """Which passwords the machine's own policy takes for root."""
    library = ctypes.CDLL("libpwquality.so.1")
    library.pwquality_default_settings.restype = ctypes.c_void_p
    settings = ctypes.c_void_p(library.pwquality_default_settings())
    error = ctypes.c_void_p()
    if library.pwquality_read_config(settings, None, ctypes.byref(error)):
        raise RuntimeError("pwquality.conf est refusé")
    return {
        word: library.pwquality_check(settings, word.encode(), None, b"root", ctypes.byref(error)) >= 0
        for word in candidates
    }


def units(*names: str) -> dict[str, dict[str, str]]:
    """Properties of units of systemd."""
    shown = out("systemctl", "show", f"--property={PROPERTIES}", *names).strip()
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n")]
    return {block["Id"]: block for block in blocks if "Id" in block}


def listening() -> list[dict[str, Any]]:
    """Network sockets that wait for somebody, with the processes that hold them."""
    found = []
    for line in out("ss", "-Hltunpe").splitlines():
        fields = line.split()
        address, _, port = fields[4].rpartition(":")
        holders = [holder(int(pid)) for pid in re.findall(r"pid=(\d+)", line)]
        # A container hides the holders that are not root; the account that opened the socket is always told.
        owner = re.search(r"\buid:(\d+)", line)
        found.append(
            {
                "protocol": fields[0],
                "address": address,
                "port": int(port),
                "uid": int(owner[1]) if owner else 0,
                "holders": holders,
            }
        )
    return found


def holder(pid: int) -> dict[str, Any]:
    """Who a process is, and what it may do."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    cgroup = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").strip().rpartition("/")[2]
    # A container does not show which sockets the processes of others hold: a master's workers are its children.
    workers = out("ps", "-o", "uid=", "--ppid", str(pid)).split()
    return {
        "program": status["Name"],
        "uid": int(status["Uid"].split()[1]),
        "workers": [int(uid) for uid in workers],
        "capabilities": int(status["CapEff"], 16),
        "unit": cgroup,
    }


def socket_files() -> list[dict[str, Any]]:
    """Unix sockets with a path that wait for somebody, and the mode of their folder."""
    found = []
    for line in Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        fields = line.split()
        if len(fields) == 8 and fields[3] == "00010000" and fields[7].startswith("/"):
            folder = Path(fields[7]).parent
            if folder.is_dir():
                found.append({"path": fields[7], "folder": stat.S_IMODE(folder.stat().st_mode)})
    return found


def refused_to_nobody(program: str) -> bool:
    """Whether an account without any right cannot execute a program at all."""
    nobody = pwd.getpwnam("nobody")
    try:
        subprocess.run(
            [program, "-V"], user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], capture_output=True, check=False
        )
    except PermissionError:
        return True
    return False


def text_of(path: str) -> str:
    """What a file says; empty when it is not there."""
    return Path(path).read_text(encoding="utf-8", errors="replace") if Path(path).is_file() else ""


def boot_arguments() -> list[str]:
    """Arguments that GRUB gives the kernel at the next boot: its settings, read by a shell as it does."""
    script = "for f in /etc/default/grub /etc/default/grub.d/*.cfg; do [ ! -f $f ] || . $f; done; "
    return out("sh", "-c", f"{script} echo $GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT").split()


def all_facts() -> dict[str, Any]:
    """Everything the tests of the recommendations ask."""
    points = mounts()
    odd = odd_files(points)
    special = [file["path"] for file in odd if file["kind"] == "f" and file["mode"] & 0o6000]
    accounts = [line.split(":") for line in Path("/etc/passwd").read_text(encoding="utf-8").splitlines()]
    groups = [line.split(":") for line in Path("/etc/group").read_text(encoding="utf-8").splitlines()]
    own = [
        line.split()[0] for line in out("systemctl", "list-units", "creatic-*", "--plain", "--no-legend").splitlines()
    ]
    sockets = listening()
    serving = {holder["unit"] for one in sockets for holder in one["holders"] if holder["unit"].endswith(".service")}
    watched = ["apt-daily.timer", "apt-daily-upgrade.timer", "aidecheck.timer", "aidecheck.service", "auditd.service"]
    watched += ["audit-rules.service", "apparmor.service", "chrony.service", "rsyslog.service", "logrotate.timer"]
    watched += ["creatic-modules.service", "systemd-journald.service"]
    unwanted = ["avahi-daemon.service", "rpcbind.service", "nfs-server.service", "snmpd.service", "vsftpd.service"]
    keys = sorted(str(path) for path in Path("/etc/ssh").glob("ssh_host_*_key"))
    jobs = ["/etc/crontab", *(f"/etc/cron.{each}" for each in ("d", "hourly", "daily", "weekly", "monthly"))]
    boot = [str(path) for path in Path("/boot").glob("**/*") if path.name.startswith(("System.map-", "grub.cfg"))]
    with Path("/proc/stat").open(encoding="ascii") as stream:
        started = next(int(line.split()[1]) for line in stream if line.startswith("btime"))
    return {
        "container": out("systemd-detect-virt", "--container").strip(),
        "started": started,
        "command_line": Path("/proc/cmdline").read_text(encoding="utf-8").split(),
        "boot_arguments": boot_arguments(),
        "grub": Path("/boot/grub/grub.cfg").is_file(),
        "sysctl": {
            key: value
            for key, value in re.findall(r"^(\S+) = (.*)$", out("sysctl", "-a"), re.M)
            if key.startswith(SYSCTL)
        },
        "modprobe": {name: out("modprobe", "--dry-run", "--verbose", name).strip() for name in sys.argv[1:]},
        "mounts": points,
        "odd_files": odd,
        "of_no_package": sorted(
            set(special) - {line.rpartition(": ")[2] for line in out("dpkg-query", "--search", *special).splitlines()}
        ),
        "files": files(
            "/boot",
            *boot,
            *jobs,
            *keys,
            *("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/security/opasswd"),
            *("/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"),
            *("/etc/ssh/sshd_config", "/etc/sudoers", "/etc/sudoers.d", "/root", "/usr/bin/sudo", "/var/log/sudo.log"),
            *("/var/lib/aide", "/var/lib/aide/aide.db", "/etc/aide/aide.conf", "/var/log/audit", "/var/log/journal"),
        ),
        "shadow_gid": next(int(group[2]) for group in groups if group[0] == "shadow"),
        "accounts": {
            account[0]: {"uid": int(account[2]), "gid": int(account[3]), "home": account[5], "shell": account[6]}
            for account in accounts
        },
        "groups": {group[0]: {"gid": int(group[2]), "members": group[3].split(",")} for group in groups},
        "passwords": passwords(),
        "homes": files(*(account[5] for account in accounts if 1000 <= int(account[2]) < 60000)),
        "quality": password_quality(
            "azertyuiop", "Courte-9a", "toutenminuscules", "Motdepasse2026!!", "Gx7!pQ-zeL4#tVbn2"
        ),
        "sudoers": json.loads(out("cvtsudoers", "-e", "-f", "json", "/etc/sudoers")),
        "sudo_closed": refused_to_nobody("/usr/bin/sudo"),
        "sshd": dict(line.split(" ", 1) for line in out("sshd", "-T").splitlines() if " " in line),
        "host_keys": [text_of(f"{key}.pub").split()[1] for key in keys],
        "machine_id": text_of("/etc/machine-id").strip(),
        "packages": [
            line.split()[1]
            for line in out("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n").splitlines()
            if line.startswith(("ii", "hi"))
        ],
        "apt": dict(re.findall(r'^([\w:/-]+) "(.*)";$', out("apt-config", "dump"), re.M)),
        "sources": sorted(set(out("apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN) $(TRUSTED)").splitlines())),
        "units": units(*watched, *unwanted, *own, *sorted(serving)),
        "listening": sockets,
        "socket_files": socket_files(),
        "processes": sorted(set(out("ps", "-eo", "user=").split())),
        "apparmor": json.loads(out("aa-status", "--json") or "{}"),
        "audit_status": out("auditctl", "-s"),
        "audit_rules": out("auditctl", "-l").splitlines(),
        "aide_metrics": text_of("/var/lib/creatic/metrics/aide.prom"),
        "logs": [
            {"path": str(path), "mode": stat.S_IMODE(path.lstat().st_mode)}
            for path in Path("/var/log").rglob("*")
            if not path.is_symlink()
        ],
    }


if __name__ == "__main__":
    json.dump(all_facts(), sys.stdout)
