"""The Merkle tree, against the recursive definition of RFC 6962."""

from __future__ import annotations

import pytest
from sae.journal import merkle


def reference(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return merkle.node(reference(leaves[:k]), reference(leaves[k:]))


LEAVES = [merkle.leaf(str(number).encode()) for number in range(70)]


def test_known_value() -> None:
    """FIPS 180-4's SHA-512/256 of "abc"."""
    assert merkle.digest(b"abc").hex() == "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
    assert merkle.leaf(b"abc") != merkle.digest(b"abc")


@pytest.mark.parametrize("size", [*range(1, 20), 33, 64, 65, 70])
def test_root_and_every_path(size: int) -> None:
    leaves = LEAVES[:size]
    assert merkle.root(leaves) == reference(leaves)
    for index in range(size):
        siblings = merkle.path(leaves, index)
        assert merkle.root_of_path(leaves[index], index, size, siblings) == merkle.root(leaves)
        if size > 1:
            wrong = (index + 1) % size
            assert merkle.root_of_path(leaves[wrong], index, size, siblings) != merkle.root(leaves)
            with pytest.raises(ValueError):
                merkle.root_of_path(leaves[index], index, size, siblings[1:])
        with pytest.raises(ValueError):
            merkle.root_of_path(leaves[index], index, size, [*siblings, leaves[0]])


def test_no_leaf() -> None:
    with pytest.raises(ValueError):
        merkle.root([])
    with pytest.raises(IndexError):
        merkle.path(LEAVES, 70)
