#!/usr/bin/python3 -I
"""Notes when the daily mail of the supervision last left, as Alertmanager counts those that its relay took.

Figure ``supervision_temoin_timestamp_seconds``, 0 before the first one; `fab matin` tells when it is too old. Counts
begin again with Alertmanager: a count that went down is of a new one.

It asks Prometheus how its rules are as well, for a rule that fails tells nothing, and what it told would pass for
settled: figure ``supervision_regles_en_echec``, and a mail that Alertmanager is asked for directly, without a rule.
"""

import contextlib
import json
import os
import re
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

METRICS = "http://127.0.0.1:9093/metrics"
RULES = "http://127.0.0.1:9090/api/v1/rules"
ALERTS = "http://127.0.0.1:9093/api/v2/alerts"
FIGURES = Path("/var/lib/creatic/metrics/supervision.prom")
STATE = Path("/var/lib/prometheus/alertmanager/temoin.json")
_LASTS = 1200  # seconds of the mail's alert, which each look prolongs
_COUNT = re.compile(r"^alertmanager_notifications(_failed)?_total\{([^}]*)\} ([0-9.e+]+)$", re.MULTILINE)


def sent(text: str) -> int:
    """Mails that the relay took, as Alertmanager's own figures tell."""
    count = 0.0
    for failed, labels, value in _COUNT.findall(text):
        if 'integration="email"' in labels and 'receiver_name="temoin"' in labels:
            count += -float(value) if failed else float(value)
    return int(count)


def noted(known: dict[str, float], count: int, now: float) -> dict[str, float]:
    """What is known after a look.

    Args:
        known: what was known before, ``compte`` and ``dernier``.
        count: mails since Alertmanager started.
        now: seconds since the epoch.
    """
    before, last = int(known.get("compte", 0)), float(known.get("dernier", 0))
    left = count > before or 0 < count < before
    return {"compte": count, "dernier": now if left else last}


def failing(url: str) -> list[str]:
    """Why rules tell nothing (French): each that fails, or that none could be asked about."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - the address is this program's own
            groups = json.load(answer)["data"]["groups"]
        found = [one for group in groups for one in group["rules"]]
        wrong = [str(one["name"]) for one in found if one["health"] == "err"]  # why is in Prometheus' own journal
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"Prometheus ne dit pas comment vont ses règles ({type(error).__name__})"]
    return wrong if found else ["Prometheus n'a aucune règle"]


def _tell(url: str, wrong: list[str], now: float) -> None:
    """Have Alertmanager send it: the mail is the one of any other alert."""
    alert = {
        "labels": {"alertname": "regles_en_echec", "degre": "grave", "profil": "supervision"},
        "annotations": {
            "dit": f"{len(wrong)} règles d'alerte en échec, ce qu'elles voient n'est plus dit : {', '.join(wrong[:5])}",
            "faire": "journalctl -u prometheus -u supervision-temoin sur la machine de supervision",
        },
        "endsAt": datetime.fromtimestamp(now + _LASTS, UTC).isoformat(),
    }
    asked = urllib.request.Request(  # noqa: S310 - the address is this program's own
        url, json.dumps([alert]).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=20):  # noqa: S310 - the address is this program's own
        pass


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w") as stream:
            stream.write(text)
        beside.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def main(
    url: str = METRICS, figures: Path = FIGURES, state: Path = STATE, rules: str = RULES, alerts: str = ALERTS
) -> int:
    """Look once; gives the exit status. What cannot be told fails the unit, which the morning tells."""
    try:
        known = json.loads(state.read_text(encoding="ascii"))
    except (OSError, ValueError):
        known = {}  # the first look, or a file cut short: the next mail is noted all the same
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - the address is this program's own
        text = answer.read(10_000_000).decode("utf-8", "replace")
    found = noted(known if isinstance(known, dict) else {}, sent(text), time.time())
    _write(state, json.dumps(found))
    wrong = failing(rules)
    told = {
        "supervision_temoin_timestamp_seconds": ("Last daily mail that the relay took.", f"{found['dernier']:.0f}"),
        "supervision_regles_en_echec": ("Alerting rules that fail.", str(len(wrong))),
    }
    lines = (f"# HELP {name} {text}\n# TYPE {name} gauge\n{name} {value}\n" for name, (text, value) in told.items())
    _write(figures, "".join(lines))
    if wrong:
        _tell(alerts, wrong, time.time())
    return 0


if __name__ == "__main__":
    sys.exit(main())
