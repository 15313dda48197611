"""A gateway that came back: its journal and its registry, whole, of its account, and of one moment."""

from __future__ import annotations

import json
import shlex

from testinfra.host import Host

READ = """
import json, pathlib, sqlite3
found = {}
for path in sorted(pathlib.Path("/var/lib/sae").glob("*.sqlite")):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found[path.name] = [path.owner(), db.execute("PRAGMA integrity_check").fetchone()[0]]
print(json.dumps(found))
"""


def test_its_databases_are_whole_and_its_own(host: Host) -> None:
    with host.sudo():
        found = json.loads(host.check_output(f"runuser -u sae -- python3 -c {shlex.quote(READ)}"))
    assert {"journal.sqlite", "registre.sqlite"} <= found.keys()
    assert {name: told for name, told in found.items() if told != ["sae", "ok"]} == {}


def test_its_journal_goes_on_from_its_seals(host: Host) -> None:
    with host.sudo():
        told = json.loads(host.check_output("sae-journal etat --json"))
    assert told["evenements"] >= 1
    assert told["non_scelles"] <= told["evenements"]
