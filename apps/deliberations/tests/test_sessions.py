"""What proves a session: of one password, and of no other."""

from __future__ import annotations

import pytest
from creatic.deliberations import sessions

STORED = b"{SSHA}4Aq0Y2Fm3lKq0cVb1x0n9Ck1wLQyMDI2"


def test_a_proof_is_of_the_password_that_is_stored() -> None:
    told = sessions.proof(STORED)
    assert len(told) == 32
    assert sessions.same(told, STORED)
    assert sessions.same(told, STORED.decode())
    assert told not in STORED.decode()


@pytest.mark.parametrize("stored", [STORED[:-1] + b"3", b"", None, "{SSHA}autre"])
def test_it_is_of_no_other(stored: str | bytes | None) -> None:
    assert not sessions.same(sessions.proof(STORED), stored)


@pytest.mark.parametrize("told", [None, "", 3, ["x"], "é", sessions.proof(None)])
def test_what_bears_no_proof_is_no_session(told: object) -> None:
    assert not sessions.same(told, STORED)
    assert not sessions.same(told, None)
