# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the enrolment door holds of PCs' facts, brought as it is: who judges it is creatic/audit/postes.py."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from creatic.fleet.signing import FleetError

_MAX_UNPACKED_FACTS_BYTES = (
    64 << 10
) + 1  # bytes that are unpacked: who judges refuses one more than what a PC may send
_MAX_FACTS_ANSWERS = 200  # answers, of 200 PCs each: the door keeps 20,000
_FACTS_DIGEST_PATTERN = re.compile(r"[0-9a-f]{64}", re.ASCII)


def brought(ask: Callable[[str], Any]) -> Iterator[tuple[str, bytes]]:
    """Bring what PCs sent last, as it comes, by the certificate (SHA-256) that they showed.

    Args:
        ask: given the last certificate that is known, gives the door's answer (creatic_enrolement.store).

    Raises:
        FleetError: the door does not answer, or answers something else.
    """
    after = ""
    for _turn in range(_MAX_FACTS_ANSWERS):
        answer = ask(after)
        told = answer.get("constats") if isinstance(answer, dict) else None
        if not isinstance(told, dict) or not all(isinstance(one, str) for one in told.values()):
            raise FleetError("la porte d'enrôlement ne dit pas les constats : redéployez-la (fab serveurs guichet)")
        for name in sorted(told):
            yield name, _unpack_facts(told[name])
        last = max(told, default="")
        if not answer.get("reste") or last <= after or not _FACTS_DIGEST_PATTERN.fullmatch(last):
            return
        after = last
    raise FleetError("la porte d'enrôlement n'en finit pas de dire des constats : voyez ce qu'elle est devenue")


def _unpack_facts(text: str) -> bytes:
    """What a PC sent, one byte more than is read of it at most; what is damaged is as it is told: no facts."""
    try:
        return zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _MAX_UNPACKED_FACTS_BYTES)
    except (ValueError, zlib.error):
        return text.encode(errors="replace")[:_MAX_UNPACKED_FACTS_BYTES]
