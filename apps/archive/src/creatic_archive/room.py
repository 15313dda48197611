"""What a node can tell: its services, its disks, and every node of the ring through Swift's recon.

Sources: https://docs.openstack.org/swift/latest/admin_guide.html#cluster-telemetry-and-monitoring
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ETC = Path("/etc/swift")
# Present: the proxy is out of service (nginx and Swift's healthcheck answer 503). It outlives a reboot.
OUT_OF_SERVICE = Path("/var/lib/creatic-archive/hors-service")
# Its date: when the node last came back into service.
BACK = Path("/var/lib/creatic-archive/retour")
# Its date: when the node was last in touch with its room.
SEEN = Path("/var/lib/creatic-archive/vu")
# The others forget what was eliminated after a year (reclaim_age); a node that missed it would bring it back.
ABSENCE_S = 300 * 86400
RINGS = ("account", "container", "object")
UNITS = (
    "rsync",
    "memcached",
    "swift-account",
    "swift-account-auditor",
    "swift-account-replicator",
    "swift-container",
    "swift-container-auditor",
    "swift-container-replicator",
    "swift-container-updater",
    "swift-object",
    "swift-object-auditor",
    "swift-object-replicator",
    "swift-object-updater",
    "swift-proxy",
    "nginx",
)
_TIMEOUT_S = 5.0
# A proxy looks for new rings every 15 s, and asks a node that did not answer again after 2 s (proxy-server.conf).
_RINGS_READ_S = 17.0
_ASKED_AGAIN_S = 2.0


def settings() -> dict[str, Any]:
    """What the role wrote for this program: node, address, devices (path), name of the proxy."""
    found: dict[str, Any] = json.loads(Path("/etc/creatic/archive.json").read_text(encoding="utf-8"))
    return found


def _get(ip: str, port: int, path: str, timeout: float = _TIMEOUT_S) -> tuple[int, bytes]:
    """Status and content of an answer; 0 when there is none."""
    try:
        with contextlib.closing(http.client.HTTPConnection(ip, port, timeout=timeout)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""


def ask(ip: str, port: int, path: str, timeout: float = _TIMEOUT_S) -> Any:
    """Answer of a storage server to a GET, from JSON; None when there is none."""
    status, body = _get(ip, port, path, timeout)
    with contextlib.suppress(ValueError):
        return json.loads(body) if status == 200 else None
    return None


def _pass(ip: str, port: int, kind: str, clock: float) -> dict[str, Any]:
    """Last complete pass of a replicator: when it began and ended (by this host's clock), and what failed."""
    told = ask(ip, port, f"/recon/replication/{kind}") or {}
    stats = told.get("replication_stats") or {}
    end = told.get("replication_last") or told.get("object_replication_last") or 0
    # Swift counts objects' passes in minutes and databases' in seconds.
    lasted = (told.get("replication_time") or 0) * (60 if kind == "object" else 1)
    return {"debut": end - lasted - clock, "fin": end - clock, "echecs": int(stats.get("failure") or 0)} if end else {}


def look_at(name: str, ip: str) -> dict[str, Any]:
    """Everything recon says of one node."""
    before = time.time()
    clock = ask(ip, 6200, "/recon/time")
    node: dict[str, Any] = {"nom": name, "adresse": ip, "repond": clock is not None}
    if clock is None:
        return node
    # Positive: that node's clock is ahead of ours.
    node["decalage_s"] = round(float(clock) - (before + time.time()) / 2, 2)
    skew = node["decalage_s"] if abs(node["decalage_s"]) > 1 else 0.0
    with ThreadPoolExecutor(8) as pool:
        passes = {
            kind: pool.submit(_pass, ip, port, kind, skew)
            for kind, port in (("account", 6202), ("container", 6201), ("object", 6200))
        }
        rings = pool.submit(ask, ip, 6200, "/recon/ringmd5")
        quarantined = pool.submit(ask, ip, 6200, "/recon/quarantined")
        version = pool.submit(ask, ip, 6200, "/recon/version")
        node["passes"] = {kind: done.result() for kind, done in passes.items()}
        node["anneaux"] = {Path(path).name.split(".")[0]: digest for path, digest in (rings.result() or {}).items()}
        node["quarantaine"] = sum(
            int((quarantined.result() or {}).get(kind) or 0) for kind in ("accounts", "containers", "objects")
        )
        node["version"] = (version.result() or {}).get("version")
    return node


def devices() -> list[dict[str, Any]]:
    """Devices of the object ring."""
    from swift.common.ring import Ring

    return [dev for dev in Ring(str(ETC), ring_name="object").devs if dev]


def nodes() -> dict[str, str]:
    """Address of every node that may hold data, by name."""
    return {str(dev.get("meta") or dev["ip"]): str(dev["ip"]) for dev in devices()}


def stopped_units() -> list[str]:
    """Our units that do not run."""
    command = ["systemctl", "show", "--property=ActiveState", "--value", *(f"{unit}.service" for unit in UNITS)]
    states = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return [unit for unit, state in zip(UNITS, states, strict=True) if state != "active"]


def _inside(device: Path, folder: str) -> list[Path]:
    """What a folder of a disk holds, if it is there. What may not be read is not empty: PermissionError."""
    try:
        return sorted((device / folder).iterdir())
    except FileNotFoundError:
        return []


def quarantined_objects(root: Path = Path("/srv/node")) -> Iterator[tuple[Path, bool]]:
    """Objects of this node which the auditor set aside, and whether a good copy took their place here."""
    from swift.common.ring import Ring

    ring = Ring(str(ETC), ring_name="object")
    local = {dev["device"]: dev["id"] for dev in ring.devs if dev and dev["ip"] == settings()["adresse"]}
    for folder in [folder for name in settings()["disques"] for folder in _inside(root / name, "quarantined/objects")]:
        device = folder.parents[2]
        digest = folder.name.split("-")[0]
        part = int(digest[:8], 16) >> (32 - (ring.partition_count.bit_length() - 1))
        here = any(dev["id"] == local.get(device.name) for dev in ring.get_part_nodes(part))
        place = device / "objects" / str(part) / digest[-3:] / digest
        # A tombstone: eliminated since; not of this device any more: the others hold it.
        yield folder, not here or any(place.glob("*.data")) or any(place.glob("*.ts"))


def disks(root: Path = Path("/srv/node")) -> list[dict[str, Any]]:
    """Size, room and waiting container updates of this node's disks; bytes."""
    given = settings()
    found = []
    for name in given["disques"]:
        path = root / name
        if given["montes"] and not os.path.ismount(path):
            found.append({"nom": name, "absent": True, "octets": 0, "libres": 0, "mises_a_jour": 0})
            continue
        usage = shutil.disk_usage(path)
        waiting = sum(len(_inside(path, str(suffix))) for suffix in _inside(path, "async_pending"))
        found.append(
            {"nom": name, "absent": False, "octets": usage.total, "libres": usage.free, "mises_a_jour": waiting}
        )
    return found


def reboot_needed() -> bool:
    """True when Debian asks for a reboot, or a newer kernel than the running one is installed."""
    import apt_pkg

    if Path("/run/reboot-required").exists():
        return True
    apt_pkg.init()
    running = os.uname().release
    installed = [path.name.removeprefix("vmlinuz-") for path in Path("/boot").glob("vmlinuz-*")]
    return running in installed and any(apt_pkg.version_compare(name, running) > 0 for name in installed)


def audited() -> float | None:
    """When Swift's auditor last ended a pass over this node's archives, as its journal says; None when it never did."""
    command = ["journalctl", "--unit=swift-object-auditor.service", "--lines=200", "--output=short-unix", "--no-pager"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    ended = (line for line in reversed(lines) if "Object audit (ALL" in line and "completed" in line)
    return next((float(line.split()[0]) for line in ended), None)


def state() -> dict[str, Any]:
    """State of this node and of its room."""
    given = settings()
    with ThreadPoolExecutor(8) as pool:
        room = list(pool.map(lambda item: look_at(*item), sorted(nodes().items())))
    rings = {
        name: hashlib.md5((ETC / f"{name}.ring.gz").read_bytes(), usedforsecurity=False).hexdigest() for name in RINGS
    }
    quarantined = list(quarantined_objects())
    return {
        "noeud": given["noeud"],
        "instant": time.time(),
        "en_service": not OUT_OF_SERVICE.exists(),
        "arretes": stopped_units(),
        "anneaux": rings,
        "quarantaine": {"total": len(quarantined), "a_reparer": sum(not repaired for _, repaired in quarantined)},
        "redemarrage_demande": reboot_needed(),
        "absence_s": round(absence()),
        "trop_absent": absence() > ABSENCE_S,
        "disques": disks(),
        "salle": room,
    }


def leave() -> None:
    """Take the proxy out of service: new requests get 503, and clients go to another node."""
    OUT_OF_SERVICE.parent.mkdir(mode=0o755, exist_ok=True)
    OUT_OF_SERVICE.touch(mode=0o644)


def rejoin() -> None:
    """Put the proxy back in service."""
    BACK.touch(mode=0o644)
    OUT_OF_SERVICE.unlink(missing_ok=True)


def absence() -> float:
    """Seconds since this node was last in touch with its room; 0 for a new one."""
    return max(0.0, time.time() - SEEN.stat().st_mtime) if SEEN.exists() else 0.0


def note_presence(state: dict[str, Any]) -> None:
    """Note that this node is in touch with its room, if it is."""
    others = [node for node in state["salle"] if node["nom"] != state["noeud"]]
    if not state["arretes"] and any(node["repond"] for node in others):
        SEEN.touch(mode=0o644)


def behind(since: float) -> list[str]:
    """What the other nodes have not yet given to this one after it came back, in French; empty once it caught up.

    A replicator's pass that began after `since` and failed nowhere has compared all it holds with this node.

    Args:
        since: seconds since the epoch, by this node's clock.
    """
    mine = settings()["noeud"]
    left = []
    for name, ip in sorted(nodes().items()):
        if name == mine:
            continue
        other = look_at(name, ip)
        if not other["repond"]:
            left.append(f"{name} ne répond pas")
            continue
        late = [kind for kind, done in other["passes"].items() if not done or done["debut"] < since]
        failed = [kind for kind, done in other["passes"].items() if kind not in late and done["echecs"]]
        if late:
            left.append(f"{name} n'a pas encore fini de comparer : {', '.join(late)}")
        if failed:
            left.append(f"{name} n'a pas tout pu copier : {', '.join(failed)}")
    return left


def busy() -> int:
    """Connections that the proxy is still answering, nginx's idle ones left out."""
    shown = subprocess.run(
        ["ss", "-Htn", "state", "established", "sport = :8080"], capture_output=True, text=True, check=True
    ).stdout
    return len(shown.splitlines())


def healthy() -> bool:
    """True when every server of this node answers."""
    ip = settings()["adresse"]
    proxy = _get("127.0.0.1", 8080, "/healthcheck")[0] in (200, 503)  # 503: out of service, on purpose
    return proxy and all(ask(ip, port, "/recon/time") is not None for port in (6200, 6201, 6202))


def _others_serve() -> bool:
    """True when the room's proxies find every other copy: stopping this node then takes one of three."""
    mine = settings()["noeud"]
    others = [ip for name, ip in nodes().items() if name != mine]
    age = time.time() - max((ETC / f"{ring}.ring.gz").stat().st_mtime for ring in RINGS)
    return not 0 <= age < _RINGS_READ_S and all(
        ask(ip, port, "/recon/time") is not None for ip in others for port in (6200, 6201, 6202)
    )


def restart(patience: float) -> bool:
    """Restart Swift on this node; False when it does not answer again within that many seconds.

    That another copy cannot be had is waited for as long, no longer: a room that has lost a node must be repaired.
    """
    deadline = time.monotonic() + patience
    while not _others_serve() and time.monotonic() < deadline:
        time.sleep(1)
    units = [f"{unit}.service" for unit in UNITS if unit.startswith("swift-") or unit == "rsync"]
    subprocess.run(["systemctl", "restart", *units], check=True)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if healthy():
            time.sleep(_ASKED_AGAIN_S)
            return True
        time.sleep(0.3)
    return False
