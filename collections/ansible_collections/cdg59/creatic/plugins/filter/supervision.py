# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What a supervision is told, from the inventory and from the morning's rules (creatic/supervision)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.plugin_utils.refusals import refusing

from creatic.documents import guides
from creatic.registry.wiring import WiringError
from creatic.supervision import alerts, targets

supervision_readers = refusing(WiringError)(targets.readers)
supervision_scrapes = refusing(WiringError)(targets.scrapes)


@refusing(RuntimeError)
def supervision_guides(home: str) -> str:
    """Folder of the guides' site, built in the control node's state when it is not there yet."""
    return str(guides.site(Path(guides.__file__).parents[2] / "docs", Path(home).expanduser() / "guides"))


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "supervision_guides": supervision_guides,
            "supervision_readers": supervision_readers,
            "supervision_rules": alerts.rules_file,
            "supervision_scrapes": supervision_scrapes,
            "supervision_senders": targets.senders,
        }
