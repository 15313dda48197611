# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Prometheus' alerting rules, made of the morning's own (rules.yml) and of what only series tell (alerts.yml).

The same figure is judged by the same bound and told in the same words by a mail at night and by ``fab matin``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from creatic.supervision import figures

SEEN_MACHINE_SERIES = "creatic:machine_vue"
"""Series of the machines that answered once; one that leaves the inventory leaves it."""
KEEPS_FIRING = "15m"
"""A figure that is away for a moment (a machine that restarts) does not end its alert."""
_ALERTS_FILE = Path(__file__).with_name("alerts.yml")
_PLACEHOLDER_PATTERN = re.compile(r"\{(\w+)\}")
_DURATIONS = (
    (r"^1d 0h.*", "1 jour"),
    (r"^1d ([0-9]+)h.*", "1 jour ${1} h"),
    (r"^([0-9]+)d .*", "${1} jours"),
    (r"^([0-9]+)h .*", "${1} h"),
    (r"^([0-9]+)m .*", "${1} min"),
    (r"^([0-9.]+)s$", "${1} s"),
)
_DURATION = "$value | humanizeDuration" + "".join(f" | reReplaceAll `{found}` `{said}`" for found, said in _DURATIONS)
_TARGET = ("machine", "profil", "commune", "commune_nom")
"""Labels that the inventory gives what it scrapes; `exported_` is before a machine's own (honor_labels)."""
# As `answers.line` and `figures.quoted` do.
_HARMLESS = ' | reReplaceAll `[\\pC\\x{2028}\\x{2029}]` `�` | reReplaceAll `[«»]` `"`'
_HARMLESS += " | reReplaceAll `^(.{120}).+$` `${1}`"
_ALERT_VALUE_TEMPLATES = {
    "valeur": '{{ printf "%.0f" $value }}',
    # A date of 1970 is none: what it dates never was.
    "age": f"{{{{ if gt $value 1e9 }}}}{figures.NEVER['age']}{{{{ else }}}}{{{{ {_DURATION} }}}}{{{{ end }}}}",
    "quand": f"{{{{ if gt $value 1e9 }}}}{figures.NEVER['quand']}"
    f"{{{{ else }}}}il y a {{{{ {_DURATION} }}}}{{{{ end }}}}",
    "reste": f"{{{{ if lt $value 0.0 }}}}0 s{{{{ else }}}}{{{{ {_DURATION} }}}}{{{{ end }}}}",
    "duree": f"{{{{ {_DURATION} }}}}",
}


@dataclass(frozen=True)
class Alert:
    """An alert.

    Attributes:
        name: unique.
        expression: PromQL; its value is what is said.
        minutes: how long it holds before it is told; None for those of every alert.
        degree: grave, surveiller, or temoin for the one whose mail shows that alerts arrive.
        text, fix: French, with places for the value and the labels.
    """

    name: str
    expression: str
    text: str
    fix: str
    degree: str
    minutes: int | None = None

    def rule(self, minutes: int) -> dict[str, Any]:
        """As Prometheus reads it.

        Args:
            minutes: how long a fault lasts before it is told.
        """
        found: dict[str, Any] = {"alert": self.name, "expr": self.expression}
        if self.degree != "temoin":
            found |= {"for": f"{minutes if self.minutes is None else self.minutes}m", "keep_firing_for": KEEPS_FIRING}
        annotations = {"dit": _to_prometheus_text(self.text), "faire": _to_prometheus_text(self.fix)}
        return found | {"labels": {"degre": self.degree}, "annotations": annotations}


def alerts() -> list[Alert]:
    """All of them, those of figures in the order of their rules.

    Raises:
        ValueError: a rule whose condition is none, or whose command has a place.
    """
    return [*_of_figures(), *_of_series()]


def rules_file(minutes: int) -> dict[str, Any]:
    """Prometheus' file of rules.

    Args:
        minutes: how long a fault lasts before it is told.
    """
    up = 'max by (job, instance, machine, profil, commune, commune_nom) (up{job="machines"})'
    answered = f"({up} == 1) or (last_over_time({SEEN_MACHINE_SERIES}[2d]) and on (machine) {up})"
    return {
        "groups": [
            {"name": "machines", "interval": "5m", "rules": [{"record": SEEN_MACHINE_SERIES, "expr": answered}]},
            {"name": "alertes", "rules": [one.rule(minutes) for one in alerts()]},
        ]
    }


def expression(rule: figures.Rule) -> str:
    """PromQL that holds when a rule of the morning does, with the value that it says.

    What has risen since the last morning has risen since a day. Each figure is taken of the profiles that make it, and
    by the labels that are its own (`figures.made`): whatever else a machine puts there, a rule has one value for each
    set of labels, of which none is an alert's own. The worst is told.

    Raises:
        ValueError: its condition is none.
    """
    own = [*_TARGET, *(name for name in _find_made(rule.name).labels if name not in _TARGET)]
    most, least = (f"{word} by ({', '.join(own)})" for word in ("max", "min"))
    one = selector(rule.name, rule.labels)
    if rule.condition == "monte":
        return f"{most} ({one} - min_over_time({one}[1d])) > 0"
    if share := re.fullmatch(r"part ([0-9.]+) de (\w+)", rule.condition):
        return f"100 * {most} ({one}) / ({most} ({selector(share[2])}) > 0) > {100 * float(share[1]):g}"
    if limit := re.fullmatch(r"age_de (\w+)", rule.condition):
        return f"time() - {least} ({one}) > {most} ({selector(limit[1])})"
    found = re.fullmatch(r"(sur|sous|egal|age|reste) ([0-9.]+)", rule.condition)
    if found is None:
        raise ValueError(f"rules.yml, {rule.name} : « {rule.condition} » n'est pas une condition")
    if rule.unless_zero:
        one = f"{one} != 0"
    return {
        "sur": f"{most} ({one}) > {found[2]}",
        "sous": f"{least} ({one}) < {found[2]}",
        "egal": f"{most if float(found[2]) else least} ({one}) == {found[2]}",
        "age": f"time() - {least} ({one}) > {found[2]}",
        "reste": f"{least} ({one}) - time() < {found[2]}",
    }[found[1]]


def selector(name: str, labels: Mapping[str, str] | None = None) -> str:
    """A figure of the machines that make it, and of no other.

    Args:
        labels: what it bears.
    """
    profiles = "|".join(sorted(_find_made(name).profiles))
    pairs = [f'{label}="{text}"' for label, text in (labels or {}).items()] + [f'profil=~"{profiles}"'] * bool(profiles)
    return f"{name}{{{', '.join(pairs)}}}" if pairs else name


def _find_made(name: str) -> figures.FigureSpec:
    return figures.figure_specs().get(name, figures.FigureSpec())


def _of_figures() -> Iterator[Alert]:
    """The first rule of a figure that holds is told: what comes next holds where those before do not."""
    before: dict[str, list[str]] = {}
    for rule in figures.rules():
        made = expression(rule)
        earlier = before.setdefault(rule.name, [])
        whole = " unless ".join(f"({one})" for one in (made, *earlier)) if earlier else made
        earlier.append(made)
        told = "".join(f"_{text}" for text in rule.labels.values())
        name = f"{rule.name}{told}:{rule.condition.replace(' ', '_')}"
        yield Alert(name, whole, rule.text, rule.fix, "grave" if rule.grave else "surveiller")


def _of_series() -> Iterator[Alert]:
    for one in yaml.safe_load(_ALERTS_FILE.read_text(encoding="utf-8"))["alertes"]:
        if "{" in one["faire"]:
            raise ValueError(f"alerts.yml, {one['nom']} : « {one['faire']} » a une place ; elle va dans « dit »")
        degree = "temoin" if one.get("temoin") else "grave" if one.get("grave") else "surveiller"
        yield Alert(one["nom"], one["si"], one["dit"], one["faire"], degree, one.get("pendant"))


def _to_prometheus_text(text: str) -> str:
    """A text as Prometheus fills it; a label is quoted as `figures.quoted` does, whatever the machine put there."""
    return _PLACEHOLDER_PATTERN.sub(
        lambda found: _ALERT_VALUE_TEMPLATES.get(found[1], f"« {{{{ $labels.{found[1]}{_HARMLESS} }}}} »"), text
    )
