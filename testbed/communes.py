"""Communes of an inventory, as its servers know them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from creatic.registry import entities, groupement


def subscribers(environment: Path, service: str) -> list[Mapping[str, Any]]:
    """The communes of an inventory's folder, and the entities that they host, which have a service."""
    every = entities.with_entities(one.variables for one in groupement.load(environment))
    return [one for one in every if service in one["services"]]
