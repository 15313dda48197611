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
  - In check mode a unit that is not installed yet counts as a change.
options:
  started:
    description: Names of units with their suffix, started in that order.
    type: list
    elements: str
    required: true
  daemon_reload:
    description: Read the unit files again first.
    type: bool
    default: false
extends_documentation_fragment:
  - cdg59.creatic.modules
"""

EXAMPLES = r"""
- name: Ensure the services run
  cdg59.creatic.units:
    started: [rsync.service, swift-object.service]
"""

RETURN = r"""
changes:
  description: Units that were enabled or started.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "started": {"type": "list", "elements": "str", "required": True},
            "daemon_reload": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    units = module.params["started"]

    def systemctl(*arguments: str, check: bool = True) -> str:
        status, out, error = module.run_command(["systemctl", *arguments])
        if status and check:
            module.fail_json(msg=f"systemctl {' '.join(arguments[:1])} : {(error or out).strip()}")
        return str(out)

    if module.params["daemon_reload"] and not module.check_mode:
        systemctl("daemon-reload")
    enabled = systemctl("is-enabled", *units, check=False).splitlines()
    # An empty line stands between two units.
    active = [line for line in systemctl("show", "--property=ActiveState", "--value", *units).splitlines() if line]
    disabled = [unit for unit, state in zip(units, enabled, strict=True) if state != "enabled"]
    down = [unit for unit, state in zip(units, active, strict=True) if state != "active"]
    changes = [*(f"{unit} : activé au démarrage" for unit in disabled), *(f"{unit} : démarré" for unit in down)]
    if not module.check_mode:
        if disabled:
            systemctl("enable", *disabled)
        if down:
            systemctl("start", *down)
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
