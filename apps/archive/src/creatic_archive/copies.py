"""What this node holds, partition by partition: compared between nodes, it tells which replicas are missing.

Swift's own replicators compare hashes that they keep from one pass to the next, and so do not see a file that vanished
behind their back. Here names are read from the disks.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from creatic_archive.room import ETC, settings

ROOT = Path("/srv/node")
# A write reaches the three nodes well within the time that the looks take together.
_LOOKS = 3
_BETWEEN_S = 1.0


def _newest(folder: Path) -> str:
    """Name of the file that counts in an object's folder, a tombstone perhaps; empty for none."""
    try:
        # A timestamp is a name that sorts.
        return max((file.name for file in folder.iterdir() if file.suffix in (".data", ".ts")), default="")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _held(partition: Path) -> list[str]:
    """Archives of a partition: `hash/timestamp.data` of each, tombstones left out."""
    found = []
    for suffix in partition.iterdir():
        if not suffix.is_dir():
            continue
        for folder in suffix.iterdir():
            newest = _newest(folder)
            if newest.endswith(".data"):
                found.append(f"{folder.name}/{newest}")
    return sorted(found)


def digests(partitions: Iterable[int], devices: Iterable[Path]) -> dict[str, str]:
    """Digest of what this node holds in each partition; an empty one is left out."""
    found: dict[str, str] = {}
    for number in partitions:
        names: list[str] = []
        for device in devices:
            try:
                names += _held(device / "objects" / str(number))
            except (FileNotFoundError, NotADirectoryError):
                continue  # not here, or just moved
        if names:
            found[str(number)] = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:24]
    return found


def listing(root: Path = ROOT) -> dict[str, Any]:
    """Partitions this node must hold, and what it held in each at several looks: clients write all along.

    Returns:
        noeud; attendues: partitions that the ring gives to this node; empreintes: the distinct digests seen in each
        partition, "" for none; a partition without any archive is left out.
    """
    from swift.common.ring import Ring

    given = settings()
    ring = Ring(str(ETC), ring_name="object")
    mine = {dev["id"] for dev in ring.devs if dev and dev["ip"] == given["adresse"]}
    wanted = [part for part in range(ring.partition_count) if any(d["id"] in mine for d in ring.get_part_nodes(part))]
    devices = [root / name for name in given["disques"]]
    looks = []
    for look in range(_LOOKS):
        if look:
            time.sleep(_BETWEEN_S)
        looks.append(digests(wanted, devices))
    seen = {part: sorted({look.get(part, "") for look in looks}) for part in sorted(set().union(*looks))}
    return {"noeud": given["noeud"], "attendues": wanted, "empreintes": seen}


def absent(wanted: Iterable[str], root: Path = ROOT) -> dict[str, Any]:
    """Which archives this node does not have, of those that the journals know.

    An archive that no node has is lost: copies that are all missing are alike, and names alone say what there must be.

    Args:
        wanted: `compte/conteneur/objet`.

    Returns:
        liste: digest of what was asked; demandees: how many; absentes: their names.
    """
    from swift.common.ring import Ring
    from swift.common.utils import hash_path

    ring = Ring(str(ETC), ring_name="object")
    devices = [root / name for name in settings()["disques"]]
    names, missing = sorted(set(wanted)), []
    for name in names:
        account, container, obj = name.split("/", 2)
        place = (f"AUTH_{account}", container, obj)
        digest = hash_path(*place)
        folder = Path("objects", str(ring.get_part(*place)), digest[-3:], digest)
        if not any(_newest(device / folder).endswith(".data") for device in devices):
            missing.append(name)
    asked = hashlib.sha256("\n".join(names).encode()).hexdigest()
    return {"liste": asked, "demandees": len(names), "absentes": missing}


def look_again(partitions: Iterable[int], root: Path = ROOT) -> None:
    """Have Swift's replicator read these partitions from the disk at its next pass, instead of what it remembers."""
    from swift.obj.diskfile import invalidate_hash, read_hashes

    account = pwd.getpwnam("swift")  # what is written there is Swift's
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    for name in settings()["disques"]:
        for number in partitions:
            partition = root / name / "objects" / str(number)
            for suffix in read_hashes(str(partition)):
                if len(suffix) == 3:  # beside "valid" and "updated"
                    invalidate_hash(str(partition / suffix))
