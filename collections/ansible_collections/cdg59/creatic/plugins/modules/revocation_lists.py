#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Keep the revocation lists of other authorities up to date on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: revocation_lists
short_description: Keep the revocation lists of other authorities up to date
description:
  - One call for any number of lists (RFC 5280, section 5), PEM or DER as published, kept as PEM.
  - A list that is not signed by an admitted authority, is out of date or is older than the one that is kept replaces
    nothing. The others are brought up to date all the same, then the module fails and names it.
options:
  lists:
    description: The lists.
    type: list
    elements: dict
    required: true
    suboptions:
      url:
        description: Where the authority publishes it (the address is in its certificates, C(CRL Distribution Points)).
        type: str
        required: true
      path: {description: File in which it is kept., type: path, required: true}
  ca_files: {description: "PEM files, the authorities that are admitted.", type: list, elements: path, required: true}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure the lists are those of today
  cdg59.creatic.revocation_lists:
    lists:
      - {url: "http://crl.example.org/rgs.crl", path: /srv/listes/rgs.pem}
    ca_files: [/srv/listes/autorites.pem]
"""

RETURN = "extends_documentation_fragment: cdg59.creatic.modules"

import datetime as dt
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.host.fetch import fetched
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import entries, run
from ansible_collections.cdg59.creatic.plugins.module_utils.host.state import result
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import revocation_lists

SECONDS = 30


def fetch(url: str) -> bytes:
    """What is at an address, up to the size of a list."""
    return fetched(url, SECONDS, revocation_lists.MAX_BYTES)


SPEC: dict[str, Any] = {
    "lists": entries({"url": {"type": "str", "required": True}, "path": {"type": "path", "required": True}}),
    "ca_files": {"type": "list", "elements": "path", "required": True},
}


def _refresh_lists(module: AnsibleModule) -> dict[str, Any]:
    given = module.params
    sources = [revocation_lists.Source(entry["url"], Path(entry["path"])) for entry in given["lists"]]
    issuers = revocation_lists.authorities([Path(path) for path in given["ca_files"]])
    changes, faults = revocation_lists.refresh(
        sources, issuers, fetch, dt.datetime.now(dt.UTC), check_only=module.check_mode
    )
    if faults:
        module.fail_json(msg="\n".join(faults), **result(changes))
    return result(changes)


def main() -> None:
    run(SPEC, _refresh_lists)


if __name__ == "__main__":
    main()
