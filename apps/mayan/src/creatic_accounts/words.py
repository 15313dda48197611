"""Words of Mayan's pages that its French leaves in English, or names after its own parts."""

from __future__ import annotations

from django.utils.translation import trans_real

WORDS = {
    "Sort by column": "Trier par",
    "--- Clear ---": "--- Sans tri ---",
    "(ascending)": "(croissant)",
    "(descending)": "(décroissant)",
    "Reload content": "Actualiser",
    "Index instance node": "Dossier d'un index",
    "Index instance nodes": "Dossiers d'un index",
    "Smart links": "Documents liés",
    "Toggle Dropdown": "Autres actions",
}


def say() -> None:
    """Have pages say them in French."""
    catalog = trans_real.translation("fr")._catalog
    for english, french in WORDS.items():
        catalog[english] = french
