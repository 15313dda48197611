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
  table:
    description: Family and name of the table.
    type: str
    default: inet creatic
  resolvers:
    description: Add the host's name servers to the table's sets C(resolvers4) and C(resolvers6).
    type: bool
    default: false
  delay:
    description: Seconds after which the host undoes what nobody confirmed, from 10 to 600.
    type: int
    default: 45
  load:
    description: >-
      False for a kernel without nftables, that of a test machine: C(/etc/nftables.conf) is written and nothing is
      filtered. Refused where the kernel can filter.
    type: bool
    default: true
  stage:
    description: Set by the action plugin.
    type: str
    choices: [inspect, apply, confirm, status]
    default: inspect
  change:
    description: Set by the action plugin.
    type: str
    default: ""
extends_documentation_fragment:
  - cdg59.creatic.modules
  - cdg59.creatic.modules.diff
"""

EXAMPLES = r"""
- name: Ensure only the wanted flows pass
  cdg59.creatic.nft_commit:
    ruleset: "{{ firewall_rules | cdg59.creatic.nft_ruleset(['10.59.0.1']) }}"
    resolvers: true
"""

RETURN = r"""
rolled_back:
  description: When the change failed, whether the host was seen to have gone back by itself.
  returned: failure
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.firewall import commit as nft_commit
from ansible_collections.cdg59.creatic.plugins.module_utils.host import guard


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "ruleset": {"type": "str", "required": True},
            "table": {"type": "str", "default": "inet creatic"},
            "resolvers": {"type": "bool", "default": False},
            "delay": {"type": "int", "default": 45},
            "load": {"type": "bool", "default": True},
            "stage": {"type": "str", "choices": ["inspect", "apply", "confirm", "status"], "default": "inspect"},
            "change": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    firewall = nft_commit.Firewall(given["table"], given["ruleset"], given["resolvers"])
    result: dict[str, object] = {"changed": False}
    try:
        if given["stage"] == "status":
            result |= firewall.guard.status(given["change"])
        elif given["stage"] == "confirm":
            firewall.confirm(given["change"])
        elif given["stage"] == "apply":
            firewall.apply(given["change"], given["delay"])
        elif module.check_mode and (not nft_commit.installed() or firewall.absent()):
            result |= {"changed": True, "diff": [{"before": "", "after": firewall.ruleset}]}
        elif not given["load"]:
            found = firewall.keep(module.check_mode)
            result |= {"changed": bool(found), "diff": found}
        else:
            difference = firewall.inspect()
            result |= {"changed": bool(difference), "diff": difference.diff(given["table"])}
    except (nft_commit.NftError, guard.GuardError) as error:
        module.fail_json(msg=str(error), stage=given["stage"])
    module.exit_json(**result, invocation={"module_args": {"table": given["table"], "stage": given["stage"]}})


if __name__ == "__main__":
    main()
