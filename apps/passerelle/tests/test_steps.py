"""The table of the chain's steps: who has which, and what ends each."""

from __future__ import annotations

from passerelle.config import Account, Commune, Config
from passerelle.handovers import HandOvers
from passerelle.steps import FINISHED, FOLLOWED, NAMES, STAGES, STEPS, after

ALL = ("teletransmission", "parapheur", "deliberations", "ged", "archivage")
CONFIG = Config(
    {
        "tout": Commune("tout", "Tout", "1", ALL),
        "ged": Commune("ged", "GED", "2", ("ged", "archivage")),
        "rien": Commune("rien", "Rien", "3", ()),
    },
    servers={name: Account("https://x.test", "passerelle", "x") for name in ("parapheur", "deliberations", "ged")},
)


def way(commune: str, circuit: str = "deliberation") -> list[str]:
    """The steps after the first, of an act of this commune."""
    found = ["reception"]
    while found[-1] != FINISHED:
        found.append(after(found[-1], CONFIG, commune, circuit))
    return found[1:-1]


def test_a_commune_has_the_steps_of_its_services() -> None:
    assert way("tout") == list(NAMES[1:])
    assert way("tout", "pes") == ["parapheur", "signature", "reprise", "teletransmission", "aracte"]
    assert way("ged") == ["ged", "publication"]  # nothing is archived without its ARActe
    assert way("rien") == way("inconnue") == ["publication"]


def test_each_step_is_ended_by_a_hand_over_or_by_the_connector() -> None:
    own = {name.removeprefix("_do_") for name in vars(HandOvers) if name.startswith("_do_")}
    said = {step.name for step in STEPS if step.word}
    assert own & said == set()
    assert set(NAMES) == own | said
    assert own <= set(NAMES)
    assert FOLLOWED == ("recue", "transmise", "acquittee", "versee")


def test_each_step_has_its_words_and_its_column() -> None:
    assert all(step.text and step.stage for step in STEPS)
    assert [title for title, _steps in STAGES] == [
        "Séance",
        "Parapheur",
        "Transmission",
        "ARActe",
        "GED",
        "Versement",
        "Publication",
    ]
    assert len({title for title, _steps in STAGES}) == len(STAGES)
