#!/usr/bin/env python3
"""How long pages of the délibérations take, for N visitors at once, on the lab's site.

    scripts/bench_deliberations.py [N [LOGIN]]      the lab up and converged: molecule converge -s deliberations

Visitors are anonymous, or all logged in as somebody.

It only reads. A page is its HTML, by a connection that each visitor keeps.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "collections")]

from testbed.deliberations import HTML, Site

PAGES = ("/", "/gondecourt/decisions", "/gondecourt/publications", "/la-madeleine/publications")
ROUNDS = 10


def main() -> int:
    visitors = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    login = sys.argv[2] if len(sys.argv) > 2 else ""
    home = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser() / "lab"
    taken: dict[str, list[float]] = {page: [] for page in PAGES}

    def visit() -> None:
        site = Site("10.59.0.42", "deliberations.creatic.test", home)
        headers = dict(HTML)
        if login:
            site.done(login, "GET", "/@types")
            headers["Authorization"] = f"Bearer {site._tokens[login]}"
        for _round in range(ROUNDS):
            for page in PAGES:
                started = time.monotonic()
                answer = site.ask("GET", page, headers)
                if answer.status != 200:
                    raise RuntimeError(f"{page} : {answer.status}")
                taken[page].append(time.monotonic() - started)

    visit()  # what the first visit makes is no visitor's time
    for times in taken.values():
        times.clear()
    threads = [threading.Thread(target=visit) for _visitor in range(visitors)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    every = [one for times in taken.values() for one in times]
    for label, times in [*taken.items(), ("toutes", every)]:
        cuts = statistics.quantiles(times, n=20)
        print(f"{label} : médiane {cuts[9]:.2f} s, 95 % en {cuts[18]:.2f} s")
    print(f"{visitors} visiteurs, {len(every)} pages, {len(every) / seconds:.1f} pages/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
