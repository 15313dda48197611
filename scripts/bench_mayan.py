#!/usr/bin/env python3
"""How long mayan_config takes for N communes, applied first and compared again, on a server of the lab.

    scripts/bench_mayan.py ged|parapheur [N]      the lab up and converged: molecule converge -s ged

The communes made up for it stay there: destroy the lab after.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP), str(TOP / "collections")]

from ansible_collections.cdg59.creatic.plugins.module_utils.applications import mayan_config

from creatic.applications import ged, parapheur
from testbed.ged import Store
from testbed.parapheur import Parapheur


def commune(number: int) -> dict[str, Any]:
    """A commune of two agents in two services, with a circuit of visa and signature."""
    name = f"Banc {number:03}"
    logins = [f"agent{place}.banc{number:03}" for place in (1, 2)]
    return {
        "slug": f"banc-{number:03}",
        "nom": name,
        "comptes": [{"identifiant": one, "prenom": "A", "nom": name, "courriel": f"{one}@x.test"} for one in logins],
        "ged": {
            "services": [
                {"nom": "Direction", "agents": logins[:1]},
                {"nom": "Finances", "agents": logins[1:], "types": ["marche", "courrier"]},
            ]
        },
        "parapheur": {"redacteurs": logins[:1], "dgs": {"titulaire": logins[0]}, "maire": {"titulaire": logins[1]}},
    }


def main() -> int:
    profile, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100
    home = Path(os.environ.get("CREATIC_HOME") or "~/.local/share/creatic").expanduser() / "lab"
    communes = [commune(one) for one in range(count)]
    if profile == "ged":
        mayan = Store("10.59.0.40", "ged.creatic.test", home).mayan()
        wanted = ged.configuration(ged.read_plan(TOP / "inventories/lab/ged.yml"), communes)
    else:
        mayan = Parapheur("10.59.0.41", "parapheur.creatic.test", home).mayan()
        wanted = parapheur.configuration(communes)
    passwords = {one["username"]: f"Banc-{one['username']}-9" for one in wanted["users"]}
    communes_of = {one["login"]: one["commune"] for one in mayan.get("/creatic/comptes/")}
    # Groups of no wanted service are emptied: those of the lab's own communes are kept as they are.
    for group in mayan.get("/groups/"):
        if group["name"] not in wanted["groups"]:
            members = mayan.get(f"/groups/{group['id']}/users/")
            wanted["groups"][group["name"]] = [one["username"] for one in members]
            known = {one["username"] for one in wanted["users"]}
            fields = ("username", "first_name", "last_name", "email")
            wanted["users"] += [
                {key: one[key] for key in fields} | {"commune": communes_of.get(one["username"], "")}
                for one in members
                if one["username"] not in known
            ]
    for run in ("première", "seconde"):
        before, started = mayan.calls, time.monotonic()
        result = mayan_config.apply(mayan, wanted, passwords)
        seconds = time.monotonic() - started
        calls = mayan.calls - before
        print(
            f"{count} communes, {run} : {len(result.changes)} changements, {calls} appels, {seconds:.1f} s", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
