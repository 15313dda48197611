"""An authority that seals, made with cryptography alone."""

from __future__ import annotations

import pytest

from creatic.evidence.seal import SealKeys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SealKeys:
    """The authority that the tests trust."""
    from tests.unit.evidence.conftest import make_authority

    return make_authority(tmp_path_factory.mktemp("authority"))
