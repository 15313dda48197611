"""What looks like a name is shown to who reads a subject; it releases nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest
from passerelle.names import marked

from testbed.chain import World

from .test_records import at, bring


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("Aide à MME DUPONT", ["MME DUPONT"]),
        ("recours de Mr Durand", ["Mr Durand"]),
        ("recours de mlle d'Artagnan", ["mlle d'Artagnan"]),
        ("cession à Jean Dupont", ["Jean Dupont"]),
        ("cession à J. Dupont", ["J. Dupont"]),
        ("cession aux époux Martin", ["époux Martin"]),
        ("cession aux consorts Lefebvre-Morel", ["consorts Lefebvre-Morel"]),
        ("secours à la famille dupont", ["famille dupont"]),
        ("DUPONT, terrain", ["DUPONT"]),
        ("Élise MÜLLER", ["Élise MÜLLER"]),
        ("cession à Jean de La Tour", ["Jean de La Tour"]),
        ("Travaux de voirie, lot 3", []),
        ("", []),
    ],
)
def test_what_looks_like_a_name_is_told(subject: str, shown: list[str]) -> None:
    found = marked(subject)
    assert [text for text, name in found if name] == shown
    assert "".join(text for text, _name in found) == subject


@pytest.mark.parametrize("piece", ["M. Leroy ", "A ", "M. de ", "époux ", "A", "A'", "A.A", "A" + " " * 300])
def test_a_hostile_subject_is_read_in_a_moment(piece: str) -> None:
    began = time.monotonic()
    marked(piece * (60_000 // len(piece)))
    assert time.monotonic() - began < 10


def test_who_notes_a_publication_reads_the_subject_with_its_names_shown(world: World, ask: Any) -> None:
    reference = bring(world, "parapheur:1", nature="D", objet="Bail <b>de</b> MME DUPONT")
    page = ask("poste", at(reference)).text
    assert "Bail &lt;b&gt;de&lt;/b&gt; <mark>MME DUPONT</mark>" in page and "CRPA, L312-1-2" in page
    alone = bring(world, "parapheur:2", numero="2026_113", nature="3", transmission="non", objet="Congé de MME DUPONT")
    assert "<mark>" not in ask("poste", at(alone)).text  # an individual act is not published
