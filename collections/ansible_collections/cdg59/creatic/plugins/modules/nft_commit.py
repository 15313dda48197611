#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/firewall/commit.py; the action plugin of the same name runs its stages."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nft_commit
short_description: Bring one nftables table to its wanted state, without locking anyone out
description:
  - The host undoes the new ruleset by itself after I(delay) seconds, unless a new SSH connection, made with the
    play's own variables, confirms it. Only then is C(/etc/nftables.conf) written and C(nftables.service) enabled.
  - What is compared is the effective state; other tables are never touched.
  - The connection must be C(ssh).
options:
  ruleset:
    description: nft text which declares the table, and nothing else; accounts are named.
    type: str
    required: true
  table: {description: Family and name of the table., type: str, default: inet creatic}
  resolvers:
    description: Add the host's name servers to the table's sets C(resolvers4) and C(resolvers6).
    type: bool
    default: false
  load:
    description: >-
      False for a kernel without nftables, that of a test machine: C(/etc/nftables.conf) is written and nothing is
      filtered. Refused where the kernel can filter.
    type: bool
    default: true
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff, cdg59.creatic.modules.guarded]
"""

EXAMPLES = r"""
- name: Ensure only the wanted flows pass
  cdg59.creatic.nft_commit:
    ruleset: "{{ firewall_rules | cdg59.creatic.nft_ruleset(['10.59.0.1']) }}"
    resolvers: true
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules.guarded_return"

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.firewall import commit as nft_commit
from ansible_collections.cdg59.creatic.plugins.module_utils.host import guard
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run

SPEC: dict[str, Any] = {
    "ruleset": {"type": "str", "required": True},
    "table": {"type": "str", "default": "inet creatic"},
    "resolvers": {"type": "bool", "default": False},
    "load": {"type": "bool", "default": True},
    **guard.ARGUMENTS,
}


def _inspect_firewall(firewall: nft_commit.Firewall, load: bool, check: bool) -> dict[str, Any]:
    if check and (not nft_commit.installed() or firewall.absent()):
        return {"changed": True, "diff": [{"before": "", "after": firewall.ruleset}]}
    if not load:
        found = firewall.write_file_only(check)
        return {"changed": bool(found), "diff": found}
    difference = firewall.inspect()
    return {"changed": bool(difference), "diff": difference.diff(firewall.table)}


def _run_module(module: AnsibleModule) -> dict[str, Any]:
    given = module.params
    firewall = nft_commit.Firewall(given["table"], given["ruleset"], given["resolvers"])
    try:
        answer = guard.stage(given, firewall, lambda: _inspect_firewall(firewall, given["load"], module.check_mode))
    except CreaticError as error:
        module.fail_json(msg=str(error), stage=given["stage"])
    return {**answer, "invocation": {"module_args": {"table": given["table"], "stage": given["stage"]}}}


def main() -> None:
    run(SPEC, _run_module)


if __name__ == "__main__":
    main()
