# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Figures as programs leave them for Prometheus (text exposition format 0.0.4), and what rules say of them."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cdg59.creatic.plugins.module_utils.harmless import line as one_line

NEVER = {"age": "le début", "quand": "jamais"}
"""What is said of what never was, by place: « depuis le début », « dernier audit : jamais »."""
_FIGURE_LINE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: [0-9]+)?")
_FIGURE_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')
_CONDITION = re.compile(r"(sur|sous|egal|age|reste) ([0-9.]+)|part ([0-9.]+) de (\w+)|(age_de) (\w+)|(monte)")
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Figure:
    """A figure of a machine; `labels` are sorted."""

    name: str
    labels: Labels
    value: float

    @property
    def key(self) -> str:
        """What it is the figure of, in the snapshot of a morning."""
        return f"{self.name}{{{','.join(f'{name}={text}' for name, text in self.labels)}}}"


@dataclass(frozen=True)
class FigureSpec:
    """Whose a figure is: a line of « mesures » in rules.yml.

    Attributes:
        profiles: those whose machines make it; none: every one.
        labels: what tells its samples apart; others are no part of it.
    """

    profiles: frozenset[str] = frozenset()
    labels: tuple[str, ...] = ()

    def by(self, profile: str) -> bool:
        """Whether machines of a profile make it."""
        return not self.profiles or profile in self.profiles


@dataclass(frozen=True)
class Rule:
    """A line of rules.yml.

    Attributes:
        condition: the words of ``si``.
        grave: acts, archives or access suffer today.
        text: French, with places for the value and the labels.
        fix: French, what to run: without a place, so that no word of a machine is in a command.
        unless_zero: 0 says that there is none, not that it never was.
    """

    name: str
    condition: str
    text: str
    fix: str
    labels: Mapping[str, str] = field(default_factory=dict)
    grave: bool = False
    unless_zero: bool = False

    def holds(
        self, figure: Figure, others: Mapping[tuple[str, Labels], float], before: float | None, now: float
    ) -> dict[str, str] | None:
        """What to write in the text, when it holds.

        Args:
            others: all figures of the machine.
            before: the figure on the last morning, None when it was not there.
            now: seconds since the epoch, of the machine's own clock.
        """
        found = _CONDITION.fullmatch(self.condition)
        if found is None:
            raise ValueError(f"rules.yml, {self.name} : « {self.condition} » n'est pas une condition")
        word, bound, share, whole, _of, limit, rises = found.groups()
        value = figure.value
        if self.unless_zero and not value:
            return None
        if share:
            other = others.get((whole, figure.labels), 0)
            return _format_values(100 * value / other) if other and value > float(share) * other else None
        if rises:
            more = value - (before if before is not None else value)
            return _format_values(more) if more > 0 else None
        if word == "reste":
            left = value - now
            return {**_format_values(value), "reste": span(max(left, 0))} if left < float(bound) else None
        if word == "age" or limit:
            most = float(bound) if bound else others.get((limit, figure.labels), math.inf)
            since = now - value
            said = {"age": span(since), "quand": f"il y a {span(since)}"} if value else NEVER
            shown = {**_format_values(value), **said}
            return shown if since > most else None
        held = {"sur": value > float(bound), "sous": value < float(bound), "egal": value == float(bound)}[word]
        return {**_format_values(value), "duree": span(max(value, 0))} if held else None


def span(seconds: float) -> str:
    """« 40 min », « 5 h », « 12 jours »: a wait as it is said."""
    for unit, word in ((86400, "jours"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit:.0f} {word}"
    return f"{seconds:.0f} s"


def _format_values(value: float) -> dict[str, str]:
    return {"valeur": f"{value:.0f}" if abs(value) < 1e15 else "?"}


def parse(text: str) -> Iterator[Figure]:
    """Read figures; a line that is none is left out, so that it keeps no other."""
    for line in text.split("\n"):  # what else ends a line elsewhere is in a label, whose end it is not
        found = _FIGURE_LINE.fullmatch(line)
        if not found:
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        pairs = [
            (one[1], one[2].replace('\\"', '"').replace("\\\\", "\\")) for one in _FIGURE_LABEL.finditer(found[2] or "")
        ]
        if math.isfinite(value):
            yield Figure(found[1], tuple(sorted(pairs)), value)


@cache
def _read_rules_file() -> Any:
    return yaml.safe_load(Path(__file__).with_name("rules.yml").read_text(encoding="utf-8"))


@cache
def figure_specs() -> Mapping[str, FigureSpec]:
    """Whose each figure is; one that is not there is nobody's."""
    return {
        name: FigureSpec(frozenset(one.get("par", ())), tuple(one.get("etiquettes", ())))
        for name, one in _read_rules_file()["mesures"].items()
    }


def allowed_figures(profile: str, told: Iterable[Figure]) -> Iterator[Figure]:
    """What a machine of a profile may tell, of what it told: figures that it makes, with their own labels, each once.

    Args:
        profile: as the inventory says it; of a machine without one, figures that every machine makes.
    """
    seen = set()
    for one in told:
        if (whose := figure_specs().get(one.name)) and whose.by(profile):
            kept = Figure(one.name, tuple(pair for pair in one.labels if pair[0] in whose.labels), one.value)
            if kept not in seen:
                seen.add(kept)
                yield kept


@cache
def rules() -> tuple[Rule, ...]:
    """The rules, in their order.

    Raises:
        ValueError: what is to be done has a place, where a machine's word would be in a command; a figure is nobody's.
    """
    for one in _read_rules_file()["regles"]:
        if "{" in one["faire"]:
            raise ValueError(f"rules.yml, {one['mesure']} : « {one['faire']} » a une place ; elle va dans « dit »")
        name, found = one["mesure"], _CONDITION.fullmatch(one["si"])
        beside = [other for other in (found[4], found[6]) if other] if found else []
        if lacking := [each for each in (name, *beside) if each not in figure_specs()]:
            raise ValueError(f"rules.yml, {name} : {lacking[0]} n'est pas dans « mesures »")
        if any({*one.get("etiquettes", {})} - {*figure_specs()[each].labels} for each in (name, *beside)):
            raise ValueError(f"rules.yml, {name} : ses étiquettes ne sont pas toutes dans « mesures »")
    return tuple(
        Rule(
            one["mesure"],
            one["si"],
            one["dit"],
            one["faire"],
            one.get("etiquettes", {}),
            one.get("grave", False),
            one.get("sauf_zero", False),
        )
        for one in _read_rules_file()["regles"]
    )


def judge(figures: Iterable[Figure], before: Mapping[str, float], now: float) -> Iterator[tuple[bool, str, str]]:
    """Give what rules say of a machine's figures: grave or not, text, fix (French).

    Args:
        before: figures of the last morning, by key.
        now: seconds since the epoch, of the machine's own clock.
    """
    known = list(figures)
    others = {(one.name, one.labels): one.value for one in known}
    by_name: dict[str, list[Rule]] = {}
    for rule in rules():
        by_name.setdefault(rule.name, []).append(rule)
    for figure in known:
        labels = dict(figure.labels)
        for rule in by_name.get(figure.name, ()):
            if rule.labels.items() <= labels.items():
                words = rule.holds(figure, others, before.get(figure.key), now)
                if words is not None:
                    told = _fill_text(rule.text, {name: quoted(text) for name, text in labels.items()} | words)
                    if "entite" in labels:  # of a CCAS…, by the connector of its commune
                        told = f"{told} ({quoted(labels['entite'])})"
                    yield rule.grave, told, rule.fix
                    break


def quoted(text: str) -> str:
    """A machine's word where our own are read: on one line, between quotes that it cannot close."""
    return f"« {one_line(text).translate(_QUOTES)[:120]} »"


_QUOTES = str.maketrans("«»", '""')


class _Words(string.Formatter):
    """Words of a rule; a label that the machine left out is a dash."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        return kwargs.get(field_name, "—"), field_name


def _fill_text(text: str, words: Mapping[str, str]) -> str:
    return _Words().vformat(text, (), words)


def rising(figures: Iterable[Figure]) -> dict[str, float]:
    """The figures to remember until the next morning."""
    wanted = {rule.name for rule in rules() if rule.condition == "monte"}
    return {one.key: one.value for one in figures if one.name in wanted}
