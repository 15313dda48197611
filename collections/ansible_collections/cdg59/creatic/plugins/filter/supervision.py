# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a supervision is told, from the inventory and from the morning's rules (module_utils/supervision)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.cdg59.creatic.plugins.module_utils.registry.wiring import WiringError
from ansible_collections.cdg59.creatic.plugins.module_utils.supervision import alerts, targets


def supervision_readers(groups: Mapping[str, Any], hostvars: Mapping[str, Any]) -> list[dict[str, str]]:
    """See `targets.readers`.

    Raises:
        AnsibleFilterError: a machine lacks its address; the message (French) says where to write it.
    """
    try:
        return targets.readers(groups, hostvars)
    except WiringError as error:
        raise AnsibleFilterError(str(error)) from None


def supervision_scrapes(groups: Mapping[str, Any], hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """See `targets.scrapes`.

    Raises:
        AnsibleFilterError: a machine lacks its address; the message (French) says where to write it.
    """
    try:
        return targets.scrapes(groups, hostvars)
    except WiringError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "supervision_readers": supervision_readers,
            "supervision_rules": alerts.rules_file,
            "supervision_scrapes": supervision_scrapes,
            "supervision_senders": targets.senders,
        }
