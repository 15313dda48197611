# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""The inventory as roles' variables (module_utils/registry/wiring.py)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.module_utils.registry import wiring

_FILTERS: tuple[Callable[..., Any], ...] = (
    wiring.addresses,
    wiring.archive_accounts,
    wiring.archive_expected,
    wiring.archive_nodes,
    wiring.archive_urls,
    wiring.backup_machines,
    wiring.connector_archive,
    wiring.connector_gateway,
    wiring.passerelle_communes,
    wiring.passerelle_servers,
    wiring.tdt_authorities,
)


def _told(work: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(work)
    def run(*arguments: Any) -> Any:
        try:
            return work(*arguments)
        except wiring.WiringError as error:
            raise AnsibleFilterError(str(error)) from None

    return run


class FilterModule:
    """Filters of this file, each with the name and the arguments of its function."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {work.__name__: _told(work) for work in _FILTERS}
