# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Stands before the inventory that was chosen: says which one it is, or stops Ansible when there is none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.utils.display import Display
from ansible_collections.cdg59.creatic.plugins.plugin_utils import project  # noqa: F401 # brings creatic

from creatic.registry import environment

DOCUMENTATION = """
name: environnement
short_description: Which environment Ansible acts on, without C(-i)
description:
  - Source C(inventories/environnement.yml) of C(ansible.cfg), read before the inventory that was chosen. It brings no
    host.
  - Without a good choice, Ansible stops with a French message, whatever its configuration says of sources that cannot
    be parsed.
  - The same choice as C(fab)'s, from the variable CREATIC_INVENTORY or from C(fab environnement).
options:
  plugin: {description: Name of this plugin., required: true, choices: [cdg59.creatic.environnement]}
"""

SOURCE = ("inventories", "environnement.yml")
PARSER_ERROR_EXIT_STATUS = 4  # Ansible's exit code for an AnsibleParserError


class InventoryModule(BaseInventoryPlugin):
    """Check the choice, and name it."""

    NAME = "cdg59.creatic.environnement"

    def verify_file(self, path: str) -> bool:
        """Accept its source alone."""
        return Path(path).parts[-2:] == SOURCE

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Say which environment was chosen, or stop Ansible."""
        super().parse(inventory, loader, path, cache)
        top = Path(path).parents[1]
        try:
            found = environment.chosen(top)
            told = environment.claim(found.home(), found.name, found.folder)
        except environment.InvalidEnvironmentError as error:
            Display().error(str(error), wrap_text=False)
            raise SystemExit(PARSER_ERROR_EXIT_STATUS) from None
        for line in filter(None, (str(found), told)):
            Display().display(line, stderr=True)
        # The source that comes next then shows the folder itself in its messages, not the link to it.
        os.environ[environment.VARIABLE] = os.path.relpath(found.folder, top)
