#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Many systemd units in one task."""

from __future__ import annotations

DOCUMENTATION = r"""
module: units
short_description: Have systemd units run, now and after a reboot
description:
  - One task brings any number of units to the state "enabled and active".
  - A unit that falls within the two seconds after its start is a failure.
  - In check mode a unit that is not installed yet counts as a change.
options:
  started:
    description: Names of units with their suffix, started in that order.
    type: list
    elements: str
    required: true
  daemon_reload: {description: Read the unit files again first., type: bool, default: false}
extends_documentation_fragment: cdg59.creatic.modules
"""

EXAMPLES = r"""
- name: Ensure the services run
  cdg59.creatic.units:
    started: [rsync.service, swift-object.service]
"""

RETURN = r"""
changes: {description: Units that were enabled or started., returned: always, type: list, elements: str}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.host import service_set
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run

SPEC: dict[str, Any] = {
    "started": {"type": "list", "elements": "str", "required": True},
    "daemon_reload": {"type": "bool", "default": False},
}


def _apply_units(module: AnsibleModule) -> dict[str, Any]:
    units = module.params["started"]

    def systemctl(*arguments: str) -> None:
        status, out, error = module.run_command(["systemctl", *arguments])
        if status:
            module.fail_json(msg=f"systemctl {' '.join(arguments[:1])} : {(error or out).strip()}")

    if module.params["daemon_reload"] and not module.check_mode:
        systemctl("daemon-reload")
    found = service_set.states(units)
    disabled = [unit for unit in units if found[unit]["UnitFileState"] != "enabled"]
    down = [unit for unit in units if found[unit]["ActiveState"] != "active"]
    changes = [*(f"{unit} : activé au démarrage" for unit in disabled), *(f"{unit} : démarré" for unit in down)]
    if not module.check_mode:
        if disabled:
            systemctl("enable", *disabled)
        if down:
            systemctl("start", *down)
            if fallen := service_set.fallen(down):
                asked = " ".join(f"-u {unit}" for unit in fallen)
                module.fail_json(msg=f"s'arrête juste après son démarrage : voir « journalctl -e {asked} »")
    return {"changed": bool(changes), "changes": changes}


def main() -> None:
    run(SPEC, _apply_units)


if __name__ == "__main__":
    main()
