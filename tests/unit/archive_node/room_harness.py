"""A room of three nodes, as `creatic-archive bilan` tells of it on each."""

from __future__ import annotations

from typing import Any

NODES = ("sae1", "sae2", "sae3")
NOW = 1_795_600_000.0


def room() -> dict[str, dict[str, Any]]:
    """Reports of a whole room."""
    passes = {"debut": NOW - 20, "fin": NOW - 10, "echecs": 0}
    return {
        name: {
            "etat": {
                "noeud": name,
                "instant": NOW,
                "en_service": True,
                "arretes": [],
                "anneaux": {"object": "a"},
                "quarantaine": {"total": 0, "a_reparer": 0},
                "redemarrage_demande": False,
                "absence_s": 10,
                "trop_absent": False,
                "audit": NOW - 100,
                "disques": [{"nom": "d1", "absent": False, "octets": 1000, "libres": 500, "mises_a_jour": 0}],
                "salle": [
                    {
                        "nom": other,
                        "repond": True,
                        "decalage_s": 0.0,
                        "passes": {kind: dict(passes) for kind in ("account", "container", "object")},
                    }
                    for other in NODES
                ],
            },
            "copies": {"noeud": name, "attendues": [7, 8], "empreintes": {"7": ["x"]}},
            "fixite": {"noeud": name, "lus": 3, "octets": 300, "manquants": [], "abimes": [], "muets": []},
        }
        for name in NODES
    }
