# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The flows that roles need, checked and made an nftables table (module_utils/firewall/rules.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.module_utils.firewall import rules as nft_rules


def nft_ruleset(rules: list[dict[str, Any]], admin_networks: list[str], ssh_port: int = 22) -> str:
    """See :func:`nft_rules.render`.

    Raises:
        AnsibleFilterError: the rules are not sound; the message (French) names each rule, field and fix.
    """
    try:
        return nft_rules.render(rules, admin_networks, ssh_port)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"nft_ruleset": nft_ruleset, "closed_flows": nft_rules.closed}
