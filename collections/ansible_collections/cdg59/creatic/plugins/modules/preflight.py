#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Is this host ready to be rolled out?"""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run
from ansible_collections.cdg59.creatic.plugins.module_utils.host.preflight import run_checks

DOCUMENTATION = """
module: preflight
short_description: Checks a host before a rollout, all at once
description:
  - On the host, checks the system (Debian 13), the disk, the memory, the dates of the certificates and the age
    of its backup.
  - On the control node, before anything else, takes the commune's lock for the running rollout and checks
    the description of the commune, and that the inventory has the machines that its services need; then compares
    the two clocks.
  - Changes nothing on the host. Fails, in French, with every reason and its fix.
options:
  home:
    description: State folder of the control node; the locks of the communes are in its C(verrous/).
    type: path
    required: true
  min_disk_mib:
    description: Least free space, in MiB, in V(/), V(/var), V(/tmp) and V(/boot).
    type: int
    default: 512
  min_memory_mib: {description: "Least memory, in MiB.", type: int, default: 900}
  backup_max_age_hours:
    description: Age, in hours, from which the last backup of a host that has data is told as too old.
    type: int
    default: 48
  backup_required:
    description: Fail when there is no backup of that age, instead of telling it.
    type: bool
    default: false
  tdt_authorities:
    description:
      - Subjects of the authorities that the TdT accepts, from the filter P(cdg59.creatic.tdt_accepts#filter). A PC
        none of whose certificates is of these is refused. Empty when it does not say.
    type: list
    elements: str
    default: []
  pki_dir: {description: Folder of the groupement's authority on the control node., type: path}
  secrets_dir: {description: Folder of the providers' files on the control node., type: path}
extends_documentation_fragment: cdg59.creatic.modules
"""

EXAMPLES = """
- name: Check the host before the rollout
  cdg59.creatic.preflight:
    home: "{{ creatic_home }}"
"""

RETURN = """
creatic_preflight:
  description: One result by check (cle, libelle, verdict, detail, remede, mesures).
  type: list
  elements: dict
  returned: always
connector_journal:
  description: Whether the host has the journal of a connector; taken by the action plugin.
  type: bool
  returned: always
now: {description: "Clock of the host, in seconds since 1970.", type: float, returned: always}
"""

MIB = 1 << 20


SPEC: dict[str, Any] = {
    "home": {"type": "path", "required": True},
    "min_disk_mib": {"type": "int", "default": 512},
    "min_memory_mib": {"type": "int", "default": 900},
    "backup_max_age_hours": {"type": "int", "default": 48},
    "backup_required": {"type": "bool", "default": False},
}


def _check_machine(module: AnsibleModule) -> dict[str, Any]:
    given = module.params
    results = run_checks(
        Path("/"),
        given["min_disk_mib"] * MIB,
        given["min_memory_mib"] * MIB,
        dt.datetime.now(dt.UTC),
        given["backup_max_age_hours"],
        backup_required=given["backup_required"],
    )
    journal = Path("/var/lib/tdt-connector/etat/journal.sqlite").exists()
    return {"changed": False, "creatic_preflight": results, "now": time.time(), "connector_journal": journal}


def main() -> None:
    run(SPEC, _check_machine)


if __name__ == "__main__":
    main()
