#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Keep the EU's trusted lists up to date on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: trusted_lists
short_description: Keep the EU's trusted lists up to date on the control node
description:
  - The list of the lists and that of each country (ETSI TS 119 612), verified, kept as published; C(confiance.json) is
    what servers are given of them.
  - A list that cannot be had, is not signed by who it must or is older than the kept one replaces nothing, and is told
    as a warning. The module fails for wrong settings only; the morning page says when lists lack for long.
options:
  url: {description: Where the list of the lists is published; empty to ask for none., type: str, required: true}
  certificate_files: {description: PEM files, certificates that may sign it., type: list, elements: path, default: []}
  folder: {description: Where the lists are kept., type: path, required: true}
  home: {description: "The control node's data, for the figures of the morning.", type: path, required: true}
  patience_days: {description: Days without all lists before the morning page says it., type: int, default: 7}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure the lists are those of today
  cdg59.creatic.trusted_lists:
    url: https://ec.europa.eu/tools/lotl/eu-lotl.xml
    certificate_files: [/srv/creatic/confiance/lotl.pem]
    folder: /srv/creatic/confiance
    home: /srv/creatic
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

import datetime as dt
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.host.fetch import fetched
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import result
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import trusted_lists

SECONDS = 60
SPEC: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "certificate_files": {"type": "list", "elements": "path", "default": []},
    "folder": {"type": "path", "required": True},
    "home": {"type": "path", "required": True},
    "patience_days": {"type": "int", "default": 7},
}


def fetch(url: str) -> bytes:
    """What is at an address. Raises ValueError when it is larger than a list may be, and what `open_url` raises."""
    return fetched(url, SECONDS, trusted_lists.MAX_BYTES)


def _refresh_lists(module: AnsibleModule) -> dict[str, Any]:
    given, now = module.params, dt.datetime.now(dt.UTC)
    home, outcome = Path(given["home"]), None
    if given["url"]:
        pinned = trusted_lists.pinned([Path(path) for path in given["certificate_files"]])
        outcome = trusted_lists.refresh(
            Path(given["folder"]), given["url"], pinned, fetch, now, check_only=module.check_mode
        )
        for fault in outcome.faults:
            module.warn(fault)
    if not module.check_mode:
        trusted_lists.figures(home, outcome, now, given["patience_days"])
    return result(outcome.changes if outcome else [])


def main() -> None:
    run(SPEC, _refresh_lists)


if __name__ == "__main__":
    main()
