"""The papers of the meeting that voted an act, archived with its dossier de preuve: convocations, list, minutes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import Refused

_DIGEST, _NAME = re.compile(r"[0-9a-f]{64}"), re.compile(r"[a-z0-9-]{1,60}\.pdf")
_MOST, _LONG = 30, 200  # papers, characters


@dataclass(frozen=True)
class Paper:
    """A paper: its file's name and digest, what it is and of which day, where it is fetched."""

    name: str
    sha256: str
    what: str
    day: str
    url: str


@dataclass(frozen=True)
class Sitting:
    """A meeting whose procès-verbal is settled."""

    facts: dict[str, Any]
    papers: tuple[Paper, ...]

    def kept(self) -> dict[str, Any]:
        """As an act's track keeps it."""
        pieces = [{"nom": one.name, "sha256": one.sha256, "quoi": one.what, "le": one.day} for one in self.papers]
        return self.facts | {"pieces": pieces}


def read(told: Mapping[str, Any]) -> Sitting:
    """Read what the deliberations' server tells. Raises Refused, KeyError, TypeError."""
    papers = tuple(
        Paper(
            name=str(one["nom"])[:_LONG], sha256=str(one["sha256"])[:_LONG], what=str(one["quoi"])[:_LONG],
            day=str(one["le"])[:_LONG], url=str(one["url"]),
        )
        for one in told["pieces"]
    )  # fmt: skip # one call by its parts
    names = {one.name for one in papers}
    if len(papers) > _MOST or len(names) < len(papers) or not all(map(_is_named, papers)):
        raise Refused("les pièces de la séance sont mal annoncées (nom, empreinte, adresse).")
    facts: dict[str, Any] = {key: str(told[key])[:_LONG] for key in ("date", "assemblee")}
    for key in ("convocation_approuvee", "arrete"):
        facts[key] = {str(name)[:_LONG]: str(value)[:_LONG] for name, value in told[key].items()}
    return Sitting(facts, papers)


def _is_named(paper: Paper) -> bool:
    named = _NAME.fullmatch(paper.name) and _DIGEST.fullmatch(paper.sha256)
    return bool(named) and paper.url.startswith("https://")  # else its server would seem away, for all acts
