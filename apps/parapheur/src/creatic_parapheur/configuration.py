"""The communes' circuits, as the deployment wrote them (collection's `parapheur.application`)."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .transmission import Threshold


@dataclass(frozen=True)
class Step:
    """Who passes a step: logins."""

    titulaire: str
    suppleants: tuple[str, ...]


@dataclass(frozen=True)
class Circuit:
    """A circuit of a commune.

    Attributes:
        type: label of Mayan's document type.
        workflow: internal name of Mayan's workflow.
        steps: by state, in order.
    """

    type: str
    workflow: str
    steps: dict[str, Step]

    def step(self, state: str) -> Step | None:
        """Who is awaited in a state. A step that the circuit no longer has falls to who signs: nothing is stuck."""
        if state not in PASSED_BY_PEOPLE:
            return None
        return self.steps.get(state, self.steps["a_signer"])


PASSED_BY_PEOPLE = ("a_controler", "a_viser", "a_signer")


@dataclass(frozen=True)
class Commune:
    """A commune, or an entity that one hosts: its name, its SIREN, its people's names by login, who deposits, its
    circuits, who may be delegates, in what quality its head signs, and the SIREN of its host, whose certificates its
    people have."""

    slug: str
    nom: str
    siren: str
    personnes: dict[str, str]
    redacteurs: frozenset[str]
    circuits: dict[str, Circuit]
    delegataires: frozenset[str] = frozenset()
    qualite: str = "maire"
    siren_commune: str = ""

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
        contract_threshold: under which one is not transmitted.
    """

    service: str
    states: dict[str, str]
    circuits: dict[str, str]
    communes: dict[str, Commune]
    mail: dict[str, Any]
    url: str
    contract_days: int
    contract_pieces: tuple[str, ...]
    contract_threshold: Threshold = field(default_factory=Threshold)

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
    """Read the file.

    Raises:
        OSError, ValueError, KeyError: it is not what the deployment writes.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    contracts = data.get("marche", {"jours": 15, "pieces": []})  # of an older deployment
    communes = {}
    for slug, one in data["communes"].items():
        circuits = {
            name: Circuit(
                circuit["type"],
                circuit["modele"],
                {  # in order, whatever that of the file: a JSON object has none
                    state: Step(circuit["etapes"][state]["titulaire"], tuple(circuit["etapes"][state]["suppleants"]))
                    for state in PASSED_BY_PEOPLE
                    if state in circuit["etapes"]
                },
            )
            for name, circuit in one["circuits"].items()
        }
        communes[slug] = Commune(
            slug,
            one["nom"],
            one["siren"],
            dict(one["personnes"]),
            frozenset(one["redacteurs"]),
            circuits,
            frozenset(one.get("delegataires", [])),
            one.get("qualite", "maire"),
            one.get("siren_commune", ""),
        )
    return Configuration(
        data["service"],
        data["etats"],
        data["circuits"],
        communes,
        data.get("courriel", {}),
        data["url"],
        contracts["jours"],
        tuple(contracts["pieces"]),
        Threshold(int(contracts["seuil"]["euros"]), str(contracts["seuil"]["texte"]))
        if "seuil" in contracts
        else Threshold(),
    )


@functools.cache
def current() -> Configuration:
    """The configuration of this process: a change of the file starts the services again."""
    return read(Path(os.environ.get("CREATIC_PARAPHEUR", "/etc/mayan/parapheur.json")))
