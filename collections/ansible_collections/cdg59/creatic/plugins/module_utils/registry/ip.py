# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""IP addresses and networks as files give them: numbers, and nothing that can be written after them.

What is read here is told again by `str` of the value, never as it was written. An IPv6 zone (RFC 4007, ``%eth0``) is
free text for Python; it means something to one machine alone, and none of ours is reached by one.
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def address(text: str) -> Address:
    """Read an address.

    Raises:
        ValueError: it is none, or an IPv4 one in the shape of an IPv6 one (it would be another name of one machine).
    """
    _must_be_numbers(text)
    return _told_once(ipaddress.ip_address(text))


def network(text: str, strict: bool = True) -> Network:
    """Read a network, or an address, which is the network of itself.

    Args:
        strict: refuse what names a machine and its network at once.

    Raises:
        ValueError: it is none.
    """
    _must_be_numbers(text)
    found = ipaddress.ip_network(text, strict)
    _told_once(found.network_address)
    return found


def _must_be_numbers(text: str) -> None:
    if not {*text} <= {*"0123456789abcdefABCDEF.:/"}:
        raise ValueError("not an address")


def _told_once(found: Address) -> Address:
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        raise ValueError("an IPv4 address, in the shape of an IPv6 one")
    return found
