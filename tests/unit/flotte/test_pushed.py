"""Waves of communes that are reached from here: cut as a publication's, and none after one that is not ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.fleet import pushed
from ansible_collections.cdg59.creatic.plugins.module_utils.fleet.signing import FleetError
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import groupement
from invoke import Context
from invoke.exceptions import Exit

import fabfile

COMMUNES = groupement.load(Path(__file__).parents[3] / "inventories/example")


@pytest.mark.parametrize("by", ["territoire", "taille", "vague"])
def test_each_commune_is_in_one_wave_after_the_canary(by: str) -> None:
    first, *rest = pushed.split(COMMUNES, by, [], [])
    assert first[0] == "canari" and len(first[1]) == 1
    [canary] = [one for one in COMMUNES if one.slug == first[1][0]]
    assert canary.data["vague"] == min(one.data["vague"] for one in COMMUNES)
    assert sorted(slug for _name, slugs in (first, *rest) for slug in slugs) == sorted(one.slug for one in COMMUNES)
    told = {name: {str(one.variables[by]) for one in COMMUNES if one.slug in slugs} for name, slugs in rest}
    assert all(len(values) == 1 and name == f"{by} {values.pop()}" for name, values in told.items())


def test_a_canary_is_chosen_and_names_that_are_none_are_refused() -> None:
    assert pushed.split(COMMUNES, "vague", ["loos"], [])[0] == ("canari", ["loos"])
    with pytest.raises(FleetError, match="--canari : lens n'est pas une des communes"):
        pushed.split(COMMUNES, "vague", ["lens"], [])
    with pytest.raises(FleetError, match="--excuser : lens n'est pas une des communes"):
        pushed.split(COMMUNES, "vague", [], ["lens", "loos"])
    with pytest.raises(FleetError, match="« jour » n'existe pas"):
        pushed.split(COMMUNES, "jour", [], [])
    with pytest.raises(FleetError, match="aucune de ces communes"):
        pushed.split([], "vague", [], [])


def test_a_wave_goes_on_only_when_all_proved_or_were_excused_by_name() -> None:
    problems = ["loos : parapheur : pas là", "loos-sur-mer : PC : éteint"]
    assert pushed.holding(True, [], []) == []
    assert pushed.holding(True, problems, []) == pushed.holding(False, problems, []) == problems
    assert pushed.holding(False, problems, ["loos"]) == problems[1:]
    assert pushed.holding(False, problems, ["loos", "loos-sur-mer"]) == []
    assert pushed.holding(False, [], ["loos"]) == ["le déploiement n'est pas allé au bout"]


@dataclass
class Command:
    """``fab communes``, of which each rollout is noted, by the communes of its wave.

    Attributes:
        answers: what a rollout says of a commune, by short name.
    """

    answers: dict[str, str] = field(default_factory=dict)
    noted: list[list[str]] = field(default_factory=list)

    def roll_out(self, _context: Context, slugs: list[str], _outgoing: list[str], aimed: str) -> tuple[bool, list[str]]:
        """Stands in for Ansible's run."""
        assert aimed == f"machines de {slugs}"
        self.noted.append(slugs)
        return True, [f"{slug} : {self.answers[slug]}" for slug in slugs if slug in self.answers]

    def __call__(self, excused: str = "") -> list[list[str]]:
        self.noted.clear()
        fabfile._roll_out_in_waves(Context(), [], "", "vague", "loos", excused)
        return [*self.noted]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    known, made = [one for one in COMMUNES if not one.outgoing], Command()
    monkeypatch.setattr(fabfile, "_communes", lambda: known)
    monkeypatch.setattr(fabfile, "_aimed", lambda slugs, _limit, _maybe: f"machines de {slugs}")
    monkeypatch.setattr(fabfile, "_roll_out", made.roll_out)
    return made


def test_the_command_stops_at_the_first_wave_that_is_not_ready(command: Command) -> None:
    whole = [slugs for _name, slugs in pushed.split([o for o in COMMUNES if not o.outgoing], "vague", ["loos"], [])]
    assert len(whole) > 2 and command() == whole
    [late, *_more] = whole[1]
    command.answers[late] = "PC : éteint"
    with pytest.raises(Exit, match=r"n'est pas prête : arrêt, .* des suivantes ne sont pas déployées"):
        command()
    assert command.noted == whole[:2]
    assert command(late) == whole  # excused by name
