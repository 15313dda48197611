"""What the lab's certificate provider makes of an inventory."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.cdg59.creatic.plugins.filter.lab_provider import lab_certificates, lab_orders

LOOS = {"nom": "Loos", "slug": "loos", "siren": "215903600"}
PC = {
    "creatic_commune": LOOS,
    "creatic_poste": {
        "certificats": [
            {"titulaire": "Alice", "usage": "signature", "source": "fichier", "fichier": "a.p12", "secret": "a.mdp"},
            {"titulaire": "Bruno", "usage": "authentification", "source": "jeton", "jeton": "b", "secret": "b.pin"},
        ]
    },
}
CONNECTOR = {"creatic_commune": LOOS, "creatic_connecteur": {"certificat": {"fichier": "c/d.p12", "secret": "c.mdp"}}}


def test_a_pc_and_a_connector_await_theirs() -> None:
    found = lab_certificates([PC, CONNECTOR, {"creatic_commune": LOOS}])
    assert [(one["titulaire"], one["source"], one["commune"]["slug"]) for one in found] == [
        ("Alice", "fichier", "loos"),
        ("Bruno", "jeton", "loos"),
        ("Connecteur - Loos", "fichier", "loos"),
    ]


def test_those_that_are_files_are_made_with_the_password_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.mdp").write_text("1234\n", encoding="utf-8")
    first, last = lab_orders(lab_certificates([PC, CONNECTOR]), str(tmp_path))
    assert (first["name"], first["profile"], first["holder"], first["p12_password"]) == (
        "a", "signature", "person", "1234",
    )  # fmt: skip # one row
    assert (last["name"], last["profile"], last["holder"], last["p12_password"]) == (
        "c/d", "client", "connector", "à venir",
    )  # fmt: skip # one row
    assert first["p12"] == f"{tmp_path}/a.p12" and last["siren"] == LOOS["siren"]
