"""State of a machine as JSON, to be compared with a later one: run on it as root, standard library only.

Files (all of them, but for `VOLATILE` and `OPENED`): type, mode, owner, size, dates of content and of inode, digest.
Beside them: kernel parameters, mounts, firewall rules, listening sockets, and the invocation of each service that runs,
which changes when it is restarted.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import subprocess
from pathlib import Path

# What a machine changes by itself, or because somebody connects: everything else is compared.
VOLATILE = {
    "/dev": "devices of the kernel",
    "/proc": "kernel; /proc/sys is compared on its own",
    "/sys": "kernel",
    "/run": "sessions and daemons at run time; services, sockets and mounts are compared on their own",
    "/var/log/journal": "journal: each connection, each sudo",
    "/var/log/auth.log": "each connection, each sudo",
    "/var/log/syslog": "what rsyslog copies of the journal",
    "/var/log/user.log": "same",
    "/var/log/cron.log": "same",
    "/var/log/kern.log": "same",
    "/var/spool/rsyslog": "what waits for the collector of journals",
    "/var/log/wtmp": "each connection",
    "/var/log/lastlog": "each connection",
    "/var/log/faillock": "each sudo",
    "/var/log/sudo.log": "each sudo",
    "/var/log/sudo-io": "recording of the sessions",
    "/var/log/audit": "journal of the kernel's audit",
    "/var/lib/lastlog": "each connection",
    "/var/lib/systemd/timers": "timers of the machine itself",
    "/var/lib/creatic/metrics": "figures that agents publish by themselves",
    "/var/lib/tdt-connector/etat": "the connector's journal: it asks the TdT for news by itself",
    "/var/lib/tdt-connector/nomenclature": "same",
    "/var/lib/tdt-connector/entites/gondecourt-ccas/etat": "same, of the CCAS",
    "/var/lib/tdt-connector/entites/gondecourt-ccas/nomenclature": "same",
}
# SoftHSM, which stands in for a hardware token, writes them each time the token is opened; keys are files beside them.
OPENED = re.compile(r"/var/lib/softhsm/tokens/[^/]+/(generation|token\.lock|token\.object)$")
MOVING_PARAMETERS = re.compile(
    r"/(random|pty)/|/(ns_last_pid|dentry-state|inode-nr|inode-state|file-nr|aio-nr|nf_conntrack_count|sched_domain.*)$"
)


def file_state(path: Path) -> list[object]:
    """What is compared of one file."""
    info = path.lstat()
    seen: list[object] = [oct(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns, info.st_ctime_ns]
    if stat.S_ISLNK(info.st_mode):
        seen.append(str(path.readlink()))
    elif stat.S_ISREG(info.st_mode):
        with path.open("rb") as stream:
            seen += [info.st_size, hashlib.file_digest(stream, "sha256").hexdigest()]
    return seen


def files() -> dict[str, list[object]]:
    """Every file but the volatile ones."""
    found = {}
    for folder, folders, names in Path("/").walk():
        folders[:] = [name for name in folders if str(folder / name) not in VOLATILE]
        for path in (folder / name for name in (*folders, *names)):
            if str(path) not in VOLATILE and not OPENED.match(str(path)):
                found[str(path)] = file_state(path)
    return found


def parameters() -> dict[str, str]:
    """Kernel parameters."""
    found = {}
    for path in Path("/proc/sys").rglob("*"):
        if path.is_file() and not MOVING_PARAMETERS.search(str(path)):
            try:
                found[str(path)] = path.read_text(errors="replace")
            except OSError:
                continue
    return found


def lines(*command: str) -> dict[str, str]:
    """Lines of a command's output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return dict.fromkeys(done.stdout.splitlines(), "")


def services() -> dict[str, str]:
    """Invocation of each service that runs for good; those of a session, of a timer or of a test come and go."""
    show = ["systemctl", "show", "*.service", "--state=running", "-p", "Id,InvocationID,MainPID"]
    blocks = subprocess.run(show, capture_output=True, text=True, check=False).stdout.split("\n\n")
    running = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks if block.strip()]
    return {one["Id"]: one["InvocationID"] for one in running if not re.match(r"user@|run-|ssh@", one["Id"])}


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "files": files(),
                "parameters": parameters(),
                "mounts": lines("findmnt", "--raw", "--noheadings", "-o", "TARGET,SOURCE,FSTYPE,OPTIONS"),
                "firewall": lines("nft", "--stateless", "--numeric", "list", "ruleset"),
                "sockets": lines("ss", "-H", "-l", "-t", "-u", "-n"),
                "services": services(),
            }
        )
    )
