"""From depot/ to the ARActe on disk, against the real simulator; and what is refused on the way."""

from __future__ import annotations

import json

from connector_harness import Commune
from tdt_connector.journal import State
from tdt_simulator.testing import TdtServer


def test_an_act_goes_from_depot_to_its_aracte(commune: Commune, tdt: TdtServer) -> None:
    commune.drop("2026_001")
    commune.run()
    row = commune.row()
    assert (row.state, row.idacte) == (State.ACKNOWLEDGED, "059-215902669-20260115-2026_001-DE")
    assert not commune.folder("en_cours")
    (folder,) = commune.folder("acquittes")
    assert folder.name == row.idacte
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "2026_001.pdf",
        "2026_001.yml",
        "ARActe.xml",
        "acte-tamponne.pdf",
        "bordereau.pdf",
        "resume.json",
    }
    summary = json.loads((folder / "resume.json").read_text())
    assert summary["objet_transmis"] == "Délibération n° 12 : école d'été"
    assert summary["aracte_le"] == row.acknowledged_on
    assert "« ’ » devient « ' »" in summary["remarques"][0]
    (act,) = tdt.acts(number="2026_001")
    assert act["objet"] == "Délibération n° 12 : école d'été"
