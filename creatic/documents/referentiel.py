# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a maire is told, beside what an audit found: referentiel.yml, read strictly.

Protections give controls of the catalogue (`creatic.audit.controls`) plain words. What a commune does itself depends on
its number of agents; each rule bears the source it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from creatic.registry import papers
from creatic.registry.checked_yaml import FieldPath, ProblemsError, Source

FILE = Path(__file__).with_name("referentiel.yml")
_REFERENTIEL_SCHEMA = Path(__file__).with_name("referentiel.schema.json")


class ReferentielError(ProblemsError, cause="referentiel"):
    """The file is refused; the message (French) names each field and fix."""


@dataclass(frozen=True)
class Text:
    """Where rules stand.

    Attributes:
        sigle: what is written beside a rule.
        nom: who wrote it, and its title.
        date: of the text, or of the day when a page was read; ``AAAA-MM`` or ``AAAA-MM-JJ``.
    """

    sigle: str
    nom: str
    date: str


@dataclass(frozen=True)
class Protection:
    """What protects a commune.

    Attributes:
        titre: what it is about.
        dit: what is asserted when all its controls are conform, and then only.
        controles: those that show it, ``R1`` to ``R80``, of one level.
    """

    titre: str
    dit: str
    controles: tuple[str, ...]


@dataclass(frozen=True)
class Duty:
    """What a commune does itself.

    Attributes:
        de: from how many agents.
        a: up to how many; None for any number.
        aide: whom to ask, one of the contacts.
        fonde: names of sources, each with the place in it (perhaps empty).
    """

    titre: str
    dit: str
    de: int
    a: int | None
    aide: str
    fonde: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Step:
    """What is done the day when something happens."""

    dit: str
    fonde: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Contact:
    """Whom to ask.

    Attributes:
        quand: what for.
        joindre: how; empty when the groupement, or the commune, is to say.
        champ: field of creatic_documents that says how; empty when none does.
    """

    nom: str
    quand: str
    joindre: str
    champ: str
    fonde: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Referentiel:
    """The whole file."""

    sources: Mapping[str, Text]
    protections: Sequence[Protection]
    a_faire: Sequence[Duty]
    incident: Sequence[Step]
    contacts: Mapping[str, Contact]

    def duties(self, agents: int) -> list[Duty]:
        """What a commune of so many agents does itself."""
        return [one for one in self.a_faire if one.de <= agents and (one.a is None or agents <= one.a)]

    def cite_rules(self, fonde: Sequence[tuple[str, str]]) -> str:
        """Where a rule stands, short: « Hygiène, mesure 39 ; TPE/PME, question 2 »."""
        return " ; ".join(", ".join(filter(None, (self.sources[name].sigle, where))) for name, where in fonde)


def load(path: Path = FILE) -> Referentiel:
    """Read the file.

    Raises:
        ReferentielError: a source, a contact or a field of creatic_documents that does not exist, a control twice, a
            number of agents that no commune has, a way to join somebody without a source.
    """
    source = Source(path.name, path.read_bytes())
    data = source.read() or {}
    if not source.problems:
        source.check_schema(data, _REFERENTIEL_SCHEMA)
    if not source.problems:
        _check_references(source, data)
    if source.problems:
        raise ReferentielError(source.problems)
    return Referentiel(
        {name: Text(**one) for name, one in data["sources"].items()},
        [Protection(one["titre"], one["dit"], tuple(one["controles"])) for one in data["protections"]],
        [
            Duty(one["titre"], one["dit"], one.get("de", 1), one.get("a"), one["aide"], _rule_places(one))
            for one in data["a_faire"]
        ],
        [Step(one["dit"], _rule_places(one)) for one in data["incident"]],
        {
            name: Contact(one["nom"], one["quand"], one.get("joindre", ""), one.get("champ", ""), _rule_places(one))
            for name, one in data["contacts"].items()
        },
    )


def _rule_places(entry: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((one["source"], one.get("ou", "")) for one in entry.get("fonde", ()))


def _check_references(source: Source, data: Mapping[str, Any]) -> None:
    seen = set[str]()
    for index, one in enumerate(data["protections"]):
        for rank, control in enumerate(one["controles"]):
            if control in seen:
                place = ("protections", index, "controles", rank)
                source.report(f"{control} est dans deux protections", "gardez-le dans une seule", place)
            seen.add(control)
    entries: list[tuple[FieldPath, Mapping[str, Any]]] = [
        *((("a_faire", index), one) for index, one in enumerate(data["a_faire"])),
        *((("incident", index), one) for index, one in enumerate(data["incident"])),
        *((("contacts", name), one) for name, one in data["contacts"].items()),
    ]
    for path, one in entries:
        for rank, basis in enumerate(one.get("fonde", ())):
            if basis["source"] not in data["sources"]:
                fix = f"écrivez l'une de : {', '.join(data['sources'])}"
                source.report("cette source n'est pas dans sources", fix, (*path, "fonde", rank, "source"))
        if "aide" in one and one["aide"] not in data["contacts"]:
            fix = f"écrivez l'un de : {', '.join(data['contacts'])}"
            source.report("ce contact n'est pas dans contacts", fix, (*path, "aide"))
        if one.get("de", 1) > one.get("a", one.get("de", 1)):
            source.report("aucune commune n'a ce nombre d'agents", "de doit être au plus a", (*path, "de"))
        if "joindre" in one and "fonde" not in one:
            source.report("rien ne dit d'où cela vient", "ajoutez fonde:", (*path, "joindre"))
        if "champ" in one and one["champ"] not in papers.FIELDS:
            fix = f"écrivez l'un de : {', '.join(papers.FIELDS)}"
            source.report(f"{papers.NAME} n'a pas ce champ", fix, (*path, "champ"))
