"""Merkle trees over SHA-512/256, built as in RFC 6962 section 2.1 (leaf prefix 0x00, node prefix 0x01).

Hashes are 32 bytes. An odd tree is split at the largest power of two below its size: no leaf is ever doubled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

SIZE = 32


def digest(data: bytes) -> bytes:
    """SHA-512/256 (FIPS 180-4) of the data."""
    return hashlib.new("sha512_256", data).digest()


def leaf(data: bytes) -> bytes:
    """Hash of a leaf."""
    return digest(b"\x00" + data)


def node(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return digest(b"\x01" + left + right)


def _split_point(size: int) -> int:
    """The largest power of two smaller than the size (which is at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def root(leaves: Sequence[bytes]) -> bytes:
    """Root of the tree over these leaf hashes.

    Raises:
        ValueError: there is no leaf. An empty batch is never sealed.
    """
    if not leaves:
        raise ValueError("a tree needs a leaf")
    # Pairing level by level and carrying the odd one up gives the same tree as RFC 6962's recursion.
    level = list(leaves)
    while len(level) > 1:
        paired = [node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) & ~1 :]
    return level[0]


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Inclusion proof of one leaf (RFC 6962 section 2.1.1), nearest sibling first.

    Raises:
        IndexError: no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    if len(leaves) == 1:
        return []
    middle = _split_point(len(leaves))
    if index < middle:
        return [*path(leaves[:middle], index), root(leaves[middle:])]
    return [*path(leaves[middle:], index - middle), root(leaves[:middle])]


def root_of_path(hashed: bytes, index: int, size: int, siblings: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to, to compare with a sealed one.

    Args:
        hashed: hash of the leaf.
        index: its place, from 0.
        size: number of leaves of the tree.
        siblings: what `path` gave.

    Raises:
        ValueError: the proof has not the length which that place in that tree asks for.
    """
    if not 0 <= index < size:
        raise ValueError("no such leaf in this tree")
    if size == 1:
        if siblings:
            raise ValueError("proof too long")
        return hashed
    if not siblings:
        raise ValueError("proof too short")
    middle = _split_point(size)
    if index < middle:
        return node(root_of_path(hashed, index, middle, siblings[:-1]), siblings[-1])
    return node(siblings[-1], root_of_path(hashed, index - middle, size - middle, siblings[:-1]))
