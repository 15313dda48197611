# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""Control-node half of locked_venv: makes the bundle when a host asks for it, and sends it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.cdg59.creatic.plugins.module_utils.host import locked_venv
from ansible_collections.cdg59.creatic.plugins.plugin_utils.acting import Acting


class ActionModule(Acting):
    """Asks the host first: one that has its environment costs nothing more."""

    def act(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        wanted = locked_venv.Wanted(
            Path(args["root"]),
            self._file(args["requirements"]),
            self._file(args["build_requirements"]),
            tuple(args.get("assets_command") or ()),
            self._file(args["assets_lock"]) if args.get("assets_lock") else None,
            {path: self._file(source).read_bytes() for path, source in (args.get("files") or {}).items()},
            {
                str(path): [(str(pair["old"]), str(pair["new"])) for pair in pairs]
                for path, pairs in (args.get("replacements") or {}).items()
            },
        )
        given = {"root": args["root"], "name": wanted.name, "holds_data": args.get("holds_data", False)}
        result = self._module(given, task_vars)
        if not result.pop("wants_bundle", False):
            return result
        environment = {str(key): str(value) for key, value in (args.get("assets_environment") or {}).items()}
        cache = Path(str(args.get("cache") or "~/.cache/creatic/bundles")).expanduser()
        made = locked_venv.bundle(wanted, cache, _npm_registry(args.get("assets_npm_registry", "")) | environment)
        folder = self._make_tmp_path()
        try:
            sent = self._connection._shell.join_path(folder, made.name)
            self._transfer_file(str(made), sent)
            return self._module(given | {"bundle": sent}, task_vars)
        finally:
            self._remove_tmp_path(folder)

    def _file(self, name: str) -> Path:
        return Path(self._find_needle("files", name))

    def _module(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(
            module_name="cdg59.creatic.locked_venv", module_args=args, task_vars=task_vars
        )
        return found


def _npm_registry(variable: str) -> dict[str, str]:
    """The registry that npm is or would be configured with, in the variable by which the command takes it."""
    if not variable or variable in os.environ:
        return {variable: os.environ[variable]} if variable else {}
    npm = shutil.which("npm")
    if npm is None:  # a control node of production
        found = os.environ.get("NPM_CONFIG_REGISTRY", "")
        return {variable: found} if found else {}
    done = subprocess.run(
        [npm, "config", "get", "registry"],
        env=locked_venv.build_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return {variable: done.stdout.strip()} if done.returncode == 0 else {}
