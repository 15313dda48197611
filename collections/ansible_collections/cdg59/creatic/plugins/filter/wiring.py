# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The inventory as roles' variables (creatic/registry/wiring.py), and as an order (rounds.py)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ansible_collections.cdg59.creatic.plugins.plugin_utils.refusals import refusing

from creatic.registry import rounds, wiring


def _cache_last_result(work: Callable[..., Any]) -> Callable[..., Any]:
    """Give again what was found of the same variables: Ansible asks for each host of a batch, for the same order."""
    last: list[Any] = []

    @functools.wraps(work)
    def run(groups: Any, answers: Any, again: Any = ()) -> Any:
        if not last or last[0] is not answers or last[1] != [*again]:
            last[:] = [answers, [*again], work(groups, answers, again)]
        return last[2]

    return run


_FILTERS: tuple[Callable[..., Any], ...] = (
    wiring.addresses,
    wiring.archive_accounts,
    wiring.archive_expected,
    wiring.archive_nodes,
    wiring.archive_urls,
    wiring.backup_machines,
    wiring.connector_archive,
    wiring.connector_entities,
    wiring.connector_gateway,
    wiring.passerelle_communes,
    wiring.passerelle_servers,
    wiring.required_proofs,
    wiring.signers,
    wiring.tdt_authorities,
    _cache_last_result(rounds.update_rounds),
    rounds.update_stopped,
)


class FilterModule:
    """Filters of this file, each with the name and the arguments of its function."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {work.__name__: refusing(wiring.WiringError)(work) for work in _FILTERS}
