# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Labels of what is a commune's own in Mayan, which knows its types, folders, groups and roles by their label alone.

Each ends with the SIREN of whose it is: the key, which is compared whole. What is before it is there to be read;
whatever a commune, a service or a type is called, two of them never bear the same label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def key(siren: str) -> str:
    """How the labels of a commune, or of an entity, end."""
    return f" [{siren}]"


def own(commune: Mapping[str, Any], what: str = "") -> str:
    """A label of a commune's own.

    Args:
        commune: variables `creatic_commune`.
        what: a service, a type, an index; nothing for the commune as a whole.
    """
    return f"{former(commune, what)}{key(str(commune['siren']))}"


def former(commune: Mapping[str, Any], what: str = "") -> str:
    """What the same thing was called before labels had a key."""
    return f"{commune['nom']} - {what}" if what else str(commune["nom"])


def same(label: str, known: str) -> bool:
    """Whether two labels have one key: they are the same commune's."""
    return label.endswith("]") and label[-12:] == known[-12:]


def note(wanted: dict[str, Any], kind: str, commune: Mapping[str, Any], whats: Iterable[str]) -> None:
    """Note in a configuration what things were called before, to be found again and not made twice.

    A name that two communes had for one thing is nobody's: each gets its own.
    """
    names = wanted["former"].setdefault(kind, {})
    for what in whats:
        before = former(commune, what)
        names[before] = "" if before in names else own(commune, what)
