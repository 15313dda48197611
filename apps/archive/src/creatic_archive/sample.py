"""A sample of archives, read on every node that must hold them: are all replicas there, and whole?"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from creatic_archive.room import ETC, settings

# Bytes read from each node at most; an archive of a video must not make a sample last for hours.
_BUDGET = 256 << 20


def _local_objects(root: Path) -> Iterator[Path]:
    """Data files of this node in random order, without listing the whole disk."""
    partitions = [path for device in root.iterdir() for path in (device / "objects").glob("[0-9]*") if path.is_dir()]
    random.shuffle(partitions)
    for partition in partitions:
        found = list(partition.glob("*/*/*.data"))
        random.shuffle(found)
        yield from found[:4]


def check(count: int, root: Path = Path("/srv/node")) -> dict[str, Any]:
    """Read up to `count` archives of this node on all their nodes.

    Returns:
        lus: archives read; octets: bytes read; manquants: missing replicas; abimes: replicas whose bytes are not those
        that were written; muets: replicas whose node did not answer. The last three name archive and node.
    """
    from swift.common import direct_client, exceptions
    from swift.common.ring import Ring
    from swift.obj.diskfile import read_metadata

    ring = Ring(str(ETC), ring_name="object")
    result: dict[str, Any] = {"noeud": settings()["noeud"], "lus": 0, "octets": 0,
                              "manquants": [], "abimes": [], "muets": []}  # fmt: skip # a table
    seen: set[str] = set()
    silent: set[int] = set()  # a node that did not answer is not waited for again
    for path in _local_objects(root):
        if result["lus"] >= count or result["octets"] >= _BUDGET:
            break
        try:
            metadata = read_metadata(str(path))
        except (OSError, exceptions.DiskFileError):
            continue  # the auditor's to set aside; a replica asked from another node finds it missing
        name = metadata["name"]
        if name in seen:
            continue
        seen.add(name)
        account, container, obj = name.lstrip("/").split("/", 2)
        part, nodes = ring.get_nodes(account, container, obj)
        result["lus"] += 1
        for node in nodes:
            if node["id"] in silent:
                continue
            where = f"{quote(name)} sur {node.get('meta') or node['ip']}"
            try:
                headers, body = direct_client.direct_get_object(
                    node, part, account, container, obj, conn_timeout=5, response_timeout=60, resp_chunk_size=1 << 16
                )
                digest = hashlib.md5(usedforsecurity=False)
                for chunk in body:
                    digest.update(chunk)
                    result["octets"] += len(chunk)
                if digest.hexdigest() != headers["ETag"].strip('"'):
                    result["abimes"].append(where)
            except exceptions.ClientException as error:
                result["manquants" if error.http_status == 404 else "muets"].append(where)
            except (OSError, exceptions.ConnectionTimeout):
                result["muets"].append(where)
                silent.add(node["id"])
            except Exception as error:  # noqa: BLE001 # eventlet's Timeout is no Exception, http.client's errors have no common base
                result["muets"].append(f"{where} ({type(error).__name__})")
    return result
