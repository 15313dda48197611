"""Machines that nobody reaches: which are not saved, and why."""

from __future__ import annotations

from pathlib import Path

from creatic.fleet import unsaved as outgoing
from creatic.fleet.waves import Machine


def machine(name: str, profile: str = "tdt_connector") -> Machine:
    """One of Loos."""
    return Machine(name, "loos", "215903469", profile, "lille", "grande", 1)


def test_each_is_told_with_why(tmp_path: Path) -> None:
    names = ("neuve", "remise", "inscrite", "sauvee")
    machines = {name: machine(name) for name in names} | {"loos-pc": machine("loos-pc", "commune_pc")}
    for name in names[1:]:
        place = tmp_path / outgoing.FOLDER / name
        place.mkdir(parents=True)
        for file in ("cle.pub", "sequestre.p7m"):
            (place / file).write_text("x")
        if name != "remise":
            (place / "inscrit").write_text("sauvegarde1")
    known = [{"client": "sauvee", "derniere": "2026-11-28T01:00:00+00:00"}, {"client": "inscrite", "derniere": ""}]
    found = outgoing.unsaved(machines, tmp_path, known)
    assert list(found) == ["inscrite", "neuve", "remise"]  # a PC has nothing to save
    assert "creatic_sauvegarde_sorties" in found["inscrite"]
    assert "ses clés n'ont pas été remises à l'atelier" in found["neuve"]
    assert "ne connaît pas encore sa clé" in found["remise"]
    assert all(" : non sauvegardée : " in line for line in outgoing.lines(found))
    # A server that lost its depot, and does not know it any more, is no proof that it is saved.
    assert list(outgoing.unsaved(machines, tmp_path, [])) == ["inscrite", "neuve", "remise", "sauvee"]
    # What is known without asking the server.
    assert list(outgoing.unsaved(machines, tmp_path)) == ["neuve", "remise"]
