"""What tests of the PC's filters and stores have too."""

from __future__ import annotations

from tests.unit.commune_pc.conftest import Maker, maker

__all__ = ["Maker", "maker"]
