#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/apparmor_profiles.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apparmor_profiles
short_description: Have every profile of AppArmor enforced
version_added: 0.1.0
description:
  - Profiles which Debian ships in complain mode refuse from now on what they do not allow; those which let their
    program free (unconfined) stay as they are.
  - One call for the whole machine. A file that AppArmor refuses is left as it was.
options: {}
author:
  - Cre@tic (@cdg59)
"""

EXAMPLES = r"""
- name: Ensure AppArmor refuses
  cdg59.creatic.apparmor_profiles:
"""

RETURN = r"""
changed_names:
  description: Files of the profiles that changed, or would in check mode.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import apparmor_profiles
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import (
    StateError,
    result,
)


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        changes = apparmor_profiles.apply(module.check_mode)
    except StateError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result(changes))


if __name__ == "__main__":
    main()
