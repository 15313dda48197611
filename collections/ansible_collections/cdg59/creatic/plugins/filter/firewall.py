# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The flows that roles need, checked and made an nftables table (creatic/firewall/rules.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.cdg59.creatic.plugins.plugin_utils.refusals import refusing

from creatic.firewall import rules as nft_rules

nft_ruleset = refusing(ValueError)(nft_rules.render)


class FilterModule:
    """Filters for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"nft_ruleset": nft_ruleset, "closed_flows": nft_rules.closed}
