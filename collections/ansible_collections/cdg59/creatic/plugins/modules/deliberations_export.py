#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/applications/deliberations_export.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deliberations_export
short_description: Write what a commune has on the site of the délibérations into a folder
description:
  - On the site's host, each content as JSON with its history, beside its files.
  - What cannot be given does not keep the rest; the module then fails, and names it. Nothing of the site is changed.
options:
  commune: {description: Slug of the commune., type: str, required: true}
  dest: {description: An empty folder of the host., type: path, required: true}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.application]
"""

EXAMPLES = r"""
- name: Write what is the commune's
  cdg59.creatic.deliberations_export:
    server_name: deliberations.creatic.test
    password: "{{ plone_admin_password }}"
    commune: gondecourt
    dest: /var/lib/creatic/remise/gondecourt
"""

RETURN = r"""
told: {description: "C(contenus) and C(fichiers), how many.", returned: always, type: dict}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.applications import account, deliberations
from ansible_collections.cdg59.creatic.plugins.module_utils.applications.deliberations_export import export
from ansible_collections.cdg59.creatic.plugins.module_utils.host import module


def _run_module(asked: AnsibleModule) -> dict[str, Any]:
    given = asked.params
    if asked.check_mode:
        return {"changed": True, "told": {}}
    connection = deliberations.connect(account.SOCKETS["deliberations"])
    told = export(connection, given["server_name"], given["password"], given["commune"], Path(given["dest"]))
    if told["defauts"]:
        raise deliberations.DeliberationsError(f"le site n'a pas tout donné : {' ; '.join(told['defauts'])}")
    return {"changed": True, "told": told}


def main() -> None:
    """Entry point."""
    module.run(
        {
            "server_name": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "commune": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
        },
        _run_module,
        OSError,
    )


if __name__ == "__main__":
    main()
