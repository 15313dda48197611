# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What is on the web, bounded."""

from __future__ import annotations

from ansible.module_utils.urls import open_url


def fetched(url: str, seconds: float, most: int) -> bytes:
    """What is at an address.

    Args:
        url: the address.
        seconds: how long the server may be silent.
        most: how large it may be, in bytes.

    Raises:
        ValueError: it is larger (French); and what `open_url` raises.
    """
    with open_url(url, timeout=seconds) as answer:
        content: bytes = answer.read(most + 1)
    if len(content) > most:
        raise ValueError(f"plus de {most // 1024 // 1024} Mo")
    return content
