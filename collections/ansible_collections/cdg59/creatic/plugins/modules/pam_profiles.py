#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/pam_profiles.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pam_profiles
short_description: Enable PAM profiles with pam-auth-update
version_added: 0.1.0
description:
  - The profiles must be in C(/usr/share/pam-configs). Stacks edited by hand are refused, never overwritten.
options:
  names:
    description: Profiles to enable.
    type: list
    elements: str
    required: true
author:
  - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
- name: Ensure failed logins lock the account for a while
  cdg59.creatic.pam_profiles:
    names: [creatic-faillock]
"""

RETURN = r"""
changed_names:
  description: What changed, or would in check mode.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import pam_profiles
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import (
    StateError,
    result,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        changes = pam_profiles.apply(given["names"], module.check_mode)
    except StateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result(changes))


if __name__ == "__main__":
    main()
