#!/usr/bin/python
# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Thin shell over module_utils/host/locked_venv.py; the action plugin of the same name makes the bundle."""

from __future__ import annotations

DOCUMENTATION = r"""
module: locked_venv
short_description: Install a Python application from its lock file, offline
description:
  - The control node downloads what the lock file names, checked by its hashes, once, and keeps it as one bundle.
  - A host that lacks the environment is sent the bundle; it never reaches an index itself.
  - Each content of the lock file has its own environment; that of the link C(current) stays for a way back, older ones
    are removed.
  - Where the application holds data (C(holds_data)), another version than that of the link C(current) is installed once
    the machine was backed up, and refused without; C(retour.json), beside, says what the way back needs.
options:
  root: {description: Folder of the host that holds the environments., type: path, required: true}
  requirements: {description: "Lock file of the role's C(files/), with hashes.", type: str}
  build_requirements:
    description: Lock file of the role's C(files/), of what builds and installs wheels (setuptools, uv).
    type: str
  assets_command:
    description: Program of the environment and its arguments, run on the control node to fetch what is not Python.
    type: list
    elements: str
    default: []
  assets_lock:
    description: File of the role's C(files/) with the digest of each folder that the command brings.
    type: str
  assets_environment:
    description:
      - Variables of that command, beside PATH, HOME, the locale, proxies and the settings of pip, uv and npm. Code of
        packages gets nothing else of the control node's environment, where passphrases may be.
    type: dict
    default: {}
  assets_npm_registry:
    description:
      - Variable by which that command takes the address of an npm registry; it gets the one that npm is configured
        with, or C(NPM_CONFIG_REGISTRY) where npm is absent, unless the environment has it already.
    type: str
    default: ""
  files:
    description: Further files, by path below site-packages, from the role's C(files/).
    type: dict
    default: {}
  replacements:
    description:
      - Texts to replace in packages' files, by path below site-packages; each is a list of C(old) and C(new).
      - A text that is not there exactly once is refused, so that no new version passes unread.
    type: dict
    default: {}
  holds_data:
    description: The application holds data, which another version of it may change for good.
    type: bool
    default: false
  prepare:
    description: Only have the control node make the bundle, or say in check mode what it would; no host is asked.
    type: bool
    default: false
  cache: {description: Folder of the control node that keeps bundles., type: path}
  name: {description: Set by the action plugin., type: str}
  bundle: {description: Set by the action plugin., type: str}
extends_documentation_fragment: cdg59.creatic.modules
"""

EXAMPLES = r"""
- name: Ensure the application is there
  cdg59.creatic.locked_venv:
    root: /opt/application
    requirements: application.lock
    build_requirements: build.lock
    cache: ~/.cache/creatic/bundles
"""

RETURN = r"""
path: {description: Folder of the environment., returned: unless O(prepare), type: str}
prepared: {description: What was made (French)., returned: with O(prepare), type: str}
"""

import datetime as dt
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cdg59.creatic.plugins.module_utils.host import locked_venv, versions
from ansible_collections.cdg59.creatic.plugins.module_utils.host.module import run

SPEC: dict[str, Any] = {
    "root": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "bundle": {"type": "str"},
    "holds_data": {"type": "bool", "default": False},
}


def _install_venv(module: AnsibleModule) -> dict[str, Any]:
    root, name, bundle = Path(module.params["root"]), module.params["name"], module.params["bundle"]
    there = locked_venv.is_installed(root, name)
    wanted = not there and not module.check_mode
    old = versions.before(root, name) if module.params["holds_data"] and not module.check_mode else ""
    if old and not bundle:
        versions.save()
    if old and (there or bundle):
        versions.leave(root, old, name, dt.datetime.now(dt.UTC))
    if wanted and bundle:
        locked_venv.install(root, name, Path(bundle))
        # The one in use until now stays, for a way back.
        locked_venv.remove_others(root, [name, (root / "current").resolve().name])
    return {"changed": not there, "path": str(root / name), "wants_bundle": wanted and not bundle}


def main() -> None:
    run(SPEC, _install_venv)


if __name__ == "__main__":
    main()
