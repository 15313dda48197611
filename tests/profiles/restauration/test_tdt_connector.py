"""A connector that came back: its journal, and on disk what the journal says is there."""

from __future__ import annotations

import json
import shlex

from testinfra.host import Host

HOME = "/var/lib/tdt-connector"
READ = """
import json, sqlite3
db = sqlite3.connect("file:/var/lib/tdt-connector/etat/journal.sqlite?mode=ro", uri=True)
rows = db.execute("SELECT ref, etat, idacte, classe FROM depot").fetchall()
events = db.execute("SELECT count(*) FROM evenement WHERE depot_id NOT IN (SELECT id FROM depot)").fetchone()[0]
told = db.execute("PRAGMA integrity_check").fetchone()[0]
print(json.dumps({"integrite": told, "depots": rows, "orphelins": events}))
"""


def test_the_journal_is_whole_and_every_acknowledged_act_has_its_receipt(host: Host) -> None:
    with host.sudo():
        found = json.loads(host.check_output(f"runuser -u tdt-connector -- python3 -c {shlex.quote(READ)}"))
        assert (found["integrite"], found["orphelins"]) == ("ok", 0)
        kept = host.check_output(f"ls {HOME}/acquittes").split()
        for _ref, state, act, filed in found["depots"]:
            if state == "acquitte" and act and filed:
                assert act in kept
                host.run_expect([0], f"test -s {HOME}/acquittes/{act}/ARActe.xml")
