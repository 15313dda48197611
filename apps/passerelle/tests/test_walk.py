"""The fields of an act on its walk: as the séance announces it, offered to the connector, described there, summed up
for its versement. Each format has names of its own; what an act says is the same at both ends.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from passerelle import arrivals
from passerelle.connectors import Connectors
from passerelle.store import Tracked, as_act
from tdt_connector import sip
from tdt_connector.description import parse
from tdt_connector.handover import Offer

from creatic_agent.act import DESCRIPTION, SUMMARY
from testbed.chain import COMMUNES

GONDECOURT = COMMUNES["gondecourt"]
DIGEST, SIGNED = "a" * 64, "b" * 64
SAME = ("number", "subject", "date", "matter")


def announced(**changes: Any) -> dict[str, Any]:
    """As GET /@adoptees of the deliberations' server."""
    return {
        "uid": "3f2a", "reference": "deliberations:3f2a", "commune": "gondecourt", "siren": "215902669",
        "numero": "2026_012", "date": "2026-11-20T18:30:00", "objet": "Tarifs : école n° 2 # été", "matiere": "7.10",
        "transmission": "oui", "document": {"url": "https://d/doc", "sha256": DIGEST, "nom": "x/2026_012.pdf"},
        "annexes": [
            {"url": "https://d/1", "sha256": DIGEST, "nom": "plan.pdf"},
            {"url": "https://d/2", "sha256": DIGEST},
        ],
    } | changes  # fmt: skip # a table


def tracked(data: dict[str, Any], **track: Any) -> Tracked:
    """A row of the passerelle's table."""
    now = datetime.now(UTC)
    return as_act(
        {"reference": "deliberations:3f2a", "commune": "gondecourt", "donnees": json.loads(json.dumps(data)),
         "etape": "teletransmission", "suivi": track, "blocage": "", "retard": "", "recu_le": now, "modifie_le": now}
    )  # fmt: skip # a row


def offered(act: Tracked) -> Offer:
    """What the commune's connector reads of it."""
    store: Any = SimpleNamespace(to_send=lambda _slug: [act])
    store.files = None
    [told] = Connectors(store, store, lambda *_: None, lambda _: None).to_send(GONDECOURT, keeps=True)
    return Offer.read(json.loads(json.dumps(told)))


def test_an_act_says_the_same_from_the_seance_to_the_archives() -> None:
    act = tracked(arrivals._announced(announced()).to_wire(), signe=SIGNED)
    assert [one.name for one in act.files] == ["2026_012.pdf", "plan.pdf", "annexe-2.pdf"] and act.date == "2026-11-20"
    offer = offered(act)
    assert (offer.kind, offer.nature, offer.type, offer.main.sha256) == ("acte", "1", "99_DE", SIGNED)
    text = yaml.safe_dump(offer.named(DESCRIPTION) | {"fichier": "a.pdf"}, allow_unicode=True)
    described = parse(text.encode())
    kept = offer.named(SUMMARY)
    for field in SAME:
        assert getattr(act, field) == getattr(offer, field) == getattr(described, field) == kept[SUMMARY[field]]
    assert kept["classification"] == "7.10"  # and no number, which would be 7.1
    shown = sip._of_act(kept, kept=False)
    assert (shown.title, shown.about) == (act.subject, "Classification 7.10, nature 1")


@pytest.mark.parametrize("said", ["non", "oui", None, ""])
def test_what_does_not_go_out_is_offered_to_be_kept(said: str | None) -> None:
    """« non » alone keeps an act here; a server of before said nothing of it."""
    act = tracked(arrivals._announced(announced(transmission=said)).to_wire(), signe=SIGNED)
    assert ("transmission" in act.data) == (said == "non")
    assert offered(act).kind == ("conserver" if said == "non" else "acte")


def test_an_act_that_was_eliminated_says_so_for_good() -> None:
    data = {"circuit": "arrete", "numero": "7", "date": "2026-01-01", "matiere": "6.1", "objet": "Acte éliminé",
            "annexes": [], "eliminee": "d1", "document": {"nom": "", "sha256": DIGEST}}  # fmt: skip # a row
    assert tracked(data).data == data and tracked(data).eliminated == "d1"
