"""What the platform holds, as plain values: for the command line, the administration and the tests."""

from __future__ import annotations

from typing import Any

from . import clock
from .store import Store, Transaction


def act(found: Transaction) -> dict[str, Any]:
    """Return an act as plain values (keys in French: people read them)."""
    row = found.row
    return {
        "transaction": found.id,
        "siren": found.authority.siren,
        "collectivite": found.authority.nom,
        "numero": row["number"],
        "objet": row["subject"],
        "date": row["decision_date"],
        "nature": row["nature"],
        "classification": row["classification"],
        "identifiant": row["unique_id"],
        "statut": found.status,
        "libelle": found.status_name,
        "depose_le": clock.moment(row["created"]).isoformat(" ", "seconds"),
    }


def acts(store: Store, siren: str | None = None, number: str | None = None) -> list[dict[str, Any]]:
    """Return the acts, newest first, of an authority or of all, with this number or any."""
    condition = "kind = 1 AND (? IS NULL OR siren = ?) AND (? IS NULL OR number = ?)"
    return [act(found) for found in store.transactions(condition, siren, siren, number, number)]
