#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/host/updates.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: updates
short_description: Says what Debian has to bring to a machine, and what runs on what was replaced
description:
  - Brings the package lists up to date, except in check mode, then simulates an upgrade; changes nothing else.
  - Fails, in French, when something forbids the upgrade.
options:
  refresh: {description: Bring the package lists up to date first., type: bool, default: false}
  restart:
    description: A restart of the machine is asked for; one that started within a day needs none for that.
    type: bool
    default: false
  judge: {description: Fail when the upgrade is not to be begun., type: bool, default: true}
extends_documentation_fragment: cdg59.creatic.modules
"""

EXAMPLES = r"""
- name: Ask what there is to bring
  cdg59.creatic.updates:
    refresh: true
"""

RETURN = r"""
correctifs:
  description: What there is to do, see C(correctifs) of module_utils/evidence/answers.schema.json.
  returned: always
  type: dict
creatic_preflight:
  description: One result by check (cle, libelle, verdict, detail, remede, mesures).
  returned: when judged
  type: list
  elements: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.host import updates
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run

SPEC: dict[str, Any] = {
    "refresh": {"type": "bool", "default": False},
    "restart": {"type": "bool", "default": False},
    "judge": {"type": "bool", "default": True},
}


def _inspect_updates(module: AnsibleModule) -> dict[str, Any]:
    if module.params["refresh"] and not module.check_mode:
        updates.refresh()
    state, checks = updates.look(restart=module.params["restart"], moment=time.time())
    answer: dict[str, Any] = {"changed": False, "correctifs": state}
    if module.params["judge"]:
        answer["creatic_preflight"] = checks
        if bad := [f"{one['detail']}. {one['remede']}" for one in checks if one["verdict"] == "echec"]:
            module.fail_json(msg=" ".join(bad), **answer)
    return answer


def main() -> None:
    """Entry point."""
    run(SPEC, _inspect_updates)


if __name__ == "__main__":
    main()
