# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""What the documentation of several modules says: of all, of those which show a diff, change a state, or do not run on
the host, and the options that several have."""

from __future__ import annotations


class ModuleDocFragment:
    """Parts of documentation, by the name that modules extend."""

    DOCUMENTATION = r"""
version_added: 0.1.0
author:
  - Cre@tic (@cdg59)
attributes:
  check_mode:
    description: Says what would change, and changes nothing.
    support: full
"""

    DIFF = r"""
attributes:
  diff_mode:
    description: Shows what changes, or would.
    support: full
"""

    CONTROL_NODE = r"""
attributes:
  action:
    description: Runs on the control node, whatever the host of the play.
    support: full
"""

    # Of the modules that answer by module_utils/host/module.py (converge).
    RETURN = r"""
changed_names: {description: "What changed, or would in check mode.", returned: always, type: list, elements: str}
"""

    # Of the modules of a guarded change (module_utils/host/guard.py).
    GUARDED = r"""
options:
  delay:
    description: Seconds after which the host undoes what nobody confirmed, from 10 to 600.
    type: int
    default: 45
  stage:
    description: Set by the action plugin.
    type: str
    choices: [inspect, apply, confirm, status]
    default: inspect
  change: {description: Set by the action plugin., type: str, default: ""}
"""

    GUARDED_RETURN = r"""
rolled_back:
  description: When the change failed, whether the host was seen to have gone back by itself.
  returned: failure
  type: bool
"""

    APPLICATION = r"""
options:
  server_name: {description: Name by which browsers know the application., type: str, required: true}
  password: {description: Password of its administrator., type: str, required: true}
"""

    # Of an application whose accounts the control node makes.
    ACCOUNTS = r"""
options:
  socket: {description: Unix socket of the application., type: path, required: true}
  secrets_dir:
    description: Folder of the control node where the first password of each account to make is left, in one file each.
    type: path
  passwords: {description: Set by the action plugin., type: dict}
"""

    AUTHORITY = r"""
options:
  authority_dir: {description: "Folder of the authority, on the control node.", type: path, required: true}
  commune: {description: "Slug of the commune, kept in the registry.", type: str, default: ""}
"""

    # Of what judges the archive room on the control node.
    ROOM = r"""
options:
  home: {description: State of the control node., type: path, required: true}
  backup_stamp:
    description: File whose first line dates the last backup; C(aucune) to go without.
    type: str
    default: ""
  backup_days: {description: Days after which the last backup is too old., type: float}
"""

    # Of what opens a server's sites as their clients do.
    CLIENT = r"""
options:
  root:
    description: PEM, on the server, of the authority that its clients trust; its next roots are beside it.
    type: path
    default: /usr/local/share/ca-certificates/creatic-pki.crt
"""

    CHANGES = r"""
changes: {description: "What changed, or would in check mode, in French.", returned: always, type: list, elements: str}
"""
