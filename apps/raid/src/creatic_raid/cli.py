"""creatic-raid: table of the volumes; ``creatic-raid mesurer``: their figures.

mdadm calls it too when it notices something (mdadm.conf, PROGRAM), with an event, an array and perhaps a disk:
the journal tells it, and the figures are taken at once.
"""

from __future__ import annotations

import json
import sys
import syslog
from pathlib import Path

from creatic_agent.durable import write
from creatic_raid import state

CONFIGURATION = Path("/etc/creatic/raid.json")
METRICS = Path("/var/lib/creatic/metrics/raid.prom")
# Events of mdadm(8) that ask for someone; the others are news.
ALARMS = {
    "Fail": "un disque est en panne",
    "FailSpare": "un disque en reconstruction est en panne",
    "DegradedArray": "il manque un disque",
    "DeviceDisappeared": "la grappe a disparu",
    "SparesMissing": "il manque un disque de réserve",
}
NEWS = {
    "SpareActive": "le disque de remplacement est à jour",
    "RebuildStarted": "reconstruction commencée",
    "RebuildFinished": "reconstruction finie",
    "NewArray": "grappe vue",
}


def measure() -> None:
    """Write the figures; a reader sees the old or the new ones, whole."""
    found = state.volumes(json.loads(CONFIGURATION.read_text("utf-8")))
    write(METRICS, state.metrics(found).encode(), 0o644)


def tell(event: str, array: str, disk: str) -> None:
    """Put an event of mdadm into the journal."""
    said = ALARMS.get(event) or NEWS.get(event) or event
    level = syslog.LOG_ERR if event in ALARMS else syslog.LOG_NOTICE
    syslog.openlog("creatic-raid", 0, syslog.LOG_DAEMON)
    syslog.syslog(level, f"{array}{f' ({disk})' if disk else ''} : {said}")


def main() -> int:
    """Entry point; exit status 1 when a volume is not sound."""
    arguments = sys.argv[1:]
    if not arguments:
        found = state.volumes(json.loads(CONFIGURATION.read_text("utf-8")))
        print(state.table(found))
        return 0 if all(one.sound for one in found) else 1
    if arguments != ["mesurer"]:
        tell(*[*arguments, "", ""][:3])
    measure()
    return 0
