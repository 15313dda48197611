# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Curves of the week that Prometheus kept, by hour: what a figure of this morning cannot tell."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.evidence import answers

from creatic.morning.curves import Curve
from creatic.supervision.alerts import selector

DAYS = 7
_CURVE_LABEL = "courbe"
# By key: title, unit (French), and what is asked, of which no label is left.
_CURVE_QUERIES = {
    "graves": (
        "Alertes à traiter, par heure",
        "alertes",
        'count(ALERTS{alertstate="firing", degre="grave"}) or vector(0)',
    ),
    "muettes": (
        "Machines sans réponse, par heure",
        "machines",
        'sum(1 - up{job="machines", profil!="commune_pc"})',
    ),
    "bloques": (
        "Actes qui attendent une personne, par heure",
        "actes",
        f"sum({selector('passerelle_actes', {'etape': 'bloque'})})",
    ),
    "pages": (
        "Page la plus lente, en millisecondes",
        "millisecondes",
        '1000 * max(probe_duration_seconds{job="pages"})',
    ),
    "disques": ("Disque le plus plein, en %", "%", "max(creatic_machine_disk_percent)"),
}
_MAX_ANSWER_LENGTH = 1 << 20  # characters of an answer


def command(moment: dt.datetime) -> list[str]:
    """What to run on the supervision, for `curves` to read.

    Args:
        moment: now, with its zone.
    """
    end = moment.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    asked = " or ".join(
        f'label_replace({query}, "{_CURVE_LABEL}", "{key}", "", "")'
        for key, (_title, _unit, query) in _CURVE_QUERIES.items()
    )
    bounds = [f"--start={int((end - dt.timedelta(days=DAYS)).timestamp())}", f"--end={int(end.timestamp())}"]
    return ["promtool", "query", "range", "-o", "json", *bounds, "--step=1h", "http://127.0.0.1:9090", asked]


def curves(text: str, moment: dt.datetime) -> list[Curve]:
    """The curves of an answer, whatever is around it; none of what it does not tell.

    Args:
        text: what the command said.
        moment: the one that it was made for.
    """
    try:
        found: Any = answers.parse_json_output(text[:_MAX_ANSWER_LENGTH], "[{")
        told = {one["metric"][_CURVE_LABEL]: dict(map(tuple, one["values"])) for one in found}
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    end = moment.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    hours = [end - dt.timedelta(hours=back) for back in range(24 * DAYS, -1, -1)]
    return [
        Curve(
            title,
            unit,
            [(f"{hour.astimezone():%d/%m %H h}", _hour_value(told[key], hour)) for hour in hours],
            bars=False,
        )
        for key, (title, unit, _query) in _CURVE_QUERIES.items()
        if key in told
    ]


def _hour_value(values: dict[Any, Any], hour: dt.datetime) -> float | None:
    try:
        value = float(values[int(hour.timestamp())])
    except (KeyError, TypeError, ValueError):
        return None
    return max(0.0, round(value, 1)) if math.isfinite(value) else None
