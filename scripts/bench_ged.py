#!/usr/bin/env python3
"""How long mayan_config takes for N communes, applied first and compared again, on the lab's document store.

    scripts/bench_ged.py [N]      the lab up and converged: molecule converge -s ged

The communes made up for it stay there: destroy the lab after.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "collections")]

from ansible_collections.cdg59.creatic.plugins.module_utils import ged, mayan_config  # noqa: E402 - needs the paths

from tests.profiles.ged.conftest import Store  # noqa: E402 - same


def commune(number: int) -> dict[str, object]:
    """A commune of two agents in two services."""
    name = f"Banc {number:03}"
    logins = [f"agent{place}.banc{number:03}" for place in (1, 2)]
    return {
        "slug": f"banc-{number:03}",
        "nom": name,
        "comptes": [{"identifiant": one, "prenom": "A", "nom": name, "courriel": f"{one}@x.test"} for one in logins],
        "ged": {"services": [{"nom": "Direction", "agents": logins[:1]},
                             {"nom": "Finances", "agents": logins[1:], "types": ["marche", "courrier"]}]},
    }  # fmt: skip


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    home = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser() / "lab"
    mayan = Store("10.59.0.40", "ged.creatic.test", home).mayan()
    wanted = ged.configuration(ged.read_plan(TOP / "inventories/lab/ged.yml"), [commune(one) for one in range(count)])
    passwords = {one["username"]: f"Banc-{one['username']}-9" for one in wanted["users"]}
    # Groups of no wanted service are emptied: those of the lab's own communes are kept as they are.
    for group in mayan.get("/groups/"):
        if group["name"] not in wanted["groups"]:
            members = mayan.get(f"/groups/{group['id']}/users/")
            wanted["groups"][group["name"]] = [one["username"] for one in members]
            known = {one["username"] for one in wanted["users"]}
            fields = ("username", "first_name", "last_name", "email")
            wanted["users"] += [{key: one[key] for key in fields} for one in members if one["username"] not in known]
    for run in ("première", "seconde"):
        before, started = mayan.calls, time.monotonic()
        result = mayan_config.apply(mayan, wanted, passwords)
        seconds = time.monotonic() - started
        calls = mayan.calls - before
        print(f"{count} communes, {run} : {len(result.changes)} changements, {calls} appels, {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
