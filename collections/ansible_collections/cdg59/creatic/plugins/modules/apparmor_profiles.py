#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/apparmor_profiles.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apparmor_profiles
short_description: Have every profile of AppArmor enforced
description:
  - Profiles which Debian ships in complain mode refuse from now on what they do not allow; those which let their
    program free (unconfined) stay as they are.
  - One call for the whole machine. A file that AppArmor refuses is left as it was.
options: {}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure AppArmor refuses
  cdg59.creatic.apparmor_profiles:
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import apparmor_profiles
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge


def main() -> None:
    converge({}, lambda _given, check: apparmor_profiles.apply(check))


if __name__ == "__main__":
    main()
