#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/hardening/pam_profiles.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pam_profiles
short_description: Enable PAM profiles with pam-auth-update
description:
  - The profiles must be in C(/usr/share/pam-configs). Stacks edited by hand are refused, never overwritten.
options:
  names: {description: Profiles to enable., type: list, elements: str, required: true}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure failed logins lock the account for a while
  cdg59.creatic.pam_profiles:
    names: [creatic-faillock]
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.hardening import pam_profiles
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import converge

SPEC: dict[str, Any] = {
    "names": {"type": "list", "elements": "str", "required": True},
}


def main() -> None:
    converge(SPEC, lambda given, check: pam_profiles.apply(given["names"], check))


if __name__ == "__main__":
    main()
