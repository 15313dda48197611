# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""How certificates and their files write the names of people and communes."""

from __future__ import annotations

import re
import unicodedata


def slug(text: str) -> str:
    """Return a text as lower-case letters, digits and dashes: « Secrétariat général » → secretariat-general."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def pc_organization(name: str) -> str:
    """Return the organization which a commune's certificates bear: « Commune de Lille », « Commune d'Avesnes »."""
    elided = slug(name)[:1] in tuple("aeiouy")
    return f"Commune d'{name}" if elided else f"Commune de {name}"
