#!/usr/bin/python3 -I
"""Notes when the daily mail of the supervision last left, as Alertmanager counts those that its relay took.

Figure ``supervision_temoin_timestamp_seconds``, 0 before the first one; `fab matin` tells when it is too old. Counts
begin again with Alertmanager: a count that went down is of a new one.
"""

import contextlib
import json
import os
import re
import sys
import time
import urllib.request
from pathlib import Path

METRICS = "http://127.0.0.1:9093/metrics"
FIGURES = Path("/var/lib/creatic/metrics/supervision.prom")
STATE = Path("/var/lib/prometheus/alertmanager/temoin.json")
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


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w") as stream:
            stream.write(text)
        beside.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def main(url: str = METRICS, figures: Path = FIGURES, state: Path = STATE) -> int:
    """Look once; gives the exit status."""
    try:
        known = json.loads(state.read_text(encoding="ascii"))
    except (OSError, ValueError):
        known = {}  # the first look, or a file cut short: the next mail is noted all the same
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - the address is this program's own
        text = answer.read(10_000_000).decode("utf-8", "replace")
    found = noted(known if isinstance(known, dict) else {}, sent(text), time.time())
    _write(state, json.dumps(found))
    name = "supervision_temoin_timestamp_seconds"
    _write(
        figures,
        f"# HELP {name} Last daily mail that the relay took.\n# TYPE {name} gauge\n{name} {found['dernier']:.0f}\n",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
