#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/host/file_set.py; the action plugin of the same name prepares its input."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
short_description: Write a set of files, directories and links in one task
description:
  - One task brings any number of files to their wanted state.
  - The action plugin of the same name renders templates and builds zipapps on the control node.
options:
  files:
    description: The wanted files, applied in order.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Absolute path on the host., type: str, required: true}
      state: {description: What is wanted there., type: str, choices: [file, directory, absent], default: file}
      template: {description: "Jinja template of the role's C(templates/), rendered on the control node.", type: str}
      vars: {description: "Variables of that template, beside the task's.", type: dict}
      src: {description: "File of the role's C(files/), sent as it is.", type: str}
      content: {description: The content itself., type: str}
      zipapp:
        description:
          - Python package of the project's applications (C(apps/*/src/)) or of the role's C(files/), sent as one
            deterministic executable zip. One that imports C(creatic_agent), what the applications share, carries it.
        type: str
      tree:
        description:
          - Package of the project's applications, or folder of the role's C(files/), sent whole without its bytecode
            caches. What is no longer in it stays on the host.
        type: str
      main: {description: "Entry point of the zipapp, as C(package.module:function).", type: str}
      python: {description: "Interpreter of the zipapp, C(/usr/bin/python3) by default.", type: str}
      link: {description: Makes the path a symbolic link to this target., type: str}
      owner: {description: Owner., type: str, default: root}
      group: {description: Group., type: str, default: root}
      mode: {description: "Octal mode, quoted. Default 0644, directories 0755.", type: str}
      secret: {description: Keeps the content out of diffs and errors., type: bool, default: false}
      validate:
        description: Command that must accept the new file before it replaces the old one; C(%s) is its path.
        type: str
      content_b64: {description: Set by the action plugin., type: str}
extends_documentation_fragment: [cdg59.creatic.modules, cdg59.creatic.modules.diff]
"""

EXAMPLES = r"""
- name: Ensure the agent and its configuration are in place
  cdg59.creatic.file_set:
    files:
      - {path: /etc/agent, state: directory, mode: "0750"}
      - {path: /etc/agent/config.yml, template: config.yml.j2, mode: "0640", secret: true}
      - {path: /usr/lib/agent/agent.pyz, zipapp: agent, main: "agent.cli:main", mode: "0755"}
"""

RETURN = r"""
changed_paths: {description: "Paths that changed, or would in check mode.", returned: always, type: list, elements: str}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.host import file_set
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run


def _write_set(module: AnsibleModule) -> dict[str, Any]:
    files = module.params["files"]
    changes = file_set.apply(files, module.check_mode)
    return {
        "changed": bool(changes),
        "changed_paths": [change.path for change in changes],
        "diff": file_set.diff(changes),
        # The action plugin's inputs hold contents; they are not repeated in the result.
        "invocation": {"module_args": {"files": [spec["path"] for spec in files]}},
    }


def main() -> None:
    run({"files": file_set.ARGUMENT}, _write_set)


if __name__ == "__main__":
    main()
