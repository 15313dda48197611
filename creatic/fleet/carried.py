# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the door carries of machines that nobody reaches, for their audit: relevés, and the keys that sign these.

A relevé is judged elsewhere, as those that are fetched by SSH (creatic/audit/releves.py): the door, which may be taken,
can keep one back, or give an old one again. The host key of a machine that known_hosts does not have is the one that
its first report named, which its certificate signs (`attested`); in the state's folder::

    flotte/known_hosts    gondecourt-connecteur ssh-ed25519 AAAA…
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.durable import write

from creatic.fleet.signing import FleetError

HOSTS = "known_hosts"
"""File of the fleet's folder: first keys of machines, by name."""
_MAX_NAMED_MACHINES = 200  # machines that the door is asked for by their names
_MAX_UNPACKED_RELEVE_BYTES = (
    256 << 10
) + 1  # bytes that are unpacked of a relevé: who judges refuses one more than a relevé's
_CARRIED_MACHINE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def brought(names: Sequence[str], ask: Callable[[str, Sequence[str]], Any]) -> Iterator[tuple[str, bytes | None]]:
    """Bring what the door has of machines, as it comes; None of those of which it has nothing.

    Args:
        ask: given the name of the last machine that is known, and those that are wanted (none for all), gives the
            door's answer (creatic_guichet.store).

    Raises:
        FleetError: the door does not answer, or answers something else.
    """
    left, after = set(names), ""
    few = sorted(names) if len(names) <= _MAX_NAMED_MACHINES else []
    while True:
        answer = ask(after, few)
        told = answer.get("releves") if isinstance(answer, dict) else None
        if not isinstance(told, dict) or not all(isinstance(one, str) for one in told.values()):
            raise FleetError("le guichet ne dit pas les relevés qu'il porte : redéployez-le (fab serveurs guichet)")
        for name in sorted(left & {*told}):
            yield name, _unpack_releve(told[name])
        left -= {*told}
        last = max(told, default="")
        if not answer.get("reste") or last <= after or not _CARRIED_MACHINE_NAME.fullmatch(last):
            break
        after = last
    for name in sorted(left):
        yield name, None


def _unpack_releve(text: str) -> bytes:
    """What a machine sent, one byte more than is read of it at most; what is damaged is as it is told: no relevé."""
    try:
        return zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _MAX_UNPACKED_RELEVE_BYTES)
    except (ValueError, zlib.error):
        return text.encode(errors="replace")[:_MAX_UNPACKED_RELEVE_BYTES]


def keep_host_keys(folder: Path, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Keep the host key that each machine signed first; says of which it is another now (French).

    Args:
        folder: the fleet's.
        rows: what machines signed last (``dernier``), by name.
    """
    file = folder / HOSTS
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    known = {line.partition(" ")[0]: line for line in lines}
    told = {name: row["dernier"]["hote"] for name, row in rows.items() if row["dernier"] and "hote" in row["dernier"]}
    if new := [f"{name} {key}" for name, key in sorted(told.items()) if name not in known]:
        write(file, "".join(f"{line}\n" for line in [*lines, *new]).encode(), 0o600)
    return [
        f"{name} : sa clé d'hôte n'est plus celle de son premier compte rendu, ses relevés ne comptent pas. À faire : "
        f"si elle a été réinstallée, ssh-keygen -R {name} -f {file} ; sinon, voyez qui tient cette machine"
        for name, key in sorted(told.items())
        if name in known and known[name].split()[:3] != [name, *key.split()]
    ]
