"""The communes' circuits, as the deployment wrote them (collection's `parapheur.application`)."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from creatic_agent.configuration import UNWRITTEN, From, Key, Whole, load

from .procurement import Threshold

PASSED_BY_PEOPLE = ("a_controler", "a_viser", "a_signer")


@dataclass(frozen=True)
class Step:
    """Who passes a step: logins."""

    titulaire: str
    suppleants: tuple[str, ...]


def _in_order(steps: dict[str, Step]) -> dict[str, Step]:
    """Whatever the order of the file: a JSON object has none."""
    return {state: steps[state] for state in PASSED_BY_PEOPLE if state in steps}


@dataclass(frozen=True)
class Circuit:
    """A circuit of a commune.

    Attributes:
        type: label of Mayan's document type.
        workflow: internal name of Mayan's workflow.
        steps: by state, in order.
    """

    type: str
    workflow: Annotated[str, Key("modele")]
    steps: Annotated[dict[str, Step], Key("etapes"), From(dict[str, Step], _in_order)]

    def step(self, state: str) -> Step | None:
        """Who is awaited in a state. A step that the circuit no longer has falls to who signs: nothing is stuck."""
        if state not in PASSED_BY_PEOPLE:
            return None
        return self.steps.get(state, self.steps["a_signer"])


@dataclass(frozen=True)
class Commune:
    """A commune, or an entity that one hosts: its name, its SIREN, its people's names by login, who deposits, its
    circuits, who may be delegates, in what quality its head signs, the SIREN of its host, whose certificates its people
    have, the postal code of its town hall, its SIRET and its code of the INSEE, empty where its file has none."""

    nom: str
    siren: str
    personnes: dict[str, str]
    redacteurs: frozenset[str]
    circuits: dict[str, Circuit]
    delegataires: frozenset[str] = frozenset()
    qualite: str = "maire"
    siren_commune: str = ""
    code_postal: str = ""
    siret: str = ""
    insee: str = ""
    slug: Annotated[str, UNWRITTEN] = ""  # under which the file has it

    def people(self) -> set[str]:
        """Logins of all who have a part."""
        found = set(self.redacteurs | self.delegataires)
        for circuit in self.circuits.values():
            for step in circuit.steps.values():
                found |= {step.titulaire, *step.suppleants}
        return found

    def steps_of(self, login: str) -> Iterator[tuple[str, str, Step]]:
        """Circuit, state and step of each in which somebody has a part."""
        for name, circuit in self.circuits.items():
            for state in PASSED_BY_PEOPLE:
                step = circuit.step(state)
                if step and login in (step.titulaire, *step.suppleants):
                    yield name, state, step


def _check_names(communes: dict[str, Commune]) -> dict[str, Commune]:
    return {slug: replace(one, slug=slug) for slug, one in communes.items()}


@dataclass(frozen=True)
class Configuration:
    """All of it.

    Attributes:
        service: login of the gateway.
        states: labels of states, by name.
        circuits: labels of circuits, by name.
        mail: C(relais), C(port), C(expediteur); empty without letters.
        url: address of the application.
        contract_days: from the signature of a contract to its transmission (CGCT, R2131-5).
        contract_pieces: of the file that is transmitted, labels.
        contract_thresholds: periods that the application does not know, or knows otherwise.
    """

    service: str
    states: Annotated[dict[str, str], Key("etats")]
    circuits: dict[str, str]
    communes: Annotated[dict[str, Commune], From(dict[str, Commune], _check_names)]
    url: str
    mail: Annotated[dict[str, Any], Key("courriel")] = field(default_factory=dict)
    contract_days: Annotated[Whole, Key("marche.jours", needed=True)] = 15
    contract_pieces: Annotated[tuple[str, ...], Key("marche.pieces", needed=True)] = ()
    contract_thresholds: Annotated[tuple[Threshold, ...], Key("marche.seuils")] = ()

    def communes_of(self, login: str) -> list[Commune]:
        """Where a person has a part: in a commune, and in the entities that it hosts. Logins are unique in the
        groupement."""
        return [one for one in self.communes.values() if login in one.people()]

    def commune_of(self, login: str) -> Commune | None:
        """The first of `communes_of`."""
        return next(iter(self.communes_of(login)), None)

    def name(self, login: str) -> str:
        """Name of a person in their commune's file; the login itself of who is in none."""
        commune = self.commune_of(login)
        return commune.personnes.get(login, login) if commune else login


def read(path: Path) -> Configuration:
    """Read the file. Raises configuration.ConfigError."""
    return load(path, Configuration)


@functools.cache
def current() -> Configuration:
    """The configuration of this process: a change of the file starts the services again."""
    return read(Path(os.environ.get("CREATIC_PARAPHEUR", "/etc/mayan/parapheur.json")))
