#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/access/sshd_commit.py; the action plugin of the same name runs its stages."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sshd_commit
short_description: Change files of /etc/ssh without locking anyone out
description:
  - In one task, any number of files of C(/etc/ssh) (drop-ins, an authority's public key, principals) reach their
    wanted state, and C(sshd) is reloaded. A second run changes nothing.
  - "In this order: C(sshd -t) and C(sshd -T) judge the whole candidate configuration; a new login (not the shared
    connection) with the play's own key and sudo is proven to work already; the host arms a timed rollback; the files
    are installed, C(sshd) is reloaded; a second new login, with sudo, confirms. Else the host puts the old files back
    by itself within I(delay), even when it is cut from the control node or restarts meanwhile, and the task fails."
  - The task must run with become, over C(ssh).
options:
  files:
    description:
      - The wanted files, as those of M(cdg59.creatic.file_set) (C(path), C(template), C(src), C(content), C(mode),
        C(owner), C(group), C(state), C(secret)), under C(/etc/ssh). Owner and group default to root, mode to 0644.
      - No links, and no removal of a folder.
    type: list
    elements: dict
    required: true
  account: {description: "Set by the action plugin, account of the play's connection.", type: str}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff, cdg59.creatic.modules.guarded]
"""

EXAMPLES = r"""
- name: Ensure sshd follows the guide
  cdg59.creatic.sshd_commit:
    files:
      - {path: /etc/ssh/sshd_config.d/10-creatic.conf, template: sshd.conf.j2, mode: "0600"}
      - {path: /etc/ssh/sshd_config.d/old.conf, state: absent}
"""

RETURN = r"""
changed_paths:
  description: Paths that changed, or would in check mode.
  returned: success
  type: list
  elements: str
extends_documentation_fragment: cdg59.creatic.modules.guarded_return
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.access import sshd_commit
from ansible_collections.cdg59.creatic.plugins.module_utils.errors import CreaticError
from ansible_collections.cdg59.creatic.plugins.module_utils.host import file_set, guard
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run

SPEC: dict[str, Any] = {"files": file_set.ARGUMENT, "account": {"type": "str"}, **guard.ARGUMENTS}


def _inspect_server(server: sshd_commit.SshServer) -> dict[str, Any]:
    changes = server.inspect()
    return {
        "changed": bool(changes) or server.guard.pending(),
        "changed_paths": [change.path for change in changes],
        "diff": file_set.diff(changes),
    }


def _run_module(module: AnsibleModule) -> dict[str, Any]:
    given = module.params
    server = sshd_commit.SshServer(given["files"], given["account"] or "root")
    try:
        answer = guard.stage(given, server, lambda: _inspect_server(server))
    except CreaticError as error:
        module.fail_json(msg=str(error), stage=given["stage"])
    # The action plugin's inputs hold contents; they are not repeated in the result.
    paths = [spec["path"] for spec in given["files"]]
    return {**answer, "invocation": {"module_args": {"files": paths, "stage": given["stage"]}}}


def main() -> None:
    run(SPEC, _run_module)


if __name__ == "__main__":
    main()
