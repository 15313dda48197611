"""The steps of the chain, in order: the one place that declares them.

The hand-over of a step is `HandOvers._do_<name>`; a step without one is over when the connector has said its word,
or at once when it waits for none.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from .config import Config

FINISHED = "termine"
# The circuit of accounts' flows (Helios): the DGFiP keeps them, they are no acts to publish, file or archive here.
PES = "pes"


@dataclass(frozen=True)
class Step:
    """A step.

    Args:
        name: in the database, the history and the figures.
        stage: its column on the page; neighbours may share one.
        text: what the page says of an act that is there.
        flow: the same of a flow of accounts, when the words are others.
        services: what the commune must have for it; skipped otherwise.
        word: what the connector says once it is over.
        acts: only acts have it, not flows of accounts.
        sent: only what goes to the préfecture, or the DGFiP, has it.
    """

    name: str
    stage: str
    text: str
    services: tuple[str, ...] = ()
    word: str = ""
    flow: str = ""
    acts: bool = False
    sent: bool = False

    def concerns(self, config: Config, commune: str, circuit: str, leaves: bool = True) -> bool:
        """Whether an act of this commune and circuit, that `leaves` or not, has this step."""
        lacks = (self.acts and circuit == PES) or (self.sent and not leaves)
        return all(config.has(commune, one) for one in self.services) and not lacks


_SENT = ("teletransmission",)
STEPS = (
    Step("reception", "Séance", "document à prendre"),
    Step("parapheur", "Parapheur", "à mettre au parapheur", ("parapheur",)),
    Step("signature", "Parapheur", "au parapheur, à signer", ("parapheur",)),
    Step("reprise", "Parapheur", "signé, à reprendre", ("parapheur",)),
    Step("teletransmission", "Transmission", "attend le connecteur de la commune", _SENT, word="transmise",
         sent=True),
    Step("aracte", "ARActe", "transmis, attend l'ARActe", _SENT, word="acquittee",
         flow="transmis, attend l'acquittement de la DGFiP", sent=True),
    Step("ged", "GED", "à classer", ("ged",), acts=True),
    # By the connector, whose account the archive knows: what a commune without one signs is not archived.
    Step("versement", "Versement", "attend le versement au SAE", ("archivage", *_SENT), word="versee", acts=True),
    # Last: a person of the commune chooses what is published, and nothing of the rest waits for them.
    Step("publication", "Publication", "attend que la commune choisisse ce qui est publié", acts=True),
)  # fmt: skip # a row a line
NAMES = tuple(step.name for step in STEPS)
# What people see of them: a title, and its steps.
STAGES = tuple((title, tuple(steps)) for title, steps in itertools.groupby(STEPS, key=lambda step: step.stage))
# What the connector says, in the order in which it may come.
FOLLOWED = ("recue", *(step.word for step in STEPS if step.word))


def place(name: str) -> int:
    """Place of a step; the end of the chain is after all of them."""
    return len(STEPS) if name == FINISHED else NAMES.index(name)


def after(name: str, config: Config, commune: str, circuit: str = "", leaves: bool = True) -> str:
    """The next step of an act."""
    rest = STEPS[place(name) + 1 :]
    return next((step.name for step in rest if step.concerns(config, commune, circuit, leaves)), FINISHED)
